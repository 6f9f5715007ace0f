"""Large groups: what members, servers and stores have to do at 1,500 and 3,000 leaves.

    python -m benchmarks.groups [--parts mls,e2e] [--sizes 1500,3000] [--e2e 1500] [--json FILE]

- mls: the library alone (`groups_mls`). `create` adds all in one commit; `join` is by a part of its
  Welcome and the tree beside it; then commits that add, update and remove, each made by the creator
  and processed by members; messages, of which a sender's first in an epoch costs more; `store_*` is
  what encoding the changed records takes, and how much is written; `load` reads all records.
- e2e: a server over TLS and the machines of all members at their sockets (`groups_end_to_end`):
  100, 1,500, 3,000 (two devices each), and 500 with X-Wing. Its operations begin with `e2e_`.

`parlour` does everything for itself; `parlour-shared` are all members in one process, which share
what is public. `parlour-xwing` uses X-Wing. Values are medians over all members that are measured.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import groups_end_to_end, groups_mls
from benchmarks.record import Record, report

SIZES = (1_500, 3_000)
END_TO_END = (100, 500, 1_500, 3_000)
# Of members that share nothing a few are enough; each holds a tree of its own.
JOINED = 20


def measure_mls(options: argparse.Namespace) -> list[Record]:
    """The library alone."""
    sizes = map(int, options.sizes)
    return [r for n in sizes for r in groups_mls.measure(n, options.suites, options.joined)]


def measure_end_to_end(options: argparse.Namespace) -> list[Record]:
    """With server and sockets."""
    sizes = [int(n) for n in options.e2e]
    return groups_end_to_end.measure_all(sizes, crowd=not options.no_crowd)


PARTS: dict[str, Callable[[argparse.Namespace], list[Record]]] = {
    "mls": measure_mls,
    "e2e": measure_end_to_end,
}


def listed(text: str) -> list[str]:
    return text.split(",")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    sizes = ",".join(map(str, SIZES))
    parser.add_argument("--parts", type=listed, default=list(PARTS), help="default all")
    parser.add_argument("--sizes", type=listed, default=sizes.split(","), help=f"default {sizes}")
    ends = ",".join(map(str, END_TO_END))
    parser.add_argument("--e2e", type=listed, default=ends.split(","), help=f"default {ends}")
    words = "of e2e: most members are offline"
    parser.add_argument("--no-crowd", action="store_true", help=words)
    parser.add_argument("--joined", type=int, default=JOINED, help=f"default {JOINED}")
    parser.add_argument("--suites", type=listed, help="parlour, parlour-xwing; default both")
    path = Path("build") / "groups.json"
    parser.add_argument("--json", type=Path, default=path, help=f"default {path}")
    options = parser.parse_args()
    suites = groups_mls.default_suites()
    options.suites = {name: suites[name] for name in options.suites or suites}
    return options


def main() -> None:
    options = arguments()
    records: list[Record] = []
    for part in options.parts:
        begun = time.perf_counter()
        records += PARTS[part](options)
        taken = time.perf_counter() - begun
        print(f"{part}: {taken:.0f} s", file=sys.stderr, flush=True)
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; (ratio to parlour)")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    report(records, [], options.json)


if __name__ == "__main__":
    main()
