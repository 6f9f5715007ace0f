"""The people that one knows: found by exact name, heard or not, and what they show."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from parlour.client.invites import Check
from parlour.client.own_list import Room
from parlour.client.signals import Signal
from parlour.conversation.changes import Namespace
from parlour.conversation.contact import Contact
from parlour.conversation.machine import Machine
from parlour.conversation.records import KnownProfile
from parlour.conversation.standing import Standing
from parlour.errors import Code, error
from parlour.identity.device_list import DeviceListEntry
from parlour.primitives.signature import Ed25519PublicKey
from parlour.transparency import Party, SafetyNumber, safety_number
from parlour.wire.directory import DeviceListPage, LookUp
from parlour.wire.kinds import Kind

# Seconds for a device list to be read.
READING = 30.0


class Until(Protocol):
    """Waits for a condition that a signal tells of (`Client`)."""

    def __call__(
        self, reached: Callable[[], bool], timeout: float, signal: Signal, /
    ) -> Awaitable[None]:
        """Raises why it can't come, or does not within `timeout` seconds."""
        ...


class People:
    """`Client.people`."""

    def __init__(self, room: Room, until: Until, check: Check) -> None:
        self._room = room
        self._check = check
        self._until = until

    @property
    def _machine(self) -> Machine:
        return self._room.engine.machine

    # --- Who they are --------------------------------------------------------------------

    async def find(self, name: str) -> Contact:
        """The account of that name: known here, or found on the server by its exact name.

        Raises `INVITE_MISMATCH` for who has invited us, where the server shows another key.
        """
        return await self._find(name, self._check)

    async def find_unchecked(self, name: str) -> Contact:
        """The same, also where its key is not the invite's: to show and compare that."""
        return await self._find(name, lambda _name, _key: None)

    async def _find(self, name: str, check: Check) -> Contact:
        """Look for an account, and let `check` see its key before anything is kept of it."""
        local = self._local_name(name)
        known = self._machine.contact_named(local)
        if known is not None:
            check(local, known.key_to_verify())
            return known
        page = await self._room.ask(Kind.LOOK_UP, LookUp(name=local), DeviceListPage)
        for entry in page.entries:
            check(local, DeviceListEntry.decode(entry).account_key)
        account_id = await self._room.engine.step(
            lambda machine, now: machine.found(page, now, local)
        )
        await self._until(lambda: self._is_known(account_id), READING, self._room.engine.changed)
        return self._machine.contacts[account_id]

    def _is_known(self, account_id: bytes) -> bool:
        """Whether a contact's device list has been read; raises why it can't be."""
        reason = self._room.engine.blocked.get(account_id)
        if reason is not None:
            raise error(reason)
        return account_id in self._machine.contacts

    def _local_name(self, name: str) -> str:
        local, _, server = name.partition("@")
        if server and server != self._room.account.server:
            raise error(Code.ACCOUNT_NOT_HERE, name)
        return local.casefold()

    def known(self) -> list[Contact]:
        """Everybody we know, by name, without ourselves and who only shares a group with us."""
        own = self._machine.account_id
        contacts = self._machine.contacts.values()
        known = (each for each in contacts if each.is_met and each.account_id != own)
        return sorted(known, key=lambda contact: contact.name)

    def everybody(self) -> dict[bytes, Contact]:
        """All accounts that are known here, by id: ours, and who only shares a group, too."""
        return self._machine.contacts

    def known_as(self, name: str) -> Contact | None:
        """The account of that name, if it is known here; asks nobody."""
        return self._machine.contact_named(self._local_name(name))

    # --- Whose key it is -----------------------------------------------------------------

    async def safety_number(self, name: str) -> SafetyNumber:
        """The safety number with somebody: the same on both sides, when nobody is in between."""
        contact = await self.find_unchecked(name)
        return _number(self._machine, contact)

    async def verify(self, name: str, number: SafetyNumber) -> Contact:
        """Mark somebody as verified: a person compared this safety number."""
        return await self._decide_on_key(name, number, Machine.verify)

    async def accept_key(self, name: str, number: SafetyNumber) -> None:
        """Go on with a changed key, whose number this is, without comparing."""
        await self._decide_on_key(name, number, Machine.accept)

    async def _decide_on_key(
        self,
        name: str,
        number: SafetyNumber,
        act: Callable[[Machine, bytes, int, Ed25519PublicKey], None],
    ) -> Contact:
        contact = await self.find_unchecked(name)

        def decide(machine: Machine, now: int) -> None:
            # As it is in this step: between showing and answering a server may show another key.
            current = machine.contacts[contact.account_id]
            if _number(machine, current) != number:
                raise error(Code.ACCOUNT_KEY_CHANGED, "once more, while a person compared")
            act(machine, contact.account_id, now, current.key_to_verify())

        await self._room.engine.step(decide)
        self._room.engine.unblock(contact.account_id)
        return contact

    # --- Whether they are heard ----------------------------------------------------------

    def requests(self) -> list[Contact]:
        """Strangers who have written and wait for a decision."""
        return [contact for contact in self.known() if contact.standing is Standing.REQUESTED]

    def blocked(self) -> list[Contact]:
        """Whom we have blocked."""
        return [contact for contact in self.known() if contact.standing is Standing.BLOCKED]

    async def accept(self, name: str) -> None:
        """Let somebody be heard; what they said so far comes as events, and is in `unread`."""
        await self._decide(name, Machine.accept_request)

    async def decline(self, name: str) -> None:
        """Say no to a request. What they said is deleted; they may ask again after a day."""
        await self._decide(name, Machine.decline)

    async def block(self, name: str) -> None:
        """Hear nothing more of somebody, on all devices. They are not told.

        Our profile gets another key, which they don't have.
        """
        await self._decide(name, Machine.block)

    async def unblock(self, name: str) -> None:
        """Let somebody who was blocked ask again."""
        await self._decide(name, Machine.unblock)

    async def forget(self, name: str) -> None:
        """Delete somebody from all devices, with everything that was said.

        It also is the way to meet whoever has that name now, where the account is another one.
        """
        contact = self._machine.contact_named(self._local_name(name))
        if contact is None:
            raise error(Code.ACCOUNT_UNKNOWN, name)
        await self._step(contact.account_id, Machine.forget)

    async def _decide(self, name: str, act: Callable[[Machine, bytes, int], None]) -> None:
        await self._step((await self.find(name)).account_id, act)

    async def _step(self, account_id: bytes, act: Callable[[Machine, bytes, int], None]) -> None:
        await self._room.engine.step(lambda machine, now: act(machine, account_id, now))

    # --- What they show ------------------------------------------------------------------

    @property
    def own_profile(self) -> KnownProfile | None:
        """What our contacts see of us; None when nothing was set."""
        return self._machine.profile(self._machine.account_id)

    async def set_profile(self, name: str, status: str = "", picture: bytes = b"") -> None:
        """Show contacts a name, a line of text and a picture (JPEG or PNG); `LimitError`.

        On return it is on this device's disk and goes out as soon as it can.
        """
        await self._room.engine.step(
            lambda machine, now: machine.set_profile(name, status, picture)
        )

    def profile(self, contact: Contact) -> KnownProfile | None:
        """What somebody shows us; None before it came, and of strangers."""
        return self._machine.profile(contact.account_id)

    async def picture(self, contact: Contact) -> bytes | None:
        """Somebody's picture as a file, from whom we don't know; decode it apart."""
        return await self._room.store.record(Namespace.PICTURE, contact.account_id)

    # --- How far we have read ------------------------------------------------------------

    async def mark_read(self, name: str, up_to: int | None = None) -> None:
        """A person has seen the conversation with a contact: to a number, or all that is here."""

        def mark(machine: Machine, account_id: bytes, now: int) -> None:
            if up_to is None:
                machine.mark_all_read(account_id, now)
            else:
                machine.mark_read(account_id, up_to, now)

        contact = self.known_as(name)
        if contact is not None:
            await self._step(contact.account_id, mark)

    def read_up_to(self, contact: Contact) -> int:
        """The number of the last message that was seen, on whichever device."""
        return self._machine.read_up_to(contact.account_id)


def _number(machine: Machine, contact: Contact) -> SafetyNumber:
    own = machine.contacts[machine.account_id]
    return safety_number(
        Party(own.account_id, own.key_to_verify()),
        Party(contact.account_id, contact.key_to_verify()),
    )


class Settings:
    """`Client.settings`: the person's settings, the same on all devices."""

    def __init__(self, room: Room) -> None:
        self._room = room

    def all(self) -> dict[str, str]:
        """What was set."""
        return dict(sorted(self._room.engine.machine.settings.items()))

    def get(self, key: str, default: str = "") -> str:
        """One setting."""
        return self._room.engine.machine.settings.get(key, default)

    async def set(self, key: str, value: str) -> None:
        """Change one, on all devices; raises `UsageError` and `LimitError`."""
        await self._room.engine.step(lambda machine, now: machine.set_setting(key, value, now))
