"""The last entry of our device list that was signed here, and the rule for signing the next one.

Two entries of one number, both signed by the account key, are a fork: a server could show one to
each of two people. It has both as soon as this device signs a second one because it does not know
what became of the first: after a cut, a crash, or a no from a server that lies. So whatever signs
an entry writes it down before it leaves, together with what else changes in that step; and where
the list is still what it was then (`SignedEntry.is_next`), it sends exactly these bytes, and no
others, until the server took them or another device's entry stands in that place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import msgspec
from msgspec import Struct

from parlour.conversation.changes import Change, DeleteRecord, Namespace, PutRecord
from parlour.errors import Code, ParlourError, SecurityStop, StorageError
from parlour.identity.device_list import DeviceListEntry, DeviceListState
from parlour.wire.directory import DevicePrekeys
from parlour.wire.vaults import NewVaults

_KEY: Final = b"signed_entry"


class _Stored(Struct, frozen=True):
    entry: bytes
    prekeys: list[DevicePrekeys]
    vaults: NewVaults | None


class SignedEntry:
    """An entry that may have left this device, with what goes to the server beside it.

    `prekeys` are the first ones of devices that it adds; `vaults` come with a new recovery key.
    """

    __slots__ = ("entry", "prekeys", "vaults")

    def __init__(
        self,
        entry: DeviceListEntry,
        prekeys: Sequence[DevicePrekeys] = (),
        vaults: NewVaults | None = None,
    ) -> None:
        self.entry = entry
        self.prekeys = tuple(prekeys)
        self.vaults = vaults

    def change(self) -> Change:
        """The record to write, before the entry leaves. It takes the place of the last one's."""
        stored = _Stored(self.entry.encode(), list(self.prekeys), self.vaults)
        return PutRecord(Namespace.SERVER, _KEY, msgspec.msgpack.encode(stored))

    @staticmethod
    def deletion() -> Change:
        """The end of the record: the list has come as far as this entry."""
        return DeleteRecord(Namespace.SERVER, _KEY)

    @classmethod
    def load(cls, records: Mapping[Namespace, Mapping[bytes, bytes]]) -> SignedEntry | None:
        """Read the record, if there is one."""
        data = records.get(Namespace.SERVER, {}).get(_KEY)
        if data is None:
            return None
        try:
            stored = msgspec.msgpack.decode(data, type=_Stored)
            return cls(DeviceListEntry.decode(stored.entry), stored.prekeys, stored.vaults)
        except (msgspec.DecodeError, UnicodeDecodeError, ParlourError) as problem:
            raise StorageError(Code.STORE_BROKEN, "signed entry") from problem

    def is_next(self, state: DeviceListState) -> bool:
        """Whether this is the entry after `state`, so that no other may be signed there.

        Raises `SecurityStop` where the server shows a list that this entry can't follow: an older
        one than when it was signed, or a fork.
        """
        if state.number >= self.entry.number:
            return False
        if state.number + 1 < self.entry.number:
            raise SecurityStop(Code.DEVICE_LIST_ROLLBACK, f"entry {state.number} is the last")
        if state.head_hash != self.entry.previous_hash:
            raise SecurityStop(Code.DEVICE_LIST_INVALID, "the list was forked")
        return True

    def says(self, entry: DeviceListEntry) -> bool:
        """Whether another entry after the same one says nothing else, but for its time."""
        mine = self.entry
        same = replace(
            entry, issued_at=mine.issued_at, signature=mine.signature, approvals=mine.approvals
        )
        return same == mine
