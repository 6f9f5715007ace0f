"""What is slow never runs on the event loop's thread, and the loop is never held up."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import parlour.client.login as login_module
from parlour.client import files, new_device, vault_file
from parlour.client.client import Client
from parlour.client.store import LocalStore, local, messages
from parlour.login import ClientLogin, ClientRegistration
from tests.town import PASSWORD, PATIENCE, Town, next_texts

# Milliseconds on a free machine; on one that others use, what the loop itself used of the CPU.
LONGEST = 100.0


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[int]]:
    """Which threads each slow thing ran on."""
    threads: dict[str, set[int]] = {}

    def watch(owner: Any, name: str, label: str) -> None:
        original: Callable[..., Any] = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            threads.setdefault(label, set()).add(threading.get_ident())
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, call)

    watch(login_module, "stretch", "Argon2id of the password")
    watch(vault_file, "argon2id", "Argon2id of the home")
    watch(ClientRegistration, "start", "OPAQUE")
    watch(ClientRegistration, "finish", "OPAQUE")
    watch(ClientLogin, "start", "OPAQUE")
    watch(ClientLogin, "finish", "OPAQUE")
    watch(new_device, "make_device", "a device's keys")
    watch(vault_file, "wrap", "files")
    watch(vault_file, "unwrap", "files")
    watch(files, "write_atomic", "files")
    watch(local, "open_database", "the store")
    watch(LocalStore, "_apply", "the store")
    watch(messages, "list_undelivered", "the store")
    watch(messages, "list_messages", "the store")
    watch(local, "_mark_delivered", "the store")
    return threads


class Heart:
    """Beats on the loop; the longest pause, and the CPU time that the loop used in it, in ms."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def beat(self) -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.002)
            self.longest = max(self.longest, (time.thread_time() - before) * 1000)


async def test_nothing_slow_runs_on_the_event_loop(
    town: Town, seen: dict[str, set[int]], tmp_path: Path
) -> None:
    heart = Heart()
    async with town.serving(), contextlib.AsyncExitStack() as stack:
        # What the first call of anything has to import or build is not what is measured.
        async with town.open("carol") as carol:
            await carol.connected()
        beating = asyncio.create_task(heart.beat())
        await Client.register(tmp_path / "dora", await town.invite(), "dora", PASSWORD)
        await Client.log_in(tmp_path / "dora", PASSWORD)
        dora = await stack.enter_async_context(Client.open(tmp_path / "dora", PASSWORD))
        bob = await stack.enter_async_context(town.open("bob"))
        async with asyncio.timeout(PATIENCE):
            for number in range(20):
                await dora.send("bob", str(number))
            assert len(await next_texts(bob, 20)) == 20
            await bob.send("dora", "back")
            assert await next_texts(dora, 1) == ["back"]
            await dora.history("bob")
        beating.cancel()
    assert set(seen) == {
        "Argon2id of the password",
        "Argon2id of the home",
        "OPAQUE",
        "a device's keys",
        "files",
        "the store",
    }
    for what, threads in seen.items():
        assert threading.get_ident() not in threads, what
    assert heart.longest < LONGEST
