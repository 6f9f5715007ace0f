"""What long runs left behind says what it is about, and is told when it is about other code."""

import json
from pathlib import Path

import pytest

from fuzz.evidence import hash_package
from tools import evidence


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "src" / "parlour").mkdir(parents=True)
    (tmp_path / "src" / "parlour" / "a.py").write_text("ONE = 1\n")
    (tmp_path / evidence.FOLDER).mkdir(parents=True)
    return tmp_path


def keep(checkout: Path, name: str, **changed: object) -> None:
    document = {
        "command": "python -m long.run",
        "commit": "0123456789abcdef",
        "package": "src/parlour",
        "package_sha256": hash_package(checkout),
        **changed,
    }
    kept = {key: value for key, value in document.items() if value is not None}
    (checkout / evidence.FOLDER / name).write_text(json.dumps(kept))


def test_evidence_is_current_until_the_code_changes(checkout: Path) -> None:
    keep(checkout, "run.json")
    assert evidence.states(checkout) == {"run.json": "current"}
    (checkout / "src" / "parlour" / "a.py").write_text("ONE = 2\n")
    assert evidence.states(checkout) == {
        "run.json": "stale: of 0123456789ab; renew it by python -m long.run"
    }


def test_evidence_that_is_about_nothing_is_broken(checkout: Path) -> None:
    keep(checkout, "run.json", package_sha256=None)
    assert evidence.states(checkout) == {"run.json": "broken: it does not say its package_sha256"}


def test_all_that_is_kept_says_what_it_is_about(capsys: pytest.CaptureFixture[str]) -> None:
    assert evidence.main() == 0
    assert {line.partition(":")[0] for line in capsys.readouterr().out.splitlines()} >= {
        "fuzz.json",
        "simulation.json",
    }
