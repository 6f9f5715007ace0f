"""The engine that works everywhere: seeded mutations, one after the other."""

from __future__ import annotations

import time
from random import Random

from fuzz.check import Finding, accepts
from fuzz.evidence import Result
from fuzz.mutate import mutate
from fuzz.registry import Target

# Reading the clock costs as much as a small decoder.
_CLOCK_EVERY = 64


def run(target: Target, *, seed: int, seconds: float = 0, runs: int | None = None) -> Result:
    """Try the seeds, then mutations, for `seconds`, or exactly `runs` of them."""
    random = Random(f"{target.name} {seed}")
    seeds = [*target.seeds, b""]
    result = Result(target.name, "loop", seed, len(target.seeds))
    began = time.monotonic()

    def over() -> bool:
        done = result.executions - len(seeds)
        if runs is not None:
            return done >= runs
        return done % _CLOCK_EVERY == 0 and time.monotonic() - began >= seconds

    try:
        for data in seeds:
            result.count(accepted=accepts(target.name, target.run, data))
        while not over():
            result.count(accepted=accepts(target.name, target.run, mutate(random, seeds)))
    except Finding as finding:
        result.findings.append(str(finding))
    result.seconds = time.monotonic() - began
    return result
