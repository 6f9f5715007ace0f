"""An account's own devices: see them, take new ones in, name, remove and guard them.

::

    for device in await client.devices.list():
        print(device.name, device.added_at, device.last_seen)
    await client.devices.remove(["old phone"], password)

The list says which devices are ours; the account key signs it, and is opened from the vault by the
password for each change. What other devices do to the list is kept as `notices` until a program
has shown it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Collection, Mapping, MutableSequence, Sequence
from dataclasses import dataclass, replace
from typing import Final

from parlour.client.device_lists import read_on
from parlour.client.hosting import Host, PendingAnswer
from parlour.client.linking import Compare, Show
from parlour.client.notices import Notice, NoticeBoard
from parlour.client.own_list import Draft, ListEditor, Room
from parlour.client.signed_entry import SignedEntry
from parlour.conversation.changes import Namespace
from parlour.errors import Code, NotFoundError, ParlourError, TransportError, UsageError, error
from parlour.identity.device_list import Device, DeviceListEntry, DeviceListState, next_entry
from parlour.identity.device_name import open_device_name, seal_device_name
from parlour.identity.linking import LinkText
from parlour.identity.vault import AccountSecret
from parlour.wire.kinds import Kind
from parlour.wire.login import Sessions
from parlour.wire.server import Nothing

# Seconds between tries while the server does not answer or the disk fails.
PAUSE: Final = 2.0
# Characters of an id in hex that name a device, as the list shows them.
SHORT_ID: Final = 8


@dataclass(frozen=True, slots=True)
class OwnDeviceInfo:
    """One of our devices. `current` for this one.

    `added_at` is in seconds. `last_seen` is the day on which it was last logged in, in milliseconds
    of midnight UTC: the server notes no more. None for a device that has no login (any more).
    """

    device_id: bytes
    name: str | None
    current: bool
    added_at: int
    last_seen: int | None

    @property
    def short_id(self) -> str:
        """The beginning of its id, for people to tell two of one name apart."""
        return self.device_id.hex()[:SHORT_ID]


class Devices:
    """`Client.devices`. Devices are named by their name, or by eight or more characters of the id.

    What changes the list raises what opening the vault raises (`LOGIN_FAILED`, `VAULT_CLOSED`),
    and `DEVICE_LIST_CONFLICT` where other devices were quicker each time.
    """

    def __init__(self, room: Room, records: Mapping[Namespace, Mapping[bytes, bytes]]) -> None:
        self._room = room
        self._board = NoticeBoard(records)
        self.editor = ListEditor(room, self._board.ours, SignedEntry.load(records))
        self._host = Host(room, self.editor, PendingAnswer.load(records))
        self._noting = asyncio.Lock()

    async def run(self) -> None:
        """What goes on in the background while a client is open."""
        changed = self._room.engine.changed
        while True:
            seen = changed.count
            try:
                await self._take_notice()
                if self._room.link.status.online:
                    await self._host.deliver()
            except ParlourError:
                await asyncio.sleep(PAUSE)
            else:
                await changed.wait(seen)

    # --- Look ----------------------------------------------------------------------------

    async def list(self) -> Sequence[OwnDeviceInfo]:
        """All devices of the account, in the order in which they came."""
        sessions = (await self._room.ask(Kind.SESSIONS, Nothing(), Sessions)).sessions
        seen: dict[bytes, int] = {}
        for session in sessions:
            seen[session.device_id] = max(session.last_used, seen.get(session.device_id, 0))
        return [self._info(device, seen) for device in (await self.editor.newest()).devices]

    def _info(self, device: Device, seen: Mapping[bytes, int]) -> OwnDeviceInfo:
        return OwnDeviceInfo(
            device_id=device.device_id,
            name=self.name_of(device.device_id, device.sealed_name),
            current=device.device_id == self._room.engine.machine.device_id,
            added_at=device.added_at,
            last_seen=seen.get(device.device_id),
        )

    def name_of(self, device_id: bytes, sealed_name: bytes) -> str | None:
        """A device's name, which only our own devices can read."""
        return open_device_name(
            sealed_name,
            secret=AccountSecret(self._room.account.secret),
            account_id=self._room.own.account_id,
            device_id=device_id,
        )

    @property
    def needs_approval(self) -> bool:
        """Whether a new device needs the approval of an old one, or of the recovery key."""
        return self._room.contact.head.needs_approval

    # --- Take in -------------------------------------------------------------------------

    async def show(
        self, password: str, *, show: Show, compare: Compare, name: str = ""
    ) -> OwnDeviceInfo:
        """Show a code, and take in the device that scans it, under `name`.

        It is signed for when a person has said yes on both. Raises `LINK_EXPIRED`, `LINK_CONFLICT`,
        `LINK_MISMATCH` for a no here, of which the new device is told, `LINK_REFUSED` for a no
        there, `LIMIT_COUNT`, and what `show` and `compare` raise.
        """
        device = await self._host.show(password, show=show, compare=compare, name=name)
        return self._info(device, {})

    async def scan(
        self, text: LinkText | str, password: str, *, compare: Compare, name: str = ""
    ) -> OwnDeviceInfo:
        """Take in the device that shows this code; as `show` for the rest.

        Raises `LINK_INVALID`, `LINK_USED`, and `SERVER_PIN` where the new device sees another
        server, too.
        """
        device = await self._host.scan(text, password, compare=compare, name=name)
        return self._info(device, {})

    # --- Change --------------------------------------------------------------------------

    async def rename(self, device: str, name: str, password: str) -> None:
        """Give a device another name. Raises `DEVICE_UNKNOWN`, also if it was just removed."""
        device_id = await self.find(device)
        unlocked = await self._room.unlock(password)
        sealed = seal_device_name(
            name,
            secret=unlocked.secret,
            account_id=self._room.own.account_id,
            device_id=device_id,
        )

        def make(state: DeviceListState) -> Draft | None:
            if state.device(device_id) is None:
                raise error(Code.DEVICE_UNKNOWN, "another device has removed it")
            devices = tuple(
                replace(each, sealed_name=sealed) if each.device_id == device_id else each
                for each in state.devices
            )
            return Draft(next_entry(state, unlocked.account_key, devices, _now()))

        await self.editor.append(make)

    async def remove(self, devices: Collection[str], password: str) -> Sequence[bytes]:
        """Remove devices; returns the ids of those that were still there.

        They lose their logins at once and read nothing that is sent from now on. Where one was lost
        or stolen, `Client.passwords.change` removes it, ends other logins and changes the password
        in one step. Raises `DEVICE_UNKNOWN`, and `USAGE_INVALID` for this device itself.
        """
        leaving = {await self.find(device) for device in devices}
        self._check_leaving(leaving)
        unlocked = await self._room.unlock(password)
        removed: MutableSequence[bytes] = []

        def make(state: DeviceListState) -> Draft | None:
            removed[:] = [d.device_id for d in state.devices if d.device_id in leaving]
            if not removed:
                return None
            left = tuple(each for each in state.devices if each.device_id not in leaving)
            return Draft(next_entry(state, unlocked.account_key, left, _now()))

        await self.editor.append(make)
        return removed

    def _check_leaving(self, leaving: Collection[bytes]) -> None:
        if self._room.engine.machine.device_id in leaving:
            raise UsageError(
                Code.USAGE_INVALID, "a device does not remove itself; remove it on another one"
            )

    async def set_approval(self, password: str, *, needed: bool) -> None:
        """Demand, or no longer, that a new device is approved by an old one or the recovery key."""
        unlocked = await self._room.unlock(password)

        def make(state: DeviceListState) -> Draft | None:
            if state.needs_approval == needed:
                return None
            entry = next_entry(
                state, unlocked.account_key, state.devices, _now(), needs_approval=needed
            )
            return Draft(entry)

        await self.editor.append(make)

    async def find(self, text: str) -> bytes:
        """The id of the device that goes by a name, or by the beginning of its id.

        Raises `DEVICE_UNKNOWN`, and `USAGE_INVALID` where several do.
        """
        wanted = text.casefold()
        found = set()
        for device in (await self.editor.newest()).devices:
            name = self.name_of(device.device_id, device.sealed_name)
            by_id = len(wanted) >= SHORT_ID and device.device_id.hex().startswith(wanted)
            if by_id or (name is not None and name.casefold() == wanted):
                found.add(device.device_id)
        if not found:
            raise NotFoundError(Code.DEVICE_UNKNOWN, text)
        if len(found) > 1:
            raise UsageError(Code.USAGE_INVALID, f"several devices are called {text}: use the id")
        return found.pop()

    # --- Notices -------------------------------------------------------------------------

    async def notices(self) -> Sequence[Notice]:
        """What other devices did to the list and no program has shown yet, oldest first."""
        with contextlib.suppress(TransportError):
            await self._take_notice()
        return [*self._board.waiting]

    async def mark_shown(self, notices: Sequence[Notice]) -> None:
        """A person has seen these."""
        async with self._noting:
            await self._room.store.apply(self._board.shown(notices))

    async def _take_notice(self) -> None:
        """Look at what followed on the last entry that was looked at."""
        async with self._noting:
            head, seen = self._room.contact.head, self._board.seen
            if seen is None:
                # The home was just made, by this device's owner.
                await self._room.store.apply(self._board.looked_at([head]))
            elif head.number > seen.number and self._room.link.status.online:
                await self._room.store.apply(self._board.looked_at(await self._since(seen, head)))

    async def _since(
        self, seen: DeviceListEntry, head: DeviceListEntry
    ) -> MutableSequence[DeviceListEntry]:
        """Every entry after `seen` up to `head`; at least the difference, from any server."""
        try:
            entries = await read_on(self._room.ask, seen)
        except TransportError:
            raise
        except ParlourError:
            return [head]
        known = entries[: head.number - seen.number]
        return known if known and known[-1].hash() == head.hash() else [head]


def _now() -> int:
    """Seconds since the epoch."""
    return int(time.time())
