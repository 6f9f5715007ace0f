"""One socket: frames in, answers and pushes out. Knows no framework.

Requests of one connection run side by side, a bounded number of them; each keeps its place until
its answer has been sent, so who does not read is not read from. They are begun in the order in
which they came, and an append reaches the store without waiting for anything: appends of one
connection keep their order.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from msgspec import Struct

from parlour.errors import Code, ParlourError, error
from parlour.server.caller import Caller
from parlour.server.core import Core
from parlour.server.faults import as_ours, error_body
from parlour.server.hub import CLOSE_POLICY, CLOSE_SLOW
from parlour.server.sessions import Grant
from parlour.server.socket.connection import Connection
from parlour.server.socket.outgoing import Outgoing, SlowReader
from parlour.wire.frames import Frame, decode_frame, encode_frame
from parlour.wire.kinds import OPERATIONS, Door, Kind

# Enough to pipeline appends into one commit; few enough to bound the answers that wait.
MAX_REQUESTS: Final = 32
# What a login needs is two answers; more is a stranger who plays.
MAX_LOGIN_REQUESTS: Final = 4
# After `end`, for what still waits to be sent.
FLUSH_SECONDS: Final = 2.0

LIVE_DOORS: Final = frozenset({Door.PUBLIC, Door.TOKEN, Door.LIVE})
LOGIN_DOORS: Final = frozenset({Door.PUBLIC, Door.LOGIN})


class SocketSession:
    """Either socket; `doors` says which operations it serves."""

    def __init__(
        self,
        core: Core,
        caller: Caller,
        connection: Connection,
        doors: frozenset[Door],
        *,
        max_requests: int,
    ) -> None:
        self._core = core
        self._caller = caller
        self._connection = connection
        self._doors = doors
        self._outgoing = Outgoing(connection)
        self._places = asyncio.Semaphore(max_requests)
        self._requests: set[asyncio.Task[None]] = set()
        self._status: int | None = None
        self._ending = asyncio.Event()

    async def receive(self, data: bytes) -> None:
        """Take one message in; returns when there is room for the next one.

        What is not a frame is answered with an error, and the connection ends.
        """
        if self._status is not None:
            return
        try:
            frame = decode_frame(data)
            if frame.request_id == 0:
                raise error(Code.DECODE_MALFORMED, "a request has an id above 0")
        except ParlourError as fault:
            self.end(CLOSE_POLICY, fault.code)
            return
        await self._places.acquire()
        task = asyncio.create_task(self._serve(frame))
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)

    async def run(self) -> None:
        """Send until the session ends, then close. The transport cancels it when it is gone."""
        sending = asyncio.create_task(self._outgoing.run())
        ending = asyncio.create_task(self._ending.wait())
        try:
            await asyncio.wait((sending, ending), return_when=asyncio.FIRST_COMPLETED)
            if ending.done():
                await asyncio.wait((sending,), timeout=FLUSH_SECONDS)
            status = self._status or CLOSE_POLICY
            if sending.done() and isinstance(sending.exception(), SlowReader):
                status = CLOSE_SLOW
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._connection.close(status)
        finally:
            await self._stop(sending, ending)

    def end(self, status: int, code: Code | None = None) -> None:
        """Send what waits, and an error without a request if one is given; then close."""
        if self._status is not None:
            return
        self._status = status
        if code is not None:
            body = error_body(error(code))
            self._outgoing.answer(encode_frame(Kind.ERROR, 0, body), lambda: None)
        self._outgoing.release()
        self._outgoing.end()
        self._ending.set()

    @property
    def ended(self) -> bool:
        """Whether the session takes nothing in any more."""
        return self._status is not None

    async def _serve(self, frame: Frame) -> None:
        kind, body = await self._answer(frame)
        self._outgoing.answer(encode_frame(kind, frame.request_id, body), self._places.release)
        if frame.kind == Kind.LIVE_START:
            self._outgoing.release()

    async def _answer(self, frame: Frame) -> tuple[Kind, Struct]:
        try:
            self._core.check_open()
            body = await self._core.dispatcher.answer(
                frame.kind, frame.body, self._caller, self._doors
            )
        except Exception as fault:  # every request gets an answer
            fields = {"kind": Kind(frame.kind).name} if frame.kind in OPERATIONS else {}
            ours = as_ours(fault, self._core.log, door="socket", **fields)
            return Kind.ERROR, error_body(ours)
        return Kind.OK, body

    async def _stop(self, *tasks: asyncio.Task[object]) -> None:
        """Stop sending.

        Requests under way are finished, because what an append has stored must still be pushed to
        others; their answers go nowhere.
        """
        self._status = self._status or CLOSE_POLICY
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class LiveSession(SocketSession):
    """The live socket of a device. Implements `caller.Subscriber`."""

    def __init__(self, core: Core, grant: Grant, address: str, connection: Connection) -> None:
        self.grant = grant
        caller = Caller(address, grant=grant, subscriber=self)
        super().__init__(core, caller, connection, LIVE_DOORS, max_requests=MAX_REQUESTS)

    def push(self, frame: bytes) -> None:
        """See `caller.Subscriber.push`."""
        if not self.ended:
            self._outgoing.push(frame)

    def hold(self) -> None:
        """See `caller.Subscriber.hold`."""
        self._outgoing.hold()

    async def _stop(self, *tasks: asyncio.Task[object]) -> None:
        # First ended, then forgotten: a LIVE_START that still runs must not connect it again.
        self._status = self._status or CLOSE_POLICY
        self._core.hub.disconnect(self)
        await super()._stop(*tasks)


class LoginSession(SocketSession):
    """The login socket of somebody not known yet."""

    def __init__(self, core: Core, caller: Caller, connection: Connection) -> None:
        super().__init__(core, caller, connection, LOGIN_DOORS, max_requests=MAX_LOGIN_REQUESTS)
