"""One seed is one run, wherever and however often it runs, and whoever looks on."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from parlour.conversation.policies import XWING
from parlour.testing.simulation.agreement import differences, orphans, unfulfilled
from parlour.testing.simulation.program import Drawn, Step
from parlour.testing.simulation.run import run
from parlour.testing.simulation.secrecy import trespasses
from parlour.testing.simulation.world import World

STEPS = 60
_PROGRAM = "from parlour.testing.simulation.run import run; print(run({seed}, '{kind}', 60).trace)"


class PostQuantum(Drawn):
    """The steps of a seed with groups, all of which are founded under X-Wing."""

    founded = 0

    def steps(self, world: World) -> Iterator[Step]:
        for step in super().steps(world):
            if step.action.startswith("found"):
                self.founded += 1
                name, suite = step.arguments[1], 3
                assert str(name).startswith("g")
                arguments = [*step.arguments[:suite], XWING, *step.arguments[suite + 1 :]]
                yield Step(step.action, arguments, step.pause)
            else:
                yield step


class Watched(Drawn):
    """The steps of a seed, while somebody looks at everything before each of them."""

    def steps(self, world: World) -> Iterator[Step]:
        for step in super().steps(world):
            look(world)
            yield step


def look(world: World) -> None:
    """Whatever the run itself looks at, now or at its end, and what a person sees."""
    for node in world.present():
        if node.ready:
            machine = node.engine.machine
            for group in machine.group_names:
                machine.group(group)
                machine.group_progress(group, node.clock())
            machine.next_timeout()
            world.at_rest([node], agreeing=True)
    for seen in (differences, orphans, unfulfilled, trespasses):
        seen(world)


@pytest.mark.parametrize(("seed", "kind"), [(4, "pairwise"), (7, "pairwise"), (8, "groups")])
def test_the_same_seed_is_the_same_run(seed: int, kind: str) -> None:
    first, second = run(seed, kind, STEPS), run(seed, kind, STEPS)
    assert first.trace == second.trace
    assert first.steps == second.steps
    traces = {first.trace}
    for hash_seed in ("0", "1", "4242"):
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM.format(seed=seed, kind=kind)],
            env={
                **os.environ,
                "PYTHONHASHSEED": hash_seed,
                "PYTHONPATH": os.pathsep.join(sys.path),
            },
            capture_output=True,
            text=True,
            check=True,
        )
        traces.add(done.stdout.strip())
    assert traces == {first.trace}


@pytest.mark.parametrize("seed", [8, 15])
def test_what_the_library_draws_for_x_wing_changes_nothing(seed: int) -> None:
    """The server of the second one lies, and damages ciphertext."""
    traces = set()
    for _ in range(2):
        program = PostQuantum(seed, "groups", STEPS)
        result = run(seed, "groups", STEPS, program)
        assert program.founded, "this seed founds no group: take another one"
        traces.add(result.trace)
    assert len(traces) == 1


@pytest.mark.parametrize(("seed", "kind"), [(4, "pairwise"), (8, "groups"), (26, "groups")])
def test_who_looks_on_changes_nothing(
    seed: int, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = run(seed, kind, STEPS)
    seen = run(seed, kind, STEPS, Watched(seed, kind, STEPS), show=True)
    assert capsys.readouterr().out
    assert seen.trace == alone.trace
    assert seen.steps == alone.steps


def test_another_seed_is_another_run() -> None:
    assert run(4, "pairwise", 40).trace != run(5, "pairwise", 40).trace
