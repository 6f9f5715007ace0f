"""The foot of the terminal that is drawn again: what waits, the state, and the line to write on.

Everything above it is printed once and scrolls like any output, also in tmux. Each line of the
foot is cut to the terminal's width, so that it takes one row and can be found again.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.text import Text

# Columns that stay free: some terminals wrap when the last one is written.
_MARGIN = 1


class Screen:
    """Prints above a foot. `write` takes everything of one change at once."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._above = 0
        self._drawn = False

    @property
    def width(self) -> int:
        """Columns that may be written on."""
        return max(self._console.width - _MARGIN, 2)

    def draw(
        self,
        printed: Sequence[RenderableType],
        foot: Sequence[Text],
        prompt: Text,
        line: str,
        cursor: int,
        *,
        whole: bool = False,
    ) -> str:
        """What to write to print `printed` and then show foot, prompt and line.

        `cursor` is the place in `line`. With `whole` the screen is emptied before.
        """
        with self._console.capture() as captured:
            for renderable in printed:
                self._console.print(renderable, soft_wrap=False, highlight=False, emoji=False)
            for text in foot:
                self._print_row(text)
        shown, column = _window(line, cursor, self.width - prompt.cell_len)
        with self._console.capture() as last:
            self._console.print(prompt, Text(shown), sep="", end="", soft_wrap=True)
        erase = "\x1b[H\x1b[2J" if whole else self._erase()
        self._above, self._drawn = len(foot), True
        back = f"\r\x1b[{prompt.cell_len + column}C"
        return erase + captured.get() + last.get() + back

    def clear(self) -> str:
        """What to write to take the foot away."""
        erase = self._erase()
        self._above, self._drawn = 0, False
        return erase

    def _print_row(self, text: Text) -> None:
        row = text.copy()
        row.truncate(self.width, overflow="ellipsis")
        self._console.print(row, no_wrap=True, overflow="ignore", crop=False)

    def _erase(self) -> str:
        if not self._drawn:
            return ""
        up = f"\x1b[{self._above}A" if self._above else ""
        return f"\r{up}\x1b[J"


def _window(line: str, cursor: int, width: int) -> tuple[str, int]:
    """The part of the line around the cursor that fits, and the cursor's column in it."""
    text = line.replace("\n", "⏎")
    width = max(width, 1)
    start = 0
    while start < cursor and cell_len(text[start:cursor]) >= width:
        start += 1
    end = start
    while end < len(text) and cell_len(text[start : end + 1]) <= width:
        end += 1
    return text[start:end], cell_len(text[start:cursor])
