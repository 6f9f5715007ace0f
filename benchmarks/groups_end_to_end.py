"""Groups end to end: a server over TLS, and the machines of all members at their sockets.

Processes: the server; a founder, who makes all changes; a crowd, all other members, who share
what is public; later some joiners, who share nothing. Times run from the founder's call to what
is waited for at the members: a message in their store, or an epoch merged and written there.

A tree is *fresh* while nobody but the founder has committed, so that paths go to each member by
itself, and *warm* after updates of members all over it.
"""

from __future__ import annotations

import gc
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from benchmarks.groups_hosts import Remote, Served, start_host, start_server
from benchmarks.groups_world import Person, acquaint, make_world
from benchmarks.record import OURS, Record
from parlour.conversation.content import Text
from parlour.mls.public.suites import CipherSuiteId

BENCH: Final = "groups"
RUNS: Final = 3
JOINERS: Final = 20
WITNESSES: Final = 5
UPDATES: Final = 128
PATIENCE: Final = 1_200.0
_SUITES: Final = {
    OURS: CipherSuiteId.X25519_AES128GCM_SHA256_ED25519,
    f"{OURS}-xwing": CipherSuiteId.XWING_AES128GCM_SHA256_ED25519,
}


def progress(text: str) -> None:
    """Say how far it is."""
    load = os.getloadavg()[0]
    sys.stderr.write(f"[{time.strftime('%H:%M:%S')} load {load:.1f}] {text}\n")
    sys.stderr.flush()


def percentile(samples: Sequence[float], percent: float) -> float:
    """The value that so many of the samples do not exceed."""
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


@dataclass
class Scene:
    """Everything that runs, and what was found."""

    n: int
    subject: str
    suite: int
    server: Served
    founder: Remote
    crowd: Remote
    witnesses: Remote
    people: list[Person]
    extras: list[Person]
    crowd_size: int
    group: bytes = b""
    epoch: int = 0
    said: int = 0

    def __post_init__(self) -> None:
        self.samples: dict[str, list[float]] = {}

    def add(self, op: str, milliseconds: float) -> None:
        """Note a figure."""
        self.samples.setdefault(op, []).append(milliseconds)

    def spread(self, op: str, began: int, times: Sequence[int]) -> None:
        """Note how long it took until half of the members, 99 % of them and all were there."""
        taken = [(each - began) / 1e6 for each in times]
        if not taken:
            return
        figures = statistics.median(taken), percentile(taken, 99), max(taken)
        for word, value in zip(("p50", "p99", "last"), figures, strict=True):
            self.add(f"{op}_{word}", value)
        progress(f"{op}: " + " / ".join(f"{value:.0f}" for value in figures) + " ms")

    # --- Operations ----------------------------------------------------------------------

    def create(self) -> None:
        """Found the group with everybody, and wait until all are in."""
        others = [person.account_id for person in self.people[1:]]
        before = self.begin("create")
        began, self.group = self.founder.ask("create", "All", others, int(self.suite))
        self.settle()
        handled = self.founder.ask("when", 0, "handled", PATIENCE)
        self.add("create", (handled - began) / 1e6)
        self.epoch = self.founder.ask("state", 0)[0]
        progress(f"create: {(handled - began) / 1e6:.0f} ms, epoch {self.epoch}")
        self.spread("create_all_in", began, self.crowd.ask("watch", "active", PATIENCE))
        self.witnesses.ask("watch", "active", PATIENCE)
        self.tell_cpu("create", before)
        self.crowd.ask("quiet")
        self.founder.ask("quiet")

    def settle(self) -> None:
        """Until the founder has nothing left to do."""
        ends = time.monotonic() + PATIENCE
        while not self.founder.ask("is_content", 0):
            if time.monotonic() > ends:
                raise RuntimeError(
                    f"the founder does not come to rest: {self.founder.ask('state', 0)}"
                )
            time.sleep(0.01)

    def send(self, op: str) -> None:
        """A message to everybody."""
        self.said += 1
        text = f"text {self.said}"
        before = self.begin(op)
        began, _ = self.founder.ask("do", 0, "send_to", self.group, Text(text))
        self.spread(op, began, self.crowd.ask("watch", text, PATIENCE))
        self.tell_cpu(op, before)
        self.settle()

    def change(self, op: str, method: str, *arguments: Any) -> None:
        """A commit of the founder's."""
        self.founder.ask("forget", "handled")
        before = self.begin(op)
        began, _ = self.founder.ask("do", 0, method, self.group, *arguments)
        self._merged(op, began)
        handled = self.founder.ask("when", 0, "handled", PATIENCE)
        self.add(f"{op}_acknowledged", (handled - began) / 1e6)
        self.tell_cpu(op, before)
        self.settle()

    def _merged(self, op: str, began: int) -> None:
        self.epoch += 1
        self.spread(op, began, self.crowd.ask("watch", f"epoch {self.epoch}", PATIENCE))

    def witness(self, op: str, method: str, *arguments: Any) -> None:
        """The same as those few see it whose processor is not shared with a thousand others.

        For the crowd it ends at their sockets, by which the server is done.
        """
        time.sleep(1.5)
        self.crowd.ask("hold")
        began, _ = self.founder.ask("do", 0, method, self.group, *arguments)
        self.epoch += 1
        epoch = f"epoch {self.epoch}"
        seen = self.witnesses.ask("watch", epoch, PATIENCE)
        self.spread(f"{op}_arrived", began, self.crowd.ask("watch", "arrived", PATIENCE))
        self.crowd.ask("release")
        self.spread(f"{op}_visible", began, seen)
        self.crowd.ask("watch", epoch, PATIENCE)
        self.settle()

    def warm(self, updates: int) -> None:
        """Members all over the tree renew their keys."""
        step = max(1, self.crowd_size // updates)
        for turn, number in enumerate(range(0, self.crowd_size, step)):
            began, _ = self.crowd.ask("do", number, "group_refresh", self.group)
            self.epoch += 1
            times = self.crowd.ask("watch", f"epoch {self.epoch}", PATIENCE)
            if turn % 16 == 0:
                taken = percentile([(each - began) / 1e6 for each in times], 99)
                progress(f"warming, update {turn}: {taken:.0f} ms")

    def passes(self, state: str, runs: int) -> None:
        """Messages and changes, so many times."""
        for _ in range(runs):
            # A search for garbage among the memories of all members would fall upon one of them.
            self.crowd.ask("quiet")
            time.sleep(1.5)
            self.send(f"send_{state}")
            extra = self.extras.pop()
            time.sleep(1.5)
            self.change(f"add_{state}", "group_add", [extra.account_id])
            time.sleep(1.5)
            self.change(f"update_{state}", "group_refresh")
            time.sleep(1.5)
            self.change(f"remove_{state}", "group_remove", [extra.account_id])
            extra = self.extras.pop()
            self.witness(f"add_{state}", "group_add", [extra.account_id])
            self.witness(f"update_{state}", "group_refresh")
            self.witness(f"remove_{state}", "group_remove", [extra.account_id])

    def join(self, joiners: list[Person]) -> None:
        """Newcomers who know nothing, one after the other, while the crowd is away."""
        self.crowd.ask("disconnect")
        host = start_host(
            [person.devices[0] for person in joiners],
            self.server.port,
            self.server.pin,
            shares=False,
        )
        try:
            for number, person in enumerate(joiners):
                host.ask("connect", [number])
                time.sleep(0.3)
                before = host.ask("cpu")
                self.founder.ask("do", 0, "group_add", self.group, [person.account_id])
                host.begin("when", number, "active", PATIENCE)
                active = host.end()
                welcomed = host.ask("when", number, "welcomed", PATIENCE)
                self.add("join", (active - welcomed) / 1e6)
                self.add("join_cpu", 1000 * (host.ask("cpu") - before))
                self.settle()
                host.ask("disconnect")
            joins = self.samples["join"]
            progress(f"join: {statistics.median(joins):.0f} ms, worst {max(joins):.0f} ms")
        finally:
            host.stop()

    # --- Processors ----------------------------------------------------------------------

    def cpu(self) -> tuple[float, float, float]:
        """What server, founder and crowd have used."""
        return self.server.cpu(), self.founder.ask("cpu"), self.crowd.ask("cpu")

    def begin(self, op: str) -> tuple[float, float, float]:
        """Before an operation: what is told by `tell_cpu`."""
        self._profile(op)
        return self.cpu()

    def tell_cpu(self, op: str, before: tuple[float, float, float]) -> None:
        """What an operation has cost in each process."""
        used = [1000 * (now - then) for then, now in zip(before, self.cpu(), strict=True)]
        self._profile(op)
        words = list(zip(("server", "founder", "crowd"), used, strict=True))
        for word, milliseconds in words:
            self.add(f"{op}_cpu_{word}", milliseconds)
        progress(f"  {op}, CPU: " + ", ".join(f"{word} {ms:.0f} ms" for word, ms in words))

    def _profile(self, op: str) -> None:
        """Begin to profile, or end; where `PARLOUR_BENCH_PROFILE` names a folder for it."""
        folder = os.environ.get("PARLOUR_BENCH_PROFILE")
        if folder is not None:
            self.server.ask(f"{folder}/{op}-server.prof")
            for name, host in (("founder", self.founder), ("crowd", self.crowd)):
                host.ask("profile", f"{folder}/{op}-{name}.prof")

    def records(self) -> list[Record]:
        """The medians."""
        return [
            Record(
                BENCH,
                f"e2e_{op}",
                self.n,
                self.subject,
                float(f"{statistics.median(samples):.3g}"),
                "ms",
                len(samples),
            )
            for op, samples in self.samples.items()
        ]


@dataclass(frozen=True)
class Task:
    """What is to be measured."""

    n: int
    subject: str = OURS
    devices: int = 1
    """Of each person. One of them is online: a machine has no memory for two clients of each."""
    runs: int = RUNS
    updates: int = UPDATES
    joiners: int = JOINERS
    crowd: int = 1
    """0 where all but founder, witnesses and joiners are offline: what a busy machine can do."""


def measure(task: Task) -> list[Record]:
    """One size."""
    # With those who come while it is measured it is never larger: no group may have more people.
    people_count = task.n // task.devices - task.joiners - 1
    extras = 4 * task.runs
    suite = _SUITES[task.subject]
    with tempfile.TemporaryDirectory(prefix="parlour-bench-") as name:
        folder = Path(name) / "server"
        progress(f"n = {task.n:,}, {task.subject}: accounts ...")
        world = make_world(folder, people_count + extras + task.joiners, task.devices, suite)
        people, extra = world[:people_count], world[people_count : people_count + extras]
        joiners = world[people_count + extras :]
        acquaint(people[0].devices[0], world)
        step = max(2, people_count // WITNESSES)
        seeing = people[1::step]
        others = [person for person in people[1:] if person not in seeing]
        crowd = [person.devices[0] for person in others] if task.crowd else []
        witnesses = [person.devices[0] for person in seeing]
        for device in crowd + witnesses:
            acquaint(device, people)
        # What was made is not copied into each process by looking for garbage in it.
        gc.collect()
        gc.freeze()
        server = start_server(folder)
        started: list[Remote] = []
        try:
            host = start_host(crowd, server.port, server.pin, shares=True)
            started.append(host)
            lone = start_host(witnesses, server.port, server.pin, shares=False)
            started.append(lone)
            founder = start_host(people[0].devices[:1], server.port, server.pin, shares=False)
            started.append(founder)
            progress("connecting ...")
            host.ask("connect", list(range(len(crowd))))
            lone.ask("connect", list(range(len(witnesses))))
            founder.ask("connect", [0])
            scene = Scene(
                n=task.n,
                subject=task.subject,
                suite=suite,
                server=server,
                founder=founder,
                crowd=host,
                witnesses=lone,
                people=people,
                extras=list(extra),
                crowd_size=len(crowd),
            )
            time.sleep(3)
            scene.create()
            time.sleep(3)
            scene.passes("fresh", task.runs)
            if task.updates:
                scene.warm(task.updates)
                scene.passes("warm", task.runs)
            if joiners:
                scene.join(joiners)
            return scene.records()
        finally:
            for each in started:
                each.stop()
            server.stop()


# What is promised: the operation, its limit in milliseconds, and in words.
GOALS: Final = (
    ("create", 1500, 2000, "a group of 1,500 is founded"),
    ("add_warm_visible_p99", 1500, 500, "an add is visible to a connected member of 1,500"),
    ("remove_warm_visible_p99", 1500, 500, "a remove is visible to a connected member of 1,500"),
    ("add_fresh_visible_p99", 1500, 500, "the same of an add in a fresh tree"),
    ("remove_fresh_visible_p99", 1500, 500, "the same of a remove in a fresh tree"),
    ("send_warm_p99", 1500, 1000, "a message is at 99 % of 1,500 connected devices"),
    ("join", 1500, 1000, "a join of a group of 1,500"),
    ("add_warm_p99", 100, 150, "a change in a group of 100"),
    ("update_warm_p99", 100, 150, "the same of an update"),
)


def judge(records: Sequence[Record]) -> list[str]:
    """Which goals are met, as far as they were measured."""
    found = {(record.op, record.n): record.value for record in records if record.subject == OURS}
    lines = []
    for op, n, limit, words in GOALS:
        value = found.get((f"e2e_{op}", n))
        if value is not None:
            verdict = "met" if value < limit else "MISSED"
            lines.append(f"{verdict}: {words}: {value:g} ms of {limit} ms")
    return lines


TASKS: Final = (
    Task(100, runs=5, updates=100, joiners=5),
    Task(1500),
    Task(3000, devices=2, runs=3, joiners=5),
    Task(500, subject=f"{OURS}-xwing", runs=1, updates=0, joiners=5),
)


def measure_all(sizes: Sequence[int], *, crowd: bool) -> list[Record]:
    """What there is to measure of these sizes, and what of it was promised."""
    tasks = [task for task in TASKS if task.n in sizes]
    if not crowd:
        tasks = [replace(task, crowd=0, updates=0) for task in tasks]
    records = [record for task in tasks for record in measure(task)]
    for line in judge(records):
        progress(line)
    return records
