"""The SDK: one person's client, in a few calls.

::

    async with Client.open(home, password) as client:
        await client.send("bob", "hi")
        async for event in client.events():
            ...
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final, TypeVar

from msgspec import Struct

from parlour.client import backup, joining, linking, recovery, registration
from parlour.client.account import Account, Tickets
from parlour.client.backup import Exported, Imported, Progress
from parlour.client.devices import Devices
from parlour.client.engine import Engine, again
from parlour.client.feed import ClientEvent, Connected, Disconnected, Reader
from parlour.client.group_names import MARK
from parlour.client.groups import Groups
from parlour.client.home import Home
from parlour.client.invites import Invites
from parlour.client.link import Link
from parlour.client.own_list import Room
from parlour.client.passwords import Passwords
from parlour.client.people import People, Settings
from parlour.client.recovery_keys import RecoveryKeys
from parlour.client.signals import Signal
from parlour.client.warnings import Warned
from parlour.conversation import content as contents
from parlour.conversation.changes import Message, MessageState
from parlour.conversation.contact import Contact, Verification
from parlour.conversation.content import Content, Text
from parlour.conversation.events import MessageReceived
from parlour.conversation.records import Records, read_own
from parlour.errors import Code, ParlourError, TransportError, UsageError, error
from parlour.transparency import SafetyNumber
from parlour.wire.kinds import Kind
from parlour.wire.login import LogOutEverywhere, RevokeSession, Session, Sessions
from parlour.wire.server import Nothing

R = TypeVar("R", bound=Struct)

# Idle this long (seconds), the client derives so many message keys ahead.
IDLE: Final = 0.25
PRECOMPUTED: Final = 16
# Seconds: however much is due, other work comes in between, and it stays out of a message's way.
SHORTEST: Final = 0.02
# Seconds: a clock that was set is noticed within this.
LONGEST: Final = 60.0
# Seconds between tries while the disk fails.
FAILED: Final = 2.0
# Messages that are read from the store at once.
PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class Said:
    """A message as people see it: who, when (milliseconds), what, and where it is.

    `seq` is its number in the conversation, once the server has it (`People.mark_read`).
    """

    message_id: bytes
    sender: str
    mine: bool
    at: int
    state: MessageState
    content: Content | None
    reason: str = ""
    seq: int | None = None
    conversation: bytes = b""
    where: str = ""
    """What `Client.send` takes to answer: the name of who it is talked with, or ``#group``."""

    @property
    def in_group(self) -> bool:
        """Whether it was said in a group."""
        return self.where.startswith(MARK)

    @property
    def text(self) -> str:
        """The text, or nothing for other content."""
        return self.content.text if isinstance(self.content, Text) else ""


def _content(message: str | Content) -> Content:
    if not isinstance(message, str):
        return message
    try:
        message.encode()
    except UnicodeEncodeError:
        # From a file's name or a stream that is not in UTF-8: see `surrogateescape`.
        raise UsageError(Code.USAGE_INVALID, "the message is not text in UTF-8") from None
    return Text(message)


class Client:
    """An open home, connected in the background. Made by `open` or `register`."""

    def __init__(self, home: Home, engine: Engine, link: Link, records: Records) -> None:
        self._home = home
        self._engine = engine
        self._link = link
        room = Room(read_own(records), home.store, engine, link, self._ask)
        self.devices = Devices(room, records)
        self.passwords = Passwords(home, room, self.devices.editor)
        self.recovery = RecoveryKeys(room, self.devices.editor)
        self.invites = Invites(room, records, self.contact)
        self.people = People(room, self._until, self.invites.check)
        self.groups = Groups(room, self.people.find)
        self.settings = Settings(room)
        self._handed: list[Message] = []
        self._marking = asyncio.Lock()

    # --- Life ----------------------------------------------------------------------------

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, folder: Path | str, password: str | None = None, *, connect: bool = True
    ) -> AsyncIterator[Client]:
        """Open a home and keep it connected while the block runs.

        `password` is not needed where the keychain of the system opens the home. With
        `connect=False` nothing goes over the network.
        """
        home = await Home.open(registration.home_folder(folder), password)
        try:
            client = await cls._load(home)
            async with client._running(connect=connect):
                yield client
        finally:
            await home.close()

    @classmethod
    async def _load(cls, home: Home) -> Client:
        records = await home.store.records()
        engine = await Engine.load(home.store)
        link = Link(engine, home.store, Account.load(records), Tickets.load(records))
        return cls(home, engine, link, records)

    @contextlib.asynccontextmanager
    async def _running(self, *, connect: bool) -> AsyncIterator[None]:
        tasks = [
            asyncio.create_task(self._keep_time()),
            asyncio.create_task(self.devices.run()),
            asyncio.create_task(self.invites.run()),
        ]
        if connect:
            tasks.append(asyncio.create_task(self._link.run()))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with contextlib.suppress(ParlourError):
                # What was shown of late is written as shown.
                await self._engine.current()
            await self._engine.close()
            with contextlib.suppress(ParlourError):
                await self._mark_handed()

    async def _keep_time(self) -> None:
        """Call the machine when something is due, and let it work ahead when nothing happens."""
        ahead = False
        while True:
            seen = self._engine.changed.count
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._wait(ahead=ahead)):
                    await self._engine.changed.wait(seen)
                    ahead = False
                    await asyncio.sleep(SHORTEST)
                    continue
            try:
                ahead = await self._do_what_is_due() or ahead
            except ParlourError:
                await asyncio.sleep(FAILED)

    def _wait(self, *, ahead: bool) -> float:
        """Seconds until something is due."""
        due = self._engine.machine.next_timeout()
        wait = LONGEST if due is None else (due - self._engine.clock()) / 1000
        return max(SHORTEST, min(wait, LONGEST if ahead else IDLE))

    async def _do_what_is_due(self) -> bool:
        """Let the machine do what is due, or else work ahead; whether it worked ahead."""
        due = self._engine.machine.next_timeout()
        if due is not None and due <= self._engine.clock():
            await self._engine.step(lambda machine, now: machine.handle_timeout(now))
            return False
        self._engine.machine.precompute(PRECOMPUTED, self._engine.clock())
        return True

    register = staticmethod(registration.register)
    log_in = staticmethod(registration.log_in)
    recover = staticmethod(recovery.recover)
    link_new = staticmethod(linking.link_new)
    join = staticmethod(linking.join)
    join_by_passphrase = staticmethod(joining.join_by_passphrase)

    # --- Who and where -------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Our account as `name@server`."""
        own = self._engine.machine.contacts[self._engine.machine.account_id]
        return f"{own.name}@{self._link.account.server}"

    @property
    def account_id(self) -> bytes:
        """Our account's id."""
        return self._engine.machine.account_id

    @property
    def online(self) -> bool:
        """Whether the server is connected now."""
        return self._link.status.online

    @property
    def failure(self) -> ParlourError | None:
        """What stopped the connection for good, if something did."""
        return self._link.status.failure

    @property
    def counters(self) -> dict[str, int]:
        """How often what has happened on this device, over its life; without content.

        The names and numbers are what an operator may collect (docs/unreadable.md). Nothing is
        sent by itself.
        """
        return self._engine.machine.counters

    @property
    def counted_since(self) -> date:
        """The day on which this device began to count (UTC)."""
        return date(1970, 1, 1) + timedelta(days=self._engine.machine.counted_since)

    @property
    def waiting(self) -> int:
        """How many of our messages the server does not have yet."""
        return self._engine.machine.waiting

    async def connected(self, timeout: float = 30.0) -> None:
        """Wait until the server is connected; raise what stands in the way."""
        await self._until(lambda: self.online, timeout, self._link.changed)

    async def caught_up(self, timeout: float = 30.0) -> None:
        """Wait until what the server had for us is here and read, as far as it can be read.

        With a server that keeps something back, what is here counts after `timeout` seconds.
        """
        await self.connected(timeout)
        with contextlib.suppress(TransportError):
            await self._until(lambda: self._engine.machine.caught_up, timeout, self._engine.changed)
        # What was read is on disk, where `unread` looks for it.
        await self._engine.current()

    async def ready(self, timeout: float = 10.0) -> bool:
        """Wait until others can add this device to groups; whether they can in time.

        A new device leaves the keys for that on the server when it is online for the first time.
        """
        with contextlib.suppress(TransportError):
            await self.connected(timeout)
            await self._until(
                lambda: self._engine.machine.can_be_added, timeout, self._engine.changed
            )
            return True
        return False

    async def _until(self, reached: Callable[[], bool], timeout: float, signal: Signal) -> None:
        """Wait for a condition that `signal` tells of; raise why it can't come, or does not."""
        try:
            async with asyncio.timeout(timeout):
                while True:
                    seen = signal.count
                    if reached():
                        return
                    if self.failure is not None:
                        raise again(self.failure)
                    await signal.wait(seen)
        except TimeoutError:
            raise again(self._link.status.last_error or error(Code.NETWORK_TIMEOUT)) from None

    async def _ask(self, kind: Kind, body: Struct, response: type[R], timeout: float = 30.0) -> R:
        """Ask what may be asked again: a cut in the middle shows only as a pause."""
        answers: list[R] = []
        seen = -1

        def may_ask() -> bool:
            return self.online and self._link.changed.count != seen

        ends = asyncio.get_running_loop().time() + timeout
        while not answers:
            left = ends - asyncio.get_running_loop().time()
            await self._until(may_ask, left, self._link.changed)
            seen = self._link.changed.count
            with contextlib.suppress(TransportError):
                answers.append(await self._link.ask(kind, body, response))
        return answers[0]

    # --- People --------------------------------------------------------------------------

    async def contact(self, name: str) -> Contact:
        """The account of that name: known here, or found on the server by its exact name.

        Raises `INVITE_MISMATCH` for who has invited us, where the server shows another key.
        """
        return await self.people.find(name)

    def contacts(self) -> list[Contact]:
        """Everybody we know, by name, without ourselves."""
        return self.people.known()

    async def safety_number(self, name: str) -> SafetyNumber:
        """The safety number with somebody: the same on both sides, when nobody is in between."""
        return await self.people.safety_number(name)

    async def verify(self, name: str, number: SafetyNumber) -> None:
        """Mark somebody as verified: a person compared this safety number.

        Raises `SecurityStop` (`ACCOUNT_KEY_CHANGED`) if it is not theirs any more: a server that
        swaps a key while two people compare would otherwise get its own marked.
        """
        await self.invites.settle((await self.people.verify(name, number)).name)

    async def accept(self, name: str, number: SafetyNumber) -> None:
        """Go on with a changed key, or another one than an invite's, without comparing.

        `number` is the one that the person was shown; raises as `verify` does.
        """
        contact = await self.people.find_unchecked(name)
        if contact.stopped or self.invites.inviter != contact.name:
            await self.people.accept_key(name, number)
        self._engine.unblock(contact.account_id)
        await self.invites.settle(contact.name)

    # --- Messages ------------------------------------------------------------------------

    async def send(self, name: str, message: str | Content) -> bytes:
        """Say something to somebody, or in a group by ``#name``; return the message's id.

        On return it is on this device's disk and goes out as soon as it can, also after a restart.
        `sent` waits until the server has it.
        """
        if name.startswith(MARK):
            return await self.send_to(self.groups.find(name), message)
        content = _content(message)
        contact = await self.contact(name)
        return await self._engine.step(
            lambda machine, now: machine.send(contact.account_id, content, now)
        )

    async def send_to(self, group: bytes, message: str | Content) -> bytes:
        """The same, in the group of that id."""
        content = _content(message)
        return await self._engine.step(lambda machine, now: machine.send_to(group, content, now))

    async def sent(self, timeout: float = 30.0) -> None:
        """Wait until the server holds everything that was said; raise what stands in the way.

        What will never be sent, because its conversation is over meanwhile, is raised once.
        """
        await self._raise_for_stopped()

        def none_waits() -> bool:
            if self._engine.unsent:
                raise error(self._engine.unsent.popitem()[1])
            if self.waiting:
                for reason in self._engine.blocked.values():
                    raise error(reason)
            return not self.waiting

        await self._until(none_waits, timeout, self._engine.changed)
        # The machine knows it before the disk does, and `history` reads the disk.
        await self._engine.current()

    async def told(self, timeout: float = 10.0) -> bool:
        """Wait until what was decided or set has left this device; whether it has in time.

        What has not leaves the next time that this home is open.
        """
        with contextlib.suppress(TransportError):
            await self.connected(timeout)
            await self._until(
                lambda: not self._engine.machine.telling, timeout, self._engine.changed
            )
            return True
        return False

    async def _raise_for_stopped(self) -> None:
        """Raise if something waits for a person to accept a changed key."""
        for contact in self.contacts():
            if contact.stopped and self.waiting:
                last = await self._home.store.messages(contact.account_id, limit=1)
                if any(message.state is MessageState.QUEUED for message in last):
                    raise error(Code.ACCOUNT_KEY_CHANGED, contact.name)

    async def history(self, name: str, *, limit: int = 50) -> list[Said]:
        """The last messages with somebody, or in a group by ``#name``, oldest first."""
        if name.startswith(MARK):
            conversation = self.groups.find(name)
        else:
            conversation = (await self.contact(name)).account_id
        page = await self._home.store.messages(conversation, limit=limit)
        return [self.said(message) for message in page]

    def conversation_name(self, conversation: bytes) -> str:
        """The name of an account, or ``#name`` of a group; the id in hex where neither is known."""
        machine = self._engine.machine
        if machine.has_group(conversation):
            return self.groups.label(conversation)
        contact = machine.contacts.get(conversation)
        return conversation.hex() if contact is None else contact.name

    async def unread(self, *, limit: int = 1000) -> list[Said]:
        """Messages that no program has been given yet.

        They count as given when more are asked for, or when the client is closed: a program that
        is killed while it shows them is given them again. What the person has seen on another
        device is left out.
        """
        await self._mark_handed()
        page = await self._home.store.undelivered(limit)
        self._handed += page
        return [self.said(message) for message in page if not self._is_read(message)]

    def _is_read(self, message: Message) -> bool:
        read = self._engine.machine.read_up_to(message.conversation)
        return message.seq is not None and message.seq <= read

    def said(self, message: Message) -> Said:
        """A stored message as people see it."""
        sender = self._engine.machine.contacts.get(message.sender_account)
        readable = message.state is not MessageState.UNREADABLE
        return Said(
            message_id=message.message_id,
            sender=sender.name if sender is not None else message.sender_account.hex(),
            mine=message.sender_account == self._engine.machine.account_id,
            at=message.sent_at,
            state=message.state,
            content=contents.decode(message.content) if readable else None,
            reason=message.reason,
            seq=message.seq,
            conversation=message.conversation,
            where=self.conversation_name(message.conversation),
        )

    async def events(self) -> AsyncGenerator[ClientEvent, None]:
        """Everything that happens, for as long as you ask: first what came since last time.

        A message counts as delivered when the next event is asked for: a program that dies while
        it handles one is given it again. Several loops at once each get all that happens while
        they run. The end of the connection for good is raised.
        """
        reader = self._engine.feed.open()
        early = {*self._engine.warnings.waiting}
        try:
            for warning in self._engine.warnings.waiting:
                yield warning
                self._engine.told(warning)
            while True:
                for message in await self._missed(reader):
                    yield MessageReceived(message, contents.decode(message.content))
                    self._handed.append(message)
                while not reader.behind and (event := reader.take()) is not None:
                    if event in early:
                        early.discard(event)
                        continue
                    yield event
                    if isinstance(event, Warned):
                        self._engine.told(event)
                    if isinstance(event, MessageReceived):
                        self._handed.append(event.message)
                if reader.behind:
                    continue
                with contextlib.suppress(ParlourError):
                    await self._mark_handed()
                if reader.is_empty and self.failure is not None:
                    raise again(self.failure)
                await reader.wait()
        finally:
            self._engine.feed.close(reader)

    def happened(self) -> list[ClientEvent]:
        """What has happened beside messages, for who reads no `events`.

        First what nobody was shown the last times (`warnings`); it comes again until `told_of`.
        """
        reader = self._engine.feed.open()
        found: list[ClientEvent] = [*self._engine.warnings.waiting]
        while (event := reader.take()) is not None:
            if not isinstance(event, MessageReceived | Warned):
                found.append(event)
        self._engine.feed.close(reader)
        return found

    async def told_of(self, events: Iterable[ClientEvent]) -> None:
        """A person was shown these: they are not news any more."""
        for event in events:
            if isinstance(event, Warned):
                self._engine.told(event)
        await self._engine.current()

    async def _missed(self, reader: Reader) -> list[Message]:
        """A page of what lies in the store and did not come, or will not, as an event."""
        if not reader.behind:
            return []
        await self._mark_handed()
        page = await self._home.store.undelivered(PAGE)
        reader.caught_up({message.key for message in page}, more=len(page) == PAGE)
        return page

    async def _mark_handed(self) -> None:
        """Mark what the program has handled. What fails is tried again with the next."""
        async with self._marking:
            while self._handed:
                handed = self._handed[:PAGE]
                await self._home.store.mark_delivered(handed)
                del self._handed[: len(handed)]

    # --- Backups -------------------------------------------------------------------------

    async def export_backup(
        self,
        file: Path,
        passphrase: str,
        *,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> Exported:
        """Write contacts, settings and messages to an encrypted file; see `client.backup`."""
        return await backup.export_backup(
            self._engine,
            self._home.store,
            self.name,
            file,
            passphrase,
            overwrite=overwrite,
            progress=progress,
        )

    async def import_backup(
        self, file: Path, passphrase: str, *, progress: Progress | None = None
    ) -> Imported:
        """Merge a backup of this account into this home; see `client.backup`."""
        return await backup.import_backup(
            self._engine, self._home.store, file, passphrase, progress=progress
        )

    # --- Logins --------------------------------------------------------------------------

    async def sessions(self) -> list[Session]:
        """All logins of this account."""
        return (await self._ask(Kind.SESSIONS, Nothing(), Sessions)).sessions

    async def revoke(self, handle: str) -> None:
        """End one login, by the handle that `sessions` shows. If it is this one, see `log_out`."""
        for session in await self.sessions():
            if session.handle == handle and session.current:
                await self.log_out()
                return
        await self._link.ask(Kind.REVOKE_SESSION, RevokeSession(handle=handle), Nothing)

    async def log_out(self) -> None:
        """End this login. What was said and read stays here; `log_in` goes on with it.

        Say what still waits first (`sent`): without a login it stays here.
        """
        await self.connected()
        try:
            await self._link.ask(Kind.LOG_OUT, Nothing(), Nothing)
        except ParlourError as ended:
            # The server may close this connection before the answer has left.
            if ended.code is not Code.TOKEN_REVOKED:
                raise
        await self._logged_out()

    async def log_out_everywhere(self, *, but_this: bool = False) -> None:
        """End every login of the account; with `but_this` all others. They stay its devices."""
        await self.connected()
        try:
            body = LogOutEverywhere(but_this=but_this)
            await self._link.ask(Kind.LOG_OUT_EVERYWHERE, body, Nothing)
        except ParlourError as ended:
            if but_this or ended.code is not Code.TOKEN_REVOKED:
                raise
        if not but_this:
            await self._logged_out()

    async def _logged_out(self) -> None:
        self._link.stop(error(Code.TOKEN_REVOKED))
        await self._link.remember(token="")


__all__ = ["Client", "ClientEvent", "Connected", "Disconnected", "Said", "Verification"]
