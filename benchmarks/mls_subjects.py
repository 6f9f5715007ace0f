"""Parlour's groups as the benchmark drives them."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from benchmarks.mls_scene import ADDING, REFRESH, Scene, fork, read_key_packages, warm_pair
from parlour.mls import Group, PendingCommit, WelcomeJoin
from parlour.mls.public.suites import CipherSuite, CipherSuiteId, find_suite
from parlour.mls.public.validation.signatures import Run
from parlour.testing.mls import OPEN_POLICY

TEXT = bytes(256)
THREADS = 2
AHEAD = 100


def milliseconds(start: int) -> float:
    return (time.perf_counter_ns() - start) / 1_000_000


def held_bytes(make: Callable[[], object]) -> int:
    """What Python keeps of what `make` returns."""
    gc.collect()
    tracemalloc.start()
    made = make()
    gc.collect()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del made
    return size


class Ours:
    """Commits are made again and again from the same epoch, which stays as it is until a merge."""

    operations = frozenset(
        (
            *("create", "join", "add", "process_add", "update_fresh", "update_warm"),
            *("process_update_warm", "remove", "process_remove", "encrypt", "decrypt"),
            *("commit_bytes", "welcome_bytes", "group_bytes"),
        )
    )

    def __init__(self, name: str = "parlour", suite: int = CipherSuiteId(1)) -> None:
        self.name = name
        self.suite: CipherSuite = find_suite(suite)
        self.run: Run = map

    def prepare(self, n: int, now: int) -> None:
        """Everything that the operations need and that is not timed."""
        self.now = now
        self.scene = Scene.make(n, now, self.suite)
        self.group, pending = self.scene.create(self.scene.added)
        self.welcome = pending.welcome or b""
        self.last = self._join()
        self.text_from, self.text_to = self.fresh_pair()
        self.messages: list[bytes] = []
        self._pair: tuple[Group, Group] | None = None

    def time(self, op: str, count: int) -> list[float]:
        run: Callable[[], float] = getattr(self, op)
        return [run() for _ in range(count)]

    def pair(self) -> tuple[Group, Group]:
        """The first and the last member of a warm group."""
        if self._pair is None:
            self._pair = warm_pair(self.scene, self.group)
        first, last = self._pair
        return fork(first), fork(last)

    def fresh_pair(self) -> tuple[Group, Group]:
        """The same after nothing but the commit that added everybody."""
        return fork(self.group), fork(self.last)

    def _join(self) -> Group:
        bundles, join = self.scene.bundles[-1:], WelcomeJoin(OPEN_POLICY)
        return Group.join(self.welcome, bundles, self.now, join, run=self.run)[0]

    # --- Beginnings ---

    def create(self) -> float:
        scene, added = self.scene, self.scene.added
        start = time.perf_counter_ns()
        group = Group.create(scene.bundles[0].identity, b"another", self.now, policy=OPEN_POLICY)
        pending = group.commit(
            self.now, adds=read_key_packages(added), options=ADDING, run=self.run
        )
        group.merge(pending, self.now)
        return milliseconds(start)

    def join(self) -> float:
        start = time.perf_counter_ns()
        self._join()
        return milliseconds(start)

    # --- Changes ---

    def _add(self, group: Group) -> PendingCommit:
        (key_package,) = read_key_packages([self.scene.further.key_package.encoded])
        return group.commit(self.now, adds=[key_package], options=ADDING)

    def _refresh(self, group: Group) -> PendingCommit:
        return group.commit(self.now, options=REFRESH)

    def _remove(self, group: Group) -> PendingCommit:
        return group.commit(self.now, removes=[self.scene.removed])

    def _make(self, pair: tuple[Group, Group], make: Callable[[Group], PendingCommit]) -> float:
        group, _ = pair
        start = time.perf_counter_ns()
        group.merge(make(group), self.now)
        return milliseconds(start)

    def _process(self, pair: tuple[Group, Group], make: Callable[[Group], PendingCommit]) -> float:
        group, other = pair
        commit = make(group).commit
        start = time.perf_counter_ns()
        other.process(commit, self.now)
        return milliseconds(start)

    def add(self) -> float:
        return self._make(self.fresh_pair(), self._add)

    def process_add(self) -> float:
        return self._process(self.fresh_pair(), self._add)

    def update_fresh(self) -> float:
        return self._make(self.fresh_pair(), self._refresh)

    def update_warm(self) -> float:
        return self._make(self.pair(), self._refresh)

    def process_update_warm(self) -> float:
        return self._process(self.pair(), self._refresh)

    def remove(self) -> float:
        return self._make(self.fresh_pair(), self._remove)

    def process_remove(self) -> float:
        return self._process(self.fresh_pair(), self._remove)

    # --- Messages ---

    def encrypt(self) -> float:
        group = self.text_from
        start = time.perf_counter_ns()
        self.messages.append(group.encrypt(TEXT))
        return milliseconds(start)

    def decrypt(self) -> float:
        if not self.messages:
            self.encrypt()
        message = self.messages.pop(0)
        group = self.text_to
        start = time.perf_counter_ns()
        group.decrypt(message, self.now)
        return milliseconds(start)

    # --- Sizes ---

    def commit_bytes(self) -> float:
        return len(self._refresh(self.pair()[0]).commit)

    def welcome_bytes(self) -> float:
        return len(self.welcome)

    def group_bytes(self) -> float:
        return held_bytes(self._join)


class OursAhead(Ours):
    """The sender had idle time: its message keys are ready."""

    operations = frozenset(("encrypt",))

    def encrypt(self) -> float:
        if not self.messages:
            self.text_from.precompute(AHEAD)
        self.messages = self.messages[-AHEAD:]
        self.text_from.precompute(1)
        return super().encrypt()


class OursThreaded(Ours):
    """Signatures are verified by the threads of an executor."""

    operations = frozenset(("create", "join"))

    def prepare(self, n: int, now: int) -> None:
        self.executor = ThreadPoolExecutor(THREADS)
        self.run = self.executor.map
        super().prepare(n, now)


class OursXWing(Ours):
    """The same with X-Wing in place of X25519."""

    operations = Ours.operations - {"encrypt", "decrypt"}


def all_ours() -> list[Ours]:
    return [
        Ours(),
        OursAhead("parlour-ahead"),
        OursThreaded("parlour-threads"),
        OursXWing("parlour-xwing", CipherSuiteId.XWING_AES128GCM_SHA256_ED25519),
    ]
