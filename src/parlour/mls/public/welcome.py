"""Welcome messages, as they are written.

Spec: RFC 9420 §12.4.3.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from parlour.codec import Reader, encode_opaque, opaque_parts
from parlour.mls.public.commit import HpkeCiphertext
from parlour.mls.public.limits import MAX_HASH, MAX_LEAVES


@dataclass(frozen=True, slots=True)
class EncryptedGroupSecrets:
    """The secrets of the epoch for the client of one key package."""

    new_member: bytes
    encrypted_group_secrets: HpkeCiphertext

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Decode one."""
        return cls(reader.opaque(MAX_HASH), HpkeCiphertext.read(reader))

    def encode(self) -> bytes:
        """Encode it."""
        return encode_opaque(self.new_member) + self.encrypted_group_secrets.encode()


@dataclass(frozen=True, slots=True)
class Welcome:
    """What new members need: secrets for each of them, and the sealed GroupInfo for all.

    ::

        struct {
          CipherSuite cipher_suite;
          EncryptedGroupSecrets secrets<V>;
          opaque encrypted_group_info<V>;
        } Welcome;
    """

    cipher_suite: int
    secrets: tuple[EncryptedGroupSecrets, ...]
    encrypted_group_info: bytes

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Decode one."""
        return cls(
            reader.uint16(),
            tuple(reader.vector(EncryptedGroupSecrets.read, MAX_LEAVES)),
            reader.opaque(),
        )

    def parts(self) -> tuple[bytes, ...]:
        """The pieces of the encoding."""
        return (
            self.cipher_suite.to_bytes(2),
            *opaque_parts(*(entry.encode() for entry in self.secrets)),
            *opaque_parts(self.encrypted_group_info),
        )
