"""What programs that kill themselves at their n-th step are made of.

For n = 1, 2, 3, ... such a program begins with the same town, runs a process that kills itself at
its n-th step, then lets another one go on from the same folder, and prints one line of JSON with
what is there. A client's step is the begin or the end of a write to disk, of a request to the
server, or of taking pushes; a server's is the begin or the end of a commit. It ends with the n that
the process survives. `kill_runs` starts it and reads the lines.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import io
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO, TypeAlias
from unittest.mock import patch

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import parlour.client.connection as connections
from parlour.client import vault_file
from parlour.client.store import LocalStore
from parlour.primitives import aead
from parlour.server import Server
from parlour.server.store.sqlite.writer import Writer
from tests.town import Town

MAX_STEPS = 400
# Seconds; a child needs less than one, on a busy machine a few.
HANGS = 60
KILLED = -signal.SIGKILL
# What the processes of one run write line by line.
NOTES = ("returned", "shown", "nonces", "entries")

# Makes a process die at that step, and what comes after it; whether it died, and what else is told.
Run: TypeAlias = Callable[[Town, int], tuple[bool, dict[str, Any]]]


def at_each_step(runs: Mapping[str, Run]) -> None:
    """The program; its arguments: a story, a folder, a port, the first n, and the stride."""
    story, folder, port = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    first, stride = int(sys.argv[4]), int(sys.argv[5])
    for number in range(first, MAX_STEPS, stride):
        place = folder / f"run-{number}"
        shutil.copytree(folder / "town", place)
        for name in NOTES:
            (place / name).touch()
        killed, told = runs[story](Town(place, port), number)
        report(place, {"step": number, "killed": killed, **told})
        shutil.rmtree(place)
        if not killed:
            return
    sys.exit("it never came to its end")


def report(place: Path, told: dict[str, Any]) -> None:
    """Print what a run has come to."""
    notes = {name: (place / name).read_text().splitlines() for name in NOTES}
    pairs = notes.pop("nonces")
    found = json.loads((place / "found").read_text())
    counted = {"encrypted": len(pairs), "different": len(set(pairs))}
    print(json.dumps(found | notes | counted | told), flush=True)


def expect(status: int, wanted: int, what: str, number: int) -> None:
    """End the program where a child ended in another way than it should."""
    if status != wanted:
        sys.exit(f"step {number}: {what} ended with {status}")


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


@contextlib.contextmanager
def served(town: Town) -> Iterator[None]:
    """A server in a process of its own, from when it listens to when it is killed."""
    listens, tell = os.pipe()
    server = in_child(serve(town, tell=tell))
    os.close(tell)
    os.read(listens, 1)
    os.close(listens)
    try:
        yield
    finally:
        stop(server)


def finish(child: int) -> int:
    """The end of a child: its status, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def stop(child: int) -> None:
    """Kill a child that would go on for ever."""
    os.kill(child, signal.SIGKILL)
    finish(child)


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
