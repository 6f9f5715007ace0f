"""The commands against a server of its own process, with their exit codes and documents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.running import (
    SERVER,
    People,
    ServerProcess,
    environment,
    server_and_people,
)
from tests.integration.shells import Shell

TEXT = "The first snow of the year fell today."
Running = tuple[ServerProcess, People]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with server_and_people(tmp_path_factory.mktemp("cli"), "alice", "bob") as both:
        yield both


@pytest.fixture
def server(running: Running) -> ServerProcess:
    """The server, running however the test before has left it."""
    running[0].start()
    return running[0]


@pytest.fixture
def pair(
    running: Running,
    server: ServerProcess,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Shell:
    """Alice and Bob, who have read what there was."""
    monkeypatch.setattr("os.environ", environment(COLUMNS="200"))
    shell = Shell(running[1], capsys)
    for name in ("alice", "bob"):
        shell.run(name, "inbox")
    return shell


def test_a_message_is_shown_once_and_kept(pair: Shell) -> None:
    (sent,) = pair.run("alice", "send", "bob", *TEXT.split())
    assert (sent["code"], sent["text"], sent["mine"]) == ("message.sent", TEXT, True)
    (received,) = pair.run("bob", "inbox")
    assert (received["id"], received["text"], received["from"]) == (sent["id"], TEXT, "alice")
    assert pair.run("bob", "inbox") == []
    kept = pair.run("bob", "history", "alice")[-1]
    assert kept == received
    assert TEXT in pair.read("bob", "history", "alice")
    (known,) = pair.run("bob", "contacts")
    assert [contact["name"] for contact in known["contacts"]] == ["alice"]


def test_both_verify_the_same_number(pair: Shell) -> None:
    (shown,) = pair.run("alice", "verify", "bob")
    (verified,) = pair.run("bob", "verify", "alice", "--yes")
    assert verified["verification"] == "verified"
    assert verified["digits"] == shown["digits"]
    assert verified["words"] == shown["words"]
    pair.run("bob", "verify", "alice", "--accept", "--yes", code=2)
    assert "✓ verified" in pair.read("bob", "contacts")


def test_an_ended_login_is_renewed(pair: Shell) -> None:
    (listed,) = pair.run("alice", "sessions", "list")
    (session,) = listed["sessions"]
    assert session["current"]
    pair.run("alice", "sessions", "revoke", session["handle"])
    pair.run("alice", "inbox", code=3)
    assert pair.error_code == "token.missing"
    pair.run("alice", "login")
    assert pair.run("alice", "inbox") == []


def test_doctor_finds_nothing_and_then_a_stopped_server(pair: Shell, server: ServerProcess) -> None:
    found = {finding["check"]: finding["ok"] for finding in pair.run("alice", "doctor")}
    assert all(found.values())
    assert {"storage", "permissions", "tls", "pin", "name", "clock", "message"} <= found.keys()
    assert pair.run("alice", "inbox") == [], "the test message is no message"
    server.stop()
    last = pair.run("alice", "doctor", code=5)[-1]
    assert (last["check"], last["code"]) == ("reachable", "network.unreachable")


def test_what_is_said_offline_goes_out_later(pair: Shell, server: ServerProcess) -> None:
    pair.run("alice", "send", "bob", "first")
    server.stop()
    (queued,) = pair.run("alice", "send", "bob", TEXT, "--wait", "0.2", code=5)
    assert queued["state"] == "queued"
    server.start()
    pair.run("alice", "send", "bob", "third")
    texts = [document["text"] for document in pair.run("bob", "inbox")]
    assert texts == ["first", TEXT, "third"]


def test_another_server_in_its_place_is_refused(
    pair: Shell, server: ServerProcess, tmp_path: Path
) -> None:
    server.stop()
    with ServerProcess(tmp_path / "impostor", port=server.port):
        pair.run("alice", "inbox", code=6)
        assert pair.error_code == "server.pin"
        last = pair.run("alice", "doctor", code=6)[-1]
    assert (last["check"], last["code"]) == ("reachable", "server.pin")


def test_exit_codes(pair: Shell, server: ServerProcess, tmp_path: Path) -> None:
    pair.run("carol", "inbox", code=2)
    assert pair.error_code == "home.missing"
    pair.run(
        "carol",
        "register",
        "carol",
        "--invite-file",
        pair.people.keep("parlour:invite#nonsense"),
        "--no-recovery",
        code=2,
    )
    invited = ["--invite-file", pair.people.keep(server.invite()), "--no-recovery"]
    pair.run("carol", "register", "-carol-", *invited, code=2)
    pair.run("alice", "register", "alice", *invited, code=2)
    assert pair.error_code == "home.exists"
    pair.run("carol", "register", "alice", *invited, code=2)
    assert pair.error_code == "account.exists"
    (made,) = pair.run("carol", "register", "carol", *invited)
    assert made["account"] == f"carol@{SERVER}"
    pair.run("dave", "register", "dave", *invited, code=3)
    assert pair.error_code == "invite.invalid"
    pair.run("alice", "send", "nobody", "hi", code=4)
    assert pair.error_code == "account.unknown"
    other = People(tmp_path)
    other.password.write_text("another\n")
    pair.people.password, right = other.password, pair.people.password
    pair.run("alice", "history", "bob", code=3)
    assert pair.error_code == "store.password"
    pair.people.password = right


def test_a_piped_verify_shows_the_number_and_decides_nothing(pair: Shell) -> None:
    (shown,) = pair.run("alice", "verify", "bob")
    assert shown["digits"][:5] in pair.read("alice", "verify", "bob")
    (again,) = pair.run("alice", "verify", "bob")
    assert again["verification"] == shown["verification"]


def test_a_backup_comes_back(pair: Shell, tmp_path: Path) -> None:
    pair.run("alice", "send", "bob", TEXT)
    file = str(tmp_path / "alice.backup")
    (made,) = pair.run("alice", "backup", "export", file)
    assert made["messages"] >= 1
    words = tmp_path / "words"
    words.touch(mode=0o600)
    words.write_text(made["passphrase"].replace(" ", "  ") + "\n")
    given = ["--passphrase-file", str(words)]
    (done,) = pair.run("alice", "backup", "import", file, *given)
    assert (done["messages"], done["new"]) == (made["messages"], 0)
    pair.run("bob", "backup", "import", file, *given, code=2)
    assert pair.error_code == "backup.other_account"
    pair.run("alice", "backup", "export", file, code=2)
    pair.run("alice", "backup", "export", file, "--overwrite", *given)
    words.write_text("six other words\n")
    pair.run("alice", "backup", "import", file, *given, code=3)
    assert pair.error_code == "backup.passphrase"
