"""Cuts, crashes and lies in the middle: no number of our list is signed twice in other words.

The server that has an entry and shows nothing of it is the one to be afraid of: whatever is sent
afterwards, it may show the first one to somebody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeAlias

import pytest

from parlour.client import hosting, own_list
from parlour.client.change_password import change_password
from parlour.client.client import Client
from parlour.client.recovery import place_at
from parlour.errors import Code, LimitError, ParlourError, TransportError
from parlour.identity.passphrase import Passphrase
from parlour.identity.recovery import RecoveryKey
from tests.entries import Door, door, ticking
from tests.town import PASSWORD, Town, cheap_homes

from .people import Person, link, new_scans, old_shows, refusal_of

PAPER = RecoveryKey(bytes(range(16)))
NEW = "a new password"
WORDS = Passphrase.generate()
Faults: TypeAlias = Callable[[], list[BaseException]]


class Crash(Exception):
    """The end of the program, as far as what was going on is concerned."""


@pytest.fixture(autouse=True)
def cheap() -> Iterator[None]:
    with cheap_homes(), ticking():
        yield


def crash() -> list[BaseException]:
    return [Crash()]


def cuts() -> list[BaseException]:
    return [TransportError(Code.NETWORK_CLOSED) for _ in range(own_list.TRIES)]


def refusal() -> list[BaseException]:
    return [LimitError(Code.LIMIT_COUNT)]


ALL_FAULTS = pytest.mark.parametrize("faults", [crash, cuts, refusal])


# --- A device that is there ----------------------------------------------------------------


async def rename(alice: Client) -> None:
    await alice.devices.rename("laptop", "old laptop", PASSWORD)


async def remove(alice: Client) -> None:
    await alice.devices.remove(["laptop"], PASSWORD)


async def demand_approval(alice: Client) -> None:
    await alice.devices.set_approval(PASSWORD, needed=True)


async def renew_recovery(alice: Client) -> None:
    await alice.recovery.renew(PASSWORD, PAPER)


async def lose(alice: Client) -> None:
    laptop = await alice.devices.find("laptop")
    await alice.passwords.change(PASSWORD, NEW, end_sessions=True, remove=[laptop])


ALL_CHANGES = pytest.mark.parametrize(
    "change", [rename, remove, demand_approval, renew_recovery, lose]
)


async def lost(here: Door, faults: Faults, change: Awaitable[Any]) -> None:
    """Let a change end by faults."""
    here.faults += faults()
    with pytest.raises((Crash, ParlourError)):
        await change
    assert here.entries
    here.faults.clear()


@ALL_FAULTS
@ALL_CHANGES
async def test_a_change_that_was_lost_is_made_by_the_entry_that_was_signed(
    town: Town, change: Callable[[Client], Awaitable[None]], faults: Faults
) -> None:
    async with town.serving():
        async with town.open("alice") as alice:
            await link(town, alice, "laptop", "laptop")
        with door() as here:
            async with town.open("alice") as alice:
                await alice.connected()
                await lost(here, faults, change(alice))
                head = (await alice.devices.editor.newest()).number
            async with town.open("alice") as alice:
                await alice.connected()
                await change(alice)
                wanted = {head + 1} if change is not rename else {head + 1, head + 2}
                assert set(here.numbers) == wanted
                newest = await alice.devices.editor.newest()
                assert newest.hash() == here.entries[-1].hash()
                assert newest.needs_approval == (change is demand_approval)
                assert (newest.recovery_key is not None) == (change is renew_recovery)
                names = [device.name for device in await alice.devices.list()]
                left = [None, "old laptop" if change is rename else "laptop"]
                assert names == ([None] if change in (remove, lose) else left)
                assert not await alice.devices.notices()


@ALL_FAULTS
async def test_another_change_comes_on_top_of_the_one_that_was_lost(
    town: Town, faults: Faults
) -> None:
    async with town.serving():
        async with town.open("alice") as alice:
            await link(town, alice, "laptop", "laptop")
        with door() as here:
            async with town.open("alice") as alice:
                await alice.connected()
                await lost(here, faults, demand_approval(alice))
                await lose(alice)
                assert here.numbers == [2, 3]
                assert alice.devices.needs_approval
                assert len(await alice.devices.list()) == 1


async def test_two_changes_of_one_program_at_once_are_two_entries(town: Town) -> None:
    async with town.serving(), town.open("alice") as alice:
        await link(town, alice, "laptop", "laptop")
        with door() as here:
            await asyncio.gather(rename(alice), demand_approval(alice))
            assert here.numbers == [2, 3]
            assert [each.name for each in await alice.devices.list()] == [None, "old laptop"]
            assert alice.devices.needs_approval


async def test_a_password_change_does_not_strand_a_recovery_key_that_was_lost(town: Town) -> None:
    """Its vaults would be out of date afterwards, and its entry could never be taken."""
    async with town.serving(), town.open("alice") as alice:
        await alice.connected()
        with door() as here:
            await lost(here, crash, renew_recovery(alice))
            await alice.passwords.change(PASSWORD, NEW)
            assert here.numbers == [1]
            assert alice.recovery.exists
            assert (await alice.recovery.drill(PAPER)).devices


async def test_a_recovery_key_that_was_lost_and_overtaken_asks_for_what_helps(town: Town) -> None:
    """Its vaults are out of date: another device has changed the password. Only the paper helps."""
    async with town.serving(), town.open("alice") as alice:
        await link(town, alice, "laptop", "laptop")
        with door() as here:
            await lost(here, crash, renew_recovery(alice))
            await change_password(town.home("laptop"), PASSWORD, NEW)
            refused = alice.devices.rename("laptop", "old laptop", NEW)
            assert await refusal_of(refused) == Code.USAGE_STATE
            await alice.recovery.renew(NEW, PAPER)
            await alice.devices.rename("laptop", "old laptop", NEW)
            assert here.numbers == [2, 3]
            assert (await alice.recovery.drill(PAPER)).devices


# --- Linking -------------------------------------------------------------------------------


async def lose_linking(town: Town, alice: Client, here: Door) -> asyncio.Task[Any]:
    """Let the old device's part end by a crash when the entry leaves; the new one's goes on."""
    person = Person()
    here.faults += crash()
    taking_in = asyncio.create_task(old_shows(alice, person, "laptop"))
    joining = asyncio.create_task(new_scans(town, "laptop", person))
    with pytest.raises(Crash):
        await taking_in
    return joining


async def test_a_linking_whose_entry_was_lost_goes_on_with_the_next_program(town: Town) -> None:
    async with town.serving():
        with door() as here:
            async with town.open("alice") as alice:
                joining = await lose_linking(town, alice, here)
            async with town.open("alice") as alice:
                await joining
                assert here.numbers == [1]
                names = [device.name for device in await alice.devices.list()]
                assert names == [None, "laptop"]
            async with town.open("laptop") as laptop:
                await laptop.connected()


async def test_a_device_whose_linking_is_over_leaves_the_list_with_the_next_change(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with town.serving():
        with door() as here:
            async with town.open("alice") as alice:
                joining = await lose_linking(town, alice, here)
            monkeypatch.setattr(hosting.PendingAnswer, "is_over", True)
            async with town.open("alice") as alice:
                assert await refusal_of(joining) == Code.LINK_REFUSED
                assert len(await alice.devices.list()) == 1
                await demand_approval(alice)
                assert here.numbers == [1, 2]
                assert len(await alice.devices.list()) == 1
                assert alice.devices.needs_approval


# --- A device that brings itself -----------------------------------------------------------


async def found_dora(town: Town) -> None:
    await town.register("dora", password=WORDS, lone=True, recovery=PAPER)


async def recover(town: Town, *, remove_others: bool = False) -> None:
    place = place_at(f"127.0.0.1:{town.port}")
    await Client.recover(town.home("new"), place, "dora", PAPER, NEW, remove_others=remove_others)


async def join(town: Town) -> None:
    place = place_at(f"127.0.0.1:{town.port}")
    await Client.join_by_passphrase(town.home("new"), place, "dora", WORDS.reveal())


def opened(town: Town, way: Any) -> Any:
    """The new device, by the password that its way has set."""
    return Client.open(town.home("new"), NEW if way is recover else WORDS.reveal())


@pytest.fixture
async def lenient(town: Town) -> Town:
    return Town(town.folder, town.port, lone_vaults="yes")


BOTH_WAYS = pytest.mark.parametrize("way", [recover, join])


@ALL_FAULTS
@BOTH_WAYS
async def test_a_device_that_was_lost_on_its_way_is_the_one_that_arrives(
    lenient: Town, way: Callable[[Town], Awaitable[None]], faults: Faults
) -> None:
    async with lenient.serving():
        await found_dora(lenient)
        with door() as here:
            for _ in range(2):
                await lost(here, lambda: faults()[:1], way(lenient))
            await way(lenient)
            assert here.numbers == [1]
            async with opened(lenient, way) as dora:
                await dora.connected()
                assert len(await dora.devices.list()) == 2
                # It writes, it is written to, and it changes the list as any other one does.
                await dora.send("alice", "hello")
                await dora.sent()
                await dora.devices.set_approval(
                    NEW if way is recover else WORDS.reveal(), needed=True
                )
            assert here.numbers == [1, 2]


@BOTH_WAYS
async def test_another_devices_change_takes_the_place_of_what_was_lost(
    lenient: Town, way: Callable[[Town], Awaitable[None]]
) -> None:
    async with lenient.serving():
        await found_dora(lenient)
        with door() as here:
            await lost(here, crash, way(lenient))
        async with Client.open(lenient.home("dora"), WORDS.reveal()) as old:
            await old.devices.rename(old._engine.machine.device_id.hex(), "old", WORDS.reveal())
        with door() as here:
            await way(lenient)
            assert here.numbers == [2]
        async with opened(lenient, way) as dora:
            await dora.connected()
            assert [device.name for device in await dora.devices.list()] == ["old", None]


@BOTH_WAYS
async def test_a_server_that_goes_back_behind_what_was_signed_is_found_out(
    lenient: Town, way: Callable[[Town], Awaitable[None]]
) -> None:
    async with lenient.serving():
        await found_dora(lenient)
    before = lenient.copy(lenient.folder.with_name("before"))
    async with lenient.serving():
        async with Client.open(lenient.home("dora"), WORDS.reveal()) as old:
            await old.devices.rename(old._engine.machine.device_id.hex(), "old", WORDS.reveal())
        with door() as here:
            await lost(here, crash, way(lenient))
    lenient.home("new").rename(before.home("new"))
    async with Town(before.folder, before.port, lone_vaults="yes").serving():
        with door() as here:
            assert await refusal_of(way(before)) == Code.DEVICE_LIST_ROLLBACK
            assert not here.entries


async def test_a_recovery_that_wants_more_than_the_one_that_was_lost_gets_it(
    lenient: Town,
) -> None:
    """First all devices stay; the second time they leave, by an entry of their own."""
    async with lenient.serving():
        await found_dora(lenient)
        with door() as here:
            await lost(here, crash, recover(lenient))
            await recover(lenient, remove_others=True)
            assert here.numbers == [1, 2]
        async with Client.open(lenient.home("new"), NEW) as dora:
            await dora.connected()
            assert len(await dora.devices.list()) == 1


async def test_what_is_unfinished_is_not_taken_for_another_accounts(
    lenient: Town, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The same name on another server, or a registration, in the folder of a recovery."""
    async with lenient.serving():
        await found_dora(lenient)
        with door() as here:
            await lost(here, crash, recover(lenient))
            with pytest.raises(ParlourError) as refused:
                await Client.register(lenient.home("new"), await lenient.invite(), "dora", NEW)
            assert refused.value.code is Code.HOME_EXISTS
    other = Town(tmp_path_factory.mktemp("other"), lenient.port)
    async with other.serving():
        await other.register("dora", recovery=PAPER)
        with door() as here:
            assert await refusal_of(recover(lenient)) == Code.SERVER_PIN
            assert await refusal_of(recover(lenient, remove_others=True)) == Code.HOME_EXISTS
            assert not here.entries
    async with lenient.serving():
        await recover(lenient)
