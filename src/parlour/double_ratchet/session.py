"""One session: a ratchet, what it is bound to, and how old it is.

Spec: Double Ratchet §5.1, Sesame §3.1 and §4.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Self

from parlour.codec import Reader, Writer
from parlour.double_ratchet import agreement, limits
from parlour.double_ratchet.chains import read_key, write_key
from parlour.double_ratchet.messages import Message, Suite, read_suite
from parlour.double_ratchet.ratchet import Opened, Ratchet
from parlour.errors import Code, PeerError
from parlour.primitives.agreement import X25519PrivateKey, X25519PublicKey
from parlour.primitives.random import Random

# A little more than a header with an ML-KEM-1024 ciphertext.
MAX_FIRST_HEADER: Final = 2_048


class Session:
    """A session of two devices.

    `first` is the header of the agreement, which the initiator sends with each message until the
    peer has answered. `retired` sessions read what is late and are never sent on again.
    """

    __slots__ = (
        "_encoded",
        "binding",
        "created_at",
        "first",
        "ratchet",
        "retired",
        "session_id",
        "suite",
        "used_at",
    )

    def __init__(
        self,
        suite: Suite,
        session_id: bytes,
        binding: bytes,
        ratchet: Ratchet,
        first: bytes | None,
        now: int,
    ) -> None:
        self.suite = suite
        self.session_id = session_id
        self.binding = binding
        self.ratchet = ratchet
        self.first = first
        self.created_at = now
        self.used_at = now
        self.retired = False
        self._encoded: bytes | None = None

    @classmethod
    def initiate(cls, agreed: agreement.Agreed, signed_prekey: X25519PublicKey, now: int) -> Self:
        """Alice's session; her messages carry the header until Bob answers."""
        ratchet = Ratchet.initiate(agreed.secret, signed_prekey)
        header = agreed.header
        first = header.to_bytes()
        return cls(agreed.suite, header.session_id(), agreed.binding, ratchet, first, now)

    @classmethod
    def respond(cls, agreed: agreement.Agreed, signed_prekey: X25519PrivateKey, now: int) -> Self:
        """Bob's session."""
        ratchet = Ratchet.respond(agreed.secret, signed_prekey)
        return cls(agreed.suite, agreed.header.session_id(), agreed.binding, ratchet, None, now)

    def encrypt(
        self, items: Sequence[tuple[bytes, bytes]], now: int, random: Random
    ) -> list[bytes]:
        """Encrypt each `(plaintext, associated data)`; all or none.

        Raises:
            PeerError: nobody has answered for too long.
            LimitError: a bound of the ratchet.
        """
        if self.first is not None and self.created_at + limits.MAX_UNANSWERED_AGE <= now:
            raise PeerError(Code.SESSION_STALE, "the peer never answered")
        messages = self.ratchet.encrypt(items, self.suite, self.first, self.binding, random)
        self._touch(now)
        return messages

    def open(self, message: Message, associated_data: bytes, now: int) -> Opened:
        """Verify and decrypt without effect."""
        return self.ratchet.open(message, self.binding, associated_data, now)

    def commit(self, opened: Opened, now: int) -> None:
        """The message counts as read."""
        self.ratchet.commit(opened, now)
        self.first = None
        self._touch(now)

    def retire(self) -> None:
        """Never send on it again."""
        self.retired = True
        self._encoded = None

    def expire(self, now: int) -> None:
        """Drop skipped keys that are too old."""
        self.ratchet.expire(now)
        self._encoded = None

    def _touch(self, now: int) -> None:
        self.used_at = now
        self._encoded = None

    def to_bytes(self) -> bytes:
        """Encode. Inactive sessions do not change, so their bytes are kept."""
        if self._encoded is None:
            writer = Writer().uint8(self.suite).uint8(self.retired)
            write_key(writer, self.session_id)
            write_key(writer, self.binding)
            writer.uint64(self.created_at).uint64(self.used_at)
            writer.optional(self.first, Writer.opaque)
            self.ratchet.write(writer)
            self._encoded = writer.data()
        return self._encoded

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read what `to_bytes` gave."""
        suite, retired = read_suite(reader), bool(reader.uint8())
        session_id, binding = read_key(reader), read_key(reader)
        created_at, used_at = reader.uint64(), reader.uint64()
        first = reader.optional(lambda inner: inner.opaque(MAX_FIRST_HEADER))
        session = cls(suite, session_id, binding, Ratchet.read(reader), first, created_at)
        session.used_at, session.retired = used_at, retired
        return session

    def __repr__(self) -> str:
        return f"Session({self.suite.name}, {self.session_id[:4].hex()}…)"
