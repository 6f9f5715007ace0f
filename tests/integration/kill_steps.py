"""A program that kills clients or servers between any two steps; run by `test_kill_processes`.

For n = 1, 2, 3, ... it begins with the same town, runs a process that kills itself at its n-th
step, then lets another one go on from the same folder, and prints one line of JSON with what is
there. A client's step is the begin or the end of a write to disk, of a request to the server, or
of taking pushes; a server's is the begin or the end of a commit. It ends with the n that the
process survives.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import functools
import io
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TextIO
from unittest.mock import patch

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import parlour.client.connection as connections
from parlour.client import backoff, login, vault_file
from parlour.client.change_password import change_password
from parlour.client.client import Client
from parlour.client.joining import join_by_passphrase
from parlour.client.passwords import opens
from parlour.client.recovery import drill, place_at
from parlour.client.recovery import recover as recover_home
from parlour.client.store import LocalStore
from parlour.conversation.events import MessageReceived, MessageSent
from parlour.errors import Code, ParlourError
from parlour.identity.recovery import RecoveryKey
from parlour.login import stretch
from parlour.primitives import aead
from parlour.server import Server
from parlour.server.store.sqlite.writer import Writer
from tests.entries import note_entries
from tests.town import CHEAP, PASSWORD, Town, cheap_homes, texts

SAID = ["one", "two", "three"]
NEW_PASSWORD = "a new password"
PAPER = RecoveryKey(bytes(range(16)))
PASSPHRASE = "abacus abdomen abdominal abide abiding ability"
MAX_STEPS = 400
# Seconds; a child needs less than one, on a busy machine a few.
HANGS = 60


def main() -> None:
    story, folder, port = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    first, stride = int(sys.argv[4]), int(sys.argv[5])
    for number in range(first, MAX_STEPS, stride):
        place = folder / f"run-{number}"
        shutil.copytree(folder / "town", place)
        for name in ("returned", "shown", "nonces", "entries"):
            (place / name).touch()
        town = Town(place, port, lone_vaults="yes" if story == "join" else "no")
        killed = RUNS[story](town, number)
        report(place, number, killed=killed)
        shutil.rmtree(place)
        if not killed:
            return
    sys.exit("it never came to its end")


def kill_client(town: Town, number: int) -> bool:
    """Run a client that dies at that step, and another one after it; whether it died."""
    server = start_server(town)
    status = finish(in_child(STORIES[sys.argv[1]](town, number)))
    if status not in (0, -signal.SIGKILL):
        os.kill(server, signal.SIGKILL)
        sys.exit(f"step {number}: the client ended with {status}")
    second = finish(in_child(AFTER.get(sys.argv[1], look)(town)))
    os.kill(server, signal.SIGKILL)
    finish(server)
    if second != 0:
        sys.exit(f"step {number}: the second client failed")
    return status != 0


def kill_server(town: Town, number: int) -> bool:
    """Run a server that dies at that step of its store while people talk; whether it died."""
    server = in_child(serve(town, number))
    people = in_child(talk(town))
    ended, status = os.wait()
    killed = ended == server
    if not killed:
        os.kill(server, signal.SIGKILL)
        finish(server)
    server = in_child(serve(town))
    if killed:
        ended, status = os.waitpid(people, 0)
    looked = finish(in_child(look(town))) if status == 0 else 1
    os.kill(server, signal.SIGKILL)
    finish(server)
    if looked != 0:
        sys.exit(f"step {number}: people ended with {status}, or the look after them failed")
    return killed


def report(place: Path, number: int, *, killed: bool) -> None:
    pairs = (place / "nonces").read_text().split()
    found = json.loads((place / "found").read_text())
    found |= {
        "step": number,
        "killed": killed,
        "returned": (place / "returned").read_text().splitlines(),
        "shown": (place / "shown").read_text().splitlines(),
        "entries": (place / "entries").read_text().splitlines(),
        "encrypted": len(pairs),
        "different": len(set(pairs)),
    }
    print(json.dumps(found), flush=True)


# --- Processes -----------------------------------------------------------------------------


def in_child(story: Coroutine[Any, Any, None]) -> int:
    """Fork, and run the story there. No thread runs here."""
    child = os.fork()
    if child == 0:
        status = 1
        # One that hangs says where, and ends.
        faulthandler.dump_traceback_later(HANGS, exit=True)
        try:
            asyncio.run(story)
            status = 0
        except BaseException:
            # Nobody else would hear of it.
            traceback.print_exc()
        finally:
            os._exit(status)
    story.close()
    return child


def start_server(town: Town) -> int:
    """Fork a server; return when it listens."""
    listens, tell = os.pipe()
    server = in_child(serve(town, tell=tell))
    os.close(tell)
    os.read(listens, 1)
    os.close(listens)
    return server


def finish(child: int) -> int:
    """The end of a child: its status, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


# --- Stories -------------------------------------------------------------------------------


async def serve(town: Town, number: int = 0, tell: int | None = None) -> None:
    if number:
        steps = stepper(number)
        Writer._commit_together = around_call(  # type: ignore[method-assign]
            steps, Writer._commit_together
        )
    async with Server(town.config, log_stream=io.StringIO()):
        if tell is not None:
            os.write(tell, b"!")
        await asyncio.Event().wait()


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
RUNS = {
    "send": kill_client,
    "receive": kill_client,
    "register": kill_client,
    "password": kill_client,
    "theft": kill_client,
    "recover": kill_client,
    "join": kill_client,
    "server": kill_server,
}


# --- Instruments ---------------------------------------------------------------------------


def killer(number: int) -> None:
    """Kill this process at its n-th step."""
    step = stepper(number)
    LocalStore._apply = around_call(step, LocalStore._apply)  # type: ignore[method-assign]
    LocalStore.mark_delivered = around(  # type: ignore[method-assign]
        step, LocalStore.mark_delivered
    )
    vault_file.wrap = around_call(step, vault_file.wrap)
    for name in ("request", "next_pushes"):
        original = getattr(connections.Connection, name)
        setattr(connections.Connection, name, around(step, original))


def stepper(number: int) -> Callable[[], None]:
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return step


def around(step: Callable[[], None], original: Any) -> Any:
    async def call(*args: Any, **kwargs: Any) -> Any:
        step()
        result = await original(*args, **kwargs)
        step()
        return result

    return call


def around_call(step: Callable[[], None], original: Any) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        step()
        result = original(*args, **kwargs)
        step()
        return result

    return call


@contextlib.contextmanager
def record(town: Town, name: str) -> Any:
    """Lines that outlive this process."""
    with (town.folder / name).open("a", buffering=1) as file:
        yield lambda text: file.write(text + "\n")


@contextlib.contextmanager
def nonces(town: Town) -> Any:
    """Note each key and nonce that is encrypted under, before it is."""
    with (
        (town.folder / "nonces").open("a", buffering=1) as file,
        patch.object(aead, "AESGCM", lambda key: _Cipher(key, file)),
    ):
        yield


class _Cipher:
    def __init__(self, key: bytes, file: TextIO) -> None:
        self._key = key
        self._cipher = AESGCM(key)
        self._file = file

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        self._file.write((self._key + nonce).hex() + "\n")
        return self._cipher.encrypt(nonce, data, associated_data)

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        return self._cipher.decrypt(nonce, data, associated_data)


if __name__ == "__main__":
    main()
