"""Comparing epochs by another path than the group's: so that no server keeps two halves apart.

Two epochs of one number differ in their authenticator (RFC 9420 §8.7). A short hash of it goes
from device to device over pairwise sessions: to our own devices and to others with what they are
told anyway, and to and from a device that came back by its own commit (`confirming`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, TypeAlias

from parlour.conversation.content import EpochSeen
from parlour.conversation.events import GroupForked
from parlour.conversation.groups.chat import Chat
from parlour.conversation.groups.confirming import Confirming
from parlour.conversation.groups.memory import GroupMemory
from parlour.conversation.sending import Sending
from parlour.conversation.state import Memory
from parlour.double_ratchet.identity import DeviceIdentity
from parlour.primitives.hashes import equal

# An epoch is told to a friend at most so often (ms), and to one of our own devices.
TELL_EVERY: Final = 24 * 3_600_000
TELL_OWN_EVERY: Final = 10 * 60_000
# One device is answered, and what it says of another epoch is shown, so often for each group (ms):
# any member can send as many claims as it likes, and make them up.
ANSWER_EVERY: Final = 20_000
FORKED_EVERY: Final = 3_600_000
# Devices and groups that are remembered for that.
MAX_REMEMBERED: Final = 1000

_Times: TypeAlias = OrderedDict[tuple[bytes, bytes], int]


class Comparing:
    """Tells which epochs we are in, and listens to others."""

    def __init__(self, memory: Memory, sending: Sending, confirming: Confirming) -> None:
        self._memory = memory
        self._groups: GroupMemory = memory.groups
        self._sending = sending
        self._confirming = confirming
        # A group may be in two epochs of one number; set by the groups.
        self.on_forked: Callable[[Chat], None] = lambda _: None
        self._told: dict[tuple[bytes, bytes], int] = {}
        self._answered: _Times = OrderedDict()
        self._forked: _Times = OrderedDict()

    def tell(self, account_id: bytes, now: int) -> None:
        """With something that we say to somebody, say in which epochs of common groups we are."""
        contact = self._memory.contacts[account_id]
        pause = TELL_OWN_EVERY if account_id == self._memory.account_id else TELL_EVERY
        for chat in self._groups.chats.values():
            told = self._told.get((account_id, chat.id))
            if not chat.is_active or (told is not None and told <= now < told + pause):
                continue
            if account_id not in chat.accounts:
                continue
            self._told[account_id, chat.id] = now
            for identity in contact.identities():
                if identity.device_id != self._memory.device_id:
                    self._send(chat, identity, chat.record.generation, chat.epoch, now)

    def _send(self, chat: Chat, to: DeviceIdentity, generation: int, epoch: int, now: int) -> None:
        tag = chat.tag_of(generation, epoch)
        if tag is not None:
            seen = EpochSeen(chat.id, generation, epoch, tag, answer=False)
            self._sending.send_to_inbox(to.account_id, to.device_id, seen, now)

    def heard(self, by: DeviceIdentity, seen: EpochSeen, now: int) -> None:
        """Another device says which epoch it is in."""
        chat = self._groups.chats.get(seen.group)
        if chat is None or chat.roster is None:
            return
        if by.account_id not in chat.known_roster().state.members:
            return
        known = chat.tag_of(seen.generation, seen.epoch)
        if known is not None and not equal(known, seen.tag):
            self._memory.count("group.forked")
            if _is_due(self._forked, by, chat, FORKED_EVERY, now):
                self._memory.events.append(GroupForked(chat.id, seen.epoch, by.device_id))
                # One of both is where the server is not, and finds its way back.
                self._send(chat, by, seen.generation, seen.epoch, now)
                self.on_forked(chat)
        elif known is not None:
            self._confirming.heard(chat, by, seen)
        if seen.answer and chat.is_active and _is_due(self._answered, by, chat, ANSWER_EVERY, now):
            self._send(chat, by, chat.record.generation, chat.epoch, now)


def _is_due(times: _Times, by: DeviceIdentity, chat: Chat, pause: int, now: int) -> bool:
    """Whether it is so long since something was done for a device in a group; it is done now."""
    key = (by.device_id, chat.id)
    last = times.get(key)
    if last is not None and last <= now < last + pause:
        return False
    times[key] = now
    times.move_to_end(key)
    while len(times) > MAX_REMEMBERED:
        times.popitem(last=False)
    return True
