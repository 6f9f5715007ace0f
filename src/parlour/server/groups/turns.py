"""Whose handshake is judged when: of one group one after the other, of all a few at a time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Final, TypeVar

from parlour.server.limits import RateExceeded

T = TypeVar("T")

# Handshakes that wait for one group. All but one of an epoch lose it anyway; each holds up to a
# megabyte of memory while it waits.
MAX_WAITING: Final = 64
# When to come back (ms), if so many wait.
_COME_BACK: Final = 500
# Judging takes Python's lock most of the time: more at once would only slow each other down, and
# whoever sends messages meanwhile.
_AT_ONCE: Final = 2


class Turns:
    """A lock for each group in use, and room for the work itself."""

    def __init__(self) -> None:
        self._locks: dict[bytes, tuple[asyncio.Lock, int]] = {}
        self._room = asyncio.Semaphore(_AT_ONCE)

    @contextlib.asynccontextmanager
    async def of(self, stream: bytes) -> AsyncIterator[None]:
        """Wait for the turn of a group; raises ``limit.rate`` if too many wait already."""
        lock, waiting = self._locks.get(stream) or (asyncio.Lock(), 0)
        if waiting >= MAX_WAITING:
            raise RateExceeded(_COME_BACK)
        self._locks[stream] = lock, waiting + 1
        try:
            async with lock:
                yield
        finally:
            _, waiting = self._locks.pop(stream)
            if waiting > 1:
                self._locks[stream] = lock, waiting - 1

    async def run(self, work: Callable[[], T]) -> T:
        """Do slow work in a thread, while everybody else is served."""
        async with self._room:
            return await asyncio.to_thread(work)
