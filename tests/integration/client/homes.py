"""What a home holds of its account, and what a server holds of it, for tests to look at."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import pytest

from parlour.client.account import Account
from parlour.client.connection import LIVE_PATH, Connection
from parlour.client.home import Home
from parlour.client.keys import SessionToken
from parlour.client.unlock import Unlocked, unlock
from parlour.conversation.changes import Namespace
from parlour.conversation.contact import Contact
from parlour.conversation.records import OwnDevice, read_own
from parlour.errors import Code, ParlourError
from parlour.identity.device_list import DeviceListEntry, DeviceListState, next_entry
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.server import Server
from parlour.wire.directory import AppendDeviceList, DeviceListPage, ReadDeviceList
from parlour.wire.kinds import Kind
from parlour.wire.server import Nothing
from tests.town import PASSWORD, Town


@dataclass(frozen=True)
class Held:
    account: Account
    own: OwnDevice
    contact: Contact

    async def unlock(self, password: str = PASSWORD) -> Unlocked:
        return await unlock(self.account, self.own, password)


async def held(town: Town, name: str, password: str = PASSWORD) -> Held:
    """What a home holds of its own account."""
    home = await Home.open(town.home(name), password)
    try:
        records = await home.store.records()
    finally:
        await home.close()
    own = read_own(records)
    contact = Contact.decode(records[Namespace.CONTACT][own.account_id])
    return Held(Account.load(records), own, contact)


async def sql(server: Server, statement: str, *values: object) -> None:
    """Change what a server has stored: what a hostile one, or its operator, could do."""
    store: Any = server.core.store
    await store.database.write(lambda connection: connection.execute(statement, values))


async def row(server: Server, name: str, columns: str) -> Any:
    """Columns of an account's row."""
    store: Any = server.core.store
    return await store.database.read(
        lambda connection: connection.execute(
            f"SELECT {columns} FROM accounts WHERE name = ?",  # noqa: S608
            (name,),
        ).fetchone()
    )


async def code_of(awaitable: Any) -> Code:
    """The code that something is refused with."""
    with pytest.raises(ParlourError) as refused:
        await awaitable
    return refused.value.code


async def change_list(person: Held, password: str = PASSWORD, **changes: Any) -> DeviceListEntry:
    """Append an entry to a person's list, as another device of theirs would."""
    account = person.account
    unlocked = await person.unlock(password)
    token = SessionToken.from_text(account.token)
    async with await Connection.open(account.address, LIVE_PATH, account.trust, token) as live:
        read = ReadDeviceList(person.own.account_id, 0)
        page = await live.ask(Kind.READ_DEVICE_LIST, read, DeviceListPage)
        state = DeviceListState.after(DeviceListEntry.decode(page.entries[-1]))
        devices = changes.pop("devices", state.devices)
        entry = next_entry(state, unlocked.account_key, devices, int(time.time()), **changes)
        if state.wants_approval(entry):
            entry = entry.approve(Ed25519PrivateKey(person.own.signature_key))
        await live.ask(Kind.APPEND_DEVICE_LIST, AppendDeviceList(entry.encode()), Nothing)
    return entry
