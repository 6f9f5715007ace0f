"""One entry of a roster's log: its form, its hash, its signature."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from parlour.codec import Reader, Writer, decode
from parlour.errors import Code, DecodeError, LimitError
from parlour.primitives.hashes import SHA256_SIZE, sha256
from parlour.primitives.signature import (
    ED25519_SIGNATURE_SIZE,
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from parlour.roster import device_signature, labels
from parlour.roster.changes import Change, read_change, write_change
from parlour.roster.limits import ID_SIZE, MAX_CHANGES, MAX_ENTRY_SIZE

FORMAT: Final = 1


@dataclass(frozen=True)
class RosterEntry:
    """One entry. Decoded only: `Roster.extend` verifies it.

    `previous` is the hash of the entry before, in entry 0 that of the genesis; `state_hash` what
    the changes lead to; `at` the signer's time in milliseconds, which never goes back.
    """

    roster_id: bytes
    number: int
    previous: bytes
    changes: tuple[Change, ...]
    state_hash: bytes
    signer_account: bytes
    signer_device: bytes
    at: int
    signature: bytes = b""

    @cached_property
    def _content(self) -> bytes:
        """The structure without its signature.

        ::

            struct {
                uint8  format = 1;
                opaque roster_id[16];
                uint64 number;
                opaque previous[32];
                Change changes<V>;
                opaque state_hash[32];
                opaque signer_account[16];
                opaque signer_device[16];
                uint64 at;                  /* milliseconds */
            } RosterEntryTBS;
        """
        writer = Writer().uint8(FORMAT).fixed(self.roster_id, ID_SIZE).uint64(self.number)
        writer.fixed(self.previous, SHA256_SIZE).vector(self.changes, write_change)
        writer.fixed(self.state_hash, SHA256_SIZE)
        writer.fixed(self.signer_account, ID_SIZE).fixed(self.signer_device, ID_SIZE)
        return writer.uint64(self.at).data()

    def sign(self, device_key: Ed25519PrivateKey) -> RosterEntry:
        """The same entry with its signature; raises `LimitError` if it is too large to send."""
        signature = device_signature.sign(
            labels.ENTRY, self._content, self.signer_device, device_key
        )
        signed = replace(self, signature=signature)
        if len(signed.encode()) > MAX_ENTRY_SIZE:
            raise LimitError(Code.LIMIT_SIZE, "too many changes for one entry of a roster")
        return signed

    def verify_signature(self, device_key: Ed25519PublicKey | None) -> None:
        """Return if the device that it names has signed it, else raise `SecurityStop`."""
        device_signature.verify(
            labels.ENTRY, self._content, self.signer_device, device_key, self.signature
        )

    def encode(self) -> bytes:
        """`opaque content<V>; opaque signature[64]`."""
        writer = Writer().opaque(self._content)
        return writer.fixed(self.signature, ED25519_SIGNATURE_SIZE).data()

    @classmethod
    def decode(cls, data: bytes) -> RosterEntry:
        """Decode without verifying anything but the form."""
        if len(data) > MAX_ENTRY_SIZE:
            raise DecodeError(Code.DECODE_OVERSIZED, "an entry of a roster")
        content, signature = decode(
            data, lambda reader: (reader.opaque(), reader.fixed(ED25519_SIGNATURE_SIZE))
        )
        return replace(decode(content, cls._read), signature=signature)

    @classmethod
    def _read(cls, reader: Reader) -> RosterEntry:
        if reader.uint8() != FORMAT:
            raise DecodeError(Code.DECODE_VERSION, "an entry of a roster")
        return cls(
            roster_id=reader.fixed(ID_SIZE),
            number=reader.uint64(),
            previous=reader.fixed(SHA256_SIZE),
            changes=tuple(reader.vector(read_change, MAX_CHANGES)),
            state_hash=reader.fixed(SHA256_SIZE),
            signer_account=reader.fixed(ID_SIZE),
            signer_device=reader.fixed(ID_SIZE),
            at=reader.uint64(),
        )

    @staticmethod
    def brought(entries: Iterable[RosterEntry]) -> bytes:
        """What a commit from outside carries as authenticated data: the hashes of its entries.

        Such a commit can't bind the epoch to the roster (RFC 9420 §12.2). Without this, whoever
        hands it on could give each member another entry with it.
        """
        return b"".join(entry.hash() for entry in entries)

    def hash(self) -> bytes:
        """What the next entry names, 32 bytes: SHA-256 over label, content and signature."""
        return self._hash

    @cached_property
    def _hash(self) -> bytes:
        return sha256(Writer().opaque(labels.ENTRY_HASH).opaque(self.encode()).data())
