"""What a server can't hide: entries that differ between people, and messages that did not come.

Each message carries, inside its encryption, the hash of the newest entry that its sender had seen
and its number among the messages of its device (`inner`).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from parlour.conversation.changes import PutEntryHash
from parlour.conversation.events import HistoryMismatch, MessageMissing
from parlour.conversation.inner import Inner
from parlour.conversation.numbers import is_new
from parlour.conversation.records import Conversation, SenderCount
from parlour.conversation.requests import LoadHash
from parlour.conversation.sealed import entry_hash
from parlour.conversation.state import MAX_MISSING, Memory
from parlour.wire.streams import Entry

LOAD_HASH: Final = "load-hash"
# What senders said of entries that this device is still to see, or has to look up.
MAX_CLAIMS: Final = 200


def hash_of(entry: Entry) -> bytes:
    """The hash of an entry, 32 bytes."""
    return entry_hash(
        stream=entry.stream,
        seq=entry.seq,
        sender_account=entry.sender_account,
        sender_device=entry.sender_device,
        message_id=entry.client_id,
        envelope=entry.envelope,
    )


class Histories:
    """Compares what we see with what others say they saw."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._claims: OrderedDict[tuple[bytes, int], tuple[bytes, bytes]] = OrderedDict()
        # Gaps in what our own devices tell each other.
        self.gaps = 0
        self._lookups: dict[tuple[bytes, int], tuple[bytes, bytes]] = {}

    def restored(self) -> None:
        """Numbers come again: what was said of them before is of no use."""
        self._claims.clear()
        self._lookups.clear()

    def note_hash(self, entry: Entry, conversation: Conversation) -> bytes:
        """Remember the entry's hash, and compare it with what others said of it before."""
        digest = hash_of(entry)
        self._memory.changes.append(PutEntryHash(entry.stream, entry.seq, digest))
        claim = self._claims.pop((entry.stream, entry.seq), None)
        if claim is not None:
            self._compare(conversation, entry.seq, claim, digest)
        return digest

    def claim(self, conversation: Conversation, entry: Entry, inner: Inner) -> None:
        """Check what the sender says it had seen last, now or when we see it."""
        if not inner.last_seq or not inner.last_hash:
            return
        claim = (entry.sender_device, inner.last_hash)
        if inner.last_seq == conversation.last_seq:
            self._compare(conversation, inner.last_seq, claim, conversation.last_hash)
        elif is_new(conversation, inner.last_seq):
            self._claims[(entry.stream, inner.last_seq)] = claim
            while len(self._claims) > MAX_CLAIMS:
                self._claims.popitem(last=False)
        elif len(self._lookups) < MAX_CLAIMS:
            self._lookups[(entry.stream, inner.last_seq)] = claim

    def _compare(
        self, conversation: Conversation, seq: int, claim: tuple[bytes, bytes], digest: bytes
    ) -> None:
        sender_device, claimed = claim
        if claimed != digest and self._memory.hears(conversation.peer):
            self._memory.events.append(HistoryMismatch(conversation.peer, sender_device, seq))

    def requests(self) -> list[LoadHash]:
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

    def count(
        self,
        entry: Entry,
        conversation: Conversation,
        counter: int,
        since: int = 0,
        *,
        owed: bool = False,
    ) -> None:
        """Compare a message's number with what came before from that device.

        `since` is the number of the first one that it encrypted for us, where it says so; `owed` if
        the one before was for us.
        """
        if not counter:
            return
        first = entry.sender_device not in conversation.senders
        count = conversation.senders.setdefault(entry.sender_device, SenderCount())
        if first and conversation.late:
            count.highest = max(counter - 2, 0) if owed else counter - 1
        if since <= counter:
            count.highest = max(count.highest, since - 1)
        gap = range(max(count.highest + 1, counter - MAX_MISSING), counter)
        if counter in count.missing:
            count.missing.remove(counter)
        count.highest = max(count.highest, counter)
        count.missing = [*count.missing, *gap][-MAX_MISSING:]
        if not self._memory.hears(conversation.peer):
            return
        if count.unexplained > count.told:
            self.gaps += conversation.peer == self._memory.account_id
            self._memory.events.append(
                MessageMissing(conversation.peer, entry.sender_device, tuple(gap or count.missing))
            )
        count.told = count.unexplained
