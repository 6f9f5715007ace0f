"""Networks, disks, clocks and servers that fail: nothing is lost, nothing is there twice."""

import asyncio
import random
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from websockets.asyncio.server import ServerConnection

from parlour.client import backoff
from parlour.client.account import Account
from parlour.client.client import Client
from parlour.conversation.events import MessageReceived, ServerRestored
from parlour.errors import Code, ExitCode, ParlourError
from parlour.wire.server import ServerInfo
from tests.integration.client.fakes import Identity, answer, make_identity, next_request, running
from tests.proxy import Proxy
from tests.town import PATIENCE, Town, history, next_texts, restored

DAY = 86_400_000


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Come back quickly after a cut."""
    monkeypatch.setattr(backoff, "FIRST_DELAY", 0.02)
    monkeypatch.setattr(backoff, "MAX_DELAY", 0.05)


@asynccontextmanager
async def open_through(town: Town, name: str, port: int) -> AsyncIterator[Client]:
    """Open a home and connect by another port."""
    async with town.open(name, connect=False) as client:
        client._link.account = replace(client._link.account, port=port)
        async with client._running(connect=True):
            yield client


async def collect(
    client: Client, count: int, after: Callable[[], None] = lambda: None
) -> list[str]:
    """Handle messages until so many were there."""
    found: list[str] = []
    async with asyncio.timeout(90), aclosing(client.events()) as events:
        async for event in events:
            if isinstance(event, MessageReceived):
                found.append(client.said(event.message).text)
                after()
            if len(found) == count:
                return found
    return found


# --- The network ---------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2])
async def test_cuts_at_random_lose_and_double_nothing(town: Town, seed: int) -> None:
    """200 messages both ways over a line that is cut after a random number of bytes, often."""
    choice = random.Random(seed)
    said = {name: [f"{name} {number}" for number in range(200)] for name in ("alice", "bob")}
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(town.serving())
        proxy = await stack.enter_async_context(Proxy(server.port).running())
        # Connections need some 5,000 bytes to begin; some die before that.
        proxy.budgets = [choice.randrange(500, 40_000) for _ in range(24)]
        alice = await stack.enter_async_context(open_through(town, "alice", proxy.port))
        bob = await stack.enter_async_context(open_through(town, "bob", proxy.port))
        await asyncio.gather(alice.contact("bob"), bob.contact("alice"))

        async def talk(client: Client, name: str, other: str) -> None:
            for text in said[name]:
                await client.send(other, text)
                if choice.random() < 0.02:
                    proxy.cut()

        heard_by_bob, heard_by_alice, *_ = await asyncio.gather(
            collect(bob, 200),
            collect(alice, 200),
            talk(alice, "alice", "bob"),
            talk(bob, "bob", "alice"),
        )
        assert heard_by_bob == said["alice"]
        assert heard_by_alice == said["bob"]
        await asyncio.gather(alice.sent(), bob.sent())
        assert proxy.connections > 10
        whole = await history(alice, "bob")
        assert sorted(whole) == sorted(said["alice"] + said["bob"])
        assert await history(bob, "alice") == whole


async def test_a_second_connection_of_the_same_device_takes_over(town: Town) -> None:
    """What a network that repeats a connection looks like: the newest one counts."""
    async with town.serving(), town.open("alice") as alice, town.open("bob") as bob:
        await alice.connected()
        stale = alice._link._connection
        alice._link._connection = None
        await bob.send("alice", "one")
        assert await next_texts(alice, 1) == ["one"]
        assert stale is not None
        await stale.close()
        await bob.send("alice", "two")
        assert await next_texts(alice, 1) == ["two"]


async def test_a_slow_line_is_only_slow(town: Town) -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(town.serving())
        proxy = await stack.enter_async_context(Proxy(server.port).running())
        proxy.delay, proxy.piece = 0.002, 100
        alice = await stack.enter_async_context(open_through(town, "alice", proxy.port))
        bob = await stack.enter_async_context(open_through(town, "bob", proxy.port))
        for number in range(5):
            await alice.send("bob", str(number))
        assert await collect(bob, 5) == [str(number) for number in range(5)]


async def test_two_people_write_to_each_other_first_at_the_same_moment(town: Town) -> None:
    async with town.serving(), town.open("alice") as alice, town.open("bob") as bob:
        await asyncio.gather(alice.connected(), bob.connected())
        await asyncio.gather(
            *(alice.send("bob", f"a{number}") for number in range(3)),
            *(bob.send("alice", f"b{number}") for number in range(3)),
        )
        got = await asyncio.gather(collect(bob, 3), collect(alice, 3))
        assert sorted(got[0]) == ["a0", "a1", "a2"]
        assert sorted(got[1]) == ["b0", "b1", "b2"]
        await asyncio.gather(alice.sent(), bob.sent())
        # And it goes on, whichever session won.
        await alice.send("bob", "more")
        await bob.send("alice", "and more")
        assert await asyncio.gather(collect(bob, 2), collect(alice, 2))
        assert await history(alice, "bob") == await history(bob, "alice")


async def test_two_thousand_messages_wait_and_come_in_order(
    town: Town, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = [f"message {number}" for number in range(2000)]
    async with town.serving():
        async with town.open("alice") as alice:
            await alice.contact("bob")
            async with asyncio.TaskGroup() as group:
                for text in expected:
                    group.create_task(alice.send("bob", text))
            await alice.sent()
        assert alice.waiting == 0
        began = time.perf_counter()
        async with town.open("bob") as bob:
            assert await collect(bob, 2000) == expected
            seconds = time.perf_counter() - began
            assert await history(bob, "alice") == expected
    with capsys.disabled():
        print(f"\n2,000 waiting messages: {seconds:.2f} s from opening the home to the last one")


# --- The home ------------------------------------------------------------------------------


async def test_of_two_copies_of_a_home_the_second_is_refused(town: Town) -> None:
    async with town.serving():
        async with town.open("alice") as alice:
            await alice.send("bob", "before")
            await alice.sent()
        shutil.copytree(town.home("alice"), town.folder / "copy")
        async with AsyncExitStack() as stack:
            alice = await stack.enter_async_context(town.open("alice"))
            await alice.send("bob", "from the first")
            await alice.sent()
            copy = await stack.enter_async_context(town.open("copy"))
            with pytest.raises(ParlourError) as caught:
                await copy.connected()
            assert caught.value.code is Code.DEVICE_COPIED
            assert caught.value.exit_code is ExitCode.SECURITY
            await copy.send("bob", "never leaves")
            with pytest.raises(ParlourError) as caught:
                await copy.sent()
            assert caught.value.code is Code.DEVICE_COPIED
            assert alice.failure is None
        async with town.open("bob") as bob:
            assert await next_texts(bob, 2) == ["before", "from the first"]
            assert len(await history(bob, "alice")) == 2


async def test_an_old_backup_of_a_home_is_refused(town: Town) -> None:
    async with town.serving():
        shutil.copytree(town.home("alice"), town.folder / "backup")
        for text in ("one", "two"):
            async with town.open("alice") as alice:
                await alice.send("bob", text)
                await alice.sent()
        async with town.open("backup") as backup:
            with pytest.raises(ParlourError) as caught:
                await backup.connected()
            assert caught.value.code is Code.DEVICE_COPIED
        async with town.open("alice") as alice:
            await alice.connected()


# --- Disks ---------------------------------------------------------------------------------


def limit_pages(client: Client, pages: int) -> Callable[[Any], None]:
    return lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}").fetchall()


async def test_a_full_disk_at_the_client_says_so_and_loses_nothing(town: Town) -> None:
    async with town.serving(), town.open("alice") as alice, town.open("bob") as bob:
        await alice.send("bob", "before")
        assert await next_texts(bob, 1) == ["before"]
        await alice.sent()
        await bob._home.store._run(limit_pages(bob, 1))
        await alice._home.store._run(limit_pages(alice, 1))

        async def say_a_lot() -> None:
            for number in range(500):
                await alice.send("bob", f"{number} " + "x" * 5000)

        with pytest.raises(ParlourError) as caught:
            await say_a_lot()
        assert caught.value.code is Code.STORE_FULL
        await alice._home.store._run(limit_pages(alice, 1 << 30))
        await alice.sent()
        for number in range(30):
            await alice.send("bob", f"{number} " + "y" * 5000)
        await alice.send("bob", "after")
        await alice.sent()
        said = await history(alice, "bob")
        assert said[-1] == "after"
        # Bob's disk fills up while they come, until there is room again.
        async with asyncio.timeout(PATIENCE):
            while bob._engine.trouble is None:
                seen = bob._engine.dropped.count
                await bob._engine.dropped.wait(seen)
        assert bob._engine.trouble.code is Code.STORE_FULL
        await bob._home.store._run(limit_pages(bob, 1 << 30))
        assert await collect(bob, len(said) - 1) == said[1:]
        assert await history(bob, "alice") == said


async def test_a_full_disk_at_the_server_says_so_and_loses_nothing(town: Town) -> None:
    async with town.serving() as server, town.open("alice") as alice, town.open("bob") as bob:
        await alice.send("bob", "before")
        await alice.sent()
        database = server.core.store.database  # type: ignore[attr-defined]

        def limit(pages: int) -> Callable[[Any], None]:
            return lambda connection: connection.execute(
                f"PRAGMA max_page_count = {pages}"
            ).fetchall()

        await database.write(limit(1))
        said = ["before"]
        async with asyncio.timeout(PATIENCE):
            while not alice._engine.blocked:
                # One at a time: of two under way, the second may find room that the first did not.
                said.append(f"{len(said)} " + "x" * 5000)
                await alice.send("bob", said[-1])
                seen = alice._engine.changed.count
                while alice.waiting and not alice._engine.blocked:
                    await alice._engine.changed.wait(seen)
                    seen = alice._engine.changed.count
        with pytest.raises(ParlourError) as caught:
            await alice.sent()
        assert caught.value.code is Code.STORE_FULL
        said.append("and one behind it")
        await alice.send("bob", said[-1])
        await database.write(limit(1 << 30))
        assert await collect(bob, len(said)) == said
        await alice.sent()
        assert await history(bob, "alice") == said


# --- Clocks --------------------------------------------------------------------------------


@pytest.mark.parametrize("days", [-3, 3])
async def test_a_clients_clock_that_jumps_loses_nothing(town: Town, days: int) -> None:
    async with town.serving(), town.open("alice") as alice, town.open("bob") as bob:
        real = alice._engine.clock
        await alice.send("bob", "before")
        await alice.sent()
        alice._engine.clock = lambda: real() + days * DAY
        alice._engine.changed.notify()
        await alice.send("bob", "jumped")
        await bob.send("alice", "answer")
        await alice.sent()
        assert await next_texts(bob, 2) == ["before", "jumped"]
        assert await next_texts(alice, 1) == ["answer"]
        alice._engine.clock = real
        await alice.send("bob", "back")
        assert await next_texts(bob, 1) == ["back"]
        assert await history(alice, "bob") == await history(bob, "alice")


@pytest.mark.parametrize("days", [-3, 3])
async def test_a_servers_clock_that_jumps_loses_nothing(town: Town, days: int) -> None:
    jumped = 0

    def clock() -> int:
        return time.time_ns() // 1_000_000 + jumped

    async with town.serving(clock=clock), town.open("alice") as alice, town.open("bob") as bob:
        await alice.send("bob", "before")
        await alice.sent()
        jumped = days * DAY
        await alice.send("bob", "jumped")
        await alice.sent()
        assert await next_texts(bob, 2) == ["before", "jumped"]
        assert await history(alice, "bob") == await history(bob, "alice")
        jumped = 0
        await bob.send("alice", "back")
        assert await next_texts(alice, 1) == ["back"]


# --- Servers -------------------------------------------------------------------------------


async def test_a_restored_server_is_noticed_and_gets_what_it_has_lost_next(town: Town) -> None:
    async with town.serving(), town.open("alice") as alice, town.open("bob") as bob:
        await alice.send("bob", "one")
        assert await next_texts(bob, 1) == ["one"]
        await alice.sent()
    shutil.copytree(town.config.data, town.folder / "backup")
    async with town.serving(), town.open("alice") as alice, town.open("bob") as bob:
        await alice.send("bob", "two")
        assert await next_texts(bob, 1) == ["two"]
        await alice.sent()
    shutil.rmtree(town.config.data)
    shutil.copytree(town.folder / "backup", town.config.data)
    restored(town.config.data)
    async with town.serving(), town.open("alice") as alice, town.open("bob") as bob:
        await asyncio.gather(alice.connected(), bob.connected())
        await alice.send("bob", "three")
        await alice.sent()
        wanted: set[type] = {ServerRestored, MessageReceived}
        async with asyncio.timeout(PATIENCE), aclosing(bob.events()) as events:
            async for event in events:
                wanted.discard(type(event))
                if not wanted:
                    break
        # "two" and "three" have the same number, in the data from before and after.
        assert sorted(await history(bob, "alice")) == ["one", "three", "two"]
        await bob.send("alice", "four")
        assert await next_texts(alice, 1) == ["four"]


Behaviour = Callable[[ServerConnection], Any]


async def garbage(socket: ServerConnection) -> None:
    await next_request(socket)
    await socket.send(b"\xff" * 100)
    await socket.wait_closed()


async def oversized(socket: ServerConnection) -> None:
    await next_request(socket)
    await socket.send(b"\x00" * (3 << 20))
    await socket.wait_closed()


async def text(socket: ServerConnection) -> None:
    await next_request(socket)
    await socket.send("hello")
    await socket.wait_closed()


async def another_name(socket: ServerConnection) -> None:
    frame, _ = await next_request(socket)
    info = ServerInfo("other.test", [1], "x", b"i" * 16, 1, "open", None)
    await answer(socket, frame.request_id, info)
    await socket.wait_closed()


@pytest.mark.parametrize(
    ("behave", "code", "final"),
    [
        (garbage, Code.SERVER_MISBEHAVED, False),
        (oversized, Code.SERVER_MISBEHAVED, False),
        (text, Code.SERVER_MISBEHAVED, False),
        (another_name, Code.SERVER_NAME, True),
    ],
)
async def test_a_server_that_breaks_the_protocol_is_named(
    town: Town, tmp_path: Path, behave: Behaviour, code: Code, final: bool
) -> None:
    identity = make_identity(tmp_path, "server")
    async with running(identity, behave) as server, town.open("alice", connect=False) as alice:
        alice._link.account = pointing_at(alice._link.account, server.address.port, identity)
        async with alice._running(connect=True):
            with pytest.raises(ParlourError) as caught:
                await alice.connected(timeout=1.0)
        assert caught.value.code is code
        assert (alice.failure is not None) is final
    async with town.serving(), town.open("alice") as alice:
        await alice.connected()


def pointing_at(account: Account, port: int, identity: Identity) -> Account:
    return replace(account, port=port, pins=(identity.pin,))


async def test_a_server_with_another_key_is_not_talked_to(town: Town, tmp_path: Path) -> None:
    async def never(socket: ServerConnection) -> None:
        raise AssertionError("it was talked to")

    async with (
        running(make_identity(tmp_path, "server"), never) as server,
        open_through(town, "alice", server.address.port) as alice,
    ):
        with pytest.raises(ParlourError) as caught:
            await alice.connected()
        assert caught.value.code is Code.SERVER_PIN
        assert caught.value.exit_code is ExitCode.SECURITY
