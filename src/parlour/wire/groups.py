"""Groups on MLS: key packages, and the server as their delivery service (RFC 9750 §5).

Handshakes are public messages. The server follows the public tree, refuses what is invalid in
public, and lets one commit win each epoch; content is private messages, appended like any other
entry. What a handshake says stands in the envelope of its entry (`CommitBody`, `ProposalBody`,
`RestartBody`, encoded with `encode_body`), so that everybody in the stream reads the same.

A group that was broken in private begins again: each beginning is a `generation` of its stream,
an MLS group of its own, whose id is the stream's id and the generation in four bytes.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from parlour.errors import Code, DecodeError
from parlour.wire.body import Body
from parlour.wire.directory import DeviceListPage, ListNumber
from parlour.wire.envelope import Envelope
from parlour.wire.ids import (
    AccountId,
    ClientId,
    DeviceId,
    Milliseconds,
    Sequence,
    StreamId,
)
from parlour.wire.limits import (
    MAX_BODY,
    MAX_GENESIS,
    MAX_GROUP_INFO,
    MAX_HANDSHAKE_BODY,
    MAX_KEY_PACKAGE,
    MAX_KEY_PACKAGES_PER_UPLOAD,
    MAX_PARTS,
    MAX_ROSTER_ENTRY,
    MAX_ROSTER_PER_COMMIT,
    MAX_ROSTER_PER_RESTART,
    MAX_ROSTER_STATE,
    MAX_TREE,
    MAX_WISH,
    MAX_WISHES,
)
from parlour.wire.prekeys import Count
from parlour.wire.streams import Entry, Part, StreamKind

BODY_FORMAT: Final = 1
# Of how many accounts, or devices, one request may ask.
MAX_BATCH: Final = 500

SuiteNumber = Annotated[int, Meta(ge=1, le=0xFFFF)]
"""An MLS cipher suite (RFC 9420 §17.1)."""
Generation = Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)]
"""How often a group began again."""
RosterBytes = Annotated[bytes, Meta(min_length=1, max_length=MAX_ROSTER_ENTRY)]
"""A signed entry of the roster log (`parlour.roster`)."""
WishBytes = Annotated[bytes, Meta(min_length=1, max_length=MAX_WISH)]
"""The signed wish of a device to be added again."""
GroupInfoBytes = Annotated[bytes, Meta(max_length=MAX_GROUP_INFO)]
"""A GroupInfo as an MLSMessage, with `external_pub`, without the tree."""
TreeBytes = Annotated[bytes, Meta(max_length=MAX_TREE)]
"""The ratchet tree (RFC 9420 §12.4.3.3)."""


# --- Many device lists at once ---


class KnownList(Body, array_like=True, frozen=True):
    """From which entry on an account's device list is wanted."""

    account_id: AccountId
    first: ListNumber


class ReadDeviceLists(Body, array_like=True, frozen=True):
    """Read many device lists, each from its entry `first` on."""

    lists: Annotated[list[KnownList], Meta(min_length=1, max_length=MAX_BATCH)]


class DeviceListPages(Body, array_like=True, frozen=True):
    """As many of the lists as fit, in the order asked for; ask again for the others.

    An account that does not exist is answered by a page of no entries, whose name is "?".
    """

    pages: list[DeviceListPage]


class ReadListHeads(Body, array_like=True, frozen=True):
    """How far the device lists of these accounts go."""

    account_ids: Annotated[list[AccountId], Meta(min_length=1, max_length=MAX_BATCH)]


class ListHead(Body, array_like=True, frozen=True):
    """The number of the newest entry of a list, and the entry's hash."""

    account_id: AccountId
    number: ListNumber
    hash: Annotated[bytes, Meta(min_length=32, max_length=32)]


class ListHeads(Body, array_like=True, frozen=True):
    """What was found."""

    heads: list[ListHead]


# --- Key packages ---


class KeyPackageUpload(Body, array_like=True, frozen=True):
    """A key package as an MLSMessage. Suite, mark and expiry (seconds) stand outside as well."""

    suite: SuiteNumber
    last_resort: bool
    expires_at: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
    data: Annotated[bytes, Meta(min_length=1, max_length=MAX_KEY_PACKAGE)]


class PublishKeyPackages(Body, array_like=True, frozen=True):
    """Add key packages of this device. One that is a last resort replaces the one before it."""

    packages: Annotated[list[KeyPackageUpload], Meta(max_length=MAX_KEY_PACKAGES_PER_UPLOAD)]


class KeyPackageCount(Body, array_like=True, frozen=True):
    """What is left of one suite. `last_resort_used` says that it was given out."""

    suite: SuiteNumber
    left: Count
    last_resort: bool
    last_resort_used: bool


class KeyPackageCounts(Body, array_like=True, frozen=True):
    """What is left of this device's key packages."""

    counts: list[KeyPackageCount]


class FetchKeyPackages(Body, array_like=True, frozen=True):
    """Take one key package of a suite for each of these devices; the last resort is given again."""

    suite: SuiteNumber
    device_ids: Annotated[list[DeviceId], Meta(min_length=1, max_length=MAX_BATCH)]


class FoundKeyPackage(Body, array_like=True, frozen=True):
    """The key package of one device."""

    device_id: DeviceId
    last_resort: bool
    data: Annotated[bytes, Meta(min_length=1, max_length=MAX_KEY_PACKAGE)]


class FoundKeyPackages(Body, array_like=True, frozen=True):
    """As many as fit into an answer, in the order asked for.

    A device of the first `asked` ones that is missing has none of that suite; the others are to be
    asked for again.
    """

    packages: list[FoundKeyPackage]
    asked: Count


# --- Handshakes ---


class CommitBody(Body, array_like=True, frozen=True):
    """A commit, with the roster entries that authorise it.

    `welcome` is the sealed GroupInfo of the Welcome, whose secrets for each new device are the
    entry's parts. `wishes` are those of the devices that it takes out and in again
    (`parlour.roster.readding`).
    """

    generation: Generation
    commit: Annotated[bytes, Meta(min_length=1, max_length=MAX_HANDSHAKE_BODY)]
    roster: Annotated[list[RosterBytes], Meta(max_length=MAX_ROSTER_PER_COMMIT)]
    welcome: Annotated[bytes, Meta(max_length=MAX_GROUP_INFO)]
    wishes: Annotated[list[WishBytes], Meta(max_length=MAX_WISHES)] = msgspec.field(
        default_factory=list
    )


class ProposalBody(Body, array_like=True, frozen=True):
    """A proposal, for the next commit. `evidence` is what the roster needs for it (a leave)."""

    generation: Generation
    proposal: Annotated[bytes, Meta(min_length=1, max_length=MAX_HANDSHAKE_BODY)]
    evidence: Annotated[bytes, Meta(max_length=MAX_ROSTER_ENTRY)]


class RestartBody(Body, array_like=True, frozen=True):
    """The group begins again with `generation`, by the roster entries that say who is left.

    `signature` is that of the maker's device over stream, generation, `group_info_hash` (SHA-256 of
    the GroupInfo of its epoch 0) and the roster's newest entry.
    """

    generation: Generation
    roster: Annotated[list[RosterBytes], Meta(max_length=MAX_ROSTER_PER_RESTART)]
    reason: Annotated[str, Meta(max_length=64)]
    group_info_hash: Annotated[bytes, Meta(min_length=32, max_length=32)]
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]


class CreateGroup(Body, array_like=True, frozen=True):
    """Found a conversation on MLS: its creator alone, in epoch 0 of generation 0.

    `roster` is the first entry of its roster log. Of kinds `direct` and `self` there is one per
    pair, or account: who comes second gets the one there is, whatever it is.
    """

    stream: StreamId
    kind: StreamKind
    genesis: Annotated[bytes, Meta(min_length=1, max_length=MAX_GENESIS)]
    roster: RosterBytes
    group_info: GroupInfoBytes
    tree: TreeBytes


class Handshake(Body, array_like=True, frozen=True):
    """Append a commit (or a proposal) to the group as it is in `generation` and `epoch`.

    The envelope's suite says which it is. With a commit comes the GroupInfo of the epoch that it
    leads to, and one part for each new device: its EncryptedGroupSecrets. All of that is one
    durable entry. A proposal has neither.
    """

    stream: StreamId
    client_id: ClientId
    generation: Generation
    epoch: Sequence
    envelope: Envelope
    parts: Annotated[list[Part], Meta(max_length=MAX_PARTS)]
    group_info: GroupInfoBytes


class Handled(Body, array_like=True, frozen=True):
    """The entry's place, or (`seq` is 0) that another one won.

    `generation` and `epoch` are where the group is now; `winners` what the loser has not seen: the
    commits since the epoch that it named, as far as they fit.
    """

    stream: StreamId
    client_id: ClientId
    seq: Sequence
    stored_at: Milliseconds
    repeated: bool
    generation: Generation
    epoch: Sequence
    winners: list[Entry]


class RestartGroup(Body, array_like=True, frozen=True):
    """Begin a group again: lost unless `generation` is above the current one.

    It is refused if that is too far ahead (`roster.restart`). `epoch` is the broken one. The
    envelope holds a `RestartBody`; `group_info` and `tree` are those of epoch 0 of the new
    generation, which is its maker's alone.
    """

    stream: StreamId
    client_id: ClientId
    generation: Generation
    epoch: Sequence
    envelope: Envelope
    group_info: GroupInfoBytes
    tree: TreeBytes


class LinkPass(Body, array_like=True, frozen=True):
    """The right to read a group in order to join it.

    A signature of the link's key over stream, account and device (`parlour.roster.links`).
    """

    link_id: Annotated[bytes, Meta(min_length=16, max_length=16)]
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]


class ReadGroup(Body, array_like=True, frozen=True):
    """Read the public state of a group: now, or (`epoch`) as it was after a commit with Welcomes.

    Members may, and who passes by a link.
    """

    stream: StreamId
    generation: Generation | None = None
    epoch: Sequence | None = None
    link: LinkPass | None = None


class GroupState(Body, array_like=True, frozen=True):
    """A group in public: `seq` is the entry that led to this epoch, 0 for the founding.

    `group_info` is empty for an epoch that is over. `roster_state` and `roster_head` are the
    roster as of that epoch: its state, and the entry that led to it.
    """

    stream: StreamId
    genesis: Annotated[bytes, Meta(max_length=MAX_GENESIS)]
    generation: Generation
    epoch: Sequence
    seq: Sequence
    group_info: GroupInfoBytes
    tree: TreeBytes
    roster_state: Annotated[bytes, Meta(max_length=MAX_ROSTER_STATE)]
    roster_head: RosterBytes


B = TypeVar("B", CommitBody, ProposalBody, RestartBody)

_encoder: Final = msgspec.msgpack.Encoder()
_decoders: Final = {
    kind: msgspec.msgpack.Decoder(tuple[int, kind])  # type: ignore[valid-type]
    for kind in (CommitBody, ProposalBody, RestartBody)
}


def encode_body(body: CommitBody | ProposalBody | RestartBody) -> bytes:
    """What stands in the envelope of a handshake's entry; raises `LIMIT_SIZE` above `MAX_BODY`."""
    data = _encoder.encode((BODY_FORMAT, body))
    if len(data) > MAX_BODY:
        raise DecodeError(Code.DECODE_OVERSIZED, "handshake")
    return data


def decode_body(data: bytes, kind: type[B]) -> B:
    """Read what `encode_body` wrote, or raise `DecodeError`."""
    try:
        version, body = _decoders[kind].decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(Code.DECODE_MALFORMED, kind.__name__) from error
    if version != BODY_FORMAT:
        raise DecodeError(Code.DECODE_VERSION, kind.__name__)
    return body
