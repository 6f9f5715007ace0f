from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from parlour.cli.failures import INTERRUPTED, guarded
from parlour.errors import CODES, Code, ExitCode, error

SECRET = "correct horse battery staple"


def raising(failure: BaseException) -> Callable[[], int]:
    def act() -> int:
        password = SECRET
        assert password
        raise failure

    return act


@pytest.mark.parametrize("code", list(Code), ids=lambda code: code.value)
def test_every_code(code: Code, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(raising(error(code, "a \x1b[2J detail")), json=False) == error(code).exit_code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert CODES[code].sentence in printed.err
    assert f"[{code.value}]" in printed.err
    assert CODES[code].remedy in printed.err
    assert "\x1b" not in printed.err


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(raising(error(Code.LIMIT_RATE)), json=True) == ExitCode.LIMIT
    document = json.loads(capsys.readouterr().err)["error"]
    assert (document["code"], document["exit_code"]) == ("limit.rate", 7)


@pytest.mark.parametrize("as_json", [False, True])
def test_a_bug_shows_where_and_not_what(as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(raising(ValueError(SECRET)), json=as_json) == ExitCode.BUG
    printed = capsys.readouterr().err
    assert "internal.bug" in printed
    assert "ValueError at test_failures.py:" in printed
    assert SECRET not in printed


def test_of_several_ours_decides(capsys: pytest.CaptureFixture[str]) -> None:
    group = ExceptionGroup("", [ValueError(SECRET), error(Code.SERVER_PIN)])
    assert guarded(raising(group), json=False) == ExitCode.SECURITY
    assert guarded(raising(ExceptionGroup("", [ValueError(SECRET)])), json=False) == ExitCode.BUG
    assert SECRET not in capsys.readouterr().err


def test_an_interruption_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(raising(KeyboardInterrupt()), json=False) == INTERRUPTED
    assert capsys.readouterr().err == ""
