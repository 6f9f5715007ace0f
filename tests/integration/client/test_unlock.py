"""The vault, opened with the password over real sockets, and what a server may show instead."""

from __future__ import annotations

import pytest

from parlour.client.account import Account
from parlour.client.home import Home
from parlour.client.unlock import Unlocked, unlock
from parlour.conversation.changes import Namespace
from parlour.conversation.contact import Contact
from parlour.conversation.state import OwnDevice, read_own
from parlour.errors import Code, ParlourError
from parlour.server import Server
from tests.town import PASSWORD, Town


async def read(town: Town, name: str) -> tuple[Account, OwnDevice, Contact]:
    """What a home holds of its account."""
    home = await Home.open(town.home(name), PASSWORD)
    try:
        records = await home.store.records()
    finally:
        await home.close()
    own = read_own(records)
    contact = Contact.decode(records[Namespace.CONTACT][own.account_id])
    return Account.load(records), own, contact


async def unlock_of(town: Town, name: str, password: str = PASSWORD) -> Unlocked:
    account, own, _ = await read(town, name)
    return await unlock(account, own, password)


async def swap_vault(server: Server, name: str, other: str) -> None:
    store = server.core.store
    await store.database.write(  # type: ignore[attr-defined]
        lambda connection: connection.execute(
            "UPDATE accounts SET vault = (SELECT vault FROM accounts WHERE name = ?) "
            "WHERE name = ?",
            (other, name),
        )
    )


async def test_the_password_opens_the_vault_and_leaves_no_session(town: Town) -> None:
    async with town.serving():
        unlocked = await unlock_of(town, "alice")
        account, _, contact = await read(town, "alice")
        async with town.open("alice") as alice:
            await alice.connected()
            assert len(await alice.sessions()) == 1
    assert unlocked.account_key.public_key == contact.head.account_key
    assert unlocked.secret.reveal() == account.secret
    assert unlocked.recovery is None
    assert not unlocked.lone
    assert unlocked.vaults.number == 0


async def test_an_open_client_stays_connected_while_the_vault_is_opened(town: Town) -> None:
    account, own, _ = await read(town, "alice")
    async with town.serving(), town.open("alice") as alice:
        await alice.connected()
        await unlock(account, own, PASSWORD)
        assert alice.online
        assert len(await alice.sessions()) == 1


async def test_a_wrong_password_opens_nothing(town: Town) -> None:
    async with town.serving():
        with pytest.raises(ParlourError) as refused:
            await unlock_of(town, "alice", "another one")
    assert refused.value.code is Code.LOGIN_FAILED


async def test_a_vault_that_the_server_swapped_does_not_open(town: Town) -> None:
    async with town.serving() as server:
        await swap_vault(server, "alice", "bob")
        with pytest.raises(ParlourError) as refused:
            await unlock_of(town, "alice")
    assert refused.value.code is Code.VAULT_CLOSED


async def test_an_open_vault_shows_nothing_in_its_repr(town: Town) -> None:
    async with town.serving():
        unlocked = await unlock_of(town, "alice")
    shown = repr(unlocked)
    for secret in (
        unlocked.account_key.to_bytes(),
        unlocked.secret.reveal(),
        unlocked.export_key.reveal(),
        unlocked.archive_key.reveal(),
    ):
        assert secret.hex() not in shown
        assert repr(secret) not in shown
