"""When to connect again.

Exponential with full jitter: after a server's restart its clients come back spread over time.
"""

from __future__ import annotations

from typing import Final

from parlour.primitives.random import Random

FIRST_DELAY: Final = 1.0
MAX_DELAY: Final = 60.0
# What a server may ask for at most, so that none switches its clients off for good.
MAX_RETRY_AFTER: Final = 600.0
# A connection that lasted so long was a good one; a shorter one counts as another failure, or a
# server that drops everybody at once would be called without a pause.
STABLE_AFTER: Final = 60.0
_JITTER_BITS: Final = 32


class Backoff:
    """Delays in seconds. `now` is any clock in seconds that does not go back."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._failures = 0
        self._connected_at: float | None = None

    def connected(self, now: float) -> None:
        """A connection was made."""
        self._connected_at = now

    def next_delay(self, now: float, retry_after: int | None = None) -> float:
        """How long to wait after a failure, or after a connection that ended.

        `retry_after`, in milliseconds, is what the server asked for: never less than that.
        """
        connected_at, self._connected_at = self._connected_at, None
        if connected_at is not None and now - connected_at >= STABLE_AFTER:
            self._failures = 0
        ceiling = min(MAX_DELAY, FIRST_DELAY * 2.0 ** min(self._failures, 16))
        self._failures += 1
        asked = min(MAX_RETRY_AFTER, max(0, retry_after or 0) / 1000)
        return asked + self._fraction() * ceiling

    def _fraction(self) -> float:
        return int.from_bytes(self._random(_JITTER_BITS // 8)) / (1 << _JITTER_BITS)
