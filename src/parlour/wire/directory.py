"""Accounts by exact name, and their signed device lists."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from parlour.wire.body import Body
from parlour.wire.ids import AccountId, AccountName, DeviceId
from parlour.wire.limits import MAX_DEVICE_LIST_PAGE, MAX_DEVICES, MAX_PREKEYS_PER_UPLOAD
from parlour.wire.login import DeviceListEntryBytes
from parlour.wire.prekeys import Prekey
from parlour.wire.vaults import NewVaults

ListNumber = Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)]
"""The number of an entry in a device list, from 0."""


class LookUp(Body, array_like=True, frozen=True):
    """Find an account by its exact name; there is no listing."""

    name: AccountName


class ReadDeviceList(Body, array_like=True, frozen=True):
    """Read an account's device list from entry number `first` on."""

    account_id: AccountId
    first: ListNumber


class DeviceListPage(Body, array_like=True, frozen=True):
    """Entries of a device list in order; `more` when the list goes on."""

    account_id: AccountId
    name: AccountName
    first: ListNumber
    entries: Annotated[list[DeviceListEntryBytes], Meta(max_length=MAX_DEVICE_LIST_PAGE)]
    more: bool


class DevicePrekeys(Body, array_like=True, frozen=True):
    """The first prekeys of a device that an entry adds."""

    device_id: DeviceId
    prekeys: Annotated[list[Prekey], Meta(max_length=MAX_PREKEYS_PER_UPLOAD)]


class AppendDeviceList(Body, array_like=True, frozen=True):
    """Append one entry, signed by the account key; refused unless it follows the last one.

    In the same durable step, added devices get their first `prekeys`, so that nobody finds a
    device without any; and a new recovery key comes with the `vaults` that belong to it.
    """

    entry: DeviceListEntryBytes
    prekeys: Annotated[list[DevicePrekeys], Meta(max_length=MAX_DEVICES)] | None = None
    vaults: NewVaults | None = None
