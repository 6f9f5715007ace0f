"""The founding entry of a conversation: its kind, suite and policies, fixed for good.

The genesis of a `direct` conversation is not signed: a signature would prove to third parties that
these two people spoke, and pairwise messages are deniable. Instead its hash is bound into every
message, so that both sides hold the same one or read nothing (docs/decisions/0008-genesis.md). So
it is for a `self` conversation, whose only member is one account with all its devices.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from parlour.codec import Reader, Writer, decode
from parlour.conversation import labels
from parlour.errors import Code, DecodeError, ParlourError, SecurityStop
from parlour.primitives.hashes import sha256
from parlour.wire.envelope import SuiteId
from parlour.wire.ids import ID_SIZE

# The first byte of one, by which it is told from that of a conversation on MLS (`roster.Genesis`):
# that one begins with the length of its content, which is never 1.
FORMAT: Final = 1
_MAX_MEMBERS: Final = 2


class Kind(IntEnum):
    """What a conversation is. More kinds come with groups."""

    DIRECT = 1
    SELF = 2


class Retention(IntEnum):
    """How long the server keeps entries."""

    QUEUE = 1
    """Until every device has read them, at most 30 days."""


class History(IntEnum):
    """What newcomers and new devices get to read."""

    NONE = 1
    """No archive: what was said before is on the devices that were there."""


@dataclass(frozen=True, slots=True)
class Genesis:
    """What is fixed when a conversation is founded.

    ::

        struct {
            uint8  format = 1;
            uint8  kind;
            uint16 suite;
            uint8  retention;
            uint8  history;
            opaque members<V>;      /* account ids of 16 bytes, ascending */
        } Genesis;
    """

    kind: Kind
    suite: SuiteId
    retention: Retention
    history: History
    members: tuple[bytes, ...]

    def encode(self) -> bytes:
        """Encode it."""
        writer = Writer().uint8(FORMAT).uint8(self.kind).uint16(self.suite)
        writer.uint8(self.retention).uint8(self.history)
        return writer.vector(
            self.members, lambda inner, member: inner.fixed(member, ID_SIZE)
        ).data()

    @classmethod
    def decode(cls, data: bytes) -> Genesis:
        """Decode it; whether it is acceptable, `check_between` says."""
        try:
            return decode(data, cls._read)
        except ValueError as error:
            raise DecodeError(Code.DECODE_MALFORMED, "genesis") from error

    @classmethod
    def _read(cls, reader: Reader) -> Genesis:
        if reader.uint8() != FORMAT:
            raise DecodeError(Code.DECODE_VERSION, "genesis")
        return cls(
            kind=Kind(reader.uint8()),
            suite=SuiteId(reader.uint16()),
            retention=Retention(reader.uint8()),
            history=History(reader.uint8()),
            members=tuple(reader.vector(lambda inner: inner.fixed(ID_SIZE), _MAX_MEMBERS)),
        )

    def hash(self) -> bytes:
        """What every message of the conversation is bound to, 32 bytes."""
        return sha256(Writer().opaque(labels.GENESIS_HASH).opaque(self.encode()).data())


def is_pairwise(data: bytes) -> bool:
    """Whether a genesis is meant to be that of a pairwise conversation, acceptable or not."""
    return data[:1] == bytes([FORMAT])


@functools.lru_cache(maxsize=256)
def hash_of(data: bytes) -> bytes:
    """The hash of an encoded genesis that was accepted. Each entry of its stream needs it."""
    return Genesis.decode(data).hash()


def between(one: bytes, other: bytes) -> Genesis:
    """The genesis of a conversation of two accounts, or of one's own devices where both are one.

    Everybody makes the same one.
    """
    return Genesis(
        kind=Kind.SELF if one == other else Kind.DIRECT,
        suite=SuiteId.DOUBLE_RATCHET_PQXDH,
        retention=Retention.QUEUE,
        history=History.NONE,
        members=tuple(sorted({one, other})),
    )


def check_between(data: bytes, one: bytes, other: bytes) -> Genesis:
    """Accept a genesis that a server delivers only if it is the one that we would have made.

    The floor is ours: a server, or a peer, that offers a weaker suite or another retention is
    refused.
    """
    try:
        genesis = Genesis.decode(data)
    except ParlourError as error:
        raise SecurityStop(Code.CONVERSATION_GENESIS, error.code.value) from error
    if genesis != between(one, other):
        raise SecurityStop(Code.CONVERSATION_GENESIS, "not that of a pairwise conversation")
    return genesis
