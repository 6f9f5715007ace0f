"""A safety number, as people compare it."""

from __future__ import annotations

from typing import Final

from parlour.transparency import SafetyNumber

GROUPS_PER_LINE: Final = 4
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
