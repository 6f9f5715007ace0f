"""Whether the group that we came into by a commit of our own is the one that others are in.

Who comes in so has everything from the server, which could have made up a group for this device
alone. Members are asked over pairwise sessions, others each time, and what the person says waits
for an answer. It does not wait for ever, because a group in which nobody is online would be silent
then: after `ASKS` questions in vain it goes out, which is told of, and the group stays marked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from parlour.conversation.content import EpochSeen
from parlour.conversation.events import GroupRepaired, GroupUnconfirmed
from parlour.conversation.groups.chat import Chat
from parlour.conversation.groups.memory import GroupMemory
from parlour.conversation.sending import Sending
from parlour.conversation.state import Memory
from parlour.double_ratchet.identity import DeviceIdentity

# Members are asked so far apart (ms): `ASKS` times, which is two minutes of being online.
ASK_EVERY: Final = 30_000
# The first time a little after we came: who has not seen that yet does not know us (ms).
ASK_FIRST: Final = 2_000
# After that they are asked at times, so that the mark goes when somebody is there (ms).
ASK_LATER: Final = 10 * 60_000
# How many members are asked each time.
ASKED: Final = 3


class Confirming:
    """Asks members, and holds back what is said until one has answered."""

    def __init__(self, memory: Memory, sending: Sending) -> None:
        self._memory = memory
        self._groups: GroupMemory = memory.groups
        self._sending = sending
        # Whom to ask: so many devices, others in each turn; set by the groups.
        self.some_devices: Callable[[Chat, int, int], list[tuple[bytes, bytes]]] = lambda *_: []

    def began(self, chat: Chat, now: int) -> None:
        """We came in: what was found out before is about another epoch."""
        chat.confirm_asked, chat.confirm_at = 0, now + ASK_FIRST

    def connected(self, chat: Chat, now: int) -> None:
        """Answers to what was asked may be there by now: they are read first."""
        if chat.confirm_asked:
            chat.confirm_at = max(chat.confirm_at, now + ASK_EVERY)

    def act(self, chat: Chat, now: int) -> None:
        """Ask if it is time to, and let go in the end what waits."""
        if not chat.record.unconfirmed or not chat.is_active:
            return
        if now < chat.confirm_at <= now + ASK_LATER:
            return
        waited = chat.waits_for_word
        self._ask(chat, now)
        chat.confirm_asked += 1
        chat.confirm_at = now + (ASK_EVERY if chat.waits_for_word else ASK_LATER)
        if waited and not chat.waits_for_word:
            self._memory.count("group.unconfirmed")
            self._memory.tell(chat, GroupUnconfirmed(chat.id))

    def _ask(self, chat: Chat, now: int) -> None:
        tag = chat.tag_of(chat.record.generation, chat.epoch)
        if tag is None:
            return
        seen = EpochSeen(chat.id, chat.record.generation, chat.epoch, tag, answer=True)
        for account_id, device_id in self.some_devices(chat, ASKED, chat.confirm_asked):
            self._sending.send_to_inbox(account_id, device_id, seen, now)

    def next_timeout(self, chat: Chat) -> int | None:
        """When to ask again (ms)."""
        return chat.confirm_at if chat.record.unconfirmed and chat.is_active else None

    def heard(self, chat: Chat, by: DeviceIdentity, seen: EpochSeen) -> None:
        """A device is, or was, in an epoch in which we are, or were.

        It has to be the one we are in now: to have shared an earlier one says nothing about what
        we came into. Our own devices have it all from the same server; another account has to say
        so, if there is one.
        """
        if (seen.generation, seen.epoch) != (chat.record.generation, chat.epoch):
            return
        own = self._memory.account_id
        if by.account_id == own and any(account != own for account in chat.accounts):
            return
        if chat.record.unconfirmed:
            chat.record.unconfirmed = False
            self._groups.put(chat)
            self._memory.tell(chat, GroupRepaired(chat.id, confirmed=True))
