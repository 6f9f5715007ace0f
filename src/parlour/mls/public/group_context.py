"""What all members of an epoch agree on, and the group extensions that are structures.

Spec: RFC 9420 §8.1, §12.1.8.1 (external_senders), §12.4.3.2 (external_pub).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

from parlour.codec import Reader, Writer, decode
from parlour.errors import Code, DecodeError
from parlour.mls.public.credentials import Credential, read_credential
from parlour.mls.public.extensions import Extension, Extensions
from parlour.mls.public.limits import MAX_EXTERNAL_SENDERS, MAX_GROUP_ID, MAX_HASH, MAX_KEY
from parlour.mls.public.types import MLS10, ExtensionType


@dataclass(frozen=True, slots=True)
class GroupContext:
    """The state of a group in one epoch. `encoded` is made once: every signature covers it.

    ::

        struct {
            ProtocolVersion version = mls10;
            CipherSuite cipher_suite;
            opaque group_id<V>;
            uint64 epoch;
            opaque tree_hash<V>;
            opaque confirmed_transcript_hash<V>;
            Extension extensions<V>;
        } GroupContext;
    """

    cipher_suite: int
    group_id: bytes
    epoch: int
    tree_hash: bytes
    confirmed_transcript_hash: bytes
    extensions: Extensions
    encoded: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        writer = Writer().uint16(MLS10).uint16(self.cipher_suite).opaque(self.group_id)
        writer.uint64(self.epoch).opaque(self.tree_hash).opaque(self.confirmed_transcript_hash)
        object.__setattr__(self, "encoded", writer.data() + self.extensions.encode())

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Decode one; another version is refused."""
        if reader.uint16() != MLS10:
            raise DecodeError(Code.DECODE_VERSION, "GroupContext.version")
        return cls(
            reader.uint16(),
            reader.opaque(MAX_GROUP_ID),
            reader.uint64(),
            reader.opaque(MAX_HASH),
            reader.opaque(MAX_HASH),
            Extensions.read(reader),
        )

    def next(self, tree_hash: bytes, extensions: Extensions) -> GroupContext:
        """The provisional context of the next epoch, with the old transcript (§12.4.1)."""
        return replace(self, epoch=self.epoch + 1, tree_hash=tree_hash, extensions=extensions)

    def confirmed(self, confirmed_transcript_hash: bytes) -> GroupContext:
        """This one with the transcript of the commit that led to it."""
        return replace(self, confirmed_transcript_hash=confirmed_transcript_hash)


@dataclass(frozen=True, slots=True)
class ExternalSender:
    """Somebody outside who may send proposals: `signature_key`, then `credential`."""

    signature_key: bytes
    credential: Credential

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Decode one."""
        return cls(reader.opaque(MAX_KEY), read_credential(reader))

    def encode(self) -> bytes:
        """Encode it."""
        return Writer().opaque(self.signature_key).data() + self.credential.encode()


def external_senders(extensions: Extensions) -> tuple[ExternalSender, ...]:
    """Those that a GroupContext's extensions name."""
    data = extensions.find(ExtensionType.EXTERNAL_SENDERS)
    if data is None:
        return ()

    def read(reader: Reader) -> list[ExternalSender]:
        return reader.vector(ExternalSender.read, MAX_EXTERNAL_SENDERS)

    return tuple(decode(data, read))


def external_senders_extension(senders: tuple[ExternalSender, ...]) -> Extension:
    """The extension that names them."""
    body = b"".join(sender.encode() for sender in senders)
    return Extension(ExtensionType.EXTERNAL_SENDERS, Writer().opaque(body).data())


def external_pub(extensions: Extensions) -> bytes | None:
    """The key that a GroupInfo gives to those who want to join by themselves."""
    data = extensions.find(ExtensionType.EXTERNAL_PUB)
    return None if data is None else decode(data, lambda reader: reader.opaque(MAX_KEY))


def external_pub_extension(key: bytes) -> Extension:
    """The extension that gives it."""
    return Extension(ExtensionType.EXTERNAL_PUB, Writer().opaque(key).data())
