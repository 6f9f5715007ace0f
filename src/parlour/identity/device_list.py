"""The signed, numbered, hash-chained list of an account's devices.

Each entry states the whole list as it is from then on. Entry 0 names the account key; every entry
is signed by it and holds the hash of the entry before. A client remembers number and hash of the
last entry that it saw (`DeviceListState`) and accepts only what follows it, so that a server can
neither add a device, nor hide one, nor go back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from parlour.codec import Reader, Writer, decode
from parlour.errors import Code, LimitError, ParlourError, SecurityStop
from parlour.identity import labels
from parlour.primitives.agreement import X25519_SIZE, X25519PublicKey
from parlour.primitives.hashes import SHA256_SIZE, sha256
from parlour.primitives.signature import (
    ED25519_KEY_SIZE,
    ED25519_SIGNATURE_SIZE,
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

FORMAT: Final = 1
ID_SIZE: Final = 16
# Above this many devices, pairwise encryption to each is not sensible (docs/trust.md).
MAX_DEVICES: Final = 50
# A sealed name of 64 characters, with room.
MAX_SEALED_NAME: Final = 512
_FLAG_KEM: Final = 1


def device_id_of(signature_key: Ed25519PublicKey) -> bytes:
    """A device's id: the first 16 bytes of SHA-256 of its Ed25519 key."""
    return sha256(signature_key.to_bytes())[:ID_SIZE]


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


@dataclass(frozen=True, slots=True)
class DeviceListEntry:
    """One entry. Decoded only: `DeviceListState.extend` verifies it."""

    account_id: bytes
    account_key: Ed25519PublicKey
    number: int
    previous_hash: bytes
    issued_at: int
    devices: tuple[Device, ...]
    signature: bytes = b""

    def _signed_content(self) -> bytes:
        """The structure without its signature.

        ::

            struct {
                uint8  format = 1;
                opaque account_id[16];
                opaque account_key[32];
                uint32 number;
                opaque previous_hash<V>;    /* empty in entry 0, else 32 bytes */
                uint64 issued_at;           /* seconds */
                Device devices<V>;
            } DeviceListEntryTBS;
        """
        writer = Writer().uint8(FORMAT).fixed(self.account_id, ID_SIZE)
        writer.fixed(self.account_key.to_bytes(), ED25519_KEY_SIZE)
        writer.uint32(self.number).opaque(self.previous_hash).uint64(self.issued_at)
        return writer.vector(self.devices, lambda inner, device: device.write(inner)).data()

    def _to_be_signed(self) -> bytes:
        return Writer().opaque(labels.DEVICE_LIST_ENTRY).opaque(self._signed_content()).data()

    def sign(self, account_key: Ed25519PrivateKey) -> DeviceListEntry:
        """The same entry with its signature."""
        return replace(self, signature=account_key.sign(self._to_be_signed()))

    def verify_signature(self) -> None:
        """Return if the account key that the entry names has signed it, else raise."""
        self.account_key.verify(self.signature, self._to_be_signed())

    def encode(self) -> bytes:
        """`opaque content<V>; opaque signature[64]`."""
        writer = Writer().opaque(self._signed_content())
        return writer.fixed(self.signature, ED25519_SIGNATURE_SIZE).data()

    @classmethod
    def decode(cls, data: bytes) -> DeviceListEntry:
        """Decode without verifying anything but the form."""
        content, signature = decode(
            data, lambda reader: (reader.opaque(), reader.fixed(ED25519_SIGNATURE_SIZE))
        )
        return decode(content, lambda reader: cls._read_content(reader, signature))

    @classmethod
    def _read_content(cls, reader: Reader, signature: bytes) -> DeviceListEntry:
        if reader.uint8() != FORMAT:
            raise SecurityStop(Code.DEVICE_LIST_INVALID, "an entry of an unknown format")
        return cls(
            account_id=reader.fixed(ID_SIZE),
            account_key=Ed25519PublicKey(reader.fixed(ED25519_KEY_SIZE)),
            number=reader.uint32(),
            previous_hash=reader.opaque(SHA256_SIZE),
            issued_at=reader.uint64(),
            devices=tuple(reader.vector(Device.read, MAX_DEVICES)),
            signature=signature,
        )

    def hash(self) -> bytes:
        """What the next entry names: SHA-256 over label and encoded entry, signature included."""
        return sha256(Writer().opaque(labels.DEVICE_LIST_HASH).opaque(self.encode()).data())


@dataclass(frozen=True, slots=True)
class DeviceListState:
    """The verified head of a device list: what a client or server remembers of an account."""

    account_id: bytes
    account_key: Ed25519PublicKey
    number: int
    head_hash: bytes
    devices: tuple[Device, ...]

    def device(self, device_id: bytes) -> Device | None:
        """The device of that id, if it is on the list now."""
        return next((device for device in self.devices if device.device_id == device_id), None)

    @classmethod
    def begin(cls, account_id: bytes, entry: DeviceListEntry) -> DeviceListState:
        """Verify entry 0 of an account that was not known before."""
        if entry.number != 0 or entry.previous_hash:
            raise SecurityStop(Code.DEVICE_LIST_INVALID, "the list does not start at entry 0")
        return cls._accept(account_id, entry)

    def extend(self, entry: DeviceListEntry) -> DeviceListState:
        """Verify the entry that follows this state."""
        if entry.account_key != self.account_key:
            raise SecurityStop(Code.ACCOUNT_KEY_CHANGED)
        if entry.number <= self.number:
            raise SecurityStop(Code.DEVICE_LIST_ROLLBACK, f"entry {entry.number}")
        if entry.number != self.number + 1 or entry.previous_hash != self.head_hash:
            raise SecurityStop(Code.DEVICE_LIST_INVALID, "the entry does not follow the last one")
        return self._accept(self.account_id, entry)

    @classmethod
    def _accept(cls, account_id: bytes, entry: DeviceListEntry) -> DeviceListState:
        if entry.account_id != account_id:
            raise SecurityStop(Code.DEVICE_LIST_INVALID, "the entry is of another account")
        try:
            entry.verify_signature()
        except ParlourError as error:
            raise SecurityStop(Code.DEVICE_LIST_INVALID, "signature") from error
        ids = {device.device_id for device in entry.devices}
        if not ids or len(ids) != len(entry.devices):
            raise SecurityStop(Code.DEVICE_LIST_INVALID, "no device, or one twice")
        return cls(account_id, entry.account_key, entry.number, entry.hash(), entry.devices)


def first_entry(
    account_id: bytes, account_key: Ed25519PrivateKey, device: Device, now: int
) -> DeviceListEntry:
    """Make and sign entry 0 with one device. `now` in seconds."""
    entry = DeviceListEntry(account_id, account_key.public_key, 0, b"", now, (device,))
    return entry.sign(account_key)


def next_entry(
    state: DeviceListState,
    account_key: Ed25519PrivateKey,
    devices: tuple[Device, ...],
    now: int,
) -> DeviceListEntry:
    """Make and sign the entry after `state` with the whole new list. `now` in seconds.

    Raises `LimitError` for more than `MAX_DEVICES`: nobody would accept the entry.
    """
    if len(devices) > MAX_DEVICES:
        raise LimitError(Code.LIMIT_COUNT, f"at most {MAX_DEVICES} devices")
    entry = DeviceListEntry(
        state.account_id, account_key.public_key, state.number + 1, state.head_hash, now, devices
    )
    return entry.sign(account_key)
