"""What is under way, and when what failed may be tried again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from parlour.conversation.requests import Request
from parlour.primitives.random import Random

Key = tuple[str, bytes]

# Milliseconds: the first pause, and the longest.
FIRST_PAUSE: Final = 500
LONGEST_PAUSE: Final = 60_000
# A server may ask for a longer pause than ours, not for one without end.
LONGEST_ASKED: Final = 3_600_000
_MAX_DOUBLINGS: Final = 10


@dataclass(frozen=True, slots=True)
class _Pause:
    failures: int
    since: int
    until: int

    def holds(self, now: int) -> bool:
        # A clock that went back must not make the pause longer.
        return self.since <= now < self.until


class Pending:
    """One request of each need at a time; pauses that double, with jitter, after a failure."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._under_way: set[Key] = set()
        self._pauses: dict[Key, _Pause] = {}
        self._wanted: set[Key] = set()

    def take(self, needs: Sequence[Request], now: int) -> list[Request]:
        """The needs that are neither under way nor paused; they are under way from now on."""
        due = [
            need
            for need in needs
            if need.key not in self._under_way and not self.is_paused(need.key, now)
        ]
        self._under_way.update(need.key for need in due)
        self._wanted = {need.key for need in needs}
        # A need may be gone for a moment; its failures are forgotten a while after its pause.
        for key, pause in list(self._pauses.items()):
            if key not in self._wanted and now >= pause.until + LONGEST_PAUSE:
                del self._pauses[key]
        return due

    def wants(self, kinds: Collection[str]) -> bool:
        """Whether something of these kinds was still needed when needs were last taken."""
        return any(kind in kinds for kind, _ in self._wanted)

    def is_paused(self, key: Key, now: int) -> bool:
        """Whether it failed a short while ago."""
        pause = self._pauses.get(key)
        return pause is not None and pause.holds(now)

    def done(self, key: Key) -> None:
        """It was answered, or nobody needs it any more."""
        self._under_way.discard(key)
        self._pauses.pop(key, None)

    def goes_on(self, key: Key) -> None:
        """It was answered, and has to be asked on: how often it failed before is remembered."""
        self._under_way.discard(key)

    def failed(self, key: Key, now: int, retry_after: int | None = None) -> None:
        """It failed: pause, at least as long as the server asked for (`retry_after`, ms)."""
        self._under_way.discard(key)
        before = self._pauses.get(key)
        failures = min((before.failures if before else 0) + 1, _MAX_DOUBLINGS)
        longest = min(FIRST_PAUSE << failures, LONGEST_PAUSE)
        # Full jitter over the upper half: clients that failed together do not return together.
        jitter = int.from_bytes(self._random(4)) % (longest // 2 + 1)
        pause = max(longest // 2 + jitter, min(retry_after or 0, LONGEST_ASKED))
        self._pauses[key] = _Pause(failures, now, now + pause)

    def clear(self) -> None:
        """A new connection begins: nothing is under way, and what failed may be tried at once."""
        self._under_way.clear()
        self._pauses.clear()

    def next_timeout(self) -> int | None:
        """When the first pause ends of what is wanted and not under way."""
        waiting = self._pauses.keys() & (self._wanted - self._under_way)
        return min((self._pauses[key].until for key in waiting), default=None)
