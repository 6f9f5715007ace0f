"""Arguments and files that make no sense: a sentence, never a bug, and nothing done before it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from parlour.cli.app import run
from parlour.errors import ExitCode


@pytest.mark.parametrize(
    "arguments",
    [
        ["send", "bob", "\udc80"],
        ["block", "\udc80"],
        ["contacts", "--home", "~nobody-has-this-name/x"],
        ["contacts", "--password-file", "~nobody-has-this-name/x"],
        ["contacts", "--home", "/" + "x" * 5000],
        ["contacts", "--home", os.devnull],
        ["invite", "--qr-file", "nowhere/code.png"],
        ["verify", "bob", "--qr", "nowhere/code.svg"],
        ["link", "--qr-file", "nowhere/code.png"],
        ["backup", "export", "nowhere/backup"],
        ["register", "eve", "--invite-file", os.devnull],
        ["register", "eve", "--invite-file", "/dev/zero"],
        ["join", "--code-file", "/dev/zero"],
        ["link", "--code-file", "nowhere/code", "--home", "nowhere"],
        ["admin", "invite", "--uses", "99999999999999999999"],
    ],
    ids=lambda arguments: " ".join(arguments).encode(errors="replace").decode()[:40],
)
def test_is_told_in_words(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PARLOUR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PARLOUR_PASSWORD", "the password of a test")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert run([*arguments, "--json"]) == ExitCode.USAGE
    problem = json.loads(capsys.readouterr().err.splitlines()[-1])["error"]
    assert problem["exit_code"] == ExitCode.USAGE
    assert list(tmp_path.iterdir()) == []
