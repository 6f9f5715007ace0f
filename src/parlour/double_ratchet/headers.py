"""The header of a message, plain or encrypted.

Spec: Double Ratchet §3.1, §4.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from parlour.double_ratchet import labels
from parlour.double_ratchet.kdf import derive_seal
from parlour.errors import AuthenticationError
from parlour.primitives.aead import TAG_SIZE
from parlour.primitives.agreement import X25519_SIZE

HEADER_SIZE: Final = X25519_SIZE + 4 + 4
ENCRYPTED_HEADER_SIZE: Final = HEADER_SIZE + TAG_SIZE


@dataclass(frozen=True, slots=True)
class Header:
    """The header of Double Ratchet §3.1.

    ::

        struct {
            opaque ratchet_key[32];
            uint32 previous_chain_length;
            uint32 number;
        } Header;
    """

    ratchet_key: bytes
    previous_chain_length: int
    number: int

    def to_bytes(self) -> bytes:
        """Encode: 40 bytes."""
        return self.ratchet_key + self.previous_chain_length.to_bytes(4) + self.number.to_bytes(4)

    @classmethod
    def from_bytes(cls, data: bytes) -> Header:
        """Decode exactly 40 bytes, which the caller has counted."""
        return cls(data[:32], int.from_bytes(data[32:36]), int.from_bytes(data[36:40]))


def seal_header(header: bytes, header_key: bytes, salt: bytes, binding: bytes) -> bytes:
    """HENCRYPT: 56 bytes. The message's random salt gives each header a key of its own."""
    cipher, nonce = derive_seal(header_key, salt, labels.HEADER_SEAL)
    return cipher.seal(nonce, header, binding)


def open_header(encrypted: bytes, header_key: bytes, salt: bytes, binding: bytes) -> Header | None:
    """HDECRYPT: the header, or `None` if this is not the key."""
    cipher, nonce = derive_seal(header_key, salt, labels.HEADER_SEAL)
    try:
        return Header.from_bytes(cipher.open(nonce, encrypted, binding))
    except AuthenticationError:
        return None
