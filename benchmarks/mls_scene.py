"""Inputs that all subjects of the MLS benchmark share: key packages, and a warm group.

A warm tree has all its inner nodes filled. To come by one, each even leaf has to commit; here one
holder of all private keys does it for all of them, in an order in which each commit is small.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import lru_cache

from parlour.codec import Reader, Writer, decode
from parlour.mls import (
    BasicCredential,
    Capabilities,
    CommitOptions,
    Group,
    Identity,
    KeyPackageBundle,
    PendingCommit,
)
from parlour.mls.private.member import Member
from parlour.mls.private.secret_tree import SecretTree
from parlour.mls.public.key_package import KeyPackage
from parlour.mls.public.suites import DEFAULT_SUITE, CipherSuite
from parlour.mls.public.types import LeafIndex
from parlour.testing.mls import OPEN_POLICY

GROUP_ID = b"benchmark of groups"
REFRESH = CommitOptions()
# As the other libraries do where a path may be left out.
ADDING = CommitOptions(path=False)


def client_name(number: int) -> bytes:
    """An identity in the form that core-crypto wants: user, device, domain."""
    user = f"00000000-0000-4000-9000-{number:012d}"
    return f"{user}:{number:x}@parlour.example".encode()


def make_bundle(number: int, suite: CipherSuite, now: int) -> KeyPackageBundle:
    """A client with the shortest capabilities that this group needs, and no GREASE."""
    capabilities = Capabilities((1,), (int(suite.id),), (), (), (1, 2))
    credential = BasicCredential(client_name(number))
    identity = Identity.generate(credential, suite, grease=False)
    return KeyPackageBundle.create(replace(identity, capabilities=capabilities), now, grease=False)


def read_key_packages(encoded: Sequence[bytes]) -> list[KeyPackage]:
    return [decode(data, KeyPackage.read) for data in encoded]


@dataclass(frozen=True, slots=True)
class Scene:
    """The clients of a group of `n`: number 0 creates it, the last one joins."""

    n: int
    now: int
    suite: CipherSuite
    bundles: tuple[KeyPackageBundle, ...]
    further: KeyPackageBundle

    @classmethod
    @lru_cache(2)
    def make(cls, n: int, now: int, suite: CipherSuite = DEFAULT_SUITE) -> Scene:
        """Subjects that are measured together share one."""
        first, *others = (make_bundle(number, suite, now) for number in range(n + 1))
        return cls(n, now, suite, (first, *others[:-1]), others[-1])

    @property
    def added(self) -> list[bytes]:
        """The key packages of all but the creator."""
        return [bundle.key_package.encoded for bundle in self.bundles[1:]]

    @property
    def removed(self) -> LeafIndex:
        """Whom the benchmark removes."""
        return LeafIndex(self.n // 2)

    def create(self, added: Sequence[bytes]) -> tuple[Group, PendingCommit]:
        group = Group.create(self.bundles[0].identity, GROUP_ID, self.now, policy=OPEN_POLICY)
        pending = group.commit(self.now, adds=read_key_packages(added), options=ADDING)
        group.merge(pending, self.now)
        return group, pending


def fork(group: Group) -> Group:
    """The same group, to be changed by itself."""
    member, writer = copy(group.member), Writer()
    member.secret_tree.write(writer)
    member.secret_tree = SecretTree.read(group.current.suite, Reader(writer.data()))
    return Group(member)


def act_as(group: Group, scene: Scene, leaf_index: int) -> Group:
    """The same epoch in the hands of another member, whose path keys are not known."""
    identity = scene.bundles[leaf_index].identity
    epoch = replace(group.current, leaf_index=LeafIndex(leaf_index), identity=identity, keys={})
    return Group(Member(epoch, fork(group).member.secret_tree, OPEN_POLICY))


def refresh(group: Group, now: int) -> bytes:
    """A commit that changes nothing but the committer's keys."""
    pending = group.commit(now, options=REFRESH)
    group.merge(pending, now)
    return pending.commit


def warm(scene: Scene, group: Group, skipped: frozenset[int] = frozenset()) -> Group:
    """Let each even leaf commit, the ones far apart first: then most paths meet a filled node."""
    bits = (scene.n - 1).bit_length()
    for place in range(1 << bits):
        leaf_index = int(f"{place:0{bits}b}"[::-1], 2) if bits else 0
        if leaf_index % 2 == 0 and leaf_index < scene.n and leaf_index not in skipped:
            group = act_as(group, scene, leaf_index)
            refresh(group, scene.now)
    return group


def warm_pair(scene: Scene, group: Group) -> tuple[Group, Group]:
    """The first and the last member of a warm group, each with all keys of its path."""
    last = act_as(warm(scene, group), scene, scene.n - 1)
    refresh(last, scene.now)
    first = act_as(last, scene, 0)
    last.process(refresh(first, scene.now), scene.now)
    return first, last


class WarmHost:
    """A member of a warm group that gives the first place and the last one to foreign clients."""

    def __init__(self, scene: Scene) -> None:
        ends = (LeafIndex(0), LeafIndex(scene.n - 1))
        group, _ = scene.create(scene.added)
        self._now = scene.now
        self._group = act_as(warm(scene, group, frozenset(ends)), scene, 1)
        self._group.merge(self._group.commit(self._now, removes=ends), self._now)

    def invite(self, key_package: bytes) -> tuple[bytes, bytes]:
        """Add a client at the leftmost free leaf: commit and Welcome."""
        pending = self._group.commit(
            self._now, adds=read_key_packages([key_package]), options=ADDING
        )
        self._group.merge(pending, self._now)
        return pending.commit, pending.welcome or b""

    def process(self, commit: bytes) -> None:
        """Follow what a guest commits."""
        self._group.process(commit, self._now)
