"""A lost paper and a new one, from an open client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any
from unittest.mock import patch

import pytest

from parlour.client import login
from parlour.client.change_password import change_password
from parlour.client.client import Client
from parlour.client.own_list import ListEditor
from parlour.client.recovery import drill, place_at, recover
from parlour.errors import Code, TransportError
from parlour.identity.recovery import RecoveryKey
from parlour.server import Server
from tests.town import PASSWORD, Town, cheap_homes, quick_passwords

from .homes import change_list, code_of, held, row, sql

PAPER = RecoveryKey(bytes(range(16)))
NEW_PAPER = RecoveryKey(bytes(range(1, 17)))
NEW = "a new password"


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    with quick_passwords(), cheap_homes():
        yield


@pytest.fixture
async def server(town: Town) -> AsyncIterator[Server]:
    async with town.serving() as server:
        await town.register("dora", recovery=PAPER)
        yield server


async def opens(town: Town, key: RecoveryKey) -> Code | None:
    try:
        await drill(place_at(f"127.0.0.1:{town.port}"), "dora", key)
    except Exception as problem:
        return Code(getattr(problem, "code"))  # noqa: B009
    return None


async def test_a_new_paper_ends_the_old_one(town: Town, server: Server) -> None:
    before = await held(town, "dora")
    async with town.open("dora") as dora:
        await dora.connected()
        assert dora.recovery.exists
        assert (await dora.recovery.drill(PAPER)).account == "dora@home.test"
        await dora.recovery.renew(PASSWORD, NEW_PAPER)
        assert await code_of(dora.recovery.drill(PAPER)) == Code.RECOVERY_FAILED
        await dora.recovery.drill(NEW_PAPER)
        # It is no news here.
        assert await dora.devices.notices() == []
    after = await held(town, "dora")
    assert after.contact.head.number == 1
    assert after.contact.head.devices == before.contact.head.devices
    unlocked = await after.unlock()
    assert unlocked.recovery == NEW_PAPER.vault_key()
    assert (unlocked.vaults.number, after.account.vaults) == (1, 1)
    # A later password reseals the copy of the new one, without any paper.
    await change_password(town.home("dora"), PASSWORD, NEW)
    assert await opens(town, PAPER) == Code.RECOVERY_FAILED
    assert await opens(town, NEW_PAPER) is None


async def test_an_account_without_a_recovery_key_gets_one(town: Town, server: Server) -> None:
    await town.register("emil")
    async with town.open("emil") as emil:
        await emil.connected()
        assert not emil.recovery.exists
        await emil.recovery.renew(PASSWORD, NEW_PAPER)
        assert emil.recovery.exists
    await drill(place_at(f"127.0.0.1:{town.port}"), "emil", NEW_PAPER)


async def test_this_device_approves_the_new_paper_where_that_is_demanded(
    town: Town, server: Server
) -> None:
    await change_list(await held(town, "dora"), needs_approval=True)
    async with town.open("dora") as dora:
        await dora.connected()
        await dora.recovery.renew(PASSWORD, NEW_PAPER)
    assert len((await held(town, "dora")).contact.head.approvals) == 1


async def test_a_wrong_password_makes_no_new_paper(town: Town, server: Server) -> None:
    async with town.open("dora") as dora:
        await dora.connected()
        assert await code_of(dora.recovery.renew("wrong", NEW_PAPER)) == Code.LOGIN_FAILED
    assert await opens(town, PAPER) is None


async def test_an_answer_that_is_lost_is_found_out(town: Town, server: Server) -> None:
    async with town.open("dora") as dora:
        await dora.connected()
        ask, lost = dora._link.ask, [True]

        async def lose(kind: Any, body: Any, response: Any) -> Any:
            answer = await ask(kind, body, response)
            if kind.name == "APPEND_DEVICE_LIST" and lost:
                lost.clear()
                raise TransportError(Code.NETWORK_CLOSED)
            return answer

        with patch.object(dora._link, "ask", lose):
            await dora.recovery.renew(PASSWORD, NEW_PAPER)
        # As after a crash: there is nothing left to do.
        await dora.recovery.renew(PASSWORD, NEW_PAPER)
    assert (await held(town, "dora")).account.vaults == 1
    assert await opens(town, NEW_PAPER) is None


async def test_a_password_that_another_device_changes_meanwhile_is_asked_for_again(
    town: Town, server: Server
) -> None:
    place = place_at(f"127.0.0.1:{town.port}")
    await recover(town.home("phone"), place, "dora", PAPER, PASSWORD)
    append, quicker = ListEditor.append, [True]

    async def late(self: ListEditor, make: Any) -> Any:
        if quicker:
            quicker.clear()
            await change_password(town.home("phone"), PASSWORD, NEW)
        return await append(self, make)

    async with town.open("dora") as dora:
        await dora.connected()
        with patch.object(ListEditor, "append", late):
            refused = dora.recovery.renew(PASSWORD, NEW_PAPER)
            assert await code_of(refused) == Code.LOGIN_FAILED
        await dora.recovery.renew(NEW, NEW_PAPER)
    assert await opens(town, NEW_PAPER) is None


async def test_a_server_that_goes_back_is_found_out_by_the_drill_of_a_home(
    town: Town, server: Server
) -> None:
    old = await row(server, "dora", "vault, recovery_vault, vault_number")
    async with town.open("dora") as dora:
        await dora.connected()
        await dora.recovery.renew(PASSWORD, NEW_PAPER)
        put = "UPDATE accounts SET vault = ?, recovery_vault = ?, vault_number = ?"
        await sql(server, put + " WHERE name = 'dora'", *old)
        await sql(server, "DELETE FROM device_lists WHERE number = 1")
        assert await code_of(dora.recovery.drill(PAPER)) == Code.DEVICE_LIST_ROLLBACK
        # The old vault would bring the old paper back to life with the next password.
        assert await code_of(dora.passwords.change(PASSWORD, NEW)) == Code.VAULT_ROLLBACK


async def test_a_registration_that_goes_on_with_another_paper_says_which_one_is_good(
    town: Town, server: Server
) -> None:
    """The first try ended when the account was made; a second one has shown another paper."""
    check = patch.object(login, "check_ids", side_effect=TransportError(Code.NETWORK_CLOSED))
    with check:
        first = town.register("emil", recovery=PAPER)
        assert await code_of(first) == Code.NETWORK_CLOSED
    second = town.register("emil", recovery=NEW_PAPER)
    assert await code_of(second) == Code.USAGE_STATE
    async with Client.open(town.home("emil"), PASSWORD) as emil:
        await emil.connected()
        await emil.recovery.drill(PAPER)
        await emil.recovery.renew(PASSWORD, NEW_PAPER)
