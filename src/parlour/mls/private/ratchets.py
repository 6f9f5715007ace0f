"""The ratchets at the leaves of a secret tree, and the keys that they give.

Spec: RFC 9420 §9.1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from parlour.codec import Reader, Writer
from parlour.mls.public.types import ContentType, LeafIndex
from parlour.primitives.aead import Aead

HANDSHAKE: Final = 0
APPLICATION: Final = 1
LABELS: Final = (b"handshake", b"application")


def ratchet_kind(content_type: ContentType) -> int:
    """Which of a sender's two ratchets serves this content."""
    return APPLICATION if content_type is ContentType.APPLICATION else HANDSHAKE


@dataclass(slots=True)
class Ratchet:
    """One sender's ratchet: the secret of the next generation, and keys that were skipped.

    The oldest of these stands first: they are put in as the generation rises.
    """

    secret: bytes = field(repr=False)
    generation: int = 0
    skipped: dict[int, tuple[bytes, bytes]] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class MessageKey:
    """The key and nonce of one message, and what `accept` has to change."""

    leaf_index: LeafIndex
    kind: int
    generation: int
    key: bytes = field(repr=False)
    nonce: bytes = field(repr=False)
    expansion: dict[int, bytes] | None = field(default=None, repr=False)
    basis: int = 0
    secret: bytes | None = field(default=None, repr=False)
    skipped: tuple[tuple[int, tuple[bytes, bytes]], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class SendingKey:
    """A key of our own, ready to be used once."""

    generation: int
    cipher: Aead
    nonce: bytes = field(repr=False)
    key: bytes = field(repr=False)


def read_key(reader: Reader) -> tuple[int, bytes, bytes]:
    """Generation, key and nonce out of a record."""
    return reader.uint32(), reader.opaque(), reader.opaque()


def read_ratchet(reader: Reader) -> tuple[tuple[int, int], Ratchet]:
    """A ratchet out of a record, under its leaf and kind."""
    place = (reader.uint32(), reader.uint8())
    ratchet = Ratchet(reader.opaque(), reader.uint64())
    for generation, key, nonce in reader.vector(read_key):
        ratchet.skipped[generation] = (key, nonce)
    return place, ratchet


def write_key(writer: Writer, generation: int, key: bytes, nonce: bytes) -> None:
    """Put a key into a record, for `read_key`."""
    writer.uint32(generation).opaque(key).opaque(nonce)
