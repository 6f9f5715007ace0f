"""The command: run seeds, show one, or make a failing one shorter.

Without a word it runs 100 seeds of 2,000 steps. How far it is stands on standard error, renewed
every few seconds, as one run may take minutes.
A record for each seed goes to `--json`, as a list; `--evidence` takes their sum. What fails is
printed with the commands that show it and that make it shorter; the exit code is 1 then.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from multiprocessing.pool import IMapIterator
from pathlib import Path
from typing import Any, Final

from parlour.testing.simulation import evidence, shrink
from parlour.testing.simulation.program import KINDS, Step
from parlour.testing.simulation.program import kind_of as _kind_of
from parlour.testing.simulation.run import Run, run

STEPS: Final = 2000
# What runs when nothing is said: enough to see each kind of fault many times.
SEEDS: Final = "0-99"
_ME: Final = "python -m parlour.testing.simulation"
_SHOWN: Final = 5
# Seconds after which it is told again how far it is.
_LOOK: Final = 5


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=_ME, description=__doc__)
    parser.add_argument("--seeds", metavar="A-B", default=SEEDS, help=f"run these ({SEEDS})")
    parser.add_argument("--seed", type=int, metavar="N", help="run one")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of each run ({STEPS})")
    parser.add_argument("--kind", choices=("all", *KINDS), default="all")
    parser.add_argument("--jobs", type=int, default=2, help="processes (2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write a record of each run")
    parser.add_argument("--evidence", type=Path, metavar="FILE", help="write the sum of all runs")
    parser.add_argument("--trace", action="store_true", help="show what happens in the run")
    parser.add_argument("--shrink", type=int, metavar="N", help="make a failing program shorter")
    parser.add_argument("--program", type=Path, metavar="FILE", help="run what --shrink wrote")
    return parser.parse_args(argv)


def kind_of(seed: int, kind: str) -> str:
    """Which kind of run a seed has."""
    return _kind_of(seed) if kind == "all" else kind


def main(argv: Sequence[str] | None = None) -> int:
    """Run; 0 is fine, 1 is a failure."""
    arguments = _arguments(argv)
    if arguments.shrink is not None:
        return _shrink(arguments.shrink, kind_of(arguments.shrink, arguments.kind), arguments)
    if arguments.program is not None:
        return _report(_replayed(arguments.program, show=arguments.trace), arguments)
    if arguments.seed is not None:
        kind = kind_of(arguments.seed, arguments.kind)
        result = run(arguments.seed, kind, arguments.steps, show=arguments.trace)
        return _report(result, arguments)
    return _run_many(arguments, argv)


def _run_many(arguments: argparse.Namespace, argv: Sequence[str] | None) -> int:
    first, _, last = arguments.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    tasks = [(seed, kind_of(seed, arguments.kind), arguments.steps) for seed in seeds]
    records = []
    failed = 0
    begun = time.monotonic()
    sys.stderr.write(f"{len(tasks)} runs of {arguments.steps} steps, {arguments.jobs} at a time\n")
    for record in _records(tasks, arguments.jobs):
        if record is not None:
            records.append(record)
            failed += bool(record["problems"])
        _progress(len(records), len(tasks), failed, time.monotonic() - begun)
        if record is None:
            continue
        if record["problems"]:
            _tell(record["seed"], record["kind"], record["problems"], arguments.steps)
        # Whoever stops a long run has what it had found by then.
        _write(arguments, argv, records)
    sys.stderr.write("\n")
    return 1 if failed else 0


def _write(
    arguments: argparse.Namespace, argv: Sequence[str] | None, records: list[dict[str, Any]]
) -> None:
    records.sort(key=lambda record: int(record["seed"]))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    if arguments.evidence is not None:
        words = sys.argv[1:] if argv is None else argv
        evidence.write(arguments.evidence, f"{_ME} {shlex.join(words)}", records)


def _records(tasks: Sequence[tuple[int, str, int]], jobs: int) -> Iterator[dict[str, Any] | None]:
    """The record of each run when it is over, and None every few seconds in between."""
    if jobs <= 1 or len(tasks) == 1:
        yield None
        yield from map(_record, tasks)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        records = pool.imap_unordered(_record, tasks)
        for _ in tasks:
            while (record := _next(records)) is None:
                yield None
            yield record


def _next(records: IMapIterator[dict[str, Any]]) -> dict[str, Any] | None:
    try:
        return records.next(timeout=_LOOK)
    except multiprocessing.TimeoutError:
        return None


def _record(task: tuple[int, str, int]) -> dict[str, Any]:
    seed, kind, steps = task
    return run(seed, kind, steps).record()


def _progress(done: int, count: int, failed: int, seconds: float) -> None:
    minutes, rest = divmod(int(seconds), 60)
    sys.stderr.write(f"\r{done} of {count} runs, {failed} failed, {minutes}:{rest:02} ")
    sys.stderr.flush()


def _tell(seed: int, kind: str, problems: Sequence[str], steps: int) -> None:
    """Say what failed, how to see it, and how to make it shorter."""
    lines = [f"seed {seed} ({kind}) fails:", *(f"  {problem}" for problem in problems[:_SHOWN])]
    if len(problems) > _SHOWN:
        lines.append(f"  and {len(problems) - _SHOWN} more")
    lines.append(f"  {_ME} --seed {seed} --kind {kind} --steps {steps} --trace")
    lines.append(f"  {_ME} --shrink {seed} --kind {kind} --steps {steps}")
    sys.stdout.write("\n" + "\n".join(lines) + "\n")
    sys.stdout.flush()


def _report(result: Run, arguments: argparse.Namespace) -> int:
    sys.stdout.write(json.dumps(result.record()) + "\n")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([result.record()], indent=1) + "\n", encoding="utf-8")
    return 1 if result.problems else 0


def _replayed(path: Path, *, show: bool) -> Run:
    seed, kind, steps = shrink.read(path)
    return shrink.again(seed, kind, steps, show=show)


def _shrink(seed: int, kind: str, arguments: argparse.Namespace) -> int:
    original = run(seed, kind, arguments.steps)
    if not original.problems:
        sys.stdout.write(f"seed {seed} does not fail\n")
        return 0
    tried = 0

    def fails(steps: Sequence[Step]) -> bool:
        nonlocal tried
        tried += 1
        sys.stderr.write(f"\r{tried} tried, now {len(steps)} steps ")
        sys.stderr.flush()
        return bool(shrink.again(seed, kind, steps).problems)

    steps = shrink.shrink(original.steps, fails) if fails(original.steps) else original.steps
    path = Path(f"simulation-{seed}.json")
    shrink.write(path, seed, kind, steps)
    problems = shrink.again(seed, kind, steps).problems
    sys.stdout.write(
        f"\n{len(steps)} of {len(original.steps)} steps are enough for: {problems[0]}\n"
    )
    sys.stdout.write(f"{_ME} --program {path} --trace\n")
    return 1
