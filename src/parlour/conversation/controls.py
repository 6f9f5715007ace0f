"""The inbox: control messages from device to device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from parlour.conversation import content as contents
from parlour.conversation.content import Content, ResendRequest, Resent
from parlour.conversation.delivery import Delivery
from parlour.conversation.directory import Directory
from parlour.conversation.opening import Opening
from parlour.conversation.people import People
from parlour.conversation.records import Held
from parlour.conversation.repair import Repairing
from parlour.conversation.sealing import INBOX_GENESIS_HASH
from parlour.conversation.state import Memory
from parlour.double_ratchet.identity import DeviceIdentity
from parlour.errors import ParlourError
from parlour.wire.streams import Entry

# Control messages of devices that we are about to learn of, in memory only.
MAX_WAITING: Final = 200


class Controls:
    """Reads this device's inbox."""

    def __init__(
        self,
        memory: Memory,
        directory: Directory,
        opening: Opening,
        repairing: Repairing,
        people: People,
        delivery: Delivery,
    ) -> None:
        self._memory = memory
        self._directory = directory
        self._opening = opening
        self._repairing = repairing
        self._people = people
        self._delivery = delivery
        self._waiting: list[Entry] = []
        # What is about groups goes to them.
        self.on_other: Callable[[DeviceIdentity, Content, int], object] = lambda *_: None
        self.on_resent: Callable[[Held, int, bytes, int], bool] = lambda *_: False

    def take(self, entry: Entry, now: int) -> None:
        """Read a control message of another device; what is not one is ignored."""
        if entry.sender_device == self._memory.device_id:
            return
        if not self._people.admits(entry.sender_account, now):
            return
        identity = self._memory.identity_of(entry)
        if identity is None:
            known = entry.sender_account in self._memory.contacts
            if known and len(self._waiting) < MAX_WAITING:
                # A new device that could not read what was sent before. It is taken in once its
                # list was read; if we stop before, the sender asks again.
                self._waiting.append(entry)
                self._directory.want(entry.sender_account)
            return
        if self._opening.obstacle(entry, identity) is not None:
            return
        try:
            _, content, _ = self._opening.open(entry, identity, INBOX_GENESIS_HASH, now)
        except ParlourError:
            return
        if isinstance(content, ResendRequest):
            self._repairing.asked(identity, content)
        elif isinstance(content, Resent):
            self._take_resent(identity, content, now)
        else:
            self.on_other(identity, content, now)

    def _take_resent(self, identity: DeviceIdentity, resent: Resent, now: int) -> None:
        """Put a message that came once more into its place, if this device waits for it."""
        held = self._repairing.waiting_for(identity, resent.message_id)
        if held is None:
            return
        if self._memory.groups.of(held.conversation) is not None:
            if self.on_resent(held, resent.sent_at, resent.content, now):
                self._repairing.came(held)
            return
        conversation = self._memory.conversations[held.conversation]
        try:
            content = contents.decode(resent.content)
            self._delivery.check(content, conversation)
        except ParlourError:
            return
        self._repairing.came(held)
        self._delivery.take(held.entry, conversation, resent.sent_at, resent.content, content, now)
        self._memory.put_conversation(conversation)

    def retry(self, account_id: bytes, now: int) -> None:
        """Read what waited for the device list of an account."""
        waiting, self._waiting = self._waiting, []
        for entry in waiting:
            if entry.sender_account != account_id:
                self._waiting.append(entry)
            elif self._memory.identity_of(entry) is not None:
                self.take(entry, now)
