"""Kill it, fill its disk, start it again: what was acknowledged is there, and nothing twice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from parlour.errors import Code, ParlourError
from parlour.server import Config, Server
from parlour.wire.kinds import Kind
from parlour.wire.streams import (
    Append,
    Appended,
    CatchUp,
    CaughtUp,
    LiveStart,
    LiveStarted,
    Page,
    Position,
    Read,
)

from .people import Person, decode_answer, message, open_socket, register

WINDOW = 64
KILL_AFTER = 200
RUN = """
import asyncio, sys
from pathlib import Path
from parlour.server import Config, Server

async def main():
    config = Config(data=Path(sys.argv[1]), host="127.0.0.1", port=0, name="parlour.example",
                    registration="open", limits=1000.0)
    async with Server(config) as server:
        print(server.port, server.pin.hex(), flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@dataclass
class _Identity:
    name: str


@dataclass
class _Core:
    identity: _Identity


@dataclass
class Remote:
    """A server in another process, as far as people need to know it."""

    process: asyncio.subprocess.Process
    port: int
    pin: bytes
    core: Any

    @classmethod
    async def start(cls, data: Path) -> Remote:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            RUN,
            str(data),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert process.stdout is not None
        port, pin = (await process.stdout.readline()).split()
        core = _Core(_Identity("parlour.example"))
        return cls(process, int(port), bytes.fromhex(pin.decode()), core)

    async def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()


async def test_killed_while_it_appends(tmp_path: Path) -> None:
    """Acknowledged entries survive; sending the rest again stores each once."""
    remote: Any = await Remote.start(tmp_path / "data")
    acknowledged: dict[bytes, int] = {}
    requests: list[Append] = []
    try:
        alice, bea = await register(remote, "alice", "bea")
        info = await alice.talk_to(bea)
        requests = [message(info.stream, b"%d" % n, bea) for n in range(1000)]
        async with alice.live() as socket:
            # So many are under way at any time that the kill meets some in every state.
            under_way = deque(socket.send(Kind.APPEND, each) for each in requests[:WINDOW])
            for request in [*requests[WINDOW:], *[None] * WINDOW]:
                with contextlib.suppress(ConnectionError):
                    appended = decode_answer(await under_way.popleft(), Appended)
                    acknowledged[appended.client_id] = appended.seq
                if len(acknowledged) == KILL_AFTER and remote.process.returncode is None:
                    remote.process.send_signal(signal.SIGKILL)
                if request is not None:
                    under_way.append(socket.send(Kind.APPEND, request))
        await remote.process.wait()
        assert KILL_AFTER <= len(acknowledged) < len(requests)
        remote = await Remote.start(tmp_path / "data")
        alice.server = bea.server = remote
        async with alice.live() as socket:
            again = [
                decode_answer(await answer, Appended)
                for answer in [socket.send(Kind.APPEND, request) for request in requests]
            ]
        found = await read_all(bea, info.stream)
    finally:
        await remote.kill()
    assert [each.seq for each in found] == list(range(1, len(requests) + 1))
    numbers = {each.client_id: each.seq for each in found}
    assert len(numbers) == len(requests)
    assert acknowledged.items() <= numbers.items()
    repeated = {each.client_id for each in again if each.repeated}
    assert acknowledged.keys() <= repeated
    assert all(each.part == b"for bea" for each in found)


async def read_all(person: Person, stream: bytes) -> list[Any]:
    found: list[Any] = []
    more = True
    while more:
        after = found[-1].seq if found else 0
        page = await person.rest(Kind.READ, Read(stream, after, 500), Page)
        found += page.entries
        more = page.more
    return found


async def test_started_again_it_goes_on(config: Config) -> None:
    async with Server(config) as first:
        alice, bea = await register(first, "alice", "bea")
        info = await alice.talk_to(bea)
        await alice.say(info.stream, b"before", bea)
        async with bea.live():
            pass
        pin, incarnation = first.pin, first.core.store.incarnation
    async with Server(config) as second:
        assert (second.pin, second.core.store.incarnation) == (pin, incarnation)
        alice.server = bea.server = second
        async with open_socket(second, "/v1/live", bea.token) as socket:
            request = LiveStart(bea.ticket, os.urandom(16), [Position(info.stream, 0)])
            started = await socket.ask(Kind.LIVE_START, request, LiveStarted)
            assert [each.envelope.body for each in started.entries] == [b"before"]
        await alice.log_in()
        assert (await alice.say(info.stream, b"after")).seq == 2


async def test_a_full_disk_is_told_and_overcome(server: Server) -> None:
    alice, bea = await register(server, "alice", "bea")
    info = await alice.talk_to(bea)
    await alice.say(info.stream, b"before")
    database = server.core.store.database  # type: ignore[attr-defined]

    def bound(extra: int) -> Any:
        def change(connection: Any) -> None:
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            connection.execute(f"PRAGMA max_page_count = {pages + extra}")

        return change

    await database.write(bound(2))
    large = message(info.stream, b"x" * 100_000)
    async with alice.live() as socket:
        for _ in range(2):
            with pytest.raises(ParlourError) as refusal:
                await socket.ask(Kind.APPEND, large, Appended)
            assert refusal.value.code == Code.STORE_FULL
        await database.write(bound(1000))
        assert (await socket.ask(Kind.APPEND, large, Appended)).seq == 2
    caught = await bea.rest(Kind.CATCH_UP, CatchUp([]), CaughtUp)
    assert [each.seq for each in caught.entries] == [1, 2]


async def test_two_servers_never_use_one_folder(server: Server, config: Config) -> None:
    with pytest.raises(ParlourError) as refusal:
        await Server(config).start()
    assert refusal.value.code == Code.STORE_LOCKED


async def test_a_start_that_fails_gives_everything_back(config: Config) -> None:
    async with Server(config) as running:
        taken = replace(config, data=config.data.parent / "other", port=running.port)
        for _ in range(2):
            with pytest.raises(ParlourError) as refusal:
                await Server(taken).start()
            assert refusal.value.code == Code.NETWORK_UNREACHABLE


SERVE = """
import sys
from parlour.server import load_config, serve

config = load_config(None, {}, {"data": sys.argv[1], "port": 0, "host": "127.0.0.1"})
serve(config, lambda server: print(server.port, flush=True))
"""


async def test_told_to_end_it_ends(tmp_path: Path) -> None:
    for told in (signal.SIGTERM, signal.SIGINT):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            SERVE,
            str(tmp_path / "data"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        assert int(await process.stdout.readline()) > 0
        assert b'"event": "started"' in await process.stderr.readline()
        process.send_signal(told)
        async with asyncio.timeout(10):
            rest = await process.stderr.read()
        assert (await process.wait(), rest) == (0, b"")
