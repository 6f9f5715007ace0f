"""A device that is linked while another one of its account is online, and the account's groups."""

from __future__ import annotations

from parlour.client.client import Client
from parlour.conversation.groups.records import GroupState
from tests.town import Town, next_texts

from .people import link, until


def is_in(client: Client, group: bytes) -> bool:
    view = client._engine.machine.groups.get(group)
    return view is not None and view.state is GroupState.ACTIVE


async def test_a_linked_device_comes_into_groups_at_once(town: Town) -> None:
    async with town.serving():
        async with town.open("bob") as bob:
            assert await bob.ready()
        async with town.open("alice") as alice:
            group = (await alice.groups.create("garden", ["bob"], suite="mls")).id
            await link(town, alice, "laptop", "laptop")
            # Its keys have been looked for by now, and there are none before it is used.
            await until(alice, lambda: "device.left_out" in alice.counters)
            async with town.open("laptop") as laptop:
                # Who is not told of them waits to be asked for longer than tests wait.
                await until(laptop, lambda: is_in(laptop, group))
                assert "group.lost" not in laptop.counters
                await alice.send("#garden", "to all of my devices")
                assert await next_texts(laptop, 1) == ["to all of my devices"]
