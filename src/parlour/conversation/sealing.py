"""Encrypting what waits: each message once, with its key for each device in a batch.

The ciphertext is written down with the sessions before it leaves, so that a crash repeats a
ciphertext, never a key.
"""

from __future__ import annotations

from msgspec.structs import replace

from parlour.conversation import labels
from parlour.conversation.genesis import hash_of
from parlour.conversation.inner import Inner
from parlour.conversation.records import Conversation, Outgoing
from parlour.conversation.sealed import Context, SealedEntry, entry_hash, seal
from parlour.conversation.state import Memory
from parlour.double_ratchet.identity import DeviceIdentity
from parlour.errors import PeerError
from parlour.primitives.hashes import sha256
from parlour.wire.envelope import SuiteId
from parlour.wire.frames import decode_body, encode_body
from parlour.wire.streams import Append, Part

INBOX_GENESIS_HASH = sha256(labels.INBOX)


class Sealing:
    """Turns what waits in the outbox into requests to append."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._appends: dict[bytes, Append] = {}

    def append(self, outgoing: Outgoing) -> Append:
        """The request that was sealed."""
        append = self._appends.get(outgoing.message_id)
        if append is None:
            append = self._appends[outgoing.message_id] = decode_body(outgoing.sealed, Append)
        return append

    def unsealed(self, outgoing: Outgoing) -> Outgoing:
        """Encrypt it once more: its devices are not those that it was encrypted for."""
        self.forget(outgoing.message_id)
        unsealed = replace(outgoing, sealed=b"", resealed=True)
        self._memory.put_outgoing(unsealed)
        return unsealed

    def forget(self, message_id: bytes) -> None:
        """It is sealed no more, or was sent."""
        self._appends.pop(message_id, None)

    def seal_all(self, conversation: Conversation, ready: list[Outgoing], now: int) -> bool:
        """Encrypt everything that is ready, with one batch for each device.

        `False` when a session was too old to send on: then nothing was sealed.
        """
        entries: list[tuple[Outgoing, Context, SealedEntry]] = []
        batches: dict[bytes, tuple[DeviceIdentity, list[int]]] = {}
        counter = conversation.sent_counter
        for outgoing in ready:
            targets = [
                target
                for target in self._memory.targets(conversation, outgoing.inbox)
                if self._memory.can_send(target)
            ]
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
            batch = [entries[index] for index in indexes]
            messages = self._encrypt(conversation, target, batch, now)
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
            self._forget_left(conversation)
            self._memory.put_conversation(conversation)
        return True

    def _forget_left(self, conversation: Conversation) -> None:
        """Who is on no list any more gets nothing, since no number."""
        listed = {target.device_id for target in self._memory.targets(conversation)}
        conversation.since = {
            device: number for device, number in conversation.since.items() if device in listed
        }

    def _encrypt(
        self,
        conversation: Conversation,
        target: DeviceIdentity,
        entries: list[tuple[Outgoing, Context, SealedEntry]],
        now: int,
    ) -> list[bytes] | None:
        """One part of each entry for `target`; `None` when its session is too old."""
        plaintexts = [
            (
                sealed.part_plaintext(_since(conversation, target.device_id, outgoing.counter)),
                context.for_part(sealed.envelope.body),
            )
            for outgoing, context, sealed in entries
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
        genesis_hash = INBOX_GENESIS_HASH if outgoing.inbox else hash_of(conversation.genesis)
        return Context(
            genesis_hash=genesis_hash,
            stream=outgoing.inbox or conversation.stream,
            sender_account=self._memory.account_id,
            sender_device=self._memory.device_id,
            message_id=outgoing.message_id,
            suite=SuiteId.DOUBLE_RATCHET_PQXDH,
        )

    def own_hash(self, outgoing: Outgoing, seq: int) -> bytes | None:
        """The hash of our entry; `None` if it was sealed again, as the server may have either."""
        if not outgoing.sealed or outgoing.resealed:
            return None
        append = self.append(outgoing)
        return entry_hash(
            stream=append.stream,
            seq=seq,
            sender_account=self._memory.account_id,
            sender_device=self._memory.device_id,
            message_id=outgoing.message_id,
            envelope=append.envelope,
        )


def _since(conversation: Conversation, device_id: bytes, counter: int) -> int:
    """From which of our counters on a device gets what we say, with that message; 0 of none."""
    if not counter:
        return 0
    since = min(counter, conversation.since.get(device_id, counter))
    conversation.since[device_id] = since
    return since
