"""A new device by a generated passphrase alone, and everybody who may not have one so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest

from parlour.client import joining, login
from parlour.client.change_password import change_password
from parlour.client.client import Client
from parlour.client.joining import join_by_passphrase
from parlour.client.notices import NoticeKind
from parlour.client.recovery import drill, place_at
from parlour.errors import Code, TransportError
from parlour.identity.device_list import next_entry
from parlour.identity.passphrase import Passphrase
from parlour.identity.recovery import RecoveryKey
from parlour.server import Server
from tests.town import PASSWORD, Town, cheap_homes, quick_passwords

from .homes import change_list, code_of, held, row, sql

PAPER = RecoveryKey(bytes(range(16)))
WORDS = Passphrase.generate()
SAID = WORDS.reveal()


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    with quick_passwords(), cheap_homes():
        yield


@pytest.fixture
def lenient(town: Town) -> Town:
    return replace(town, lone_vaults="yes")


@pytest.fixture
async def server(lenient: Town) -> AsyncIterator[Server]:
    async with lenient.serving() as server:
        await lenient.register("dora", password=WORDS, lone=True, recovery=PAPER)
        await lenient.register("emil", password=PASSWORD)
        yield server


async def join(town: Town, name: str = "dora", words: str = SAID, **options: Any) -> None:
    place = place_at(f"127.0.0.1:{town.port}")
    await join_by_passphrase(town.home("new"), place, name, words, **options)


async def test_name_and_passphrase_bring_a_new_device(lenient: Town, server: Server) -> None:
    old = await held(lenient, "dora", SAID)
    async with Client.open(lenient.home("dora"), SAID) as laptop:
        await laptop.connected()
        await join(lenient, device_name="phone")
        async with Client.open(lenient.home("new"), SAID) as phone:
            await phone.connected()
            names = [device.name for device in await phone.devices.list()]
            assert names == [None, "phone"]
            await phone.send("alice", "hello")
            await phone.sent()
        await laptop._until(
            lambda: laptop._engine.machine.contacts[old.own.account_id].head.number == 1,
            10.0,
            laptop._engine.changed,
        )
    new = await held(lenient, "new", SAID)
    assert new.account.secret == old.account.secret
    assert new.account.pins[0] == old.account.pins[0]
    assert not new.account.begun
    assert not new.own.first
    unlocked = await new.unlock(SAID)
    assert unlocked.lone
    assert unlocked.recovery == PAPER.vault_key()


async def test_what_changes_before_the_new_home_is_first_opened_is_told_there(
    lenient: Town, server: Server
) -> None:
    await join(lenient)
    await change_list(await held(lenient, "dora", SAID), SAID, needs_approval=True)
    async with Client.open(lenient.home("new"), SAID) as new:
        await new.caught_up()
        machine = new._engine.machine
        await new._until(
            lambda: machine.contacts[machine.account_id].head.number == 2,
            10.0,
            new._engine.changed,
        )
        notices = await new.devices.notices()
        assert [notice.kind for notice in notices] == [NoticeKind.APPROVAL_ON]


async def test_a_wrong_passphrase_or_name_is_a_failed_login(lenient: Town, server: Server) -> None:
    assert await code_of(join(lenient, words="six other words")) == Code.LOGIN_FAILED
    assert await code_of(join(lenient, name="nobody")) == Code.LOGIN_FAILED
    assert not (lenient.home("new") / "vault.json").exists()


async def test_a_chosen_password_brings_no_device(lenient: Town, server: Server) -> None:
    refused = join(lenient, name="emil", words=PASSWORD)
    assert await code_of(refused) == Code.PASSPHRASE_REFUSED
    assert (await row(server, "emil", "vault_number")) == (0,)


async def test_an_operator_may_forbid_it_for_all(lenient: Town) -> None:
    async with lenient.serving():
        await lenient.register("dora", password=WORDS, lone=True)
    async with replace(lenient, lone_vaults="no").serving():
        assert await code_of(join(lenient)) == Code.PASSPHRASE_REFUSED
        # The devices that there are still log in, and open the vault.
        assert (await (await held(lenient, "dora", SAID)).unlock(SAID)).lone


async def test_where_an_old_device_must_approve_a_passphrase_is_not_enough(
    lenient: Town, server: Server
) -> None:
    await change_list(await held(lenient, "dora", SAID), SAID, needs_approval=True)
    assert await code_of(join(lenient)) == Code.DEVICE_LIST_APPROVAL
    with patch.object(joining._Joining, "_entry", _without_looking):
        # A program of somebody else's, which has the passphrase: the server looks as well.
        assert not (lenient.home("new") / "vault.json").exists()
        assert await code_of(join(lenient)) == Code.DEVICE_LIST_APPROVAL
    # What was signed stays, until an old device has changed the list in its place.
    assert (await held(lenient, "new", SAID)).account.begun
    await change_list(await held(lenient, "dora", SAID), SAID, needs_approval=False)
    await join(lenient)
    assert len((await held(lenient, "new", SAID)).contact.head.devices) == 2


def _without_looking(self: Any, opened: Any, others: Any, device: Any) -> Any:
    state = replace(opened.state, needs_approval=False)
    listed = device.listed(opened.unlocked.secret)
    devices = (*state.devices, listed)
    entry = next_entry(state, opened.unlocked.account_key, devices, device.made_at)
    return replace(entry, needs_approval=True).sign(opened.unlocked.account_key)


async def test_the_paper_opens_a_lone_account_too(lenient: Town, server: Server) -> None:
    await drill(place_at(f"127.0.0.1:{lenient.port}"), "dora", PAPER)


async def test_a_new_password_of_ones_own_ends_it(lenient: Town, server: Server) -> None:
    await change_password(lenient.home("dora"), SAID, PASSWORD)
    assert await code_of(join(lenient, words=PASSWORD)) == Code.PASSPHRASE_REFUSED
    await change_password(lenient.home("dora"), PASSWORD, WORDS, lone=True)
    await join(lenient)
    assert (await held(lenient, "new", SAID)).account.vaults == 2


async def test_an_answer_that_is_lost_is_found_out_by_the_same_call(
    lenient: Town, server: Server
) -> None:
    lost = patch.object(login, "check_ids", side_effect=TransportError(Code.NETWORK_CLOSED))
    with lost:
        assert await code_of(join(lenient)) == Code.NETWORK_CLOSED
    before = await held(lenient, "new", SAID)
    assert before.account.begun
    await join(lenient)
    after = await held(lenient, "new", SAID)
    assert after.own == before.own
    found = await drill(place_at(f"127.0.0.1:{lenient.port}"), "dora", PAPER)
    assert len(found.devices) == 2


async def test_a_cut_before_the_server_heard_of_it_begins_anew(
    lenient: Town, server: Server
) -> None:
    with patch.object(joining, "JoinFinish", side_effect=TransportError(Code.NETWORK_CLOSED)):
        assert await code_of(join(lenient)) == Code.NETWORK_CLOSED
    await join(lenient)
    found = await drill(place_at(f"127.0.0.1:{lenient.port}"), "dora", PAPER)
    assert len(found.devices) == 2


async def test_a_server_can_not_make_a_vault_stand_alone(lenient: Town, server: Server) -> None:
    """Not by relabelling one that needs the account secret, and not with somebody else's."""
    (vault,) = await row(server, "emil", "vault")
    put = "UPDATE accounts SET vault = ? WHERE name = ?"
    await sql(server, put, b"\x02" + vault[1:], "emil")
    assert await code_of(join(lenient, name="emil", words=PASSWORD)) == Code.VAULT_CLOSED
    await sql(server, put, b"\x02" + vault[1:], "dora")
    assert await code_of(join(lenient)) == Code.VAULT_CLOSED


async def test_a_list_of_another_account_or_key_is_refused(lenient: Town, server: Server) -> None:
    emil = await held(lenient, "emil")
    (key,) = await row(server, "dora", "pk")
    put = "UPDATE device_lists SET entry = ? WHERE account = ?"
    await sql(server, put, emil.contact.head.encode(), key)
    assert await code_of(join(lenient)) == Code.DEVICE_LIST_INVALID
    dora = await held(lenient, "dora", SAID)
    stranger = (await emil.unlock()).account_key
    await sql(server, put, dora.contact.head.sign(stranger).encode(), key)
    assert await code_of(join(lenient)) == Code.DEVICE_LIST_INVALID
    forged = replace(dora.contact.head, account_key=stranger.public_key).sign(stranger)
    await sql(server, put, forged.encode(), key)
    assert await code_of(join(lenient)) == Code.DEVICE_LIST_INVALID
