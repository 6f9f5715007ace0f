"""One WebSocket to a server: requests with their answers, and what the server sends unasked.

Spec: RFC 6455 (WebSocket), `parlour.wire` for what is said over it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Final, Self, TypeVar, cast

from msgspec import Struct
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from parlour.client.address import Address
from parlour.client.failures import PROTOCOL_ERROR, closing_error, error_of_body, opening_error
from parlour.client.keys import SessionToken
from parlour.client.pushes import Push, PushQueue
from parlour.client.tls import Trust, client_context, peer_pin
from parlour.client.workers import run_slow
from parlour.errors import (
    Code,
    DecodeError,
    InternalError,
    LimitError,
    ParlourError,
    PeerError,
    SecurityStop,
    TransportError,
)
from parlour.wire.frames import Frame, decode_body, decode_frame, encode_frame
from parlour.wire.kinds import OPERATIONS, PUSHES, Kind
from parlour.wire.limits import MAX_FRAME
from parlour.wire.push import PushDrain
from parlour.wire.server import ErrorBody

LOGIN_PATH: Final = "/v1/login"
LIVE_PATH: Final = "/v1/live"

OPEN_TIMEOUT: Final = 20.0
DIAL_DELAY: Final = 0.25
REQUEST_TIMEOUT: Final = 30.0
CLOSE_TIMEOUT: Final = 5.0
# A dead network shows within a minute; phones keep their radio asleep in between.
HEARTBEAT_INTERVAL: Final = 25.0
HEARTBEAT_TIMEOUT: Final = 25.0
# Frames that lie between the socket and the reader.
MAX_READ_AHEAD: Final = 16
_MAX_REQUEST_ID: Final = 0xFFFF_FFFF
# Kinds of pushes; one that is not known here comes from a newer server and is passed over.
_PUSH_KINDS: Final = range(0x80, 0xC0)

R = TypeVar("R", bound=Struct)

# The library would log headers, the token among them.
# A logger outside the tree, which no configuration switches on.
_SILENT: Final = logging.Logger("parlour.client.websocket", logging.CRITICAL + 1)


class _Connect(connect):
    """Opens without following redirects: a token is for the server it was made for."""

    def __init__(self, address: Address, uri: str, **options: Any) -> None:
        able = isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop)
        if able and not address.is_literal:
            # Of a name's addresses, try those of both kinds at once (RFC 8305); uvloop can't. Not
            # where there is one: a race that is cancelled may lose its socket.
            options["happy_eyeballs_delay"] = DIAL_DELAY
        super().__init__(uri, **options)

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class _Refused(Exception):
    """The server refuses the connection as a whole."""

    def __init__(self, failure: ParlourError) -> None:
        super().__init__()
        self.failure = failure


class _Waiting:
    """A request that waits for its answer."""

    __slots__ = ("answer", "response")

    def __init__(self, response: type[Struct]) -> None:
        self.response = response
        self.answer: asyncio.Future[Struct] = asyncio.get_running_loop().create_future()


class Connection:
    """An open connection. Made by `open`, ended by `close`, or by `async with`.

    `channel_pin` is SHA-256 of the SubjectPublicKeyInfo of the key that the server has shown.
    """

    def __init__(self, socket: ClientConnection, channel_pin: bytes, *, timeout: float) -> None:
        self.channel_pin = channel_pin
        self._socket = socket
        self._timeout = timeout
        self._waiting: dict[int, _Waiting] = {}
        self._last_id = 0
        self._issued = 0
        self._pushes = PushQueue(lambda: self._closing or bool(self._waiting))
        self._failure: ParlourError | None = None
        self._closing = False
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def open(
        cls,
        address: Address,
        path: str,
        trust: Trust,
        token: SessionToken | None = None,
        *,
        timeout: float = REQUEST_TIMEOUT,
    ) -> Connection:
        """Connect. `timeout` is for each request, in seconds.

        Raises `SecurityStop` (`SERVER_PIN`) for a server that is not the trusted one, the error
        that a server gives for a token, and `TransportError` else.
        """
        context = await run_slow(client_context, trust)
        headers = {"Authorization": f"Bearer {token.text()}"} if token is not None else None
        try:
            socket = await _Connect(
                address,
                f"wss://{address}{path}",
                ssl=context,
                additional_headers=headers,
                user_agent_header=None,
                compression=None,
                proxy=None,
                open_timeout=OPEN_TIMEOUT,
                close_timeout=CLOSE_TIMEOUT,
                ping_interval=HEARTBEAT_INTERVAL,
                ping_timeout=HEARTBEAT_TIMEOUT,
                max_size=MAX_FRAME,
                max_queue=MAX_READ_AHEAD,
                logger=_SILENT,
            )
        except (OSError, WebSocketException) as failure:
            raise opening_error(failure) from failure
        pin = peer_pin(socket.transport.get_extra_info("ssl_object"))
        if pin is None:
            socket.transport.abort()
            raise SecurityStop(Code.SERVER_PIN, "the server's key can't be read")
        return cls(socket, pin, timeout=timeout)

    # --- Requests ------------------------------------------------------------------------

    async def request(self, kind: Kind, body: Struct) -> Struct:
        """Ask, and give back the answer of the type that `wire.kinds.OPERATIONS` names.

        Requests may be under way at once. Raises the server's error by its code (`retry_after` in
        milliseconds where it names a time), `NETWORK_TIMEOUT`, or why the connection ended.
        """
        operation = OPERATIONS[kind]
        if not isinstance(body, operation.request):
            raise InternalError(Code.INTERNAL_BUG, f"{operation.name} takes another body")
        self._check_open()
        return await self._send_and_wait(kind, body)

    async def _send_and_wait(self, kind: Kind, body: Struct) -> Struct:
        operation = OPERATIONS[kind]
        request_id = self._next_id()
        data = encode_frame(kind, request_id, body)
        if len(data) > MAX_FRAME:
            raise LimitError(Code.LIMIT_SIZE, operation.name)
        waiting = self._waiting[request_id] = _Waiting(operation.response)
        self._pushes.hurry()
        try:
            async with asyncio.timeout(self._timeout):
                await self._socket.send(data)
                return await waiting.answer
        except TimeoutError:
            raise TransportError(Code.NETWORK_TIMEOUT, operation.name) from None
        except ConnectionClosed:
            # The reader knows why, as soon as it has seen it too.
            await asyncio.wait([self._reader])
            raise self._reason() from None
        finally:
            del self._waiting[request_id]

    async def ask(self, kind: Kind, body: Struct, response: type[R]) -> R:
        """`request` with the type of the answer, which must be the operation's."""
        if OPERATIONS[kind].response is not response:
            raise InternalError(Code.INTERNAL_BUG, f"{kind.name} gives another answer")
        return cast(R, await self.request(kind, body))

    def _next_id(self) -> int:
        self._last_id = self._last_id % _MAX_REQUEST_ID + 1
        while self._last_id in self._waiting:
            self._last_id = self._last_id % _MAX_REQUEST_ID + 1
        self._issued = max(self._issued, self._last_id)
        return self._last_id

    # --- Pushes --------------------------------------------------------------------------

    async def next_push(self) -> Push:
        """The next push, in order. When none is left, raises why the connection ended."""
        return await self._pushes.get()

    async def next_pushes(self) -> list[Push]:
        """The next push with those that wait behind it, up to a drain; empty after `close`."""
        try:
            taken = [await self._pushes.get()]
        except ParlourError:
            if self._closing:
                return []
            raise
        while self._pushes and not isinstance(taken[-1], PushDrain):
            taken.append(await self._pushes.get())
        return taken

    async def pushes(self) -> AsyncIterator[Push]:
        """All pushes. Ends after `close`; else raises why the connection ended."""
        while True:
            try:
                push = await self._pushes.get()
            except ParlourError:
                if self._closing:
                    return
                raise
            yield push

    # --- The end -------------------------------------------------------------------------

    @property
    def open_(self) -> bool:
        """Whether requests may still be sent."""
        return self._failure is None and not self._closing

    async def close(self) -> None:
        """Close; what is under way fails with `NETWORK_CLOSED`. May be called again."""
        self._closing = True
        self._pushes.hurry()
        await self._socket.close()
        await asyncio.wait([self._reader])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"Connection(open={self.open_})"

    def _check_open(self) -> None:
        if not self.open_:
            raise self._reason()

    def _reason(self) -> ParlourError:
        """Why it ended: a new error each time, because each is raised on its own."""
        failure = self._failure
        if failure is None or self._closing:
            return TransportError(Code.NETWORK_CLOSED, "closed on this side")
        again = type(failure)(failure.code, failure.detail)
        again.retry_after = failure.retry_after
        return again

    # --- The reader ----------------------------------------------------------------------

    async def _read(self) -> None:
        """Take frames until the end, whatever it is, and tell everybody who waits."""
        try:
            while True:
                await self._take(await self._socket.recv())
        except ConnectionClosed as closed:
            self._end(closing_error(closed))
        except _Refused as refused:
            self._end(refused.failure)
            await self._socket.close()
        except PeerError as failure:
            self._end(PeerError(Code.SERVER_MISBEHAVED, failure.detail))
            await self._socket.close(PROTOCOL_ERROR)
        except Exception as failure:
            self._end(InternalError(Code.INTERNAL_BUG, type(failure).__name__))
            await self._socket.close(PROTOCOL_ERROR)
            raise

    def _end(self, failure: ParlourError) -> None:
        self._failure = failure
        for waiting in self._waiting.values():
            if not waiting.answer.done():
                waiting.answer.set_exception(self._reason())
        self._pushes.end(self._reason)

    async def _take(self, data: str | bytes) -> None:
        if isinstance(data, str):
            raise DecodeError(Code.DECODE_MALFORMED, "a text frame")
        frame = decode_frame(data)
        match frame.kind:
            case Kind.OK:
                self._answer(frame)
            case Kind.ERROR:
                self._refuse(frame)
            case kind if kind in _PUSH_KINDS:
                await self._push(frame, len(data))
            case _:
                raise DecodeError(Code.DECODE_MALFORMED, f"a frame of kind {frame.kind}")

    def _answer(self, frame: Frame) -> None:
        waiting = self._find(frame)
        if waiting is not None:
            waiting.answer.set_result(decode_body(frame.body, waiting.response))

    def _refuse(self, frame: Frame) -> None:
        failure = error_of_body(decode_body(frame.body, ErrorBody))
        if frame.request_id == 0:
            raise _Refused(failure)
        waiting = self._find(frame)
        if waiting is not None:
            waiting.answer.set_exception(failure)

    def _find(self, frame: Frame) -> _Waiting | None:
        """Who waits for it. None for an answer that came too late; one to nothing is an attack."""
        if not 0 < frame.request_id <= self._issued:
            raise DecodeError(Code.DECODE_MALFORMED, "an answer to nothing")
        waiting = self._waiting.get(frame.request_id)
        return None if waiting is None or waiting.answer.done() else waiting

    async def _push(self, frame: Frame, size: int) -> None:
        if frame.request_id != 0:
            raise DecodeError(Code.DECODE_MALFORMED, "a push with a request's number")
        try:
            kind = PUSHES[Kind(frame.kind)]
        except ValueError:
            return
        await self._pushes.put(cast(Push, decode_body(frame.body, kind)), size)
