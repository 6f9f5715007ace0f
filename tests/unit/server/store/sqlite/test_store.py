"""Opening a store: its lock, its name, its schema."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest

from parlour.errors import Code, ParlourError
from parlour.server.store.sqlite import SqliteStore, migrations
from parlour.server.store.sqlite.database import connect
from parlour.server.store.sqlite.store import DATABASE_FILE

NAME = "parlour.example"


def modes_of(folder: Path) -> dict[str, int]:
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


async def test_name_and_incarnation_stay(tmp_path: Path) -> None:
    first = await SqliteStore.open(tmp_path, name=NAME)
    await first.close()
    again = await SqliteStore.open(tmp_path, name=NAME)
    assert (again.name, again.incarnation) == (NAME, first.incarnation)
    await again.close()
    with pytest.raises(ParlourError) as refusal:
        await SqliteStore.open(tmp_path, name="other.example")
    assert refusal.value.code == Code.USAGE_CONFIG
    # What was refused holds no lock.
    await (await SqliteStore.open(tmp_path, name=NAME)).close()


async def test_two_servers_never_share_a_folder(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path, name=NAME)
    with pytest.raises(ParlourError) as refusal:
        await SqliteStore.open(tmp_path, name=NAME)
    assert refusal.value.code == Code.STORE_LOCKED
    await store.close()


async def test_the_files_are_their_owners_alone(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path, name=NAME)
    modes = modes_of(tmp_path)
    assert set(modes.values()) == {0o600}
    assert DATABASE_FILE in modes
    await store.close()


async def test_what_is_no_database_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / DATABASE_FILE).write_bytes(b"not a database, but a letter" * 100)
    for _ in range(2):
        with pytest.raises(ParlourError) as refusal:
            await SqliteStore.open(tmp_path, name=NAME)
        assert refusal.value.code == Code.STORE_BROKEN


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    await (await SqliteStore.open(tmp_path, name=NAME)).close()
    connection = connect(tmp_path / DATABASE_FILE)
    connection.execute("PRAGMA user_version = 9999")
    connection.close()
    with pytest.raises(ParlourError) as refusal:
        await SqliteStore.open(tmp_path, name=NAME)
    assert refusal.value.code == Code.STORE_BROKEN


def test_migrations_are_numbered_without_gaps() -> None:
    numbers = [number for number, _ in migrations.migrations()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_migration_that_fails_leaves_no_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [
        (1, "CREATE TABLE a (x);"),
        (2, "CREATE TABLE b (x);\nINSERT INTO nowhere\nVALUES (1);"),
    ]
    monkeypatch.setattr(migrations, "migrations", lambda: steps)
    connection = connect(tmp_path / "test.db")
    with pytest.raises(sqlite3.Error):
        migrations.migrate(connection)
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master")]
    assert tables == ["a"]
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    steps[1] = (2, "CREATE TABLE b (x);")
    assert migrations.migrate(connection) == 2
    assert migrations.migrate(connection) == 2
    connection.close()


def test_connections_keep_what_they_acknowledge(tmp_path: Path) -> None:
    connection = connect(tmp_path / "test.db")
    settings = {
        name: connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "foreign_keys")
    }
    connection.close()
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
