"""Making a program that fails shorter: the search alone, and the command on a planted bug."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from parlour.client.store import LocalStore
from parlour.conversation.changes import Message
from parlour.testing.simulation import shrink
from parlour.testing.simulation.command import main
from parlour.testing.simulation.program import Step

SEED = 4
STEPS = 60


def test_shrinking_finds_what_a_failure_needs() -> None:
    steps = [Step("say", [number], 0) for number in range(200)]
    needed = {17, 90, 141}

    def fails(tried: object) -> bool:
        assert isinstance(tried, list)
        return needed <= {step.arguments[0] for step in tried}

    shorter = shrink.shrink(steps, fails)
    assert {step.arguments[0] for step in shorter} == needed


def test_what_needs_no_step_at_all_becomes_one_step() -> None:
    steps = [Step("say", [number], 0) for number in range(9)]
    assert len(shrink.shrink(steps, lambda _: True)) == 1


def test_the_command_makes_a_planted_bug_s_program_shorter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def forget(_store: LocalStore, _delivered: Sequence[Message]) -> None:
        """Note down nothing: who is started again shows the same once more."""

    words = ["--kind", "pairwise"]
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as planted:
        planted.setattr(LocalStore, "mark_delivered", forget)
        assert main(["--shrink", str(SEED), "--steps", str(STEPS), *words]) == 1
        told = capsys.readouterr().out
        seed, kind, steps = shrink.read(Path(f"simulation-{SEED}.json"))
        assert (seed, kind) == (SEED, "pairwise")
        assert f"{len(steps)} of {STEPS} steps are enough" in told
        assert f"--program simulation-{SEED}.json --trace" in told
        assert 1 <= len(steps) <= 4, "saying something, and somebody who is started again"
        problems = shrink.again(seed, kind, steps).problems
        assert problems
        assert problems[0] in told
        for number in range(len(steps)):
            without = steps[:number] + steps[number + 1 :]
            assert shrink.again(seed, kind, without).problems == []
        assert main(["--program", f"simulation-{SEED}.json"]) == 1
    assert shrink.again(seed, kind, steps).problems == [], "it was the bug"
    assert main(["--shrink", str(SEED), "--steps", "5", *words]) == 0
    assert f"seed {SEED} does not fail" in capsys.readouterr().out
