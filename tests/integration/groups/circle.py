"""People with a group on a real server, a hostile one before it, and time that a story skips."""

from __future__ import annotations

import asyncio
import functools
import shutil
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

from parlour.client import backoff
from parlour.client.client import Client
from parlour.client.engine import Engine, now_ms
from parlour.client.feed import Reader
from parlour.conversation.groups.chat import Chat
from parlour.conversation.groups.records import GroupState
from parlour.conversation.groups.view import GroupView
from parlour.server import Config, Server, process
from tests.hostile import HostileServer
from tests.town import PATIENCE, Town, restored, texts

T = TypeVar("T")
E = TypeVar("E")

# Seconds in which nobody has done anything: then what comes next is waited for.
_QUIET = 0.04
# Time is skipped in pieces of at most so many milliseconds.
_LONGEST = 600_000


class Clock:
    """Milliseconds since the epoch, for everybody; a story puts it forward."""

    def __init__(self) -> None:
        self.ahead = 0

    def __call__(self) -> int:
        return now_ms() + self.ahead


class Circle:
    """People who have a group, and are online at a server that a story makes hostile."""

    def __init__(
        self, town: Town, hostile: HostileServer, clock: Clock, stack: AsyncExitStack
    ) -> None:
        self._stack = stack
        self.town = town
        self.hostile = hostile
        self.clock = clock
        self.group = b""
        self.clients: dict[str, Client] = {}
        self.skipping = True
        """Whether time is put forward when nobody has anything to do."""
        self._laps = 0
        self._readers: dict[str, Reader] = {}
        self._heard: dict[str, list[object]] = {}

    # --- Coming and going ----------------------------------------------------------------

    @asynccontextmanager
    async def online(self, *names: str) -> AsyncIterator[list[Client]]:
        """These are online while the block runs."""
        async with AsyncExitStack() as stack:
            for name in names:
                client = await stack.enter_async_context(self.town.open(name))
                self.clients[name] = client
                self._readers[name] = client._engine.feed.open()
                stack.callback(self._gone, name)
            found = [self.clients[name] for name in names]
            for client in found:
                await client.caught_up()
                assert await client.ready()
            yield found

    def _gone(self, name: str) -> None:
        self.heard(name, object)
        del self.clients[name], self._readers[name]

    async def found(self, founder: str, *others: str) -> None:
        """Found a group; all others who are online come in. So early nobody renews any keys."""
        self.skipping = False
        founding = self.clients[founder].groups.create("circle", others, suite="mls")
        made = await self.during(founding)
        self.group = made.id
        await self.until(lambda: self.are_together(founder, *others))
        await self.say(founder, "welcome", to=others)
        self.skipping = True

    # --- The server ----------------------------------------------------------------------

    @asynccontextmanager
    async def stopped(self) -> AsyncIterator[Path]:
        """Stop the server for a block that does something to its data; then start it again."""
        config = self.hostile.server.config
        await self.hostile.server.stop()
        yield config.data
        self.hostile.server = await self._stack.enter_async_context(_server(config, self.clock))
        await self.until(self._are_back)

    @asynccontextmanager
    async def two_halves(self, folder: Path, *names: str) -> AsyncIterator[None]:
        """Show these people a copy of the server while the block runs."""
        async with self.stopped() as data:
            shutil.copytree(data, folder)
            restored(folder, openly=False)
        config = replace(self.hostile.server.config, data=folder)
        async with _server(config, self.clock) as copy:
            self.hostile.shown_to = {self.device(name): copy for name in names}
            self.hostile.cut()
            await self.until(self._are_back)
            yield
        self.hostile.shown_to = {}
        async with self.stopped() as data:
            restored(data, openly=False)

    def _are_back(self) -> bool:
        return all(
            client.online and self.hostile.serves(self.device(name))
            for name, client in self.clients.items()
        )

    # --- Time ----------------------------------------------------------------------------

    async def until(self, reached: Callable[[], bool]) -> None:
        """Let everybody go on, and time with them, until something is so."""
        ends = time.monotonic() + PATIENCE
        while not reached():
            assert time.monotonic() < ends, self.describe()
            seen = [each._engine.changed.count for each in self.clients.values()]
            await asyncio.sleep(_QUIET)
            now = [each._engine.changed.count for each in self.clients.values()]
            if seen == now and self.skipping and not (self.hostile.under_way or self._busy()):
                self.skip()

    async def during(self, doing: Coroutine[Any, Any, T]) -> T:
        """Let time pass while something is done that takes long."""
        task = asyncio.create_task(doing)
        await self.until(task.done)
        return await task

    def skip(self) -> None:
        """Put the clock to when somebody has something to do next."""
        now = self.clock()
        due = [each._engine.machine.next_timeout() for each in self.clients.values()]
        later = min((at for at in due if at is not None), default=now)
        self.clock.ahead += min(max(later - now, 0), _LONGEST)
        for client in self.clients.values():
            client._engine.changed.notify()

    def _busy(self) -> bool:
        return any(
            each._engine._requests or each._engine._drainer is not None
            for each in self.clients.values()
        )

    # --- Saying --------------------------------------------------------------------------

    async def say(self, name: str, text: str, to: tuple[str, ...] = ()) -> None:
        """Say something in the group, and wait until these have read it, each once."""
        await self.clients[name].send_to(self.group, text)
        for who in to:
            await self.reads(who, text)

    async def reads(self, name: str, text: str) -> None:
        """Wait until somebody has read something in the group, and only once."""
        changed, ends = self.clients[name]._engine.changed, time.monotonic() + PATIENCE
        while True:
            seen = changed.count
            found = (await self.said(name)).count(text)
            assert found < 2
            if found:
                return
            assert time.monotonic() < ends, self.describe()
            await self.until(lambda before=seen: changed.count != before)  # type: ignore[misc]

    async def said(self, name: str) -> list[str]:
        """What somebody has of what was said in the group, in its order."""
        await self.clients[name]._engine.current()
        return texts(await self.clients[name].history(f"#{self.group.hex()}"))

    # --- Looking -------------------------------------------------------------------------

    def heard(self, name: str, kind: type[E]) -> list[E]:
        """The events of a kind that somebody was told, in order."""
        heard = self._heard.setdefault(name, [])
        reader = self._readers.get(name)
        while reader is not None and (event := reader.take()) is not None:
            heard.append(event)
        return [each for each in heard if isinstance(each, kind)]

    def has(self, name: str, kind: type[object]) -> Callable[[], bool]:
        """Whether somebody was told such a thing, to wait for."""
        return lambda: bool(self.heard(name, kind))

    def view(self, name: str) -> GroupView:
        """The group as somebody sees it."""
        return self.clients[name].groups.get(self.group)

    def chat(self, name: str) -> Chat:
        """What somebody's machine keeps of the group."""
        return self.clients[name]._engine.machine._memory.groups.chats[self.group]

    def device(self, name: str) -> bytes:
        """The id of somebody's device."""
        return self.clients[name]._engine.machine.device_id

    def account(self, name: str) -> bytes:
        """The id of somebody's account."""
        return self.clients[name].account_id

    def are_together(self, *names: str) -> bool:
        """Whether these, and nobody else, are in one epoch and follow."""
        accounts = {self.account(name) for name in names}
        stands = []
        for name in names:
            if not self.clients[name]._engine.machine.has_group(self.group):
                return False
            view = self.view(name)
            if view.state is not GroupState.ACTIVE:
                return False
            tag = self.chat(name).record.tags[-1].tag
            stands.append((view.generation, view.epoch, tag))
            if {each.account_id for each in view.members} != accounts:
                return False
        return len(set(stands)) == 1

    def describe(self) -> str:
        """Where everybody stands."""
        lines = ["not reached:"]
        for name, client in self.clients.items():
            lines.extend(f"  {name}: {event}" for event in self.heard(name, object)[-20:])
            if not client._engine.machine.has_group(self.group):
                continue
            record = self.chat(name).record
            trouble = record.trouble
            members = [each.account_id.hex()[:4] for each in self.view(name).members]
            place = f"{record.generation}.{self.chat(name).epoch} after {record.followed_seq}"
            lines.append(f"{name} {record.state} in {place} with {members}, {trouble}")
            lines.append(f"  {client.counters}")
        return "\n".join(lines)

    async def goes_on(self, *names: str) -> None:
        """These find together, and each reads what each says."""
        await self.until(lambda: self.are_together(*names))
        self._laps += 1
        for name in names:
            others = tuple(each for each in names if each != name)
            await self.say(name, f"{name} goes on, {self._laps}", to=others)


@asynccontextmanager
async def circle(town: Town) -> AsyncIterator[Circle]:
    """A server that runs behind a hostile one."""
    clock = Clock()
    config = replace(town.config, port=0)
    load = functools.partial(Engine.load, clock=clock)
    with (
        patch.object(Engine, "load", load),
        patch.object(backoff, "FIRST_DELAY", 0.02),
        patch.object(backoff, "MAX_DELAY", 0.05),
        # Who is sent away by a server that stops is back at once.
        patch.object(process, "_MAX_RETRY_MS", 0),
    ):
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(_server(config, clock))
            hostile = await stack.enter_async_context(HostileServer(server).running(town.port))
            yield Circle(town, hostile, clock, stack)


def _server(config: Config, clock: Clock) -> Server:
    return Server(config, clock=clock, log_stream=StringIO())
