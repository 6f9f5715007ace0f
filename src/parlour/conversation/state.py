"""The machine's memory: small records, each written down whenever it changes.

`Memory` holds them decoded and collects the changes and the events of one step, for the shell to
write and to show.
"""

from __future__ import annotations

import functools
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import Final

import msgspec
from msgspec import Struct

from parlour.conversation.changes import (
    Change,
    DeleteMessage,
    DeleteRecord,
    Message,
    MessageState,
    Namespace,
    PutMessage,
    PutRecord,
)
from parlour.conversation.contact import Contact
from parlour.conversation.counting import Counters
from parlour.conversation.events import Event, MessageUnsent
from parlour.conversation.groups.chat import Chat
from parlour.conversation.groups.memory import GroupMemory
from parlour.conversation.groups.sharing import SharedGroups
from parlour.conversation.records import (
    ASKED_FOR_SYNC,
    INCARNATION,
    RECORD,
    Conversation,
    Held,
    Inbox,
    KnownProfile,
    LeafKey,
    Outgoing,
    OwnKeyPackage,
    Records,
    Setting,
    UpkeepDone,
    all_of,
    decoded,
    read_own,
    required,
)
from parlour.conversation.standing import Standing
from parlour.double_ratchet.identity import DeviceIdentity
from parlour.double_ratchet.prekey_store import PrekeyStore
from parlour.double_ratchet.sessions import PeerSessions
from parlour.errors import Code, DecodeError
from parlour.primitives.random import Random
from parlour.primitives.signature import Ed25519PublicKey
from parlour.roster.links import JoinLink
from parlour.wire.streams import Entry

# Numbers of messages that did not come, remembered per device to recognise them when they do.
MAX_MISSING: Final = 1000
# Changes of contacts that are remembered one by one: those of some large groups.
MAX_CONTACT_LOG: Final = 8192
# Streams that we do not take part in and remember, so that catching up does not stop at them.
MAX_REFUSED: Final = 100
_INBOX: Final = b"inbox"
_UPKEEP: Final = b"upkeep"


class Memory:
    """Everything the machine knows, and what it changed since the shell last looked."""

    def __init__(
        self, records: Records, now: int, *, random: Random, shared: SharedGroups | None = None
    ) -> None:
        self.random = random
        self.changes: list[Change] = []
        self._records: dict[tuple[Namespace, bytes], Callable[[], bytes] | None] = {}
        self.events: deque[Event] = deque()
        self.own = read_own(records)
        self.local = self.own.local()
        self.prekeys = PrekeyStore.from_bytes(
            required(records, Namespace.PREKEYS, RECORD), self.local
        )
        # How often contacts have changed, and which of them did lately.
        self.contact_changes = 0
        self._contact_log: deque[bytes] = deque(maxlen=MAX_CONTACT_LOG)
        self.contacts = {
            key: Contact.decode(value) for key, value in records.get(Namespace.CONTACT, {}).items()
        }
        self._named = {contact.name: key for key, contact in self.contacts.items()}
        self.conversations = all_of(records, Namespace.CONVERSATION, Conversation)
        self._streams = {
            conversation.stream: peer
            for peer, conversation in self.conversations.items()
            if conversation.stream
        }
        # What a page described and we do not take part in, with how far it was passed over.
        self.refused: OrderedDict[bytes, int] = OrderedDict()
        outbox = all_of(records, Namespace.OUTBOX, Outgoing).values()
        self.outbox = {item.message_id: item for item in sorted(outbox, key=lambda x: x.order)}
        self.queues: dict[bytes, dict[bytes, dict[bytes, Outgoing]]] = {}
        for outgoing in self.outbox.values():
            self._enqueue(outgoing)
        self._order = max((item.order for item in outbox), default=0)
        # By stream and number, so that what is read later is read in order.
        self.held = dict(sorted(all_of(records, Namespace.HELD, Held).items()))
        server = records.get(Namespace.SERVER, {})
        self.incarnation = server.get(INCARNATION, b"")
        self.inbox = decoded(server[_INBOX], Inbox) if _INBOX in server else Inbox()
        self.upkeep = decoded(server[_UPKEEP], UpkeepDone) if _UPKEEP in server else UpkeepDone()
        self.profiles = all_of(records, Namespace.PROFILE, KnownProfile)
        self.settings = {
            key.decode(): setting
            for key, setting in all_of(records, Namespace.SETTING, Setting).items()
        }
        # What our devices say of accounts that are not contacts here: encoded content, by account.
        # Under our own id, an entry of our device list that the server has not shown here yet.
        self.syncs = dict(records.get(Namespace.SYNC, {}))
        self.asked_for_sync = ASKED_FOR_SYNC in server
        self.leaf_key = all_of(records, Namespace.LEAF_KEY, LeafKey).get(RECORD)
        self.key_packages = all_of(records, Namespace.KEY_PACKAGE, OwnKeyPackage)
        self.groups = GroupMemory(records, self, self._device_key, shared)
        # Links by which we are about to come into a group; asked again by a person if it fails.
        self.linked: dict[bytes, JoinLink] = {}
        self.counters = Counters(records, now)
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

    @property
    def added_at(self) -> int:
        """When this device came onto its account's list, by its own clock, in milliseconds."""
        device = self.contacts[self.account_id].state.device(self.device_id)
        return 0 if device is None else device.added_at * 1000

    # --- Writing -------------------------------------------------------------------------

    def take_changes(self) -> list[Change]:
        """What changed since the last call. A record that changed often is encoded once."""
        self.groups.flush()
        records: list[Change] = [
            DeleteRecord(namespace, key) if encode is None else PutRecord(namespace, key, encode())
            for (namespace, key), encode in self._records.items()
        ]
        self._records = {}
        changes, self.changes = self.changes, []
        written = records + changes
        return written + self.counters.take_changes() if written else []

    def put(self, namespace: Namespace, key: bytes, encode: Callable[[], bytes]) -> None:
        """Write a record, encoded when the step ends."""
        self._put(namespace, key, encode)

    def delete(self, namespace: Namespace, key: bytes) -> None:
        """Delete a record."""
        self._delete(namespace, key)

    def tell(self, chat: Chat, event: Event) -> None:
        """Tell of a group. That two people speak in one is nobody's business but the machine's."""
        if not chat.is_direct:
            self.events.append(event)

    def count(self, what: str) -> None:
        """Count something that happened."""
        self.counters.count(what)

    def _device_key(self, account_id: bytes, device_id: bytes) -> Ed25519PublicKey | None:
        """The key of a device that is, or once was, on its account's list."""
        contact = self.contacts.get(account_id)
        return None if contact is None else contact.device_key(device_id)

    def _put(self, namespace: Namespace, key: bytes, encode: Callable[[], bytes]) -> None:
        self._records[namespace, key] = encode

    def _delete(self, namespace: Namespace, key: bytes) -> None:
        self._records[namespace, key] = None

    def put_contact(self, contact: Contact) -> None:
        """Keep a contact."""
        self.contact_changes += 1
        self._contact_log.append(contact.account_id)
        self.contacts[contact.account_id] = contact
        self._named[contact.name] = contact.account_id
        self._put(Namespace.CONTACT, contact.account_id, contact.encode)

    def contacts_changed_since(self, changes: int) -> set[bytes] | None:
        """Which contacts changed since `contact_changes` was that; None if that is too long ago."""
        count = self.contact_changes - changes
        if count > len(self._contact_log):
            return None
        return set(islice(reversed(self._contact_log), count))

    def put_conversation(self, conversation: Conversation) -> None:
        """Keep a conversation."""
        self.conversations[conversation.peer] = conversation
        if conversation.stream:
            self._streams[conversation.stream] = conversation.peer
        self._put(Namespace.CONVERSATION, conversation.peer, _encoder(conversation))

    def leave_stream(self, conversation: Conversation) -> None:
        """Read a stream no more; what was said in it stays."""
        self._streams.pop(conversation.stream, None)
        conversation.stream = b""
        self.put_conversation(conversation)

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
        self._put(Namespace.SERVER, INCARNATION, lambda: incarnation)

    def put_inbox(self) -> None:
        """Keep how far the inbox was read."""
        self._put(Namespace.SERVER, _INBOX, _encoder(self.inbox))

    def profile(self, account_id: bytes) -> KnownProfile:
        """What is known of a profile, to be changed and kept."""
        return self.profiles.setdefault(account_id, KnownProfile())

    def put_profile(self, account_id: bytes) -> None:
        """Keep what is known of a profile."""
        profile = self.profiles[account_id]
        self._put(Namespace.PROFILE, account_id, _encoder(profile))

    def put_picture(self, account_id: bytes, picture: bytes) -> None:
        """Keep the picture of a profile, or drop it when there is none."""
        if picture:
            self._put(Namespace.PICTURE, account_id, lambda: picture)
        else:
            self._delete(Namespace.PICTURE, account_id)

    def put_setting(self, key: str, setting: Setting) -> None:
        """Keep a setting."""
        self.settings[key] = setting
        self._put(Namespace.SETTING, key.encode(), _encoder(setting))

    def put_sync(self, account_id: bytes, content: bytes) -> None:
        """Keep what another device said of an account."""
        self.syncs[account_id] = content
        self._put(Namespace.SYNC, account_id, lambda: content)

    def delete_sync(self, account_id: bytes) -> None:
        """It has been taken in."""
        del self.syncs[account_id]
        self._delete(Namespace.SYNC, account_id)

    def put_asked_for_sync(self) -> None:
        """Remember that our other devices were asked for everything."""
        self.asked_for_sync = True
        self._put(Namespace.SERVER, ASKED_FOR_SYNC, lambda: b"1")

    def forget(self, account_id: bytes) -> None:
        """Drop everything about a contact but how far its conversation was read."""
        contact = self.contacts.pop(account_id)
        del self._named[contact.name]
        self._delete(Namespace.CONTACT, account_id)
        for identity in contact.identities():
            self.delete_sessions(identity.device_id)
        self.drop_waiting(account_id, None)
        if self.profiles.pop(account_id, None) is not None:
            self._delete(Namespace.PROFILE, account_id)
            self._delete(Namespace.PICTURE, account_id)

    def drop_waiting(self, conversation: bytes, reason: Code | None) -> None:
        """Drop what waits to be sent there, and what came from there and can't be read.

        Its person keeps the text, with the reason. Without one, nothing of it is kept.
        """
        for outgoing in list(self.outbox.values()):
            if outgoing.conversation == conversation:
                self._drop(outgoing, reason)
        self.drop_held(conversation)

    def drop_unsealed(self, group: bytes, reason: Code) -> None:
        """Drop what waits to be said in a group, but for what the server may have by now."""
        for outgoing in list(self.outbox.values()):
            if outgoing.conversation == group and not (outgoing.sealed or outgoing.resealed):
                self._drop(outgoing, reason)

    def _drop(self, outgoing: Outgoing, reason: Code | None) -> None:
        self.delete_outgoing(outgoing.message_id)
        if outgoing.inbox or outgoing.silent:
            return
        message = queued_message(outgoing, self)
        if reason is None:
            self.changes.append(DeleteMessage(message.key))
            return
        unsent = replace(message, state=MessageState.UNSENT, reason=reason.value)
        self.changes.append(PutMessage(unsent))
        self.events.append(MessageUnsent(unsent, reason))

    def drop_held(self, account_id: bytes) -> None:
        """Drop what came from an account and can't be read."""
        for key, held in list(self.held.items()):
            if held.entry.sender_account == account_id:
                self.delete_held(key)

    def put_leaf_key(self, leaf_key: LeafKey) -> None:
        """Keep the signature key of our leaves, with what belongs to it."""
        self.leaf_key = leaf_key
        self._put(Namespace.LEAF_KEY, RECORD, _encoder(leaf_key))

    def put_key_package(self, reference: bytes, package: OwnKeyPackage) -> None:
        """Keep a key package of ours."""
        self.key_packages[reference] = package
        self._put(Namespace.KEY_PACKAGE, reference, _encoder(package))

    def delete_key_package(self, reference: bytes) -> None:
        """Erase a key package of ours, with its private keys."""
        del self.key_packages[reference]
        self._delete(Namespace.KEY_PACKAGE, reference)

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

    def named(self, name: str) -> Contact | None:
        """The account that we know by that name."""
        account_id = self._named.get(name)
        return None if account_id is None else self.contacts[account_id]

    def identity_of(self, entry: Entry) -> DeviceIdentity | None:
        """The device that an entry names as its sender, if it is on the list that we know."""
        contact = self.contacts.get(entry.sender_account)
        return None if contact is None else contact.identity(entry.sender_device)

    def hears(self, account_id: bytes) -> bool:
        """Whether an account or a group was accepted, or is ours: others cause but a request."""
        if (group := self.groups.hears(account_id)) is not None:
            return group
        contact = self.contacts.get(account_id)
        accepted = contact is not None and contact.standing is Standing.ACCEPTED
        return accepted or account_id == self.account_id

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


def held_key(entry: Entry) -> bytes:
    """The key of a held entry's record. Numbers may come again when a backup was restored."""
    return entry.stream + entry.seq.to_bytes(8) + entry.client_id


def queued_message(outgoing: Outgoing, memory: Memory) -> Message:
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
