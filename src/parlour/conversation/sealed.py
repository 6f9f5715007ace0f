"""How an entry for several devices is encrypted: once, with a key for each.

The content is encrypted under a fresh key; the body is the same for everybody in the stream, so
that everybody can hash it. Each device gets, as its part, that key through its pairwise session.
Two things are bound so that no one can make two readers see different things in one body:

- the body carries a commitment to its key, because AES-GCM alone lets a sender build one
  ciphertext that opens under two keys to two texts;
- the hash of the body is associated data of each part, so that another holder of the key can't
  swap it; and because that is checked first, a changed body leaves the session as it was.

All of it is bound to the conversation's genesis, its stream, the sender and the message id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from parlour.codec import Reader, Writer, decode
from parlour.conversation import labels
from parlour.errors import AuthenticationError, Code, DecodeError
from parlour.primitives import aead
from parlour.primitives.hashes import SHA256_SIZE, equal, sha256
from parlour.primitives.kdf import hkdf_expand
from parlour.primitives.random import Random
from parlour.primitives.secret import Secret
from parlour.wire.envelope import ENVELOPE_FORMAT, Envelope, SuiteId
from parlour.wire.limits import MAX_BODY

FORMAT: Final = 1


class ContentKey(Secret):
    """The key of one body, used once."""

    __slots__ = ()
    SIZE = 32


@dataclass(frozen=True, slots=True)
class Context:
    """What an entry is bound to: associated data of its body and, with the body, of its parts."""

    genesis_hash: bytes
    stream: bytes
    sender_account: bytes
    sender_device: bytes
    message_id: bytes
    suite: SuiteId

    def encode(self) -> bytes:
        """Encode it."""
        writer = Writer().opaque(labels.ENTRY_CONTEXT).uint16(ENVELOPE_FORMAT).uint16(self.suite)
        writer.opaque(self.genesis_hash).opaque(self.stream).opaque(self.sender_account)
        return writer.opaque(self.sender_device).opaque(self.message_id).data()

    def for_part(self, body: bytes) -> bytes:
        """The associated data of the parts that go with `body`."""
        return Writer().opaque(self.encode()).fixed(sha256(body), SHA256_SIZE).data()


@dataclass(frozen=True, slots=True)
class SealedEntry:
    """The envelope, and the key that goes to each device through its session."""

    envelope: Envelope
    content_key: ContentKey

    def part_plaintext(self, since: int = 0) -> bytes:
        """What goes to one device.

        ::

            struct { uint8 format = 1; opaque content_key[32]; uint64 since; } PartPlaintext;

        `since` is the counter (`inner`) of the first message of the conversation that was encrypted
        for that device, so that one that is new to it notices when its beginning is left out; 0
        outside of the count.
        """
        return Writer().uint8(FORMAT).fixed(self.content_key.reveal(), 32).uint64(since).data()

    def __repr__(self) -> str:
        return f"SealedEntry({len(self.envelope.body)} bytes)"


def _derive(key: ContentKey) -> tuple[bytes, bytes, bytes]:
    material = hkdf_expand(
        key.reveal(), labels.CONTENT_KEY, aead.AES_256_KEY_SIZE + aead.NONCE_SIZE
    )
    commitment = hkdf_expand(key.reveal(), labels.CONTENT_COMMITMENT, SHA256_SIZE)
    return material[: aead.AES_256_KEY_SIZE], material[aead.AES_256_KEY_SIZE :], commitment


def seal(plaintext: bytes, context: Context, random: Random) -> SealedEntry:
    """Encrypt under a fresh key.

    ::

        struct { uint8 format = 1; opaque commitment[32]; opaque ciphertext<V>; } Body;
    """
    content_key = ContentKey.generate(random)
    key, nonce, commitment = _derive(content_key)
    ciphertext = aead.seal(key, nonce, plaintext, context.encode())
    body = Writer().uint8(FORMAT).fixed(commitment, SHA256_SIZE).opaque(ciphertext).data()
    envelope = Envelope(format=ENVELOPE_FORMAT, suite=context.suite, key_id=b"", body=body)
    return SealedEntry(envelope, content_key)


def open_entry(body: bytes, part_plaintext: bytes, context: Context) -> tuple[bytes, int]:
    """Decrypt a body with the key of an opened part, or raise `AuthenticationError`.

    Return what it says, and the part's `since`.
    """
    content_key, since = decode(part_plaintext, _read_part)
    commitment, ciphertext = decode(body, _read_body)
    key, nonce, expected = _derive(content_key)
    if not equal(commitment, expected):
        raise AuthenticationError(Code.CRYPTO_TAG, "the body is not committed to its key")
    return aead.open_(key, nonce, ciphertext, context.encode()), since


def _read_part(reader: Reader) -> tuple[ContentKey, int]:
    _check_format(reader)
    return ContentKey(reader.fixed(32)), reader.uint64()


def _read_body(reader: Reader) -> tuple[bytes, bytes]:
    _check_format(reader)
    return reader.fixed(SHA256_SIZE), reader.opaque(MAX_BODY)


def _check_format(reader: Reader) -> None:
    if reader.uint8() != FORMAT:
        raise DecodeError(Code.DECODE_VERSION, "sealed entry")


def entry_hash(
    *,
    stream: bytes,
    seq: int,
    sender_account: bytes,
    sender_device: bytes,
    message_id: bytes,
    envelope: Envelope,
) -> bytes:
    """The hash of an entry as everybody in its stream sees it, 32 bytes."""
    writer = Writer().opaque(labels.ENTRY_HASH).opaque(stream).uint64(seq)
    writer.opaque(sender_account).opaque(sender_device).opaque(message_id)
    writer.uint16(envelope.format).uint16(envelope.suite)
    return sha256(writer.opaque(envelope.key_id).opaque(envelope.body).data())
