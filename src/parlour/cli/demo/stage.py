"""How the demo is shown: numbered steps, and below each what happened."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from parlour.cli import qr
from parlour.cli.demo.stored import StoredMessage
from parlour.cli.output import Output

_LABEL = 15


class Stage:
    """Prints the story as it happens."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._number = 0

    def step(self, title: str) -> None:
        """A new step begins."""
        self._number += 1
        self._output.document({"step": self._number, "title": title})
        self._output.text(Text(f"\n{self._number}. {title}", style="bold"))

    def tell(self, text: str) -> None:
        """Plain words."""
        self._output.text(Text(f"   {text}"))

    def show(self, label: str, text: str, style: str = "") -> None:
        """Something with a label before it."""
        row = Text(f"   {label:<{_LABEL}} ", style="dim").append(text, style=style or "default")
        self._output.text(row)

    def check(self, text: str) -> None:
        """Something that was checked, and is so."""
        self._output.document({"step": self._number, "checked": text})
        self._output.text(Text("   ✓ ", style="green").append(text, style="default"))

    def message(self, author: str, reader: str, text: str, stored: StoredMessage) -> None:
        """One message: what people see, and what the server has."""
        self._output.document(
            {
                "step": self._number,
                "from": author,
                "to": reader,
                "text": text,
                "seq": stored.seq,
                "stored_head": stored.body[:24].hex(),
                "stored_size": len(stored.body),
                "keys_size": len(stored.parts),
            }
        )
        self.show(f"{author} writes", text, "bold cyan")
        self.show("server stores", f"{stored.head}", "red")
        size = f"{len(stored.body)} bytes, as of every short message"
        self.show("", f"{size}; with {len(stored.parts)} bytes of sealed keys", "dim")

    def group_message(
        self, author: str, readers: Sequence[str], text: str, stored: StoredMessage
    ) -> None:
        """One message to many: who reads it, and what the server has."""
        self._output.document(
            {
                "step": self._number,
                "from": author,
                "to": list(readers),
                "text": text,
                "seq": stored.seq,
                "stored_size": len(stored.body),
            }
        )
        self.show(f"{author} writes", text, "bold cyan")
        self.show("server stores", f"{stored.tail} ({len(stored.body)} bytes)", "red")
        self.show("read by", ", ".join(readers), "bold green")

    def read(self, reader: str, text: str) -> None:
        """Somebody reads."""
        self.show(f"{reader} reads", text, "bold green")

    def code(self, data: bytes) -> None:
        """A QR code."""
        self._output.text(qr.drawn(data))

    def end(self, seconds: float) -> None:
        """The end."""
        self._output.document({"ok": True, "seconds": round(seconds, 1)})
        self._output.text(
            Text(f"\nAll of that took {seconds:.1f} s, and everything it made is gone again.")
        )
        self._output.text("For a server of your own: parlour serve")
