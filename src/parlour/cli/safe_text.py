"""What strangers wrote, made harmless for a terminal.

A message may hold escape sequences that move the cursor, set the window's title or answer in the
reader's name; line breaks that fake a line of somebody else; and controls of the writing direction
that show text in another order than it has. What people read must be what was sent.

Spec: ECMA-48 (control functions), UAX #9 (bidirectional text).
"""

from __future__ import annotations

import unicodedata
from typing import Final

_PICTURES: Final = 0x2400
_DELETE: Final = 0x7F
_FIRST_PRINTABLE: Final = 0x20
# Embeddings, overrides, isolates and marks: they reorder what comes after them.
_DIRECTIONS: Final = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)
# Control characters, surrogates, private use, unassigned, line and paragraph separators.
_REFUSED: Final = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})
_TAB: Final = "    "
_SURROGATES: Final = range(0xD800, 0xE000)


def is_text(text: str) -> bool:
    """Whether a text can be said in UTF-8; bytes that are none of it stand as surrogates in it."""
    return not any(ord(character) in _SURROGATES for character in text)


def one_line(text: str) -> str:
    """The text in one line: line breaks as ``⏎``, other controls as visible signs."""
    return "".join("⏎" if character == "\n" else _safe(character) for character in _joined(text))


def lines(text: str) -> list[str]:
    """The text line by line, each harmless. Never empty."""
    return [one_line(line) for line in _joined(text).split("\n")]


def _joined(text: str) -> str:
    return text.replace("\r\n", "\n")


def _safe(character: str) -> str:
    """The character, or a visible sign for it."""
    if character == "\t":
        return _TAB
    code = ord(character)
    if code < _FIRST_PRINTABLE:
        return chr(_PICTURES + code)
    if code == _DELETE:
        return "\u2421"
    if character in _DIRECTIONS or unicodedata.category(character) in _REFUSED:
        return "\ufffd"
    return character
