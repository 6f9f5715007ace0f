"""A client publishes its key packages on a real server, without anybody waiting for it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from parlour.client.client import Client
from parlour.conversation.key_packages import SUPPLY
from tests.integration.running import PASSWORD, People, ServerProcess


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path / "server") as running:
        yield running


def published(server: ServerProcess) -> dict[int, tuple[int, int]]:
    """How many the server has of each suite: for a single use, and last resorts."""
    (file,) = server.data.glob("*.db")
    with sqlite3.connect(file) as connection:
        rows = connection.execute(
            "SELECT suite, sum(last_resort = 0), sum(last_resort) FROM key_packages GROUP BY suite"
        ).fetchall()
    connection.close()
    return {suite: (single, last_resorts) for suite, single, last_resorts in rows}


async def publish_all(home: Path) -> None:
    """Be online until everything is published."""
    async with Client.open(home, PASSWORD) as client:
        packages = client._engine.machine._key_packages

        def is_done() -> bool:
            busy = packages._upload or any(packages._wanted.values())
            return packages._is_counted and not busy

        await client._until(is_done, 30, client._engine.changed)


def test_key_packages_are_published_while_one_is_online(
    tmp_path: Path, server: ServerProcess
) -> None:
    people = People(tmp_path)
    people.register(server.invite(), ["anna"])
    # A command that is over in a moment may be done before all are there, and need not wait.
    people.call("anna", "inbox")
    asyncio.run(publish_all(tmp_path / "anna"))
    after = published(server)
    assert {suite: last_resorts for suite, (_, last_resorts) in after.items()} == dict.fromkeys(
        SUPPLY, 1
    )
    assert all(after[suite][0] >= SUPPLY[suite] // 2 for suite in SUPPLY)
