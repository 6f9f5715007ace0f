"""The part of the machine's memory that holds groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

import msgspec
from msgspec import Struct

from parlour.conversation.changes import Namespace
from parlour.conversation.contact import Contact
from parlour.conversation.groups.chat import Chat
from parlour.conversation.groups.credentials import policy_of
from parlour.conversation.groups.records import (
    Acceptance,
    GroupRecord,
    GroupState,
    Intent,
    RosterRecord,
    Waiting,
)
from parlour.conversation.groups.sharing import SharedGroups
from parlour.conversation.records import Records, all_of
from parlour.mls.public.framing.messages import MessageBody, decode_message
from parlour.roster.device_signature import FindKey
from parlour.wire.ids import ID_SIZE
from parlour.wire.streams import Entry


class Writes(Protocol):
    """The memory that this is a part of: it collects what is to be written."""

    def put(self, namespace: Namespace, key: bytes, encode: Callable[[], bytes]) -> None:
        """Write a record, encoded when the step ends."""

    def delete(self, namespace: Namespace, key: bytes) -> None:
        """Delete a record."""

    @property
    def contacts(self) -> Mapping[bytes, Contact]:
        """All accounts that are known."""


class GroupMemory:
    """All groups of this device, and what is wanted of them."""

    def __init__(
        self,
        records: Records,
        writes: Writes,
        find_key: FindKey,
        shared: SharedGroups | None = None,
    ) -> None:
        self._writes = writes
        self.shared = shared
        self.policy = policy_of(find_key)
        rosters = all_of(records, Namespace.ROSTER, RosterRecord)
        stored: dict[bytes, dict[bytes, bytes]] = {}
        for key, value in records.get(Namespace.GROUP_STATE, {}).items():
            stored.setdefault(key[:ID_SIZE], {})[key[ID_SIZE:]] = value
        self._moved: dict[bytes, Chat] = {}
        self.chats = {
            key: Chat.load(record, self.policy, rosters.get(key), stored.get(key, {}), shared)
            for key, record in all_of(records, Namespace.GROUP, GroupRecord).items()
        }
        self._by_conversation = {chat.conversation: chat for chat in self.chats.values()}
        for _, waiting in sorted(all_of(records, Namespace.TURN, Waiting).items()):
            self.chats[waiting.entry.stream].waiting.append(waiting)
        intents = all_of(records, Namespace.INTENT, Intent).values()
        self.intents = {item.intent_id: item for item in sorted(intents, key=lambda x: x.order)}
        # Whether there is something to catch up with that an answer, or a refusal, told of first.
        self.behind = False

    def of(self, conversation: bytes) -> Chat | None:
        """The group that a conversation is, if it is one on MLS."""
        return self._by_conversation.get(conversation)

    def decode(self, data: bytes) -> MessageBody:
        """An MLS message; decoded once for all who share."""
        return decode_message(data) if self.shared is None else self.shared.decode(data)

    def hears(self, group: bytes) -> bool | None:
        """Whether the person has said yes to a group; None if there is none of that id."""
        chat = self.chats.get(group)
        return None if chat is None else chat.record.acceptance is Acceptance.ACCEPTED

    def is_founding(self, stream: bytes) -> bool:
        """Whether it is the stream of a group that the server may not know of yet."""
        chat = self.chats.get(stream)
        return chat is not None and chat.record.state is GroupState.FOUNDING

    def take_behind(self) -> bool:
        """Whether there is something to catch up with; told once."""
        behind, self.behind = self.behind, False
        return behind

    # --- Writing -------------------------------------------------------------------------

    def put(self, chat: Chat) -> None:
        """Keep the small record of a group."""
        self.chats[chat.id] = self._by_conversation[chat.conversation] = chat
        self._writes.put(Namespace.GROUP, chat.id, _encoder(chat.record))

    def put_roster(self, chat: Chat) -> None:
        """Keep the roster of the current epoch."""
        self._writes.put(Namespace.ROSTER, chat.id, chat.roster_record)

    def put_state(self, chat: Chat) -> None:
        """Keep what has changed of the MLS state: with each message something has."""
        self._moved[chat.id] = chat

    def put_epoch(self, chat: Chat) -> None:
        """Keep a group that moved: another epoch, or another place in it."""
        self.put(chat)
        self.put_state(chat)

    def flush(self) -> None:
        """Hand over what is to be written; called when the step ends."""
        for chat in self._moved.values():
            for key, value in chat.take_changes().items():
                if value is None:
                    self._writes.delete(Namespace.GROUP_STATE, chat.id + key)
                else:
                    self._writes.put(Namespace.GROUP_STATE, chat.id + key, partial(_same, value))
        self._moved.clear()

    def wait(self, chat: Chat, entry: Entry, now: int) -> None:
        """Keep an entry until its turn comes."""
        waiting = Waiting(entry, now)
        chat.waiting.append(waiting)
        self._writes.put(Namespace.TURN, _turn(entry), _encoder(waiting))

    def taken(self, chat: Chat, waiting: Waiting) -> None:
        """An entry has had its turn. By it we may have left the group, and all that waited."""
        if waiting in chat.waiting:
            chat.waiting.remove(waiting)
            self._writes.delete(Namespace.TURN, _turn(waiting.entry))

    def put_intent(self, intent: Intent) -> None:
        """Keep a wish."""
        self.intents[intent.intent_id] = intent
        self._writes.put(Namespace.INTENT, intent.intent_id, _encoder(intent))

    def fulfilled(self, intent_id: bytes) -> None:
        """A wish has come true, or can't any more."""
        self.intents.pop(intent_id, None)
        self._writes.delete(Namespace.INTENT, intent_id)

    def intents_of(self, group: bytes) -> list[Intent]:
        """What is wanted of a group, in order."""
        return [intent for intent in self.intents.values() if intent.group == group]

    def next_order(self) -> int:
        """The place of the next wish."""
        return max((intent.order for intent in self.intents.values()), default=0) + 1

    def forget(self, chat: Chat) -> None:
        """Drop everything about a group but that we were in it.

        What came after has its turn still: we may be welcomed again by it.
        """
        chat.group = None
        chat.roster = None
        self._writes.delete(Namespace.ROSTER, chat.id)
        self.put_state(chat)
        for waiting in list(chat.waiting):
            if waiting.entry.seq <= chat.record.followed_seq:
                self.taken(chat, waiting)
        for intent in self.intents_of(chat.id):
            self.fulfilled(intent.intent_id)

    def drop(self, chat: Chat) -> None:
        """Drop a group as if it had never been: another one is in its place."""
        self.forget(chat)
        for waiting in list(chat.waiting):
            self.taken(chat, waiting)
        del self.chats[chat.id]
        del self._by_conversation[chat.conversation]
        self._writes.delete(Namespace.GROUP, chat.id)


def _same(value: bytes) -> bytes:
    return value


def _turn(entry: Entry) -> bytes:
    return entry.stream + entry.seq.to_bytes(8)


def _encoder(record: Struct) -> Callable[[], bytes]:
    return partial(msgspec.msgpack.encode, record)
