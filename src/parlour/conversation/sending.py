"""From "say this" to an encrypted entry on its way.

What is to be said is an intent in the outbox, bound to nothing that can change. When the stream
exists, the device lists are current and there is a session with every device, all that waits is
encrypted in one batch; the ciphertext is written down with the sessions before it leaves, so that
a crash repeats a ciphertext, never a key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final

from msgspec.structs import replace

from parlour.conversation import content as contents
from parlour.conversation import genesis as founding
from parlour.conversation import labels
from parlour.conversation.changes import Message, MessageState, PutEntryHash, PutMessage
from parlour.conversation.content import Content
from parlour.conversation.directory import Directory
from parlour.conversation.events import (
    DeviceLeftOut,
    HistoryMismatch,
    MessageSent,
    SendingBlocked,
)
from parlour.conversation.inner import Inner
from parlour.conversation.pending import Key
from parlour.conversation.requests import ServerRequest
from parlour.conversation.sealed import Context, SealedEntry, entry_hash, seal
from parlour.conversation.state import Conversation, Memory, Outgoing, unsent_message
from parlour.double_ratchet.identity import DeviceIdentity
from parlour.double_ratchet.prekeys import Prekey, PrekeyBundle
from parlour.errors import (
    CODES,
    Code,
    NotFoundError,
    ParlourError,
    PeerError,
    SecurityStop,
    TransportError,
    error,
)
from parlour.primitives.hashes import sha256
from parlour.wire.envelope import SuiteId
from parlour.wire.frames import decode_body, encode_body
from parlour.wire.ids import ID_SIZE
from parlour.wire.kinds import Kind
from parlour.wire.prekeys import Bundle, Bundles, FetchBundles
from parlour.wire.streams import Append, CreateConversation, Part, StreamInfo

CREATE = "create"
BUNDLES = "bundles"
APPEND = "append"
# How many messages of a conversation are sealed and under way at a time.
WINDOW: Final = 64
# Milliseconds until the prekeys of a device that had none are asked for again.
LEFT_OUT_FOR: Final = 3_600_000
INBOX_GENESIS_HASH = sha256(labels.INBOX)


class Sending:
    """The outbox, and everything that has to be there before it can go out."""

    def __init__(self, memory: Memory, directory: Directory) -> None:
        self._memory = memory
        self._directory = directory
        # Devices without prekeys, and since when they are left out, in milliseconds.
        self._left_out: dict[bytes, int] = {}
        self._blocked: dict[bytes, Code] = {}
        self._sealed: dict[bytes, Append] = {}

    def connected(self) -> None:
        """A server that answered badly may be well by now."""
        self._left_out.clear()
        self._blocked.clear()

    # --- Intents -------------------------------------------------------------------------

    def send(self, peer: bytes, content: Content, now: int) -> bytes:
        """Queue content for the direct conversation with `peer`; return the message's id."""
        if peer == self._memory.account_id:
            raise error(Code.USAGE_INVALID, "a conversation needs another account")
        contact = self._memory.contacts.get(peer)
        if contact is None:
            raise NotFoundError(Code.ACCOUNT_UNKNOWN)
        if contact.stopped:
            raise error(Code.ACCOUNT_KEY_CHANGED, contact.name)
        encoded = contents.encode(content)
        if peer not in self._memory.conversations:
            self._memory.put_conversation(Conversation(peer=peer))
        outgoing = self._queue(peer, encoded, now)
        self._memory.changes.append(PutMessage(unsent_message(outgoing, self._memory)))
        return outgoing.message_id

    def send_to_inbox(self, peer: bytes, device_id: bytes, content: Content, now: int) -> None:
        """Queue control content for one device of the conversation's accounts."""
        self._queue(peer, contents.encode(content), now, inbox=device_id)

    def _queue(self, peer: bytes, content: bytes, now: int, inbox: bytes = b"") -> Outgoing:
        outgoing = Outgoing(
            message_id=self._memory.random(ID_SIZE),
            conversation=peer,
            order=self._memory.next_order(),
            sent_at=now,
            content=content,
            inbox=inbox,
        )
        self._memory.put_outgoing(outgoing)
        return outgoing

    # --- Needs ---------------------------------------------------------------------------

    def requests(self, now: int, is_paused: Callable[[Key, int], bool]) -> list[ServerRequest]:
        """Everything that has to be asked so that the outbox empties."""
        needs: list[ServerRequest] = []
        for peer in list(self._memory.queues):
            contact = self._memory.contacts.get(peer)
            if contact is None:
                # We ask a device of our own for what it said to somebody whom we don't know yet.
                self._directory.want(peer)
            elif not contact.stopped:
                needs += self._conversation_needs(peer, now, is_paused)
        return needs

    def _conversation_needs(
        self, peer: bytes, now: int, is_paused: Callable[[Key, int], bool]
    ) -> list[ServerRequest]:
        conversation = self._memory.conversations[peer]
        if not conversation.stream:
            return [self._create(conversation)]
        accounts = sorted({peer, self._memory.account_id})
        stale = [account for account in accounts if not self._directory.is_current(account)]
        if stale:
            return []
        waiting = [
            self._checked(conversation, outgoing)
            for queue in self._memory.queues[peer].values()
            for outgoing in list(islice(queue.values(), WINDOW))
        ]
        new = [outgoing for outgoing in waiting if not outgoing.sealed]
        needs = self._bundles(conversation, new, now)
        if not self._seal_all(conversation, [x for x in new if self._ready(x, now)], now):
            # A session turned out to be too old: there is a bundle more to fetch.
            needs = self._bundles(conversation, new, now)
        return needs + self._appends(waiting, now, is_paused)

    def _appends(
        self, waiting: list[Outgoing], now: int, is_paused: Callable[[Key, int], bool]
    ) -> list[ServerRequest]:
        """What is sealed, in order: behind one that failed, the others of its stream wait."""
        needs = []
        paused: set[bytes] = set()
        for message_id in (outgoing.message_id for outgoing in waiting):
            outgoing = self._memory.outbox.get(message_id)
            if outgoing is None or not outgoing.sealed:
                continue
            key = (APPEND, message_id)
            if outgoing.inbox not in paused:
                needs.append(ServerRequest(key, Kind.APPEND, self._append(outgoing)))
            if is_paused(key, now):
                paused.add(outgoing.inbox)
        return needs

    def _append(self, outgoing: Outgoing) -> Append:
        """The request that was sealed."""
        append = self._sealed.get(outgoing.message_id)
        if append is None:
            append = self._sealed[outgoing.message_id] = decode_body(outgoing.sealed, Append)
        return append

    def _checked(self, conversation: Conversation, outgoing: Outgoing) -> Outgoing:
        """Open up what was sealed for a device that has left since: it gets nothing any more."""
        if outgoing.sealed:
            allowed = {target.device_id for target in self._targets(conversation, outgoing)}
            if any(part.device_id not in allowed for part in self._append(outgoing).parts):
                return self._unsealed(outgoing)
        return outgoing

    def _unsealed(self, outgoing: Outgoing) -> Outgoing:
        self._sealed.pop(outgoing.message_id, None)
        unsealed = replace(outgoing, sealed=b"", resealed=True)
        self._memory.put_outgoing(unsealed)
        return unsealed

    def _create(self, conversation: Conversation) -> ServerRequest:
        own = self._memory.account_id
        genesis = founding.direct(own, conversation.peer)
        body = CreateConversation(
            stream=self._memory.random(ID_SIZE),
            kind="direct",
            members=list(genesis.members),
            genesis=genesis.encode(),
        )
        return ServerRequest((CREATE, conversation.peer), Kind.CREATE_CONVERSATION, body)

    def _targets(self, conversation: Conversation, outgoing: Outgoing) -> list[DeviceIdentity]:
        targets = self._memory.targets(conversation)
        if not outgoing.inbox:
            return targets
        return [target for target in targets if target.device_id == outgoing.inbox]

    def _bundles(
        self, conversation: Conversation, new: list[Outgoing], now: int
    ) -> list[ServerRequest]:
        missing: dict[bytes, set[bytes]] = {}
        for outgoing in _one_per_stream(new):
            for target in self._targets(conversation, outgoing):
                if not self._can_send(target) and not self._is_left_out(target, now):
                    missing.setdefault(target.account_id, set()).add(target.device_id)
        return [
            ServerRequest(
                (BUNDLES, account_id),
                Kind.FETCH_BUNDLES,
                FetchBundles(account_id=account_id, device_ids=sorted(device_ids)),
            )
            for account_id, device_ids in sorted(missing.items())
        ]

    def _ready(self, outgoing: Outgoing, now: int) -> bool:
        """Whether every device that `outgoing` goes to has a session, or is left out.

        Something that nobody but our own devices could read waits.
        """
        conversation = self._memory.conversations[outgoing.conversation]
        targets = self._targets(conversation, outgoing)
        if outgoing.inbox:
            return all(self._can_send(target) for target in targets)
        return all(
            self._can_send(target) or self._is_left_out(target, now) for target in targets
        ) and any(
            self._can_send(target) for target in targets if target.account_id == conversation.peer
        )

    def _can_send(self, target: DeviceIdentity) -> bool:
        return self._memory.sessions(target).can_send

    def _is_left_out(self, target: DeviceIdentity, now: int) -> bool:
        since = self._left_out.get(target.device_id)
        return since is not None and since <= now < since + LEFT_OUT_FOR

    # --- Encrypting ----------------------------------------------------------------------

    def _seal_all(self, conversation: Conversation, ready: list[Outgoing], now: int) -> bool:
        """Encrypt everything that is ready, with one batch for each device.

        `False` when a session was too old to send on: then nothing was sealed.
        """
        entries: list[tuple[Outgoing, Context, SealedEntry]] = []
        batches: dict[bytes, tuple[DeviceIdentity, list[int]]] = {}
        counter = conversation.sent_counter
        for outgoing in ready:
            targets = [x for x in self._targets(conversation, outgoing) if self._can_send(x)]
            if outgoing.inbox and not targets:
                # The device that asked has left its account's list meanwhile.
                self._memory.delete_outgoing(outgoing.message_id)
                continue
            numbered = outgoing
            if not outgoing.counter and not outgoing.inbox:
                # Its number once and for all: sealing it again keeps it.
                counter += 1
                numbered = replace(outgoing, counter=counter)
            context = self._context(conversation, numbered)
            sealed = seal(self._inner(conversation, numbered), context, self._memory.random)
            for target in targets:
                batches.setdefault(target.device_id, (target, []))[1].append(len(entries))
            entries.append((numbered, context, sealed))
        parts: list[list[Part]] = [[] for _ in entries]
        for target, indexes in batches.values():
            messages = self._encrypt(target, [entries[index] for index in indexes], now)
            if messages is None:
                return False
            for index, message in zip(indexes, messages, strict=True):
                parts[index].append(Part(device_id=target.device_id, data=message))
        for (outgoing, context, sealed), own_parts in zip(entries, parts, strict=True):
            append = Append(
                stream=context.stream,
                client_id=outgoing.message_id,
                envelope=sealed.envelope,
                parts=own_parts,
            )
            self._memory.put_outgoing(replace(outgoing, sealed=encode_body(append)))
        if entries:
            conversation.sent_counter = counter
            self._memory.put_conversation(conversation)
        return True

    def _encrypt(
        self, target: DeviceIdentity, entries: list[tuple[Outgoing, Context, SealedEntry]], now: int
    ) -> list[bytes] | None:
        """One part of each entry for `target`; `None` when its session is too old."""
        plaintexts = [
            (sealed.part_plaintext, context.for_part(sealed.envelope.body))
            for _, context, sealed in entries
        ]
        sessions = self._memory.sessions(target)
        self._memory.put_sessions(target)
        try:
            return sessions.encrypt_batch(plaintexts, now // 1000, self._memory.random)
        except PeerError:
            # It never got an answer, and rests on prekeys that are erased by now.
            sessions.reset()
            return None

    def _inner(self, conversation: Conversation, outgoing: Outgoing) -> bytes:
        return Inner(
            counter=outgoing.counter,
            sent_at=outgoing.sent_at,
            last_seq=0 if outgoing.inbox else conversation.last_seq,
            last_hash=b"" if outgoing.inbox else conversation.last_hash,
            content=outgoing.content,
        ).encode()

    def _context(self, conversation: Conversation, outgoing: Outgoing) -> Context:
        if outgoing.inbox:
            genesis_hash = INBOX_GENESIS_HASH
        else:
            genesis_hash = founding.Genesis.decode(conversation.genesis).hash()
        return Context(
            genesis_hash=genesis_hash,
            stream=outgoing.inbox or conversation.stream,
            sender_account=self._memory.account_id,
            sender_device=self._memory.device_id,
            message_id=outgoing.message_id,
            suite=SuiteId.DOUBLE_RATCHET_PQXDH,
        )

    # --- Answers -------------------------------------------------------------------------

    def learn_stream(self, info: StreamInfo) -> None:
        """Take a stream of a direct conversation; its genesis must be the one we would make."""
        own = self._memory.account_id
        others = [member for member in info.members if member != own]
        if own not in info.members or len(others) != 1 or len(info.members) != len(others) + 1:
            raise SecurityStop(Code.CONVERSATION_GENESIS, "not a conversation of two with us")
        peer = others[0]
        if info.kind != "direct":
            raise SecurityStop(Code.CONVERSATION_GENESIS, "a stream of another kind")
        founding.check_direct(info.genesis, own, peer)
        conversation = self._memory.conversations.get(peer) or Conversation(peer=peer)
        if conversation.stream and conversation.stream != info.stream:
            raise error(Code.SERVER_MISBEHAVED, "a second stream for one conversation")
        if not conversation.stream:
            conversation.stream = info.stream
            conversation.genesis = info.genesis
            self._memory.put_conversation(conversation)

    def bundles(self, account_id: bytes, asked: Sequence[bytes], answer: Bundles, now: int) -> None:
        """Start a session with each device whose bundle came.

        A bad bundle blocks the sending. A device without one, or that was away until its prekeys
        expired, is left out for a while: it must not keep us from writing to the others.
        """
        contact = self._memory.contacts[account_id]
        bundles = {bundle.device_id: bundle for bundle in answer.bundles}
        if any(contact.identity(device_id) is None for device_id in bundles):
            raise error(Code.SERVER_MISBEHAVED, "a bundle of a device not on the list")
        identities = [identity for identity in contact.identities() if identity.device_id in asked]
        for identity in identities:
            bundle = bundles.get(identity.device_id)
            if bundle is not None and not self._can_send(identity):
                self._initiate(identity, bundle, now)
        if account_id != self._memory.account_id and not any(
            self._can_send(identity) for identity in contact.identities()
        ):
            # There is nobody to write to: this is asked again, with pauses.
            raise NotFoundError(Code.PREKEY_NONE)
        for identity in identities:
            if not self._can_send(identity):
                self._leave_out(identity, now)
        self.unblocked(account_id)

    def _initiate(self, identity: DeviceIdentity, bundle: Bundle, now: int) -> None:
        try:
            self._memory.sessions(identity).initiate(
                _decode_bundle(identity, bundle), now // 1000, self._memory.random
            )
        except ParlourError as cause:
            if cause.code is not Code.PREKEY_EXPIRED:
                raise
        self._memory.put_sessions(identity)

    def _leave_out(self, identity: DeviceIdentity, now: int) -> None:
        if identity.device_id not in self._left_out:
            self._memory.events.append(DeviceLeftOut(identity.account_id, identity.device_id))
        self._left_out[identity.device_id] = now

    def blocked(self, account_id: bytes, reason: Code) -> None:
        """Say once that nothing goes out to an account, and why."""
        if CODES[reason].kind is TransportError or reason is Code.LIMIT_RATE:
            # It goes on by itself; nobody has to act.
            return
        if self._blocked.get(account_id) is not reason:
            self._blocked[account_id] = reason
            self._memory.events.append(SendingBlocked(account_id, reason))

    def unblocked(self, account_id: bytes) -> None:
        """What blocked an account is over."""
        self._blocked.pop(account_id, None)

    def refused(self, message_id: bytes, reason: Code) -> None:
        """The server did not take a message; it stays queued, and whoever uses this is told."""
        outgoing = self._memory.outbox.get(message_id)
        if outgoing is not None:
            self.blocked(outgoing.conversation, reason)

    def unseal(self, message_id: bytes) -> bool:
        """Encrypt once more: the server refused the devices that a message was made for.

        Return whether that is the first time, so that there is reason to do it at once.
        """
        outgoing = self._memory.outbox.get(message_id)
        if outgoing is None:
            return True
        self._unsealed(outgoing)
        for account in (outgoing.conversation, self._memory.account_id):
            self._directory.want(account)
        return not outgoing.resealed

    def mark_sent(
        self, message_id: bytes, seq: int, stored_at: int, seen: bytes | None = None
    ) -> None:
        """A message of ours has its number. Whatever says so first counts.

        `seen` is the hash of the entry, when the entry itself was seen in the stream.
        """
        outgoing = self._memory.outbox.get(message_id)
        if outgoing is None:
            return
        digest = self._own_hash(outgoing, seq)
        self._memory.delete_outgoing(message_id)
        self._sealed.pop(message_id, None)
        if outgoing.inbox:
            return
        conversation = self._memory.conversations[outgoing.conversation]
        message = self._sent_message(outgoing, seq, stored_at)
        self._memory.changes.append(PutMessage(message))
        self._memory.events.append(MessageSent(message))
        self.unblocked(outgoing.conversation)
        if digest is not None and seen is not None and digest != seen:
            own = self._memory.device_id
            self._memory.events.append(HistoryMismatch(conversation.peer, own, seq))
        if digest is not None and seen is None:
            self._memory.changes.append(PutEntryHash(conversation.stream, seq, digest))
            saw(conversation, seq, digest)
        if seq > conversation.received:
            conversation.ahead = sorted({*conversation.ahead, seq})
            skip_own(conversation)
        self._memory.put_conversation(conversation)

    def _own_hash(self, outgoing: Outgoing, seq: int) -> bytes | None:
        """The hash of our entry; `None` if it was sealed again, as the server may have either."""
        if not outgoing.sealed or outgoing.resealed:
            return None
        append = self._append(outgoing)
        return entry_hash(
            stream=append.stream,
            seq=seq,
            sender_account=self._memory.account_id,
            sender_device=self._memory.device_id,
            message_id=outgoing.message_id,
            envelope=append.envelope,
        )

    def _sent_message(self, outgoing: Outgoing, seq: int, stored_at: int) -> Message:
        return Message(
            conversation=outgoing.conversation,
            message_id=outgoing.message_id,
            sender_account=self._memory.account_id,
            sender_device=self._memory.device_id,
            seq=seq,
            sent_at=outgoing.sent_at,
            stored_at=stored_at,
            state=MessageState.SENT,
            content=outgoing.content,
        )


def _one_per_stream(new: list[Outgoing]) -> list[Outgoing]:
    """One of those that go to the same devices."""
    return list({outgoing.inbox: outgoing for outgoing in new}.values())


def saw(conversation: Conversation, seq: int, digest: bytes) -> None:
    """Remember the newest entry seen, which the next message will name."""
    if seq > conversation.last_seq:
        conversation.last_seq = seq
        conversation.last_hash = digest


def skip_own(conversation: Conversation) -> None:
    """Move `received` over our own entries that follow it directly."""
    while conversation.ahead and conversation.ahead[0] <= conversation.received + 1:
        conversation.received = max(conversation.received, conversation.ahead.pop(0))


def _decode_bundle(identity: DeviceIdentity, bundle: Bundle) -> PrekeyBundle:
    """Decode the signed prekeys of a bundle; what the server says beside them is not believed."""
    try:
        return PrekeyBundle(
            identity=identity,
            signed_prekey=Prekey.from_bytes(bundle.signed.data),
            one_time_prekey=Prekey.from_bytes(bundle.one_time.data) if bundle.one_time else None,
            kem_prekey=Prekey.from_bytes(bundle.kem.data) if bundle.kem else None,
        )
    except ParlourError as cause:
        raise error(Code.SERVER_MISBEHAVED, "a prekey that does not decode") from cause
