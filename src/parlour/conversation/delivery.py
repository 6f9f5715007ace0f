"""What becomes of content that was read: shown, held back, or taken in by the machine itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from parlour.conversation.changes import DeleteMessage, Message, MessageState, PutMessage
from parlour.conversation.content import Content, Control, Notice, Unknown
from parlour.conversation.events import MessageReceived
from parlour.conversation.people import People
from parlour.conversation.profiles import Profiles
from parlour.conversation.records import Conversation
from parlour.conversation.state import Memory, received_message
from parlour.conversation.sync import DeviceListGiven, Sync
from parlour.conversation.syncing import Syncing
from parlour.errors import Code, DecodeError
from parlour.wire.streams import Entry

# Content with a number from here on is for programs, known or not (`content`).
_FOR_PROGRAMS: Final = 0x40


class Delivery:
    """Takes content that was read from a conversation, at once or after a repair."""

    def __init__(
        self, memory: Memory, people: People, profiles: Profiles, syncing: Syncing
    ) -> None:
        self._memory = memory
        self._people = people
        self._profiles = profiles
        self._syncing = syncing

    def check(self, content: Content, conversation: Conversation) -> None:
        """Refuse content that does not belong there, before anything comes of it."""
        own = conversation.peer == self._memory.account_id
        misplaced = isinstance(content, Control) or (own != isinstance(content, Sync))
        if misplaced and not isinstance(content, Unknown):
            raise DecodeError(Code.DECODE_MALFORMED, f"{type(content).__name__} in a conversation")

    def take(
        self,
        entry: Entry,
        conversation: Conversation,
        sent_at: int,
        encoded: bytes,
        content: Content,
        now: int,
    ) -> None:
        """Take content that `check` let pass."""
        message = received_message(entry, conversation.peer, sent_at, encoded)
        if isinstance(content, Sync):
            self._syncing.take(content, entry.sender_device, now)
        elif isinstance(content, Notice):
            if entry.sender_account == conversation.peer:
                self._take_notice(content, conversation.peer)
        elif not isinstance(content, Control) and not _is_silent(content):
            self._take_message(message, content, conversation)
            return
        # It may stand there as unreadable.
        self._memory.changes.append(DeleteMessage(message.key))

    def _take_notice(self, notice: Notice, peer: bytes) -> None:
        if isinstance(notice, DeviceListGiven):
            self._syncing.told_lists.given(peer, notice)
        else:
            self._profiles.given(peer, notice.profile)

    def _take_message(self, message: Message, content: Content, conversation: Conversation) -> None:
        if message.sender_account == self._memory.account_id:
            self._people.spoken_elsewhere(conversation.peer)
        elif self._people.hides(conversation):
            if self._people.keeps(conversation):
                requested = replace(message, state=MessageState.REQUESTED)
                self._memory.changes.append(PutMessage(requested))
            return
        self._memory.changes.append(PutMessage(message, undelivered=True))
        self._memory.events.append(MessageReceived(message, content))


def _is_silent(content: Content) -> bool:
    """Whether content of an unknown kind is for programs."""
    return isinstance(content, Unknown) and content.tag >= _FOR_PROGRAMS
