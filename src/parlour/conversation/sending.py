"""From "say this" to an encrypted entry on its way.

What is to be said is an intent in the outbox, bound to nothing that can change. When the stream
exists, the device lists are current and there is a session with every device, all that waits is
encrypted in one batch; the ciphertext is written down with the sessions before it leaves, so that
a crash repeats a ciphertext, never a key.
"""

from __future__ import annotations

from msgspec.structs import replace

from parlour.conversation import content as contents
from parlour.conversation import genesis as founding
from parlour.conversation import labels
from parlour.conversation.changes import Message, MessageState, PutEntryHash, PutMessage
from parlour.conversation.content import Content
from parlour.conversation.directory import Directory
from parlour.conversation.events import MessageSent, SendingBlocked
from parlour.conversation.inner import Inner
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
INBOX_GENESIS_HASH = sha256(labels.INBOX)


class Sending:
    """The outbox, and everything that has to be there before it can go out."""

    def __init__(self, memory: Memory, directory: Directory) -> None:
        self._memory = memory
        self._directory = directory

    # --- Intents -------------------------------------------------------------------------

    def send(self, peer: bytes, content: Content, now: int) -> bytes:
        """Queue content for the direct conversation with `peer`; return the message's id."""
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

    def requests(self, now: int) -> list[ServerRequest]:
        """Everything that has to be asked so that the outbox empties."""
        needs: list[ServerRequest] = []
        for peer, waiting in self._waiting().items():
            contact = self._memory.contacts[peer]
            if contact.stopped:
                continue
            needs += self._conversation_needs(self._memory.conversations[peer], waiting, now)
        return needs

    def _waiting(self) -> dict[bytes, list[Outgoing]]:
        waiting: dict[bytes, list[Outgoing]] = {}
        for outgoing in sorted(self._memory.outbox.values(), key=lambda item: item.order):
            waiting.setdefault(outgoing.conversation, []).append(outgoing)
        return waiting

    def _conversation_needs(
        self, conversation: Conversation, waiting: list[Outgoing], now: int
    ) -> list[ServerRequest]:
        if not conversation.stream:
            return [self._create(conversation)]
        accounts = sorted({conversation.peer, self._memory.account_id})
        stale = [account for account in accounts if not self._directory.is_current(account)]
        if stale:
            return []
        needs = self._bundles(conversation, waiting)
        fetching = {need.key[1] for need in needs}
        ready = [item for item in waiting if not item.sealed and self._ready(item, fetching)]
        self._seal_all(conversation, ready, now)
        for outgoing in waiting:
            current = self._memory.outbox.get(outgoing.message_id)
            if current is not None and current.sealed:
                body = decode_body(current.sealed, Append)
                needs.append(ServerRequest((APPEND, current.message_id), Kind.APPEND, body))
        return needs

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

    def _bundles(self, conversation: Conversation, waiting: list[Outgoing]) -> list[ServerRequest]:
        missing: dict[bytes, set[bytes]] = {}
        for outgoing in waiting:
            for target in self._targets(conversation, outgoing):
                if not outgoing.sealed and not self._memory.sessions(target).can_send:
                    missing.setdefault(target.account_id, set()).add(target.device_id)
        return [
            ServerRequest(
                (BUNDLES, account_id),
                Kind.FETCH_BUNDLES,
                FetchBundles(account_id=account_id, device_ids=sorted(device_ids)),
            )
            for account_id, device_ids in sorted(missing.items())
        ]

    def _ready(self, outgoing: Outgoing, fetching: set[bytes]) -> bool:
        """Whether every device that `outgoing` goes to has a session."""
        conversation = self._memory.conversations[outgoing.conversation]
        if not fetching:
            return True
        return all(
            self._memory.sessions(target).can_send
            for target in self._targets(conversation, outgoing)
        )

    # --- Encrypting ----------------------------------------------------------------------

    def _seal_all(self, conversation: Conversation, ready: list[Outgoing], now: int) -> None:
        """Encrypt everything that waits, with one batch for each device."""
        entries: list[tuple[Outgoing, Context, SealedEntry]] = []
        batches: dict[bytes, tuple[DeviceIdentity, list[int]]] = {}
        for outgoing in ready:
            targets = self._targets(conversation, outgoing)
            if outgoing.inbox and not targets:
                # The device that asked has left its account's list meanwhile.
                self._memory.delete_outgoing(outgoing.message_id)
                continue
            numbered = self._numbered(conversation, outgoing)
            context = self._context(conversation, numbered)
            sealed = seal(self._inner(conversation, numbered), context, self._memory.random)
            for target in targets:
                batches.setdefault(target.device_id, (target, []))[1].append(len(entries))
            entries.append((numbered, context, sealed))
        if not entries:
            return
        parts: list[list[Part]] = [[] for _ in entries]
        for target, indexes in batches.values():
            plaintexts = [
                (entries[i][2].part_plaintext, entries[i][1].for_part(entries[i][2].envelope.body))
                for i in indexes
            ]
            messages = self._memory.sessions(target).encrypt_batch(
                plaintexts, now // 1000, self._memory.random
            )
            for index, message in zip(indexes, messages, strict=True):
                parts[index].append(Part(device_id=target.device_id, data=message))
            self._memory.put_sessions(target)
        for (outgoing, context, sealed), own_parts in zip(entries, parts, strict=True):
            append = Append(
                stream=context.stream,
                client_id=outgoing.message_id,
                envelope=sealed.envelope,
                parts=own_parts,
            )
            self._memory.put_outgoing(replace(outgoing, sealed=encode_body(append)))
        self._memory.put_conversation(conversation)

    def _numbered(self, conversation: Conversation, outgoing: Outgoing) -> Outgoing:
        """Give a message its counter, once: sealing it again keeps the number."""
        if outgoing.counter or outgoing.inbox:
            return outgoing
        conversation.sent_counter += 1
        return replace(outgoing, counter=conversation.sent_counter)

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
        founding.check_direct(info.genesis, own, peer)
        conversation = self._memory.conversations.get(peer) or Conversation(peer=peer)
        if conversation.stream and conversation.stream != info.stream:
            raise SecurityStop(Code.SERVER_MISBEHAVED, "a second stream for one conversation")
        if not conversation.stream:
            conversation.stream = info.stream
            conversation.genesis = info.genesis
            self._memory.put_conversation(conversation)

    def bundles(self, account_id: bytes, answer: Bundles, now: int) -> None:
        """Start a session with each device whose bundle came; a bad one blocks the sending."""
        contact = self._memory.contacts[account_id]
        if not answer.bundles:
            raise NotFoundError(Code.PREKEY_NONE)
        for bundle in answer.bundles:
            identity = contact.identity(bundle.device_id)
            if identity is None:
                raise SecurityStop(Code.SERVER_MISBEHAVED, "a bundle of a device not on the list")
            sessions = self._memory.sessions(identity)
            if not sessions.can_send:
                sessions.initiate(
                    _decode_bundle(identity, bundle), now // 1000, self._memory.random
                )
                self._memory.put_sessions(identity)

    def blocked(self, account_id: bytes, reason: Code) -> None:
        """Say that nothing goes out to an account, and why."""
        self._memory.events.append(SendingBlocked(account_id, reason))

    def refused(self, message_id: bytes, reason: Code) -> None:
        """The server did not take a message; it stays queued, and whoever uses this is told."""
        outgoing = self._memory.outbox.get(message_id)
        if outgoing is not None and CODES[reason].kind is not TransportError:
            self.blocked(outgoing.conversation, reason)

    def unseal(self, message_id: bytes) -> None:
        """Encrypt once more: the server refused the devices that a message was made for."""
        outgoing = self._memory.outbox.get(message_id)
        if outgoing is None:
            return
        self._memory.put_outgoing(replace(outgoing, sealed=b""))
        for account in (outgoing.conversation, self._memory.account_id):
            self._directory.want(account)

    def mark_sent(self, message_id: bytes, seq: int, stored_at: int) -> None:
        """A message of ours has its number. Whatever says so first counts."""
        outgoing = self._memory.outbox.get(message_id)
        if outgoing is None:
            return
        self._memory.delete_outgoing(message_id)
        if outgoing.inbox:
            return
        conversation = self._memory.conversations[outgoing.conversation]
        message = self._sent_message(outgoing, seq, stored_at)
        self._memory.changes.append(PutMessage(message))
        self._memory.events.append(MessageSent(message))
        append = decode_body(outgoing.sealed, Append)
        digest = entry_hash(
            stream=conversation.stream,
            seq=seq,
            sender_account=self._memory.account_id,
            sender_device=self._memory.device_id,
            message_id=message_id,
            envelope=append.envelope,
        )
        self._memory.changes.append(PutEntryHash(conversation.stream, seq, digest))
        saw(conversation, seq, digest)
        if seq > conversation.received:
            conversation.ahead = sorted({*conversation.ahead, seq})
            skip_own(conversation)
        self._memory.put_conversation(conversation)

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
        raise SecurityStop(Code.SERVER_MISBEHAVED, "a prekey that does not decode") from cause
