"""Our own passive clients, known answers for a clone alone; and that the runner runs and fails."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from parlour.errors import ParlourError
from tests.vectors.mls.groups import passive_client
from tools import make_vectors

CASES: list[dict[str, Any]] = json.loads(
    (make_vectors.FOLDER / "mls.json").read_text(encoding="utf-8")
)["passive_client"]


@pytest.mark.parametrize("case", CASES, ids=[f"suite-{c['cipher_suite']}" for c in CASES])
def test_a_passive_client_follows(case: dict[str, Any]) -> None:
    assert len(case["epochs"]) == 8
    passive_client(case)


def test_another_authenticator_is_noticed() -> None:
    broken = copy.deepcopy(CASES[0])
    broken["epochs"][3]["epoch_authenticator"] = "00" * 32
    with pytest.raises(AssertionError):
        passive_client(broken)
    missing = copy.deepcopy(CASES[0])
    missing["external_psks"] = []
    with pytest.raises(ParlourError):
        passive_client(missing)


def run(folder: Path) -> tuple[int, str]:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "tests/vectors/test_mls.py",
        ],
        env={**os.environ, "PARLOUR_VECTORS": str(folder)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_the_runner_takes_what_lies_in_the_folder(tmp_path: Path) -> None:
    interop = tmp_path / "mls" / "interop-passive"
    interop.mkdir(parents=True)
    two = json.dumps(CASES[:2])
    for name in ("welcome", "handling-commit", "random"):
        (tmp_path / "mls" / f"passive-client-{name}.json").write_text(two, encoding="utf-8")
    (interop / "suite-1.json").write_text(json.dumps(CASES[:1]), encoding="utf-8")
    (tmp_path / "mls" / "something-else.json").write_text("[]", encoding="utf-8")
    code, output = run(tmp_path)
    assert code == 0, output
    assert "passive-client-random: 2 cases" in output
    assert "interop-passive: 1 cases (suite-1.json)" in output


def test_the_runner_fails_where_a_kind_yields_nothing(tmp_path: Path) -> None:
    (tmp_path / "mls").mkdir()
    (tmp_path / "mls" / "treekem.json").write_text("[]", encoding="utf-8")
    code, output = run(tmp_path)
    assert code == 1
    assert "treekem.json holds no case" in output
    (tmp_path / "mls" / "treekem.json").unlink()
    code, output = run(tmp_path)
    assert code == 1
    assert "no file of a known kind" in output
