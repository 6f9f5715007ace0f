"""The sockets through Starlette: who may open one, and the pump between it and a session.

A token is checked before the upgrade is accepted; who has none gets an HTTP error with the same
body as REST's.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from starlette.responses import Response
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from parlour.errors import Code
from parlour.server.caller import Caller
from parlour.server.core import Core
from parlour.server.faults import as_ours, error_body, http_status
from parlour.server.http.requests import address_of, bearer_token
from parlour.server.hub import CLOSE_POLICY
from parlour.server.limits import REFUSALS_PER_ADDRESS, SOCKETS_PER_ADDRESS
from parlour.server.sessions import Grant
from parlour.server.socket.session import LiveSession, LoginSession, SocketSession
from parlour.server.talk import LoginTalk
from parlour.wire.frames import encode_body

# Both legs of a login with the client's stretching between them, and some patience.
LOGIN_SECONDS: Final = 120.0
MEDIA_TYPE: Final = "application/msgpack"


class StarletteConnection:
    """Implements `connection.Connection`."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    async def send(self, data: bytes) -> None:
        """See `connection.Connection.send`."""
        await self._websocket.send_bytes(data)

    async def close(self, status: int) -> None:
        """See `connection.Connection.close`."""
        if self._websocket.application_state is WebSocketState.CONNECTED:
            with contextlib.suppress(RuntimeError, OSError, WebSocketDisconnect):
                await self._websocket.close(status)


def socket_routes(core: Core) -> list[WebSocketRoute]:
    """The routes of both sockets."""

    async def login(websocket: WebSocket) -> None:
        await _open_login(core, websocket)

    async def live(websocket: WebSocket) -> None:
        await _open_live(core, websocket)

    return [WebSocketRoute("/v1/login", login), WebSocketRoute("/v1/live", live)]


async def _open_login(core: Core, websocket: WebSocket) -> None:
    address = core.pseudonyms.of_address(address_of(websocket))
    try:
        _admit(core, address)
    except Exception as fault:  # whoever knocks gets an answer
        await _deny(core, websocket, fault)
        return
    await websocket.accept()
    caller = Caller(address, talk=LoginTalk(address))
    session = LoginSession(core, caller, StarletteConnection(websocket))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LOGIN_SECONDS):
            await _pump(websocket, session)


async def _open_live(core: Core, websocket: WebSocket) -> None:
    address = core.pseudonyms.of_address(address_of(websocket))
    with contextlib.ExitStack() as held:
        try:
            _admit(core, address)
            grant = await _authenticate(core, websocket, address)
            session = LiveSession(core, grant, address, StarletteConnection(websocket))
            held.enter_context(core.hub.opened(session))
        except Exception as fault:  # whoever knocks gets an answer
            await _deny(core, websocket, fault)
            return
        await websocket.accept()
        await _pump(websocket, session)


async def _authenticate(core: Core, websocket: WebSocket, address: str) -> Grant:
    try:
        return await core.sessions.authenticate(bearer_token(websocket))
    except Exception:
        core.limits.hit("refusals", REFUSALS_PER_ADDRESS, address)
        raise


def _admit(core: Core, address: str) -> None:
    core.check_open()
    core.limits.hit("sockets", SOCKETS_PER_ADDRESS, address)


async def _deny(core: Core, websocket: WebSocket, fault: Exception) -> None:
    ours = as_ours(fault, core.log, door="socket")
    response = Response(
        encode_body(error_body(ours)), status_code=http_status(ours), media_type=MEDIA_TYPE
    )
    await websocket.send_denial_response(response)


async def _pump(websocket: WebSocket, session: SocketSession) -> None:
    """Run the session and feed it, until either side ends."""
    running = asyncio.create_task(session.run())
    feeding = asyncio.create_task(_feed(websocket, session))
    try:
        await asyncio.wait((running, feeding), return_when=asyncio.FIRST_COMPLETED)
        if session.ended:
            await running
    finally:
        for task in (running, feeding):
            task.cancel()
        await asyncio.gather(running, feeding, return_exceptions=True)


async def _feed(websocket: WebSocket, session: SocketSession) -> None:
    """Hand every message over, until the peer is gone or the session has ended."""
    while True:
        message = await websocket.receive()
        if message["type"] != "websocket.receive":
            return
        data = message.get("bytes")
        if data is None:
            session.end(CLOSE_POLICY, Code.DECODE_MALFORMED)
        else:
            await session.receive(data)
