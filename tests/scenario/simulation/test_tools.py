"""The list of what is put in something's place, shrinking, and the command."""

import ast
import asyncio
import json
import random
from pathlib import Path

import pytest

from parlour.testing import simulation
from parlour.testing.simulation import command, shrink
from parlour.testing.simulation import run as runs
from parlour.testing.simulation.actions import Action
from parlour.testing.simulation.command import main
from parlour.testing.simulation.program import TABLES, Step
from parlour.testing.simulation.run import Run
from parlour.testing.simulation.substitutes import SUBSTITUTES
from parlour.testing.simulation.world import World

FOLDER = Path(simulation.__file__).parent
# What each record begins with.
EIGHT = [
    "seed",
    "steps",
    "sent",
    "delivered",
    "repaired",
    "lost",
    "unreadable",
    "unreadable_without_reason",
]


def test_no_other_class_of_the_product_is_derived_from_or_patched() -> None:
    derived = set()
    for path in FOLDER.glob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        imported = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("parlour")
            if not (node.module or "").startswith("parlour.testing")
            for alias in node.names
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
                if bases & imported:
                    derived.add(node.name)
        assert "patch" not in set(imported)
        assert "setattr(" not in path.read_text("utf-8")
    assert derived == {"InlineWorker", "InlineWriter", "InlineReaders", "InlineDatabase", "NoLock"}
    assert derived < SUBSTITUTES.keys()


def test_a_program_in_a_file_is_the_same_program(tmp_path: Path) -> None:
    chance = random.Random(1)
    steps = [Step("say", ["alice1", "bob", chance.randint(1, 9)], 5), Step("crash", [], 700)]
    shrink.write(tmp_path / "program.json", 7, "pairwise", steps)
    assert shrink.read(tmp_path / "program.json") == (7, "pairwise", steps)


def test_the_command_writes_a_record_for_each_seed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, evidence = tmp_path / "records.json", tmp_path / "evidence.json"
    words = ["--seeds", "0-1", "--steps", "20", "--jobs", "1", "--kind", "pairwise"]
    words += ["--json", str(file)]
    assert main([*words, "--evidence", str(evidence)]) == 0
    records = json.loads(file.read_text())
    assert [record["seed"] for record in records] == [0, 1]
    assert list(records[0])[:8] == EIGHT
    written = json.loads(evidence.read_text())
    assert written["seeds"] == 2
    assert written["steps"] == 40
    assert written["failures"] == []
    assert "2 of 2 runs" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["act", "conclude"])
@pytest.mark.parametrize("fault", [ValueError, asyncio.CancelledError])
def test_a_run_that_raises_has_failed_and_the_others_go_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    where: str,
    fault: type[BaseException],
) -> None:
    broken = 1

    def breaks(world: World) -> list[str]:
        if world.seed == str(broken):
            raise fault("of the simulation's own")
        return []

    def act(world: World) -> None:
        breaks(world)

    if where == "act":
        table = [Action("breaks", 1, lambda _world, _chance: [], act)]
        monkeypatch.setitem(TABLES, "pairwise", [table])
    else:
        monkeypatch.setattr(runs, "unfulfilled", breaks)
    file = tmp_path / "records.json"
    words = ["--seeds", "0-2", "--steps", "3", "--jobs", "1", "--kind", "pairwise"]
    assert main([*words, "--json", str(file)]) == 1
    records = json.loads(file.read_text())
    assert [record["seed"] for record in records] == [0, 1, 2]
    assert [list(record)[:8] for record in records] == [EIGHT] * 3
    assert [bool(record["problems"]) for record in records] == [False, True, False]
    assert f"raised {fault.__name__}: of the simulation's own" in records[broken]["problems"][0]
    assert "test_tools.py" in records[broken]["problems"][0]
    told = capsys.readouterr().out
    assert "seed 1 (pairwise) fails:" in told
    assert "--shrink 1 --kind pairwise" in told


def test_a_program_that_was_written_down_runs_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shrink.write(tmp_path / "p.json", 3, "pairwise", [Step("say", ["alice1", "bob"], 100)])
    assert main(["--program", str(tmp_path / "p.json")]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["steps"] == 1
    assert record["sent"] >= 1
    assert main(["--seed", "3", "--steps", "5", "--kind", "pairwise", "--trace"]) == 0
    assert "connection.up" in capsys.readouterr().out
    assert main(["--shrink", "3", "--steps", "5"]) == 0


def test_without_a_word_it_runs_a_hundred_seeds_of_two_thousand_steps(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = []

    def run(seed: int, kind: str, steps: int) -> Run:
        ran.append((seed, kind, steps))
        return Run(seed, kind)

    monkeypatch.setattr(command, "run", run)
    # The processes of a pool would know nothing of it.
    assert main(["--jobs", "1"]) == 0
    assert [seed for seed, _, _ in ran] == list(range(100))
    assert {steps for _, _, steps in ran} == {2000}
    assert {kind for _, kind, _ in ran} == {"pairwise", "groups"}
    told = capsys.readouterr().err
    assert "100 runs of 2000 steps" in told
    assert "0 of 100 runs, 0 failed, 0:00" in told, "it is told before the first one is over"
    assert "100 of 100 runs" in told


def test_how_far_it_is_is_told_while_a_run_takes_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "_LOOK", 0.01)
    assert main(["--seeds", "0-1", "--steps", "5", "--kind", "pairwise"]) == 0
    assert capsys.readouterr().err.count("0 of 2 runs") > 1
