"""The server: the product's core over a database in memory, with faults at its edges."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import json
import random
import sqlite3
from collections import Counter
from collections.abc import Callable
from typing import Final

from parlour.errors import ParlourError
from parlour.login import OpaqueServer, generate_setup
from parlour.server.core import Core
from parlour.server.faults import as_ours
from parlour.server.identity import ServerIdentity
from parlour.server.limits import SOCKETS_PER_ADDRESS
from parlour.server.logs import Log
from parlour.server.socket.session import LiveSession
from parlour.server.store.sqlite import SqliteStore
from parlour.server.sweeper import sweep_all
from parlour.testing.randomness import seeded
from parlour.testing.simulation.disk import (
    InlineDatabase,
    InlineReaders,
    InlineWriter,
    NoLock,
    fill,
    server_database,
)
from parlour.testing.simulation.process import Process
from parlour.testing.simulation.wire import Line, Look, Pair, ServerSocket, unchanged
from parlour.wire.ids import ID_SIZE

NAME: Final = "test.example"
# Milliseconds until a commit is on disk.
_COMMIT: Final = (0, 0, 0, 1, 5)


@functools.cache
def opaque_server() -> OpaqueServer:
    """Nobody logs in by password here: its secrets are nobody's, and the same in all runs."""
    return OpaqueServer(generate_setup(seeded("setup")), bytes(32))


class SimulatedServer:
    """One server: its disk, and the process that runs while it is up."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], int],
        image: sqlite3.Connection,
        seed: str,
        effects: Counter[str],
    ) -> None:
        self.connection = server_database(image)
        self.clock = clock
        self.log = io.StringIO()
        self.on_commit: Callable[[], None] = lambda: None
        self.looks: Callable[[bytes, Pair], Look] = lambda device_id, pair: unchanged
        """What a faulty server makes of the frames to a device."""
        self._loop = loop
        self._effects = effects
        self._seed = seed
        self._random = seeded(f"{seed} server")
        self._delays = random.Random(f"{seed} commits")
        self._starts = 0
        self._opened = 0
        self.pairs: list[Pair] = []
        self.readers: InlineReaders
        self.core: Core
        self.process: Process
        self.start()

    # --- Life ----------------------------------------------------------------------------

    @property
    def up(self) -> bool:
        """Whether it runs."""
        return self.process.alive

    def start(self) -> None:
        """Start the process on what is on disk."""
        self._starts += 1
        process = self.process = Process(f"server {self._starts}", self._loop, self._effects)
        process.on_death = self._cut_all
        writer = InlineWriter(
            self._loop,
            self.connection,
            process,
            lambda: self._delays.choice(_COMMIT) / 1000,
        )
        writer.on_commit = self._committed
        self.readers = InlineReaders(self._loop, self.connection, process)
        meta = dict(self.connection.execute("SELECT key, value FROM meta").fetchall())
        store = SqliteStore(
            InlineDatabase(writer, self.readers), NoLock(), NAME, bytes(meta["incarnation"])
        )
        identity = ServerIdentity(NAME, bytes(32), None, "closed")
        log = Log(self.log, self.clock)
        self.core = Core(
            store, opaque_server(), identity, log, clock=self.clock, random=self._random
        )

    def _committed(self) -> None:
        self.on_commit()

    def _cut_all(self) -> None:
        pairs, self.pairs = self.pairs, []
        for pair in pairs:
            pair.cut()

    def stop(self) -> None:
        """Kill it."""
        self.process.kill()

    # --- Disk ----------------------------------------------------------------------------

    def backup(self) -> sqlite3.Connection:
        """A copy of what is on disk."""
        return server_database(self.connection)

    def restore(self, image: sqlite3.Connection, *, honest: bool = True) -> None:
        """Put a backup back, as an operator does: under another incarnation, without tickets.

        A liar says nothing of it.
        """
        self.stop()
        self.connection = server_database(image)
        if honest:
            self.connection.execute(
                "UPDATE meta SET value = ? WHERE key = 'incarnation'", (self._random(ID_SIZE),)
            )
        self.connection.execute("UPDATE devices SET ticket = NULL")
        self.start()

    def fill(self, *, full: bool) -> None:
        """Make the disk full, or make room."""
        fill(self.connection, full=full)

    def go_stale(self, image: sqlite3.Connection | None) -> None:
        """Answer from an older state, or from the present one."""
        self.readers.stale = image

    async def sweep(self) -> None:
        """What the sweeper does every minute, while the server is up; it may die of it."""
        if self.up:
            await asyncio.wait([self.process.spawn(self._sweep())])

    async def _sweep(self) -> None:
        with contextlib.suppress(ParlourError):
            await sweep_all(self.core.store, self.clock())

    # --- Connections ---------------------------------------------------------------------

    async def accept(self, line: Line, client: Process, device_id: bytes, token: str) -> Pair:
        """Open a live socket; raises what the server refuses it with."""
        self._opened += 1
        seed = f"{self._seed} {client.name} {self._opened}"
        pair = Pair(self._loop, line, client, self.process, seed)
        pair.look = self.looks(device_id, pair)
        opened: asyncio.Future[None] = self._loop.create_future()
        serving = self.process.spawn(self._serve(pair, token, opened))
        serving.add_done_callback(lambda task: _settle(task, opened))
        await opened
        return pair

    async def _serve(self, pair: Pair, token: str, opened: asyncio.Future[None]) -> None:
        core = self.core
        with contextlib.ExitStack() as held:
            try:
                core.check_open()
                core.limits.hit("sockets", SOCKETS_PER_ADDRESS, pair.client.process.name)
                grant = await core.sessions.authenticate(token)
                session = LiveSession(core, grant, pair.client.process.name, ServerSocket(pair))
                held.enter_context(core.hub.opened(session))
            except Exception as fault:  # whoever knocks gets an answer
                if not opened.done():
                    opened.set_exception(as_ours(fault, core.log, door="socket"))
                return
            self.pairs.append(pair)
            held.callback(self._forget, pair)
            if not opened.done():
                opened.set_result(None)
            await _pump(pair, session)

    def _forget(self, pair: Pair) -> None:
        if pair in self.pairs:
            self.pairs.remove(pair)

    def bugs(self) -> list[str]:
        """What the server logged of faults of its own."""
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [json.dumps(line) for line in lines if line["level"] == "error"]


def _settle(task: asyncio.Task[None], opened: asyncio.Future[None]) -> None:
    """The server died before it answered."""
    if not opened.done():
        opened.set_exception(ConnectionError())
    if not task.cancelled():
        task.exception()


async def _pump(pair: Pair, session: LiveSession) -> None:
    """Run the session and feed it, until either side ends."""
    running = asyncio.create_task(session.run())
    feeding = asyncio.create_task(_feed(pair, session))
    try:
        await asyncio.wait((running, feeding), return_when=asyncio.FIRST_COMPLETED)
        if session.ended:
            await running
    finally:
        for task in (running, feeding):
            task.cancel()
        await asyncio.gather(running, feeding, return_exceptions=True)
        pair.server.broken = True


async def _feed(pair: Pair, session: LiveSession) -> None:
    while (frame := await pair.server.next(pair.loop)) is not None:
        pair.note(frame)
        await session.receive(frame)
