"""Random walks of whole groups: everybody agrees, or refuses and stays as it was."""

from __future__ import annotations

import random as seeds

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parlour.errors import ParlourError, PeerError
from parlour.mls import (
    ApplicationMessage,
    CommitOptions,
    ExternalJoin,
    ExternalPsk,
    Group,
    KeyPackageBundle,
    PendingCommit,
    PublicGroup,
    SharedStages,
)
from parlour.mls.private.storage import dump_group
from parlour.mls.public.proposals import Add, PreSharedKey, Proposal, Remove
from parlour.mls.public.psk_id import ExternalPskId, PreSharedKeyId, ResumptionPskId
from parlour.mls.public.staging import StagedPublic
from parlour.mls.public.suites import ALL_SUITES, DEFAULT_SUITE, CipherSuite
from parlour.mls.public.types import LeafIndex, ResumptionPskUsage, WireFormat
from tests.mls_people import NOW, Person, check_agreement, group_of, watch
from tests.mls_store import Store

MAX_PEOPLE = 12


class Walk:
    """A town of people, a delivery service, and a source of decisions."""

    def __init__(
        self, seed: int, suite: CipherSuite = DEFAULT_SUITE, shared: SharedStages | None = None
    ) -> None:
        self.shared = shared
        self.choose = seeds.Random(seed)
        self.suite = suite
        self.people = group_of("p0", "p1", "p2", suite=suite)
        self.named = 3
        self.gone: list[Person] = []
        self.late: list[tuple[Person, bytes, bytes]] = []
        self.server = watch(self.people[0])
        for person in self.people:
            person.psks.add_external(b"psk", ExternalPsk(b"k" * 32))
        self.restarts = seeds.Random(seed)
        self.stores: dict[str, Store] = {}

    def wire(self) -> WireFormat:
        return self.choose.choice((WireFormat.PUBLIC_MESSAGE, WireFormat.PRIVATE_MESSAGE))

    def newcomer(self) -> Person:
        person = Person(f"p{self.named}", self.suite)
        self.named += 1
        person.psks.add_external(b"psk", ExternalPsk(b"k" * 32))
        return person

    def leaf_of(self, person: Person) -> LeafIndex:
        return person.group.own_leaf

    def psk(self, person: Person) -> Proposal:
        nonce = person.random(self.suite.hash_size)
        return PreSharedKey(PreSharedKeyId(ExternalPskId(b"psk"), nonce))

    # --- Steps ---

    def propose(self) -> None:
        """Some proposals travel; everybody remembers them."""
        for _ in range(self.choose.randint(1, 3)):
            who = self.choose.choice(self.people)
            kind = self.choose.choice(("update", "remove", "psk"))
            if kind == "update":
                message = who.group.propose_update(NOW, random=who.random)
            elif kind == "remove" and len(self.people) > 3:
                target = self.choose.choice(self.people)
                message = who.group.propose(Remove(self.leaf_of(target)), NOW, random=who.random)
            else:
                message = who.group.propose(self.psk(who), NOW, random=who.random)
            for person in self.people:
                if person is not who:
                    person.group.process(message, NOW)
            followed = self.server.receive(message, NOW)
            assert isinstance(followed, PublicGroup)
            self.server = followed

    def commit(self) -> None:
        """One or two people commit; the first wins, the second gives up."""
        rivals = self.choose.sample(self.people, k=min(2, len(self.people)))
        made: list[tuple[Person, PendingCommit, list[tuple[Person, KeyPackageBundle]]]] = []
        for who in rivals[: self.choose.randint(1, 2)]:
            added: list[tuple[Person, KeyPackageBundle]] = []
            proposals: list[Proposal] = []
            if len(self.people) < MAX_PEOPLE and self.choose.random() < 0.5:
                newcomer = self.newcomer()
                bundle = newcomer.key_package()
                added.append((newcomer, bundle))
                proposals.append(Add(bundle.key_package))
            if len(self.people) > 3 and self.choose.random() < 0.3:
                target = self.choose.choice([p for p in self.people if p is not who])
                proposals.append(Remove(self.leaf_of(target)))
            if self.choose.random() < 0.2:
                proposals.append(self.psk(who))
            options = CommitOptions(path=self.choose.random() < 0.7, wire_format=self.wire())
            pending = who.group.commit(NOW, proposals=proposals, options=options, random=who.random)
            made.append((who, pending, added))
        winner, pending, added_by_winner = made[0]
        for loser, _, _ in made[1:]:
            loser.group.clear_pending()
        removed = set(pending.changes.removed)
        self.follow(pending.commit, public=pending.commit[3] == 1)
        leaving = [p for p in self.people if self.leaf_of(p) in removed]
        for person in self.people:
            person.group.process(pending.commit, NOW)
        for newcomer, bundle in added_by_winner:
            newcomer.join(pending.welcome, bundle)
            self.people.append(newcomer)
        for person in leaving:
            assert not person.group.is_active
            self.people.remove(person)
            self.gone.append(person)
        for _, late, _ in made[1:]:
            for person in self.people:
                self.refuse(person, late.commit)
        if pending.commit[3] != 1:
            self.server = watch(self.people[0])
        assert winner.group.pending is None

    def follow(self, commit: bytes, *, public: bool) -> None:
        if public:
            staged = self.server.receive(commit, NOW)
            assert isinstance(staged, StagedPublic)
            self.server = self.server.merge(staged)

    def external(self) -> None:
        """Somebody joins by a commit of its own, perhaps in place of its former self."""
        resync = None
        if self.choose.random() < 0.5 and len(self.people) > 1:
            joiner = self.choose.choice(self.people[1:])
            resync = self.leaf_of(joiner)
            info = self.people[0].group.group_info()
            self.people.remove(joiner)
        else:
            joiner = self.newcomer()
            info = self.people[0].group.group_info()
        join = ExternalJoin(joiner.policy, joiner.psks, resync=resync)
        own = Group.join_external(info, joiner.identity, NOW, join, random=joiner.random)
        self.follow(own.commit, public=True)
        for person in self.people:
            person.group.process(own.commit, NOW)
        joiner.group = own.confirm(own.commit)
        self.people.append(joiner)

    def talk(self) -> None:
        """Messages that arrive at once, late, twice, in another order, or never."""
        for _ in range(self.choose.randint(1, 6)):
            who = self.choose.choice(self.people)
            if who.group.proposals:
                return
            text = f"{who.name}: {self.choose.random()}".encode()
            message = who.group.encrypt(text, pad_to=self.choose.choice((1, 32)), random=who.random)
            for person in self.people:
                if person is not who and self.choose.random() < 0.8:
                    self.late.append((person, message, text))
        self.choose.shuffle(self.late)
        now, self.late = self.late[: len(self.late) // 2], self.late[len(self.late) // 2 :]
        for person, message, text in now:
            try:
                received = person.group.receive(message, NOW)
            except PeerError:
                # More than five epochs late, or the receiver joined again meanwhile.
                continue
            assert isinstance(received, ApplicationMessage)
            assert received.data == text
            self.refuse(person, message)

    def refuse(self, person: Person, message: bytes) -> None:
        """A refused message leaves no trace."""
        before = dump_group(person.group)
        with pytest.raises(ParlourError):
            person.group.process(message, NOW)
        assert dump_group(person.group) == before

    def mangle(self) -> None:
        """A bit is flipped on the way."""
        who, reader = self.choose.sample(self.people, k=2)
        pending = who.group.commit(
            NOW, options=CommitOptions(pending=False, wire_format=self.wire()), random=who.random
        )
        data = bytearray(pending.commit)
        data[self.choose.randrange(len(data))] ^= 1 << self.choose.randrange(8)
        who.group.clear_pending()
        self.refuse(reader, bytes(data))

    def store(self, person: Person) -> None:
        """What is kept of a group is the group; now and then it goes on from there."""
        store = self.stores.get(person.name)
        if store is None or store.live.group is not person.group:
            store = self.stores[person.name] = Store(person.group)
        store.keep()
        if self.restarts.random() < 0.1:
            person.group = store.restart()

    def run(self, steps: int) -> None:
        for _ in range(steps):
            weights = {
                self.talk: 4,
                self.commit: 4,
                self.propose: 2,
                self.external: 1,
                self.mangle: 1,
            }
            step = self.choose.choices(list(weights), list(weights.values()))[0]
            if step in (self.external, self.mangle) and self.people[0].group.proposals:
                step = self.commit
            step()
            check_agreement(self.people)
            assert self.server.state.group_context == self.people[0].group.current.context
            for person in self.gone:
                assert not person.group.is_active
            for person in (*self.people, *self.gone):
                self.store(person)
                # Some share what is public, and some do not.
                if self.shared is not None and self.restarts.random() < 0.5:
                    person.group.share(self.shared)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
def test_everybody_agrees(seed: int) -> None:
    Walk(seed).run(12)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
def test_everybody_agrees_also_with_whom_they_share(seed: int) -> None:
    Walk(seed, shared=SharedStages()).run(12)


@pytest.mark.parametrize("suite", ALL_SUITES, ids=lambda suite: suite.id.name)
def test_every_suite(suite: CipherSuite) -> None:
    Walk(1, suite).run(6)


def test_a_long_walk() -> None:
    walk = Walk(2026)
    walk.run(60)
    assert walk.people[0].group.epoch >= 20
    assert len(walk.gone) >= 5


def test_a_resumption_key_proves_an_old_member() -> None:
    ada, bea = group_of("ada", "bea")
    key = ResumptionPskId(ResumptionPskUsage.APPLICATION, b"group", ada.group.epoch)
    nonce = ada.random(ada.suite.hash_size)
    proposal = PreSharedKey(PreSharedKeyId(key, nonce))
    pending = ada.group.commit(NOW, proposals=[proposal], random=ada.random)
    bea.group.process(pending.commit, NOW)
    ada.group.merge(pending, NOW)
    check_agreement([ada, bea])
