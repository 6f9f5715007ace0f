"""What the server sends unasked, between the reader of a socket and who consumes it.

The queue is bounded. When it is full, the reader waits, so that TCP slows the server down. But an
answer may stand behind the push that waits, and its asker may be the very consumer. So nobody
waits while a request is under way, nor for long: then pushes are dropped, and `PushResync` stands
in their place, as it does when the server drops some. Who reads it catches up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeAlias

from parlour.errors import ParlourError
from parlour.wire.limits import MAX_FRAME
from parlour.wire.push import (
    PushDeviceList,
    PushDrain,
    PushEntry,
    PushPrekeysLow,
    PushResync,
    PushStream,
)

Push: TypeAlias = PushEntry | PushStream | PushResync | PushDeviceList | PushPrekeysLow | PushDrain

# A busy minute of a large group.
MAX_PUSHES: Final = 1024
# Whatever the number: four of the largest frames.
MAX_PUSH_BYTES: Final = 4 * MAX_FRAME
# Below the heartbeat's patience, because while the reader waits it sees no pongs either.
PATIENCE: Final = 5.0


class PushQueue:
    """A bounded queue with one writer. `busy` says whether a request is under way."""

    def __init__(self, busy: Callable[[], bool], *, patience: float = PATIENCE) -> None:
        self._busy = busy
        self._patience = patience
        self._items: deque[tuple[Push, int]] = deque()
        self._bytes = 0
        self._room = asyncio.Event()
        self._filled = asyncio.Event()
        self._end: Callable[[], ParlourError] | None = None

    async def put(self, push: Push, size: int) -> None:
        """Add a push whose frame has `size` bytes; waits for room as the module describes."""
        if self._full:
            await self._wait_for_room()
        if not self._full:
            self._append(push, size)
        elif not isinstance(self._items[-1][0], PushResync):
            self._append(PushResync(), 0)

    async def get(self) -> Push:
        """The next push; when all are taken and the connection has ended, raises why."""
        while not self._items:
            if self._end is not None:
                raise self._end()
            self._filled.clear()
            await self._filled.wait()
        push, size = self._items.popleft()
        self._bytes -= size
        self._room.set()
        return push

    def __len__(self) -> int:
        return len(self._items)

    def hurry(self) -> None:
        """A request is under way: a writer that waits shall wait no more."""
        self._room.set()

    def end(self, reason: Callable[[], ParlourError]) -> None:
        """Nothing more will come; `reason` makes the error that says why."""
        self._end = reason
        self._filled.set()

    @property
    def _full(self) -> bool:
        return len(self._items) >= MAX_PUSHES or self._bytes >= MAX_PUSH_BYTES

    def _append(self, push: Push, size: int) -> None:
        self._items.append((push, size))
        self._bytes += size
        self._filled.set()

    async def _wait_for_room(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience):
                while self._full and not self._busy():
                    self._room.clear()
                    await self._room.wait()
