"""What is under way, and when what failed may be tried again."""

from __future__ import annotations

from typing import Final

from parlour.conversation.requests import Request
from parlour.primitives.random import Random

Key = tuple[str, bytes]

# Milliseconds: the first pause, and the longest.
FIRST_PAUSE: Final = 500
LONGEST_PAUSE: Final = 60_000
_MAX_DOUBLINGS: Final = 10


class Pending:
    """One request of each need at a time; pauses that double, with jitter, after a failure."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._under_way: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._not_before: dict[Key, int] = {}

    def take(self, needs: list[Request], now: int) -> list[Request]:
        """The needs that are neither under way nor paused; they are under way from now on."""
        due = [
            need
            for need in needs
            if need.key not in self._under_way and self._not_before.get(need.key, 0) <= now
        ]
        self._under_way.update(need.key for need in due)
        wanted = {need.key for need in needs}
        for key in [key for key in self._not_before if key not in wanted]:
            self.done(key)
        return due

    def done(self, key: Key) -> None:
        """It was answered, or nobody needs it any more."""
        self._under_way.discard(key)
        self._failures.pop(key, None)
        self._not_before.pop(key, None)

    def failed(self, key: Key, now: int, retry_after: int | None = None) -> None:
        """It failed: pause, at least as long as the server asked for (`retry_after`, ms)."""
        self._under_way.discard(key)
        failures = min(self._failures.get(key, 0) + 1, _MAX_DOUBLINGS)
        self._failures[key] = failures
        longest = min(FIRST_PAUSE << failures, LONGEST_PAUSE)
        # Full jitter over the upper half: clients that failed together do not return together.
        jitter = int.from_bytes(self._random(4)) % (longest // 2 + 1)
        self._not_before[key] = now + max(longest // 2 + jitter, retry_after or 0)

    def clear(self) -> None:
        """A new connection begins: nothing is under way, and what failed may be tried at once."""
        self._under_way.clear()
        self._failures.clear()
        self._not_before.clear()

    def next_timeout(self) -> int | None:
        """When the first pause ends."""
        return min(self._not_before.values(), default=None)
