"""The directory: accounts by exact name, and their signed device lists."""

from __future__ import annotations

from parlour.errors import Code, ConflictError, NotFoundError, SecurityStop
from parlour.identity.device_list import DeviceListEntry, DeviceListState
from parlour.login import account_name
from parlour.primitives.random import Random, system_random
from parlour.server.clock import Clock
from parlour.server.hub import Hub
from parlour.server.sessions import Grant, SessionService
from parlour.server.store import AccountRecord, Store
from parlour.server.store.records import NewDevice
from parlour.wire.directory import AppendDeviceList, DeviceListPage, LookUp, ReadDeviceList
from parlour.wire.ids import ID_SIZE
from parlour.wire.kinds import Kind
from parlour.wire.limits import MAX_DEVICE_LIST_PAGE
from parlour.wire.push import PushDeviceList
from parlour.wire.server import Nothing


class DirectoryService:
    """Looks accounts up and lets their owners change their device lists."""

    def __init__(
        self,
        store: Store,
        hub: Hub,
        sessions: SessionService,
        clock: Clock,
        random: Random = system_random,
    ) -> None:
        self._store = store
        self._hub = hub
        self._sessions = sessions
        self._clock = clock
        self._random = random

    async def look_up(self, grant: Grant, request: LookUp) -> DeviceListPage:
        """Find an account by name, with the beginning of its device list."""
        account = await self._store.accounts.by_name(account_name(request.name))
        return await self._page(account, 0)

    async def read_list(self, grant: Grant, request: ReadDeviceList) -> DeviceListPage:
        """Read on in a device list."""
        account = await self._store.accounts.by_id(request.account_id)
        return await self._page(account, request.first)

    async def append_list(self, grant: Grant, request: AppendDeviceList) -> Nothing:
        """Append an entry that the account key signed; devices that left it are out at once."""
        head = await self._store.devices.list_head(grant.account_id)
        if head is None:
            raise NotFoundError(Code.ACCOUNT_UNKNOWN)
        state = _state(grant.account_id, DeviceListEntry.decode(head))
        entry = DeviceListEntry.decode(request.entry)
        if entry.number != state.number + 1:
            raise ConflictError(Code.DEVICE_LIST_CONFLICT)
        try:
            state = state.extend(entry)
        except SecurityStop as stop:
            # The other codes warn a client of its server; a server has nobody to be warned of.
            raise SecurityStop(Code.DEVICE_LIST_INVALID, stop.detail) from stop
        change = await self._store.devices.append_list(
            grant.account_id,
            entry.number,
            request.entry,
            [
                NewDevice(device.device_id, device.signature_key.to_bytes(), self._random(ID_SIZE))
                for device in state.devices
            ],
            now=self._clock(),
        )
        self._sessions.remove_devices(change.removed)
        contacts = await self._store.accounts.contacts(grant.account_id)
        self._hub.push(
            contacts, Kind.PUSH_DEVICE_LIST, PushDeviceList(grant.account_id, entry.number)
        )
        return Nothing()

    async def _page(self, account: AccountRecord | None, first: int) -> DeviceListPage:
        if account is None:
            raise NotFoundError(Code.ACCOUNT_UNKNOWN)
        entries, more = await self._store.devices.list_page(
            account.account_id, first, MAX_DEVICE_LIST_PAGE
        )
        return DeviceListPage(account.account_id, account.name, first, entries, more)


def _state(account_id: bytes, head: DeviceListEntry) -> DeviceListState:
    """The state after an entry that was verified when it was stored."""
    return DeviceListState(account_id, head.account_key, head.number, head.hash(), head.devices)
