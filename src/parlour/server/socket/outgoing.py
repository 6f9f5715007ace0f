"""What waits to be sent on one connection: bounded, and never a burden to others.

Answers are never dropped; there are few, because a request keeps its place until its answer has
been sent. Pushes are dropped when too many wait, and once the queue is empty the device is told to
catch up. A connection that takes nothing in for long is closed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from parlour.server.socket.connection import Connection
from parlour.wire.frames import encode_frame
from parlour.wire.kinds import Kind
from parlour.wire.push import PushResync

MAX_PUSHES: Final = 1024
MAX_PUSH_BYTES: Final = 4 << 20
# A phone in a lift comes back within this; a socket that is dead does not.
SEND_SECONDS: Final = 20.0

_RESYNC: Final = encode_frame(Kind.PUSH_RESYNC, 0, PushResync())


class SlowReader(Exception):
    """The peer took nothing in for `SEND_SECONDS`."""


class Outgoing:
    """The queue of one connection, emptied by `run`."""

    def __init__(self, connection: Connection, *, send_seconds: float = SEND_SECONDS) -> None:
        self._connection = connection
        self._send_seconds = send_seconds
        self._queue: deque[tuple[bytes, Callable[[], None] | None]] = deque()
        self._held: deque[bytes] | None = None
        self._pushes = 0
        self._push_bytes = 0
        self._dropped = False
        self._ended = False
        self._wake = asyncio.Event()

    def answer(self, frame: bytes, sent: Callable[[], None]) -> None:
        """Queue an answer; `sent` is called when it has left."""
        self._put(frame, sent)

    def push(self, frame: bytes) -> None:
        """Queue a push, or drop it when too much waits already."""
        if (
            self._dropped
            or self._pushes >= MAX_PUSHES
            or self._push_bytes + len(frame) > MAX_PUSH_BYTES
        ):
            # Those that come after a dropped one would be gaps: the device catches up anyway.
            self._dropped = True
            self._wake.set()
            return
        self._pushes += 1
        self._push_bytes += len(frame)
        if self._held is not None:
            self._held.append(frame)
        else:
            self._put(frame, None)

    def hold(self) -> None:
        """Keep pushes back from now on."""
        if self._held is None:
            self._held = deque()

    def release(self) -> None:
        """Send the pushes that were kept back, after what is queued now."""
        held, self._held = self._held, None
        for frame in held or ():
            self._put(frame, None)
        self._wake.set()

    def end(self) -> None:
        """Let `run` return once everything that waits has been sent."""
        self._ended = True
        self._wake.set()

    async def run(self) -> None:
        """Send until `end`; raises `SlowReader`, or what the transport raises."""
        while True:
            while self._queue:
                await self._send_next()
            if self._dropped and self._held is None:
                self._dropped = False
                self._put(_RESYNC, None)
                continue
            if self._ended:
                return
            self._wake.clear()
            await self._wake.wait()

    async def _send_next(self) -> None:
        frame, sent = self._queue.popleft()
        try:
            async with asyncio.timeout(self._send_seconds):
                await self._connection.send(frame)
        except TimeoutError:
            raise SlowReader from None
        if sent is not None:
            sent()
        else:
            self._pushes = max(0, self._pushes - 1)
            self._push_bytes = max(0, self._push_bytes - len(frame))

    def _put(self, frame: bytes, sent: Callable[[], None] | None) -> None:
        self._queue.append((frame, sent))
        self._wake.set()
