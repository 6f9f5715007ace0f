"""Device lists as this device reads them itself: a new one its first, an old one what it changes.

Each entry is verified against the one before, from an entry that is known or from the first one
under a key that is known (`identity.device_list`). What contacts' lists say is the machine's.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final, Protocol, TypeVar

from msgspec import Struct

from parlour.errors import Code, SecurityStop
from parlour.identity.device_list import DeviceListEntry, DeviceListState
from parlour.primitives.signature import Ed25519PublicKey
from parlour.wire.directory import DeviceListPage, ReadDeviceList
from parlour.wire.kinds import Kind

R = TypeVar("R", bound=Struct)
# As many as `conversation.directory` reads.
MAX_ENTRIES: Final = 10_000


class Ask(Protocol):
    """Asks the server one thing."""

    def __call__(self, kind: Kind, body: Struct, response: type[R], /) -> Awaitable[R]:
        """Ask, and return the answer."""
        ...


async def read_whole(
    ask: Ask, account_id: bytes, account_key: Ed25519PublicKey
) -> list[DeviceListEntry]:
    """Read a list from its beginning, under that account key; raises `SecurityStop`."""
    entries = await _read(ask, account_id, 0)
    if not entries or entries[0].account_key != account_key:
        raise SecurityStop(Code.DEVICE_LIST_INVALID, "another account's list")
    state = DeviceListState.begin(account_id, entries[0])
    for entry in entries[1:]:
        state = state.extend(entry)
    return entries


async def read_on(ask: Ask, known: DeviceListEntry) -> list[DeviceListEntry]:
    """Read what follows an entry that is known; raises `SecurityStop` where that is not there."""
    entries = await _read(ask, known.account_id, known.number)
    if not entries:
        raise SecurityStop(Code.DEVICE_LIST_ROLLBACK, "the known entry is gone")
    if entries[0].hash() != known.hash():
        raise SecurityStop(Code.DEVICE_LIST_INVALID, "the list was forked")
    state = DeviceListState.after(known)
    for entry in entries[1:]:
        state = state.extend(entry)
    return entries[1:]


async def _read(ask: Ask, account_id: bytes, first: int) -> list[DeviceListEntry]:
    entries: list[DeviceListEntry] = []
    more = True
    while more:
        request = ReadDeviceList(account_id=account_id, first=first + len(entries))
        page = await ask(Kind.READ_DEVICE_LIST, request, DeviceListPage)
        if page.account_id != account_id:
            raise SecurityStop(Code.DEVICE_LIST_INVALID, "the answer is of another account")
        entries += [DeviceListEntry.decode(data) for data in page.entries]
        more = page.more
        if more and (not page.entries or len(entries) > MAX_ENTRIES):
            raise SecurityStop(Code.DEVICE_LIST_INVALID, "a list without end")
    return entries
