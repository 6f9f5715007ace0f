"""Something changed: told to everybody who waits, however many they are."""

from __future__ import annotations

import asyncio


class Signal:
    """Counts what happened, so that a waiter misses nothing that came since it looked.

    An `asyncio.Event` that each waiter clears would not do: one clears what another was to see.
    """

    def __init__(self) -> None:
        self.count = 0
        self._waiters: list[asyncio.Future[None]] = []

    def notify(self) -> None:
        """Something happened."""
        self.count += 1
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, seen: int) -> None:
        """Return as soon as `count` is not `seen` any more."""
        while self.count == seen:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            finally:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
