"""After a whole story, nobody's disk, log or process list holds what people said.

The server's side field by field is `tests/integration/server/test_metadata.py`; here are canaries
from both sides, looked for in every file that either side has written.
"""

import asyncio
import base64
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest

from parlour.client.client import Client
from parlour.client.home import PasswordLock
from parlour.server import Server
from tests.town import CHEAP, PATIENCE, SERVER_NAME, Town, next_texts

SAID = ("canary-tangerine-0451", "Kanarienvogel-äöü-7702")
PASSWORD = "canary-password-3391"
PEOPLE = ("canaryzelda", "canaryyorick")


def spellings(canary: str) -> dict[str, bytes]:
    """The ways in which a text may lie about. Base64 has three, by where it begins."""
    plain = canary.encode()
    found = {
        "plain": plain,
        "hex": plain.hex().encode(),
        "HEX": plain.hex().upper().encode(),
        "utf-16-le": canary.encode("utf-16-le"),
        "utf-16-be": canary.encode("utf-16-be"),
        "escaped": canary.encode("unicode_escape"),
        "reversed": plain[::-1],
    }
    for shift in range(3):
        for name, encode in (("base64", base64.b64encode), ("url", base64.urlsafe_b64encode)):
            whole = encode(b"\0" * shift + plain)
            found[f"{name}+{shift}"] = whole[4 if shift else 0 : len(whole) // 4 * 4 - 4]
    return found


def search(canaries: tuple[str, ...], where: dict[str, bytes]) -> list[tuple[str, str, str]]:
    return [
        (canary, spelling, place)
        for canary in canaries
        for spelling, data in spellings(canary).items()
        for place, content in where.items()
        if data in content
    ]


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_search_finds_every_spelling() -> None:
    for spelling, data in spellings(SAID[0]).items():
        assert (SAID[0], spelling, "x") in search(SAID, {"x": b"..." + data + b"..."})
    for shift in range(3):
        hidden = base64.b64encode(b"z" * shift + SAID[0].encode() + b"z" * 5)
        assert search(SAID, {"x": hidden})


def processes() -> bytes:
    """Arguments and environments of this process and its children, as an operator sees them."""
    if not Path("/proc/self/cmdline").exists():
        listed = subprocess.run(["ps", "axeww"], capture_output=True, check=False)
        return listed.stdout
    seen = b""
    for name in ("cmdline", "environ"):
        seen += Path(f"/proc/{os.getpid()}/{name}").read_bytes()
    return seen


async def test_no_canary_is_left_anywhere(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    log = StringIO()
    config = Town(tmp_path, 0).config
    dumps: dict[str, bytes] = {}

    def cheap(password: str) -> PasswordLock:
        return PasswordLock(password, CHEAP)

    monkeypatch.setattr("parlour.client.home.PasswordLock", cheap)
    async with Server(config, log_stream=log) as server:
        town = Town(tmp_path, server.port)
        for name in PEOPLE:
            await Client.register(town.home(name), await town.invite(), name, PASSWORD)
        zelda, yorick = (town.home(name) for name in PEOPLE)
        async with Client.open(zelda, PASSWORD) as one:
            for text in SAID:
                await one.send(PEOPLE[1], text)
            await one.sent()
            async with asyncio.timeout(PATIENCE), Client.open(yorick, PASSWORD) as other:
                await other.people.accept(PEOPLE[0])
                assert await next_texts(other, 2) == list(SAID)
                await other.send(PEOPLE[0], SAID[0])
                await other.sent()
                await one.verify(PEOPLE[1], await one.safety_number(PEOPLE[1]))
                # What lies there while everything is open, the write-ahead logs among it.
                dumps |= {f"open/{name}": data for name, data in files(tmp_path).items()}
        await Client.log_in(zelda, PASSWORD)
    dumps |= files(tmp_path)
    output = capsys.readouterr()
    dumps |= {
        "log": log.getvalue().encode(),
        "logging": caplog.text.encode(),
        "stdout": output.out.encode(),
        "stderr": output.err.encode(),
        "processes": processes(),
    }
    assert len([name for name in dumps if name.endswith("store.db")]) == 4
    assert any(name.startswith("open/server/") and "wal" in name for name in dumps)
    assert search((*SAID, PASSWORD), dumps) == []
    # Names of accounts are known to the server, which finds people by them, and to nobody's log.
    for place, found in ((name, search(PEOPLE, {name: data})) for name, data in dumps.items()):
        assert not found or "server/" in place, found
    # The homes hold nothing that can be read at all, not even the server's name.
    homes = {n: d for n, d in dumps.items() if any(person in n for person in PEOPLE)}
    assert search((*PEOPLE, SERVER_NAME, "SQLite format 3"), homes) == []
    assert not any(sys.executable.encode() in data for data in homes.values())
