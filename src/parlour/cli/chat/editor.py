"""The line that is being written."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from rich.cells import cell_len

from parlour.cli.chat.keys import Input, Key, Typed

_KEPT_LINES: Final = 200
_JOINER: Final = "\u200d"


@dataclass(frozen=True, slots=True)
class Submitted:
    """A line was finished."""

    text: str


@dataclass(frozen=True, slots=True)
class Left:
    """The person wants to go. `interrupted` by Ctrl-C, else by Ctrl-D."""

    interrupted: bool


@dataclass(frozen=True, slots=True)
class Redraw:
    """The person wants the screen drawn again."""


Action: TypeAlias = Submitted | Left | Redraw


class Editor:
    """Text, a cursor in it, and the lines written before."""

    def __init__(self) -> None:
        self.text = ""
        self.cursor = 0
        self._past: list[str] = []
        self._place = 0
        self._draft = ""
        self._moves: dict[Key, Callable[[], None]] = {
            Key.NEW_LINE: lambda: self._insert("\n"),
            Key.BACKSPACE: lambda: self._cut(self._before(), self.cursor),
            Key.DELETE: lambda: self._cut(self.cursor, self._after()),
            Key.LEFT: lambda: self._move(self._before()),
            Key.RIGHT: lambda: self._move(self._after()),
            Key.WORD_LEFT: lambda: self._move(self._word_before()),
            Key.WORD_RIGHT: lambda: self._move(self._word_after()),
            Key.HOME: lambda: self._move(0),
            Key.END: lambda: self._move(len(self.text)),
            Key.UP: lambda: self._recall(self._place - 1),
            Key.DOWN: lambda: self._recall(self._place + 1),
            Key.KILL_LINE: lambda: self._cut(0, self.cursor),
            Key.KILL_END: lambda: self._cut(self.cursor, len(self.text)),
            Key.KILL_WORD: lambda: self._cut(self._word_before(), self.cursor),
        }

    def take(self, key: Input) -> Action | None:
        """Take one key; return what it leads to beside a changed line."""
        match key:
            case Typed(text=text):
                self._insert(_insertable(text))
            case Key.ENTER:
                return self._submit()
            case Key.INTERRUPT:
                return self._interrupt()
            case Key.END_OF_INPUT if not self.text:
                return Left(interrupted=False)
            case Key.END_OF_INPUT:
                self._cut(self.cursor, self._after())
            case Key.REDRAW:
                return Redraw()
            case _:
                self._moves[key]()
        return None

    def _interrupt(self) -> Action | None:
        """Ctrl-C throws the line away, and leaves when there is none."""
        if not self.text:
            return Left(interrupted=True)
        self._set("")
        return None

    def _submit(self) -> Action | None:
        text = self.text
        self._set("")
        if not text.strip():
            return None
        if not self._past or self._past[-1] != text:
            self._past = [*self._past, text][-_KEPT_LINES:]
        self._place = len(self._past)
        return Submitted(text)

    def _recall(self, place: int) -> None:
        """Bring back a line written before; the one that was begun waits below them all."""
        if not 0 <= place <= len(self._past):
            return
        if self._place == len(self._past):
            self._draft = self.text
        self._place = place
        self._set(self._draft if place == len(self._past) else self._past[place])

    # --- Text ----------------------------------------------------------------------------

    def _set(self, text: str) -> None:
        self.text, self.cursor = text, len(text)

    def _insert(self, text: str) -> None:
        self.text = self.text[: self.cursor] + text + self.text[self.cursor :]
        self.cursor += len(text)

    def _cut(self, start: int, end: int) -> None:
        self.text = self.text[:start] + self.text[end:]
        self.cursor = start

    def _move(self, to: int) -> None:
        self.cursor = to

    def _joined(self, at: int) -> bool:
        """Whether the character there belongs to the one before it on the screen."""
        if not 0 < at < len(self.text):
            return False
        zero_width = cell_len(self.text[at]) == 0 and self.text[at] != "\n"
        return zero_width or self.text[at - 1] == _JOINER

    def _before(self) -> int:
        at = max(self.cursor - 1, 0)
        while self._joined(at):
            at -= 1
        return at

    def _after(self) -> int:
        at = min(self.cursor + 1, len(self.text))
        while self._joined(at):
            at += 1
        return at

    def _word_before(self) -> int:
        at = self.cursor
        while at > 0 and self.text[at - 1].isspace():
            at -= 1
        while at > 0 and not self.text[at - 1].isspace():
            at -= 1
        return at

    def _word_after(self) -> int:
        at = self.cursor
        while at < len(self.text) and self.text[at].isspace():
            at += 1
        while at < len(self.text) and not self.text[at].isspace():
            at += 1
        return at


def _insertable(text: str) -> str:
    """Without control characters; a tab is four spaces."""
    kept = (character for character in text.replace("\t", "    "))
    return "".join(c for c in kept if c == "\n" or unicodedata.category(c) not in ("Cc", "Cs"))
