"""Entries of groups, each in its turn: what comes of one, and what it waits for."""

from __future__ import annotations

from typing import Final

from parlour.conversation.events import GroupRepairing
from parlour.conversation.groups.chat import Chat
from parlour.conversation.groups.confirming import Confirming
from parlour.conversation.groups.direct import Direct
from parlour.conversation.groups.following import Following
from parlour.conversation.groups.joining import Joining
from parlour.conversation.groups.ladder import Ladder
from parlour.conversation.groups.memory import GroupMemory
from parlour.conversation.groups.messages import ASK_FOR_DETAILS
from parlour.conversation.groups.records import Acceptance
from parlour.conversation.groups.streams import Streams
from parlour.conversation.groups.wishes import Wishes
from parlour.conversation.state import Memory
from parlour.errors import ParlourError
from parlour.wire.streams import Entry

# Entries that wait for their turn in one group; what comes beyond is left with the server.
MAX_WAITING: Final = 200
# An entry that waits for something is told of after so long (ms), and given up in the end: a server
# that keeps a device list back stops no group for ever.
TELL_STALLED: Final = 60_000
GIVE_UP_STALLED: Final = 3_600_000


class Arriving:
    """Gives entries their turn."""

    def __init__(
        self,
        memory: Memory,
        direct: Direct,
        joining: Joining,
        following: Following,
        ladder: Ladder,
        confirming: Confirming,
        wishes: Wishes,
        streams: Streams,
    ) -> None:
        self._memory = memory
        self._groups: GroupMemory = memory.groups
        self._direct = direct
        self._joining = joining
        self._following = following
        self._ladder = ladder
        self._confirming = confirming
        self._wishes = wishes
        self._streams = streams

    def has_room(self, group: bytes) -> bool:
        """Whether one more entry of a group can be taken."""
        chat = self._groups.chats.get(group)
        return chat is None or len(chat.waiting) < MAX_WAITING

    def take(self, entry: Entry, now: int) -> None:
        """Take an entry of a group, now or when its turn comes."""
        chat = self._groups.chats[entry.stream]
        if chat.waiting or not self.handle(chat, entry, now):
            self._groups.wait(chat, entry, now)

    def handle(self, chat: Chat, entry: Entry, now: int) -> bool:
        """Take an entry whose turn it is; False if it has to wait for something."""
        if self._direct.is_stopped(chat):
            # Until a person has decided about the changed key.
            return False
        anew = entry.seq > chat.record.followed_seq
        if chat.is_left and anew and self._joining.is_welcome(chat, entry):
            self._streams.come_back(chat)
        trouble = chat.record.trouble
        joined = chat.record.joined_seq
        ours = len(chat.leaves_of(self._memory.account_id)) if chat.is_active else 0
        try:
            done = self._following.handle(chat, entry, now)
        except ParlourError as problem:
            # It would come again and again, and with it nothing else of any group.
            self._following.stumbled(chat, entry, problem, now)
            done = True
        if chat.record.joined_seq != joined:
            self._ladder.entered(chat, trouble)
            self._confirming.began(chat, now)
            chat.attempts = 0
            if not joined:
                self._wishes.came(chat, now)
            if not chat.is_named and chat.record.acceptance is not Acceptance.DECLINED:
                # Who adds somebody tells them; who comes by a link has to ask.
                chat.details_at = now if chat.record.link else now + ASK_FOR_DETAILS
        elif chat.is_active and len(chat.leaves_of(self._memory.account_id)) > ours > 0:
            self._wishes.tell_decision(chat, now)
        elif chat.welcome_problem is not None:
            chat.welcome_problem = None
            self._ladder.unwelcome(chat, entry, now)
        return done

    def retry(self, now: int) -> None:
        """Something came that entries may wait for."""
        for chat in list(self._groups.chats.values()):
            full = len(chat.waiting) >= MAX_WAITING
            while chat.waiting and self.handle(chat, (first := chat.waiting[0]).entry, now):
                self._groups.taken(chat, first)
            # What found no room is still with the server.
            self._groups.behind |= full and len(chat.waiting) < MAX_WAITING

    def act(self, chat: Chat, now: int) -> None:
        """If what an entry waits for did not come, say so, and in the end go on without it."""
        if not chat.waiting:
            chat.stalled = False
            return
        first = chat.waiting[0]
        since = first.since
        if now >= since + TELL_STALLED and not chat.stalled:
            chat.stalled = True
            self._memory.count("group.stalled")
            self._memory.tell(chat, GroupRepairing(chat.id, "stalled", "fetch"))
        if now >= since + GIVE_UP_STALLED:
            self._following.give_up(chat, first.entry, now)
            self._groups.taken(chat, first)
            chat.stalled = False
            self.retry(now)

    def next_timeout(self, chat: Chat) -> int | None:
        """When an entry is given up (ms)."""
        return chat.waiting[0].since + GIVE_UP_STALLED if chat.waiting else None
