"""The founding statement of a conversation on MLS: what it is, fixed for good."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property
from typing import Final

from parlour.codec import Reader, Writer, decode
from parlour.errors import Code, DecodeError, SecurityStop, UsageError
from parlour.primitives.hashes import sha256
from parlour.primitives.signature import (
    ED25519_SIGNATURE_SIZE,
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from parlour.roster import device_signature, labels
from parlour.roster.limits import ID_SIZE, MAX_GENESIS_SIZE, MAX_RETENTION_DAYS

FORMAT: Final = 1


class Kind(IntEnum):
    """What a conversation is."""

    DIRECT = 1
    """Two accounts, for good."""
    SELF = 2
    """The devices of one account."""
    GROUP = 3
    FAMILY = 4
    """A group in which everybody may add people and name it."""
    CHANNEL = 5
    """A room: a group that may hold channels."""


class Retention(IntEnum):
    """How long the server keeps entries."""

    QUEUE = 1
    """Until every device has read them."""
    DAYS = 2
    FOREVER = 3


class History(IntEnum):
    """What newcomers and new devices get to read."""

    NONE = 1
    """No archive: what was said before is on the devices that were there."""
    SINCE_JOIN = 2
    """An archive, of which an account gets what was said while it was a member."""
    ALL = 3
    """An archive, of which newcomers get everything."""


class Mode(IntEnum):
    """Who may hear what is spoken in a room."""

    PARANOID = 1
    """Its members."""
    TRUSTED = 2
    """Its members, and the server."""
    MIXED = 3
    """Its members; the server adds what it cannot hear."""


@dataclass(frozen=True)
class Genesis:
    """What is fixed when a conversation is founded, signed by the device that founds it.

    `suite` is the cipher suite of MLS (RFC 9420 §17.1) in which the first generation begins.
    `retention_days` is 0 unless `retention` counts days; `created_at` counts milliseconds.
    """

    kind: Kind
    suite: int
    retention: Retention
    retention_days: int
    history: History
    mode: Mode
    stream: bytes
    roster_id: bytes
    creator_account: bytes
    creator_device: bytes
    created_at: int
    signature: bytes = b""

    @classmethod
    def create(  # noqa: PLR0913 - what a conversation is, all of it
        cls,
        device_key: Ed25519PrivateKey,
        *,
        kind: Kind,
        suite: int,
        stream: bytes,
        roster_id: bytes,
        creator_account: bytes,
        created_at: int,
        retention: Retention = Retention.QUEUE,
        retention_days: int = 0,
        history: History = History.NONE,
        mode: Mode = Mode.PARANOID,
    ) -> Genesis:
        """Make and sign one; raises `UsageError` for what `verify` would refuse."""
        device = device_signature.device_id_of(device_key.public_key)
        genesis = cls(
            kind=kind,
            suite=suite,
            retention=retention,
            retention_days=retention_days,
            history=history,
            mode=mode,
            stream=stream,
            roster_id=roster_id,
            creator_account=creator_account,
            creator_device=device,
            created_at=created_at,
        )
        fault = genesis._fault()
        if fault:
            raise UsageError(Code.USAGE_INVALID, fault)
        content = genesis._content()
        return replace(
            genesis, signature=device_signature.sign(labels.GENESIS, content, device, device_key)
        )

    def _content(self) -> bytes:
        """The structure without its signature.

        ::

            struct {
                uint8  format = 1;
                uint8  kind;
                uint16 suite;
                uint8  retention;
                uint16 retention_days;
                uint8  history;
                uint8  mode;
                opaque stream[16];
                opaque roster_id[16];
                opaque creator_account[16];
                opaque creator_device[16];
                uint64 created_at;          /* milliseconds */
            } GenesisTBS;
        """
        writer = Writer().uint8(FORMAT).uint8(self.kind).uint16(self.suite)
        writer.uint8(self.retention).uint16(self.retention_days)
        writer.uint8(self.history).uint8(self.mode)
        for value in (self.stream, self.roster_id, self.creator_account, self.creator_device):
            writer.fixed(value, ID_SIZE)
        return writer.uint64(self.created_at).data()

    def encode(self) -> bytes:
        """`opaque content<V>; opaque signature[64]`."""
        writer = Writer().opaque(self._content())
        return writer.fixed(self.signature, ED25519_SIGNATURE_SIZE).data()

    @classmethod
    def decode(cls, data: bytes) -> Genesis:
        """Decode without verifying anything but the form."""
        if len(data) > MAX_GENESIS_SIZE:
            raise DecodeError(Code.DECODE_OVERSIZED, "genesis")
        content, signature = decode(
            data, lambda reader: (reader.opaque(), reader.fixed(ED25519_SIGNATURE_SIZE))
        )
        try:
            genesis = decode(content, cls._read)
        except ValueError as error:
            raise DecodeError(Code.DECODE_MALFORMED, "genesis") from error
        return replace(genesis, signature=signature)

    @classmethod
    def _read(cls, reader: Reader) -> Genesis:
        if reader.uint8() != FORMAT:
            raise DecodeError(Code.DECODE_VERSION, "genesis")
        return cls(
            kind=Kind(reader.uint8()),
            suite=reader.uint16(),
            retention=Retention(reader.uint8()),
            retention_days=reader.uint16(),
            history=History(reader.uint8()),
            mode=Mode(reader.uint8()),
            stream=reader.fixed(ID_SIZE),
            roster_id=reader.fixed(ID_SIZE),
            creator_account=reader.fixed(ID_SIZE),
            creator_device=reader.fixed(ID_SIZE),
            created_at=reader.uint64(),
        )

    def verify(self, device_key: Ed25519PublicKey | None) -> None:
        """Return if it makes sense and the creator's device has signed it; else `SecurityStop`."""
        self.check()
        device_signature.verify(
            labels.GENESIS, self._content(), self.creator_device, device_key, self.signature
        )

    def check(self) -> None:
        """Return if its fields go together, else raise `SecurityStop`."""
        fault = self._fault()
        if fault:
            raise SecurityStop(Code.ROSTER_INVALID, fault)

    def _fault(self) -> str:
        """What is wrong with it, or nothing."""
        if not self.suite:
            return "a conversation without a suite"
        counts = self.retention is Retention.DAYS
        if counts is (self.retention_days == 0) or self.retention_days > MAX_RETENTION_DAYS:
            return "a retention that can't be"
        if self.mode is not Mode.PARANOID and self.kind is not Kind.CHANNEL:
            return "a mode of rooms in what is no room"
        return ""

    def hash(self) -> bytes:
        """What the first entry names as the one before it, 32 bytes.

        Over content and signature: who signs two of one id has made two conversations.
        """
        return self._hash

    @cached_property
    def _hash(self) -> bytes:
        return sha256(Writer().opaque(labels.GENESIS_HASH).opaque(self.encode()).data())
