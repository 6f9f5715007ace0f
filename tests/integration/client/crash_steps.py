"""A program that kills itself before the n-th step of a write; run by `test_crash`.

Each line that it prints is a step's number, whether the write was over, and what is there
afterwards. A step is a statement of the database or a call on a file.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from parlour.client import vault_file
from parlour.client.keys import DatabaseKey
from parlour.client.store import LocalStore, local
from parlour.client.vault_file import PasswordLock
from parlour.conversation.changes import (
    Message,
    MessageState,
    Namespace,
    PutEntryHash,
    PutMessage,
    PutRecord,
)
from parlour.primitives.kdf import Argon2Cost

OLD, NEW = DatabaseKey(b"o" * 32), DatabaseKey(b"n" * 32)
MAX_STEPS = 60
Stepper = Callable[[], None]


def lock(password: str) -> PasswordLock:
    return PasswordLock(password, Argon2Cost(memory_kib=8, passes=1))


def changes(mark: bytes) -> list[Any]:
    message = Message(
        b"c" * 16, mark * 16, b"a" * 16, b"d" * 16, 1, 1, 1, MessageState.RECEIVED, mark
    )
    return [
        PutRecord(Namespace.DEVICE, b"", mark),
        PutRecord(Namespace.SESSIONS, b"peer", mark),
        PutMessage(message, undelivered=True),
        PutEntryHash(b"s" * 16, 1, mark),
    ]


def killer(number: int) -> Stepper:
    steps = 0

    def step(*_: object) -> None:
        nonlocal steps
        steps += 1
        if steps == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return step


async def write_store(folder: Path, step: Stepper) -> None:
    local.BATCHES_PER_TRUNCATION = 1  # type: ignore[misc]
    store = await LocalStore.open(folder / "store.db", OLD)
    await store._run(lambda connection: connection.set_trace_callback(step))
    await store.apply(changes(b"n"))
    await store.close()


async def prepare_store(folder: Path) -> None:
    store = await LocalStore.open(folder / "store.db", OLD)
    await store.apply(changes(b"o"))
    await store.close()


async def look_at_store(folder: Path) -> str:
    store = await LocalStore.open(folder / "store.db", OLD)
    records = await store.records()
    messages = {item.content for item in await store.undelivered(9)}
    hashed = await store.entry_hash(b"s" * 16, 1)
    found = {records[Namespace.DEVICE][b""], records[Namespace.SESSIONS][b"peer"], hashed or b""}
    found.add(b"n" if b"n" in messages else b"o")
    await store.close()
    return b"".join(sorted(found)).decode()


async def prepare_vault(folder: Path) -> None:
    vault_file.wrap(folder, OLD, lock("old"))


async def write_vault(folder: Path, step: Stepper) -> None:
    def stepping(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            step()
            return original(*args, **kwargs)

        return call

    for name in ("open", "fsync", "fdopen", "close"):
        setattr(os, name, stepping(getattr(os, name)))
    for name in ("unlink", "replace"):
        setattr(Path, name, stepping(getattr(Path, name)))
    vault_file.wrap(folder, NEW, lock("new"))


async def look_at_vault(folder: Path) -> str:
    for password, key in (("old", OLD), ("new", NEW)):
        try:
            if vault_file.unwrap(folder, password) == key:
                return password[0]
        except Exception:  # noqa: S112
            continue
    return "lost"


STORIES = {
    "store": (prepare_store, write_store, look_at_store),
    "vault": (prepare_vault, write_vault, look_at_vault),
}


def in_child(story: Coroutine[Any, Any, str | None]) -> int:
    """Fork, run, print what comes of it, and give the child's status. No thread runs here."""
    child = os.fork()
    if child == 0:
        try:
            print(asyncio.run(story) or "", end="", flush=True)
            os._exit(0)
        except BaseException as error:
            print("child failed:", repr(error), flush=True)
            os._exit(1)
    story.close()
    return os.waitpid(child, 0)[1]


def try_step(number: int, folder: Path) -> bool:
    """Prepare, write up to the step, and look; whether the write came to its end."""
    prepare, write, look = STORIES[sys.argv[1]]
    if in_child(prepare(folder)) != 0:
        sys.exit("preparing failed")
    status = in_child(write(folder, killer(number)))
    over = status == 0
    if not over and not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
        sys.exit(f"step {number}: status {status}")
    print(number, int(over), end=" ", flush=True)
    in_child(look(folder))
    print(flush=True)
    return over


def main() -> None:
    for number in range(1, MAX_STEPS):
        folder = Path(sys.argv[2]) / str(number)
        folder.mkdir()
        if try_step(number, folder):
            return
    sys.exit("never came to the end")


if __name__ == "__main__":
    main()
