"""From the bytes of a terminal to keys.

Bytes come in pieces: a character or a sequence may be cut anywhere. What is not known is dropped
whole, so that no part of an unknown sequence is taken for text.

Spec: ECMA-48 §5.4 (control sequences), xterm (bracketed paste, DEC private mode 2004).
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, TypeAlias

_PASTE_BEGIN: Final = "[200~"
_PASTE_END: Final = "\x1b[201~"
# Longer than any sequence of a keyboard; what goes on beyond is noise.
_MAX_SEQUENCE: Final = 32


class Key(Enum):
    """A key that is no text."""

    ENTER = auto()
    NEW_LINE = auto()
    BACKSPACE = auto()
    DELETE = auto()
    LEFT = auto()
    RIGHT = auto()
    WORD_LEFT = auto()
    WORD_RIGHT = auto()
    HOME = auto()
    END = auto()
    UP = auto()
    DOWN = auto()
    KILL_LINE = auto()
    KILL_END = auto()
    KILL_WORD = auto()
    REDRAW = auto()
    INTERRUPT = auto()
    END_OF_INPUT = auto()


@dataclass(frozen=True, slots=True)
class Typed:
    """Text that was typed or pasted; a paste may hold line breaks."""

    text: str


Input: TypeAlias = Key | Typed

_CONTROLS: Final = {
    "\r": Key.ENTER,
    "\n": Key.ENTER,
    "\x7f": Key.BACKSPACE,
    "\x08": Key.BACKSPACE,
    "\x01": Key.HOME,
    "\x02": Key.LEFT,
    "\x03": Key.INTERRUPT,
    "\x04": Key.END_OF_INPUT,
    "\x05": Key.END,
    "\x06": Key.RIGHT,
    "\x0b": Key.KILL_END,
    "\x0c": Key.REDRAW,
    "\x0e": Key.DOWN,
    "\x10": Key.UP,
    "\x15": Key.KILL_LINE,
    "\x17": Key.KILL_WORD,
}
_SEQUENCES: Final = {
    "[A": Key.UP,
    "[B": Key.DOWN,
    "[C": Key.RIGHT,
    "[D": Key.LEFT,
    "[H": Key.HOME,
    "[F": Key.END,
    "OA": Key.UP,
    "OB": Key.DOWN,
    "OC": Key.RIGHT,
    "OD": Key.LEFT,
    "OH": Key.HOME,
    "OF": Key.END,
    "[1~": Key.HOME,
    "[4~": Key.END,
    "[7~": Key.HOME,
    "[8~": Key.END,
    "[3~": Key.DELETE,
    "[1;5C": Key.WORD_RIGHT,
    "[1;5D": Key.WORD_LEFT,
    "[1;3C": Key.WORD_RIGHT,
    "[1;3D": Key.WORD_LEFT,
    "b": Key.WORD_LEFT,
    "f": Key.WORD_RIGHT,
    "\r": Key.NEW_LINE,
    "\n": Key.NEW_LINE,
    "\x7f": Key.KILL_WORD,
}


class KeyReader:
    """Keeps what is not yet complete."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def feed(self, data: bytes) -> list[Input]:
        """Take bytes; return the keys that are complete."""
        self._rest += self._decoder.decode(data)
        return list(self._take())

    def _take(self) -> Iterator[Input]:
        while self._rest:
            if self._rest[0] == "\x1b":
                taken, key = self._escape()
                if taken == 0:
                    return
            else:
                taken, key = self._plain()
            self._rest = self._rest[taken:]
            if key is not None:
                yield key

    def _plain(self) -> tuple[int, Input | None]:
        """One control key, or all text up to the next control character."""
        if self._rest[0] in _CONTROLS:
            return 1, _CONTROLS[self._rest[0]]
        if _is_control(self._rest[0]):
            return 1, Typed("\t") if self._rest[0] == "\t" else None
        end = next(
            (at for at, character in enumerate(self._rest) if _is_control(character)),
            len(self._rest),
        )
        return end, Typed(self._rest[:end])

    def _escape(self) -> tuple[int, Input | None]:
        """A sequence: how much it takes (0 when it is not complete), and its key if it has one."""
        sequence = self._rest[1:]
        if sequence.startswith(_PASTE_BEGIN):
            return self._paste()
        if not sequence:
            return 0, None
        if sequence[0] == "[":
            end = next((at for at in range(1, len(sequence)) if "@" <= sequence[at] <= "~"), None)
        elif sequence[0] == "O":
            end = 1 if len(sequence) > 1 else None
        else:
            end = 0
        if end is None:
            return (len(self._rest), None) if len(sequence) > _MAX_SEQUENCE else (0, None)
        return end + 2, _SEQUENCES.get(sequence[: end + 1])

    def _paste(self) -> tuple[int, Input | None]:
        end = self._rest.find(_PASTE_END)
        if end < 0:
            return 0, None
        pasted = self._rest[1 + len(_PASTE_BEGIN) : end]
        return end + len(_PASTE_END), Typed(pasted.replace("\r\n", "\n").replace("\r", "\n"))


def _is_control(character: str) -> bool:
    return character < " " or character == "\x7f"
