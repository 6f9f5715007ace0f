"""The network: one line for each device, with delays, cuts, holes and slow readers.

A connection is what TCP and WebSocket make of the worst network: frames arrive in order and once,
or the connection ends. Only a server may hand over what it sends in another order (`Sent`). What
went with a connection may have arrived before its end, or not: requests, answers and pushes are
lost in that way. Between connections there is no order. In place of sockets there are
`ClientSocket` and `ServerSocket`; frames, requests and sessions are the product's.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close

from parlour.client.connection import HEARTBEAT_INTERVAL, HEARTBEAT_TIMEOUT
from parlour.testing.simulation.process import Process
from parlour.wire.frames import decode_frame

# Milliseconds that a frame takes on a good line, and on a bad one.
QUICK: Final = (1, 40)
TARDY: Final = (200, 8_000)
_INTERNAL_ERROR: Final = 1011
# How many of the last frames of a connection that ends arrive.
_ARRIVED: Final = 0.5
# Seconds between two looks whether a device takes something in again.
_SLOW: Final = 20
# Seconds between two frames: of what is due at one moment, a loop keeps no order.
_APART: Final = 1e-5


@dataclass(frozen=True, slots=True)
class Sent:
    """A frame that leaves the server.

    With a `lane` it keeps its order with what has the same one, and with what has none; others may
    overtake it while it is `late`, by so many milliseconds. `by` is the fault that does it.
    """

    frame: bytes
    lane: bytes | None = None
    late: int = 0
    by: str = ""


Look = Callable[[bytes], list[Sent]]
"""What becomes of one frame of the server: itself, nothing, or others."""


def unchanged(frame: bytes) -> list[Sent]:
    """What becomes of a frame of a server without faults."""
    return [Sent(frame)]


@dataclass(slots=True)
class Line:
    """How well a device reaches the server.

    `up` is false where nothing goes out and that is known at once; in a `hole` frames vanish. With
    `loss`, so large a share of frames ends the connection that carries it. With `slow` set, the
    device takes in nothing.
    """

    up: bool = True
    hole: bool = False
    loss: float = 0.0
    delay: tuple[int, int] = QUICK
    slow: bool = False

    def heal(self) -> None:
        """All is well."""
        self.up, self.hole, self.loss, self.delay, self.slow = True, False, 0.0, QUICK, False


class _End:
    """One end of a connection."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.inbox: deque[bytes] = deque()
        self.closed: Close | None = None
        self.broken = False
        self.sent: Close | None = None
        self.waiter: asyncio.Future[None] | None = None
        self.last_at = 0.0
        """When the last of all that is on its way arrives."""
        self.lanes: dict[bytes, float] = {}
        """When the last of each lane arrives, and (`before`) the last of those that have none."""
        self.before = 0.0

    @property
    def ended(self) -> bool:
        return self.broken or self.closed is not None

    def wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    async def next(self, loop: asyncio.AbstractEventLoop) -> bytes | None:
        """The next frame; None at the end."""
        while not self.inbox:
            if self.ended:
                return None
            self.waiter = loop.create_future()
            await self.waiter
        self.process.step()
        return self.inbox.popleft()


class Pair:
    """One connection, from its opening to its end."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        line: Line,
        client: Process,
        server: Process,
        seed: str,
    ) -> None:
        self.loop = loop
        self.line = line
        self.client = _End(client)
        self.server = _End(server)
        self.random = random.Random(seed)
        self.look: Look = unchanged
        """What a faulty server makes of its own frames."""
        self.asked: dict[int, int] = {}
        """The kinds of requests that were not answered yet, by their numbers."""
        self._dying = False

    def note(self, frame: bytes) -> None:
        """Remember what a request asks for."""
        head = decode_frame(frame)
        self.asked[head.request_id] = head.kind

    @property
    def effects(self) -> Counter[str]:
        """See `World.effects`."""
        return self.client.process.effects

    def transmit(self, receiver: _End, sent: Sent) -> None:
        """Let a frame arrive, some time, or let it be the end."""
        if self.line.loss and self.random.random() < self.line.loss:
            self.effects["lose"] += 1
            # Whether it arrived before the end, nobody can tell.
            if self.random.random() < _ARRIVED:
                receiver.inbox.append(sent.frame)
                receiver.wake()
            self.cut()
            return
        self.effects["delay"] += self.line.delay == TARDY
        at = self.loop.time() + (self.random.randint(*self.line.delay) + sent.late) / 1000
        self.loop.call_at(self._in_turn(receiver, sent, at), self._arrive, receiver, sent.frame)

    def _in_turn(self, receiver: _End, sent: Sent, at: float) -> float:
        """When a frame arrives that would do so at that time: after what it may not overtake."""
        if sent.lane is None:
            at = receiver.before = max(at, receiver.last_at + _APART)
        else:
            earlier = max(receiver.before, receiver.lanes.get(sent.lane, 0.0))
            at = receiver.lanes[sent.lane] = max(at, earlier + _APART)
            self.effects[sent.by] += at < receiver.last_at
        receiver.last_at = max(at, receiver.last_at)
        return at

    def _arrive(self, receiver: _End, frame: bytes) -> None:
        if self.line.hole:
            self._die_slowly()
        elif not receiver.broken and receiver.process.alive:
            receiver.inbox.append(frame)
            receiver.wake()

    def _die_slowly(self) -> None:
        """Pings are not answered: after a while both sides give up."""
        if not self._dying:
            self._dying = True
            self.effects["hole"] += 1
            self.loop.call_later(HEARTBEAT_INTERVAL + HEARTBEAT_TIMEOUT, self._time_out)

    def _time_out(self) -> None:
        self.client.sent = Close(_INTERNAL_ERROR, "")
        self.cut()

    def notice_hole(self) -> None:
        """The line fell into a hole: heartbeats find out, whether or not anything is said."""
        self._die_slowly()

    def cut(self) -> None:
        """End it for both, without a word."""
        for end in (self.client, self.server):
            end.broken = True
            end.wake()

    def close(self, receiver: _End, close: Close) -> None:
        """End it with a word, after what is on its way."""
        at = max(self.loop.time() + self.line.delay[0] / 1000, receiver.last_at) + _APART
        self.loop.call_at(at, self._close, receiver, close)

    def _close(self, receiver: _End, close: Close) -> None:
        if receiver.closed is None:
            receiver.closed = close
            receiver.wake()


class ClientSocket:
    """In place of a WebSocket of the client's library."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair

    async def send(self, data: bytes) -> None:
        """Send a frame, or raise as the library does at the end."""
        pair = self._pair
        pair.client.process.step()
        if pair.client.ended:
            raise self._ended()
        pair.transmit(pair.server, Sent(data))

    async def recv(self) -> bytes:
        """The next frame."""
        frame = await self._pair.client.next(self._pair.loop)
        if frame is None:
            raise self._ended()
        return frame

    async def close(self, code: int = 1000) -> None:
        """Close this end, and tell the other."""
        self._pair.client.broken = True
        self._pair.client.wake()
        self._pair.close(self._pair.server, Close(code, ""))

    def _ended(self) -> ConnectionClosedError:
        end = self._pair.client
        if end.closed is not None:
            return ConnectionClosedError(end.closed, end.closed, True)
        return ConnectionClosedError(None, end.sent)


class ServerSocket:
    """In place of the framework's WebSocket. Implements `server.socket.connection.Connection`."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self._reason = ""

    async def send(self, data: bytes) -> None:
        """Send a frame; waits while the device takes nothing in."""
        pair = self.pair
        pair.server.process.step()
        pair.effects["slow"] += pair.line.slow
        while pair.line.slow and not pair.server.ended:  # noqa: ASYNC110 - a line has no loop
            await asyncio.sleep(_SLOW)
        if pair.server.ended:
            raise ConnectionError
        for sent in pair.look(data):
            pair.transmit(pair.client, sent)

    async def close(self, status: int) -> None:
        """Close, after what was sent."""
        self.pair.close(self.pair.client, Close(status, self._reason))
        self.pair.server.broken = True
        self.pair.server.wake()
