"""Change our own device list, on top of whatever other devices made of it meanwhile.

Two devices may change the list at once; one of them is second, and is told. It reads what the
first one made, and tries again on top of that. What was sent once and may have arrived is never
signed a second time in other words: a server that held both could show one to each of two people.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from parlour.client.account import Account
from parlour.client.device_lists import Ask, read_on
from parlour.client.engine import Engine
from parlour.client.link import Link
from parlour.client.store import LocalStore
from parlour.client.unlock import Unlocked, unlock
from parlour.conversation.changes import Change
from parlour.conversation.contact import Contact
from parlour.conversation.records import OwnDevice
from parlour.errors import Code, ConflictError, ParlourError, SecurityStop, TransportError, error
from parlour.identity.device_list import DeviceListEntry, DeviceListState
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.wire.directory import AppendDeviceList, DevicePrekeys
from parlour.wire.kinds import Kind
from parlour.wire.push import PushDeviceList
from parlour.wire.server import Nothing
from parlour.wire.vaults import NewVaults

# As often as others may be quicker, or the connection be cut.
TRIES: Final = 5
# Seconds for this device's own machine to read what was just appended.
READING: Final = 10.0


@dataclass(frozen=True, slots=True)
class Draft:
    """The next entry of our list, signed, with the first prekeys of devices that it adds.

    `before` is written to this disk before the entry leaves; `vaults` come with a new recovery key.
    """

    entry: DeviceListEntry
    prekeys: Sequence[DevicePrekeys] = field(default=(), repr=False)
    before: Sequence[Change] = field(default=(), repr=False)
    vaults: NewVaults | None = field(default=None, repr=False)


Make: TypeAlias = Callable[[DeviceListState], Draft | None]
"""Makes the entry that follows a list, or None where there is nothing to change any more."""


@dataclass(frozen=True, slots=True)
class Room:
    """What an open client lends to its parts. `ask` asks again after a cut."""

    own: OwnDevice
    store: LocalStore
    engine: Engine
    link: Link
    ask: Ask

    @property
    def account(self) -> Account:
        """Where the server is, and what logs us in."""
        return self.link.account

    @property
    def contact(self) -> Contact:
        """Our own account, as the machine knows it."""
        return self.engine.machine.contacts[self.own.account_id]

    @property
    def device_key(self) -> Ed25519PrivateKey:
        """What this device signs with."""
        return Ed25519PrivateKey(self.own.signature_key)

    async def unlock(self, password: str) -> Unlocked:
        """Open the vault; raises what `unlock` does, and `ACCOUNT_KEY_CHANGED`."""
        unlocked = await unlock(self.account, self.own, password)
        if unlocked.account_key.public_key != self.contact.head.account_key:
            raise SecurityStop(Code.ACCOUNT_KEY_CHANGED, "the vault holds another one")
        await self.seen_vaults(unlocked.vaults.number)
        return unlocked

    async def seen_vaults(self, number: int) -> None:
        """Take no vault with a lower number from now on."""
        if number > self.account.vaults:
            await self.link.remember(vaults=number)

    async def until(self, reached: Callable[[], bool], seconds: float) -> bool:
        """Wait until the machine has come there; whether it has in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    seen = self.engine.changed.count
                    if reached():
                        return True
                    await self.engine.changed.wait(seen)
        return reached()


class ListEditor:
    """Appends entries. `note` gives the changes that make an entry known as our own."""

    def __init__(self, room: Room, note: Callable[[DeviceListEntry], list[Change]]) -> None:
        self._room = room
        self._note = note

    async def append(self, make: Make) -> DeviceListEntry | None:
        """Append what `make` makes; returns the entry, or None where nothing is to change.

        Raises `DEVICE_LIST_CONFLICT` where others were quicker each time, `SecurityStop` where the
        server shows a list that can't be, and what `make` raises.
        """
        last = await self.newest()
        for _ in range(TRIES):
            draft = make(DeviceListState.after(last))
            if draft is None:
                return None
            draft = self._approved(draft, DeviceListState.after(last))
            await self.expect(draft.entry, draft.before)
            later = await self._try(draft, last)
            if later is None:
                await self.taken_in(draft.entry)
                return draft.entry
            last = later
        raise error(Code.DEVICE_LIST_CONFLICT, "each time it was tried; try again later")

    async def newest(self) -> DeviceListEntry:
        """The last entry of our list, which the server must show on top of what we know."""
        known = self._room.contact.head
        return [known, *await read_on(self._room.ask, known)][-1]

    async def expect(self, entry: DeviceListEntry, before: Sequence[Change] = ()) -> None:
        """Write down, before it leaves, that an entry is our own."""
        await self._room.store.apply([*self._note(entry), *before])

    def _approved(self, draft: Draft, state: DeviceListState) -> Draft:
        if not state.wants_approval(draft.entry):
            return draft
        return replace(draft, entry=draft.entry.approve(self._room.device_key))

    async def _try(self, draft: Draft, last: DeviceListEntry) -> DeviceListEntry | None:
        """Append an entry after `last`: None if it was, else the last one that others made."""
        body = AppendDeviceList(draft.entry.encode(), list(draft.prekeys) or None, draft.vaults)
        for _ in range(TRIES):
            try:
                await self._room.link.ask(Kind.APPEND_DEVICE_LIST, body, Nothing)
            except (TransportError, ConflictError) as problem:
                # A cut tells nothing, and of conflicts one alone is about the list.
                known = isinstance(problem, TransportError)
                if not known and problem.code is not Code.DEVICE_LIST_CONFLICT:
                    raise
            else:
                return None
            # Whether it was ours that came first, the list itself tells.
            later = await read_on(self._room.ask, last)
            if later:
                ours = later[0].hash() == draft.entry.hash()
                return None if ours else later[-1]
        raise error(Code.DEVICE_LIST_CONFLICT, "and the server does not show that change")

    async def taken_in(self, entry: DeviceListEntry) -> None:
        """Let this device's own machine read the entry, without waiting for its announcement."""
        push = PushDeviceList(self._room.own.account_id, entry.number)
        with contextlib.suppress(ParlourError):
            await self._room.engine.step(lambda machine, now: machine.pushed(push, now))
            await self._room.until(lambda: self._room.contact.head.number >= entry.number, READING)
