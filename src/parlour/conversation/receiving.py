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
from parlour.conversation.content import Content, Control, ResendRequest, Resent
from parlour.conversation.directory import Directory
from parlour.conversation.events import HistoryMismatch, MessageMissing, MessageReceived
from parlour.conversation.genesis import Genesis
from parlour.conversation.inner import Inner
from parlour.conversation.reasons import Reason
from parlour.conversation.repair import Repairing
from parlour.conversation.requests import LoadHash, Request
from parlour.conversation.sealed import Context, entry_hash, open_entry
from parlour.conversation.sending import INBOX_GENESIS_HASH, Sending, saw, skip_own
from parlour.conversation.state import (
    MAX_MISSING,
    Conversation,
    Held,
    Memory,
    SenderCount,
    held_key,
)
from parlour.double_ratchet.identity import DeviceIdentity
from parlour.errors import Code, DecodeError, ParlourError
from parlour.wire.envelope import ENVELOPE_FORMAT, SuiteId
from parlour.wire.streams import Entry

LOAD_HASH: Final = "load-hash"
# What senders said of entries that this device is still to see, or has to look up.
_MAX_CLAIMS: Final = 200
# Control messages of devices that we are about to learn of, in memory only.
_MAX_CONTROLS: Final = 200

_REASON_OF: Final[dict[Code, Reason]] = {
    Code.SESSION_NONE: Reason.NO_SESSION,
    Code.SESSION_STALE: Reason.NO_SESSION,
    Code.SESSION_REPLAYED: Reason.REPEATED,
    Code.PREKEY_UNKNOWN: Reason.NO_SESSION,
    Code.PREKEY_EXPIRED: Reason.NO_SESSION,
    Code.PREKEY_REUSED: Reason.PREKEY_USED,
    Code.SESSION_TOO_OLD: Reason.TOO_OLD,
    # So far on that it can't be followed any more: only another session helps.
    Code.SESSION_JUMP: Reason.NO_SESSION,
    Code.DECODE_VERSION: Reason.NEWER_FORMAT,
    Code.CRYPTO_TAG: Reason.TAMPERED,
}

# Why an entry that was read once may not be read again.
_READ_BEFORE: Final = (
    Reason.UNKNOWN_DEVICE,
    Reason.NO_PART,
    Reason.NO_SESSION,
    Reason.PREKEY_USED,
    Reason.TOO_OLD,
)


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
        self._controls: list[Entry] = []
        # Accounts of which entries are held until their device lists were read.
        self._awaited: set[bytes] = set()
        self.behind = False

    def restored(self) -> None:
        """Numbers come again: what was said of them before is of no use."""
        self._claims.clear()
        self._lookups.clear()

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
            self._pass_over(entry)
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

    def _pass_over(self, entry: Entry) -> None:
        """An entry of a stream that we refused, or were not told of yet."""
        passed = self._memory.refused.get(entry.stream)
        if passed is None:
            self.behind = True
        else:
            self._memory.refused[entry.stream] = max(passed, entry.seq)

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
            self._sending.mark_sent(entry.client_id, entry.seq, entry.stored_at, digest)
        elif held_key(entry) in self._memory.held:
            # The server's data was restored, and brings what we hold already.
            pass
        elif entry.sender_account not in (conversation.peer, self._memory.account_id):
            self._repairing.unreadable(entry, conversation, Reason.UNKNOWN_DEVICE, now)
        else:
            self._read(entry, conversation, now)
        saw(conversation, entry.seq, digest)

    def _read(
        self, entry: Entry, conversation: Conversation, now: int, held: Held | None = None
    ) -> None:
        """Read an entry of a member of the conversation, or say why not."""
        identity = self._identity(entry)
        # What we know of the sender's devices may be older than this connection. It is read anew,
        # so that a device that was removed does not stay welcome until we answer.
        self._directory.is_current(entry.sender_account)
        if identity is not None and held is None:
            self._read_before(entry, now)
        reason = self._obstacle(entry, identity)
        if reason is not None or identity is None:
            self._not_read(entry, conversation, reason or Reason.DEVICE_LIST, now, held)
            return
        try:
            genesis_hash = Genesis.decode(conversation.genesis).hash()
            inner, content = self._open(entry, identity, genesis_hash, now)
            if isinstance(content, Control):
                raise DecodeError(Code.DECODE_MALFORMED, "control in a conversation")
        except ParlourError as error:
            self._not_read(entry, conversation, _reason_of(error, held), now, held)
            return
        if held is not None:
            self._repairing.release(held)
        self._count(entry, conversation, inner.counter)
        self._claim(conversation, entry, inner)
        message = _received(entry, conversation, inner.sent_at, inner.content)
        self._memory.changes.append(PutMessage(message, undelivered=True))
        self._memory.events.append(MessageReceived(message, content))

    def _not_read(
        self,
        entry: Entry,
        conversation: Conversation,
        reason: Reason,
        now: int,
        held: Held | None,
    ) -> None:
        if held is not None:
            if reason.value == held.reason:
                return
            self._repairing.release(held)
        if reason is Reason.DEVICE_LIST:
            self._awaited.add(entry.sender_account)
        again = entry.seq <= conversation.seen_before and reason in _READ_BEFORE
        if reason is Reason.REPEATED or again:
            # Most likely read long ago, by a session or from a device that is gone.
            self._repairing.repeated(entry, conversation)
        else:
            self._repairing.unreadable(entry, conversation, reason, now)

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
        elif inner.last_seq > conversation.received and inner.last_seq not in conversation.ahead:
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
        gap = range(max(count.highest + 1, counter - MAX_MISSING), counter)
        if counter in count.missing:
            count.missing.remove(counter)
        count.highest = max(count.highest, counter)
        count.missing = [*count.missing, *gap][-MAX_MISSING:]
        # Entries that came and could not be read are among what seems to be missing.
        unexplained = max(len(count.missing) - count.unread, 0)
        if gap and unexplained > count.told:
            self._memory.events.append(
                MessageMissing(conversation.peer, entry.sender_device, tuple(gap))
            )
        count.told = unexplained

    # --- The inbox -----------------------------------------------------------------------

    def _take_control(self, entry: Entry, now: int) -> None:
        """Read a control message of another device; what is not one is ignored."""
        if entry.sender_device == self._memory.device_id:
            return
        identity = self._identity(entry)
        if identity is None:
            known = entry.sender_account in self._memory.contacts
            if known and len(self._controls) < _MAX_CONTROLS:
                # A new device that could not read what was sent before. It is taken in once its
                # list was read; if we stop before, the sender asks again.
                self._controls.append(entry)
                self._directory.want(entry.sender_account)
            return
        if self._obstacle(entry, identity) is not None:
            return
        try:
            _, content = self._open(entry, identity, INBOX_GENESIS_HASH, now)
        except ParlourError:
            return
        if isinstance(content, ResendRequest):
            self._repairing.asked(identity, content)
        elif isinstance(content, Resent):
            self._take_resent(identity, content)

    def _take_resent(self, identity: DeviceIdentity, resent: Resent) -> None:
        """Put a message that came once more into its place, if this device waits for it."""
        try:
            content = contents.decode(resent.content)
        except DecodeError:
            return
        if isinstance(content, Control):
            return
        held = self._repairing.take(identity.device_id, resent.message_id)
        if held is None:
            return
        conversation = self._memory.conversations[held.conversation]
        message = _received(held.entry, conversation, resent.sent_at, resent.content)
        self._memory.changes.append(PutMessage(message, undelivered=True))
        self._memory.events.append(MessageReceived(message, content))

    # --- Once more -----------------------------------------------------------------------

    def retry(self, reasons: set[Reason], account_id: bytes | None, now: int) -> None:
        """Read held entries again whose obstacle may be gone."""
        for held in list(self._memory.held.values()):
            if Reason(held.reason) not in reasons:
                continue
            if account_id is not None and held.entry.sender_account != account_id:
                continue
            self._retry(held, now)
        controls, self._controls = self._controls, []
        for entry in controls:
            if entry.sender_account != account_id:
                self._controls.append(entry)
            elif self._identity(entry) is not None:
                self._take_control(entry, now)

    def _retry(self, held: Held, now: int) -> None:
        obstacle = self._obstacle(held.entry, self._identity(held.entry))
        if obstacle is Reason.DEVICE_LIST:
            if self._repairing.ask_directory(held):
                return
            # The list is current, and the device is not on it.
            obstacle = Reason.UNKNOWN_DEVICE
        conversation = self._memory.conversations[held.conversation]
        if obstacle is Reason.UNKNOWN_DEVICE:
            self._not_read(held.entry, conversation, obstacle, now, held)
        else:
            self._read(held.entry, conversation, now, held)
        self._memory.put_conversation(conversation)

    def _read_before(self, entry: Entry, now: int) -> None:
        """Read what a device sent before `entry` and waits for its list, which we know by now."""
        if entry.sender_account not in self._awaited:
            return
        self._awaited.discard(entry.sender_account)
        for held in list(self._memory.held.values()):
            waits = held.reason == Reason.DEVICE_LIST
            if waits and held.entry.sender_account == entry.sender_account:
                if self._identity(held.entry) is None:
                    self._awaited.add(entry.sender_account)
                else:
                    self._retry(held, now)

    def want_directory(self) -> None:
        """Ask again for the device lists that held entries wait for."""
        for held in self._memory.held.values():
            if held.reason == Reason.DEVICE_LIST:
                self._awaited.add(held.entry.sender_account)
                self._directory.want(held.entry.sender_account)


def _reason_of(error: ParlourError, held: Held | None) -> Reason:
    reason = _REASON_OF.get(error.code, Reason.MALFORMED)
    if reason is Reason.REPEATED and held is not None:
        # An older program opened it as far as it could.
        return Reason.TOO_OLD
    return reason


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
