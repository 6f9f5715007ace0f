"""``parlour policy``."""

from __future__ import annotations

import json

import pytest

from parlour.cli.app import run
from parlour.conversation.presets import PRESETS


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policy", "list"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in PRESETS)
    assert "suite megolm" in printed
    assert run(["policy", "list", "--json"]) == 0
    presets = json.loads(capsys.readouterr().out)["presets"]
    assert [each["preset"] for each in presets] == list(PRESETS)
    unbuilt = {each["preset"] for each in presets if each["not_built"]}
    assert unbuilt == {"voicechat", "relay-voice", "securecomm"}


def test_show_says_it_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policy", "show"]) == 0
    printed = capsys.readouterr().out
    for kind in ("direct", "self", "group", "family", "channel"):
        assert f"default, {kind}" in printed
    assert "could have made it up" in printed
    assert "messages are signed" in printed
    assert "archive:" in printed


def test_show_one_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policy", "show", "relay-voice", "--kind", "channel"]) == 0
    printed = capsys.readouterr().out
    assert "THE SERVER" in printed
    assert "relay-voice, direct" not in printed


@pytest.mark.parametrize("preset", PRESETS)
def test_show_for_programs(preset: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policy", "show", preset, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["preset"] == preset
    assert [each["kind"] for each in shown["kinds"]] == [
        "direct",
        "self",
        "group",
        "family",
        "channel",
    ]
    assert all(each["requires_encryption"] for each in shown["kinds"])


def test_show_for_programs_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policy", "show", "--kind", "group", "--json"]) == 0
    (group,) = json.loads(capsys.readouterr().out)["kinds"]
    assert group["suite"] == "mls"
    assert group["cipher_suites"] == [0xF001, 1]
    assert group["retention"] == "queue"
    assert group["verification"] == "first-contact"
    assert group["not_built"] is None
    assert group["deniable"] is False
    assert group["words"]["encryption"].startswith("always")


@pytest.mark.parametrize(
    "arguments", [["show", "matrix"], ["show", "default", "--kind", "guild"], ["nonsense"]]
)
def test_what_is_not_there(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policy", *arguments]) == 2
    assert "[usage.invalid]" in capsys.readouterr().err
