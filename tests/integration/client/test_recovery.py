"""The recovery key over real sockets: a drill, a house fire, a forgotten password, hostile servers.

Dora has a recovery key and two passwords: the one of her home stays when another device changes
the account's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any
from unittest.mock import patch

import pytest
from websockets.asyncio.server import ServerConnection

from parlour.client.address import Address
from parlour.client.client import Client
from parlour.client.connection import LOGIN_PATH, Connection
from parlour.client.home import move_aside
from parlour.client.login import Target
from parlour.client.notices import NoticeKind
from parlour.client.recovery import drill, place_at, recover, reset_password
from parlour.client.recovery_talk import Reset
from parlour.client.tls import Shown
from parlour.errors import Code, ParlourError
from parlour.identity.device_list import DeviceListEntry
from parlour.identity.recovery import RecoveryKey
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.server import Server
from parlour.wire.frames import encode_frame
from parlour.wire.kinds import OPERATIONS, Kind
from parlour.wire.server import ErrorBody
from tests.town import PASSWORD, Town, cheap_homes, history, next_texts, quick_passwords

from .fakes import Identity, next_request, running
from .homes import change_list, code_of, held, row, sql

PAPER = RecoveryKey(bytes(range(16)))
OTHER_PAPER = RecoveryKey(bytes(16))
NEW = "a new password"


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    with quick_passwords(), cheap_homes():
        yield


@pytest.fixture
async def server(town: Town) -> AsyncIterator[Server]:
    async with town.serving() as server:
        await town.register("dora", recovery=PAPER, device_name="Dora's laptop")
        yield server


def place(town: Town) -> Target:
    return place_at(f"127.0.0.1:{town.port}")


async def recover_dora(town: Town, home: str = "new", **options: Any) -> None:
    options.setdefault("key", PAPER)
    await recover(
        town.home(home),
        options.pop("place", place(town)),
        options.pop("name", "dora"),
        options.pop("key"),
        options.pop("password", NEW),
        **options,
    )


# --- Drill ---------------------------------------------------------------------------------


async def test_a_drill_shows_what_would_come_back_and_changes_nothing(
    town: Town, server: Server
) -> None:
    columns = "record, vault, recovery_vault, vault_number"
    before = await row(server, "dora", columns)
    dora = await held(town, "dora")
    found = await drill(place(town), "Dora", PAPER)
    assert found.account == "dora@home.test"
    assert found.account_id == dora.own.account_id
    assert [device.name for device in found.devices] == ["Dora's laptop"]
    assert found.pin == dora.account.pins[0]
    assert await row(server, "dora", columns) == before
    async with town.open("dora") as client:
        assert len(await client.sessions()) == 1


async def test_a_drill_with_the_wrong_key_or_name_says_only_that(
    town: Town, server: Server
) -> None:
    for name, key in (("dora", OTHER_PAPER), ("alice", PAPER), ("nobody", PAPER)):
        assert await code_of(drill(place(town), name, key)) == Code.RECOVERY_FAILED


# --- A house fire --------------------------------------------------------------------------


async def test_after_a_house_fire_the_paper_brings_the_account_back(
    town: Town, server: Server
) -> None:
    old = await held(town, "dora")
    async with town.open("dora") as burnt, town.open("bob") as bob:
        await burnt.send("bob", "before")
        assert await next_texts(bob, 1) == ["before"]
        await recover_dora(town, remove_others=True, device_name="Dora's new laptop")
        async with Client.open(town.home("new"), NEW) as dora:
            await dora.connected()
            await bob.send("dora", "are you there?")
            await bob.sent()
        assert await code_of(until_its_end(burnt)) == Code.DEVICE_REMOVED
    new = await held(town, "new", NEW)
    assert new.contact.head.number == 1
    assert [device.device_id for device in new.contact.head.devices] == [
        new.own.local().identity.device_id
    ]
    assert not new.own.first
    assert new.account.pins[0] == old.account.pins[0]
    assert new.account.secret == old.account.secret
    assert (new.account.vaults, new.account.begun) == (1, False)
    before, after = await old_and_new_archive_keys(town, server)
    assert before != after


async def until_its_end(client: Client) -> None:
    async with asyncio.timeout(10):
        async for _ in client.events():
            pass


async def old_and_new_archive_keys(town: Town, server: Server) -> tuple[bytes, bytes]:
    new = await held(town, "new", NEW)
    after = (await new.unlock(NEW)).archive_key.reveal()
    await recover_dora(town, "third", password="third")
    third = await held(town, "third", "third")
    return after, (await third.unlock("third")).archive_key.reveal()


async def test_other_devices_stay_where_nobody_says_otherwise(town: Town, server: Server) -> None:
    async with town.open("dora") as old:
        await old.connected()
        await recover_dora(town)
        async with Client.open(town.home("new"), NEW) as new:
            await new.connected()
            assert len(await old.sessions()) == 2
    found = await drill(place(town), "dora", PAPER)
    assert len(found.devices) == 2


async def test_what_changes_before_the_new_home_is_first_opened_is_told_there(
    town: Town, server: Server
) -> None:
    """The devices that there were are named by the recovery; from then on each change is news."""
    await recover_dora(town)
    await change_list(await held(town, "dora"), NEW, needs_approval=True)
    async with Client.open(town.home("new"), NEW) as new:
        await new.caught_up()
        await until_seen(new, 2)
        notices = await new.devices.notices()
        assert [notice.kind for notice in notices] == [NoticeKind.APPROVAL_ON]
        assert [notice.number for notice in notices] == [2]


async def until_seen(client: Client, number: int) -> None:
    """Wait until a client has read its own list so far."""
    machine = client._engine.machine
    await client._until(
        lambda: machine.contacts[machine.account_id].head.number == number,
        10.0,
        client._engine.changed,
    )


async def test_the_paper_approves_the_device_where_that_is_demanded(
    town: Town, server: Server
) -> None:
    await change_list(await held(town, "dora"), needs_approval=True)
    await recover_dora(town)
    new = await held(town, "new", NEW)
    assert len(new.contact.head.approvals) == 1
    async with Client.open(town.home("new"), NEW) as client:
        await client.connected()


async def test_a_recovery_that_is_refused_leaves_no_home(town: Town, server: Server) -> None:
    assert await code_of(recover_dora(town, key=OTHER_PAPER)) == Code.RECOVERY_FAILED
    assert not (town.home("new") / "vault.json").exists()


async def test_a_home_that_is_in_use_is_not_replaced(town: Town, server: Server) -> None:
    """Not even one that was logged out, and whose password happens to be the new one."""
    async with town.open("dora") as client:
        await client.log_out()
    refused = recover_dora(town, "dora", password=PASSWORD)
    assert await code_of(refused) == Code.HOME_EXISTS
    async with town.open("dora", connect=False) as client:
        assert client.name == "dora@home.test"


async def test_another_device_that_changes_the_account_meanwhile_is_taken_in(
    town: Town, server: Server
) -> None:
    start, quicker = Reset.start, [True]

    async def late(*arguments: Any) -> Reset:
        if quicker:
            quicker.clear()
            await recover_dora(town, "quicker", password="quicker")
        return await start(*arguments)

    with patch.object(Reset, "start", late):
        await recover_dora(town)
    found = await drill(place(town), "dora", PAPER)
    assert len(found.devices) == 3
    assert (await held(town, "new", NEW)).account.vaults == 2
    async with Client.open(town.home("new"), NEW) as client:
        await client.connected()


# --- A forgotten password ------------------------------------------------------------------


async def test_a_home_that_opens_keeps_everything_when_the_accounts_password_is_replaced(
    town: Town, server: Server
) -> None:
    async with town.open("dora") as dora:
        await dora.send("bob", "hello")
        await dora.sent()
    before = await held(town, "dora")
    await reset_password(town.home("dora"), PAPER, NEW, home_password=PASSWORD)
    after = await held(town, "dora", NEW)
    assert after.own == before.own
    assert after.contact == before.contact
    assert after.account.token != before.account.token
    assert await code_of(held(town, "dora", PASSWORD)) == Code.STORE_PASSWORD
    assert await code_of(after.unlock(PASSWORD)) == Code.LOGIN_FAILED
    assert (await after.unlock(NEW)).recovery == PAPER.vault_key()
    async with Client.open(town.home("dora"), NEW) as dora:
        assert await history(dora, "bob") == ["hello"]
        await dora.send("bob", "again")
        await dora.sent()
    # Once more does no harm.
    await reset_password(town.home("dora"), PAPER, "third", home_password=NEW, end_sessions=True)
    assert (await held(town, "dora", "third")).account.vaults == 2


async def test_a_locked_home_is_kept_aside_while_a_new_device_takes_its_place(
    town: Town, server: Server
) -> None:
    async with town.open("dora") as dora:
        await dora.send("bob", "hello")
        await dora.sent()
    folder = town.home("dora")
    assert await code_of(reset_password(folder, PAPER, NEW, home_password="?")) == (
        Code.STORE_PASSWORD
    )
    assert await code_of(recover_dora(town, "dora")) == Code.STORE_PASSWORD
    aside = await move_aside(folder)
    await recover_dora(town, "dora")
    async with Client.open(folder, NEW) as dora:
        await dora.connected()
    # The old password has come back to mind.
    async with Client.open(aside, PASSWORD, connect=False) as old:
        assert await history(old, "bob") == ["hello"]


async def test_a_home_that_was_moved_aside_twice_has_two_names(town: Town) -> None:
    assert (await move_aside(town.home("alice"))).name == "alice.locked-1"
    town.home("bob").rename(town.home("alice"))
    assert (await move_aside(town.home("alice"))).name == "alice.locked-2"
    assert await code_of(move_aside(town.home("alice"))) == Code.HOME_MISSING


async def test_a_device_that_was_removed_is_not_brought_back_by_a_new_password(
    town: Town, server: Server
) -> None:
    await recover_dora(town, remove_others=True)
    refused = reset_password(town.home("dora"), PAPER, "third", home_password=PASSWORD)
    assert await code_of(refused) == Code.DEVICE_REMOVED
    await held(town, "dora")


# --- Hostile servers -----------------------------------------------------------------------


async def test_somebody_in_between_whose_key_is_taken_as_shown_gets_nothing(
    town: Town, server: Server, impostor: Identity
) -> None:
    """They pass everything on to the true server, which knows that the proof is not for it."""
    kinds: list[Kind] = []

    async def relay(socket: ServerConnection) -> None:
        address = Address("127.0.0.1", town.port)
        async with await Connection.open(address, LOGIN_PATH, Shown()) as there:
            while True:
                frame, body = await next_request(socket)
                kind = Kind(frame.kind)
                kinds.append(kind)
                try:
                    answer = await there.ask(kind, body, OPERATIONS[kind].response)
                    await socket.send(encode_frame(Kind.OK, frame.request_id, answer))
                except ParlourError as problem:
                    error = ErrorBody(problem.code.value, "", "")
                    await socket.send(encode_frame(Kind.ERROR, frame.request_id, error))

    async with running(impostor, relay) as between:
        unknown = Target(between.address, Shown())
        assert await code_of(drill(unknown, "dora", PAPER)) == Code.RECOVERY_FAILED
        assert await code_of(recover_dora(town, place=unknown)) == Code.RECOVERY_FAILED
    assert Kind.RECOVER_FINISH in kinds
    assert Kind.RESET_START not in kinds
    assert not (town.home("new") / "vault.json").exists()


async def refused_to_all(town: Town, code: Code) -> None:
    """Every way on is refused with that code, and leaves the home as it was."""
    before = await held(town, "dora")
    assert await code_of(drill(place(town), "dora", PAPER)) == code
    assert await code_of(recover_dora(town)) == code
    reset = reset_password(town.home("dora"), PAPER, NEW, home_password=PASSWORD)
    assert await code_of(reset) == code
    assert (await held(town, "dora")).account == before.account
    assert not (town.home("new") / "vault.json").exists()


async def test_somebody_elses_vault_does_not_open(town: Town, server: Server) -> None:
    await town.register("emil", recovery=OTHER_PAPER)
    (emil,) = await row(server, "emil", "recovery_vault")
    await sql(server, "UPDATE accounts SET recovery_vault = ? WHERE name = 'dora'", emil)
    await refused_to_all(town, Code.VAULT_CLOSED)


async def test_an_older_vault_under_a_newer_number_is_refused(town: Town, server: Server) -> None:
    await sql(server, "UPDATE accounts SET vault_number = 7 WHERE name = 'dora'")
    await refused_to_all(town, Code.VAULT_ROLLBACK)


async def test_a_list_that_another_key_signed_is_refused(town: Town, server: Server) -> None:
    """A server that puts a device of its own on the list has to sign with a key of its own."""
    dora = await held(town, "dora")
    mallory = Ed25519PrivateKey.generate()
    head = dora.contact.head
    forged = DeviceListEntry(
        head.account_id,
        mallory.public_key,
        0,
        b"",
        head.issued_at,
        head.devices,
        recovery_key=head.recovery_key,
    ).sign(mallory)
    await put_head(server, forged.encode())
    await refused_to_all(town, Code.DEVICE_LIST_INVALID)
    await put_head(server, head.sign(mallory).encode())
    await refused_to_all(town, Code.DEVICE_LIST_INVALID)


async def put_head(server: Server, entry: bytes) -> None:
    (key,) = await row(server, "dora", "pk")
    await sql(server, "UPDATE device_lists SET entry = ? WHERE account = ?", entry, key)


async def test_a_home_remembers_how_far_the_account_had_come(town: Town, server: Server) -> None:
    dora = await held(town, "dora")
    async with town.open("dora") as client:
        await client.connected()
        await change_list(dora, needs_approval=True)
        await client._until(
            lambda: client._engine.machine.contacts[dora.own.account_id].head.number == 1,
            10.0,
            client._engine.changed,
        )
    await sql(server, "DELETE FROM device_lists WHERE number = 1")
    reset = reset_password(town.home("dora"), PAPER, NEW, home_password=PASSWORD)
    assert await code_of(reset) == Code.DEVICE_LIST_ROLLBACK
    await town.register("emil", recovery=OTHER_PAPER)
    emil = await row(server, "emil", "recovery_vault")
    await reset_password(town.home("emil"), OTHER_PAPER, NEW, home_password=PASSWORD)
    back = "UPDATE accounts SET recovery_vault = ?, vault_number = 0 WHERE name = 'emil'"
    await sql(server, back, *emil)
    again = reset_password(town.home("emil"), OTHER_PAPER, "third", home_password=NEW)
    assert await code_of(again) == Code.VAULT_ROLLBACK
