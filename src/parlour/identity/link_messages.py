"""The four messages of linking, in the order in which they go; `linking` says why.

Decoded only: the two sides in `linking` verify them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from parlour.codec import Reader, Writer, decode
from parlour.errors import Code, LimitError, SecurityStop
from parlour.identity import labels
from parlour.identity.device import ID_SIZE, Device
from parlour.identity.link_text import LinkSecret
from parlour.identity.printable import read_printable
from parlour.identity.vault import AccountSecret
from parlour.primitives.agreement import X25519_SIZE, X25519PublicKey
from parlour.primitives.hashes import SHA256_SIZE, equal, hmac_sha256, sha256
from parlour.primitives.kdf import hkdf
from parlour.primitives.signature import (
    ED25519_KEY_SIZE,
    ED25519_SIGNATURE_SIZE,
    Ed25519PublicKey,
)

NONCE_SIZE: Final = 16
# A signed and a last-resort prekey, and some more; one-time ones follow once the device is in.
MAX_OFFERED_PREKEYS: Final = 8
# An ML-KEM-1024 key of 1,568 bytes with signature, header and the wire's frame around it.
_MAX_PREKEY: Final = 3 << 10
# A thousand contacts with their keys take 200 KiB.
MAX_SNAPSHOT: Final = 224 << 10
_MAX_HOST: Final = 260
_MAX_NAME: Final = 32


def mac_key(secret: LinkSecret) -> bytes:
    """The key under which both sides' first messages are authenticated."""
    return hkdf(secret.reveal(), salt=b"", info=labels.LINK_MAC_KEY, length=SHA256_SIZE)


def nonce_commitment(nonce: bytes) -> bytes:
    """The hash by which a side is bound to its nonce before it shows it."""
    return sha256(Writer().opaque(labels.LINK_NONCE).opaque(nonce).data())


@dataclass(frozen=True, slots=True)
class Offer:
    """The new device's first message: who it is, and how to answer it.

    ::

        struct {
            Device device;
            opaque hpke_key[32];            /* X25519, made for this link alone */
            opaque nonce_commitment[32];
            opaque prekeys<V><V>;
        } OfferContent;
        struct { opaque content<V>; opaque mac[32]; } Offer;
    """

    device: Device
    hpke_key: X25519PublicKey
    nonce_commitment: bytes
    prekeys: tuple[bytes, ...] = field(repr=False)

    def encode(self, key: bytes) -> bytes:
        """Encode with the HMAC under `key`."""
        if len(self.prekeys) > MAX_OFFERED_PREKEYS:
            raise LimitError(Code.LIMIT_COUNT, f"at most {MAX_OFFERED_PREKEYS} prekeys")
        writer = Writer()
        self.device.write(writer)
        writer.fixed(self.hpke_key.to_bytes(), X25519_SIZE)
        writer.fixed(self.nonce_commitment, SHA256_SIZE)
        writer.vector(self.prekeys, lambda inner, prekey: inner.opaque(prekey))
        return _authenticated(labels.LINK_OFFER, key, writer.data())

    @classmethod
    def decode(cls, data: bytes, key: bytes) -> Offer:
        """Decode, and check the HMAC."""
        return decode(_authentic(labels.LINK_OFFER, key, data), cls._read)

    @classmethod
    def _read(cls, reader: Reader) -> Offer:
        return cls(
            device=Device.read(reader),
            hpke_key=X25519PublicKey(reader.fixed(X25519_SIZE)),
            nonce_commitment=reader.fixed(SHA256_SIZE),
            prekeys=tuple(
                reader.vector(lambda inner: inner.opaque(_MAX_PREKEY), MAX_OFFERED_PREKEYS)
            ),
        )


def offer_hash(offer: bytes) -> bytes:
    """The hash of an encoded offer."""
    return sha256(Writer().opaque(labels.LINK_OFFER).opaque(offer).data())


@dataclass(frozen=True, slots=True)
class Greeting:
    """The old device's first message: whose account it is.

    ::

        struct {
            opaque account_id[16];
            opaque account_key[32];
            opaque name<V>;
            opaque nonce[16];
        } GreetingContent;
        struct { opaque content<V>; opaque mac[32]; } Greeting;   /* over the offer's hash, too */
    """

    account_id: bytes
    account_key: Ed25519PublicKey
    name: str
    nonce: bytes

    def content(self) -> bytes:
        """The structure without its HMAC."""
        writer = Writer().fixed(self.account_id, ID_SIZE)
        writer.fixed(self.account_key.to_bytes(), ED25519_KEY_SIZE)
        return writer.opaque(self.name.encode()).fixed(self.nonce, NONCE_SIZE).data()

    def commitment(self) -> bytes:
        """The hash that the old device shows in its code."""
        return sha256(Writer().opaque(labels.LINK_GREETING).opaque(self.content()).data())

    def encode(self, key: bytes, offered: bytes) -> bytes:
        """Encode for the offer of that hash, with the HMAC under `key`."""
        return _authenticated(labels.LINK_GREETING + offered, key, self.content())

    @classmethod
    def decode(cls, data: bytes, key: bytes, offered: bytes) -> Greeting:
        """Decode, and check the HMAC."""
        return decode(_authentic(labels.LINK_GREETING + offered, key, data), cls._read)

    @classmethod
    def _read(cls, reader: Reader) -> Greeting:
        return cls(
            account_id=reader.fixed(ID_SIZE),
            account_key=Ed25519PublicKey(reader.fixed(ED25519_KEY_SIZE)),
            name=read_printable(reader, _MAX_NAME),
            nonce=reader.fixed(NONCE_SIZE),
        )


@dataclass(frozen=True, slots=True)
class AnswerContent:
    """What the old device hands over, inside the encryption.

    ::

        struct {
            opaque server<V>;
            optional<opaque[32]> pin;
            opaque account_secret[16];
            uint32 list_number;             /* of the entry that names the new device */
            opaque list_hash[32];
            opaque snapshot<V>;             /* contacts and settings, for `parlour.conversation` */
        } AnswerContent;
    """

    server: str
    pin: bytes | None
    secret: AccountSecret
    list_number: int
    list_hash: bytes
    snapshot: bytes = field(repr=False)

    def encode(self) -> bytes:
        """Encode; raises `LimitError` for a snapshot above `MAX_SNAPSHOT`."""
        if len(self.snapshot) > MAX_SNAPSHOT:
            raise LimitError(Code.LIMIT_SIZE, "a snapshot")
        writer = Writer().opaque(self.server.encode())
        writer.optional(self.pin, lambda inner, value: inner.fixed(value, SHA256_SIZE))
        writer.fixed(self.secret.reveal(), AccountSecret.SIZE)
        writer.uint32(self.list_number).fixed(self.list_hash, SHA256_SIZE)
        return writer.opaque(self.snapshot).data()

    @classmethod
    def decode(cls, data: bytes) -> AnswerContent:
        """Decode what was decrypted."""
        return decode(data, cls._read)

    @classmethod
    def _read(cls, reader: Reader) -> AnswerContent:
        return cls(
            server=read_printable(reader, _MAX_HOST),
            pin=reader.optional(lambda inner: inner.fixed(SHA256_SIZE)),
            secret=AccountSecret(reader.fixed(AccountSecret.SIZE)),
            list_number=reader.uint32(),
            list_hash=reader.fixed(SHA256_SIZE),
            snapshot=reader.opaque(MAX_SNAPSHOT),
        )


def write_sealed_answer(encapsulated: bytes, ciphertext: bytes) -> bytes:
    """``struct { opaque enc[32]; opaque ciphertext<V>; } Answer;``."""
    return Writer().fixed(encapsulated, X25519_SIZE).opaque(ciphertext).data()


def read_sealed_answer(data: bytes) -> tuple[bytes, bytes]:
    """Read what `write_sealed_answer` wrote."""
    return decode(data, lambda reader: (reader.fixed(X25519_SIZE), reader.opaque()))


def write_signed(content: bytes, signature: bytes) -> bytes:
    """``struct { opaque content<V>; opaque signature[64]; } SignedAnswer;``, inside the answer."""
    return Writer().opaque(content).fixed(signature, ED25519_SIGNATURE_SIZE).data()


def read_signed(data: bytes) -> tuple[bytes, bytes]:
    """Read what `write_signed` wrote."""
    return decode(data, lambda reader: (reader.opaque(), reader.fixed(ED25519_SIGNATURE_SIZE)))


def _authenticated(about: bytes, key: bytes, content: bytes) -> bytes:
    return Writer().opaque(content).fixed(_mac(about, key, content), SHA256_SIZE).data()


def _authentic(about: bytes, key: bytes, data: bytes) -> bytes:
    content, mac = decode(data, lambda reader: (reader.opaque(), reader.fixed(SHA256_SIZE)))
    if not equal(mac, _mac(about, key, content)):
        raise SecurityStop(Code.LINK_MISMATCH)
    return content


def _mac(about: bytes, key: bytes, content: bytes) -> bytes:
    return hmac_sha256(key, Writer().opaque(about).opaque(content).data())
