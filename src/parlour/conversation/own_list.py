"""Our own device list, as our devices tell each other: nobody can hide a removal from one of them.

Whatever device reads that our list has changed, by more than new devices, tells the others in the
self conversation, with the newest entry itself; where that is a group on MLS, each of them by its
inbox. The account key signed it, so that a stolen device can't make one up and stop the others with
it. A device that was told of an entry writes to nobody before the server has shown it a list that
goes as far: else it would go on writing to a device that its owner has thrown out.

Our contacts are given the entry too, for the same reason: see `told_lists`.
"""

from __future__ import annotations

from parlour.conversation.directory import Directory
from parlour.conversation.sending import Sending
from parlour.conversation.standing import Standing
from parlour.conversation.state import Memory
from parlour.conversation.sync import DeviceListGiven, OwnListSync
from parlour.errors import ParlourError
from parlour.identity.device_list import DeviceListEntry


class OwnList:
    """Tells of our own device list, and holds the server to what others tell of it."""

    def __init__(self, memory: Memory, directory: Directory, sending: Sending) -> None:
        self._memory = memory
        self._directory = directory
        self._sending = sending
        self._known = self._head
        # The number of the newest entry that another device tells all of us.
        self._heard = 0

    @property
    def _head(self) -> DeviceListEntry:
        return self._memory.contacts[self._memory.account_id].head

    def connected(self) -> None:
        """Expect what was told before a restart."""
        kept = self._memory.syncs.get(self._memory.account_id)
        if kept is not None:
            self._directory.expect_entry(DeviceListEntry.decode(kept))

    def settled(self, now: int) -> None:
        """Our list was read as far as it goes: tell the others what changed on it."""
        # What was told of it, if anything, the server has shown by now.
        if self._memory.account_id in self._memory.syncs:
            self._memory.delete_sync(self._memory.account_id)
        known, self._known = self._known, self._head
        if self._heard < self._head.number and _is_more_than_added(known, self._head):
            self._tell(now)
            self._give(now)

    def answer(self, now: int) -> None:
        """Another device asks for everything: tell it, if there is anything that could be hidden.

        A list of as many entries as devices has only ever grown.
        """
        if self._head.number + 1 != len(self._head.devices):
            self._tell(now)

    def _tell(self, now: int) -> None:
        own, said = self._memory.account_id, OwnListSync(self._head.encode())
        if self._memory.groups.of(own) is None:
            self._sending.send_silently(own, said, now)
            return
        # Which devices are in a group rests on this very list: so it goes to each device.
        for device in self._head.devices:
            if device.device_id != self._memory.device_id:
                self._sending.send_to_inbox(own, device.device_id, said, now)

    def _give(self, now: int) -> None:
        """Give our contacts the entry: a server could keep them writing to who is not on it."""
        given = DeviceListGiven(self._head.encode())
        for contact in list(self._memory.contacts.values()):
            spoken = contact.account_id in self._memory.conversations
            if spoken and contact.standing is Standing.ACCEPTED:
                self._sending.send_silently(contact.account_id, given, now)

    def take(self, sync: OwnListSync, sender: bytes) -> None:
        """Take what the device `sender` was shown; what our key did not sign is passed over."""
        head = self._head
        try:
            entry = DeviceListEntry.decode(sync.entry)
            entry.verify_signature()
        except ParlourError:
            return
        ours = entry.account_id == head.account_id and entry.account_key == head.account_key
        if not ours or entry.number < head.number or entry == head:
            return
        if sender in _ids(entry):
            # Else it may be the one that was removed, and tell only some of us.
            self._heard = max(self._heard, entry.number)
        self._memory.put_sync(self._memory.account_id, sync.entry)
        self._directory.expect_entry(entry)


def _ids(entry: DeviceListEntry) -> set[bytes]:
    return {device.device_id for device in entry.devices}


def _is_more_than_added(before: DeviceListEntry, after: DeviceListEntry) -> bool:
    """Whether a list has changed by anything but one new device with each entry."""
    added = _ids(after) - _ids(before)
    return not _ids(before) <= _ids(after) or after.number - before.number != len(added)
