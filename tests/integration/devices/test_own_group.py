"""One person's devices that share a group on MLS, through the SDK and over real sockets."""

from __future__ import annotations

from parlour.client.client import Client
from parlour.conversation.groups.records import GroupState
from parlour.conversation.groups.view import GroupView
from tests.town import PASSWORD, Town

from .people import link, until


def group_of(client: Client) -> GroupView:
    machine = client._engine.machine
    group = machine.direct_group(machine.account_id)
    assert group is not None
    return group


async def hears(client: Client, value: str) -> None:
    await until(client, lambda: client.settings.get("colour") == value)


async def test_devices_tell_each_other_by_a_group(town: Town) -> None:
    async with town.serving():
        async with town.open("alice") as alice:
            await alice.settings.set("preset", "default-mls")
            await link(town, alice, "laptop", "laptop")
            async with town.open("laptop") as laptop:
                await laptop.caught_up()
                await alice.settings.set("colour", "red")
                await hears(laptop, "red")
                await laptop.settings.set("colour", "blue")
                await hears(alice, "blue")
                assert group_of(alice).id == group_of(laptop).id
                assert {group_of(each).state for each in (alice, laptop)} == {GroupState.ACTIVE}
                assert {group_of(each).leaves for each in (alice, laptop)} == {2}
                assert not alice._engine.machine.groups
            await link(town, alice, "tablet", "tablet")
        # Once the tablet has left its keys, whoever is there lets it in, and puts the laptop out.
        async with town.open("tablet") as tablet:
            assert tablet.settings.get("colour") == "blue"
            await until(tablet, lambda: tablet._engine.machine.can_be_added)
            async with town.open("alice") as alice:
                await alice.devices.remove(["laptop"], PASSWORD)
                await tablet.settings.set("colour", "green")
                await hears(alice, "green")
                assert group_of(tablet).id == group_of(alice).id
                assert group_of(alice).leaves == 2
