"""Device lists of others, as their own devices tell us: a server can't keep a removal from us.

Whoever takes a device off their list gives their contacts the new entry. A server that helps
whoever has that device could otherwise show us no news, and we would go on encrypting to it. Who
was told of an entry writes nothing to that account before the server has shown a list that goes as
far, also after a restart.
"""

from __future__ import annotations

from collections.abc import Iterator

from parlour.conversation import content as contents
from parlour.conversation.directory import Directory
from parlour.conversation.state import Memory
from parlour.conversation.sync import DeviceListGiven
from parlour.errors import DecodeError, ParlourError
from parlour.identity.device_list import DeviceListEntry


class ToldLists:
    """Holds the server to what accounts tell of their own lists."""

    def __init__(self, memory: Memory, directory: Directory) -> None:
        self._memory = memory
        self._directory = directory

    def connected(self) -> None:
        """Expect what was told before a restart."""
        for entry in list(self._kept()):
            self._directory.expect_entry(entry)

    def given(self, account_id: bytes, given: DeviceListGiven) -> None:
        """Take what an account says of its list; what its key did not sign is passed over."""
        contact = self._memory.contacts[account_id]
        try:
            entry = DeviceListEntry.decode(given.entry)
            entry.verify_signature()
        except ParlourError:
            return
        theirs = entry.account_id == account_id and entry.account_key == contact.head.account_key
        if not theirs or entry.number <= contact.head.number:
            return
        if account_id not in self._memory.syncs or self._entry(account_id) is not None:
            # Else stands there that the account was once forgotten, which is to last.
            self._memory.put_sync(account_id, contents.encode(given))
        self._directory.expect_entry(entry)

    def settled(self, account_id: bytes) -> None:
        """The list of an account was read as far as it goes: nothing is owed any more."""
        if self._entry(account_id) is not None:
            self._memory.delete_sync(account_id)

    def _kept(self) -> Iterator[DeviceListEntry]:
        for account_id in self._memory.syncs:
            entry = self._entry(account_id)
            if entry is not None:
                yield entry

    def _entry(self, account_id: bytes) -> DeviceListEntry | None:
        """What an account has told of its list and the server has not shown yet."""
        try:
            said = contents.decode(self._memory.syncs.get(account_id, b""))
        except DecodeError:
            # What another device says of an account is kept there too, and our own entry bare.
            return None
        return DeviceListEntry.decode(said.entry) if isinstance(said, DeviceListGiven) else None
