"""A program that kills devices between any two steps of linking and removal.

It then does what a person would do next, and tells what is there in the end. `test_kill` runs it,
and `tests.integration.killing` says what a step is.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, TypeAlias

from parlour.client.address import Address
from parlour.client.client import Client
from parlour.client.linking import Comparison
from parlour.client.login import Target
from parlour.client.tls import Shown
from parlour.errors import Code, ParlourError
from tests.entries import note_entries
from tests.integration.killing import (
    KILLED,
    at_each_step,
    expect,
    finish,
    in_child,
    killer,
    served,
)
from tests.town import PASSWORD, Town, cheap_homes, next_texts, quick_passwords

REFUSED = 3
Tell: TypeAlias = Callable[[str], Awaitable[None]]


# --- Stories: what the parent does ---------------------------------------------------------


def kill_new(town: Town, number: int) -> tuple[bool, int]:
    """The old device shows a code; the new one dies, and does the same again."""
    old, text = telling(partial(show, town))
    first = finish(in_child(join(town, text, number)))
    second = 0 if first == 0 else finish(in_child(join(town, text, 0)))
    expect(second, 0, "the second try", number)
    expect(finish(old), 0, "the old device", number)
    return first == KILLED, 1 if first == 0 else 2


def kill_old(town: Town, number: int) -> tuple[bool, int]:
    """The new device shows a code; the old one dies, and does the same again.

    Where the code was used up by that, both show and scan a new one.
    """
    new, text = telling(partial(link_new, town))
    first = finish(in_child(scan(town, text, number)))
    second = 0 if first == 0 else finish(in_child(scan(town, text, 0)))
    ended = finish(new)
    if ended == 0:
        expect(second, 0, "the second try", number)
        return first == KILLED, 1 if first == 0 else 2
    expect(ended, REFUSED, "the new device", number)
    expect(second, REFUSED, "the second try", number)
    new, text = telling(partial(link_new, town))
    expect(finish(in_child(scan(town, text, 0))), 0, "the third try", number)
    expect(finish(new), 0, "the new device, once more,", number)
    return first == KILLED, 3


def kill_removal(town: Town, number: int) -> tuple[bool, int]:
    """A device removes another one and dies; it does the same again."""
    old, text = telling(partial(show, town))
    expect(finish(in_child(join(town, text, 0))), 0, "the new device", number)
    expect(finish(old), 0, "the old device", number)
    first = finish(in_child(remove(town, number)))
    second = 0 if first == 0 else finish(in_child(remove(town, 0)))
    expect(second, 0, "the second try", number)
    return first == KILLED, 1 if first == 0 else 2


def with_look(story: Callable[[Town, int], tuple[bool, int]], town: Town, number: int) -> Any:
    """Run a story, and look at what is there after it."""
    with served(town):
        killed, tries = story(town, number)
        removed = story is kill_removal
        expect(finish(in_child(look(town, removed=removed))), 0, "the look", number)
    return killed, {"tries": tries}


STORIES: dict[str, Callable[[Town, int], tuple[bool, int]]] = {
    "new": kill_new,
    "old": kill_old,
    "removal": kill_removal,
}


def telling(story: Callable[[Tell], Coroutine[Any, Any, None]]) -> tuple[int, str]:
    """Start a child that tells one line; the child, and the line."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as source:
        with os.fdopen(writing, "w", buffering=1) as sink:

            async def tell(line: str) -> None:
                sink.write(line + "\n")

            child = in_child(story(tell))
        line = source.readline().strip()
    if not line:
        sys.exit("a child ended before it said anything")
    return child, line


# --- Stories: what the devices do ----------------------------------------------------------


async def yes(_comparison: Comparison) -> bool:
    return True


async def show(town: Town, tell: Tell) -> None:
    note_entries(town.folder / "entries")
    async with town.open("alice") as alice:
        await alice.devices.show(PASSWORD, show=tell, compare=yes, name="laptop")


async def join(town: Town, text: str, number: int) -> None:
    if number:
        killer(number)
    try:
        with cheap_homes():
            await Client.join(town.home("laptop"), text, PASSWORD, compare=yes)
    except ParlourError as problem:
        # Only where the first try had come to its end.
        if problem.code is not Code.HOME_EXISTS or number:
            raise


async def link_new(town: Town, tell: Tell) -> None:
    target = Target(Address("127.0.0.1", town.port), Shown())
    with cheap_homes(), refusals(Code.LINK_REFUSED):
        await Client.link_new(town.home("laptop"), target, PASSWORD, show=tell, compare=yes)


async def scan(town: Town, text: str, number: int) -> None:
    if number:
        killer(number)
    note_entries(town.folder / "entries")
    async with town.open("alice") as alice:
        if not number and await delivered(alice):
            return
        with refusals(Code.LINK_USED):
            await alice.devices.scan(text, PASSWORD, compare=yes, name="laptop")


async def delivered(alice: Client) -> bool:
    """Whether the device is on the list and has its answer, once what could be done was done."""
    await alice.connected()
    async with asyncio.timeout(30):
        while alice.devices._host.pending is not None:
            seen = alice._engine.changed.count
            if alice.devices._host.pending is not None:
                await alice._engine.changed.wait(seen)
    return len(await alice.devices.list()) == 2


async def remove(town: Town, number: int) -> None:
    if number:
        killer(number)
    note_entries(town.folder / "entries")
    async with town.open("alice") as alice:
        try:
            await alice.devices.remove(["laptop"], PASSWORD)
        except ParlourError as problem:
            # Only where the first try had removed it.
            if problem.code is not Code.DEVICE_UNKNOWN or number:
                raise


@contextlib.contextmanager
def refusals(code: Code) -> Any:
    """End the process with `REFUSED` where that was the reason."""
    try:
        yield
    except ParlourError as problem:
        if problem.code is not code:
            raise
        os._exit(REFUSED)


# --- The look afterwards -------------------------------------------------------------------


async def look(town: Town, *, removed: bool) -> None:
    """Bob says something to Alice; what her devices see of it, and what the list says."""
    async with town.open("alice") as alice, town.open("bob") as bob:
        await bob.send("alice", "hello")
        found: dict[str, Any] = {"alice": await next_texts(alice, 1)}
        async with town.open("laptop") as laptop:
            found |= await (refused(laptop) if removed else read(laptop))
        found["devices"] = [device.name for device in await alice.devices.list()]
        found["sessions"] = len(await alice.sessions())
        found["notices"] = len(await alice.devices.notices())
    (town.folder / "found").write_text(json.dumps(found))


async def read(laptop: Client) -> dict[str, Any]:
    texts = await next_texts(laptop, 1)
    await laptop.send("bob", "thanks")
    await laptop.sent()
    return {"laptop": texts}


async def refused(laptop: Client) -> dict[str, Any]:
    try:
        await laptop.connected()
    except ParlourError as problem:
        return {"laptop": [problem.code.value]}
    return {"laptop": []}


if __name__ == "__main__":
    with quick_passwords():
        at_each_step({name: partial(with_look, story) for name, story in STORIES.items()})
