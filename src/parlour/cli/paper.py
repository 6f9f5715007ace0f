"""The recovery key on its way to paper and back: shown once, read back, typed in."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import Final

from rich.text import Text

from parlour.cli import asking
from parlour.cli.output import Output
from parlour.client.config import read_password_file
from parlour.client.files import check_new_file, write_atomic
from parlour.client.workers import run_slow
from parlour.errors import Code, ParlourError, UsageError
from parlour.identity.passphrase import Passphrase
from parlour.identity.recovery import RecoveryKey

# Groups to type in: who has them has looked at the paper.
_ASKED: Final = 2
_ABOUT: Final = (
    "It brings your account back when all devices and the password are gone. Whoever has\n"
    "it has your account. Keep it where you keep a passport."
)
_LINES: Final = 8


async def write_down(key: RecoveryKey, output: Output) -> None:
    """Show a key until it was written down, take it off the screen, and ask for some of it."""
    while True:
        output.text(Text("\nYour recovery key. Write it on paper, now:\n", style="bold"))
        output.text(Text(f"    {key.to_text()}\n", style="bold"))
        output.text(_ABOUT)
        await asking.line("When it is on paper, press Enter. It is not shown again. ")
        _take_off_screen()
        if await _is_on_paper(key):
            return
        asking.note("That is not what was shown. Look at it once more.")


async def learn(words: Passphrase, output: Output) -> None:
    """Show a generated passphrase until a person can type it without seeing it."""
    if output.json or not asking.somebody():
        return
    while True:
        output.text(Text("\nYour passphrase. Learn it, or write it on paper:\n", style="bold"))
        output.text(Text(f"    {words.reveal()}\n", style="bold"))
        output.text("It is asked for like a password. Nobody can make it again.")
        await asking.line("When you have it, press Enter. It is not shown again. ")
        _take_off_screen(_LINES - 1)
        if (await asking.hidden("Type it, to be sure: ")).split() == words.reveal().split():
            return
        asking.note("That is not what was shown. Look at it once more.")


def _take_off_screen(lines: int = _LINES) -> None:
    """So that what is typed next comes from the paper."""
    if sys.stdout.isatty():
        print(f"\x1b[{lines}A\x1b[J", end="", flush=True)


async def _is_on_paper(key: RecoveryKey) -> bool:
    groups = key.to_text().split("-")
    places = sorted(secrets.SystemRandom().sample(range(len(groups)), _ASKED))
    asking.note("To be sure that it is on paper, type two of its seven groups:")
    for place in places:
        typed = await asking.line(f"  group {place + 1}: ")
        if _plain(typed) != groups[place]:
            return False
    return True


def _plain(group: str) -> str:
    """As the key is printed: I and L are read as 1, O as 0."""
    return group.strip().upper().translate(str.maketrans("OIL", "011"))


async def keep(key: RecoveryKey, file: Path | None, output: Output) -> None:
    """See a new key kept: on paper by somebody who is there, or in a file."""
    if file is not None:
        await keep_in_file(key, file)
    elif asking.somebody() and not output.json:
        await write_down(key, output)
    else:
        raise UsageError(
            Code.USAGE_CONFIG,
            "where does the recovery key go? Give --recovery-file, or --no-recovery",
        )


async def keep_in_file(key: RecoveryKey, file: Path) -> None:
    """Write a key to a file that its owner alone can read; refuses one that is there."""
    if await run_slow(file.exists):
        raise UsageError(Code.USAGE_STATE, f"{file.name} is there already")
    await run_slow(check_new_file, file)
    await run_slow(write_atomic, file, key.to_text().encode() + b"\n")


async def typed(file: Path | None, prompt: str = "Recovery key: ") -> RecoveryKey:
    """The key as a person types it, tried again when it is mistyped; or from a file."""
    if file is not None:
        return RecoveryKey.from_text(await run_slow(read_password_file, file))
    if not asking.somebody():
        raise UsageError(Code.USAGE_CONFIG, "nobody is there to type it: give --recovery-file")
    while True:
        text = await asking.hidden(prompt)
        try:
            return RecoveryKey.from_text(text)
        except ParlourError as problem:
            if not text.strip():
                raise
            asking.note(f"{problem.sentence} ({problem.detail}) {problem.remedy}")
