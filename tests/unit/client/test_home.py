import asyncio
import errno
import importlib
import json
import os
import stat
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

from parlour.client import files, home, keychain, lock, vault_file
from parlour.client.home import Home, KeychainLock, PasswordLock
from parlour.client.keys import DatabaseKey, SessionToken, WrappingKey
from parlour.conversation.changes import Namespace, PutRecord
from parlour.errors import AccessError, Code, ParlourError, PeerError, StorageError, UsageError
from parlour.primitives.kdf import Argon2Cost

CHEAP = Argon2Cost(memory_kib=8, passes=1)
PASSWORD = "canary horse battery staple"
LOCK = PasswordLock(PASSWORD, CHEAP)
KEY = DatabaseKey(b"canary-key-of-thirty-two-bytes!!")


class FakeBackend:
    priority = 1
    items: ClassVar[dict[tuple[str, str], str]] = {}

    def get_password(self, service: str, item: str) -> str | None:
        return self.items.get((service, item))

    def set_password(self, service: str, item: str, password: str) -> None:
        self.items[service, item] = password

    def delete_password(self, service: str, item: str) -> None:
        del self.items[service, item]


class AbsentBackend(FakeBackend):
    @property
    def priority(self) -> int:  # type: ignore[override]
        raise RuntimeError("never asked: it is looked up on the class")

    def __init__(self) -> None:
        raise RuntimeError("no daemon")


class MuteBackend(FakeBackend):
    def get_password(self, service: str, item: str) -> str | None:
        raise RuntimeError("locked")

    def set_password(self, service: str, item: str, password: str) -> None:
        raise RuntimeError(f"refused {password}")


class ForgetfulBackend(FakeBackend):
    def set_password(self, service: str, item: str, password: str) -> None:
        self.items[service, item] = "AAAA" * 10 + "AAA="

    def delete_password(self, service: str, item: str) -> None:
        raise RuntimeError("refused")


@pytest.fixture
def keychains(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], str]:
    module = ModuleType("backends_of_this_test")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for kind in (FakeBackend, AbsentBackend, MuteBackend, ForgetfulBackend):
        setattr(module, kind.__name__, kind)
        monkeypatch.setitem(keychain.BACKENDS, kind.__name__, f"{module.__name__}.{kind.__name__}")
    FakeBackend.items.clear()
    return FakeBackend.items


def names(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


def edit(folder: Path, **fields: Any) -> None:
    path = folder / vault_file.VAULT_NAME
    content = json.loads(path.read_text())
    for name, value in fields.items():
        target = content if name in content else content["lock"]
        target[name] = value
    path.write_text(json.dumps(content))


def code_of(caught: pytest.ExceptionInfo[ParlourError]) -> Code:
    return caught.value.code


def test_a_vault_opens_with_its_password_only(tmp_path: Path) -> None:
    vault_file.wrap(tmp_path, KEY, LOCK)
    assert vault_file.unwrap(tmp_path, PASSWORD) == KEY
    for wrong in (PASSWORD + " ", "", None, "a\x00b"):
        with pytest.raises(AccessError) as caught:
            vault_file.unwrap(tmp_path, wrong)
        assert code_of(caught) is Code.STORE_PASSWORD


def test_two_spellings_of_one_password_open(tmp_path: Path) -> None:
    vault_file.wrap(tmp_path, KEY, PasswordLock("caf\u00e9 x", CHEAP))
    assert vault_file.unwrap(tmp_path, "cafe\u0301 x") == KEY


def test_the_default_cost_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    costs: list[Argon2Cost] = []

    def derive(password: bytes, *, salt: bytes, cost: Argon2Cost) -> bytes:
        costs.append(cost)
        return bytes(32)

    monkeypatch.setattr(vault_file, "argon2id", derive)
    vault_file.wrap(tmp_path, KEY, PasswordLock(PASSWORD))
    content = json.loads((tmp_path / "vault.json").read_text())
    assert costs == [Argon2Cost(memory_kib=131072, passes=3, lanes=1)]
    assert content["lock"]["memory_kib"] == 131072
    assert content["lock"]["passes"] == 3
    vault_file.unwrap(tmp_path, PASSWORD)
    assert costs[1] == costs[0]


def test_salt_and_nonce_are_fresh(tmp_path: Path) -> None:
    vaults = []
    for _ in range(2):
        vault_file.wrap(tmp_path, KEY, LOCK)
        vaults.append(json.loads((tmp_path / "vault.json").read_text()))
    assert vaults[0]["lock"]["salt"] != vaults[1]["lock"]["salt"]
    assert vaults[0]["nonce"] != vaults[1]["nonce"]


@pytest.mark.parametrize(
    "fields",
    [
        {"memory_kib": 16},
        {"passes": 2},
        {"salt": "00" * 16},
        {"salt": ""},
        {"lanes": 2},
        {"nonce": "00" * 12},
        {"wrapped": "00" * 48},
        {"wrapped": ""},
    ],
)
def test_a_changed_field_does_not_open(tmp_path: Path, fields: dict[str, Any]) -> None:
    vault_file.wrap(tmp_path, KEY, LOCK)
    edit(tmp_path, **fields)
    with pytest.raises(AccessError) as caught:
        vault_file.unwrap(tmp_path, PASSWORD)
    assert code_of(caught) is Code.STORE_PASSWORD


@pytest.mark.parametrize(
    "fields",
    [
        {"memory_kib": (1 << 20) + 1},
        {"memory_kib": 1 << 20, "passes": 5},
        {"passes": 17},
        {"lanes": 9},
        {"passes": 0},
        {"memory_kib": "8"},
        {"format": 2},
        {"nonce": "0g"},
        {"nonce": "000"},
        {"nonce": "00"},
        {"wrapped": "00" * 200},
    ],
)
def test_a_file_that_asks_for_too_much_is_refused_before_any_work(
    tmp_path: Path, fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    vault_file.wrap(tmp_path, KEY, LOCK)
    edit(tmp_path, **fields)
    if "nonce" not in fields:
        monkeypatch.setattr(vault_file, "argon2id", None)
    with pytest.raises(StorageError) as caught:
        vault_file.unwrap(tmp_path, PASSWORD)
    assert code_of(caught) is Code.STORE_BROKEN


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"[" * 3000, b" " * 5000])
def test_a_damaged_file_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "vault.json").write_bytes(data)
    with pytest.raises(StorageError) as caught:
        vault_file.unwrap(tmp_path, PASSWORD)
    assert code_of(caught) is Code.STORE_BROKEN


def test_the_keychain_holds_the_key(tmp_path: Path, keychains: dict[tuple[str, str], str]) -> None:
    vault_file.wrap(tmp_path, KEY, KeychainLock("FakeBackend"))
    assert len(keychains) == 1
    assert vault_file.unwrap(tmp_path) == KEY
    ((service, item),) = keychains
    assert service == "parlour"
    assert vault_file.keychain_item(tmp_path) == ("FakeBackend", item)
    keychains[service, item] = "no base64"
    with pytest.raises(AccessError, match="damaged") as caught:
        vault_file.unwrap(tmp_path)
    assert code_of(caught) is Code.STORE_KEYCHAIN
    keychains.clear()
    with pytest.raises(AccessError, match="holds no key"):
        vault_file.unwrap(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "null",
        "keyring.backends.null.Keyring",
        "keyring.backends.chainer.ChainerBackend",
        "keyring.backends.fail.Keyring",
        "keyrings.alt.file.PlaintextKeyring",
    ],
)
def test_only_keychains_that_encrypt_are_known(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="secret-service"):
        vault_file.wrap(tmp_path, KEY, KeychainLock(name))
    assert not (tmp_path / "vault.json").exists()


def test_every_known_keychain_exists_in_the_package() -> None:
    for name in keychain.BACKENDS:
        module, _, kind = keychain.BACKENDS[name].rpartition(".")
        assert isinstance(getattr(importlib.import_module(module), kind), type)


@pytest.mark.parametrize("name", ["AbsentBackend", "MuteBackend", "ForgetfulBackend", "macos"])
def test_a_keychain_that_keeps_nothing_makes_no_home(
    tmp_path: Path, keychains: dict[tuple[str, str], str], name: str
) -> None:
    with pytest.raises(AccessError) as caught:
        vault_file.wrap(tmp_path, KEY, KeychainLock(name))
    assert code_of(caught) is Code.STORE_KEYCHAIN
    assert not (tmp_path / "vault.json").exists()


def test_a_key_is_deleted_from_the_keychain(keychains: dict[tuple[str, str], str]) -> None:
    opened = keychain.Keychain.open("FakeBackend")
    opened.set("item", WrappingKey(bytes(32)))
    opened.delete("item")
    opened.delete("item")
    assert keychains == {}
    forgetful = keychain.Keychain.open("ForgetfulBackend")
    keychains["parlour", "item"] = "x"
    with pytest.raises(AccessError, match="deletes no key"):
        forgetful.delete("item")


async def test_a_home_is_made_opened_and_locked(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "home"
    made = await Home.create(folder, LOCK)
    await made.store.apply([PutRecord(Namespace.DEVICE, b"", b"kept")])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in names(folder):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    for attempt in (Home.open(folder, PASSWORD), Home.create(folder, LOCK)):
        with pytest.raises(StorageError) as caught:
            await attempt
        assert code_of(caught) is Code.STORE_LOCKED
    await made.close()
    await made.close()
    assert await Home.keychain_of(folder) is None
    again = await Home.open(folder, PASSWORD)
    assert (await again.store.records())[Namespace.DEVICE] == {b"": b"kept"}
    await again.close()


async def test_a_refused_opening_leaves_the_home_unlocked(tmp_path: Path) -> None:
    await (await Home.create(tmp_path, LOCK)).close()
    with pytest.raises(AccessError) as caught:
        await Home.open(tmp_path, "wrong")
    assert code_of(caught) is Code.STORE_PASSWORD
    with pytest.raises(UsageError) as exists:
        await Home.create(tmp_path, LOCK)
    assert code_of(exists) is Code.HOME_EXISTS
    await (await Home.open(tmp_path, PASSWORD)).close()


async def test_a_missing_home_is_named_and_not_made(tmp_path: Path) -> None:
    for missing in (tmp_path, tmp_path / "nowhere"):
        for attempt in (Home.open(missing, PASSWORD), Home.keychain_of(missing)):
            with pytest.raises(UsageError) as caught:
                await attempt
            assert code_of(caught) is Code.HOME_MISSING
    assert names(tmp_path) == []


async def test_a_home_without_vault_is_made_anew(tmp_path: Path) -> None:
    await (await Home.create(tmp_path, LOCK)).close()
    (tmp_path / "vault.json").unlink()
    made = await Home.create(tmp_path, LOCK)
    assert (await made.store.records())[Namespace.DEVICE] == {}
    await made.close()


async def test_the_lock_of_a_home_is_changed(
    tmp_path: Path, keychains: dict[tuple[str, str], str]
) -> None:
    made = await Home.create(tmp_path, LOCK)
    with pytest.raises(AccessError):
        await made.change_lock(KeychainLock("FakeBackend"), password="wrong")
    assert keychains == {}
    await made.change_lock(KeychainLock("FakeBackend"), password=PASSWORD)
    await made.close()
    assert await Home.keychain_of(tmp_path) == "FakeBackend"
    opened = await Home.open(tmp_path)
    await opened.change_lock(PasswordLock("new", CHEAP))
    assert keychains == {}
    await opened.close()
    await (await Home.open(tmp_path, "new")).close()


async def test_a_discarded_home_is_gone(
    tmp_path: Path, keychains: dict[tuple[str, str], str]
) -> None:
    made = await Home.create(tmp_path, KeychainLock("FakeBackend"))
    await made.discard()
    assert names(tmp_path) == ["lock"]
    assert keychains == {}
    await (await Home.create(tmp_path, LOCK)).close()


async def test_a_cancelled_opening_leaves_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await Home.create(tmp_path, LOCK)).close()
    begun, go_on = threading.Event(), threading.Event()
    acquire = lock.HomeLock.acquire

    def slowly(folder: Path) -> lock.HomeLock:
        begun.set()
        go_on.wait()
        return acquire(folder)

    monkeypatch.setattr(lock.HomeLock, "acquire", slowly)
    task = asyncio.ensure_future(Home.open(tmp_path, PASSWORD))
    await asyncio.to_thread(begun.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    others = asyncio.all_tasks() - {asyncio.current_task()}
    go_on.set()
    await asyncio.gather(*others)
    await asyncio.sleep(0)
    await (await Home.open(tmp_path, PASSWORD)).close()


async def test_a_home_that_can_not_be_made_is_unlocked_again(
    tmp_path: Path, keychains: dict[tuple[str, str], str]
) -> None:
    with pytest.raises(AccessError):
        await Home.create(tmp_path, KeychainLock("MuteBackend"))
    assert names(tmp_path) == ["lock"]
    await (await Home.create(tmp_path, LOCK)).close()


async def test_a_cancelled_opening_that_fails_is_quiet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def fail(folder: Path) -> lock.HomeLock:
        begun.set()
        go_on.wait()
        raise StorageError(Code.STORE_LOCKED)

    monkeypatch.setattr(lock.HomeLock, "acquire", fail)
    task = asyncio.ensure_future(Home.create(tmp_path, LOCK))
    await asyncio.to_thread(begun.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    others = asyncio.all_tasks() - {asyncio.current_task()}
    go_on.set()
    await asyncio.gather(*others, return_exceptions=True)


async def test_what_is_slow_never_runs_on_the_loops_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keychains: dict[tuple[str, str], str]
) -> None:
    calls: list[tuple[str, int]] = []

    def recording(module: Any, name: str) -> None:
        original = getattr(module, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            calls.append((name, threading.get_ident()))
            return original(*args, **kwargs)

        monkeypatch.setattr(module, name, call)

    recording(vault_file, "argon2id")
    recording(vault_file, "write_atomic")
    recording(vault_file, "read_bounded")
    recording(home, "make_private_folder")
    recording(home, "_forget_store")
    recording(lock, "_lock")
    recording(FakeBackend, "get_password")
    recording(FakeBackend, "set_password")
    recording(FakeBackend, "delete_password")
    made = await Home.create(tmp_path, LOCK)
    await made.change_lock(KeychainLock("FakeBackend"), password=PASSWORD)
    await made.close()
    await Home.keychain_of(tmp_path)
    await (await Home.open(tmp_path)).discard()
    assert {name for name, _ in calls} == {
        "argon2id",
        "write_atomic",
        "read_bounded",
        "make_private_folder",
        "_forget_store",
        "_lock",
        "get_password",
        "set_password",
        "delete_password",
    }
    assert threading.get_ident() not in {thread for _, thread in calls}


def test_a_folder_of_others_is_refused_and_an_open_one_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o755)
    files.make_private_folder(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(UsageError, match="another user"):
        files.make_private_folder(tmp_path)


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError) as caught:
        files.make_private_folder(tmp_path / "file")
    assert code_of(caught) is Code.STORE_BROKEN
    with pytest.raises(StorageError):
        files.read_bounded(tmp_path, 10)


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.ENOSPC, Code.STORE_FULL), (errno.EDQUOT, Code.STORE_FULL), (errno.EIO, None)],
)
def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, number: int, code: Code | None
) -> None:
    vault_file.wrap(tmp_path, KEY, LOCK)

    def fail(*args: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path if step == "replace" else os, step, fail)
    with pytest.raises(StorageError) as caught:
        vault_file.wrap(tmp_path, DatabaseKey(bytes(32)), LOCK)
    assert code_of(caught) is (code or Code.STORE_BROKEN)
    monkeypatch.undo()
    assert vault_file.unwrap(tmp_path, PASSWORD) == KEY
    assert [file.name for file in tmp_path.iterdir()] == ["vault.json"]


def test_nothing_secret_is_shown(tmp_path: Path, keychains: dict[tuple[str, str], str]) -> None:
    shown = [repr(LOCK), str(LOCK), repr(KEY), str(KEY), repr(SessionToken(b"canary"))]
    vault_file.wrap(tmp_path, KEY, LOCK)
    shown.append((tmp_path / "vault.json").read_text())
    for attempt in (
        lambda: vault_file.unwrap(tmp_path, PASSWORD + "x"),
        lambda: vault_file.unwrap(tmp_path, PASSWORD + "\x00"),
        lambda: vault_file.wrap(tmp_path, KEY, KeychainLock("MuteBackend")),
        lambda: vault_file.wrap(tmp_path, KEY, PasswordLock(PASSWORD + "\x00")),
    ):
        with pytest.raises(ParlourError) as caught:
            attempt()
        error: BaseException | None = caught.value
        while error is not None:
            shown += [repr(error), str(error)]
            error = None if error.__suppress_context__ else error.__cause__ or error.__context__
    for text in shown:
        assert "canary" not in text
        assert KEY.reveal().hex() not in text


def test_a_token_can_not_break_a_header() -> None:
    assert SessionToken.from_text("t" * 43).text() == "t" * 43
    for text in ("t" * 40 + "\r\nX: y", "t" * 40 + " ", "é" * 40, "short"):
        with pytest.raises(PeerError) as caught:
            SessionToken.from_text(text)
        assert code_of(caught) is Code.SERVER_MISBEHAVED
