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
from parlour.mls import Rule, RuleBroken
from tests.vectors.mls import crypto, tree
from tests.vectors.mls.groups import passive_client
from tools import make_vectors

OWN = json.loads((make_vectors.FOLDER / "mls.json").read_text(encoding="utf-8"))
CASES: list[dict[str, Any]] = OWN["passive_client"]
WELCOMES: list[dict[str, Any]] = OWN["passive_client_welcome"]
KINDS: dict[str, list[dict[str, Any]]] = OWN["kinds"]
STORIES: list[dict[str, Any]] = OWN["interop_passive"]
RUNNERS = {
    "key-schedule": crypto.key_schedule,
    "psk_secret": crypto.psk_secret,
    "secret-tree": crypto.secret_tree,
    "tree-validation": tree.tree_validation,
}


@pytest.mark.parametrize("case", CASES, ids=[f"suite-{c['cipher_suite']}" for c in CASES])
def test_a_passive_client_follows(case: dict[str, Any]) -> None:
    assert len(case["epochs"]) == 8
    passive_client(case)


@pytest.mark.parametrize("case", WELCOMES, ids=[f"suite-{c['cipher_suite']}" for c in WELCOMES])
def test_a_passive_client_is_welcomed(case: dict[str, Any]) -> None:
    passive_client(case)


def test_messages_may_be_bare() -> None:
    bare = copy.deepcopy(CASES)
    for case in bare[::2]:
        for name in ("key_package", "welcome"):
            case[name] = case[name][8:]
        passive_client(case)


@pytest.mark.parametrize("case", STORIES, ids=[c["name"] for c in STORIES])
def test_a_passive_client_follows_what_others_make(case: dict[str, Any]) -> None:
    assert case["epochs"]
    passive_client(case)


@pytest.mark.parametrize("kind", KINDS)
def test_known_answers_of_a_kind(kind: str) -> None:
    assert [case["cipher_suite"] for case in KINDS[kind]] == [1, 2, 3, 4, 5, 6, 7]
    for case in KINDS[kind]:
        RUNNERS[kind](case)


def test_a_welcome_from_a_group_whose_key_is_not_given() -> None:
    case = copy.deepcopy(next(c for c in STORIES if c["name"] == "reinit"))
    case["external_psks"].pop()
    with pytest.raises(ParlourError) as caught:
        passive_client(case)
    assert isinstance(caught.value, RuleBroken)
    assert caught.value.rule is Rule.WELCOME_PSKS_KNOWN


def test_a_proposal_that_is_refused_spoils_the_commit_that_covers_it() -> None:
    case = copy.deepcopy(next(c for c in STORIES if c["name"] == "external proposals"))
    message = bytearray.fromhex(case["epochs"][1]["proposals"][1])
    message[-1] ^= 1
    case["epochs"][1]["proposals"][1] = message.hex()
    with pytest.raises(ParlourError) as caught:
        passive_client(case)
    assert isinstance(caught.value, RuleBroken)
    assert caught.value.rule is Rule.PROPOSAL_KNOWN


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
    (interop / "stories.json").write_text(json.dumps(STORIES), encoding="utf-8")
    (tmp_path / "mls" / "something-else.json").write_text("[]", encoding="utf-8")
    code, output = run(tmp_path)
    assert code == 0, output
    assert "passive-client-random: 2 cases" in output
    assert f"interop-passive: {len(STORIES)} cases (stories.json)" in output


def test_the_runner_names_every_case_that_fails(tmp_path: Path) -> None:
    (tmp_path / "mls").mkdir()
    cases = copy.deepcopy(CASES[:3])
    for number in (0, 2):
        cases[number]["initial_epoch_authenticator"] = "00" * 32
    file = tmp_path / "mls" / "passive-client-welcome.json"
    file.write_text(json.dumps(cases), encoding="utf-8")
    code, output = run(tmp_path)
    assert code == 1
    assert "2 of 3 cases fail" in output
    assert "case 0 of 3" in output
    assert "case 2 of 3" in output


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
