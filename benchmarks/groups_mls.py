"""Large groups as their library alone, with all that goes to a delivery service or to a store.

The members came by a Welcome and nobody has committed yet. That is the dearest state of a tree: a
path goes to each member by itself.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from benchmarks.mls_scene import make_bundle
from benchmarks.mls_subjects import held_bytes
from benchmarks.record import OURS, Record, median_record
from parlour.mls import (
    CommitOptions,
    Group,
    GroupRecords,
    KeyPackage,
    KeyPackageBundle,
    LeafIndex,
    PendingCommit,
    SharedStages,
    WelcomeJoin,
    join_welcome_parts,
    split_welcome,
)
from parlour.mls.public.suites import CipherSuite, CipherSuiteId, find_suite
from parlour.testing.mls import OPEN_POLICY

BENCH = "groups"
GROUP_ID = b"a benchmark of groups"
# As a client commits for its delivery service: the tree travels apart, and who comes later joins by
# the GroupInfo.
SERVED = CommitOptions(ratchet_tree=False, group_info=True)
ADDING = CommitOptions(path=False, ratchet_tree=False, group_info=True)
TEXT = bytes(256)
PASSES = 3

T = TypeVar("T")


class Samples:
    """What was measured, by operation and unit."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], list[float]] = {}

    def add(self, op: str, value: float, unit: str) -> None:
        self._found.setdefault((op, unit), []).append(value)

    def timed(self, op: str, call: Callable[[], T]) -> T:
        """Do it, and note the milliseconds."""
        start = time.perf_counter_ns()
        result = call()
        self.add(op, (time.perf_counter_ns() - start) / 1e6, "ms")
        return result

    def records(self, n: int, subject: str) -> list[Record]:
        return [
            median_record(BENCH, op, n, subject, samples, unit)
            for (op, unit), samples in self._found.items()
        ]


class Crowd:
    """A group of `n`: its creator, and members that joined and are measured.

    `shared` if they share what is public: then all others are members here, else `joined` of them,
    evenly from the left to the right.
    """

    def __init__(self, n: int, suite: CipherSuite, joined: int, *, shared: bool) -> None:
        self.n, self.suite, self.now = n, suite, int(time.time())
        self.samples = Samples()
        self.bundles = [make_bundle(number, suite, self.now) for number in range(n)]
        self.further = n
        self.shared = SharedStages() if shared else None
        # The last leaves are removed while it is measured.
        leaves = range(1, n - PASSES)
        self.joined = leaves if shared else leaves[:: max(1, len(leaves) // joined)][:joined]
        self.members: list[GroupRecords] = []

    def measure(self) -> Samples:
        """Everything, once."""
        self._create()
        self._join()
        # What stands ready is not searched for garbage between the samples.
        gc.collect()
        gc.freeze()
        for turn in range(PASSES):
            self._talk()
            self._commit("add", adds=[self._newcomer()], options=ADDING)
            self._commit("update", options=SERVED)
            self._commit("remove", removes=[LeafIndex(self.n - 1 - turn)], options=SERVED)
        self._load()
        gc.unfreeze()
        return self.samples

    def _create(self) -> None:
        identity, packages = self.bundles[0].identity, [b.key_package for b in self.bundles[1:]]

        def create() -> tuple[Group, PendingCommit]:
            group = Group.create(identity, GROUP_ID, self.now, policy=OPEN_POLICY)
            pending = group.commit(self.now, adds=packages, options=ADDING)
            group.merge(pending, self.now)
            return group, pending

        group, pending = self.samples.timed("create", create)
        group.share(self.shared)
        self.creator = GroupRecords(group)
        self.creator.take_changes()
        self.tree = self.samples.timed("tree", group.tree)
        self.info, self.parts = split_welcome(pending.welcome or b"")
        for name, size in (
            ("welcome_bytes", len(pending.welcome or b"")),
            ("welcome_part_bytes", max(map(len, self.parts.values()))),
            ("tree_bytes", len(self.tree)),
        ):
            self.samples.add(name, size, "bytes")

    def _join(self) -> None:
        for leaf in self.joined:
            bundle = self.bundles[leaf]
            records = GroupRecords(self.samples.timed("join", partial(self._join_one, bundle)))
            self._store("store_join", records)
            self.members.append(records)
        size = held_bytes(partial(self._join_one, self.bundles[self.n - PASSES]))
        self.samples.add("member_bytes", size, "bytes")

    def _join_one(self, bundle: KeyPackageBundle) -> Group:
        how = WelcomeJoin(OPEN_POLICY, ratchet_tree=self.tree, shared=self.shared)
        welcome = join_welcome_parts(self.suite.id, self.info, self.parts[bundle.reference])
        return Group.join(welcome, [bundle], self.now, how)[0]

    def _newcomer(self) -> KeyPackage:
        self.further += 1
        return make_bundle(self.further, self.suite, self.now).key_package

    def _commit(self, op: str, **changes: Any) -> None:
        """One commit: made, processed by each member on bytes of its own, and stored."""
        commit = self.creator.group.commit
        made = self.samples.timed(op, lambda: commit(self.now, **changes))
        self.creator.group.merge(made, self.now)
        self.creator.take_changes()
        self.samples.add(f"{op}_bytes", len(made.commit), "bytes")
        for member in self.members:
            data = bytes(bytearray(made.commit))
            process = partial(member.group.process, data, self.now)
            self.samples.timed(f"process_{op}", process)
            self._store(f"store_{op}", member)

    def _talk(self) -> None:
        """Two messages: the first takes the sender's secrets from the root."""
        for op in ("first", "next"):
            message = self.samples.timed("encrypt", lambda: self.creator.group.encrypt(TEXT))
            for member in self.members:
                data = bytes(bytearray(message))
                decrypt = partial(member.group.decrypt, data, self.now)
                self.samples.timed(f"decrypt_{op}", decrypt)
                self._store(f"store_{op}", member)

    def _store(self, op: str, member: GroupRecords) -> None:
        changes = self.samples.timed(op, member.take_changes)
        size = sum(len(data or b"") for data in changes.values())
        self.samples.add(f"{op}_bytes", size, "bytes")

    def _load(self) -> None:
        for member in self.members[:PASSES]:
            stored = GroupRecords(member.group).take_changes()
            records = {key: data for key, data in stored.items() if data is not None}
            self.samples.timed("load", partial(GroupRecords.load, records, OPEN_POLICY))


def measure(n: int, suites: dict[str, CipherSuite], joined: int) -> list[Record]:
    """Each suite, with members that do all for themselves, and with some that share."""
    found: list[Record] = []
    for name, suite in suites.items():
        for shared in (False, True):
            subject = f"{name}-shared" if shared else name
            found += Crowd(n, suite, joined, shared=shared).measure().records(n, subject)
    return found


def default_suites() -> dict[str, CipherSuite]:
    """Ours, and with keys that a quantum computer does not break either."""
    return {
        OURS: find_suite(CipherSuiteId.X25519_AES128GCM_SHA256_ED25519),
        f"{OURS}-xwing": find_suite(CipherSuiteId.XWING_AES128GCM_SHA256_ED25519),
    }
