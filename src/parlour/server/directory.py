"""The directory: accounts by exact name, and their signed device lists."""

from __future__ import annotations

from parlour.errors import Code, NotFoundError
from parlour.login import account_name
from parlour.server.sessions import Grant
from parlour.server.store import AccountRecord, Store
from parlour.wire.directory import DeviceListPage, LookUp, ReadDeviceList
from parlour.wire.limits import MAX_DEVICE_LIST_PAGE


class DirectoryService:
    """Looks accounts up and reads their device lists; `accounts` changes them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def look_up(self, grant: Grant, request: LookUp) -> DeviceListPage:
        """Find an account by name, with the beginning of its device list."""
        account = await self._store.accounts.by_name(account_name(request.name))
        return await self._page(account, 0)

    async def read_list(self, grant: Grant, request: ReadDeviceList) -> DeviceListPage:
        """Read on in a device list."""
        account = await self._store.accounts.by_id(request.account_id)
        return await self._page(account, request.first)

    async def _page(self, account: AccountRecord | None, first: int) -> DeviceListPage:
        if account is None:
            raise NotFoundError(Code.ACCOUNT_UNKNOWN)
        entries, more = await self._store.devices.list_page(
            account.account_id, first, MAX_DEVICE_LIST_PAGE
        )
        return DeviceListPage(account.account_id, account.name, first, entries, more)
