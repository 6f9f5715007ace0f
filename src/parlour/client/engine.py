"""The pump between the machine, the store and a connection.

Every mutation of the machine happens under one lock and is followed by its drain: changes are
written first, then requests leave, then events are handed on. When a write fails, the machine is
dropped and made again from what was written, because its memory is then ahead of the disk.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from msgspec import Struct

from parlour.client.store import LocalStore
from parlour.conversation.events import Event, MessageReceived
from parlour.conversation.machine import Machine
from parlour.conversation.requests import LoadHash, LoadMessage, Request, ServerRequest
from parlour.errors import Code, ParlourError, StorageError, error
from parlour.primitives.random import Random, system_random
from parlour.wire.kinds import Kind

T = TypeVar("T")

# Events that nobody fetched. Messages are not among them: those wait in the store.
MAX_EVENTS: Final = 1000


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class Requester(Protocol):
    """A connection, as far as the engine needs one."""

    async def request(self, kind: Kind, body: Struct) -> Struct:
        """Ask the server."""
        ...


class Engine:
    """Drives one machine."""

    def __init__(
        self,
        store: LocalStore,
        machine: Machine,
        *,
        clock: Callable[[], int] = now_ms,
        random: Random = system_random,
    ) -> None:
        self.machine = machine
        self.clock = clock
        self.events: deque[Event] = deque(maxlen=MAX_EVENTS)
        self.changed = asyncio.Event()
        self.timer = asyncio.Event()
        self.restarted = asyncio.Event()
        self._store = store
        self._random = random
        self._lock = asyncio.Lock()
        self._connection: Requester | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def load(
        cls,
        store: LocalStore,
        *,
        clock: Callable[[], int] = now_ms,
        random: Random = system_random,
    ) -> Engine:
        """Make the machine from what the store holds."""
        machine = Machine(await store.records(), clock(), random=random)
        return cls(store, machine, clock=clock, random=random)

    # --- Mutations -----------------------------------------------------------------------

    async def step(self, mutate: Callable[[Machine, int], T]) -> T:
        """Change the machine and drain it. What `mutate` raises, it has raised after the drain."""
        async with self._lock:
            try:
                return mutate(self.machine, self.clock())
            finally:
                await self._drain()

    async def attach(self, connection: Requester, mutate: Callable[[Machine, int], None]) -> None:
        """Use a connection from now on; `mutate` takes its first page."""
        async with self._lock:
            self._connection = connection
            try:
                mutate(self.machine, self.clock())
            finally:
                await self._drain()

    async def detach(self) -> None:
        """The connection is gone."""
        async with self._lock:
            self._connection = None
            self.machine.disconnected()
            await self._drain()

    async def _drain(self) -> None:
        requests = self.machine.outgoing(self.clock())
        changes = self.machine.changes()
        if changes:
            try:
                await self._store.apply(changes)
            except StorageError:
                await self._start_again()
                raise
        for request in requests:
            self._launch(request)
        while (event := self.machine.next_event()) is not None:
            if not isinstance(event, MessageReceived):
                self.events.append(event)
            self.changed.set()
        if requests or changes:
            self.timer.set()

    async def _start_again(self) -> None:
        """Go on from what the disk holds."""
        self.machine = Machine(await self._store.records(), self.clock(), random=self._random)
        self._connection = None
        self.restarted.set()
        self.changed.set()

    # --- Requests ------------------------------------------------------------------------

    def _launch(self, request: Request) -> None:
        task = asyncio.create_task(self._perform(request, self.machine, self._connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _perform(
        self, request: Request, machine: Machine, connection: Requester | None
    ) -> None:
        """Carry out one request, and hand the answer to the machine that asked."""
        try:
            answer = await self._answer(request, machine, connection)
        except ParlourError as failure:
            answer = functools.partial(machine.failed, request, failure)
        try:
            await self.step(lambda current, now: answer(now) if current is machine else None)
        except StorageError:
            # The machine was made again from the disk; whoever connects next goes on from there.
            return

    async def _answer(
        self, request: Request, machine: Machine, connection: Requester | None
    ) -> Callable[[int], None]:
        match request:
            case LoadMessage(conversation=conversation, message_id=message_id):
                message = await self._store.message((conversation, machine.device_id, message_id))
                return lambda now: machine.loaded(message_id, message, now)
            case LoadHash(stream=stream, seq=seq):
                digest = await self._store.entry_hash(stream, seq)
                return lambda now: machine.loaded_hash(stream, seq, digest)
            case ServerRequest(kind=kind, body=body):
                if connection is None:
                    raise error(Code.NETWORK_CLOSED)
                response = await connection.request(kind, body)
                return lambda now: machine.answered(request, response, now)
        raise error(Code.INTERNAL_BUG, "a request of no kind")

    async def close(self) -> None:
        """Stop what is under way."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
