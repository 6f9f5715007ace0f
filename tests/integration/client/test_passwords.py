"""Changing the password over real sockets: whole, interrupted, on two devices, with a theft."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any
from unittest.mock import patch

import pytest

from parlour.client.change_password import change_password
from parlour.client.client import Client
from parlour.client.home import Home
from parlour.client.notices import NoticeKind
from parlour.client.passwords import Passwords
from parlour.client.recovery import drill, place_at, recover
from parlour.errors import Code, TransportError
from parlour.identity.passphrase import Passphrase
from parlour.identity.recovery import RecoveryKey
from parlour.identity.vault import stands_alone
from parlour.server import Server
from tests.town import PASSWORD, Town, cheap_homes, history, quick_passwords

from .homes import code_of, held, row, sql

PAPER = RecoveryKey(bytes(range(16)))
NEW = "a new password"
THIRD = "a third password"


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    with quick_passwords(), cheap_homes():
        yield


@pytest.fixture
async def server(town: Town) -> AsyncIterator[Server]:
    async with town.serving() as server:
        await town.register("dora", recovery=PAPER)
        yield server


async def second_device(town: Town, home: str = "phone", password: str = PASSWORD) -> None:
    """Another device of Dora's, whose home opens with `password`, which is the account's."""
    place = place_at(f"127.0.0.1:{town.port}")
    await recover(town.home(home), place, "dora", PAPER, password)


async def test_record_vaults_and_home_change_together(town: Town, server: Server) -> None:
    before = await held(town, "dora")
    old = await before.unlock()
    async with town.open("dora") as dora:
        await dora.send("bob", "hello")
        await dora.sent()
        await dora.passwords.change(PASSWORD, NEW)
        await dora.send("bob", "still here")
        await dora.sent()
    assert await code_of(held(town, "dora")) == Code.STORE_PASSWORD
    after = await held(town, "dora", NEW)
    assert after.own == before.own
    assert after.account.token == before.account.token
    assert after.account.vaults == 1
    assert await code_of(after.unlock(PASSWORD)) == Code.LOGIN_FAILED
    new = await after.unlock(NEW)
    assert new.vaults.number == 1
    assert new.account_key.to_bytes() == old.account_key.to_bytes()
    assert new.secret == old.secret
    assert new.archive_key != old.archive_key
    assert new.recovery == PAPER.vault_key()
    async with Client.open(town.home("dora"), NEW) as dora:
        assert await history(dora, "bob") == ["hello", "still here"]
    # The paper opens the second copy as it did before.
    assert (await drill(place_at(f"127.0.0.1:{town.port}"), "dora", PAPER)).devices


async def test_a_wrong_password_changes_nothing(town: Town, server: Server) -> None:
    before = await row(server, "dora", "record, vault")
    async with town.open("dora") as dora:
        await dora.connected()
        assert await code_of(dora.passwords.change("wrong", NEW)) == Code.STORE_PASSWORD
        wrong = dora.passwords.change(PASSWORD, NEW, account_password="wrong")
        assert await code_of(wrong) == Code.LOGIN_FAILED
    assert await code_of(change_password(town.home("dora"), "wrong", NEW)) == Code.STORE_PASSWORD
    assert await row(server, "dora", "record, vault") == before
    await held(town, "dora", PASSWORD)


async def test_a_change_that_ended_before_the_home_is_finished_by_the_same_call(
    town: Town, server: Server
) -> None:
    async with town.open("dora") as dora:
        await dora.connected()
        cut = patch.object(Home, "change_lock", side_effect=OSError("power cut"))
        with cut, pytest.raises(OSError, match="power cut"):
            await dora.passwords.change(PASSWORD, NEW)
    assert await code_of((await held(town, "dora")).unlock()) == Code.LOGIN_FAILED
    record = await row(server, "dora", "record")
    await change_password(town.home("dora"), PASSWORD, NEW)
    assert await row(server, "dora", "record") == record
    await (await held(town, "dora", NEW)).unlock(NEW)
    # And once more, as somebody does who did not see the end of it.
    await change_password(town.home("dora"), PASSWORD, NEW)
    assert await row(server, "dora", "record") == record


async def test_an_answer_that_is_lost_is_found_out_by_the_same_call(
    town: Town, server: Server
) -> None:
    async with town.open("dora") as dora:
        await dora.connected()
        ask = dora._link.ask

        async def lose(kind: Any, body: Any, response: Any) -> Any:
            answer = await ask(kind, body, response)
            if kind.name == "PASSWORD_FINISH":
                raise TransportError(Code.NETWORK_CLOSED)
            return answer

        with patch.object(dora._link, "ask", lose):
            assert await code_of(dora.passwords.change(PASSWORD, NEW)) == Code.NETWORK_CLOSED
        await dora.passwords.change(PASSWORD, NEW)
    new = await held(town, "dora", NEW)
    assert new.account.vaults == 1


async def test_another_device_keeps_its_own_lock_until_it_is_changed_there(
    town: Town, server: Server
) -> None:
    await second_device(town)
    await change_password(town.home("phone"), PASSWORD, NEW)
    async with town.open("dora") as dora:
        await dora.connected()
        # Neither is the account's.
        assert await code_of(dora.passwords.change(PASSWORD, THIRD)) == Code.LOGIN_FAILED
        await dora.passwords.change(PASSWORD, THIRD, account_password=NEW)
    await (await held(town, "dora", THIRD)).unlock(THIRD)
    await change_password(town.home("phone"), NEW, THIRD)
    assert (await held(town, "phone", THIRD)).account.vaults == 3


async def test_all_other_logins_end_where_that_is_wanted(town: Town, server: Server) -> None:
    await second_device(town)
    async with Client.open(town.home("phone"), PASSWORD) as phone, town.open("dora") as dora:
        await phone.connected()
        await dora.connected()
        await dora.passwords.change(PASSWORD, NEW, end_sessions=True)
        assert len(await dora.sessions()) == 1
        await phone._until(lambda: phone.failure is not None, 10.0, phone._link.changed)
        assert phone.failure is not None
        assert phone.failure.code is Code.TOKEN_REVOKED


async def test_a_stolen_device_leaves_in_the_same_step(town: Town, server: Server) -> None:
    await second_device(town)
    stolen = (await held(town, "phone")).own.local().identity.device_id
    async with town.open("dora") as dora:
        await dora.connected()
        own = dora._engine.machine.device_id
        himself = dora.passwords.change(PASSWORD, NEW, remove=[own])
        assert await code_of(himself) == Code.USAGE_INVALID
        options: dict[str, Any] = {"end_sessions": True, "remove": [stolen]}
        await dora.passwords.change(PASSWORD, NEW, **options)
        assert [device.device_id for device in await dora.devices.list()] == [own]
        # That it came was news; that this device removed it is not.
        notices = await dora.devices.notices()
        assert [notice.kind for notice in notices] == [NoticeKind.DEVICE_ADDED]
        # Made again after a crash: there is nothing left to do.
        await dora.passwords.change(PASSWORD, NEW, **options)
        assert dora._link.account.vaults == 2
    async with Client.open(town.home("phone"), PASSWORD) as phone:
        assert await code_of(phone.connected()) == Code.DEVICE_REMOVED


async def test_of_two_devices_that_change_it_at_once_one_is_told(
    town: Town, server: Server
) -> None:
    await second_device(town)
    change_once, quicker = Passwords._change_once, [True]

    async def late(self: Passwords, *arguments: Any) -> None:
        if quicker:
            quicker.clear()
            await change_password(town.home("phone"), PASSWORD, NEW)
        await change_once(self, *arguments)

    async with town.open("dora") as dora:
        await dora.connected()
        with patch.object(Passwords, "_change_once", late):
            refused = dora.passwords.change(PASSWORD, THIRD)
            assert await code_of(refused) == Code.VAULT_CONFLICT
    await (await held(town, "phone", NEW)).unlock(NEW)
    await held(town, "dora", PASSWORD)


async def test_only_a_generated_passphrase_stands_alone_and_only_where_it_may(
    town: Town, server: Server
) -> None:
    async with town.open("dora") as dora:
        await dora.connected()
        chosen = dora.passwords.change(PASSWORD, "six words of a song I like", lone=True)
        assert await code_of(chosen) == Code.USAGE_INVALID
        words = Passphrase.generate()
        refused = dora.passwords.change(PASSWORD, words, lone=True)
        assert await code_of(refused) == Code.PASSPHRASE_REFUSED
        await dora.passwords.change(PASSWORD, words)
    (vault,) = await row(server, "dora", "vault")
    assert not stands_alone(vault)
    await held(town, "dora", words.reveal())


async def test_an_old_vault_that_comes_back_is_refused(town: Town, server: Server) -> None:
    """As it would be by a server that helps who knows the old password."""
    columns = "record, record_signature, vault, recovery_vault, vault_number"
    old = await row(server, "dora", columns)
    await change_password(town.home("dora"), PASSWORD, NEW)
    put = (
        "UPDATE accounts SET record = ?, record_signature = ?, vault = ?, recovery_vault = ?,"
        " vault_number = ? WHERE name = 'dora'"
    )
    await sql(server, put, *old)
    dora = await held(town, "dora", NEW)
    assert await code_of(dora.unlock(NEW)) == Code.LOGIN_FAILED
    assert await code_of(dora.unlock(PASSWORD)) == Code.VAULT_ROLLBACK
