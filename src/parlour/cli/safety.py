"""A safety number, as people compare it: digits to look at, words to read to each other."""

from __future__ import annotations

from typing import Final

from parlour.transparency import SafetyNumber

GROUPS_PER_LINE: Final = 4
WORDS_PER_LINE: Final = 4
_DIGITS_PER_GROUP: Final = 5


def digit_lines(number: SafetyNumber | str) -> list[str]:
    """The sixty digits, in lines of four groups of five."""
    digits = number if isinstance(number, str) else number.digits
    step = _DIGITS_PER_GROUP
    groups = [digits[at : at + step] for at in range(0, len(digits), step)]
    return [
        "  ".join(groups[at : at + GROUPS_PER_LINE])
        for at in range(0, len(groups), GROUPS_PER_LINE)
    ]


def word_lines(number: SafetyNumber) -> list[str]:
    """The sixteen words, four in a line, in columns."""
    words = number.words
    width = max(len(word) for word in words)
    rows = [words[at : at + WORDS_PER_LINE] for at in range(0, len(words), WORDS_PER_LINE)]
    return ["  ".join(word.ljust(width) for word in row).rstrip() for row in rows]
