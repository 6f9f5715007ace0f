"""When a person decided something, and which of two decisions counts. All in milliseconds.

The later one counts, and what is decided here is later than all that is known. Clocks may be ahead,
so a time that has not come yet is no reason to doubt; one that is far ahead is a lie, or a clock
nobody looks at. If it counted, it would win over whatever is decided later, for good: that is what
somebody with a stolen device would say, just before the device is removed. As the bound moves on
with the time, there is always something later to be said.
"""

from __future__ import annotations

from typing import Final

# A wrong month is an honest mistake. Further ahead is not believed.
MOST_AHEAD: Final = 31 * 24 * 3_600_000
# Earlier than any decision.
NEVER: Final = -1


def is_believable(at: int, now: int) -> bool:
    """Whether something may have been decided at `at`."""
    return at <= now + MOST_AHEAD


def counts(at: int, known: int, now: int) -> bool:
    """Whether a decision of `at` counts after the one of `known`.

    What is known and not to be believed was decided here, by a clock that was put right since.
    """
    return is_believable(at, now) and (at > known or not is_believable(known, now))


def following(now: int, *known: int) -> int:
    """When something that is decided now was decided: later than what is known and believed."""
    return max([now, *(each + 1 for each in known if is_believable(each, now))])
