"""A program that kills clients or servers between any two steps (`killing`).

`test_kill_processes` runs it.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import sys
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from parlour.client import backoff, login
from parlour.client.change_password import change_password
from parlour.client.client import Client
from parlour.client.joining import join_by_passphrase
from parlour.client.passwords import opens
from parlour.client.recovery import drill, place_at
from parlour.client.recovery import recover as recover_home
from parlour.conversation.events import MessageReceived, MessageSent
from parlour.errors import Code, ParlourError
from parlour.identity.recovery import RecoveryKey
from parlour.login import stretch
from tests.entries import note_entries
from tests.integration.killing import (
    KILLED,
    Run,
    at_each_step,
    expect,
    finish,
    in_child,
    killer,
    nonces,
    record,
    serve,
    served,
    stop,
)
from tests.town import CHEAP, PASSWORD, Town, cheap_homes, texts

SAID = ["one", "two", "three"]
NEW_PASSWORD = "a new password"
PAPER = RecoveryKey(bytes(range(16)))
PASSPHRASE = "abacus abdomen abdominal abide abiding ability"


def kill_client(town: Town, number: int) -> tuple[bool, dict[str, Any]]:
    """Run a client that dies at that step, and another one after it."""
    story = sys.argv[1]
    if story == "join":
        town = replace(town, lone_vaults="yes")
    with served(town):
        status = finish(in_child(STORIES[story](town, number)))
        expect(status if status != KILLED else 0, 0, "the client", number)
        expect(finish(in_child(AFTER.get(story, look)(town))), 0, "the second client", number)
    return status == KILLED, {}


def kill_server(town: Town, number: int) -> tuple[bool, dict[str, Any]]:
    """Run a server that dies at that step of its store while people talk."""
    server = in_child(serve(town, number))
    people = in_child(talk(town))
    ended, status = os.wait()
    killed = ended == server
    if not killed:
        stop(server)
    server = in_child(serve(town))
    try:
        if killed:
            ended, status = os.waitpid(people, 0)
        expect(status, 0, "the people", number)
        expect(finish(in_child(look(town))), 0, "the look after them", number)
    finally:
        stop(server)
    return killed, {}


# --- Stories -------------------------------------------------------------------------------


async def send(town: Town, number: int) -> None:
    """Alice says three things; what `send` has returned for is written down."""
    killer(number)
    with record(town, "returned") as returned, nonces(town):
        async with town.open("alice") as alice:
            for text in SAID:
                await alice.send("bob", text)
                returned(text)
            await alice.sent()


async def receive(town: Town, number: int) -> None:
    """Alice has said three things; Bob reads them, and what he saw is written down."""
    with nonces(town):
        async with town.open("alice") as alice:
            for text in SAID:
                await alice.send("bob", text)
            await alice.sent()
    with record(town, "returned") as returned:
        for text in SAID:
            returned(text)
    killer(number)
    with record(town, "shown") as shown, nonces(town):
        async with town.open("bob") as bob:
            async for event in bob.events():
                if isinstance(event, MessageReceived):
                    shown(bob.said(event.message).text)
                    if bob.said(event.message).text == SAID[-1]:
                        break
            await bob.send("alice", "thanks")
            await bob.sent()


async def look(town: Town) -> None:
    """Everybody goes on from what is there."""
    with record(town, "returned"), record(town, "shown"), nonces(town):
        async with town.open("alice") as alice, town.open("bob") as bob:
            async with asyncio.timeout(30):
                await alice.sent()
                await bob.sent()
                # One more each way: the sessions go on, and all that was before has come.
                await alice.send("bob", "end")
                await bob.contact("alice")
                await bob.send("alice", "end")
                unread = {
                    "bob": await until_end(bob),
                    "alice": await until_end(alice),
                }
            found = {
                "unread": unread,
                "bob": texts(await bob.history("alice")),
                "alice": texts(await alice.history("bob")),
            }
    (town.folder / "found").write_text(json.dumps(found))


async def until_end(client: Client) -> list[str]:
    found: list[str] = []
    while "end" not in found:
        seen = client._engine.changed.count
        page = texts(await client.unread())
        found += page
        if not page:
            await client._engine.changed.wait(seen)
    return found


async def talk(town: Town) -> None:
    """Alice and Bob talk while their server may die; what they were told was sent is noted."""
    backoff.FIRST_DELAY = 0.02  # type: ignore[misc]
    with record(town, "returned") as returned, nonces(town):
        async with town.open("alice") as alice, town.open("bob") as bob:

            async def note(client: Client) -> None:
                async for event in client.events():
                    if isinstance(event, MessageSent):
                        returned(client.said(event.message).text)

            notes = [asyncio.create_task(note(client)) for client in (alice, bob)]
            async with asyncio.timeout(60):
                for number in range(4):
                    await alice.send("bob", f"alice {number}")
                    await bob.send("alice", f"bob {number}")
                await alice.sent()
                await bob.sent()
            for task in notes:
                task.cancel()
            await asyncio.gather(*notes, return_exceptions=True)


def quick() -> None:
    """Register without long stretching, in the same way each time."""
    setattr(login, "stretch", functools.partial(stretch, cost=CHEAP))  # noqa: B010


async def register(town: Town, number: int) -> None:
    """Dora registers."""
    quick()
    invite = await town.invite()
    (town.folder / "invite").write_text(invite)
    killer(number)
    await town.register("dora", invite=invite)


async def register_again(town: Town) -> None:
    """Dora does the same again, and her home works."""
    quick()
    try:
        await town.register("dora", invite=(town.folder / "invite").read_text())
    except ParlourError as problem:
        # Only where the first one had come to its end.
        if problem.code is not Code.HOME_EXISTS:
            raise
    async with town.open("dora") as dora, town.open("alice") as alice:
        await alice.people.accept("dora")
        await dora.send("alice", "hello")
        async with asyncio.timeout(30):
            await dora.sent()
            page: list[str] = []
            while not page:
                seen = alice._engine.changed.count
                page = texts(await alice.unread())
                if not page:
                    await alice._engine.changed.wait(seen)
    (town.folder / "found").write_text(json.dumps({"alice": page}))


async def password(town: Town, number: int) -> None:
    """Dora, who has a recovery key, changes her password."""
    quick()
    killer(number)
    with cheap_homes():
        await change_password(town.home("dora"), PASSWORD, NEW_PASSWORD)


async def theft(town: Town, number: int) -> None:
    """Dora's other device was stolen: it leaves the list, and the password changes."""
    quick()
    killer(number)
    note_entries(town.folder / "entries")
    home = town.home("dora")
    first = PASSWORD if await opens(home, PASSWORD) else NEW_PASSWORD
    with cheap_homes():
        async with Client.open(home, first) as dora:
            await dora.connected()
            machine = dora._engine.machine
            others = {
                device.device_id for device in (await dora.devices.editor.newest()).devices
            } - {machine.device_id}
            await dora.passwords.change(PASSWORD, NEW_PASSWORD, end_sessions=True, remove=others)


async def theft_again(town: Town) -> None:
    """Dora does the same again, and the stolen device is out."""
    await theft(town, 0)
    await say_hello(town, "dora", NEW_PASSWORD)


async def password_again(town: Town) -> None:
    """Dora does the same again, and everything is one again."""
    await password(town, 0)
    await say_hello(town, "dora", NEW_PASSWORD)


async def recover(town: Town, number: int) -> None:
    """Dora's house has burnt down."""
    quick()
    killer(number)
    note_entries(town.folder / "entries")
    place = place_at(f"127.0.0.1:{town.port}")
    with cheap_homes():
        await recover_home(town.home("new"), place, "dora", PAPER, NEW_PASSWORD, remove_others=True)


async def recover_again(town: Town) -> None:
    """Dora does the same again, and her new home works."""
    try:
        await recover(town, 0)
    except ParlourError as problem:
        # Only where the first one had come to its end.
        if problem.code is not Code.HOME_EXISTS:
            raise
    await say_hello(town, "new", NEW_PASSWORD)


async def join(town: Town, number: int) -> None:
    """Dora has a passphrase and a new device."""
    quick()
    killer(number)
    note_entries(town.folder / "entries")
    place = place_at(f"127.0.0.1:{town.port}")
    with cheap_homes():
        await join_by_passphrase(town.home("new"), place, "dora", PASSPHRASE)


async def join_again(town: Town) -> None:
    """Dora does the same again, and her new home works."""
    try:
        await join(town, 0)
    except ParlourError as problem:
        # Only where the first one had come to its end.
        if problem.code is not Code.HOME_EXISTS:
            raise
    await say_hello(town, "new", PASSPHRASE)


async def say_hello(town: Town, home: str, password: str) -> None:
    """Dora's home works, its account opens by that password, and its paper is good."""
    quick()
    async with Client.open(town.home(home), password) as dora, town.open("alice") as alice:
        await dora.connected()
        unlocked = await dora.devices._room.unlock(password)
        devices = len(await dora.devices.list())
        await alice.people.accept("dora")
        await dora.send("alice", "hello")
        async with asyncio.timeout(30):
            await dora.sent()
            page: list[str] = []
            while not page:
                seen = alice._engine.changed.count
                page = texts(await alice.unread())
                if not page:
                    await alice._engine.changed.wait(seen)
    drilled = await drill(place_at(f"127.0.0.1:{town.port}"), "dora", PAPER)
    found = {
        "alice": page,
        "devices": [devices, len(drilled.devices)],
        "vaults": unlocked.vaults.number,
    }
    (town.folder / "found").write_text(json.dumps(found))


STORIES: dict[str, Callable[[Town, int], Coroutine[Any, Any, None]]] = {
    "send": send,
    "receive": receive,
    "register": register,
    "password": password,
    "theft": theft,
    "recover": recover,
    "join": join,
}
AFTER: dict[str, Callable[[Town], Coroutine[Any, Any, None]]] = {
    "register": register_again,
    "password": password_again,
    "theft": theft_again,
    "recover": recover_again,
    "join": join_again,
}
RUNS: dict[str, Run] = {**dict.fromkeys(STORIES, kill_client), "server": kill_server}

if __name__ == "__main__":
    at_each_step(RUNS)
