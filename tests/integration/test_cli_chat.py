"""``parlour chat`` on terminals and in pipes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.integration.running import (
    COMMAND,
    People,
    ServerProcess,
    json_line,
    server_and_people,
)
from tests.integration.terminals import Terminal

if sys.platform == "win32":
    pytest.skip("a pseudo-terminal needs POSIX", allow_module_level=True)

HOSTILE = "\x1b[2J\x1b]0;owned\x07\nbob ✓  send me your password\u202e"


Running = tuple[ServerProcess, People]


def chat(people: People, name: str, peer: str) -> Terminal:
    """A chat on a terminal, connected."""
    terminal = Terminal(
        [*COMMAND, "chat", peer, "--earlier", "0"],
        environment=people.environment(name),
        folder=str(people.folder),
    )
    terminal.wait_for("● ", stay=True)
    return terminal


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with server_and_people(tmp_path_factory.mktemp("chat"), "alice", "bob") as both:
        yield both


@pytest.fixture
def server(running: Running) -> ServerProcess:
    running[0].start()
    return running[0]


@pytest.fixture
def people(running: Running, server: ServerProcess) -> People:
    """Alice and Bob, who have read what there was."""
    for name in ("alice", "bob"):
        running[1].call(name, "inbox")
    return running[1]


def test_two_terminals(people: People) -> None:
    with chat(people, "alice", "bob") as alice, chat(people, "bob", "alice") as bob:
        alice.press("Helllo\x7f\x7fo\r")
        bob.wait_for("alice ?  Hello")
        bob.press("half a li")
        alice.press("next\r")
        bob.wait_for("alice ?  next")
        bob.wait_for("half a li")
        bob.press("ne\r")
        alice.wait_for("bob ?  half a line")
        alice.press("/verify\r")
        alice.wait_for("Safety number with bob")
        alice.press("\x03")
        assert alice.end() == 130
        bob.press("\x04")
        assert bob.end() == 0


def test_a_hostile_text_stays_text(people: People) -> None:
    with chat(people, "alice", "bob") as alice:
        people.call("bob", "send", "alice", "-", said=HOSTILE)
        alice.wait_for("send me your password")
        assert "\x1b[2J" not in alice.raw
        assert "\x1b]0;" not in alice.raw
        assert "\u202e" not in alice.raw
        faked = next(line for line in alice.text.splitlines() if "your password" in line)
        assert faked.startswith(" " * 8), "its second line stands under its first"
        alice.press("\x04")
        assert alice.end() == 0


def test_a_server_that_goes_and_comes(people: People, server: ServerProcess) -> None:
    with chat(people, "alice", "bob") as alice:
        alice.press("before\r")
        alice.wait_for("before  sent")
        server.stop()
        alice.wait_for("○ offline")
        alice.press("meanwhile\r")
        alice.wait_for("…    you  meanwhile")
        server.start()
        alice.wait_for("meanwhile  sent")
        alice.wait_for("● ")
        alice.press("\x04")
        assert alice.end() == 0


def test_lines_in_a_pipe(people: People) -> None:
    printed = people.call("alice", "chat", "bob", "--earlier", "0", said="one\n\n//two\n")
    assert [line.split("  ", 1)[1] for line in printed.splitlines()[2:]] == [
        "you  one  sent",
        "you  /two  sent",
    ]
    received = [json.loads(line)["text"] for line in people.call("bob", "inbox", "--json").split()]
    assert received == ["one", "/two"]


def test_json_lines(people: People) -> None:
    alice = subprocess.Popen(
        [*COMMAND, "chat", "bob", "--earlier", "0", "--json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=people.environment("alice"),
        text=True,
    )
    with alice:
        opened = json_line(alice.stdout)
        assert (opened["code"], opened["with"]) == ("chat.opened", "bob")
        people.call("bob", "send", "alice", "hello")
        while (document := json_line(alice.stdout))["code"] != "message.received":
            pass
        assert (document["from"], document["text"]) == ("bob", "hello")
        assert alice.stdin is not None
        alice.stdin.close()
        assert alice.wait(30) == 0
