"""What the server sends on a live socket without being asked."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from parlour.wire.body import Body
from parlour.wire.directory import DeviceListPage, ListNumber
from parlour.wire.groups import KeyPackageCounts
from parlour.wire.ids import AccountId, DeviceId
from parlour.wire.limits import MAX_PUSHED_LISTS
from parlour.wire.prekeys import PrekeyCounts
from parlour.wire.streams import Entry, StreamInfo


class PushEntry(Body, array_like=True, frozen=True):
    """A new entry. Numbers in a stream follow each other: a gap means that one was lost.

    With a commit that brings accounts into a group come their whole device lists, where they are
    few and short: every member would ask for them.
    """

    entry: Entry
    lists: Annotated[list[DeviceListPage], Meta(max_length=MAX_PUSHED_LISTS)] = field(
        default_factory=list
    )


class PushStream(Body, array_like=True, frozen=True):
    """A stream that this device may now read."""

    stream: StreamInfo


class PushResync(Body, array_like=True, frozen=True):
    """The socket took in too little and pushes were dropped: catch up."""


class PushDeviceList(Body, array_like=True, frozen=True):
    """An account's device list has grown to this number."""

    account_id: AccountId
    number: ListNumber


class PushPrekeysLow(Body, array_like=True, frozen=True):
    """Few one-time prekeys are left: publish more."""

    counts: PrekeyCounts


class PushKeyPackagesLow(Body, array_like=True, frozen=True):
    """Few key packages are left, or the last resort was given out: publish more."""

    counts: KeyPackageCounts


class PushKeyPackages(Body, array_like=True, frozen=True):
    """A device of the own account has key packages now, where it had none of some suite."""

    device_id: DeviceId


class PushDrain(Body, array_like=True, frozen=True):
    """The server is about to restart: connect again after so many milliseconds."""

    retry_after: Annotated[int, Meta(ge=0, le=600_000)]
