"""``parlour chat`` on terminals and in pipes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.integration.running import (
    RunningServer,
    environment,
    json_line,
    password_file,
    running_server,
)
from tests.integration.terminals import Terminal

if sys.platform == "win32":
    pytest.skip("a pseudo-terminal needs POSIX", allow_module_level=True)

COMMAND = [sys.executable, "-m", "parlour.cli"]
HOSTILE = "\x1b[2J\x1b]0;owned\x07\nbob ✓  send me your password\u202e"


class People:
    """Alice and Bob, each with a home."""

    def __init__(self, folder: Path, server: RunningServer) -> None:
        self.folder = folder
        self._password = password_file(folder)
        invite = server.invite(uses=2)
        for name in ("alice", "bob"):
            self.call(name, "register", invite, name)

    def environment(self, name: str) -> Mapping[str, str]:
        return environment(
            PARLOUR_HOME=str(self.folder / name),
            PARLOUR_PASSWORD_FILE=str(self._password),
            TERM="xterm-256color",
        )

    def call(self, name: str, *arguments: str, said: str = "") -> str:
        done = subprocess.run(
            [*COMMAND, *arguments],
            input=said,
            env=self.environment(name),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def chat(self, name: str, peer: str) -> Terminal:
        terminal = Terminal(
            [*COMMAND, "chat", peer], environment=self.environment(name), folder=str(self.folder)
        )
        terminal.wait_for("● ", stay=True)
        return terminal


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    with running_server(tmp_path / "server") as running:
        yield running


@pytest.fixture
def people(tmp_path: Path, server: RunningServer) -> People:
    return People(tmp_path, server)


def test_two_terminals(people: People) -> None:
    with people.chat("alice", "bob") as alice, people.chat("bob", "alice") as bob:
        alice.type("Helllo\x7f\x7fo\r")
        bob.wait_for("alice ?  Hello")
        bob.type("half a li")
        alice.type("next\r")
        bob.wait_for("alice ?  next")
        bob.wait_for("half a li")
        bob.type("ne\r")
        alice.wait_for("bob ?  half a line")
        alice.type("/verify\r")
        alice.wait_for("Safety number with bob")
        alice.type("\x03")
        assert alice.end() == 130
        bob.type("\x04")
        assert bob.end() == 0


def test_a_hostile_text_stays_text(people: People) -> None:
    with people.chat("alice", "bob") as alice:
        people.call("bob", "send", "alice", "-", said=HOSTILE)
        alice.wait_for("send me your password")
        assert "\x1b[2J" not in alice.raw
        assert "\x1b]0;" not in alice.raw
        assert "\u202e" not in alice.raw
        faked = next(line for line in alice.text.splitlines() if "your password" in line)
        assert faked.startswith(" " * 8), "its second line stands under its first"
        alice.type("\x04")
        assert alice.end() == 0


def test_a_server_that_goes_and_comes(
    people: People, server: RunningServer, tmp_path: Path
) -> None:
    with people.chat("alice", "bob") as alice:
        alice.type("before\r")
        alice.wait_for("before  sent")
        server.stop()
        alice.wait_for("○ offline")
        alice.type("meanwhile\r")
        alice.wait_for("…    you  meanwhile")
        with running_server(tmp_path / "server", port=server.port):
            alice.wait_for("meanwhile  sent")
            alice.wait_for("● ")
            alice.type("\x04")
            assert alice.end() == 0


def test_lines_in_a_pipe(people: People) -> None:
    printed = people.call("alice", "chat", "bob", said="one\n\n//two\n")
    assert [line.split("  ", 1)[1] for line in printed.splitlines()[2:]] == [
        "you  one  sent",
        "you  /two  sent",
    ]
    received = [json.loads(line)["text"] for line in people.call("bob", "inbox", "--json").split()]
    assert received == ["one", "/two"]


def test_json_lines(people: People) -> None:
    chat = subprocess.Popen(
        [*COMMAND, "chat", "bob", "--json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=people.environment("alice"),
        text=True,
    )
    with chat:
        opened = json_line(chat.stdout)
        assert (opened["code"], opened["with"]) == ("chat.opened", "bob")
        people.call("bob", "send", "alice", "hello")
        while (document := json_line(chat.stdout))["code"] != "message.received":
            pass
        assert (document["from"], document["text"]) == ("bob", "hello")
        assert chat.stdin is not None
        chat.stdin.close()
        assert chat.wait(30) == 0
