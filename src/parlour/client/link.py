"""The link to the server: connect, live, and connect again after a cut.

One task holds it for as long as the client is open. What only waiting can mend is tried again with
growing pauses; what a person has to decide (a wrong pin, a copied home, a login that was ended)
stops the link, and `failure` says why.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from parlour.client.account import Account, Tickets
from parlour.client.backoff import Backoff
from parlour.client.connection import LIVE_PATH, Connection
from parlour.client.engine import Engine
from parlour.client.keys import SessionToken
from parlour.client.pushes import Push
from parlour.client.store import LocalStore
from parlour.conversation.machine import Machine
from parlour.errors import (
    AccessError,
    Code,
    InternalError,
    ParlourError,
    SecurityStop,
    StorageError,
    error,
)
from parlour.primitives.random import Random, system_random
from parlour.wire.ids import ID_SIZE
from parlour.wire.kinds import Kind
from parlour.wire.push import PushDrain
from parlour.wire.server import Nothing, ServerInfo
from parlour.wire.streams import LiveStart, LiveStarted

R = TypeVar("R", bound=Struct)

_FINAL: Final = (SecurityStop, AccessError, InternalError)


@dataclass(slots=True)
class Status:
    """Whether the link is up, and what ended it for good."""

    online: bool = False
    failure: ParlourError | None = None
    last_error: ParlourError | None = None


class Link:
    """Keeps an engine connected."""

    def __init__(
        self,
        engine: Engine,
        store: LocalStore,
        account: Account,
        tickets: Tickets,
        *,
        random: Random = system_random,
        connect: Callable[[Account], Awaitable[Connection]] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.status = Status()
        self.changed = asyncio.Event()
        self.account = account
        self._engine = engine
        self._store = store
        self._tickets = tickets
        self._random = random
        self._backoff = Backoff(random=random)
        self._connect = connect or open_live
        self._connection: Connection | None = None
        self._monotonic = monotonic

    async def run(self) -> None:
        """Hold the link until it is cancelled, or stopped for good."""
        while self.status.failure is None:
            retry_after: int | None = None
            try:
                retry_after = await self._live()
            except _FINAL as failure:
                self.status.failure = failure
            except ParlourError as problem:
                self.status.last_error = problem
                retry_after = problem.retry_after
            finally:
                await self._down()
            if self.status.failure is None:
                await asyncio.sleep(self._backoff.next_delay(self._monotonic(), retry_after))

    async def _down(self) -> None:
        self.status.online = False
        self.changed.set()
        self._engine.changed.set()
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
        with contextlib.suppress(StorageError):
            await self._engine.detach()

    async def _live(self) -> int | None:
        """One connection, from opening to its end; how many ms the server asks to stay away."""
        connection = self._connection = await self._connect(self.account)
        await self._check_server(connection)
        started = await self._start(connection)
        self._engine.restarted.clear()
        await self._engine.attach(connection, lambda machine, now: machine.connected(started, now))
        self._backoff.connected(self._monotonic())
        self.status.online = True
        self.status.last_error = None
        self.changed.set()
        self._engine.changed.set()
        return await self._serve(connection)

    async def _check_server(self, connection: Connection) -> None:
        """Check the server's name, and take its next pin on, so that renewal locks nobody out."""
        info = await connection.ask(Kind.SERVER_INFO, Nothing(), ServerInfo)
        if info.name != self.account.server:
            raise error(Code.SERVER_NAME, info.name)
        if not self.account.pins:
            return
        shown = connection.channel_pin
        pins = (shown,) if info.next_pin in (None, shown) else (shown, info.next_pin)
        if pins != self.account.pins:
            self.account = replace(self.account, pins=pins)
            await self._store.apply([self.account.change()])

    async def _start(self, connection: Connection) -> LiveStarted:
        """Begin to receive, with the ticket that the last connection left."""
        following = self._tickets.next or self._random(ID_SIZE)
        self._tickets = Tickets(self._tickets.current, following)
        await self._store.apply(self._tickets.changes())
        start = LiveStart(
            ticket=self._tickets.current or None,
            next_ticket=following,
            positions=self._engine.machine.positions(),
        )
        started = await connection.ask(Kind.LIVE_START, start, LiveStarted)
        self._tickets = Tickets(following, b"")
        await self._store.apply(self._tickets.changes())
        return started

    async def _serve(self, connection: Connection) -> int | None:
        """Take pushes until the connection ends, or the engine had to start again."""
        watcher = asyncio.create_task(self._end_when_restarted(connection))
        try:
            while pushes := await connection.next_pushes():
                await self._engine.step(functools.partial(_take, pushes))
                if isinstance(pushes[-1], PushDrain):
                    return pushes[-1].retry_after
        finally:
            watcher.cancel()
        return None

    async def _end_when_restarted(self, connection: Connection) -> None:
        """A machine that was made again from the disk needs a connection from its beginning."""
        await self._engine.restarted.wait()
        await connection.close()

    async def ask(self, kind: Kind, body: Struct, response: type[R]) -> R:
        """Ask the server on the live connection; without one, say why there is none."""
        connection = self._connection
        if connection is None or not self.status.online:
            raise self.status.failure or self.status.last_error or error(Code.NETWORK_CLOSED)
        return await connection.ask(kind, body, response)


def _take(pushes: list[Push], machine: Machine, now: int) -> None:
    """All that has come meanwhile is one step: one transaction, not one for each."""
    for push in pushes:
        machine.pushed(push, now)


async def open_live(account: Account) -> Connection:
    """Open the live socket of an account's server."""
    if not account.token:
        raise error(Code.TOKEN_MISSING)
    token = SessionToken.from_text(account.token)
    return await Connection.open(account.address, LIVE_PATH, account.trust, token)
