"""Device lists of those whom a commit brings into a group, for the members that are to judge it.

Without them each member would ask for the same lists at the same moment, which in a group of 1,500
costs the server more than the commit.
"""

from __future__ import annotations

from collections.abc import Sequence

from parlour.roster import Added, JoinedByLink, RosterEntry
from parlour.server.store.interface import Devices
from parlour.wire.directory import DeviceListPage
from parlour.wire.groups import KnownList
from parlour.wire.limits import (
    MAX_DEVICE_LIST_PAGE,
    MAX_PUSHED_LISTS,
    MAX_PUSHED_LISTS_BYTES,
)


async def lists_of_newcomers(
    devices: Devices, entries: Sequence[RosterEntry]
) -> tuple[DeviceListPage, ...]:
    """The whole lists of the accounts that roster entries add; of many or long ones, none."""
    added = {
        change.account: None
        for entry in entries
        for change in entry.changes
        if isinstance(change, Added | JoinedByLink)
    }
    if not 0 < len(added) <= MAX_PUSHED_LISTS:
        return ()
    wanted = [KnownList(account, 0) for account in added]
    pages = await devices.list_pages(wanted, MAX_DEVICE_LIST_PAGE, MAX_PUSHED_LISTS_BYTES)
    return tuple(
        DeviceListPage(page.account_id, page.name, 0, page.entries, False)
        for page in pages
        if page.name is not None and page.entries and not page.more
    )
