"""Prekeys as others see them, and the bundle that starts a session.

Spec: X3DH §3.2–3.3, PQXDH §3.2–3.3. Unlike there, one-time X25519 prekeys are signed too, and
every signature covers kind, id and expiry besides the key.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

from parlour.codec import Reader, Writer, decode
from parlour.double_ratchet import labels, merkle
from parlour.double_ratchet.identity import DeviceIdentity
from parlour.double_ratchet.limits import MAX_BATCH_DEPTH
from parlour.errors import Code, DecodeError, SecurityStop, error
from parlour.primitives.agreement import X25519_SIZE, X25519PublicKey
from parlour.primitives.hashes import SHA256_SIZE
from parlour.primitives.kem import MLKEM1024_PUBLIC_KEY_SIZE, MlKem1024PublicKey
from parlour.primitives.signature import ED25519_SIGNATURE_SIZE

PREKEY_VERSION: Final = 1


class PrekeyKind(IntEnum):
    """What a prekey is for. The KEM's signed prekey is the last resort of PQXDH."""

    X25519_SIGNED = 1
    X25519_ONE_TIME = 2
    MLKEM1024_LAST_RESORT = 3
    MLKEM1024_ONE_TIME = 4

    @property
    def is_kem(self) -> bool:
        """Whether its key is an ML-KEM-1024 key."""
        return self in KEM_KINDS


KEM_KINDS: Final = frozenset((PrekeyKind.MLKEM1024_LAST_RESORT, PrekeyKind.MLKEM1024_ONE_TIME))


def read_kind(reader: Reader) -> PrekeyKind:
    """Read a `PrekeyKind`."""
    value = reader.uint8()
    try:
        return PrekeyKind(value)
    except ValueError:
        raise DecodeError(Code.DECODE_MALFORMED, f"prekey kind {value}") from None


def signed_content(root: bytes) -> bytes:
    """What a device signs for a batch of prekeys."""
    return labels.PREKEY_SIGNATURE + root


@dataclass(frozen=True, slots=True)
class Prekey:
    """A public prekey with the proof that its device issued it.

    ::

        struct {
            uint8 version = 1;
            PrekeyKind kind;
            uint32 id;
            uint64 expiry;               /* seconds since the epoch */
            opaque public_key<V>;        /* 32 or 1,568 bytes */
        } PrekeyContent;

        struct {
            PrekeyContent content;
            uint16 index;                /* place in the batch */
            opaque path<V>;              /* hashes of 32 bytes */
            opaque signature[64];        /* Ed25519 over the batch's root */
        } Prekey;
    """

    kind: PrekeyKind
    id: int
    expiry: int
    public_key: bytes
    index: int
    path: bytes
    signature: bytes

    @staticmethod
    def content(kind: PrekeyKind, id_: int, expiry: int, public_key: bytes) -> bytes:
        """Encode `PrekeyContent`, the leaf of a batch."""
        writer = Writer().uint8(PREKEY_VERSION).uint8(kind).uint32(id_).uint64(expiry)
        return writer.opaque(public_key).data()

    def verify(
        self, identity: DeviceIdentity, now: int, verified: set[bytes] | None = None
    ) -> Self:
        """Return this prekey if `identity` signed it and it has not expired.

        `verified` holds signed roots that were verified already, and takes this one.

        Raises:
            AuthenticationError: the signature does not verify.
            PeerError: it has expired.
        """
        content = self.content(self.kind, self.id, self.expiry, self.public_key)
        root = merkle.root_of(merkle.leaf_hash(content), self.index, self.path)
        if verified is None or root + self.signature not in verified:
            identity.signature_key.verify(self.signature, signed_content(root))
        if verified is not None:
            verified.add(root + self.signature)
        if self.expiry <= now:
            raise error(Code.PREKEY_EXPIRED, self.kind.name)
        return self

    def x25519(self) -> X25519PublicKey:
        """Its key, of an X25519 kind."""
        return X25519PublicKey(self.public_key)

    def mlkem(self) -> MlKem1024PublicKey:
        """Its key, of a KEM kind."""
        return MlKem1024PublicKey(self.public_key)

    def write(self, writer: Writer) -> None:
        """Write `Prekey`."""
        writer.uint8(PREKEY_VERSION).uint8(self.kind).uint32(self.id).uint64(self.expiry)
        writer.opaque(self.public_key).uint16(self.index).opaque(self.path)
        writer.fixed(self.signature, ED25519_SIGNATURE_SIZE)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read `Prekey`."""
        if reader.uint8() != PREKEY_VERSION:
            raise DecodeError(Code.DECODE_VERSION, "prekey")
        kind = read_kind(reader)
        id_, expiry = reader.uint32(), reader.uint64()
        public_key = reader.opaque(MLKEM1024_PUBLIC_KEY_SIZE)
        if len(public_key) != (MLKEM1024_PUBLIC_KEY_SIZE if kind.is_kem else X25519_SIZE):
            raise DecodeError(Code.DECODE_MALFORMED, "size of a prekey")
        index, path = reader.uint16(), reader.opaque(MAX_BATCH_DEPTH * SHA256_SIZE)
        depth, odd = divmod(len(path), SHA256_SIZE)
        if odd or index >> depth:
            raise DecodeError(Code.DECODE_MALFORMED, "path of a prekey")
        signature = reader.fixed(ED25519_SIGNATURE_SIZE)
        return cls(kind, id_, expiry, public_key, index, path, signature)

    def to_bytes(self) -> bytes:
        """Encode."""
        writer = Writer()
        self.write(writer)
        return writer.data()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Decode; nothing is verified yet."""
        return decode(data, cls.read)


@dataclass(frozen=True, slots=True)
class PrekeyBundle:
    """What the server gives to who wants to write to a device for the first time.

    `identity` does not come from the server but from the account's signed device list.

    ::

        struct {
            Prekey signed_prekey;
            optional<Prekey> one_time_prekey;
            optional<Prekey> kem_prekey;
        } PrekeyBundle;
    """

    identity: DeviceIdentity
    signed_prekey: Prekey
    one_time_prekey: Prekey | None
    kem_prekey: Prekey | None

    def verify(self, now: int) -> Self:
        """Return this bundle if its device issued all of it for what it is used for.

        Raises:
            SecurityStop: the KEM prekey was left out though the device has one.
            AuthenticationError: a signature does not verify.
            PeerError: a prekey has expired.
        """
        kem = self.kem_prekey
        if self.identity.has_kem and kem is None:
            raise SecurityStop(Code.PREKEY_DOWNGRADE, "the bundle has no ML-KEM-1024 prekey")
        one_time = self.one_time_prekey
        if (
            self.signed_prekey.kind is not PrekeyKind.X25519_SIGNED
            or (one_time is not None and one_time.kind is not PrekeyKind.X25519_ONE_TIME)
            or (kem is not None and not kem.kind.is_kem)
        ):
            raise DecodeError(Code.DECODE_MALFORMED, "a prekey of the wrong kind")
        verified: set[bytes] = set()
        for prekey in (self.signed_prekey, one_time, kem):
            if prekey is not None:
                prekey.verify(self.identity, now, verified)
        return self

    def to_bytes(self) -> bytes:
        """Encode, without the identity."""
        writer = Writer()
        self.signed_prekey.write(writer)
        for prekey in (self.one_time_prekey, self.kem_prekey):
            writer.optional(prekey, lambda inner, value: value.write(inner))
        return writer.data()

    @classmethod
    def from_bytes(cls, data: bytes, identity: DeviceIdentity) -> Self:
        """Decode what the server gave for `identity`; nothing is verified yet."""
        reader = Reader(data)
        signed = Prekey.read(reader)
        one_time, kem = reader.optional(Prekey.read), reader.optional(Prekey.read)
        reader.finish()
        return cls(identity, signed, one_time, kem)
