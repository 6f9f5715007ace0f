"""What was written to a group while it could not be sent, by somebody who is put out meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.running import environment, server_and_people
from tests.integration.shells import Shell


def test_its_writer_is_told_and_keeps_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with server_and_people(tmp_path, "alice", "bob") as (server, homes):
        monkeypatch.setattr("os.environ", environment(COLUMNS="200"))
        people = Shell(homes, capsys)
        people.run("alice", "group", "create", "ice walk", "bob")
        people.run("bob", "inbox")
        server.stop()
        (queued,) = people.run("bob", "send", "#ice walk", "I come later.", "--wait", "1", code=5)
        server.start()
        people.run("alice", "group", "remove", "ice walk", "bob")
        told = people.read("bob", "inbox")
        assert "What you wrote to #ice walk was not sent, and stays on this device" in told
        (kept,) = people.run("bob", "history", "#ice walk")
        assert (kept["id"], kept["text"]) == (queued["id"], "I come later.")
        assert (kept["code"], kept["reason"]) == ("message.unsent", "group.over")
        assert "not sent: You are not in that group" in people.read("bob", "history", "#ice walk")
