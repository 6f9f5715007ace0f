"""Members in one process that share what is public: less work, and the same answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from parlour.errors import Code, PeerError
from parlour.mls import (
    BasicCredential,
    ExternalJoin,
    Group,
    KeyPackageBundle,
    PendingCommit,
    Policy,
    PublicGroup,
    Rule,
    RuleBroken,
    SharedStages,
    StagedCommit,
    WelcomeJoin,
)
from parlour.mls.public import joining, sharing
from parlour.mls.public.credentials import Credential
from parlour.mls.public.framing.messages import PublicMessage, decode_message, encode_message
from parlour.mls.public.policy import LifetimeCheck
from parlour.mls.public.proposals import Remove
from parlour.mls.public.validation import signatures
from parlour.testing.mls import OPEN_POLICY, TrustEveryone
from tests.mls_forger import refused
from tests.mls_people import NOW, Person, check_agreement, group_of, merge_everywhere, refresh
from tests.mls_store import Store


class Doubtful(TrustEveryone):
    """Does not take one identity, and remembers whom it was asked about."""

    def __init__(self, unwanted: bytes = b"") -> None:
        self.unwanted = BasicCredential(unwanted)
        self.asked: list[Credential] = []

    def accepts(self, credential: Credential, signature_key: bytes) -> bool:
        self.asked.append(credential)
        return credential != self.unwanted


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often what is shared is computed."""
    counts: Counter[str] = Counter()

    def count(module: Any, name: str) -> None:
        function: Callable[..., Any] = getattr(module, name)

        def counting(*args: Any, **kwargs: Any) -> Any:
            counts[name] += 1
            return function(*args, **kwargs)

        monkeypatch.setattr(module, name, counting)

    count(sharing, "examine_commit")
    count(sharing, "decode_message")
    count(joining, "check_tree")
    count(joining, "read_tree")
    return counts


def sharing_group(*names: str) -> tuple[SharedStages, list[Person]]:
    people, shared = group_of(*names), SharedStages()
    for person in people:
        person.group.share(shared)
    return shared, people


def states(people: list[Person]) -> set[int]:
    return {id(person.group.current.public) for person in people}


def test_a_commit_is_examined_once(counted: Counter[str]) -> None:
    _, people = sharing_group("ada", "bea", "cid", "dan")
    counted.clear()
    assert len(states(people)) == 1
    refresh(people)
    assert counted == {"examine_commit": 1, "decode_message": 1}
    # The committer too holds what the others hold.
    assert len(states(people)) == 1
    check_agreement(people)
    ada, bea, cid, dan = people
    update = bea.group.propose_update(NOW)
    for person in (ada, cid, dan):
        person.group.process(update, NOW)
    merge_everywhere(ada, ada.group.commit(NOW, removes=[dan.group.own_leaf]), [bea, cid, dan])
    assert counted["examine_commit"] == 2
    assert not dan.group.is_active
    check_agreement([ada, bea, cid])
    assert len(states([ada, bea, cid])) == 1
    # One that stops sharing does the work itself.
    cid.group.share(None)
    refresh([ada, bea, cid])
    assert len(states([ada, bea, cid])) == 2
    check_agreement([ada, bea, cid])


def test_messages_that_several_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signatures, "_MAX_REMEMBERED", 2)
    shared, people = sharing_group("ada", "bea", "cid")
    ada, bea, cid = people
    said = [ada.group.encrypt(str(number).encode()) for number in range(4)]
    for number, message in enumerate(said):
        for person in (bea, cid):
            assert person.group.decrypt(message, NOW).data == str(number).encode()
    assert len(shared.signatures._verified) == 2
    forged = ada.group.encrypt(b"in the name of another")
    ada.group.member.state = replace(
        ada.group.current, identity=replace(ada.identity, signer=Person("eve").identity.signer)
    )
    forged = ada.group.encrypt(b"in the name of ada")
    for person in (bea, cid):
        refused(person.group, Rule.CONTENT_SIGNATURE, forged)


def test_each_application_decides_for_itself() -> None:
    _, people = sharing_group("ada", "bea", "cid", "dan")
    ada, bea, cid, dan = people
    doubtful, trusting = Doubtful(b"eve"), Doubtful()
    bea.group.member.policy = replace(OPEN_POLICY, credentials=doubtful)
    cid.group.member.policy = replace(OPEN_POLICY, credentials=trusting)
    eve = Person("eve")
    pending = ada.group.commit(NOW, adds=[eve.key_package().key_package])
    merge_everywhere(ada, pending, [dan])
    refused(bea.group, Rule.CREDENTIAL_ACCEPTED, pending.commit)
    assert isinstance(cid.group.process(pending.commit, NOW), StagedCommit)
    assert doubtful.asked == trusting.asked == [eve.identity.credential]


def test_who_goes_by_other_rules_does_not_share(counted: Counter[str]) -> None:
    shared, people = sharing_group("ada", "bea", "cid")
    ada, bea, cid = people
    closed = replace(OPEN_POLICY, external_commits=False)
    strict = replace(OPEN_POLICY, lifetimes=LifetimeCheck.ALWAYS)
    bea.group.member.policy = closed
    cid.group.member.policy = strict
    info = ada.group.group_info()
    counted.clear()
    eve = Person("eve")
    join = ExternalJoin(OPEN_POLICY, shared=shared)
    joining_commit = Group.join_external(info, eve.identity, NOW, join)
    ada.group.process(joining_commit.commit, NOW)
    refused(bea.group, Rule.EXTERNAL_COMMIT_ALLOWED, joining_commit.commit)
    cid.group.process(joining_commit.commit, NOW)
    assert counted["examine_commit"] == 3
    eve.group = joining_commit.confirm(joining_commit.commit)
    # Ada's state was known to eve, and eve's is ada's now; whoever looks at the clock is alone.
    assert counted["check_tree"] == 0
    assert len(states([ada, eve])) == 1
    cid.group.share(shared)
    assert len(states([ada, eve, cid])) == 2
    check_agreement([ada, cid, eve])


def test_a_proposal_that_a_member_does_not_know() -> None:
    _, people = sharing_group("ada", "bea", "cid", "dan")
    ada, bea, cid, dan = people
    remove = bea.group.propose(Remove(dan.group.own_leaf), NOW)
    ada.group.process(remove, NOW)
    pending = ada.group.commit(NOW)
    bea.group.process(pending.commit, NOW)
    refused(cid.group, Rule.PROPOSAL_KNOWN, pending.commit)
    cid.group.process(remove, NOW)
    cid.group.process(pending.commit, NOW)
    ada.group.merge(pending, NOW)
    check_agreement([ada, bea, cid])


def test_what_takes_a_secret_is_done_by_each() -> None:
    _, people = sharing_group("ada", "bea", "cid")
    ada, bea, cid = people
    pending = ada.group.commit(NOW)
    assert isinstance(bea.group.receive(pending.commit, NOW), StagedCommit)
    message = decode_message(pending.commit)
    assert isinstance(message, PublicMessage)
    assert message.membership_tag is not None
    # The same commit under another tag; and one whose last bytes alone are the same.
    tag = bytes([message.membership_tag[0] ^ 1]) + message.membership_tag[1:]
    refused(cid.group, Rule.MEMBERSHIP_TAG, replace(message, membership_tag=tag))
    other = bytearray(pending.commit)
    other[20] ^= 1
    with pytest.raises(PeerError):
        cid.group.process(bytes(other), NOW)
    # Who has another membership key does not take the shared result either.
    cid.group.member.state = replace(
        cid.group.current,
        secrets=replace(
            cid.group.current.secrets,
            membership_key=type(cid.group.current.secrets.membership_key)(b"another" * 5),
        ),
    )
    refused(cid.group, Rule.MEMBERSHIP_TAG, pending.commit)


def test_a_commit_of_ours_that_we_gave_up() -> None:
    _, people = sharing_group("ada", "bea")
    ada, bea = people
    pending = ada.group.commit(NOW)
    bea.group.receive(pending.commit, NOW)
    ada.group.clear_pending()
    with pytest.raises(PeerError) as caught:
        ada.group.process(pending.commit, NOW)
    assert caught.value.code is Code.MLS_EPOCH


def newcomers(ada: Person, count: int) -> tuple[PendingCommit, list[KeyPackageBundle]]:
    bundles = [Person(f"n{number}").key_package() for number in range(count)]
    pending = ada.group.commit(NOW, adds=[bundle.key_package for bundle in bundles])
    ada.group.merge(pending, NOW)
    return pending, bundles


def join_as(
    pending: PendingCommit, bundle: KeyPackageBundle, policy: Policy, shared: SharedStages | None
) -> Group:
    assert pending.welcome is not None
    return Group.join(pending.welcome, [bundle], NOW, WelcomeJoin(policy, shared=shared))[0]


def test_a_tree_is_verified_once(counted: Counter[str]) -> None:
    (ada,) = group_of("ada")
    pending, bundles = newcomers(ada, 4)
    shared = SharedStages()
    first, second = (join_as(pending, bundle, OPEN_POLICY, shared) for bundle in bundles[:2])
    assert first.current.public is second.current.public
    assert counted == {"check_tree": 1, "read_tree": 1}
    # Each asks its own application about everybody.
    doubtful, trusting = Doubtful(b"n1"), Doubtful()
    with pytest.raises(RuleBroken) as caught:
        join_as(pending, bundles[2], replace(OPEN_POLICY, credentials=doubtful), shared)
    assert caught.value.rule is Rule.CREDENTIAL_ACCEPTED
    third = join_as(pending, bundles[2], replace(OPEN_POLICY, credentials=trusting), shared)
    assert len(trusting.asked) == 5
    assert third.current.public is first.current.public
    assert counted == {"check_tree": 1, "read_tree": 1}
    alone = join_as(pending, bundles[3], OPEN_POLICY, None)
    assert alone.current.public is not first.current.public
    assert counted == {"check_tree": 2, "read_tree": 2}
    commit = first.commit(NOW)
    for group in (second, third, alone, ada.group):
        group.process(commit.commit, NOW)
    assert counted["examine_commit"] == 1


def test_a_group_info_that_its_signer_did_not_sign() -> None:
    _, people = sharing_group("ada", "bea")
    ada, bea = people
    shared = SharedStages()
    ada.group.share(shared)
    info = bytearray(ada.group.group_info())
    info[-1] ^= 1
    with pytest.raises(RuleBroken) as caught:
        Group.join_external(
            bytes(info), bea.identity, NOW, ExternalJoin(OPEN_POLICY, shared=shared)
        )
    assert caught.value.rule is Rule.GROUP_INFO_SIGNATURE


def test_stores_hold_one_copy_of_a_tree() -> None:
    _, people = sharing_group("ada", "bea", "cid")
    stores = [Store(person.group) for person in people]
    for _ in range(2):
        for store in stores:
            store.keep()
        trees = {id(store.data[b"tree\0\0\0\0"]) for store in stores}
        assert len(trees) == 1
        refresh(people)


def test_it_forgets_what_is_old(monkeypatch: pytest.MonkeyPatch, counted: Counter[str]) -> None:
    monkeypatch.setattr(sharing, "_MAX_STATES", 2)
    monkeypatch.setattr(sharing, "_MAX_MESSAGES", 2)
    shared, people = sharing_group("ada", "bea", "cid")
    ada, bea, cid = people
    winners = []
    for _ in range(4):
        winners.append(ada.group.commit(NOW))
        merge_everywhere(ada, winners[-1], [bea])
    assert counted["examine_commit"] == 4
    for winner in winners:
        cid.group.process(winner.commit, NOW)
    # The last two were known, had cid's states been the others'; but it came from an older one.
    assert counted["examine_commit"] == 8
    check_agreement(people)
    assert len(shared._states._entries) == 2
    assert len(shared._stages._entries) == 2


def test_a_server_follows_the_same_commits() -> None:
    _, people = sharing_group("ada", "bea")
    ada, bea = people
    server = PublicGroup.follow(ada.group.group_info(), NOW, OPEN_POLICY)
    pending = ada.group.commit(NOW)
    message = decode_message(pending.commit)
    assert isinstance(message, PublicMessage)
    assert encode_message(message) == pending.commit
    staged = bea.group.receive(message, NOW)
    assert isinstance(staged, StagedCommit)
    followed = server.receive(pending.commit, NOW)
    assert not isinstance(followed, PublicGroup)
    assert followed.state == staged.public.state
