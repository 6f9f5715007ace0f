"""What the machine asks its shell to write, in one transaction, before anything leaves.

The machine keeps small records by namespace and key, all of which it is given back when it
starts, and messages, which it never reads again except by their id.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias


class Namespace(StrEnum):
    """What a record is about. The values stand in the local store."""

    DEVICE = "device"
    """This device: keys, account, server, token. One record, with an empty key."""
    PREKEYS = "prekeys"
    """The private halves of our prekeys. One record, with an empty key."""
    LEAF_KEY = "leaf_key"
    """The signature key of this device's leaves in groups. One record, with an empty key."""
    KEY_PACKAGE = "key_package"
    """A key package of this device with its private keys, by its reference."""
    CONTACT = "contact"
    """An account we know, by account id."""
    CONVERSATION = "conversation"
    """A conversation, by its id."""
    SESSIONS = "sessions"
    """Pairwise sessions with one device, by device id."""
    OUTBOX = "outbox"
    """Something to say that has no sequence number yet, by message id."""
    HELD = "held"
    """An entry that can't be read yet, by stream id and number."""
    SERVER = "server"
    """What we know of the server: incarnation, ticket. Keys are words."""
    SYNC = "sync"
    """What another device of ours says of an account that is not known here yet, by its id."""
    SETTING = "setting"
    """The person's settings, by key."""
    PROFILE = "profile"
    """What is known of an account's profile, ours among them, by account id."""
    GROUP = "group"
    """A group, by its id, which is its stream's."""
    ROSTER = "roster"
    """The roster of a group as of its current epoch, by the group's id."""
    GROUP_STATE = "group_state"
    """A piece of a group's MLS state, by the group's id and the piece's key."""
    TURN = "turn"
    """An entry of a group that waits for its turn, by stream id and number."""
    INTENT = "intent"
    """What a person wants of a group, by an id of its own."""
    PICTURE = "picture"
    """The picture of a profile, by account id. Not given to the machine when it starts."""


class MessageState(StrEnum):
    """Where a message is."""

    QUEUED = "queued"
    """Ours, written down, without a sequence number."""
    SENT = "sent"
    """Ours, durable on the server."""
    UNSENT = "unsent"
    """Ours, and it stays here: there is nobody to say it to any more; `reason` says why."""
    RECEIVED = "received"
    """Somebody's, read."""
    UNREADABLE = "unreadable"
    """Somebody's, not readable; `reason` says why and what is done about it."""
    REQUESTED = "requested"
    """A stranger's, read and not shown: nobody has accepted them yet."""
    SILENT = "silent"
    """Ours, for programs, not shown; kept for devices that could not read it."""


# What stands in a history.
SHOWN: Final = frozenset(
    {
        MessageState.QUEUED,
        MessageState.SENT,
        MessageState.UNSENT,
        MessageState.RECEIVED,
        MessageState.UNREADABLE,
    }
)


@dataclass(frozen=True, slots=True)
class Message:
    """One message of one conversation, as it is kept and shown.

    It is identified by conversation, sender's device and the sender's id of it, so that however
    often it arrives, it is there once. Times are milliseconds since the epoch: `sent_at` by the
    sender's clock, `stored_at` by the server's. `content` is encoded content (`content.decode`).
    """

    conversation: bytes
    message_id: bytes
    sender_account: bytes
    sender_device: bytes
    seq: int | None
    sent_at: int
    stored_at: int | None
    state: MessageState
    content: bytes
    reason: str = ""

    @property
    def key(self) -> tuple[bytes, bytes, bytes]:
        """What identifies the message."""
        return self.conversation, self.sender_device, self.message_id

    def __repr__(self) -> str:
        return f"Message(id={self.message_id.hex()}, seq={self.seq}, state={self.state.value})"


@dataclass(frozen=True, slots=True)
class PutRecord:
    """Write a record, new or over the old one."""

    namespace: Namespace
    key: bytes
    value: bytes

    def __repr__(self) -> str:
        return f"PutRecord({self.namespace.value}, {self.key.hex()}, [secret])"


@dataclass(frozen=True, slots=True)
class DeleteRecord:
    """Delete a record; nothing when it is not there."""

    namespace: Namespace
    key: bytes


@dataclass(frozen=True, slots=True)
class PutMessage:
    """Write a message over what has the same key.

    A message that is RECEIVED stays so: a later copy changes nothing. `undelivered` marks it as
    not yet handed to the program that reads events.
    """

    message: Message
    undelivered: bool = False


@dataclass(frozen=True, slots=True)
class ReleaseMessages:
    """The messages of a request are RECEIVED now, and undelivered."""

    conversation: bytes


@dataclass(frozen=True, slots=True)
class DeleteMessages:
    """Delete the messages of a conversation: those of a request only, or all (`everything`)."""

    conversation: bytes
    everything: bool = False


@dataclass(frozen=True, slots=True)
class DeleteMessage:
    """Delete a message by its key: what seemed unreadable was for programs."""

    key: tuple[bytes, bytes, bytes]


@dataclass(frozen=True, slots=True)
class TrimSilent:
    """Delete what was for programs and is older (ms): nobody can ask for it any more."""

    stored_before: int


@dataclass(frozen=True, slots=True)
class PutEntryHash:
    """Remember the hash of an entry of a stream, to compare with what others say they saw."""

    stream: bytes
    seq: int
    hash: bytes


Change: TypeAlias = (
    PutRecord
    | DeleteRecord
    | PutMessage
    | ReleaseMessages
    | DeleteMessages
    | DeleteMessage
    | TrimSilent
    | PutEntryHash
)
"""One write. The shell writes all of one batch in one transaction, or none."""
