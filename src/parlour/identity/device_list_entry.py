"""One entry of a device list: its form, its signature, its approvals."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from parlour.codec import Reader, Writer, decode
from parlour.errors import Code, SecurityStop
from parlour.identity import labels
from parlour.identity.device import ID_SIZE, Device, device_id_of
from parlour.primitives.hashes import SHA256_SIZE, sha256
from parlour.primitives.signature import (
    ED25519_KEY_SIZE,
    ED25519_SIGNATURE_SIZE,
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

FORMAT: Final = 1
# Above this many devices, pairwise encryption to each is not sensible (docs/trust.md).
MAX_DEVICES: Final = 50
# One is enough; more than one old device may have been asked at the same time.
MAX_APPROVALS: Final = 4
_FLAG_NEEDS_APPROVAL: Final = 1
_NO_KEY: Final = bytes(ED25519_KEY_SIZE)


@dataclass(frozen=True, slots=True)
class Approval:
    """The signature of an old device, or of the recovery key, over an entry's content.

    `approver` is the first 16 bytes of SHA-256 of its Ed25519 key: a device's id.
    """

    approver: bytes
    signature: bytes

    def write(self, writer: Writer) -> None:
        """``struct { opaque approver[16]; opaque signature[64]; } Approval;``."""
        writer.fixed(self.approver, ID_SIZE).fixed(self.signature, ED25519_SIGNATURE_SIZE)

    @classmethod
    def read(cls, reader: Reader) -> Approval:
        """Read the structure."""
        return cls(reader.fixed(ID_SIZE), reader.fixed(ED25519_SIGNATURE_SIZE))


@dataclass(frozen=True, slots=True)
class DeviceListEntry:
    """One entry. Decoded only: `device_list.DeviceListState` verifies it.

    `recovery_key` is the public half of `RecoveryKey.proof_key`. `other_flags` are the bits that a
    newer version set.
    """

    account_id: bytes
    account_key: Ed25519PublicKey
    number: int
    previous_hash: bytes
    issued_at: int
    devices: tuple[Device, ...]
    signature: bytes = b""
    recovery_key: Ed25519PublicKey | None = None
    needs_approval: bool = False
    approvals: tuple[Approval, ...] = ()
    other_flags: int = 0

    def _signed_content(self) -> bytes:
        """The structure without its signature and its approvals.

        ::

            struct {
                uint8  format = 1;
                opaque account_id[16];
                opaque account_key[32];
                uint32 number;
                opaque previous_hash<V>;    /* empty in entry 0, else 32 bytes */
                uint64 issued_at;           /* seconds */
                opaque recovery_key[32];    /* zero: there is none */
                uint8  flags;               /* 1: new devices need approval */
                Device devices<V>;
            } DeviceListEntryTBS;
        """
        recovery_key = self.recovery_key.to_bytes() if self.recovery_key else _NO_KEY
        flags = self.other_flags | (_FLAG_NEEDS_APPROVAL if self.needs_approval else 0)
        writer = Writer().uint8(FORMAT).fixed(self.account_id, ID_SIZE)
        writer.fixed(self.account_key.to_bytes(), ED25519_KEY_SIZE)
        writer.uint32(self.number).opaque(self.previous_hash).uint64(self.issued_at)
        writer.fixed(recovery_key, ED25519_KEY_SIZE).uint8(flags)
        return writer.vector(self.devices, lambda inner, device: device.write(inner)).data()

    def _to_be_signed(self) -> bytes:
        return Writer().opaque(labels.DEVICE_LIST_ENTRY).opaque(self._signed_content()).data()

    def sign(self, account_key: Ed25519PrivateKey) -> DeviceListEntry:
        """The same entry with its signature."""
        return replace(self, signature=account_key.sign(self._to_be_signed()))

    def verify_signature(self) -> None:
        """Return if the account key that the entry names has signed it, else raise."""
        self.account_key.verify(self.signature, self._to_be_signed())

    def approve(self, key: Ed25519PrivateKey) -> DeviceListEntry:
        """The same entry, approved by a device's key or the recovery key's proof key."""
        signature = key.sign(self._to_be_approved())
        approval = Approval(device_id_of(key.public_key), signature)
        return replace(self, approvals=(*self.approvals, approval))

    def verify_approval(self, approval: Approval, key: Ed25519PublicKey) -> None:
        """Return if `approval` is `key`'s, else raise."""
        key.verify(approval.signature, self._to_be_approved())

    def _to_be_approved(self) -> bytes:
        content = self._signed_content()
        return Writer().opaque(labels.DEVICE_LIST_APPROVAL).opaque(content).data()

    def encode(self) -> bytes:
        """`opaque content<V>; opaque signature[64]; Approval approvals<V>`."""
        writer = Writer()
        self._write_signed(writer)
        return writer.vector(self.approvals, lambda inner, each: each.write(inner)).data()

    def _write_signed(self, writer: Writer) -> None:
        writer.opaque(self._signed_content()).fixed(self.signature, ED25519_SIGNATURE_SIZE)

    @classmethod
    def decode(cls, data: bytes) -> DeviceListEntry:
        """Decode without verifying anything but the form."""
        content, signature, approvals = decode(
            data,
            lambda reader: (
                reader.opaque(),
                reader.fixed(ED25519_SIGNATURE_SIZE),
                reader.vector(Approval.read, MAX_APPROVALS),
            ),
        )
        entry = decode(content, cls._read_content)
        return replace(entry, signature=signature, approvals=tuple(approvals))

    @classmethod
    def _read_content(cls, reader: Reader) -> DeviceListEntry:
        if reader.uint8() != FORMAT:
            raise SecurityStop(Code.DEVICE_LIST_INVALID, "an entry of an unknown format")
        account_id = reader.fixed(ID_SIZE)
        account_key = Ed25519PublicKey(reader.fixed(ED25519_KEY_SIZE))
        number = reader.uint32()
        previous_hash = reader.opaque(SHA256_SIZE)
        issued_at = reader.uint64()
        recovery_key = reader.fixed(ED25519_KEY_SIZE)
        flags = reader.uint8()
        return cls(
            account_id=account_id,
            account_key=account_key,
            number=number,
            previous_hash=previous_hash,
            issued_at=issued_at,
            devices=tuple(reader.vector(Device.read, MAX_DEVICES)),
            recovery_key=None if recovery_key == _NO_KEY else Ed25519PublicKey(recovery_key),
            needs_approval=bool(flags & _FLAG_NEEDS_APPROVAL),
            other_flags=flags & ~_FLAG_NEEDS_APPROVAL,
        )

    def hash(self) -> bytes:
        """What the next entry names: SHA-256 over label, content and signature.

        Approvals are left out: the account key does not sign them, so a server could strip or
        reorder them, and two people would take one entry for a fork.
        """
        signed = Writer()
        self._write_signed(signed)
        return sha256(Writer().opaque(labels.DEVICE_LIST_HASH).opaque(signed.data()).data())
