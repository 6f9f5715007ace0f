"""The symmetric halves of the Double Ratchet: sending and receiving chains.

Spec: Double Ratchet §2.2, §2.6, §3.2.
"""

from __future__ import annotations

from collections import deque
from typing import Self

from parlour.codec import Reader, Writer
from parlour.double_ratchet import limits
from parlour.double_ratchet.headers import Header, seal_header
from parlour.double_ratchet.kdf import KEY_SIZE, step_chain
from parlour.errors import AuthenticationError, Code, LimitError, PeerError
from parlour.primitives.agreement import X25519_SIZE


def write_key(writer: Writer, key: bytes) -> None:
    """Write a secret of 32 bytes."""
    writer.fixed(key, KEY_SIZE)


def read_key(reader: Reader) -> bytes:
    """Read a secret of 32 bytes."""
    return reader.fixed(KEY_SIZE)


class SendingChain:
    """What the next messages are encrypted with. `header_key` is empty where headers are plain.

    `ahead` holds `(chain key after it, message key)` of the next messages, when they were made in
    idle time.
    """

    __slots__ = ("ahead", "chain_key", "header_key", "number", "previous_length", "ratchet_key")

    def __init__(
        self,
        ratchet_key: bytes,
        chain_key: bytes,
        previous_length: int,
        header_key: bytes,
        number: int = 0,
    ) -> None:
        self.ratchet_key = ratchet_key
        self.chain_key = chain_key
        self.previous_length = previous_length
        self.header_key = header_key
        self.number = number
        self.ahead: deque[tuple[bytes, bytes]] = deque()

    def key_after(self, chain_key: bytes, place: int) -> tuple[bytes, bytes]:
        """`(next chain key, message key)`, `place` messages on, where `chain_key` has come to."""
        return self.ahead[place] if place < len(self.ahead) else step_chain(chain_key)

    def header(self, number: int, salt: bytes, binding: bytes) -> bytes:
        """The header of message `number`, encrypted if the session encrypts headers."""
        header = Header(self.ratchet_key, self.previous_length, number).to_bytes()
        if not self.header_key:
            return header
        return seal_header(header, self.header_key, salt, binding)

    def advance(self, count: int, chain_key: bytes) -> None:
        """`count` messages were sent, and the chain has come to `chain_key`."""
        self.number += count
        self.chain_key = chain_key
        for _ in range(min(count, len(self.ahead))):
            self.ahead.popleft()

    def precompute(self, count: int) -> None:
        """Have the keys of the next `count` messages ready."""
        fill(self.ahead, self.chain_key, count)

    def write(self, writer: Writer) -> None:
        """Write all but what is ahead."""
        writer.fixed(self.ratchet_key, X25519_SIZE).uint32(self.number)
        writer.fixed(self.chain_key, KEY_SIZE).uint32(self.previous_length)
        writer.opaque(self.header_key)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read what `write` wrote."""
        ratchet_key, number = reader.fixed(X25519_SIZE), reader.uint32()
        chain_key, previous_length = read_key(reader), reader.uint32()
        return cls(ratchet_key, chain_key, previous_length, reader.opaque(KEY_SIZE), number)


def fill(ahead: deque[tuple[bytes, bytes]], chain_key: bytes, count: int) -> None:
    """Step on from `chain_key` until `ahead` holds `count` keys."""
    if ahead:
        chain_key = ahead[-1][0]
    while len(ahead) < count:
        pair = step_chain(chain_key)
        ahead.append(pair)
        chain_key = pair[0]


class Reach:
    """How one message key of a receiving chain is reached. Nothing has changed yet."""

    __slots__ = ("chain_key", "message_key", "number", "skipped", "was_skipped")

    def __init__(
        self,
        number: int,
        message_key: bytes,
        chain_key: bytes = b"",
        skipped: list[bytes] | None = None,
    ) -> None:
        self.number = number
        self.message_key = message_key
        self.chain_key = chain_key
        self.was_skipped = skipped is None
        self.skipped = skipped or []


class ReceivingChain:
    """One chain of the peer: where it stands, and the keys of messages that did not come yet.

    `header_key` is empty where headers are plain. A chain is closed (`chain_key` is empty) when
    the peer has gone on to its next one.
    """

    __slots__ = (
        "ahead",
        "chain_key",
        "dropped_below",
        "header_key",
        "number",
        "ratchet_key",
        "skipped",
    )

    def __init__(self, ratchet_key: bytes, chain_key: bytes, header_key: bytes) -> None:
        self.ratchet_key = ratchet_key
        self.chain_key = chain_key
        self.header_key = header_key
        self.number = 0
        self.skipped: dict[int, tuple[bytes, int]] = {}  # number: (message key, kept at)
        # Skipped keys below it may have been dropped for their age or number.
        self.dropped_below = 0
        self.ahead: deque[tuple[bytes, bytes]] = deque()

    def reach(self, number: int, now: int, budget: int = limits.MAX_JUMP) -> Reach:
        """Work out the key of message `number`, at most `budget` steps on.

        Raises:
            PeerError: the message was read before, or its key is no longer kept.
            LimitError: it is too far on.
        """
        if number < self.number:
            return self._reach_back(number, now)
        if not self.chain_key:
            # The peer said, authenticated, that the chain ended before.
            raise AuthenticationError(Code.CRYPTO_TAG, "number beyond the end of its chain")
        if number - self.number > budget:
            raise LimitError(Code.SESSION_JUMP, f"{number - self.number} messages")
        skipped, chain_key = self.steps(number)
        place = number - self.number
        ahead = self.ahead
        chain_key, key = ahead[place] if place < len(ahead) else step_chain(chain_key)
        return Reach(number, key, chain_key, skipped)

    def _reach_back(self, number: int, now: int) -> Reach:
        kept = self.skipped.get(number)
        if kept is not None and kept[1] + limits.MAX_SKIPPED_AGE > now:
            return Reach(number, kept[0])
        if kept is not None or number < self.dropped_below:
            raise PeerError(Code.SESSION_TOO_OLD)
        raise PeerError(Code.SESSION_REPLAYED)

    def steps(self, until: int) -> tuple[list[bytes], bytes]:
        """The message keys before `until`, and the chain key there. The chain must be open."""
        chain_key = self.chain_key
        keys: list[bytes] = []
        for place in range(until - self.number):
            pair = self.ahead[place] if place < len(self.ahead) else step_chain(chain_key)
            chain_key = pair[0]
            keys.append(pair[1])
        return keys, chain_key

    def take(self, reach: Reach, now: int) -> None:
        """The message at `reach` was read."""
        if reach.was_skipped:
            del self.skipped[reach.number]
            return
        self.keep(reach.skipped, now)
        self.number += 1
        self.chain_key = reach.chain_key
        if self.ahead:
            self.ahead.popleft()

    def keep(self, keys: list[bytes], now: int) -> None:
        """Keep `keys` of the next messages, which were skipped."""
        for key in keys:
            self.skipped[self.number] = (key, now)
            self.number += 1
            if self.ahead:
                self.ahead.popleft()

    def close(self, keys: list[bytes], now: int) -> None:
        """The peer has left this chain; `keys` are of its last messages."""
        self.keep(keys, now)
        self.chain_key = b""
        self.ahead.clear()

    def drop_oldest(self, count: int) -> None:
        """Drop the keys of the `count` oldest skipped messages."""
        for number in list(self.skipped)[:count]:
            del self.skipped[number]
            self.dropped_below = max(self.dropped_below, number + 1)

    def drop_aged(self, now: int) -> None:
        """Drop the keys that were kept too long. They stand in the order they were kept."""
        count = 0
        for _, kept_at in self.skipped.values():
            if kept_at + limits.MAX_SKIPPED_AGE > now:
                break
            count += 1
        if count:
            self.drop_oldest(count)

    def precompute(self, count: int) -> None:
        """Have the keys of the next `count` messages ready. The chain must be open."""
        fill(self.ahead, self.chain_key, count)

    def write(self, writer: Writer) -> None:
        """Write all but what is ahead."""

        def write_one(inner: Writer, item: tuple[int, tuple[bytes, int]]) -> None:
            inner.uint32(item[0]).fixed(item[1][0], KEY_SIZE).uint64(item[1][1])

        writer.fixed(self.ratchet_key, X25519_SIZE).opaque(self.chain_key)
        writer.opaque(self.header_key)
        writer.uint32(self.number).uint32(self.dropped_below)
        writer.vector(self.skipped.items(), write_one)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read what `write` wrote."""

        def read_one(inner: Reader) -> tuple[int, tuple[bytes, int]]:
            return inner.uint32(), (read_key(inner), inner.uint64())

        ratchet_key, chain_key = reader.fixed(X25519_SIZE), reader.opaque(KEY_SIZE)
        chain = cls(ratchet_key, chain_key, reader.opaque(KEY_SIZE))
        chain.number, chain.dropped_below = reader.uint32(), reader.uint32()
        chain.skipped = dict(reader.vector(read_one, limits.MAX_SKIPPED))
        return chain
