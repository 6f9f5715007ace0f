"""Processes of a benchmark of groups: the server's, and those in which members live.

A host runs many members in one process: real machines, driven by the client's engine and link over
the client's connections, with stores in memory. It is told what to do over a pipe, and answers with
times of the monotonic clock, which is the same in all processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import cProfile
import functools
import gc
import multiprocessing
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any, Final

from benchmarks.groups_world import SERVER, BenchDevice
from parlour.client import connection
from parlour.client.account import Account, Tickets
from parlour.client.connection import LIVE_PATH, Connection
from parlour.client.engine import Engine
from parlour.client.keys import SessionToken
from parlour.client.link import Link
from parlour.client.pushes import Push
from parlour.client.workers import run
from parlour.conversation import content as contents
from parlour.conversation.changes import Change, Message, MessageState, Namespace, PutMessage
from parlour.conversation.contact import Contact
from parlour.conversation.content import Text
from parlour.conversation.groups.records import GroupState
from parlour.conversation.groups.sharing import SharedGroups
from parlour.conversation.machine import Machine
from parlour.conversation.requests import Request, ServerRequest
from parlour.roster.genesis import Kind
from parlour.server import process
from parlour.server.config import Config
from parlour.server.process import Server
from parlour.wire.groups import Handled
from parlour.wire.push import PushEntry

Role = multiprocessing.get_context("fork")
# Sockets that are opened at a time: each handshake of TLS takes both sides some milliseconds.
OPENING: Final = 32
TICK: Final = 0.05
# Seconds for the answer to a heartbeat.
PATIENCE: Final = 1_200


# --- One member --------------------------------------------------------------------------


class Watch:
    """When what happened at a member, in nanoseconds: under the names of what is waited for."""

    def __init__(self) -> None:
        self.times: dict[str, int] = {}

    def note(self, what: str) -> None:
        """The first time counts."""
        self.times.setdefault(what, time.monotonic_ns())


class WatchedStore:
    """A store in memory. What it was given counts as written."""

    def __init__(self, device: BenchDevice, watch: Watch) -> None:
        self.machine: Machine | None = None
        self._inner = device.store
        self._watch = watch
        self._epochs: dict[bytes, tuple[int, GroupState]] = {}

    async def apply(self, changes: Sequence[Change]) -> list[Message]:
        """See `engine.Store.apply`."""
        new = self._inner.apply(list(changes))
        for change in changes:
            if isinstance(change, PutMessage) and change.undelivered:
                new.append(change.message)
                if change.message.state is MessageState.RECEIVED:
                    self._say(change.message)
        self._look()
        return new

    def _say(self, message: Message) -> None:
        said = contents.decode(message.content)
        if isinstance(said, Text):
            self._watch.note(said.text)

    def _look(self) -> None:
        """Whether a group has moved."""
        for group, chat in self.machine._memory.groups.chats.items() if self.machine else ():
            now = (chat.epoch, chat.record.state)
            if self._epochs.get(group) != now:
                self._epochs[group] = now
                self._watch.note(f"epoch {chat.epoch}")
                self._watch.note(chat.record.state.value)

    async def records(self) -> dict[Namespace, dict[bytes, bytes]]:
        """See `engine.Store.records`."""
        return self._inner.records

    async def message(self, key: tuple[bytes, bytes, bytes]) -> Message | None:
        """See `engine.Store.message`."""
        return self._inner.messages.get(key)

    async def entry_hash(self, stream: bytes, seq: int) -> bytes | None:
        """See `engine.Store.entry_hash`."""
        return self._inner.hashes.get((stream, seq))


class WatchedEngine(Engine):
    """Notes when the server has acknowledged a handshake."""

    watch: Watch

    async def _answer(
        self, request: Request, machine: Machine, connection: Any
    ) -> Callable[[int], None]:
        answer = await super()._answer(request, machine, connection)
        if isinstance(request, ServerRequest):
            body = answer.__closure__
            if any(isinstance(cell.cell_contents, Handled) for cell in body or ()):
                self.watch.times["handled"] = time.monotonic_ns()
        return answer


class WatchedConnection(Connection):
    """Notes when an entry with a part came: a Welcome. `gate` keeps pushes from the machine."""

    watch: Watch | None = None
    gate: asyncio.Event | None = None

    async def next_pushes(self) -> list[Push]:
        """See `Connection.next_pushes`."""
        pushes = await super().next_pushes()
        entries = [push.entry for push in pushes if isinstance(push, PushEntry)]
        if self.watch is not None:
            for entry in entries:
                self.watch.note("arrived")
                if entry.part is not None:
                    self.watch.note("welcomed")
        # What comes before a commit is not what is waited for.
        if self.gate is not None and entries:
            await self.gate.wait()
        return pushes


class Member:
    """A device that lives here."""

    def __init__(self, device: BenchDevice, port: int, pin: bytes) -> None:
        self.device = device
        self.gate: asyncio.Event | None = None
        self.watch = Watch()
        self.account = Account(SERVER, "127.0.0.1", port, (pin,), device.token, b"")
        self.engine: WatchedEngine | None = None
        self.link: Link | None = None
        self._running: asyncio.Task[None] | None = None
        self._store: WatchedStore | None = None

    def start(self, shared: SharedGroups | None) -> None:
        """Make the machine, and connect."""
        if self.engine is None:
            self._store = WatchedStore(self.device, self.watch)
            machine = Machine(
                self.device.store.records,
                int(time.time() * 1000),
                supply=self.device.supply,
                shared=shared,
            )
            self._store.machine = machine
            self.engine = WatchedEngine(self._store, machine)
            self.engine.watch = self.watch
        tickets = Tickets.load(self.device.store.records)
        store: Any = self._store
        self.link = Link(self.engine, store, self.account, tickets, connect=self._open)
        self._running = asyncio.create_task(self.link.run())

    async def _open(self, account: Account) -> Connection:
        token = SessionToken.from_text(account.token)
        opened = await WatchedConnection.open(account.address, LIVE_PATH, account.trust, token)
        if isinstance(opened, WatchedConnection):
            opened.watch, opened.gate = self.watch, self.gate
        return opened

    @property
    def machine(self) -> Machine:
        """Its machine."""
        if self.engine is None:
            raise RuntimeError("not started")
        return self.engine.machine

    async def online(self) -> None:
        """Until it is connected."""
        while self.link is None or not self.link.status.online:
            if self.link is not None and self.link.status.failure is not None:
                raise self.link.status.failure
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Disconnect."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
            self._running = None

    async def tick(self, now: int) -> None:
        """Do what is due."""
        engine = self.engine
        if engine is None or self._running is None:
            return
        due = engine.machine.next_timeout()
        if due is not None and due <= now:
            await engine.step(lambda machine, at: machine.handle_timeout(at))


# --- A process of members ------------------------------------------------------------------


class Host:
    """Carries out what comes over a pipe."""

    def __init__(self, members: list[Member], *, shares: bool) -> None:
        self.members = members
        self.shared = SharedGroups() if shares else None
        self._profiler = Profiler()
        self._gate = asyncio.Event()

    async def serve(self, pipe: Pipe) -> None:
        """Until it is told to stop."""
        self._gate.set()
        for member in self.members:
            member.gate = self._gate
        ticker = asyncio.create_task(self._keep_time())
        loop = asyncio.get_running_loop()
        try:
            while True:
                what, *arguments = await loop.run_in_executor(None, pipe.recv)
                if what == "stop":
                    break
                try:
                    answer = await getattr(self, what)(*arguments)
                except Exception as problem:
                    answer = RuntimeError(f"{what}: {type(problem).__name__}: {problem}")
                pipe.send(answer)
        finally:
            ticker.cancel()
            await asyncio.gather(*(member.stop() for member in self.members))

    async def _keep_time(self) -> None:
        """What each client does for itself with a timer."""
        while True:
            await asyncio.sleep(TICK if len(self.members) < OPENING else 1.0)
            now = int(time.time() * 1000)
            for number, member in enumerate(self.members):
                with contextlib.suppress(Exception):
                    await member.tick(now)
                if number % 50 == 0:
                    await asyncio.sleep(0)

    async def connect(self, numbers: Sequence[int]) -> None:
        """Bring members online."""
        room = asyncio.Semaphore(OPENING)

        async def one(member: Member) -> None:
            async with room:
                member.start(self.shared)
                await member.online()

        await asyncio.gather(*(one(self.members[number]) for number in numbers))

    async def hold(self) -> None:
        """Let what comes wait at the sockets, as if each member had a machine of its own."""
        self._gate.clear()
        await self.forget("arrived")

    async def release(self) -> None:
        """Let members take what has come."""
        self._gate.set()

    async def quiet(self) -> None:
        """What stands ready is not searched for garbage while it is measured."""
        gc.collect()
        gc.freeze()

    async def disconnect(self) -> None:
        """Take everybody offline."""
        await asyncio.gather(*(member.stop() for member in self.members))

    async def do(self, number: int, method: str, *arguments: Any) -> tuple[int, Any]:
        """Let a member do something; when it began, and what came of it."""
        member = self.members[number]
        if member.engine is None:
            raise RuntimeError("not started")

        def act(machine: Machine, now: int) -> Any:
            return getattr(machine, method)(*arguments, now=now)

        began = time.monotonic_ns()
        return began, await member.engine.step(act)

    async def create(self, name: str, accounts: list[bytes], suite: int) -> tuple[int, bytes]:
        """Let the first member found a group; when it began, and its id."""
        engine = self.members[0].engine
        if engine is None:
            raise RuntimeError("not started")
        began = time.monotonic_ns()
        return began, await engine.step(
            lambda machine, now: machine.create_group(Kind.GROUP, name, accounts, now, suite=suite)
        )

    async def when(self, number: int, what: str, seconds: float) -> int:
        """When it happened at one member."""
        watch, ends = self.members[number].watch, time.monotonic() + seconds
        while what not in watch.times:
            if time.monotonic() > ends:
                raise RuntimeError(f"not {what!r}: {sorted(watch.times)}")
            await asyncio.sleep(0.005)
        return watch.times[what]

    async def watch(self, what: str, seconds: float, but: int = 0) -> list[int]:
        """When it happened at each member, all but the last `but`; raises if it does not."""
        ends = time.monotonic() + seconds
        members = self.members[: len(self.members) - but]
        while missing := [each for each in members if what not in each.watch.times]:
            if time.monotonic() > ends:
                states = [
                    (each.device.name, chat.record.state.value, chat.epoch, len(chat.waiting))
                    for each in missing[:3]
                    for chat in each.machine._memory.groups.chats.values()
                ]
                raise RuntimeError(f"{len(missing)} without {what!r}: {states}")
            await asyncio.sleep(0.02)
        return [each.watch.times[what] for each in members]

    async def forget(self, what: str) -> None:
        """Let it be waited for once more."""
        for member in self.members:
            member.watch.times.pop(what, None)

    async def state(self, number: int) -> tuple[int, int, int, dict[str, int]]:
        """Epoch, members and leaves of a member's group, and its counters."""
        machine = self.members[number].machine
        for chat in machine._memory.groups.chats.values():
            known = len(chat.accounts), len(chat.owners)
            return chat.epoch, *known, machine.counters
        return 0, 0, 0, machine.counters

    async def is_content(self, number: int) -> bool:
        """Whether nothing waits to be committed."""
        memory = self.members[number].machine._memory
        pending = any(chat.record.pending for chat in memory.groups.chats.values())
        return not (pending or memory.groups.intents or memory.outbox)

    async def leaf(self, number: int) -> int:
        """The leaf of a member."""
        member = self.members[number]
        for chat in member.machine._memory.groups.chats.values():
            return int(chat.leaf_of(member.machine.device_id) or 0)
        return 0

    async def profile(self, file: str) -> None:
        """Begin to profile, or end and write what was found."""
        self._profiler.toggle(file)

    async def cpu(self) -> float:
        """Seconds of CPU that this process has used."""
        return time.process_time()


def _share_contacts() -> None:
    """Contacts are values: decode each once for all members of this process."""
    decode = Contact.decode
    Contact.decode = functools.lru_cache(maxsize=None)(decode)  # type: ignore[method-assign]


def _be_patient() -> None:
    """Do not take a process that is busy with a thousand members for a line that is dead.

    Each of them would connect again, and all of them would begin anew, for ever.
    """
    connection.HEARTBEAT_TIMEOUT = PATIENCE  # type: ignore[misc]
    process._PING_SECONDS = PATIENCE  # type: ignore[misc]


def _host(pipe: Pipe, devices: list[BenchDevice], port: int, pin: bytes, shares: bool) -> None:
    _be_patient()
    if shares:
        _share_contacts()
    run(Host([Member(each, port, pin) for each in devices], shares=shares).serve(pipe))


class Profiler:
    """Profiles this process between two calls of `toggle`, which writes what it found."""

    def __init__(self) -> None:
        self._profile: cProfile.Profile | None = None

    def toggle(self, file: str) -> None:
        """Begin, or end and write a file."""
        if self._profile is None:
            self._profile = cProfile.Profile()
            self._profile.enable()
        else:
            self._profile.disable()
            self._profile.dump_stats(file)
            self._profile = None


def _serve(pipe: Pipe, folder: Path) -> None:
    config = Config(data=folder, host="127.0.0.1", port=0, name=SERVER, limits=1000.0)

    _be_patient()

    async def serve() -> None:
        async with Server(config, log_stream=sys.stderr) as server:
            pipe.send((server.port, server.pin))
            loop = asyncio.get_running_loop()
            profiler = Profiler()
            while (what := await loop.run_in_executor(None, pipe.recv)) != "stop":
                if what != "cpu":
                    profiler.toggle(what)
                pipe.send(time.process_time())

    run(serve())


# --- As seen from outside ------------------------------------------------------------------


@dataclass
class Remote:
    """A process that was started, and the pipe to it."""

    process: Any
    pipe: Pipe

    def ask(self, what: str, *arguments: Any) -> Any:
        """Let it do something; what it answers."""
        self.begin(what, *arguments)
        return self.end()

    def begin(self, what: str, *arguments: Any) -> None:
        """The first half of `ask`."""
        self.pipe.send((what, *arguments))

    def end(self) -> Any:
        """The second half."""
        answer = self.pipe.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def stop(self) -> None:
        """End it."""
        self.pipe.send(("stop",))
        self.process.join()


def start_host(devices: list[BenchDevice], port: int, pin: bytes, *, shares: bool) -> Remote:
    """A process for these members."""
    ours, theirs = Role.Pipe()
    process = Role.Process(target=_host, args=(theirs, devices, port, pin, shares))
    process.start()
    return Remote(process, ours)


@dataclass
class Served:
    """A server that runs."""

    process: Any
    pipe: Pipe
    port: int
    pin: bytes

    def cpu(self) -> float:
        """Seconds of CPU that it has used."""
        return self.ask("cpu")

    def ask(self, what: str) -> float:
        """The same; anything but "cpu" names a file, for which profiling begins or ends."""
        self.pipe.send(what)
        return float(self.pipe.recv())

    def stop(self) -> None:
        """End it."""
        self.pipe.send("stop")
        self.process.join()


def start_server(folder: Path) -> Served:
    """The server's process."""
    ours, theirs = Role.Pipe()
    process = Role.Process(target=_serve, args=(theirs, folder))
    process.start()
    port, pin = ours.recv()
    return Served(process, ours, port, pin)
