"""A backup of one home, imported into others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from parlour.client import backup
from parlour.client.client import Client
from parlour.conversation.changes import MessageState
from parlour.errors import Code, ParlourError, UsageError
from tests.town import CHEAP, Town, history, next_texts

WORDS = "legal winner thank year wave sausage"


@pytest.fixture(autouse=True)
def _cheap() -> Iterator[None]:
    whole = backup.export_backup

    async def cheap(*arguments: object, **options: object) -> backup.Exported:
        return await whole(*arguments, **options, cost=CHEAP)  # type: ignore[arg-type]

    with patch.object(backup, "export_backup", cheap):
        yield


@pytest.fixture
async def talked(town: Town) -> Town:
    """Alice and Bob have said something, and one thing waits to be sent."""
    async with town.serving(), town.open("alice") as alice, town.open("bob") as bob:
        await alice.send("bob", "first")
        assert await next_texts(bob, 1) == ["first"]
        await bob.send("alice", "second")
        assert await next_texts(alice, 1) == ["second"]
        await alice.verify("bob", await alice.safety_number("bob"))
    async with town.open("alice", connect=False) as alice:
        await alice.send("bob", "waits")
    return town


async def exported(town: Town, name: str, file: Path) -> backup.Exported:
    async with town.open(name, connect=False) as client:
        found: backup.Exported = await client.export_backup(file, WORDS)
        return found


async def test_a_home_that_lost_its_messages_gets_them_back(talked: Town, tmp_path: Path) -> None:
    early = talked.copy(tmp_path / "early")
    file = tmp_path / "alice.backup"
    seen: list[tuple[int, int]] = []
    async with talked.open("alice", connect=False) as alice:
        with patch.object(backup, "PAGE", 2):
            made = await alice.export_backup(
                file, WORDS, progress=lambda done, total: seen.append((done, total))
            )
    assert (made.messages, made.left_out) == (2, 1)
    assert seen == [(2, 3), (3, 3)]
    assert b"first" not in file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o600
    async with early.open("alice", connect=False) as alice:
        await forget_messages(alice)
        assert await history(alice, "bob") == []
        with patch.object(backup, "PAGE", 1):
            done = await alice.import_backup(file, WORDS)
        assert (done.messages, done.new) == (2, 2)
        assert await history(alice, "bob") == ["first", "second"]
        assert await alice.unread() == [], "it was read before"
        again = await alice.import_backup(file, WORDS)
        assert (again.messages, again.new) == (2, 0)


async def forget_messages(client: Client) -> None:
    """What a new device of the account would not have."""
    store = client._home.store
    await store._run(lambda connection: connection.execute("DELETE FROM message"))


async def test_it_is_merged_with_what_is_there(talked: Town, tmp_path: Path) -> None:
    file = tmp_path / "alice.backup"
    await exported(talked, "alice", file)
    async with talked.serving(), talked.open("alice") as alice, talked.open("bob") as bob:
        await alice.sent()
        assert await next_texts(bob, 1) == ["waits"]
        await bob.send("alice", "later")
        assert await next_texts(alice, 1) == ["later"]
        done = await alice.import_backup(file, WORDS)
        assert done.new == 0
        assert await history(alice, "bob") == ["first", "second", "waits", "later"]
        page = await alice.history("bob")
        assert [said.state for said in page if said.mine] == [MessageState.SENT] * 2


async def test_it_is_of_one_account(talked: Town, tmp_path: Path) -> None:
    file = tmp_path / "alice.backup"
    await exported(talked, "alice", file)
    async with talked.open("bob", connect=False) as bob:
        with pytest.raises(UsageError, match="alice@home") as caught:
            await bob.import_backup(file, WORDS)
        assert caught.value.code is Code.BACKUP_OTHER


@pytest.mark.parametrize("cut", [1, 200])
async def test_a_damaged_one_changes_nothing(talked: Town, tmp_path: Path, cut: int) -> None:
    file = tmp_path / "alice.backup"
    await exported(talked, "alice", file)
    file.write_bytes(file.read_bytes()[:-cut])
    async with talked.open("alice", connect=False) as alice:
        await forget_messages(alice)
        with pytest.raises(ParlourError) as caught:
            await alice.import_backup(file, WORDS)
        assert caught.value.code is Code.BACKUP_DAMAGED
        assert await history(alice, "bob") == []
        with pytest.raises(ParlourError) as caught:
            await alice.import_backup(tmp_path / "nothing", WORDS)
        assert caught.value.code is Code.USAGE_INVALID


async def test_a_file_that_is_there_stays(talked: Town, tmp_path: Path) -> None:
    file = tmp_path / "alice.backup"
    file.write_text("something else")
    async with talked.open("alice", connect=False) as alice:
        with pytest.raises(UsageError, match="is there already"):
            await alice.export_backup(file, WORDS)
        with pytest.raises(UsageError):
            await alice.export_backup(tmp_path / "new", "")
        assert not names(tmp_path, "unfinished")
        assert file.read_text() == "something else"
        await alice.export_backup(file, WORDS, overwrite=True)
        assert (await alice.import_backup(file, WORDS)).new == 0


async def test_one_that_could_not_be_finished_leaves_nothing(talked: Town, tmp_path: Path) -> None:
    def fails(done: int, total: int) -> None:
        raise KeyboardInterrupt

    async with talked.open("alice", connect=False) as alice:
        with pytest.raises(KeyboardInterrupt):
            await alice.export_backup(tmp_path / "alice.backup", WORDS, progress=fails)
    assert not names(tmp_path, "backup")


def names(folder: Path, part: str) -> list[str]:
    return [path.name for path in folder.iterdir() if part in path.name]
