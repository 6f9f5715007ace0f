"""Streams: append-only, numbered lists of opaque entries.

An entry has one `envelope` that everybody in the stream gets, and `parts`: small ciphertexts for
single devices (a pairwise-encrypted key, a Welcome), of which each device gets its own only.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from parlour.wire.body import Body
from parlour.wire.envelope import Envelope
from parlour.wire.ids import (
    AccountId,
    ClientId,
    DeviceId,
    Incarnation,
    Milliseconds,
    Sequence,
    StreamId,
    Ticket,
)
from parlour.wire.limits import (
    MAX_GENESIS,
    MAX_MEMBERS,
    MAX_PAGE,
    MAX_PART,
    MAX_PARTS,
    MAX_STREAMS_PER_REQUEST,
)
from parlour.wire.prekeys import Count

StreamKind = Literal["inbox", "direct", "self", "group", "family", "channel"]
"""`inbox` is one device's; `direct` is of two accounts; `self` is of one account's devices. The
others are groups, whose roster says who is in them; `channel` is a room."""
PartBytes = Annotated[bytes, Meta(min_length=1, max_length=MAX_PART)]
"""A ciphertext for one device."""
PageLimit = Annotated[int, Meta(ge=1, le=MAX_PAGE)]
"""How many entries a page may have."""


class CreateConversation(Body, array_like=True, frozen=True):
    """Create a stream of a kind with members, or get the one that exists.

    Of kind `direct` there is one per pair of accounts, of kind `self` one per account: who comes
    second gets the first one's.
    `genesis` fixes kind, suite and policies; the server stores it, the clients check it.
    """

    stream: StreamId
    kind: StreamKind
    members: Annotated[list[AccountId], Meta(min_length=1, max_length=MAX_MEMBERS)]
    genesis: Annotated[bytes, Meta(max_length=MAX_GENESIS)]


class StreamInfo(Body, array_like=True, frozen=True):
    """A stream that this device may read. `last` is the newest entry's number.

    `first` is the number of the first one that is kept of those since the account came, or of the
    next one if there is none: a device that is new to the stream can tell what it was not shown.
    """

    stream: StreamId
    kind: StreamKind
    members: Annotated[list[AccountId], Meta(max_length=MAX_MEMBERS)]
    genesis: Annotated[bytes, Meta(max_length=MAX_GENESIS)]
    last: Sequence
    first: Sequence = 1


class ListStreams(Body, array_like=True, frozen=True):
    """The streams of this device, by their ids; those behind `after`, where it is given."""

    after: StreamId | None = None


class StreamInfos(Body, array_like=True, frozen=True):
    """Streams of this device; with `more`, ask again behind the last of them."""

    streams: list[StreamInfo]
    more: bool = False


class Part(Body, array_like=True, frozen=True, gc=False):
    """A ciphertext for one device."""

    device_id: DeviceId
    data: PartBytes


class Append(Body, array_like=True, frozen=True):
    """Append one entry; acknowledged when it is durable.

    `expect_epoch` wins or loses by compare-and-swap with the stream's epoch. After `expires_at`
    the server forgets the entry. To an inbox only `parts` for its device may be appended.
    """

    stream: StreamId
    client_id: ClientId
    envelope: Envelope
    parts: Annotated[list[Part], Meta(max_length=MAX_PARTS)]
    expect_epoch: Sequence | None = None
    expires_at: Milliseconds | None = None


class Appended(Body, array_like=True, frozen=True):
    """The entry's place. `repeated` when this (device, client id) had been appended before."""

    stream: StreamId
    client_id: ClientId
    seq: Sequence
    stored_at: Milliseconds
    repeated: bool


class Entry(Body, array_like=True, frozen=True):
    """One entry as one device gets it."""

    stream: StreamId
    seq: Sequence
    sender_account: AccountId
    sender_device: DeviceId
    client_id: ClientId
    stored_at: Milliseconds
    expires_at: Milliseconds | None
    envelope: Envelope
    part: PartBytes | None


class Read(Body, array_like=True, frozen=True):
    """Read a page of one stream, forwards from after `after` or backwards from before it."""

    stream: StreamId
    after: Sequence
    limit: PageLimit
    backwards: bool = False


class Page(Body, array_like=True, frozen=True):
    """A page of entries; `more` when the stream goes on that way."""

    entries: list[Entry]
    more: bool


class Position(Body, array_like=True, frozen=True, gc=False):
    """How far a device has come in a stream."""

    stream: StreamId
    seq: Sequence


class CatchUp(Body, array_like=True, frozen=True):
    """Everything after the given positions, of all streams of this device, in one request.

    A stream that is not named is read from its beginning, and described in `streams`. One that
    ends before the position named is described, too: whoever named it was told a wrong number.
    """

    positions: Annotated[list[Position], Meta(max_length=MAX_STREAMS_PER_REQUEST)]
    limit: PageLimit = MAX_PAGE


class CaughtUp(Body, array_like=True, frozen=True):
    """Entries by stream and number; with `more`, ask again from where these end."""

    streams: list[StreamInfo]
    entries: list[Entry]
    more: bool


class Acknowledge(Body, array_like=True, frozen=True):
    """Move this device's cursors forward; what every device has read may be trimmed."""

    positions: Annotated[list[Position], Meta(min_length=1, max_length=MAX_STREAMS_PER_REQUEST)]


class LiveStart(Body, array_like=True, frozen=True):
    """Begin to receive pushes on this socket, and catch up to where they begin.

    A device that connects presents the ticket of its last connection and the next one, written to
    its disk before. A home that was copied, or restored from a backup, presents a ticket that is
    no longer the last: it is refused, because two holders of one ratchet would harm its owner.
    """

    ticket: Ticket | None
    next_ticket: Ticket
    positions: Annotated[list[Position], Meta(max_length=MAX_STREAMS_PER_REQUEST)]
    limit: PageLimit = MAX_PAGE


class LiveStarted(Body, array_like=True, frozen=True):
    """The first page; with `more`, go on by `CatchUp`. Pushes follow."""

    incarnation: Incarnation
    time: Milliseconds
    streams: list[StreamInfo]
    entries: list[Entry]
    more: bool
    prekeys_left: Count
