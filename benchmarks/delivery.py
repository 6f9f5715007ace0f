"""Delivery between two connected clients on one machine, through a real server over TLS 1.3.

Three processes: a server with its durable store, a client that says numbered messages at a fixed
rate, and a client that reads them. A message's time runs from the call of `send` to the moment when
the other program holds the event: three commits to disk (sender, server, receiver), encryption
and decryption lie in between. `acknowledged` runs to the sequence number ("sent").

The floor is three durable commits of the same size, one after the other, on the same disk.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.record import FLOOR, OURS, Record, report
from parlour.client.client import Client
from parlour.client.workers import run
from parlour.conversation.content import Text
from parlour.conversation.events import MessageReceived, MessageSent
from parlour.server import Config, Server, create_invite

BENCH = "delivery"
PASSWORD = "a benchmark's password"  # noqa: S105
WARM_UP = 50


async def _serve(folder: Path) -> None:
    """The server's process: prints its port and an invite for each client, then serves."""
    config = Config(data=folder / "server", host="127.0.0.1", port=0, name="bench.test")
    async with Server(config, log_stream=sys.stderr) as server:
        for name in ("sender", "reader"):
            invite = await asyncio.to_thread(
                create_invite, server.config, host="127.0.0.1", port=server.port
            )
            await Client.register(folder / name, invite, name, PASSWORD)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def _read(folder: Path, count: int) -> None:
    """The reader's process: prints `number nanoseconds` of each message's arrival, at the end."""
    arrived: list[tuple[str, int]] = []
    async with Client.open(folder / "reader", PASSWORD) as client:
        await client.connected()
        print("ready", flush=True)
        async for event in client.events():
            if isinstance(event, MessageReceived) and isinstance(event.content, Text):
                arrived.append((event.content.text, time.monotonic_ns()))
                if len(arrived) == count:
                    break
    print(json.dumps(arrived), flush=True)


async def _send(folder: Path, count: int, rate: float) -> None:
    """The sender's process: says `count` messages at `rate` a second, prints when it did."""
    said: dict[str, tuple[int, int]] = {}
    waiting: dict[bytes, tuple[str, int]] = {}
    async with Client.open(folder / "sender", PASSWORD) as client:
        await client.connected()
        await client.contact("reader")

        async def acknowledge() -> None:
            async for event in client.events():
                if isinstance(event, MessageSent):
                    text, started = waiting.pop(event.message.message_id)
                    said[text] = (started, time.monotonic_ns())
                    if len(said) == count:
                        return

        watcher = asyncio.create_task(acknowledge())
        begin = time.monotonic()
        for number in range(count):
            await asyncio.sleep(max(0.0, begin + number / rate - time.monotonic()))
            text = f"message {number}"
            started = time.monotonic_ns()
            waiting[await client.send("reader", text)] = (text, started)
        await watcher
    print(json.dumps(said), flush=True)


def _start(role: str, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "benchmarks.delivery", "--role", role, str(folder), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if role == "server" else None,
        text=True,
    )


def _line(process: subprocess.Popen[str]) -> str:
    if process.stdout is None:
        raise RuntimeError("no output")
    return process.stdout.readline().strip()


def measure(count: int, rate: float) -> tuple[list[float], list[float]]:
    """Delivery and acknowledgement times in milliseconds, without the warm-up."""
    with tempfile.TemporaryDirectory(prefix="parlour-bench-") as name:
        folder = Path(name)
        server = _start("server", folder)
        _line(server)
        reader = _start("reader", folder, "--count", str(count))
        _line(reader)
        sender = _start("sender", folder, "--count", str(count), "--rate", str(rate))
        said = json.loads(_line(sender))
        arrived = dict(json.loads(_line(reader)))
        for process in (sender, reader, server):
            process.communicate()
    texts = [f"message {number}" for number in range(WARM_UP, count)]
    delivery = [(arrived[text] - said[text][0]) / 1e6 for text in texts]
    acknowledged = [(said[text][1] - said[text][0]) / 1e6 for text in texts]
    return delivery, acknowledged


def floor(runs: int) -> list[float]:
    """Three commits of one row, each to a database of its own, in milliseconds."""
    times = []
    with tempfile.TemporaryDirectory(prefix="parlour-bench-") as name:
        databases = []
        for number in range(3):
            database = sqlite3.connect(Path(name) / f"{number}.db", isolation_level=None)
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=FULL")
            database.execute("CREATE TABLE entries (data BLOB)")
            databases.append(database)
        for _ in range(runs):
            started = time.perf_counter_ns()
            for database in databases:
                database.execute("INSERT INTO entries VALUES (?)", (os.urandom(700),))
            times.append((time.perf_counter_ns() - started) / 1e6)
    return times


def _percentile(samples: Sequence[float], percent: float) -> float:
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def _records(op: str, subject: str, samples: Sequence[float]) -> list[Record]:
    return [
        Record(BENCH, f"{op}_{word}", 2, subject, round(value, 3), "ms", len(samples))
        for word, value in (
            ("p50", statistics.median(samples)),
            ("p99", _percentile(samples, 99)),
        )
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1050, help="messages, warm-up included")
    parser.add_argument("--rate", type=float, default=100.0, help="messages a second")
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--role", choices=("server", "sender", "reader"), help=argparse.SUPPRESS)
    parser.add_argument("folder", nargs="?", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role == "server":
        run(_serve(options.folder))
    elif options.role == "reader":
        run(_read(options.folder, options.count))
    elif options.role == "sender":
        run(_send(options.folder, options.count, options.rate))
    else:
        print(f"{options.count} messages at {options.rate:g} a second ...", flush=True)
        delivery, acknowledged = measure(options.count, options.rate)
        records = _records("delivery", OURS, delivery)
        records += _records("acknowledged", OURS, acknowledged)
        records += _records("delivery", FLOOR, floor(300))
        report(records, [], options.json)


if __name__ == "__main__":
    main()
