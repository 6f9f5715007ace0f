"""A device: its disk, its line, its clock, and the process that runs while it is on.

Engine, link, connection, local store and machine are the product's. What is ours is the person in
front of it: who reads every message once, says yes to whoever asks, and does what the program says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from websockets.asyncio.client import ClientConnection

from parlour.client.account import Account, Tickets
from parlour.client.client import FAILED, PAGE, SHORTEST
from parlour.client.connection import OPEN_TIMEOUT, Connection
from parlour.client.engine import Engine
from parlour.client.failures import error_of_body
from parlour.client.feed import Reader
from parlour.client.link import Link
from parlour.client.store import LocalStore, messages
from parlour.client.warnings import Warned
from parlour.conversation import content as contents
from parlour.conversation.changes import Change, Message
from parlour.conversation.content import Text
from parlour.conversation.events import GroupJoined, MessageReceived, RequestReceived
from parlour.conversation.groups.chat import Chat
from parlour.conversation.groups.records import Acceptance
from parlour.conversation.machine import Machine
from parlour.conversation.policies import SUITE_1, XWING
from parlour.conversation.standing import Standing
from parlour.errors import Code, ParlourError, UsageError, error
from parlour.server.faults import error_body
from parlour.testing.randomness import seeded
from parlour.testing.simulation.disk import LocalDisk, fill
from parlour.testing.simulation.population import Kit, account_id
from parlour.testing.simulation.process import Process
from parlour.testing.simulation.wire import ClientSocket, Line
from parlour.wire.directory import DeviceListPage, LookUp
from parlour.wire.kinds import Kind

if TYPE_CHECKING:
    from parlour.testing.simulation.world import World

T = TypeVar("T")
# Key packages of each suite that the server has of a device: few, as making them takes time, and so
# that they run out.
_SUPPLY: Final[dict[int, int]] = {SUITE_1: 4, XWING: 2}
_PIN: Final = bytes(32)
_UNREADABLE: Final = (
    "SELECT conversation, sender_device, message_id, reason FROM message WHERE state = 'unreadable'"
)
_OWN: Final = (
    f"SELECT {messages._COLUMNS} FROM message WHERE sender_device = ? "  # noqa: S608
    "AND state IN ('queued', 'sent')"
)


class Node:
    """One device of one account. `label` is the account's name with the device's number."""

    def __init__(self, world: World, name: str, kit: Kit, disk: LocalDisk | None = None) -> None:
        self.world = world
        self.name = name
        self.kit = kit
        self.label = kit.label
        self.disk = disk or LocalDisk()
        self.line = Line()
        self.offset = 0
        """Milliseconds by which its clock is ahead."""
        self.on_list = True
        self.is_full = False
        self.connections = 0
        """How often it has connected."""
        self.process = Process(self.label, world.loop, world.effects)
        self.process.kill()
        self.engine: Engine
        self.link: Link
        self._starts = 0
        self._engine_is_there = False

    @classmethod
    def made(cls, world: World, name: str, kit: Kit, records: list[Change]) -> Node:
        """A new device with these records."""
        node = cls(world, name, kit)
        store = node.disk.open(Process("maker", world.loop))
        store._apply(tuple(records))
        return node

    # --- Life ----------------------------------------------------------------------------

    @property
    def device_id(self) -> bytes:
        """The device."""
        return self.kit.device_id

    @property
    def account_id(self) -> bytes:
        """Its account."""
        return account_id(self.name)

    def chats(self) -> dict[bytes, Chat]:
        """The groups that its machine knows, with their insides."""
        return self.engine.machine._memory.groups.chats

    @property
    def is_first(self) -> bool:
        """Whether its account began on it."""
        return self.label == f"{self.name}1"

    @property
    def on(self) -> bool:
        """Whether its process runs."""
        return self.process.alive

    @property
    def ready(self) -> bool:
        """Whether its process runs, and has read its disk."""
        return self.on and self._engine_is_there

    @property
    def online(self) -> bool:
        """Whether it is connected."""
        return self.ready and self.link.status.online

    @property
    def failure(self) -> ParlourError | None:
        """What ended its link for good."""
        return self.link.status.failure if self.ready else None

    def clock(self) -> int:
        """What its clock shows, in milliseconds."""
        return self.world.loop.now() + self.offset

    def start(self) -> None:
        """Start the process on what is on disk."""
        if self.on:
            return
        self._starts += 1
        self._engine_is_there = False
        # What it was told last, it may not have lived to show; the place stands in the history.
        rows = self.disk.connection.execute(_UNREADABLE).fetchall()
        self.world.oracle.heard[self.label].unreadable.update(
            ((bytes(row[0]), bytes(row[1]), bytes(row[2])), row[3]) for row in rows
        )
        self.process = Process(self.label, self.world.loop, self.world.effects)
        self.process.spawn(self._run(self.disk.open(self.process)))

    def kill(self) -> None:
        """Kill the process."""
        self.process.kill()
        self._engine_is_there = False

    async def _run(self, store: LocalStore) -> None:
        random = seeded(f"{self.world.seed} {self.label} {self._starts}")
        while True:
            try:
                self.engine = await Engine.load(
                    store, clock=self.clock, random=random, supply=_SUPPLY
                )
                records = await store.records()
                break
            except ParlourError:  # its disk has a fault for a while
                await asyncio.sleep(FAILED)
        self.link = Link(
            self.engine,
            store,
            Account.load(records),
            Tickets.load(records),
            random=random,
            connect=self._dial,
            monotonic=self.world.loop.time,
        )
        self._engine_is_there = True
        self.process.spawn(self._keep_time(self.engine))
        self.process.spawn(self._read(self.engine, store))
        await self.link.run()

    async def _dial(self, account: Account) -> Connection:
        self.process.step()
        if self.line.hole:
            await asyncio.sleep(OPEN_TIMEOUT)
            raise error(Code.NETWORK_TIMEOUT)
        server = self.world.server_of(self)
        await asyncio.sleep(0.01)
        self.world.effects["unplug"] += server.up and not self.line.up
        self.world.effects["fork"] += server is self.world.forked
        if not (self.line.up and server.up):
            raise error(Code.NETWORK_UNREACHABLE)
        try:
            pair = await server.accept(self.line, self.process, self.device_id, account.token)
        except ConnectionError:
            raise error(Code.NETWORK_UNREACHABLE) from None
        except ParlourError as refusal:
            raise error_of_body(error_body(refusal)) from None
        self.process.step()
        self.connections += 1
        return Connection(cast(ClientConnection, ClientSocket(pair)), _PIN, timeout=30.0)

    async def _keep_time(self, engine: Engine) -> None:
        """Call the machine when something is due."""
        while True:
            seen = engine.changed.count
            due = engine.machine.next_timeout()
            wait = None if due is None else max(SHORTEST, (due - self.clock()) / 1000)
            try:
                async with asyncio.timeout(wait):
                    await engine.changed.wait(seen)
                await asyncio.sleep(SHORTEST)
                continue
            except TimeoutError:
                pass
            try:
                await engine.step(lambda machine, now: machine.handle_timeout(now))
            except ParlourError:
                await asyncio.sleep(FAILED)

    # --- The person ----------------------------------------------------------------------

    async def _read(self, engine: Engine, store: LocalStore) -> None:
        """Read every message once, as a program does that shows them."""
        reader = engine.feed.open()
        handed: list[Message] = []
        early = {*engine.warnings.waiting}
        for warning in engine.warnings.waiting:
            self.world.oracle.event(self, warning)
            engine.told(warning)
        self._welcome(engine)
        while True:
            handed = await self._mark(store, handed)
            try:
                handed += await self._missed(reader, store)
            except ParlourError:
                await asyncio.sleep(FAILED)
                continue
            while not reader.behind and (event := reader.take()) is not None:
                if event in early:
                    early.discard(event)
                    continue
                self.world.oracle.event(self, event)
                if isinstance(event, Warned):
                    engine.told(event)
                if isinstance(event, MessageReceived):
                    self._take(event.message)
                    handed.append(event.message)
                elif isinstance(event, RequestReceived | GroupJoined):
                    self._welcome(engine)
            if not reader.behind and not handed:
                await reader.wait()

    async def _missed(self, reader: Reader, store: LocalStore) -> list[Message]:
        if not reader.behind:
            return []
        page = await store.undelivered(PAGE)
        reader.caught_up({message.key for message in page}, more=len(page) == PAGE)
        for message in page:
            self._take(message)
        return page

    def _take(self, message: Message) -> None:
        content = contents.decode(message.content)
        text = content.text if isinstance(content, Text) else repr(content)
        self.world.oracle.delivered(self, message, text)

    async def _mark(self, store: LocalStore, handed: list[Message]) -> list[Message]:
        if not handed:
            return []
        try:
            await store.mark_delivered(handed)
        except ParlourError:
            await asyncio.sleep(FAILED)
            return handed
        self.world.oracle.marked(self, handed)
        return []

    def _welcome(self, engine: Engine) -> None:
        """Say yes to whoever waits for it."""
        for contact in engine.machine.contacts.values():
            if contact.standing is Standing.REQUESTED:
                self.do(self._accept(Machine.accept_request, contact.account_id))
        for group in engine.machine.group_names:
            if engine.machine.group(group).acceptance is Acceptance.INVITED:
                self.do(self._accept(Machine.accept_group, group))

    async def _accept(self, yes: Callable[[Machine, bytes, int], None], whom: bytes) -> None:
        while True:
            try:
                await self.engine.step(lambda machine, now: yes(machine, whom, now))
                return
            except UsageError:
                return  # decided meanwhile
            except ParlourError:
                await asyncio.sleep(FAILED)

    # --- What it is told to do -----------------------------------------------------------

    def do(self, deed: Coroutine[Any, Any, object]) -> None:
        """Begin something in its process; what it is refused with is noted."""
        if not self.ready:
            deed.close()
            return
        # Who is killed before it begins has begun nothing.
        self.process.spawn(self._done(deed)).add_done_callback(lambda _task: deed.close())

    async def _done(self, deed: Coroutine[Any, Any, object]) -> None:
        try:
            await deed
        except ParlourError as refusal:
            self.world.trace.note(self.label, "refused", refusal.code.value)

    async def step(self, mutate: Callable[[Machine, int], T]) -> T:
        """Change the machine, and return when that is on disk."""
        return await self.engine.step(mutate)

    async def find(self, name: str) -> bytes:
        """The account of that name, asked for if it is not known."""
        contact = self.engine.machine.contact_named(name)
        if contact is not None:
            return contact.account_id
        page = await self.link.ask(Kind.LOOK_UP, LookUp(name), DeviceListPage)
        return await self.step(lambda machine, now: machine.found(page, now, name))

    async def say(self, name: str, text: str) -> None:
        """Say something to an account."""
        peer = await self.find(name)
        self.world.oracle.intends(self, peer, text)
        message_id = await self.step(lambda machine, now: machine.send(peer, Text(text), now))
        self.world.oracle.said(message_id, text)

    async def tell(self, group: bytes, text: str) -> None:
        """Say something in a group."""
        machine = self.engine.machine
        if not machine.has_group(group):
            return
        self.world.oracle.intends(self, group, text, is_group=True)
        message_id = await self.step(lambda machine, now: machine.send_to(group, Text(text), now))
        self.world.oracle.said(message_id, text)

    def own_messages(self) -> list[tuple[Message, str]]:
        """What it has said, as it lies on its disk."""
        rows = self.disk.connection.execute(_OWN, (self.device_id,)).fetchall()
        found = [messages._from_row(row) for row in rows]
        decoded = [(message, contents.decode(message.content)) for message in found]
        return [(message, said.text) for message, said in decoded if isinstance(said, Text)]

    def fill(self, *, full: bool) -> None:
        """Make its disk full, or make room."""
        self.is_full = full
        fill(self.disk.connection, full=full)

    def cut(self) -> None:
        """End its connections, without a word."""
        for pair in self.world.pairs_of(self):
            pair.cut()

    def fall_into_hole(self) -> None:
        """From now on, its frames vanish."""
        self.line.hole = True
        for pair in self.world.pairs_of(self):
            pair.notice_hole()
