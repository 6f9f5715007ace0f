"""People in MLS groups, for the tests: fixed clocks, seeded keys, and a delivery service."""

from __future__ import annotations

from dataclasses import dataclass

from parlour.mls import (
    BasicCredential,
    CommitOptions,
    Group,
    Identity,
    KeyPackageBundle,
    PendingCommit,
    Policy,
    PublicGroup,
    StagedCommit,
)
from parlour.mls.private.epoch import Epoch
from parlour.mls.private.joining import WelcomeJoin
from parlour.mls.private.psk import PskStore
from parlour.mls.public.extensions import NO_EXTENSIONS, Extensions
from parlour.mls.public.suites import DEFAULT_SUITE, CipherSuite
from parlour.mls.public.tree.extension import encode_tree, read_tree
from parlour.mls.public.types import WireFormat
from parlour.testing.mls import OPEN_POLICY
from parlour.testing.randomness import seeded

NOW = 1_900_000_000


@dataclass
class Person:
    """A client with its keys; `group` once it is in one."""

    name: str
    suite: CipherSuite = DEFAULT_SUITE
    policy: Policy = OPEN_POLICY

    def __post_init__(self) -> None:
        self.random = seeded(self.name)
        credential = BasicCredential(self.name.encode())
        self.identity = Identity.generate(credential, self.suite, random=self.random)
        self.psks = PskStore()
        self._group: Group | None = None

    @property
    def group(self) -> Group:
        assert self._group is not None
        return self._group

    @group.setter
    def group(self, group: Group) -> None:
        self._group = group

    def key_package(self, *, last_resort: bool = False) -> KeyPackageBundle:
        return KeyPackageBundle.create(
            self.identity, NOW, last_resort=last_resort, grease=True, random=self.random
        )

    def create(self, group_id: bytes = b"group", extensions: Extensions = NO_EXTENSIONS) -> Group:
        self.group = Group.create(
            self.identity,
            group_id,
            NOW,
            extensions=extensions,
            policy=self.policy,
            psks=self.psks,
            random=self.random,
        )
        return self.group

    def join(self, welcome: bytes | None, bundle: KeyPackageBundle) -> Group:
        assert welcome is not None
        self.group, used = Group.join(welcome, [bundle], NOW, WelcomeJoin(self.policy, self.psks))
        assert used is bundle
        return self.group


def merge_everywhere(committer: Person, pending: PendingCommit, others: list[Person]) -> None:
    """The commit wins: everybody goes on."""
    committer.group.merge(pending, NOW)
    for person in others:
        assert isinstance(person.group.process(pending.commit, NOW), StagedCommit)


def group_of(*names: str, suite: CipherSuite = DEFAULT_SUITE) -> list[Person]:
    """People in one group: the first created it and added the others in one commit."""
    people = [Person(name, suite) for name in names]
    first = people[0]
    first.create()
    bundles = [person.key_package() for person in people[1:]]
    if bundles:
        pending = first.group.commit(
            NOW, adds=[bundle.key_package for bundle in bundles], random=first.random
        )
        first.group.merge(pending, NOW)
        for person, bundle in zip(people[1:], bundles, strict=True):
            person.join(pending.welcome, bundle)
    check_agreement(people)
    return people


def after(pending: PendingCommit) -> Epoch:
    """The epoch that a commit of ours would begin."""
    return pending.next.look()[0]


def check_agreement(people: list[Person]) -> None:
    """All see the same epoch, and their cached hashes are those of the tree read afresh."""
    contexts = {person.group.current.context.encoded for person in people}
    assert len(contexts) == 1
    authenticators = {person.group.epoch_authenticator.reveal() for person in people}
    assert len(authenticators) == 1
    tree = people[0].group.current.tree
    fresh = read_tree(tree.suite, encode_tree(tree))
    assert fresh.tree_hash() == tree.tree_hash() == people[0].group.current.context.tree_hash
    for person in people:
        assert person.group.current.tree == tree


def refresh(people: list[Person], committer: int = 0, *, private: bool = False) -> None:
    """A commit with a path and no proposals."""
    who = people[committer]
    wire = WireFormat.PRIVATE_MESSAGE if private else WireFormat.PUBLIC_MESSAGE
    pending = who.group.commit(NOW, options=CommitOptions(wire_format=wire), random=who.random)
    merge_everywhere(who, pending, [person for person in people if person is not who])
    check_agreement(people)


def watch(person: Person) -> PublicGroup:
    """The group as a delivery service follows it from now on."""
    return PublicGroup.follow(person.group.group_info(), NOW, person.policy)
