"""What an entry of a roster may change: a tagged union."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, Final, TypeAlias, get_args

from parlour.codec import Reader, Writer, decode
from parlour.errors import Code, DecodeError
from parlour.primitives.hashes import SHA256_SIZE
from parlour.primitives.signature import (
    ED25519_KEY_SIZE,
    ED25519_SIGNATURE_SIZE,
    Ed25519PrivateKey,
)
from parlour.roster import device_signature, labels
from parlour.roster.limits import ID_SIZE
from parlour.roster.roles import Role


class ChannelKind(IntEnum):
    """What a channel carries."""

    TEXT = 1
    VOICE = 2


# Of an account that shows this, no device ever comes in: it is nobody's Ed25519 key.
NO_KEY: Final = bytes(ED25519_KEY_SIZE)


@dataclass(frozen=True, slots=True)
class Added:
    """An account comes in, under the account key `key`: who shows another one is somebody else."""

    account: bytes
    role: Role
    key: bytes = NO_KEY


@dataclass(frozen=True, slots=True)
class Removed:
    """An account is put out."""

    account: bytes


@dataclass(frozen=True, slots=True)
class RoleSet:
    """An account gets another role."""

    account: bytes
    role: Role


@dataclass(frozen=True, slots=True)
class Left:
    """An account goes, by the statement of one of its devices (`leave_statement`).

    Any member who stays may put it into an entry; nobody else can make it.
    """

    account: bytes
    device: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Named:
    """The group has another name, of which this is `naming.name_commitment`."""

    commitment: bytes


@dataclass(frozen=True, slots=True)
class LinkOpened:
    """Whoever holds the private half of `public_key` may come in, in `role`, so many times.

    `expires_at` counts milliseconds.
    """

    link_id: bytes
    public_key: bytes
    role: Role
    uses: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class LinkClosed:
    """A link is void."""

    link_id: bytes


@dataclass(frozen=True, slots=True)
class JoinedByLink:
    """An account comes in by a link, whose key has signed for it (`links.JoinLink.sign_join`).

    `key` is its own account key, by the word of its device, which signs the entry.
    """

    link_id: bytes
    account: bytes
    device: bytes
    signature: bytes
    key: bytes = NO_KEY


@dataclass(frozen=True, slots=True)
class ChannelOpened:
    """A channel, which is a stream, for accounts of at least `min_role`; or its role changes."""

    channel: bytes
    kind: ChannelKind
    min_role: Role


@dataclass(frozen=True, slots=True)
class ChannelClosed:
    """A channel is gone."""

    channel: bytes


Change: TypeAlias = (
    Added
    | Removed
    | RoleSet
    | Left
    | Named
    | LinkOpened
    | LinkClosed
    | JoinedByLink
    | ChannelOpened
    | ChannelClosed
)

_Write: TypeAlias = Callable[[Writer, Any], object]
_Read: TypeAlias = Callable[[Reader], Any]


def _fixed(size: int) -> tuple[_Write, _Read]:
    return lambda writer, value: writer.fixed(value, size), lambda reader: reader.fixed(size)


_ID: Final = _fixed(ID_SIZE)
_HASH: Final = _fixed(SHA256_SIZE)
_KEY: Final = _fixed(ED25519_KEY_SIZE)
_SIGNATURE: Final = _fixed(ED25519_SIGNATURE_SIZE)
_ROLE: Final[tuple[_Write, _Read]] = (Writer.uint8, lambda reader: Role(reader.uint8()))
_CHANNEL_KIND: Final[tuple[_Write, _Read]] = (
    Writer.uint8,
    lambda reader: ChannelKind(reader.uint8()),
)
_COUNT: Final[tuple[_Write, _Read]] = (Writer.uint32, Reader.uint32)
_TIME: Final[tuple[_Write, _Read]] = (Writer.uint64, Reader.uint64)

# How each field is spelled, wherever it stands.
_SPELLINGS: Final[dict[str, tuple[_Write, _Read]]] = {
    "account": _ID,
    "device": _ID,
    "link_id": _ID,
    "channel": _ID,
    "commitment": _HASH,
    "public_key": _KEY,
    "key": _KEY,
    "signature": _SIGNATURE,
    "role": _ROLE,
    "min_role": _ROLE,
    "kind": _CHANNEL_KIND,
    "uses": _COUNT,
    "expires_at": _TIME,
}
# The number of each change is its place in the union, from 1.
_TYPES: Final[tuple[type[Any], ...]] = get_args(Change)
_TAGS: Final = {kind: tag for tag, kind in enumerate(_TYPES, start=1)}
_FIELDS: Final = {
    kind: tuple((each.name, *_SPELLINGS[each.name]) for each in fields(kind)) for kind in _TYPES
}


def write_change(writer: Writer, change: Change) -> None:
    """Write one.

    ::

        struct {
            uint8 type;             /* 1 Added … 10 ChannelClosed */
            select (type) { … };    /* the fields in their order; none has a length of its own */
        } Change;

    Ids take 16 bytes, commitments and keys 32, signatures 64, roles and kinds one, uses 4, times 8.
    """
    writer.uint8(_TAGS[type(change)])
    for name, write, _ in _FIELDS[type(change)]:
        write(writer, getattr(change, name))


def read_change(reader: Reader) -> Change:
    """Read one."""
    tag = reader.uint8()
    if not 1 <= tag <= len(_TYPES):
        raise DecodeError(Code.DECODE_VERSION, "a change of an unknown type")
    kind = _TYPES[tag - 1]
    try:
        change: Change = kind(*(read(reader) for _, _, read in _FIELDS[kind]))
    except ValueError as error:
        raise DecodeError(Code.DECODE_MALFORMED, "a change") from error
    return change


def encode_change(change: Change) -> bytes:
    """One change alone: the evidence that travels with a proposal."""
    writer = Writer()
    write_change(writer, change)
    return writer.data()


def decode_change(data: bytes) -> Change:
    """Read what `encode_change` wrote, or raise `DecodeError`."""
    return decode(data, read_change)


def leave_content(roster_id: bytes, account: bytes, device: bytes, since: int) -> bytes:
    """What a leaver signs: this membership of this roster, which began with entry `since`.

    Without `since`, who was asked back could be put out again with the old statement.
    """
    writer = Writer()
    for value in (roster_id, account, device):
        writer.fixed(value, ID_SIZE)
    return writer.uint64(since).data()


def leave_statement(
    roster_id: bytes, account: bytes, since: int, device_key: Ed25519PrivateKey
) -> Left:
    """The statement by which an account leaves, made by one of its devices."""
    device = device_signature.device_id_of(device_key.public_key)
    content = leave_content(roster_id, account, device, since)
    signature = device_signature.sign(labels.LEAVE, content, device, device_key)
    return Left(account, device, signature)


def join_content(roster_id: bytes, account: bytes, device: bytes) -> bytes:
    """What the key of a link signs for who comes in by it."""
    writer = Writer()
    for value in (roster_id, account, device):
        writer.fixed(value, ID_SIZE)
    return writer.data()
