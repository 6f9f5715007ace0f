"""One device, as its account's signed list describes it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final

from parlour.codec import Reader, Writer
from parlour.errors import Code, LimitError
from parlour.primitives.agreement import X25519_SIZE, X25519PublicKey
from parlour.primitives.hashes import sha256
from parlour.primitives.signature import ED25519_KEY_SIZE, Ed25519PublicKey

ID_SIZE: Final = 16
# A sealed name (`device_name`) has 307 bytes; the rest is room for a longer one.
MAX_SEALED_NAME: Final = 512
_FLAG_KEM: Final = 1
# Ids of the devices in large groups are asked for again and again.
_REMEMBERED: Final = 8_192


@functools.lru_cache(maxsize=_REMEMBERED)
def _device_id(signature_key: bytes) -> bytes:
    return sha256(signature_key)[:ID_SIZE]


def device_id_of(signature_key: Ed25519PublicKey) -> bytes:
    """A device's id: the first 16 bytes of SHA-256 of its Ed25519 key."""
    return _device_id(signature_key.to_bytes())


@dataclass(frozen=True, slots=True)
class Device:
    """One device: what it signs with, what others agree on keys with, and what it can do.

    `sealed_name` is ciphertext for the account's own devices. `other_flags` are the bits that a
    newer version set: without them, its signature would not verify here.
    """

    signature_key: Ed25519PublicKey
    identity_key: X25519PublicKey
    has_kem: bool
    added_at: int
    sealed_name: bytes = b""
    other_flags: int = 0

    @property
    def device_id(self) -> bytes:
        """The id of 16 bytes."""
        return device_id_of(self.signature_key)

    def write(self, writer: Writer) -> None:
        """Write the structure.

        ::

            struct {
                opaque signature_key[32];
                opaque identity_key[32];
                uint8  flags;               /* 1: publishes ML-KEM-1024 prekeys */
                uint64 added_at;            /* seconds */
                opaque sealed_name<V>;
            } Device;
        """
        if len(self.sealed_name) > MAX_SEALED_NAME:
            raise LimitError(Code.LIMIT_SIZE, "a device's sealed name")
        writer.fixed(self.signature_key.to_bytes(), ED25519_KEY_SIZE)
        writer.fixed(self.identity_key.to_bytes(), X25519_SIZE)
        writer.uint8(self.other_flags | (_FLAG_KEM if self.has_kem else 0))
        writer.uint64(self.added_at)
        writer.opaque(self.sealed_name)

    @classmethod
    def read(cls, reader: Reader) -> Device:
        """Read the structure; flags that are not known here are kept and mean nothing."""
        signature_key = Ed25519PublicKey(reader.fixed(ED25519_KEY_SIZE))
        identity_key = X25519PublicKey(reader.fixed(X25519_SIZE))
        flags = reader.uint8()
        return cls(
            signature_key=signature_key,
            identity_key=identity_key,
            has_kem=bool(flags & _FLAG_KEM),
            added_at=reader.uint64(),
            sealed_name=reader.opaque(MAX_SEALED_NAME),
            other_flags=flags & ~_FLAG_KEM,
        )
