"""One seed is one run, wherever and however often it runs."""

import os
import subprocess
import sys

import pytest

from parlour.testing.simulation.run import run

_PROGRAM = "from parlour.testing.simulation.run import run; print(run({seed}, '{kind}', 60).trace)"


@pytest.mark.parametrize(("seed", "kind"), [(4, "pairwise"), (7, "pairwise")])
def test_the_same_seed_is_the_same_run(seed: int, kind: str) -> None:
    first, second = run(seed, kind, 60), run(seed, kind, 60)
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


def test_another_seed_is_another_run() -> None:
    assert run(4, "pairwise", 40).trace != run(5, "pairwise", 40).trace
