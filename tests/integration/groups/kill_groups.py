"""A program that kills a device of a group between any two steps (`tests.integration.killing`).

Everybody goes on from what is there then; it tells where they stand. `test_kill_groups` runs it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from parlour.client.client import Client, Said
from tests.integration.killing import (
    KILLED,
    at_each_step,
    expect,
    finish,
    in_child,
    killer,
    nonces,
    record,
    served,
)
from tests.town import Town

NAMES = ("alice", "bob", "carol")
# Seconds for everybody to find together.
TOGETHER = 55


def kill_device(town: Town, number: int) -> tuple[bool, dict[str, Any]]:
    """Run a device that dies at that step, then let everybody go on."""
    story = sys.argv[1]
    with served(town):
        if story in BEFORE:
            expect(finish(in_child(BEFORE[story](town))), 0, "what is before", number)
        status = finish(in_child(STORIES[story](town, number)))
        expect(status if status != KILLED else 0, 0, "the device", number)
        expect(finish(in_child(look(town, story))), 0, "the look", number)
    return status == KILLED, {}


# --- Stories -------------------------------------------------------------------------------


async def commit(town: Town, number: int) -> None:
    """Alice adds Carol and says something; she may be killed.

    What she wishes returns as soon as it is on her disk, so that she also dies between that and
    the commit.
    """
    killer(number)
    with record(town, "returned") as returned, nonces(town):
        async with town.open("alice") as alice:
            await alice.groups.add("trip", ["carol"], timeout=0)
            returned("add")
            await until(alice, partial(together, alice, group_of(town)))
            await alice.send("#trip", "welcome")
            returned("welcome")
            await alice.sent()


async def add_carol(town: Town) -> None:
    """The same, undisturbed, with another name at the end."""
    async with town.open("alice") as alice:
        await alice.groups.add("trip", ["carol"])
        await alice.send("#trip", "welcome")
        await alice.sent()
        await alice.groups.rename("trip", "journey")


async def merge(town: Town, number: int) -> None:
    """Bob catches up with all that, and answers; he may be killed."""
    killer(number)
    with record(town, "returned") as returned, nonces(town):
        async with town.open("bob") as bob:
            await bob.caught_up()
            await bob.unread()
            await bob.send("#journey", "thanks")
            returned("thanks")
            await bob.sent()


async def join(town: Town, number: int) -> None:
    """Carol comes by a link; she may be killed."""
    killer(number)
    with record(town, "returned") as returned, nonces(town):
        async with town.open("carol") as carol:
            # Nobody is there who could tell its name.
            joined = await carol.groups.join((town.folder / "link").read_text())
            returned("join")
            # It leaves when a member has confirmed that this is the group.
            await carol.send_to(joined.id, "here I am")
            returned("here I am")


async def look(town: Town, story: str) -> None:
    """What did not return is wished again, and nothing else; then each says something."""
    group = group_of(town)
    returned = (town.folder / "returned").read_text().splitlines()
    with nonces(town):
        async with (
            town.open("alice") as alice,
            town.open("bob") as bob,
            town.open("carol") as carol,
        ):
            async with asyncio.timeout(TOGETHER):
                everybody = (alice, bob, carol)
                for client in everybody:
                    await client.caught_up()
                if story == "commit" and "add" not in returned:
                    await alice.groups.add(group, ["carol"])
                if story == "join" and "join" not in returned:
                    await carol.groups.join((town.folder / "link").read_text())
                for client in everybody:
                    await until(client, partial(together, client, group))
                for client in everybody:
                    await client.send_to(group, f"end of {client.name}")
                ends = {f"end of {client.name}" for client in everybody}
                for client in everybody:
                    await until(client, partial(has, client, group, ends))
                found = {name: await texts(client, group) for name, client in
                         zip(NAMES, everybody, strict=True)}  # fmt: skip
                stands = [client.groups.get(group) for client in everybody]
    epochs = [[each.generation, each.epoch] for each in stands]
    members = [sorted(each.account_id.hex() for each in stand.members) for stand in stands]
    (town.folder / "found").write_text(
        json.dumps({"texts": found, "epochs": epochs, "members": members})
    )


def group_of(town: Town) -> bytes:
    return bytes.fromhex((town.folder / "group").read_text())


async def together(client: Client, group: bytes) -> bool:
    """Whether somebody follows a group of three."""
    if not client._engine.machine.has_group(group):
        return False
    stand = client.groups.get(group)
    return stand.state.value == "active" and stand.leaves == len(NAMES)


async def texts(client: Client, group: bytes) -> list[str]:
    page: list[Said] = await client.history(f"#{group.hex()}", limit=1000)
    return [said.text for said in page]


async def has(client: Client, group: bytes, ends: set[str]) -> bool:
    return ends <= set(await texts(client, group))


async def until(client: Client, reached: Callable[[], Coroutine[Any, Any, bool]]) -> None:
    while True:
        seen = client._engine.changed.count
        if await reached():
            return
        await client._engine.changed.wait(seen)


STORIES: dict[str, Callable[[Town, int], Coroutine[Any, Any, None]]] = {
    "commit": commit,
    "merge": merge,
    "join": join,
}
BEFORE: dict[str, Callable[[Town], Coroutine[Any, Any, None]]] = {"merge": add_carol}

if __name__ == "__main__":
    at_each_step(dict.fromkeys(STORIES, kill_device))
