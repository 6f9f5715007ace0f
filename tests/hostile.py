"""A hostile server: it holds the keys of a real one, and alters what that says and hears.

It ends the TLS of clients with the real server's key, as an operator could, and passes each frame
on, decoded, through what a test has put in its place. What it has no word for goes on as it came.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, WebSocketException

from parlour.errors import DecodeError
from parlour.server import Server
from parlour.server.certificates import load_tls
from parlour.wire.frames import Frame, decode_body, decode_frame, encode_frame
from parlour.wire.groups import Handled
from parlour.wire.kinds import OPERATIONS, PUSHES, Kind
from parlour.wire.limits import MAX_FRAME
from parlour.wire.push import PushEntry
from parlour.wire.server import Nothing
from parlour.wire.streams import CaughtUp, Entry, LiveStarted, Page

_SILENT = logging.Logger("hostile", logging.CRITICAL + 1)
_SOCKET: dict[str, Any] = {
    "max_size": MAX_FRAME,
    "compression": None,
    "ping_interval": None,
    "logger": _SILENT,
}


class HostileServer:
    """Stands before a real server; `server` may be exchanged for another one with its data.

    The hooks are called with the device that asks, or is told.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.shown_to: dict[bytes, Server] = {}
        """Devices that are shown another server."""
        self.asked: list[tuple[bytes, Kind, Struct]] = []
        """Every request, as it came."""
        self.under_way = 0
        """Requests that have no answer yet."""
        self._problems: list[Exception] = []
        self._lines: set[_Line] = set()
        self.be_honest()

    def be_honest(self) -> None:
        """Alter nothing from now on."""
        self.request: Callable[[bytes, Kind, Any], Struct] = lambda device, kind, body: body
        """What reaches the real server."""
        self.answer: Callable[[bytes, Kind, Any, Any], Struct] = (
            lambda device, kind, asked, answer: answer
        )
        """What comes back."""
        self.deliver: Callable[[Entry, bytes], list[Entry]] = lambda entry, device: [entry]
        """What a device is shown in the place of an entry, wherever that stands."""
        self.page: Callable[[list[Entry], bytes], list[Entry]] = lambda entries, device: entries
        """In which order."""

    @asynccontextmanager
    async def running(self, port: int) -> AsyncIterator[HostileServer]:
        """Listen where clients look for the real server."""
        server = self.server
        context = load_tls(server.config, now=server.core.clock() // 1000).context()
        async with serve(self._serve, "127.0.0.1", port, ssl=context, **_SOCKET):
            yield self
        # What a test has put in its place must not fail in silence.
        for problem in self._problems:
            raise problem

    def serves(self, device: bytes) -> bool:
        """Whether a device is connected to the server that it is to be shown."""
        wanted = self.shown_to.get(device, self.server)
        return any(line.device == device and line.server is wanted for line in self._lines)

    def cut(self) -> None:
        """Cut every connection now."""
        for line in self._lines:
            line.client.transport.abort()

    def push(self, device: bytes, kind: Kind, body: Struct) -> None:
        """Tell a device something that the real server has not said."""
        for line in self._lines:
            if line.device == device:
                line.queue.put_nowait(encode_frame(kind, 0, body))

    async def _serve(self, client: ServerConnection) -> None:
        assert client.request is not None
        bearer = client.request.headers.get("Authorization", "")
        try:
            device = b""
            if bearer:
                grant = await self.server.core.sessions.authenticate(bearer.split()[1])
                device = grant.device_id
            server = self.shown_to.get(device, self.server)
            uri = f"wss://127.0.0.1:{server.port}{client.request.path}"
            headers = {"Authorization": bearer} if bearer else None
            options: dict[str, Any] = {
                "ssl": _any_server(),
                "additional_headers": headers,
                "proxy": None,
            }
            async with connect(uri, **options, **_SOCKET) as there:
                line = _Line(self, device, client, there, server)
                self._lines.add(line)
                try:
                    await line.run()
                finally:
                    self._lines.discard(line)
        except (OSError, WebSocketException):
            client.transport.abort()
        except Exception as problem:
            self._problems.append(problem)
            client.transport.abort()

    def shown(self, entries: list[Entry], device: bytes) -> list[Entry]:
        """What a device is shown in the place of these."""
        return self.page([each for one in entries for each in self.deliver(one, device)], device)


class _Line:
    """One connection, with both of its halves."""

    def __init__(
        self,
        hostile: HostileServer,
        device: bytes,
        client: ServerConnection,
        there: ClientConnection,
        server: Server,
    ) -> None:
        self.device = device
        self.server = server
        self.client = client
        self.queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._hostile = hostile
        self._there = there
        self._asked: dict[int, tuple[Kind, Struct]] = {}

    async def run(self) -> None:
        """Pass on until either side is gone."""
        tasks = [asyncio.create_task(each()) for each in (self._up, self._down, self._out)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hostile.under_way -= len(self._asked)
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            self.client.transport.abort()
            for result in results:
                if isinstance(result, Exception):
                    raise result

    async def _up(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for data in self.client:
                assert isinstance(data, bytes)
                await self._there.send(self._of_client(decode_frame(data), data))

    def _of_client(self, frame: Frame, data: bytes) -> bytes:
        kind = Kind(frame.kind)
        try:
            body: Struct = decode_body(frame.body, OPERATIONS[kind].request)
        except DecodeError:
            # From a member that is hostile, too: the server shall judge it.
            body = Nothing()
        self._hostile.asked.append((self.device, kind, body))
        self._asked[frame.request_id] = kind, body
        self._hostile.under_way += 1
        altered = self._hostile.request(self.device, kind, body)
        return data if altered is body else encode_frame(kind, frame.request_id, altered)

    async def _down(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for data in self._there:
                assert isinstance(data, bytes)
                for each in self._of_server(decode_frame(data), data):
                    self.queue.put_nowait(each)

    def _of_server(self, frame: Frame, data: bytes) -> list[bytes]:
        if frame.request_id:
            kind, asked = self._asked.pop(frame.request_id)
            self._hostile.under_way -= 1
            if frame.kind != Kind.OK:
                return [data]
            answer: Struct = decode_body(frame.body, OPERATIONS[kind].response)
            altered = self._hostile.answer(self.device, kind, asked, self._shown(answer))
            if altered is answer:
                return [data]
            return [encode_frame(frame.kind, frame.request_id, altered)]
        if frame.kind != Kind.PUSH_ENTRY:
            return [data]
        push = decode_body(frame.body, PUSHES[Kind.PUSH_ENTRY])
        assert isinstance(push, PushEntry)
        entries = self._hostile.shown([push.entry], self.device)
        if entries == [push.entry]:
            return [data]
        return [encode_frame(frame.kind, 0, replace(push, entry=each)) for each in entries]

    def _shown(self, answer: Struct) -> Struct:
        if isinstance(answer, Page | CaughtUp | LiveStarted):
            entries = self._hostile.shown(answer.entries, self.device)
            return answer if entries == answer.entries else replace(answer, entries=entries)
        if isinstance(answer, Handled):
            winners = self._hostile.shown(answer.winners, self.device)
            return answer if winners == answer.winners else replace(answer, winners=winners)
        return answer

    async def _out(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self.client.send(await self.queue.get())


def _any_server() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
