"""The pump between the machine, the store and a connection.

A step changes the machine at once, and is over when that is on disk. One task drains: it takes
what has changed since it last looked, writes all of it in one transaction, and only then lets the
requests leave and the events be seen. What changes while it writes is written with the next batch,
so a burst costs a few commits, not one for each step; and the disk always holds what the machine
was at some moment.

A step that is cancelled before it begins has done nothing; afterwards, it is written all the same.

When a write fails, or a step fails half-way for a bug, the machine is ahead of the disk or nobody
knows where. It is dropped with everything that it still wanted, and made again from the disk before
the next step. Answers to requests of the old one are ignored.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias, TypeVar

from msgspec import Struct

from parlour.client.feed import Feed
from parlour.client.signals import Signal
from parlour.client.warnings import Warned, Warnings
from parlour.conversation import content as contents
from parlour.conversation.changes import Change, Message, Namespace
from parlour.conversation.events import (
    Event,
    GroupRefused,
    MessageReceived,
    MessageSent,
    MessageUnsent,
    SendingBlocked,
)
from parlour.conversation.key_packages import SUPPLY
from parlour.conversation.machine import Machine
from parlour.conversation.requests import LoadHash, LoadMessage, Request, ServerRequest
from parlour.errors import Code, DecodeError, InternalError, ParlourError, StorageError, error
from parlour.primitives.random import Random, system_random
from parlour.wire.kinds import Kind

T = TypeVar("T")
MessageKey: TypeAlias = tuple[bytes, bytes, bytes]


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class Requester(Protocol):
    """A connection, as far as the engine needs one."""

    async def request(self, kind: Kind, body: Struct) -> Struct:
        """Ask the server."""
        ...


class Store(Protocol):
    """A local store, as far as the engine needs one; see `store.LocalStore`."""

    async def apply(self, changes: Sequence[Change]) -> list[Message]:
        """Write all or nothing, durably; return what is to be handed out since then."""
        ...

    async def records(self) -> dict[Namespace, dict[bytes, bytes]]:
        """Everything that a machine starts from."""
        ...

    async def message(self, key: tuple[bytes, bytes, bytes]) -> Message | None:
        """A message by its key."""
        ...

    async def entry_hash(self, stream: bytes, seq: int) -> bytes | None:
        """The hash of an entry."""
        ...


class Engine:
    """Drives one machine. `trouble` is why the machine was dropped last, if it was."""

    def __init__(
        self,
        store: Store,
        machine: Machine,
        *,
        clock: Callable[[], int] = now_ms,
        random: Random = system_random,
        warnings: Warnings = Warnings(),  # noqa: B008 - frozen
    ) -> None:
        self.machine = machine
        self.clock = clock
        self.feed = Feed()
        self.changed = Signal()
        self.dropped = Signal()
        self.trouble: ParlourError | None = None
        self.blocked: dict[bytes, Code] = {}
        self.unsent: dict[bytes, Code] = {}
        """Why something that was said in a conversation will not be sent, until somebody looks."""
        self.refusals: dict[tuple[bytes, str], GroupRefused] = {}
        """What was wanted of groups and can't be, by group and wish, until somebody looks."""
        self.warnings = warnings
        """What a person has not heard of yet, as it is on disk."""
        self._told: list[Warned] = []
        self._store = store
        self._random = random
        self._connection: Requester | None = None
        self._requests: set[asyncio.Task[None]] = set()
        self._waiters: list[asyncio.Future[None]] = []
        self._drainer: asyncio.Task[None] | None = None
        self._stale = False
        self._loading = asyncio.Lock()

    @classmethod
    async def load(
        cls,
        store: Store,
        *,
        clock: Callable[[], int] = now_ms,
        random: Random = system_random,
        supply: Mapping[int, int] = SUPPLY,
    ) -> Engine:
        """Make the machine from what the store holds. `supply` as for `Machine`.

        Raises `STORE_VERSION` for what another version of this program has written otherwise.
        """
        records = await store.records()
        try:
            machine = Machine(records, clock(), random=random, supply=supply)
        except DecodeError as problem:
            raise StorageError(Code.STORE_VERSION, problem.detail) from problem
        return cls(store, machine, clock=clock, random=random, warnings=Warnings.load(records))

    # --- Steps ---------------------------------------------------------------------------

    async def step(self, mutate: Callable[[Machine, int], T]) -> T:
        """Change the machine; return once that is on disk, and what comes of it under way.

        What `mutate` raises is raised after that as well. Raises `StorageError` when it could not
        be written: then it did not happen.
        """
        while self._stale:
            await self._load_again()
        try:
            result = mutate(self.machine, self.clock())
        except ParlourError:
            await self._settled()
            raise
        except Exception as bug:
            raise self._drop(_as_bug(bug)) from bug
        await self._settled()
        return result

    async def attach(
        self, machine: Machine, connection: Requester, mutate: Callable[[Machine, int], None]
    ) -> None:
        """Use a connection from now on, which began where `machine` was; `mutate` takes its page.

        Raises `NETWORK_CLOSED` when the machine was made again meanwhile: the page may leave out
        what the new one has not seen.
        """

        def begin(current: Machine, now: int) -> None:
            if current is not machine:
                raise error(Code.NETWORK_CLOSED, "the local store failed meanwhile")
            self._connection = connection
            self.blocked.clear()
            mutate(current, now)

        await self.step(begin)

    async def detach(self) -> None:
        """The connection is gone."""

        def end(current: Machine, _now: int) -> None:
            self._connection = None
            current.disconnected()

        await self.step(end)

    async def current(self) -> Machine:
        """The machine, when it is exactly what the disk holds."""
        await self.step(lambda _machine, _now: None)
        return self.machine

    def unblock(self, conversation: bytes) -> None:
        """A person did something about what kept a conversation's messages here."""
        self.blocked.pop(conversation, None)

    def told(self, warning: Warned) -> None:
        """A program has shown a warning. It is gone with what is written next."""
        self._told.append(warning)

    # --- Drain ---------------------------------------------------------------------------

    def _settled(self) -> asyncio.Future[None]:
        """Done when what the machine has changed until now is on disk."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        if self._drainer is None:
            self._drainer = asyncio.create_task(self._drain())
        return waiter

    async def _drain(self) -> None:
        try:
            while self._waiters:
                waiters, self._waiters = self._waiters, []
                try:
                    await self._write_batch()
                except ParlourError as problem:
                    _tell(waiters, self._drop(problem))
                except Exception as bug:  # whatever it is, nobody may wait for ever
                    _tell(waiters, self._drop(_as_bug(bug)))
                else:
                    _tell(waiters, None)
        finally:
            self._drainer = None

    async def _write_batch(self) -> None:
        machine, connection = self.machine, self._connection
        requests = machine.outgoing(self.clock())
        changes = machine.changes()
        events = []
        while (event := machine.next_event()) is not None:
            events.append(event)
        told, self._told = self._told, []
        warnings = self.warnings.after(events, told)
        if warnings != self.warnings:
            changes.append(warnings.change())
        new = await self._store.apply(changes) if changes else []
        self.warnings = warnings
        self._show(events, new)
        if machine is self.machine and not self._stale:
            for request in requests:
                self._launch(request, machine, connection)
        self.changed.notify()

    def _show(self, events: list[Event], new: list[Message]) -> None:
        """Let events be seen. Of messages those that the store says are new: it knows them all.

        They come in its order: what a stranger had said before they were accepted has no event,
        and stands before what came after that.
        """
        unseen = {message.key: message for message in new}
        for event in events:
            match event:
                case MessageReceived(message=message):
                    if message.key not in unseen:
                        continue
                    self._show_before(message.key, unseen)
                    del unseen[message.key]
                case SendingBlocked(conversation=conversation, reason=reason):
                    self.blocked[conversation] = reason
                case GroupRefused(group=group, want=want):
                    self.refusals[group, want] = event
                case MessageUnsent(message=message, reason=reason):
                    self.blocked.pop(message.conversation, None)
                    self.unsent[message.conversation] = reason
                case MessageSent(message=message):
                    self.blocked.pop(message.conversation, None)
                case _:
                    pass
            self.feed.put(event)
        self._show_before(None, unseen)

    def _show_before(self, key: MessageKey | None, unseen: dict[MessageKey, Message]) -> None:
        """Show what the store hands out before that message, or all that is left."""
        while unseen and (first := next(iter(unseen))) != key:
            message = unseen.pop(first)
            self.feed.put(MessageReceived(message, contents.decode(message.content)))

    # --- Failures ------------------------------------------------------------------------

    def _drop(self, problem: ParlourError) -> ParlourError:
        """Trust this machine no more: its changes that are not written did not happen."""
        self._stale = True
        self.trouble = problem
        self._connection = None
        waiters, self._waiters = self._waiters, []
        _tell(waiters, problem)
        self.dropped.notify()
        self.changed.notify()
        return again(problem)

    async def _load_again(self) -> None:
        """Go on from what the disk holds. What is being written now comes before the reading."""
        async with self._loading:
            if self._stale:
                records = await self._store.records()
                try:
                    self.machine = Machine(records, self.clock(), random=self._random)
                except ParlourError:
                    raise
                except Exception as bug:
                    raise _as_bug(bug) from bug
                self._stale = False

    # --- Requests ------------------------------------------------------------------------

    def _launch(self, request: Request, machine: Machine, connection: Requester | None) -> None:
        task = asyncio.create_task(self._perform(request, machine, connection))
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)

    async def _perform(
        self, request: Request, machine: Machine, connection: Requester | None
    ) -> None:
        """Carry out one request, and hand the answer to the machine that asked."""
        try:
            answer = await self._answer(request, machine, connection)
        except ParlourError as failure:
            answer = functools.partial(machine.failed, request, failure)
        except Exception as bug:  # the machine must hear of every request
            answer = functools.partial(machine.failed, request, _as_bug(bug))
        if machine is not self.machine or self._stale:
            return
        # If it fails, the machine is dropped, and whoever connects next goes on from the disk.
        with contextlib.suppress(ParlourError):
            await self.step(lambda current, now: answer(now) if current is machine else None)

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
        """Give up requests that are under way, and finish what is being written."""
        for task in list(self._requests):
            task.cancel()
        await asyncio.gather(*self._requests, return_exceptions=True)
        if self._drainer is not None:
            await asyncio.wait([self._drainer])


def again(problem: ParlourError) -> ParlourError:
    """The same error anew: each is raised once only."""
    copy = type(problem)(problem.code, problem.detail)
    copy.retry_after = problem.retry_after
    copy.__cause__ = problem.__cause__
    return copy


def _as_bug(bug: Exception) -> ParlourError:
    failure = InternalError(Code.INTERNAL_BUG, type(bug).__name__)
    failure.__cause__ = bug
    return failure


def _tell(waiters: list[asyncio.Future[None]], problem: ParlourError | None) -> None:
    for waiter in waiters:
        if waiter.done():
            continue
        if problem is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(again(problem))
