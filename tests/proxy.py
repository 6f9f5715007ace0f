"""A TCP proxy that does to connections what networks do: cuts, delays, and goes away."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PIECE = 4096


class Proxy:
    """Passes bytes on between clients and one server.

    `budget` is after how many bytes the next connections are cut, one for each; `delay` and
    `piece` slow every piece down.
    """

    def __init__(self, port: int) -> None:
        self.port = 0
        self.connections = 0
        self.budgets: list[int] = []
        self.delay = 0.0
        self.piece = PIECE
        self._target = port
        self._open: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator[Proxy]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.cut()
            await server.wait_closed()

    def cut(self) -> None:
        """Cut every connection now."""
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        budget = [self.budgets.pop(0) if self.budgets else 1 << 62]
        try:
            there = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, there[1]}
        tasks = [
            asyncio.create_task(self._pass_on(reader, there[1], budget)),
            asyncio.create_task(self._pass_on(there[0], writer, budget)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            for end in (writer, there[1]):
                end.transport.abort()
                self._open.discard(end)

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, budget: list[int]
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(self.piece):
                budget[0] -= len(data)
                if budget[0] < 0:
                    return
                if self.delay:
                    await asyncio.sleep(self.delay)
                writer.write(data)
                await writer.drain()
