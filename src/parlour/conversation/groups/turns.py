"""Who acts first, where anybody may: so that many members do one thing once.

Devices that all notice the same (a device that left its account's list, a proposal that nobody
covers) take turns: the first at once, the next ones in brackets that double, each a while later
and spread over it. Whoever is offline only costs its bracket's while.
"""

from __future__ import annotations

from typing import Final

from parlour.primitives.random import Random

# Milliseconds from one bracket to the next: what a commit takes to be seen by all.
BRACKET: Final = 3_000
# Brackets double, so that 16 of them hold any group.
MAX_BRACKETS: Final = 16
# A lost race is run again after so many milliseconds, times up to 2^5: others race, too. Whoever
# loses more than that in a row races with nobody, but has a server that answers from an old state;
# it is asked ever more seldom, up to every minute or so.
RETRY: Final = 150
_MAX_DOUBLINGS: Final = 5
RACES: Final = 16
_MORE_DOUBLINGS: Final = 4


def turn_after(rank: int, random: Random) -> int:
    """How long (ms) the member of that rank waits before it acts; 0 for the first."""
    bracket = min(rank.bit_length(), MAX_BRACKETS)
    return bracket * BRACKET + (_below(BRACKET, random) if bracket else 0)


def retry_after(losses: int, random: Random) -> int:
    """How long (ms) to wait after the races that were lost in a row, with jitter."""
    more = min(max(losses - RACES, 0), _MORE_DOUBLINGS)
    longest = RETRY << (min(losses, _MAX_DOUBLINGS) + more)
    return _below(longest, random)


def _below(limit: int, random: Random) -> int:
    return int.from_bytes(random(4)) % limit
