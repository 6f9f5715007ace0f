"""The machine's memory: small records, each written down whenever it changes.

`Memory` holds them decoded and collects the changes and the events of one step, for the shell to
write and to show.
"""

from __future__ import annotations

import functools
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
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
from parlour.errors import Code, DecodeError, StorageError
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
# Streams that we do not take part in and remember, so that catching up does not stop at them.
MAX_REFUSED: Final = 100
RECORD: Final = b""
_INCARNATION: Final = b"incarnation"
_INBOX: Final = b"inbox"
_UPKEEP: Final = b"upkeep"


class OwnDevice(Struct, frozen=True):
    """This device and its account, as they were registered.

    `first` when the account began on this device: a later one meets conversations that others
    have read for long.
    """

    server: str
    name: str
    account_id: _Id
    signature_key: bytes
    identity_key: bytes
    has_kem: bool = True
    first: bool = True

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

    `highest` and `missing` are counters. `unread` is how many entries came whose counter is not
    known, because they could not be read; so many of `missing` are explained. `told` is how many
    more were told of.
    """

    highest: int = 0
    unread: int = 0
    missing: list[int] = []
    told: int = 0


class Conversation(Struct):
    """One direct conversation. Its id is the peer's account id; `stream` is empty until it exists.

    `received` is the number up to which every entry was handled, `ahead` are the numbers of our
    own entries beyond it. Numbers up to `seen_before` were handled once, before the server's data
    was restored from a backup.
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
    seen_before: int = 0


class Outgoing(Struct):
    """Something to say. `sealed` is the encoded request once it was encrypted.

    `inbox` names a device when it goes to that device's inbox instead of the conversation.
    `resealed` when it was encrypted more than once: the server may hold any of these.
    """

    message_id: _Id
    conversation: _Id
    order: int
    sent_at: int
    content: bytes
    counter: int = 0
    sealed: bytes = b""
    inbox: bytes = b""
    resealed: bool = False


class Held(Struct):
    """An entry that could not be read yet, with its reason and the repair's deadline.

    `asked` is how often its sender, or the directory, was asked; `counted` when it is in the
    sender's count of unread entries.
    """

    entry: Entry
    conversation: _Id
    reason: str
    until: int
    asked: int = 0
    counted: bool = False


class Inbox(Struct):
    """How far this device's inbox was read."""

    received: int = 0


class UpkeepDone(Struct):
    """The id of the signed prekey that the server confirmed, and when old keys were erased (ms)."""

    published: int = 0
    expired_at: int = 0


class Memory:
    """Everything the machine knows, and what it changed since the shell last looked."""

    def __init__(self, records: Records, *, random: Random) -> None:
        self.random = random
        self.changes: list[Change] = []
        self._records: dict[tuple[Namespace, bytes], Callable[[], bytes] | None] = {}
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
        self._streams = {
            conversation.stream: peer
            for peer, conversation in self.conversations.items()
            if conversation.stream
        }
        # What a page described and we do not take part in, with how far it was passed over.
        self.refused: OrderedDict[bytes, int] = OrderedDict()
        outbox = _all(records, Namespace.OUTBOX, Outgoing).values()
        self.outbox = {item.message_id: item for item in sorted(outbox, key=lambda x: x.order)}
        self.queues: dict[bytes, dict[bytes, dict[bytes, Outgoing]]] = {}
        for outgoing in self.outbox.values():
            self._enqueue(outgoing)
        self._order = max((item.order for item in outbox), default=0)
        # By stream and number, so that what is read later is read in order.
        self.held = dict(sorted(_all(records, Namespace.HELD, Held).items()))
        server = records.get(Namespace.SERVER, {})
        self.incarnation = server.get(_INCARNATION, b"")
        self.inbox = _decoded(server[_INBOX], Inbox) if _INBOX in server else Inbox()
        self.upkeep = _decoded(server[_UPKEEP], UpkeepDone) if _UPKEEP in server else UpkeepDone()
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

    def take_changes(self) -> list[Change]:
        """What changed since the last call. A record that changed often is encoded once."""
        records: list[Change] = [
            DeleteRecord(namespace, key) if encode is None else PutRecord(namespace, key, encode())
            for (namespace, key), encode in self._records.items()
        ]
        self._records = {}
        changes, self.changes = self.changes, []
        return records + changes

    def _put(self, namespace: Namespace, key: bytes, encode: Callable[[], bytes]) -> None:
        self._records[namespace, key] = encode

    def _delete(self, namespace: Namespace, key: bytes) -> None:
        self._records[namespace, key] = None

    def put_contact(self, contact: Contact) -> None:
        """Keep a contact."""
        self.contacts[contact.account_id] = contact
        self._put(Namespace.CONTACT, contact.account_id, contact.encode)

    def put_conversation(self, conversation: Conversation) -> None:
        """Keep a conversation."""
        self.conversations[conversation.peer] = conversation
        if conversation.stream:
            self._streams[conversation.stream] = conversation.peer
        self._put(Namespace.CONVERSATION, conversation.peer, _encoder(conversation))

    def put_outgoing(self, outgoing: Outgoing) -> None:
        """Keep something to say."""
        self.outbox[outgoing.message_id] = outgoing
        self._enqueue(outgoing)
        self._put(Namespace.OUTBOX, outgoing.message_id, _encoder(outgoing))

    def _enqueue(self, outgoing: Outgoing) -> None:
        queues = self.queues.setdefault(outgoing.conversation, {})
        queues.setdefault(outgoing.inbox, {})[outgoing.message_id] = outgoing

    def delete_outgoing(self, message_id: bytes) -> None:
        """It was said."""
        outgoing = self.outbox.pop(message_id, None)
        if outgoing is None:
            return
        queues = self.queues[outgoing.conversation]
        del queues[outgoing.inbox][message_id]
        if not queues[outgoing.inbox]:
            del queues[outgoing.inbox]
        if not queues:
            del self.queues[outgoing.conversation]
        self._delete(Namespace.OUTBOX, message_id)

    def put_held(self, held: Held) -> None:
        """Keep an entry for later."""
        key = held_key(held.entry)
        self.held[key] = held
        self._put(Namespace.HELD, key, _encoder(held))

    def delete_held(self, key: bytes) -> None:
        """It was read, or given up."""
        if self.held.pop(key, None) is not None:
            self._delete(Namespace.HELD, key)

    def put_prekeys(self) -> None:
        """Keep our prekeys as they are now."""
        self._put(Namespace.PREKEYS, RECORD, self.prekeys.to_bytes)

    def put_incarnation(self, incarnation: bytes) -> None:
        """Remember which data the server has."""
        self.incarnation = incarnation
        self._put(Namespace.SERVER, _INCARNATION, lambda: incarnation)

    def put_inbox(self) -> None:
        """Keep how far the inbox was read."""
        self._put(Namespace.SERVER, _INBOX, _encoder(self.inbox))

    def refuse(self, stream: bytes) -> None:
        """Pass over a stream that was described to us and can't be what it says."""
        self.refused.setdefault(stream, 0)
        while len(self.refused) > MAX_REFUSED:
            self.refused.popitem(last=False)

    def put_upkeep(self) -> None:
        """Keep what upkeep has done."""
        self._put(Namespace.SERVER, _UPKEEP, _encoder(self.upkeep))

    # --- Sessions ------------------------------------------------------------------------

    def sessions(self, peer: DeviceIdentity) -> PeerSessions:
        """The sessions with a device, read from their record when first asked for."""
        sessions = self._sessions.get(peer.device_id)
        if sessions is None or sessions.peer != peer:
            sessions = self._sessions[peer.device_id] = self._load_sessions(peer)
        return sessions

    def _load_sessions(self, peer: DeviceIdentity) -> PeerSessions:
        stored = self._stored_sessions.pop(peer.device_id, None)
        if stored is not None:
            try:
                return PeerSessions.from_bytes(stored, self.local, peer)
            except DecodeError:
                # A device that has other keys by now has other sessions, too.
                return PeerSessions(self.local, peer)
        return PeerSessions(self.local, peer)

    def open_sessions(self) -> list[PeerSessions]:
        """All sessions used since the start, for work ahead in idle time."""
        return list(self._sessions.values())

    def all_sessions(self) -> list[PeerSessions]:
        """The sessions with all devices on the lists that we know."""
        kept = self._sessions.keys() | self._stored_sessions.keys()
        return [
            self.sessions(identity)
            for contact in self.contacts.values()
            for identity in contact.identities()
            if identity.device_id in kept
        ]

    def put_sessions(self, peer: DeviceIdentity) -> None:
        """Keep the sessions with a device as they are now."""
        self._put(Namespace.SESSIONS, peer.device_id, self.sessions(peer).to_bytes)

    def delete_sessions(self, device_id: bytes) -> None:
        """Forget the sessions with a device that left its account's list."""
        self._sessions.pop(device_id, None)
        self._stored_sessions.pop(device_id, None)
        self._delete(Namespace.SESSIONS, device_id)

    # --- Derived -------------------------------------------------------------------------

    def conversation_of_stream(self, stream: bytes) -> Conversation | None:
        """The conversation that a stream belongs to."""
        peer = self._streams.get(stream)
        return None if peer is None else self.conversations[peer]

    def identity_of(self, entry: Entry) -> DeviceIdentity | None:
        """The device that an entry names as its sender, if it is on the list that we know."""
        contact = self.contacts.get(entry.sender_account)
        return None if contact is None else contact.identity(entry.sender_device)

    def can_send(self, target: DeviceIdentity) -> bool:
        """Whether there is a session to send to that device on."""
        return self.sessions(target).can_send

    def targets(self, conversation: Conversation, inbox: bytes = b"") -> list[DeviceIdentity]:
        """Every device of both accounts but this one, or of them the one that `inbox` names."""
        accounts = {conversation.peer, self.account_id}
        return [
            identity
            for account in sorted(accounts)
            for identity in self.contacts[account].identities()
            if identity.device_id != self.device_id and inbox in (b"", identity.device_id)
        ]

    def next_order(self) -> int:
        """The place of the next thing to say."""
        self._order += 1
        return self._order


def read_own(records: Records) -> OwnDevice:
    """This device, out of the records of its home."""
    return _decoded(_required(records, Namespace.DEVICE, RECORD), OwnDevice)


def first_changes(
    own: OwnDevice, contact: Contact, prekeys: PrekeyStore, snapshot: bytes = b""
) -> list[Change]:
    """The records that a machine starts from, for a device that was just made.

    `snapshot` is `Machine.snapshot` of an older device of the account, where one handed it over.
    """
    return [
        PutRecord(Namespace.DEVICE, RECORD, msgspec.msgpack.encode(own)),
        PutRecord(Namespace.CONTACT, contact.account_id, contact.encode()),
        PutRecord(Namespace.PREKEYS, RECORD, prekeys.to_bytes()),
    ]


def held_key(entry: Entry) -> bytes:
    """The key of a held entry's record. Numbers may come again when a backup was restored."""
    return entry.stream + entry.seq.to_bytes(8) + entry.client_id


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


def received_message(entry: Entry, peer: bytes, sent_at: int, content: bytes) -> Message:
    """The message that was read from an entry of the conversation with `peer`."""
    return Message(
        conversation=peer,
        message_id=entry.client_id,
        sender_account=entry.sender_account,
        sender_device=entry.sender_device,
        seq=entry.seq,
        sent_at=sent_at,
        stored_at=entry.stored_at,
        state=MessageState.RECEIVED,
        content=content,
    )


def _encoder(record: Struct) -> Callable[[], bytes]:
    return functools.partial(msgspec.msgpack.encode, record)


def _all(records: Records, namespace: Namespace, kind: type[T]) -> dict[bytes, T]:
    return {key: _decoded(value, kind) for key, value in records.get(namespace, {}).items()}


def _decoded(data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StorageError(Code.STORE_BROKEN, kind.__name__) from error


def _required(records: Records, namespace: Namespace, key: bytes) -> bytes:
    value = records.get(namespace, {}).get(key)
    if value is None:
        raise StorageError(Code.STORE_BROKEN, f"no {namespace.value} record")
    return value
