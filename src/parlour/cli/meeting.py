"""What both commands that link devices say: the code, and the six digits to compare."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.text import Text

from parlour.cli import asking, qr
from parlour.cli.output import Output
from parlour.client.files import read_bounded
from parlour.client.linking import Comparison
from parlour.client.workers import run_slow
from parlour.errors import Code, StorageError, UsageError

SHOWN: Final = "link.shown"
COMPARE: Final = "link.compare"
_MAX_CODE: Final = 4096


@dataclass(frozen=True, slots=True)
class Meeting:
    """One linking, as `output` shows it. `other` is what the other device is called here."""

    output: Output
    other: str
    qr_code: bool = False
    qr_file: Path | None = None

    async def show(self, text: str) -> None:
        """Show the code of this device."""
        self.output.document({"code": SHOWN, "text": text})
        self.output.text(Text(f"\n{text}\n", style="bold"))
        if self.qr_code:
            self.output.text(qr.drawn(text))
        if self.qr_file is not None:
            await run_slow(qr.save, text, self.qr_file)
            self.output.note(f"The code is in {self.qr_file}.")
        self.output.note(
            "Whoever sees it could use it before you: show it to nobody else. It is good for ten "
            f"minutes.\nWaiting for {self.other} …"
        )

    def compare(self, about: str) -> Callable[[Comparison], Awaitable[bool]]:
        """Ask whether the six digits are the same; `about` says what a yes does."""

        async def ask(comparison: Comparison) -> bool:
            self.output.document(
                {"code": COMPARE, "digits": comparison.code, "account": comparison.account}
            )
            self.output.text(about.format(account=comparison.account))
            self.output.text("Both devices show six digits now:\n")
            self.output.text(Text(f"    {comparison.code}\n", style="bold"))
            question = f"Does {self.other} show the same?"
            if self.output.json:
                same = (await asking.line()).strip().casefold() in ("y", "yes")
            else:
                same = await asking.yes(question)
            if same:
                self.output.note(f"Waiting for {self.other}, where the same is asked …")
            return same

        return ask


async def read_code(file: Path | None, where: str) -> str:
    """The code that the other device shows: pasted, or from a file."""
    if file is not None:
        try:
            return (await run_slow(read_bounded, file, _MAX_CODE)).decode()
        except (OSError, UnicodeDecodeError, StorageError) as problem:
            raise UsageError(Code.USAGE_CONFIG, "the file of the code can't be read") from problem
    if asking.somebody():
        asking.note(f"Paste the code that {where} shows, and press Enter:")
    return await asking.line()
