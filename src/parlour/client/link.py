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
from parlour.client.engine import Engine, again
from parlour.client.feed import Connected, Disconnected
from parlour.client.keys import SessionToken
from parlour.client.pushes import Push
from parlour.client.signals import Signal
from parlour.client.store import LocalStore
from parlour.conversation.machine import Machine
from parlour.errors import (
    AccessError,
    Code,
    InternalError,
    NotFoundError,
    ParlourError,
    SecurityStop,
    StorageError,
    error,
)
from parlour.primitives.random import Random, system_random
from parlour.wire.frames import WIRE_VERSION
from parlour.wire.ids import ID_SIZE
from parlour.wire.kinds import Kind
from parlour.wire.push import PushDrain
from parlour.wire.server import Nothing, ServerInfo
from parlour.wire.streams import LiveStart, LiveStarted

R = TypeVar("R", bound=Struct)

# What a person, or we, must do something about first. The server's word suffices for the first
# two: it could as well not answer.
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
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.status = Status()
        self.changed = Signal()
        self.account = account
        self._engine = engine
        self._store = store
        self._tickets = tickets
        self._random = random
        self._backoff = Backoff(random=random)
        self._connect = connect or open_live
        self._connection: Connection | None = None
        self._monotonic = monotonic
        self._sleep = sleep
        self._told: ParlourError | None = None

    async def run(self) -> None:
        """Hold the link until it is cancelled, or stopped for good."""
        while self.status.failure is None:
            try:
                retry_after = await self._live()
                problem = error(Code.SERVER_DRAINING)
            except ParlourError as failure:
                problem, retry_after = failure, failure.retry_after
            except Exception as bug:  # nobody would see this task die
                problem, retry_after = InternalError(Code.INTERNAL_BUG, type(bug).__name__), None
                problem.__cause__ = bug
            finally:
                await self._down()
            self._ended(problem)
            if self.status.failure is None:
                await self._sleep(self._backoff.next_delay(self._monotonic(), retry_after))

    async def remember(self, **fields: object) -> None:
        """Change fields of the account's record, here and on disk."""
        self.account = replace(self.account, **fields)
        await self._store.apply([self.account.change()])

    def stop(self, failure: ParlourError) -> None:
        """End the link for good, for a reason that is known on this side."""
        self._ended(failure, final=True)

    def _ended(self, problem: ParlourError, *, final: bool = False) -> None:
        """Say why there is no connection: whenever it went, and when the reason is a new one."""
        if self.status.failure is not None:
            return
        final = final or isinstance(problem, _FINAL)
        self.status.last_error = problem
        if final:
            self.status.failure = problem
        if final or self._told is None or self._told.code is not problem.code:
            self._engine.feed.put(Disconnected(problem.code, final))
        self._told = problem
        self._notify()

    def _notify(self) -> None:
        self.changed.notify()
        self._engine.changed.notify()
        self._engine.feed.wake()

    async def _down(self) -> None:
        self.status.online = False
        connection, self._connection = self._connection, None
        try:
            if connection is not None:
                await connection.close()
        finally:
            # If the disk fails here, the machine is dropped, and the next one begins offline.
            with contextlib.suppress(ParlourError):
                await self._engine.detach()

    async def _live(self) -> int | None:
        """One connection, from opening to its end; how many ms the server asks to stay away."""
        if isinstance(self._told, StorageError):
            # A disk that takes nothing is tried first: no server is called for that.
            await self._keep(self._tickets)
        connection = self._connection = await self._connect(self.account)
        await self._check_server(connection)
        drops = self._engine.dropped.count
        machine = await self._engine.current()
        started = await self._start(connection, machine)
        await self._engine.attach(
            machine, connection, lambda current, now: current.connected(started, now)
        )
        self._backoff.connected(self._monotonic())
        self.status.online = True
        self.status.last_error = self._told = None
        self._engine.feed.put(Connected())
        self._notify()
        return await self._serve(connection, drops)

    async def _check_server(self, connection: Connection) -> None:
        """Check the server's name, and take its next pin on, so that renewal locks nobody out."""
        info = await connection.ask(Kind.SERVER_INFO, Nothing(), ServerInfo)
        if info.name != self.account.server:
            raise error(Code.SERVER_NAME)
        if WIRE_VERSION not in info.wire_versions:
            raise error(Code.SERVER_VERSION)
        if not self.account.pins:
            return
        shown = connection.channel_pin
        pins = (shown,) if info.next_pin in (None, shown) else (shown, info.next_pin)
        if pins != self.account.pins:
            await self.remember(pins=pins)

    async def _start(self, connection: Connection, machine: Machine) -> LiveStarted:
        """Begin to receive, with the ticket that the last connection left.

        The next ticket is on disk before the server sees it, and stays the same until the server
        has answered: whenever this device dies, it can show one of the two that are good. A copy of
        its home can't, as soon as either has connected twice.
        """
        following = self._tickets.next or self._random(ID_SIZE)
        if following != self._tickets.next:
            await self._keep(Tickets(self._tickets.current, following))
        start = LiveStart(
            ticket=self._tickets.current or None,
            next_ticket=following,
            positions=machine.positions(),
        )
        try:
            started = await connection.ask(Kind.LIVE_START, start, LiveStarted)
        except NotFoundError as unknown:
            if unknown.code is not Code.STREAM_UNKNOWN:
                raise
            # Its data is from a backup that is older than one of our conversations.
            start = replace(start, positions=[])
            started = await connection.ask(Kind.LIVE_START, start, LiveStarted)
        await self._keep(Tickets(following, b""))
        return started

    async def _keep(self, tickets: Tickets) -> None:
        """Write tickets; a cancelled write may have happened, and is read from the disk next."""
        await self._store.apply(tickets.changes())
        self._tickets = tickets

    async def _serve(self, connection: Connection, drops: int) -> int | None:
        """Take pushes until the connection ends, or the machine was dropped."""
        watcher = asyncio.create_task(self._end_when_dropped(connection, drops))
        try:
            while pushes := await connection.next_pushes():
                await self._engine.step(functools.partial(_take, pushes))
                if isinstance(pushes[-1], PushDrain):
                    return pushes[-1].retry_after
        finally:
            watcher.cancel()
        raise again(self._engine.trouble or error(Code.NETWORK_CLOSED))

    async def _end_when_dropped(self, connection: Connection, drops: int) -> None:
        """A machine that is made again from the disk needs a connection from its beginning."""
        await self._engine.dropped.wait(drops)
        await connection.close()

    async def ask(self, kind: Kind, body: Struct, response: type[R]) -> R:
        """Ask the server on the live connection; without one, say why there is none."""
        connection = self._connection
        if connection is None or not self.status.online:
            raise again(self.status.failure or self.status.last_error or error(Code.NETWORK_CLOSED))
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
