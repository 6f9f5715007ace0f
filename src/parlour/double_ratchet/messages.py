"""What travels between two devices.

::

    enum { x3dh(1), pqxdh(2), x3dh_header_encryption(3), pqxdh_header_encryption(4) } Suite;
    enum { ratchet(1), first(2) } MessageKind;

    struct {
        uint8 version = 1;
        Suite suite;
        MessageKind kind;
        select (kind) { case first: FirstHeader first; };
        select (suite) {
            case x3dh, pqxdh: Header header;
            default: opaque encrypted_header[56];
        };
        opaque salt[16];
        opaque ciphertext<V>;
    } Message;

Spec: Double Ratchet §3.4, §4.5, X3DH §3.3, PQXDH §3.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from parlour.codec import Reader, Writer
from parlour.double_ratchet import labels
from parlour.double_ratchet.headers import ENCRYPTED_HEADER_SIZE, HEADER_SIZE
from parlour.double_ratchet.kdf import SALT_SIZE
from parlour.double_ratchet.limits import MAX_CIPHERTEXT
from parlour.double_ratchet.prekeys import PrekeyKind, read_kind
from parlour.errors import Code, DecodeError
from parlour.primitives.aead import TAG_SIZE
from parlour.primitives.agreement import X25519_SIZE
from parlour.primitives.hashes import sha256
from parlour.primitives.kem import MLKEM1024_CIPHERTEXT_SIZE

VERSION: Final = 1
_RATCHET: Final = 1
_FIRST: Final = 2


class Suite(IntEnum):
    """How a session was agreed, and whether its headers are encrypted."""

    X3DH = 1
    PQXDH = 2
    X3DH_HEADER_ENCRYPTION = 3
    PQXDH_HEADER_ENCRYPTION = 4

    @property
    def has_kem(self) -> bool:
        """Whether ML-KEM-1024 took part."""
        return self in _WITH_KEM

    @property
    def encrypts_headers(self) -> bool:
        """Whether headers are encrypted."""
        return self in _WITH_HEADER_ENCRYPTION

    @classmethod
    def choose(cls, *, has_kem: bool, header_encryption: bool) -> Suite:
        """The suite with those two properties."""
        if header_encryption:
            return cls.PQXDH_HEADER_ENCRYPTION if has_kem else cls.X3DH_HEADER_ENCRYPTION
        return cls.PQXDH if has_kem else cls.X3DH


_WITH_KEM: Final = frozenset((Suite.PQXDH, Suite.PQXDH_HEADER_ENCRYPTION))
_WITH_HEADER_ENCRYPTION: Final = frozenset(
    (Suite.X3DH_HEADER_ENCRYPTION, Suite.PQXDH_HEADER_ENCRYPTION)
)
_SUITES: Final = {suite.value: suite for suite in Suite}


def read_suite(reader: Reader) -> Suite:
    """Read a `Suite`."""
    suite = _SUITES.get(reader.uint8())
    if suite is None:
        raise DecodeError(Code.DECODE_VERSION, "suite of a session")
    return suite


@dataclass(frozen=True, slots=True)
class KemPart:
    """Which KEM prekey was used, and what was encapsulated to it."""

    kind: PrekeyKind
    id: int
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class FirstHeader:
    """What the receiver of a first message needs to make the session.

    ::

        struct {
            opaque ephemeral_key[32];
            uint32 signed_prekey_id;
            optional<uint32> one_time_prekey_id;
            select (suite) {
                case pqxdh, pqxdh_header_encryption:
                    PrekeyKind kem_kind;
                    uint32 kem_prekey_id;
                    opaque kem_ciphertext[1568];
            };
        } FirstHeader;

    The identity keys of the sender are not in it: they come from its account's device list.
    """

    ephemeral_key: bytes
    signed_prekey_id: int
    one_time_prekey_id: int | None
    kem: KemPart | None

    def to_bytes(self) -> bytes:
        """Encode."""
        writer = Writer().fixed(self.ephemeral_key, X25519_SIZE).uint32(self.signed_prekey_id)
        writer.optional(self.one_time_prekey_id, Writer.uint32)
        if self.kem is not None:
            writer.uint8(self.kem.kind).uint32(self.kem.id)
            writer.fixed(self.kem.ciphertext, MLKEM1024_CIPHERTEXT_SIZE)
        return writer.data()

    @classmethod
    def read(cls, reader: Reader, suite: Suite) -> FirstHeader:
        """Read the header of a session of `suite`."""
        ephemeral_key, signed_prekey_id = reader.fixed(X25519_SIZE), reader.uint32()
        one_time_prekey_id = reader.optional(Reader.uint32)
        kem = None
        if suite.has_kem:
            kind, id_ = read_kind(reader), reader.uint32()
            if not kind.is_kem:
                raise DecodeError(Code.DECODE_MALFORMED, "kind of a KEM prekey")
            kem = KemPart(kind, id_, reader.fixed(MLKEM1024_CIPHERTEXT_SIZE))
        return cls(ephemeral_key, signed_prekey_id, one_time_prekey_id, kem)

    def session_id(self) -> bytes:
        """The name both sides give the session: a hash of what began it, 32 bytes."""
        return sha256(labels.SESSION_ID + self.to_bytes())


@dataclass(frozen=True, slots=True)
class Message:
    """One decoded message. `prefix` is all of it before the ciphertext, and is authenticated."""

    suite: Suite
    first: FirstHeader | None
    header: bytes
    salt: bytes
    ciphertext: bytes
    prefix: bytes


def encode_prefix(suite: Suite, first: bytes | None, header: bytes, salt: bytes) -> bytes:
    """Everything before the ciphertext. The parts have fixed sizes, so it parses in one way."""
    if first is None:
        return bytes((VERSION, suite, _RATCHET)) + header + salt
    return bytes((VERSION, suite, _FIRST)) + first + header + salt


def encode_message(prefix: bytes, ciphertext: bytes) -> bytes:
    """A whole message."""
    return prefix + Writer().opaque(ciphertext).data()


def decode_message(data: bytes) -> Message:
    """Decode one message strictly; nothing of it is verified yet."""
    reader = Reader(data)
    if reader.uint8() != VERSION:
        raise DecodeError(Code.DECODE_VERSION, "message of a session")
    suite = read_suite(reader)
    kind = reader.uint8()
    if kind not in (_RATCHET, _FIRST):
        raise DecodeError(Code.DECODE_MALFORMED, "kind of a message")
    first = FirstHeader.read(reader, suite) if kind == _FIRST else None
    header = reader.fixed(ENCRYPTED_HEADER_SIZE if suite.encrypts_headers else HEADER_SIZE)
    salt = reader.fixed(SALT_SIZE)
    ciphertext = reader.opaque(MAX_CIPHERTEXT)
    reader.finish()
    if len(ciphertext) < TAG_SIZE:
        raise DecodeError(Code.DECODE_TRUNCATED, "ciphertext without a tag")
    # The length header is minimal, so what is before it is known from the end.
    prefix = encode_prefix(suite, first.to_bytes() if first else None, header, salt)
    return Message(suite, first, header, salt, ciphertext, prefix)
