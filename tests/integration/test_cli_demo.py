"""``parlour demo`` does what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.running import environment


def demo(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "parlour.cli", "demo", *arguments],
        env=environment(TMPDIR=str(folder)),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(folder.iterdir()) == [], "nothing is left behind"
    return done.stdout


def test_documents(tmp_path: Path) -> None:
    documents = [json.loads(line) for line in demo(tmp_path, "--json").splitlines()]
    assert documents[-1]["ok"] is True
    messages = [document for document in documents if "stored_head" in document]
    assert [message["from"] for message in messages] == ["alice", "bob", "alice", "bob"]
    assert len({message["stored_head"] for message in messages}) == len(messages)
    assert len({message["stored_size"] for message in messages}) == 1, "one class of size"
    checked = " ".join(document.get("checked", "") for document in documents)
    assert "TLS 1.3" in checked
    assert "refuses TLS 1.2" in checked
    assert "these digits" in checked
    assert "None of the 4 messages" in checked


@pytest.mark.timeout(300)
def test_groups(tmp_path: Path) -> None:
    documents = [json.loads(line) for line in demo(tmp_path, "groups", "--json").splitlines()]
    assert documents[-1]["ok"] is True
    messages = [document for document in documents if "stored_size" in document]
    assert [len(message["to"]) for message in messages] == [5, 5, 4, 5, 4, 5]
    assert len({message["stored_size"] for message in messages}) == 1, "one class of size"
    checked = " ".join(document.get("checked", "") for document in documents)
    for words in (
        "Six devices of four people",
        "nothing that was said before she came",
        "made anew on top of it",
        "reads nothing that is said from now on",
        "one epoch at a time",
        "All are in epoch",
        "None of the 6 messages",
    ):
        assert words in checked
