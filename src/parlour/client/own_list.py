"""Change our own device list, on top of whatever other devices made of it meanwhile.

Two devices may change the list at once; one of them is second, and is told. It reads what the
first one made, and tries again on top of that. What was signed once and may have arrived is never
signed a second time in other words (`signed_entry`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from parlour.client.account import Account
from parlour.client.device_lists import Ask, read_on
from parlour.client.engine import Engine
from parlour.client.link import Link
from parlour.client.signed_entry import SignedEntry
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

    `before` is written to this disk with the entry; `vaults` come with a new recovery key.
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
    """Appends entries. `note` gives the changes that make an entry known as our own.

    `signed` is the last one that an earlier program has signed.
    """

    def __init__(
        self,
        room: Room,
        note: Callable[[DeviceListEntry], list[Change]],
        signed: SignedEntry | None = None,
    ) -> None:
        self.lock = asyncio.Lock()
        self._room = room
        self._note = note
        self._signed = signed

    async def append(self, make: Make) -> DeviceListEntry | None:
        """Append what `make` makes; returns the entry, or None where nothing is to change.

        Raises `DEVICE_LIST_CONFLICT` where others were quicker each time, `SecurityStop` where the
        server shows a list that can't be, and what `make` raises.
        """
        async with self.lock:
            for _ in range(TRIES):
                last, signed = await self._prepare(make)
                if signed is None or await self._send(signed, last):
                    return None if signed is None else signed.entry
        raise error(Code.DEVICE_LIST_CONFLICT, "each time it was tried; try again later")

    async def prepare(self, make: Make) -> DeviceListEntry | None:
        """The next entry, signed and on this disk, for a request that changes more than the list.

        Hold `lock` until it was sent.
        """
        _, signed = await self._prepare(make)
        return None if signed is None else signed.entry

    async def _prepare(self, make: Make) -> tuple[DeviceListEntry, SignedEntry | None]:
        """The list's last entry, and the next one, signed and on this disk.

        What was signed before and may have left comes first (`signed_entry`): it is this entry, if
        it says the same, or it is sent here, and the next one is made on top of it. A device that
        it takes in was waiting for an answer that nobody gives it any more; it leaves again.
        """
        unused: frozenset[bytes] = frozenset()
        for _ in range(TRIES):
            last = await self.newest()
            state = DeviceListState.after(last)
            draft = make(_without(state, unused))
            earlier = self._signed
            if earlier is None or not earlier.is_next(state):
                return last, None if draft is None else await self._sign(draft, state)
            if draft is not None and earlier.says(draft.entry):
                return last, await self._keep(replace(draft, entry=earlier.entry))
            await self._send_earlier(earlier, last)
            unused |= {each.device_id for each in earlier.prekeys}
        raise error(Code.DEVICE_LIST_CONFLICT, "each time it was tried; try again later")

    async def resend(self) -> None:
        """Send what was signed before, if the list has not come so far; else do nothing.

        Raises `USAGE_STATE` where only a person can help.
        """
        async with self.lock:
            earlier = self._signed
            if earlier is None or earlier.entry.number <= self._room.contact.head.number:
                return
            last = await self.newest()
            if earlier.is_next(DeviceListState.after(last)):
                await self._send_earlier(earlier, last)

    async def newest(self) -> DeviceListEntry:
        """The last entry of our list, which the server must show on top of what we know."""
        known = self._room.contact.head
        return [known, *await read_on(self._room.ask, known)][-1]

    async def _sign(self, draft: Draft, state: DeviceListState) -> SignedEntry:
        entry = draft.entry
        if state.wants_approval(entry):
            entry = entry.approve(self._room.device_key)
        return await self._keep(replace(draft, entry=entry))

    async def _keep(self, draft: Draft) -> SignedEntry:
        """Write down, before it leaves, what is about to leave, and that it is our own."""
        signed = SignedEntry(draft.entry, draft.prekeys, draft.vaults)
        changes = [*self._note(draft.entry), *draft.before, signed.change()]
        await self._room.store.apply(changes)
        self._signed = signed
        return signed

    async def _send_earlier(self, earlier: SignedEntry, last: DeviceListEntry) -> None:
        try:
            await self._send(earlier, last)
        except ConflictError as problem:
            if problem.code is not Code.VAULT_CONFLICT:
                raise
            # Its vaults are out of date, and new ones need the paper.
            raise error(
                Code.USAGE_STATE,
                "a new recovery key was begun on this device and not finished; "
                "make any change to the list of devices on another device first",
            ) from problem

    async def _send(self, signed: SignedEntry, last: DeviceListEntry) -> bool:
        """Append an entry after `last`: False where another device's stands in its place."""
        entry = signed.entry
        body = AppendDeviceList(entry.encode(), list(signed.prekeys) or None, signed.vaults)
        for _ in range(TRIES):
            try:
                await self._room.link.ask(Kind.APPEND_DEVICE_LIST, body, Nothing)
            except (TransportError, ConflictError) as problem:
                # A cut tells nothing, and of conflicts one alone is about the list.
                known = isinstance(problem, TransportError)
                if not known and problem.code is not Code.DEVICE_LIST_CONFLICT:
                    raise
                # Whether it was ours that came first, the list itself tells.
                later = await read_on(self._room.ask, last)
                if not later:
                    continue
                if later[0].hash() != entry.hash():
                    return False
            await self.taken_in(entry)
            return True
        raise error(Code.DEVICE_LIST_CONFLICT, "and the server does not show that change")

    async def taken_in(self, entry: DeviceListEntry) -> None:
        """Let this device's own machine read the entry, without waiting for its announcement."""
        push = PushDeviceList(self._room.own.account_id, entry.number)
        with contextlib.suppress(ParlourError):
            await self._room.engine.step(lambda machine, now: machine.pushed(push, now))
            await self._room.until(lambda: self._room.contact.head.number >= entry.number, READING)


def _without(state: DeviceListState, device_ids: Collection[bytes]) -> DeviceListState:
    """A list as the next entry is made from it, where some devices leave with that one."""
    stay = tuple(device for device in state.devices if device.device_id not in device_ids)
    return replace(state, devices=stay)
