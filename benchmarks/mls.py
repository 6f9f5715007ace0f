"""Groups by MLS: ours, the peers, and the floor of the primitives, side by side.

    python -m benchmarks.mls [--sizes 2,10,100] [--ops join,add] [--peers none] ...

Operations on a group of n members (suite 1, basic credentials, public handshake messages, the tree
in the Welcome; 256 bytes of text). The first member commits, the last one processes.

- create: make a group and add n - 1 key packages in one commit; join: the last of them, from the
  Welcome. add, process_add: one more, by a commit without a path.
- update_fresh: the first path after that; remove, process_remove: one member, in such a tree.
- update_warm, process_update_warm: a path where all inner nodes are filled.
- encrypt, decrypt. commit_bytes (of update_warm), welcome_bytes (of create), group_bytes (memory).

Decoding and encoding are included, merging too. Peers are timed until their budget is spent, but
each operation at least once; ours alone is measured where the group is larger than --peers-to.

What differs: core-crypto stores each state (in memory) and exports a GroupInfo with each commit.
rfc9420 sends proposals apart from commits, and its receivers refuse its own paths, so it has no
warm tree. parlour-ahead had idle time, parlour-threads verifies in two threads, parlour-xwing uses
X-Wing.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from benchmarks import record
from benchmarks.floors import group_floors
from benchmarks.mls_peers import Absent, CoreCrypto, Rfc9420, TsMls, Unable
from benchmarks.mls_subjects import all_ours
from benchmarks.plot import write_plot

SIZES = (2, 10, 100, 500, 1_500, 5_000, 10_000)
OPERATIONS = (
    *("create", "join", "add", "process_add", "update_fresh", "update_warm"),
    *("process_update_warm", "remove", "process_remove", "encrypt", "decrypt"),
    *("commit_bytes", "welcome_bytes", "group_bytes"),
)
# Of these a run measures many, because one is over soon.
QUICK = ("encrypt", "decrypt")
# Who of ours is measured where no peer is.
LARGE = (record.OURS, "parlour-threads")
PEERS = {"rfc9420": Rfc9420, "ts-mls": TsMls, "core-crypto": CoreCrypto}


class Subject(Protocol):
    name: str
    operations: frozenset[str]

    def prepare(self, n: int, now: int) -> None:
        """Make ready for groups of `n`, at `now` in seconds since the epoch."""
        ...

    def time(self, op: str, count: int) -> list[float]:
        """Do it `count` times; milliseconds each, or bytes."""
        ...


class FloorSubject:
    name = record.FLOOR
    operations = frozenset(floor.op for floor in group_floors(2))

    def prepare(self, n: int, now: int) -> None:
        self.floors = {floor.op: floor for floor in group_floors(n)}

    def time(self, op: str, count: int) -> list[float]:
        return [sample / 1_000 for sample in self.floors[op].time(count)]


class Stopwatch:
    """Samples of all subjects at one size, in passes that alternate between them."""

    def __init__(self, n: int, passes: int, budget: float) -> None:
        self.n, self.passes, self.budget = n, passes, budget
        self.samples: dict[tuple[str, str], list[float]] = {}
        self.spent: dict[str, float] = {}
        self.unable: dict[str, str] = {}

    def run(self, subjects: Iterable[Subject], ops: Iterable[str]) -> None:
        everybody = list(subjects)
        now = int(time.time())
        for subject in everybody:
            subject.prepare(self.n, now)
        # What stands ready is not searched for garbage between the samples.
        gc.collect()
        gc.freeze()
        for turn in range(self.passes):
            for op in ops:
                for subject in everybody:
                    self._measure(subject, op, turn)

    def _measure(self, subject: Subject, op: str, turn: int) -> None:
        place = (op, subject.name)
        sized = op.endswith("_bytes")
        over = turn > 0 and (sized or self.spent.get(subject.name, 0.0) > self.budget)
        if op not in subject.operations or over or f"{op} {subject.name}" in self.unable:
            return
        start = time.perf_counter()
        try:
            if op in QUICK:
                timed = subject.time(op, 40)
            elif sized:
                timed = subject.time(op, 1)
            else:
                timed = subject.time(op, 1)
                # Short ones are repeated, as long as 0.1 s lasts.
                more = min(19, int(100 / max(timed[0], 0.1)))
                if more and self.spent.get(subject.name, 0.0) < self.budget:
                    timed += subject.time(op, more)
        except Unable as reason:
            self.unable[f"{op} {subject.name}"] = str(reason)
            return
        self.spent[subject.name] = self.spent.get(subject.name, 0.0) + time.perf_counter() - start
        self.samples.setdefault(place, []).extend(timed)

    def records(self, *, best: bool) -> list[record.Record]:
        """The medians, or the best of all samples."""
        found = []
        for (op, subject), samples in self.samples.items():
            unit = "bytes" if op.endswith("_bytes") else "ms"
            made = record.median_record("mls", op, self.n, subject, samples, unit)
            found.append(replace(made, value=float(f"{min(samples):.3g}")) if best else made)
        return found


def find_peers(names: str) -> tuple[list[Subject], list[str]]:
    """The peers that are wanted and there, and why others are not."""
    found: list[Subject] = []
    absent = []
    wanted = [] if names == "none" else names.split(",")
    for name in wanted:
        try:
            found.append(PEERS[name]())
        except Absent as reason:
            absent.append(str(reason))
    return found, absent


def listed(text: str) -> list[str]:
    return text.split(",")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    sizes = ",".join(map(str, SIZES))
    parser.add_argument("--sizes", type=listed, default=sizes, help=f"default {sizes}")
    parser.add_argument("--ops", type=listed, default=",".join(OPERATIONS), help="default all")
    parser.add_argument("--peers", default=",".join(PEERS), help="of these, or none")
    parser.add_argument("--peers-to", type=int, default=1_500, help="largest group of peers")
    parser.add_argument("--ours", type=listed, help="which of ours; default all")
    parser.add_argument(
        "--best", action="store_true", help="minima, not medians: where others use the machine too"
    )
    parser.add_argument("--passes", type=int, default=3, help="alternating passes over everybody")
    parser.add_argument(
        "--budget", type=float, default=8, help="seconds for one subject at one size"
    )
    for kind, name in (("json", "mls.json"), ("plot", "mls.svg")):
        path = Path("build") / name
        parser.add_argument(f"--{kind}", type=Path, default=path, help=f"default {path}")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    ours = [s for s in all_ours() if not options.ours or s.name in options.ours]
    peers, absent = find_peers(options.peers)
    ops = [op for op in OPERATIONS if op in options.ops]
    records: list[record.Record] = []
    for n in map(int, options.sizes):
        watch = Stopwatch(n, options.passes, options.budget)
        small = n <= options.peers_to
        taking_part: list[Subject] = [s for s in ours if small or s.name in LARGE]
        taking_part += [FloorSubject(), *(peers if small else ())]
        begun = time.perf_counter()
        watch.run(taking_part, ops)
        records += watch.records(best=options.best)
        absent += watch.unable.values()
        taken = time.perf_counter() - begun
        print(f"n = {n:,}: {taken:.0f} s", file=sys.stderr, flush=True)
    order = {op: place for place, op in enumerate(OPERATIONS)}
    records.sort(key=lambda r: (order[r.op], r.n))
    load, kind = os.getloadavg()[0], "minima" if options.best else "medians"
    print(f"{os.cpu_count()} CPUs, load {load:.1f}; {kind}; (ratio to parlour)")
    for path in (options.json, options.plot):
        path.parent.mkdir(parents=True, exist_ok=True)
    record.report(records, absent, options.json)
    write_plot(options.plot, records)


if __name__ == "__main__":
    main()
