"""The machine's memory: small records, each written down whenever it changes.

`Memory` holds them decoded and collects the changes and the events of one step, for the shell to
write and to show.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Annotated, Final, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from parlour.conversation.changes import (
    Change,
    DeleteRecord,
    Message,
    MessageState,
    Namespace,
    PutRecord,
)
from parlour.conversation.contact import Contact
from parlour.conversation.events import Event
from parlour.double_ratchet.identity import DeviceIdentity, LocalDevice
from parlour.double_ratchet.prekey_store import PrekeyStore
from parlour.double_ratchet.sessions import PeerSessions
from parlour.errors import Code, StorageError
from parlour.identity.device_list import device_id_of
from parlour.primitives.agreement import X25519PrivateKey
from parlour.primitives.random import Random
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.wire.streams import Entry

_Id = Annotated[bytes, Meta(min_length=16, max_length=16)]

T = TypeVar("T", bound=Struct)
Records: TypeAlias = Mapping[Namespace, Mapping[bytes, bytes]]

# Numbers of messages that did not come, remembered per device to recognise them when they do.
MAX_MISSING: Final = 1000
RECORD: Final = b""
_INCARNATION: Final = b"incarnation"
_INBOX: Final = b"inbox"


class OwnDevice(Struct, frozen=True):
    """This device and its account, as they were registered."""

    server: str
    name: str
    account_id: _Id
    signature_key: bytes
    identity_key: bytes
    has_kem: bool = True

    def __repr__(self) -> str:
        return f"OwnDevice({self.name}@{self.server})"

    def local(self) -> LocalDevice:
        """The device as the pairwise protocol knows it."""
        signature_key = Ed25519PrivateKey(self.signature_key)
        identity_key = X25519PrivateKey(self.identity_key)
        identity = DeviceIdentity(
            account_id=self.account_id,
            device_id=device_id_of(signature_key.public_key),
            signature_key=signature_key.public_key,
            identity_key=identity_key.public_key,
            has_kem=self.has_kem,
        )
        return LocalDevice(identity, signature_key, identity_key)


class SenderCount(Struct):
    """What arrived of one sending device in one conversation.

    `highest` and `missing` are counters; `unread` is how many entries came and were not readable.
    """

    highest: int = 0
    unread: int = 0
    missing: list[int] = []


class Conversation(Struct):
    """One direct conversation. Its id is the peer's account id; `stream` is empty until it exists.

    `received` is the number up to which every entry was handled, `ahead` are the numbers of our
    own entries beyond it.
    """

    peer: _Id
    stream: bytes = b""
    genesis: bytes = b""
    received: int = 0
    ahead: list[int] = []
    sent_counter: int = 0
    last_seq: int = 0
    last_hash: bytes = b""
    senders: dict[bytes, SenderCount] = {}


class Outgoing(Struct):
    """Something to say. `sealed` is the encoded request once it was encrypted.

    `inbox` names a device when it goes to that device's inbox instead of the conversation.
    """

    message_id: _Id
    conversation: _Id
    order: int
    sent_at: int
    content: bytes
    counter: int = 0
    sealed: bytes = b""
    inbox: bytes = b""


class Held(Struct):
    """An entry that could not be read yet, with its reason and the repair's deadline."""

    entry: Entry
    conversation: _Id
    reason: str
    until: int
    asked: int = 0


class Inbox(Struct):
    """How far this device's inbox was read."""

    received: int = 0


class Memory:
    """Everything the machine knows, and what it changed since the shell last looked."""

    def __init__(self, records: Records, *, random: Random) -> None:
        self.random = random
        self.changes: list[Change] = []
        self.events: deque[Event] = deque()
        self.own = read_own(records)
        self.local = self.own.local()
        self.prekeys = PrekeyStore.from_bytes(
            _required(records, Namespace.PREKEYS, RECORD), self.local
        )
        self.contacts = {
            key: Contact.decode(value) for key, value in records.get(Namespace.CONTACT, {}).items()
        }
        self.conversations = _all(records, Namespace.CONVERSATION, Conversation)
        self.outbox = _all(records, Namespace.OUTBOX, Outgoing)
        self.held = _all(records, Namespace.HELD, Held)
        server = records.get(Namespace.SERVER, {})
        self.incarnation = server.get(_INCARNATION, b"")
        self.inbox = _decoded(server[_INBOX], Inbox) if _INBOX in server else Inbox()
        self._stored_sessions = dict(records.get(Namespace.SESSIONS, {}))
        self._sessions: dict[bytes, PeerSessions] = {}

    @property
    def account_id(self) -> bytes:
        """Our account."""
        return self.own.account_id

    @property
    def device_id(self) -> bytes:
        """This device."""
        return self.local.identity.device_id

    # --- Writing -------------------------------------------------------------------------

    def _put(self, namespace: Namespace, key: bytes, value: bytes) -> None:
        self.changes.append(PutRecord(namespace, key, value))

    def put_contact(self, contact: Contact) -> None:
        """Keep a contact."""
        self.contacts[contact.account_id] = contact
        self._put(Namespace.CONTACT, contact.account_id, contact.encode())

    def put_conversation(self, conversation: Conversation) -> None:
        """Keep a conversation."""
        self.conversations[conversation.peer] = conversation
        self._put(Namespace.CONVERSATION, conversation.peer, msgspec.msgpack.encode(conversation))

    def put_outgoing(self, outgoing: Outgoing) -> None:
        """Keep something to say."""
        self.outbox[outgoing.message_id] = outgoing
        self._put(Namespace.OUTBOX, outgoing.message_id, msgspec.msgpack.encode(outgoing))

    def delete_outgoing(self, message_id: bytes) -> None:
        """It was said."""
        if self.outbox.pop(message_id, None) is not None:
            self.changes.append(DeleteRecord(Namespace.OUTBOX, message_id))

    def put_held(self, held: Held) -> None:
        """Keep an entry for later."""
        key = held_key(held.entry.stream, held.entry.seq)
        self.held[key] = held
        self._put(Namespace.HELD, key, msgspec.msgpack.encode(held))

    def delete_held(self, key: bytes) -> None:
        """It was read, or given up."""
        if self.held.pop(key, None) is not None:
            self.changes.append(DeleteRecord(Namespace.HELD, key))

    def put_prekeys(self) -> None:
        """Keep our prekeys as they are now."""
        self._put(Namespace.PREKEYS, RECORD, self.prekeys.to_bytes())

    def put_incarnation(self, incarnation: bytes) -> None:
        """Remember which data the server has."""
        self.incarnation = incarnation
        self._put(Namespace.SERVER, _INCARNATION, incarnation)

    def put_inbox(self) -> None:
        """Keep how far the inbox was read."""
        self._put(Namespace.SERVER, _INBOX, msgspec.msgpack.encode(self.inbox))

    # --- Sessions ------------------------------------------------------------------------

    def sessions(self, peer: DeviceIdentity) -> PeerSessions:
        """The sessions with a device, read from their record when first asked for."""
        sessions = self._sessions.get(peer.device_id)
        if sessions is None:
            stored = self._stored_sessions.pop(peer.device_id, None)
            if stored is None:
                sessions = PeerSessions(self.local, peer)
            else:
                sessions = PeerSessions.from_bytes(stored, self.local, peer)
            self._sessions[peer.device_id] = sessions
        return sessions

    def open_sessions(self) -> list[PeerSessions]:
        """All sessions used since the start, for work ahead in idle time."""
        return list(self._sessions.values())

    def put_sessions(self, peer: DeviceIdentity) -> None:
        """Keep the sessions with a device as they are now."""
        self._put(Namespace.SESSIONS, peer.device_id, self.sessions(peer).to_bytes())

    def delete_sessions(self, device_id: bytes) -> None:
        """Forget the sessions with a device that left its account's list."""
        self._sessions.pop(device_id, None)
        self._stored_sessions.pop(device_id, None)
        self.changes.append(DeleteRecord(Namespace.SESSIONS, device_id))

    # --- Derived -------------------------------------------------------------------------

    def conversation_of_stream(self, stream: bytes) -> Conversation | None:
        """The conversation that a stream belongs to."""
        for conversation in self.conversations.values():
            if conversation.stream == stream:
                return conversation
        return None

    def targets(self, conversation: Conversation) -> list[DeviceIdentity]:
        """Every device of both accounts but this one."""
        accounts = {conversation.peer, self.account_id}
        return [
            identity
            for account in sorted(accounts)
            for identity in self.contacts[account].identities()
            if identity.device_id != self.device_id
        ]

    def next_order(self) -> int:
        """The place of the next thing to say."""
        return max((outgoing.order for outgoing in self.outbox.values()), default=0) + 1


def read_own(records: Records) -> OwnDevice:
    """This device, out of the records of its home."""
    return _decoded(_required(records, Namespace.DEVICE, RECORD), OwnDevice)


def first_changes(own: OwnDevice, contact: Contact, prekeys: PrekeyStore) -> list[Change]:
    """The records that a machine starts from, for a device that was just registered."""
    return [
        PutRecord(Namespace.DEVICE, RECORD, msgspec.msgpack.encode(own)),
        PutRecord(Namespace.CONTACT, contact.account_id, contact.encode()),
        PutRecord(Namespace.PREKEYS, RECORD, prekeys.to_bytes()),
    ]


def held_key(stream: bytes, seq: int) -> bytes:
    """The key of a held entry's record."""
    return stream + seq.to_bytes(8)


def unsent_message(outgoing: Outgoing, memory: Memory) -> Message:
    """The message that something to say will be."""
    return Message(
        conversation=outgoing.conversation,
        message_id=outgoing.message_id,
        sender_account=memory.account_id,
        sender_device=memory.device_id,
        seq=None,
        sent_at=outgoing.sent_at,
        stored_at=None,
        state=MessageState.QUEUED,
        content=outgoing.content,
    )


def _all(records: Records, namespace: Namespace, kind: type[T]) -> dict[bytes, T]:
    return {key: _decoded(value, kind) for key, value in records.get(namespace, {}).items()}


def _decoded(data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise StorageError(Code.STORE_BROKEN, kind.__name__) from error


def _required(records: Records, namespace: Namespace, key: bytes) -> bytes:
    value = records.get(namespace, {}).get(key)
    if value is None:
        raise StorageError(Code.STORE_BROKEN, f"no {namespace.value} record")
    return value
