"""The two ends of an HPKE channel: numbered messages in order, and exported secrets.

Spec: RFC 9180 §5.2 and §5.3.
"""

from __future__ import annotations

from typing import Final

from parlour.errors import Code, LimitError, UsageError
from parlour.primitives.aead import NONCE_SIZE, Aead
from parlour.primitives.hpke.labels import LabeledKdf

# §5.2: the last number of 96 bits stays unused, so that no nonce can come back.
MAX_MESSAGES: Final = (1 << (8 * NONCE_SIZE)) - 1


class Context:
    """What both ends share. An export-only suite has no `aead`."""

    __slots__ = ("_aead", "_base_nonce", "_exporter_secret", "_kdf", "_sequence")

    def __init__(
        self, kdf: LabeledKdf, aead: Aead | None, base_nonce: bytes, exporter_secret: bytes
    ) -> None:
        self._kdf = kdf
        self._aead = aead
        self._base_nonce = int.from_bytes(base_nonce)
        self._exporter_secret = exporter_secret
        self._sequence = 0

    def export(self, context: bytes, length: int) -> bytes:
        """A secret of `length` bytes, at most 255 hashes, that both ends can make."""
        return self._kdf.expand(self._exporter_secret, b"sec", context, length)

    def _ready(self) -> tuple[Aead, bytes]:
        """The cipher and the nonce of the next message."""
        if self._aead is None:
            raise UsageError(Code.USAGE_STATE, "the suite is for export only")
        if self._sequence >= MAX_MESSAGES:
            raise LimitError(Code.LIMIT_COUNT, "the context has no nonces left")
        return self._aead, (self._base_nonce ^ self._sequence).to_bytes(NONCE_SIZE)

    def __repr__(self) -> str:
        return f"{type(self).__name__}([secret], sequence={self._sequence})"


class SenderContext(Context):
    """The end that seals."""

    __slots__ = ()

    def seal(self, plaintext: bytes, associated_data: bytes = b"") -> bytes:
        """Encrypt the next message."""
        aead, nonce = self._ready()
        ciphertext = aead.seal(nonce, plaintext, associated_data)
        self._sequence += 1
        return ciphertext


class RecipientContext(Context):
    """The end that opens."""

    __slots__ = ()

    def open(self, ciphertext: bytes, associated_data: bytes = b"") -> bytes:
        """Decrypt the next message, or raise `AuthenticationError` and still expect it."""
        aead, nonce = self._ready()
        plaintext = aead.open(nonce, ciphertext, associated_data)
        self._sequence += 1
        return plaintext
