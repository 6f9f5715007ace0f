"""The directory: accounts by exact name, and their signed device lists."""

from __future__ import annotations

import asyncio
from typing import Final

from parlour.errors import Code, NotFoundError
from parlour.identity.device_list import DeviceListEntry
from parlour.login import account_name
from parlour.server.limits import LISTS_PER_REQUESTER, Limits
from parlour.server.sessions import Grant
from parlour.server.store import AccountRecord, Store
from parlour.server.store.records import ListTip
from parlour.wire.directory import DeviceListPage, LookUp, ReadDeviceList
from parlour.wire.groups import (
    DeviceListPages,
    ListHead,
    ListHeads,
    ReadDeviceLists,
    ReadListHeads,
)
from parlour.wire.limits import MAX_DEVICE_LIST_PAGE, MAX_PAGE_BYTES

# In the place of the name of an account that does not exist. No account can have it.
NO_NAME: Final = "?"


class DirectoryService:
    """Looks accounts up and reads their device lists; `accounts` changes them."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._limits = limits

    async def look_up(self, grant: Grant, request: LookUp) -> DeviceListPage:
        """Find an account by name, with the beginning of its device list."""
        account = await self._store.accounts.by_name(account_name(request.name))
        return await self._page(account, 0)

    async def read_list(self, grant: Grant, request: ReadDeviceList) -> DeviceListPage:
        """Read on in a device list."""
        account = await self._store.accounts.by_id(request.account_id)
        return await self._page(account, request.first)

    async def read_lists(self, grant: Grant, request: ReadDeviceLists) -> DeviceListPages:
        """Read on in many device lists at once, as far as they fit into an answer."""
        self._count(grant, len(request.lists))
        found = await self._store.devices.list_pages(
            request.lists, MAX_DEVICE_LIST_PAGE, MAX_PAGE_BYTES
        )
        return DeviceListPages(
            [
                DeviceListPage(
                    page.account_id, page.name or NO_NAME, known.first, page.entries, page.more
                )
                for known, page in zip(request.lists, found, strict=False)
            ]
        )

    async def read_heads(self, grant: Grant, request: ReadListHeads) -> ListHeads:
        """How far many device lists go."""
        self._count(grant, len(request.account_ids))
        tips = await self._store.devices.list_heads(request.account_ids)
        # Decoding five hundred of them takes long enough for others to notice.
        return ListHeads(await asyncio.to_thread(lambda: [_head(tip) for tip in tips]))

    def _count(self, grant: Grant, lists: int) -> None:
        self._limits.hit("lists", LISTS_PER_REQUESTER, grant.account_id.hex(), lists)

    async def _page(self, account: AccountRecord | None, first: int) -> DeviceListPage:
        if account is None:
            raise NotFoundError(Code.ACCOUNT_UNKNOWN)
        entries, more = await self._store.devices.list_page(
            account.account_id, first, MAX_DEVICE_LIST_PAGE
        )
        return DeviceListPage(account.account_id, account.name, first, entries, more)


def _head(tip: ListTip) -> ListHead:
    return ListHead(tip.account_id, tip.number, DeviceListEntry.decode(tip.entry).hash())
