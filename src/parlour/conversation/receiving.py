"""From an entry to a message that was read, or to a reason why not.

An entry is never dropped in silence. What can't be read gets a reason (`reasons`), is shown as
such, and is handed to `repair`. Whatever an entry holds, the cursor moves past it: one bad entry
does not stop the next.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from parlour.conversation import content as contents
from parlour.conversation.changes import Message, MessageState, PutEntryHash, PutMessage
from parlour.conversation.content import Content, ResendRequest, Resent
from parlour.conversation.directory import Directory
from parlour.conversation.events import HistoryMismatch, MessageMissing, MessageReceived
from parlour.conversation.genesis import Genesis
from parlour.conversation.inner import Inner
from parlour.conversation.reasons import Reason
from parlour.conversation.repair import Repairing
from parlour.conversation.requests import LoadHash, Request
from parlour.conversation.sealed import Context, entry_hash, open_entry
from parlour.conversation.sending import INBOX_GENESIS_HASH, Sending, saw, skip_own
from parlour.conversation.state import MAX_MISSING, Conversation, Held, Memory, SenderCount
from parlour.double_ratchet.identity import DeviceIdentity
from parlour.errors import Code, DecodeError, ParlourError
from parlour.wire.envelope import ENVELOPE_FORMAT, SuiteId
from parlour.wire.streams import Entry

LOAD_HASH: Final = "load-hash"
# What senders said of entries that this device is still to see, or has to look up.
_MAX_CLAIMS: Final = 200

_REASON_OF: Final[dict[Code, Reason]] = {
    Code.SESSION_NONE: Reason.NO_SESSION,
    Code.SESSION_STALE: Reason.NO_SESSION,
    Code.PREKEY_UNKNOWN: Reason.NO_SESSION,
    Code.PREKEY_EXPIRED: Reason.NO_SESSION,
    Code.PREKEY_REUSED: Reason.PREKEY_USED,
    Code.SESSION_TOO_OLD: Reason.TOO_OLD,
    Code.SESSION_JUMP: Reason.TOO_OLD,
    Code.CRYPTO_TAG: Reason.TAMPERED,
}


class Receiving:
    """Reads entries of conversations and of this device's inbox."""

    def __init__(
        self, memory: Memory, directory: Directory, sending: Sending, repairing: Repairing
    ) -> None:
        self._memory = memory
        self._directory = directory
        self._sending = sending
        self._repairing = repairing
        self._claims: OrderedDict[tuple[bytes, int], tuple[bytes, bytes]] = OrderedDict()
        self._lookups: dict[tuple[bytes, int], tuple[bytes, bytes]] = {}
        self.behind = False

    # --- Order ---------------------------------------------------------------------------

    def receive(self, entry: Entry, now: int, *, paged: bool) -> None:
        """Take one entry. `paged` when it came in a page, where trimmed numbers may be missing.

        An entry that was taken before is ignored; a pushed one beyond a gap is left, and
        `behind` says that there is something to catch up with.
        """
        if entry.stream == self._memory.device_id:
            self._receive_in_inbox(entry, now, paged=paged)
            return
        conversation = self._memory.conversation_of_stream(entry.stream)
        if conversation is None:
            self.behind = True
            return
        skip_own(conversation)
        if entry.seq <= conversation.received:
            return
        if entry.seq > conversation.received + 1 and not paged:
            self.behind = True
            return
        conversation.received = entry.seq
        skip_own(conversation)
        self._take(entry, conversation, now)
        self._memory.put_conversation(conversation)

    def _receive_in_inbox(self, entry: Entry, now: int, *, paged: bool) -> None:
        inbox = self._memory.inbox
        if entry.seq <= inbox.received:
            return
        if entry.seq > inbox.received + 1 and not paged:
            self.behind = True
            return
        inbox.received = entry.seq
        self._take_control(entry, now)
        self._memory.put_inbox()

    # --- Conversations -------------------------------------------------------------------

    def _take(self, entry: Entry, conversation: Conversation, now: int) -> None:
        digest = self._note_hash(entry, conversation)
        if entry.sender_device == self._memory.device_id:
            self._sending.mark_sent(entry.client_id, entry.seq, entry.stored_at)
        elif entry.sender_account not in (conversation.peer, self._memory.account_id):
            self._repairing.unreadable(entry, conversation, Reason.UNKNOWN_DEVICE, now)
        else:
            self._read(entry, conversation, now)
        saw(conversation, entry.seq, digest)

    def _read(self, entry: Entry, conversation: Conversation, now: int) -> None:
        """Read an entry of a member of the conversation, or say why not."""
        identity = self._identity(entry)
        reason = self._obstacle(entry, identity)
        if reason is not None or identity is None:
            self._repairing.unreadable(entry, conversation, reason or Reason.DEVICE_LIST, now)
            return
        try:
            genesis_hash = Genesis.decode(conversation.genesis).hash()
            inner, content = self._open(entry, identity, genesis_hash, now)
        except ParlourError as error:
            if error.code is not Code.SESSION_REPLAYED:
                reason = _reason_of(error)
                self._repairing.unreadable(entry, conversation, reason, now)
            return
        self._count(entry, conversation, inner.counter)
        self._claim(conversation, entry, inner)
        message = _received(entry, conversation, inner.sent_at, inner.content)
        self._memory.changes.append(PutMessage(message, undelivered=True))
        self._memory.events.append(MessageReceived(message, content))

    def _identity(self, entry: Entry) -> DeviceIdentity | None:
        contact = self._memory.contacts.get(entry.sender_account)
        return None if contact is None else contact.identity(entry.sender_device)

    def _obstacle(self, entry: Entry, identity: DeviceIdentity | None) -> Reason | None:
        """What stands in the way of decrypting, before any key is touched."""
        if entry.envelope.format != ENVELOPE_FORMAT:
            return Reason.NEWER_FORMAT
        if entry.envelope.suite != SuiteId.DOUBLE_RATCHET_PQXDH:
            return Reason.NEWER_FORMAT
        if identity is None:
            contact = self._memory.contacts.get(entry.sender_account)
            if contact is not None and contact.stopped:
                return Reason.KEY_CHANGED
            return Reason.DEVICE_LIST
        if entry.part is None:
            return Reason.NO_PART
        return None

    def _open(
        self, entry: Entry, identity: DeviceIdentity, genesis_hash: bytes, now: int
    ) -> tuple[Inner, Content]:
        """Decrypt. Sessions and prekeys change in memory, and are written with this step."""
        context = Context(
            genesis_hash=genesis_hash,
            stream=entry.stream,
            sender_account=entry.sender_account,
            sender_device=entry.sender_device,
            message_id=entry.client_id,
            suite=SuiteId.DOUBLE_RATCHET_PQXDH,
        )
        decrypted = self._memory.sessions(identity).decrypt(
            entry.part or b"",
            context.for_part(entry.envelope.body),
            self._memory.prekeys,
            now // 1000,
            self._memory.random,
        )
        self._memory.put_sessions(identity)
        if decrypted.new_session:
            self._memory.put_prekeys()
        plaintext = open_entry(entry.envelope.body, decrypted.plaintext, context)
        inner = Inner.decode(plaintext)
        return inner, contents.decode(inner.content)

    # --- What a server can't hide --------------------------------------------------------

    def _note_hash(self, entry: Entry, conversation: Conversation) -> bytes:
        """Remember the entry's hash, and compare it with what others said of it before."""
        digest = entry_hash(
            stream=entry.stream,
            seq=entry.seq,
            sender_account=entry.sender_account,
            sender_device=entry.sender_device,
            message_id=entry.client_id,
            envelope=entry.envelope,
        )
        self._memory.changes.append(PutEntryHash(entry.stream, entry.seq, digest))
        claim = self._claims.pop((entry.stream, entry.seq), None)
        if claim is not None:
            self._compare(conversation, entry.seq, claim, digest)
        return digest

    def _claim(self, conversation: Conversation, entry: Entry, inner: Inner) -> None:
        """Check what the sender says it had seen last, now or when we see it."""
        if not inner.last_seq or not inner.last_hash:
            return
        claim = (entry.sender_device, inner.last_hash)
        if inner.last_seq == conversation.last_seq:
            self._compare(conversation, inner.last_seq, claim, conversation.last_hash)
        elif inner.last_seq > conversation.received:
            self._claims[(entry.stream, inner.last_seq)] = claim
            while len(self._claims) > _MAX_CLAIMS:
                self._claims.popitem(last=False)
        elif len(self._lookups) < _MAX_CLAIMS:
            self._lookups[(entry.stream, inner.last_seq)] = claim

    def _compare(
        self, conversation: Conversation, seq: int, claim: tuple[bytes, bytes], digest: bytes
    ) -> None:
        sender_device, claimed = claim
        if claimed != digest:
            self._memory.events.append(HistoryMismatch(conversation.peer, sender_device, seq))

    def requests(self) -> list[Request]:
        """Hashes to look up in the store."""
        return [
            LoadHash((LOAD_HASH, stream + seq.to_bytes(8)), stream, seq)
            for stream, seq in self._lookups
        ]

    def loaded_hash(self, stream: bytes, seq: int, digest: bytes | None) -> None:
        """The store's answer; `None` when that entry is not remembered (any more)."""
        claim = self._lookups.pop((stream, seq), None)
        conversation = self._memory.conversation_of_stream(stream)
        if claim is not None and conversation is not None and digest is not None:
            self._compare(conversation, seq, claim, digest)

    def _count(self, entry: Entry, conversation: Conversation, counter: int) -> None:
        """Compare a message's number with what came before from that device."""
        if not counter:
            return
        count = conversation.senders.setdefault(entry.sender_device, SenderCount())
        if counter <= count.highest:
            if counter in count.missing:
                count.missing.remove(counter)
            return
        gap = range(max(count.highest + 1, counter - MAX_MISSING), counter)
        count.highest = counter
        # Entries that came and could not be read are in the count of what did not come.
        unread = min(len(gap), count.unread)
        count.unread -= unread
        count.missing = [*count.missing, *gap][-MAX_MISSING:]
        if len(gap) > unread:
            self._memory.events.append(
                MessageMissing(conversation.peer, entry.sender_device, tuple(gap))
            )

    # --- The inbox -----------------------------------------------------------------------

    def _take_control(self, entry: Entry, now: int) -> None:
        """Read a control message of another device; what is not one is ignored."""
        identity = self._identity(entry)
        if self._obstacle(entry, identity) is not None or identity is None:
            # The sender asks again by itself; its device list will be known by then.
            self._directory.want_known(entry.sender_account)
            return
        try:
            inner, content = self._open(entry, identity, INBOX_GENESIS_HASH, now)
        except ParlourError:
            return
        if isinstance(content, ResendRequest):
            self._repairing.asked(identity, content)
        elif isinstance(content, Resent):
            self._take_resent(identity, content, inner)

    def _take_resent(self, identity: DeviceIdentity, resent: Resent, inner: Inner) -> None:
        """Put a message that came once more into its place, if this device waits for it."""
        held = self._repairing.take(identity.device_id, resent.message_id)
        if held is None:
            return
        try:
            content = contents.decode(resent.content)
        except DecodeError:
            return
        conversation = self._memory.conversations[held.conversation]
        message = _received(held.entry, conversation, resent.sent_at, resent.content)
        self._memory.changes.append(PutMessage(message, undelivered=True))
        self._memory.events.append(MessageReceived(message, content))

    # --- Once more -----------------------------------------------------------------------

    def retry(self, reasons: set[Reason], account_id: bytes | None, now: int) -> None:
        """Read held entries again whose obstacle may be gone."""
        for key, held in list(self._memory.held.items()):
            if Reason(held.reason) not in reasons:
                continue
            if account_id is not None and held.entry.sender_account != account_id:
                continue
            self._repairing.release(key)
            conversation = self._memory.conversations[held.conversation]
            self._retry(held, conversation, now)
            self._memory.put_conversation(conversation)

    def _retry(self, held: Held, conversation: Conversation, now: int) -> None:
        reason = Reason(held.reason)
        if reason is Reason.DEVICE_LIST and self._identity(held.entry) is None:
            contact = self._memory.contacts.get(held.entry.sender_account)
            if contact is not None and not contact.stopped:
                # The list is current, and the device is not on it.
                reason = Reason.UNKNOWN_DEVICE
                self._repairing.unreadable(held.entry, conversation, reason, now)
                return
        self._read(held.entry, conversation, now)


def _reason_of(error: ParlourError) -> Reason:
    return _REASON_OF.get(error.code, Reason.MALFORMED)


def _received(entry: Entry, conversation: Conversation, sent_at: int, content: bytes) -> Message:
    return Message(
        conversation=conversation.peer,
        message_id=entry.client_id,
        sender_account=entry.sender_account,
        sender_device=entry.sender_device,
        seq=entry.seq,
        sent_at=sent_at,
        stored_at=entry.stored_at,
        state=MessageState.RECEIVED,
        content=content,
    )
