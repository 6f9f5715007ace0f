"""What happened to this account's own devices, kept until a program has shown it.

Somebody who gets at an account adds a device to it; so its owner is told of each one, on every
device, however long that was switched off. The last entry of our own list that was looked at is on
disk, and what followed it becomes notices: entry by entry, so that a device shows that came and
went meanwhile. What this device has changed itself is not news.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Struct

from parlour.conversation.changes import Change, Namespace, PutRecord
from parlour.errors import Code, ParlourError, StorageError
from parlour.identity.device_list import DeviceListEntry, DeviceListState

_SEEN: Final = b"devices_seen"
_NOTICES: Final = b"device_notices"
_OWN: Final = b"device_changes"
# The newest are kept; nobody reads more.
MAX_NOTICES: Final = 200
# Entries of ours that were not looked at yet; one process makes a few.
MAX_OWN: Final = 50


class NoticeKind(StrEnum):
    """Stable codes of notices, as ``--json`` shows them."""

    DEVICE_ADDED = "device.added"
    DEVICE_REMOVED = "device.removed"
    RECOVERY_CHANGED = "recovery.changed"
    APPROVAL_ON = "approval.on"
    APPROVAL_OFF = "approval.off"


class Notice(Struct, frozen=True):
    """One thing that another device did to the list of devices.

    `number` is the entry's in the list, `at` its time in seconds by the clock of who signed it.
    `device_id` is empty where no device is meant; `sealed_name` is its name for our own eyes.
    """

    kind: NoticeKind
    number: int
    at: int
    device_id: bytes = b""
    sealed_name: bytes = b""


class _Notices(Struct):
    waiting: list[Notice] = []


def notices_between(before: DeviceListEntry, after: DeviceListEntry) -> list[Notice]:
    """What differs between two entries of our own list, of which the second is the later one."""
    old, new = DeviceListState.after(before), DeviceListState.after(after)

    def notice(kind: NoticeKind, device_id: bytes = b"", sealed_name: bytes = b"") -> Notice:
        return Notice(kind, after.number, after.issued_at, device_id, sealed_name)

    found = [
        notice(NoticeKind.DEVICE_ADDED, device.device_id, device.sealed_name)
        for device in new.devices
        if old.device(device.device_id) is None
    ]
    found += [
        notice(NoticeKind.DEVICE_REMOVED, device.device_id, device.sealed_name)
        for device in old.devices
        if new.device(device.device_id) is None
    ]
    if old.recovery_key != new.recovery_key:
        found.append(notice(NoticeKind.RECOVERY_CHANGED))
    if old.needs_approval != new.needs_approval:
        kind = NoticeKind.APPROVAL_ON if new.needs_approval else NoticeKind.APPROVAL_OFF
        found.append(notice(kind))
    return found


class NoticeBoard:
    """The records of a home. Each call returns the changes to write; nothing counts before."""

    def __init__(self, records: Mapping[Namespace, Mapping[bytes, bytes]]) -> None:
        server = records.get(Namespace.SERVER, {})
        try:
            self.seen = DeviceListEntry.decode(server[_SEEN]) if _SEEN in server else None
            self.waiting = (
                msgspec.msgpack.decode(server[_NOTICES], type=_Notices).waiting
                if _NOTICES in server
                else []
            )
            self._own = (
                msgspec.msgpack.decode(server[_OWN], type=list[bytes]) if _OWN in server else []
            )
        except (msgspec.DecodeError, ParlourError) as problem:
            raise StorageError(Code.STORE_BROKEN, "notices") from problem

    def ours(self, entry: DeviceListEntry) -> list[Change]:
        """An entry that this device is about to append: what it says is no news here."""
        self._own = [*self._own, entry.hash()][-MAX_OWN:]
        return [_put(_OWN, self._own)]

    def looked_at(self, entries: Sequence[DeviceListEntry]) -> list[Change]:
        """Take notice of what follows on `seen`; the last entry is what is seen from now on."""
        waiting, own, seen = self.waiting, self._own, self.seen
        for entry in entries:
            if entry.hash() in own:
                own = [each for each in own if each != entry.hash()]
            elif seen is not None:
                waiting = [*waiting, *notices_between(seen, entry)]
            seen = entry
        self.waiting, self._own, self.seen = waiting[-MAX_NOTICES:], own, seen
        changes = [_put(_OWN, self._own), _put(_NOTICES, _Notices(self.waiting))]
        return changes if seen is None else [*changes, seen_change(seen)]

    def shown(self, notices: Sequence[Notice]) -> list[Change]:
        """A program has shown these."""
        self.waiting = [notice for notice in self.waiting if notice not in notices]
        return [_put(_NOTICES, _Notices(self.waiting))]


def seen_change(entry: DeviceListEntry) -> Change:
    """The record of a home that begins with this entry, which is no news."""
    return PutRecord(Namespace.SERVER, _SEEN, entry.encode())


def _put(key: bytes, value: object) -> Change:
    return PutRecord(Namespace.SERVER, key, msgspec.msgpack.encode(value))
