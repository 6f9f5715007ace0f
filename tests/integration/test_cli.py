"""The commands against a server of its own process, with their exit codes and documents."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from parlour.cli.app import run
from tests.integration.running import (
    RunningServer,
    environment,
    password_file,
    running_server,
)

TEXT = "The first snow of the year fell today."


class Shell:
    """Runs commands as one person, and reads what they print."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._password = str(password_file(folder))
        self._capture = capture
        self.errors = ""

    def run(self, person: str, *arguments: str, code: int = 0) -> list[Any]:
        """Run a command with --json; return its documents."""
        home = ["--home", str(self.folder / person), "--password-file", self._password]
        assert run([*arguments, *home, "--json"]) == code, self._capture.readouterr()
        printed = self._capture.readouterr()
        self.errors = printed.err
        return [json.loads(line) for line in printed.out.splitlines()]

    def read(self, person: str, *arguments: str) -> str:
        """Run a command; return what people read."""
        home = ["--home", str(self.folder / person), "--password-file", self._password]
        assert run([*arguments, *home]) == 0, self._capture.readouterr()
        return self._capture.readouterr().out

    @property
    def error_code(self) -> str:
        return str(json.loads(self.errors)["error"]["code"])


@pytest.fixture
def shell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Shell:
    monkeypatch.setattr("os.environ", environment())
    monkeypatch.setenv("COLUMNS", "200")
    return Shell(tmp_path, capsys)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    with running_server(tmp_path / "server") as running:
        yield running


@pytest.fixture
def pair(shell: Shell, server: RunningServer) -> Shell:
    """Alice and Bob have accounts."""
    invite = server.invite(uses=2)
    for name in ("alice", "bob"):
        (made,) = shell.run(name, "register", invite, name)
        assert made["account"] == f"{name}@parlour.example"
    return shell


def test_a_message_is_shown_once_and_kept(pair: Shell) -> None:
    (sent,) = pair.run("alice", "send", "bob", *TEXT.split())
    assert (sent["code"], sent["text"], sent["mine"]) == ("message.sent", TEXT, True)
    (received,) = pair.run("bob", "inbox")
    assert (received["id"], received["text"], received["from"]) == (sent["id"], TEXT, "alice")
    assert pair.run("bob", "inbox") == []
    (kept,) = pair.run("bob", "history", "alice")
    assert kept == received
    assert TEXT in pair.read("bob", "history", "alice")
    (known,) = pair.run("bob", "contacts")
    (alice,) = known["contacts"]
    assert (alice["name"], alice["verification"]) == ("alice", "unverified")


def test_both_verify_the_same_number(pair: Shell) -> None:
    (shown,) = pair.run("alice", "verify", "bob")
    assert shown["verification"] == "unverified"
    (verified,) = pair.run("bob", "verify", "alice", "--yes")
    assert verified["verification"] == "verified"
    assert verified["digits"] == shown["digits"]
    pair.run("bob", "verify", "alice", "--accept", "--yes", code=2)
    assert "✓ verified" in pair.read("bob", "contacts")


def test_an_ended_login_is_renewed(pair: Shell) -> None:
    (listed,) = pair.run("alice", "sessions", "list")
    (session,) = listed["sessions"]
    assert session["current"]
    pair.run("alice", "sessions", "revoke", session["handle"])
    pair.run("alice", "inbox", code=3)
    assert pair.error_code == "token.revoked"
    pair.run("alice", "login")
    assert pair.run("alice", "inbox") == []


def test_doctor_finds_nothing_and_then_a_stopped_server(pair: Shell, server: RunningServer) -> None:
    found = {finding["check"]: finding["ok"] for finding in pair.run("alice", "doctor")}
    assert all(found.values())
    assert {"storage", "permissions", "tls", "pin", "name", "clock", "message"} <= found.keys()
    assert pair.run("alice", "inbox") == [], "the test message is no message"
    server.stop()
    last = pair.run("alice", "doctor", code=5)[-1]
    assert (last["check"], last["code"]) == ("reachable", "network.unreachable")


def test_what_is_said_offline_goes_out_later(
    pair: Shell, server: RunningServer, tmp_path: Path
) -> None:
    pair.run("alice", "send", "bob", "first")
    server.stop()
    (queued,) = pair.run("alice", "send", "bob", TEXT, "--wait", "0.2", code=5)
    assert queued["state"] == "queued"
    with running_server(tmp_path / "server", port=server.port):
        pair.run("alice", "send", "bob", "third")
        texts = [document["text"] for document in pair.run("bob", "inbox")]
    assert texts == ["first", TEXT, "third"]


def test_another_server_in_its_place_is_refused(
    pair: Shell, server: RunningServer, tmp_path: Path
) -> None:
    server.stop()
    with running_server(tmp_path / "impostor", port=server.port):
        pair.run("alice", "inbox", code=6)
        assert pair.error_code == "server.pin"
        last = pair.run("alice", "doctor", code=6)[-1]
    assert (last["check"], last["code"]) == ("reachable", "server.pin")


def test_exit_codes(shell: Shell, server: RunningServer) -> None:
    shell.run("alice", "inbox", code=2)
    assert shell.error_code == "home.missing"
    shell.run("alice", "register", "parlour:invite#nonsense", "alice", code=2)
    invite = server.invite()
    shell.run("alice", "register", invite, "-alice-", code=2)
    shell.run("alice", "register", invite, "alice")
    shell.run("bob", "register", invite, "bob", code=3)
    assert shell.error_code == "invite.invalid"
    shell.run("alice", "send", "nobody", "hi", code=4)
    assert shell.error_code == "account.unknown"
    (shell.folder / "password").write_text("another\n")
    shell.run("alice", "history", "bob", code=3)
    assert shell.error_code == "store.password"
