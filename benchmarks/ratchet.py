"""Pairwise sessions: ours, the peers, and the floor of the primitives, side by side.

    python -m benchmarks.ratchet [--passes N] [--json FILE]

Operations (256 bytes of text):

- initiate: verify a bundle, agree, encrypt the first message. respond: read that message.
- round: a message that turns the Diffie-Hellman ratchet, encrypted and read.
- encrypt, decrypt: a message in one direction.
- fan-out: one text to 100 devices with sessions. batch: 100 texts to one device.
- stage derive, seal, store: the parts of one message in one direction (ours alone): keys;
  encryption and encoding; the state as bytes, as it is stored before a message leaves.

What differs: libsignal agrees by PQXDH and also ratchets with ML-KEM, its stores are maps in
memory behind promises; vodozemac's Olm agrees by three DHs, without KEM and without verifying a
signature; X3DH + DoubleRatchet agree without a KEM, by coroutines, with AES-CBC and HMAC.
`parlour-precomputed` had idle time before each message, which is not counted.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Protocol

from benchmarks import record
from benchmarks.floors import FLOORS
from benchmarks.ratchet_peers import Absent, DoubleRatchetPeer, LibsignalPeer, VodozemacPeer
from benchmarks.ratchet_subjects import Ours

OPERATIONS = {
    "initiate": 1,
    "respond": 1,
    "round": 1,
    "encrypt": 1,
    "decrypt": 1,
    "fan-out": 100,
    "batch": 100,
    "stage derive": 1,
    "stage seal": 1,
    "stage store": 1,
}


class Subject(Protocol):
    name: str
    operations: frozenset[str]

    def time(self, op: str, count: int) -> list[float]:
        """Do it `count` times; microseconds each."""
        ...


class FloorSubject:
    name = record.FLOOR
    operations = frozenset(floor.op for floor in FLOORS)

    def time(self, op: str, count: int) -> list[float]:
        (floor,) = (floor for floor in FLOORS if floor.op == op)
        return floor.time(count)


def subjects() -> tuple[list[Subject], list[str]]:
    """Who takes part, and why others do not."""
    found: list[Subject] = [Ours(), Ours(precomputed=True), FloorSubject()]
    absent = []
    for make in (LibsignalPeer, VodozemacPeer, DoubleRatchetPeer):
        try:
            found.append(make())
        except Absent as reason:
            absent.append(str(reason))
    return found, absent


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--passes", type=int, default=7, help="alternating passes over everybody")
    parser.add_argument("--count", type=int, default=40, help="runs of each operation in a pass")
    parser.add_argument("--json", type=Path, help="where the records are written")
    options = parser.parse_args()
    everybody, absent = subjects()
    samples: dict[tuple[str, str], list[float]] = {}
    for _ in range(options.passes):
        for op, n in OPERATIONS.items():
            count = options.count if n == 1 else max(options.count // 10, 1)
            for subject in everybody:
                if op in subject.operations:
                    timed = subject.time(op, count)
                    samples.setdefault((op, subject.name), []).extend(timed)
    records = [
        record.median_record("ratchet", op, n, subject.name, samples[op, subject.name], "us")
        for op, n in OPERATIONS.items()
        for subject in everybody
        if (op, subject.name) in samples
    ]
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} CPUs, load {load:.1f}; medians; (ratio to parlour)")
    record.report(records, absent, options.json)


if __name__ == "__main__":
    main()
