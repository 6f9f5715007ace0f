from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import parlour
from parlour.cli.app import COMMANDS, run

HEAVY = ("parlour.client", "parlour.server", "parlour.cli.chat", "asyncio", "sqlcipher3", "segno")


def in_a_fresh_process(code: str) -> list[str]:
    """Run code; return the names of the heavy modules that it loaded."""
    code += f"\nimport sys\nprint(*(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1].split()


def test_listing_the_commands_imports_none() -> None:
    assert in_a_fresh_process("from parlour.cli.app import run\nrun(['--help'])") == []


def test_a_protocol_package_alone_is_light() -> None:
    assert in_a_fresh_process("import parlour.codec") == []
    assert "parlour.client" in in_a_fresh_process("from parlour import Client")


def test_the_package_names_its_client() -> None:
    assert "Client" in dir(parlour)
    assert parlour.Client.__name__ == "Client"
    with pytest.raises(AttributeError, match="Nothing"):
        _ = parlour.Nothing  # type: ignore[attr-defined]


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    printed = capsys.readouterr().out
    for name, _, _, text in COMMANDS:
        assert name in printed
        assert text in printed


@pytest.mark.parametrize("name", [name for name, *_ in COMMANDS])
def test_each_command_tells_of_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    assert f"parlour {name}" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.strip() == parlour.__version__


@pytest.mark.parametrize(
    "arguments",
    [["chart"], ["chat"], ["history", "bob", "--last", "0"], ["inbox", "--nonsense"]],
    ids=" ".join,
)
def test_wrong_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    assert "[usage.invalid]" in capsys.readouterr().err
    assert run([*arguments, "--json"]) == 2
    assert json.loads(capsys.readouterr().err)["error"]["code"] == "usage.invalid"
