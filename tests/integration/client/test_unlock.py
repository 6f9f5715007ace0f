"""The vault, opened with the password over real sockets, and what a server may show instead."""

from __future__ import annotations

from msgspec.structs import replace

from parlour.client.unlock import unlock
from parlour.errors import Code
from tests.town import PASSWORD, Town

from .homes import code_of, held, sql


async def test_the_password_opens_the_vault_and_leaves_no_session(town: Town) -> None:
    alice = await held(town, "alice")
    async with town.serving():
        unlocked = await alice.unlock()
        async with town.open("alice") as client:
            await client.connected()
            assert len(await client.sessions()) == 1
    assert unlocked.account_key.public_key == alice.contact.head.account_key
    assert unlocked.secret.reveal() == alice.account.secret
    assert unlocked.recovery is None
    assert not unlocked.lone
    assert unlocked.vaults.number == 0


async def test_an_open_client_stays_connected_while_the_vault_is_opened(town: Town) -> None:
    alice = await held(town, "alice")
    async with town.serving(), town.open("alice") as client:
        await client.connected()
        await alice.unlock()
        assert client.online
        assert len(await client.sessions()) == 1


async def test_a_wrong_password_opens_nothing(town: Town) -> None:
    alice = await held(town, "alice")
    async with town.serving():
        assert await code_of(alice.unlock("another one")) == Code.LOGIN_FAILED


async def test_a_vault_that_the_server_swapped_does_not_open(town: Town) -> None:
    alice = await held(town, "alice")
    async with town.serving() as server:
        swap = "UPDATE accounts SET vault = (SELECT vault FROM accounts WHERE name = 'bob')"
        await sql(server, swap + " WHERE name = 'alice'")
        assert await code_of(alice.unlock()) == Code.VAULT_CLOSED


async def test_an_older_vault_than_was_seen_is_refused_under_either_number(town: Town) -> None:
    """It opens, as every sealed box does for ever; the home knows that there was a later one."""
    alice = await held(town, "alice")
    later = replace(alice.account, vaults=1)
    async with town.serving() as server:
        assert await code_of(unlock(later, alice.own, PASSWORD)) == Code.VAULT_ROLLBACK
        await sql(server, "UPDATE accounts SET vault_number = 1 WHERE name = 'alice'")
        assert await code_of(unlock(later, alice.own, PASSWORD)) == Code.VAULT_ROLLBACK


async def test_an_open_vault_shows_nothing_in_its_repr(town: Town) -> None:
    alice = await held(town, "alice")
    async with town.serving():
        unlocked = await alice.unlock()
    shown = repr(unlocked)
    for secret in (
        unlocked.account_key.to_bytes(),
        unlocked.secret.reveal(),
        unlocked.export_key.reveal(),
        unlocked.archive_key.reveal(),
    ):
        assert secret.hex() not in shown
        assert repr(secret) not in shown
