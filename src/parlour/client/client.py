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
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from parlour.client import registration
from parlour.client.account import Account, Tickets
from parlour.client.engine import Engine
from parlour.client.home import Home
from parlour.client.link import Link
from parlour.conversation import content as contents
from parlour.conversation.changes import Message, MessageState
from parlour.conversation.contact import Contact, Verification
from parlour.conversation.content import Content, Text
from parlour.conversation.events import Event, MessageReceived
from parlour.errors import Code, ParlourError, error
from parlour.transparency import Party, SafetyNumber, safety_number
from parlour.wire.directory import DeviceListPage, LookUp
from parlour.wire.kinds import Kind
from parlour.wire.login import RevokeSession, Session, Sessions
from parlour.wire.server import Nothing

# Idle this long (seconds), the client derives so many message keys ahead.
IDLE: Final = 0.25
PRECOMPUTED: Final = 16
# Seconds: however much is due, other work comes in between.
SHORTEST: Final = 0.02


@dataclass(frozen=True, slots=True)
class Said:
    """A message as people see it: who, when (milliseconds), what, and where it is."""

    message_id: bytes
    sender: str
    mine: bool
    at: int
    state: MessageState
    content: Content | None
    reason: str = ""

    @property
    def text(self) -> str:
        """The text, or nothing for other content."""
        return self.content.text if isinstance(self.content, Text) else ""


class Client:
    """An open home, connected in the background. Made by `open` or `register`."""

    def __init__(self, home: Home, engine: Engine, link: Link) -> None:
        self._home = home
        self._engine = engine
        self._link = link
        self._tasks: list[asyncio.Task[None]] = []

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
        return cls(home, engine, link)

    @contextlib.asynccontextmanager
    async def _running(self, *, connect: bool) -> AsyncIterator[None]:
        if connect:
            self._tasks.append(asyncio.create_task(self._link.run()))
        self._tasks.append(asyncio.create_task(self._keep_time()))
        try:
            yield
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._engine.close()

    async def _keep_time(self) -> None:
        """Call the machine when something is due, and let it work ahead when nothing happens."""
        ahead = False
        while True:
            due = self._engine.machine.next_timeout()
            wait = None if due is None else max((due - self._engine.clock()) / 1000, SHORTEST)
            if not ahead:
                wait = IDLE if wait is None else min(wait, IDLE)
            try:
                await asyncio.wait_for(self._engine.timer.wait(), wait)
                self._engine.timer.clear()
                ahead = False
                continue
            except TimeoutError:
                pass
            if due is not None and due <= self._engine.clock():
                with contextlib.suppress(ParlourError):
                    await self._engine.step(lambda machine, now: machine.handle_timeout(now))
            elif not ahead:
                ahead = True
                self._engine.machine.precompute(PRECOMPUTED, self._engine.clock())

    register = staticmethod(registration.register)
    log_in = staticmethod(registration.log_in)

    # --- Who and where -------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Our account as `name@server`."""
        own = self._engine.machine.contacts[self._engine.machine.account_id]
        return f"{own.name}@{self._link.account.server}"

    @property
    def online(self) -> bool:
        """Whether the server is connected now."""
        return self._link.status.online

    @property
    def failure(self) -> ParlourError | None:
        """What stopped the connection for good, if something did."""
        return self._link.status.failure

    @property
    def waiting(self) -> int:
        """How many of our messages the server does not have yet."""
        return self._engine.machine.waiting

    async def connected(self, timeout: float = 30.0) -> None:
        """Wait until the server is connected; raise what stands in the way."""
        await self._until(lambda: self.online, timeout)

    async def _until(self, reached: Callable[[], bool], timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                while not reached():
                    if self.failure is not None:
                        raise self.failure
                    self._link.changed.clear()
                    if reached() or self.failure is not None:
                        continue
                    await self._link.changed.wait()
        except TimeoutError:
            raise self._link.status.last_error or error(Code.NETWORK_TIMEOUT) from None

    # --- People --------------------------------------------------------------------------

    async def contact(self, name: str) -> Contact:
        """The account of that name: known here, or found on the server by its exact name."""
        local = self._local_name(name)
        known = self._engine.machine.contact_named(local)
        if known is not None:
            return known
        await self.connected()
        page = await self._link.ask(Kind.LOOK_UP, LookUp(name=local), DeviceListPage)
        account_id = await self._engine.step(lambda machine, now: machine.found(page))
        await self._until(lambda: account_id in self._engine.machine.contacts, 30.0)
        return self._engine.machine.contacts[account_id]

    def _local_name(self, name: str) -> str:
        local, _, server = name.partition("@")
        if server and server != self._link.account.server:
            raise error(Code.ACCOUNT_NOT_HERE, name)
        return local.casefold()

    def contacts(self) -> list[Contact]:
        """Everybody we know, by name, without ourselves."""
        own = self._engine.machine.account_id
        known = self._engine.machine.contacts.values()
        return sorted((c for c in known if c.account_id != own), key=lambda contact: contact.name)

    async def safety_number(self, name: str) -> SafetyNumber:
        """The safety number with somebody: the same on both sides, when nobody is in between."""
        contact = await self.contact(name)
        machine = self._engine.machine
        own = machine.contacts[machine.account_id]
        return safety_number(
            Party(own.account_id, own.key_to_verify()),
            Party(contact.account_id, contact.key_to_verify()),
        )

    async def verify(self, name: str) -> None:
        """Mark somebody as verified: a person compared the safety number."""
        contact = await self.contact(name)
        await self._engine.step(lambda machine, now: machine.verify(contact.account_id, now))

    async def accept(self, name: str) -> None:
        """Go on with a changed key without comparing safety numbers."""
        contact = await self.contact(name)
        await self._engine.step(lambda machine, now: machine.accept(contact.account_id, now))

    # --- Messages ------------------------------------------------------------------------

    async def send(self, name: str, message: str | Content) -> bytes:
        """Say something; return the message's id.

        On return it is on this device's disk and goes out as soon as it can, also after a restart.
        `sent` waits until the server has it.
        """
        contact = await self.contact(name)
        content = Text(message) if isinstance(message, str) else message
        return await self._engine.step(
            lambda machine, now: machine.send(contact.account_id, content, now)
        )

    async def sent(self, timeout: float = 30.0) -> None:
        """Wait until the server holds everything that was said; raise what stands in the way."""
        try:
            async with asyncio.timeout(timeout):
                while self.waiting:
                    if self.failure is not None:
                        raise self.failure
                    self._engine.changed.clear()
                    if self.waiting:
                        await self._engine.changed.wait()
        except TimeoutError:
            raise self._link.status.last_error or error(Code.NETWORK_TIMEOUT) from None

    async def history(self, name: str, *, limit: int = 50) -> list[Said]:
        """The last messages with somebody, oldest first."""
        contact = await self.contact(name)
        page = await self._home.store.messages(contact.account_id, limit=limit)
        return [self.said(message) for message in page]

    async def unread(self, *, limit: int = 1000) -> list[Said]:
        """Messages that no program has been given yet; they count as given from now on."""
        page = await self._home.store.undelivered(limit)
        await self._home.store.mark_delivered(page)
        return [self.said(message) for message in page]

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
        )

    async def events(self) -> AsyncIterator[Event]:
        """Everything that happens, for as long as you ask.

        A message counts as delivered when the next event is asked for: a program that dies while
        it handles one is given it again. The end of the connection for good is raised.
        """
        while True:
            self._engine.changed.clear()
            for message in await self._home.store.undelivered(100):
                yield MessageReceived(message, contents.decode(message.content))
                await self._home.store.mark_delivered([message])
            while self._engine.events:
                yield self._engine.events.popleft()
            if self.failure is not None:
                raise self.failure
            await self._engine.changed.wait()

    # --- Logins --------------------------------------------------------------------------

    async def sessions(self) -> list[Session]:
        """All logins of this account."""
        await self.connected()
        return (await self._link.ask(Kind.SESSIONS, Nothing(), Sessions)).sessions

    async def revoke(self, handle: str) -> None:
        """End one login, by the handle that `sessions` shows."""
        await self.connected()
        await self._link.ask(Kind.REVOKE_SESSION, RevokeSession(handle=handle), Nothing)


__all__ = ["Client", "Said", "Verification"]
