"""Proposals: who may make them, and which of them a commit takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from parlour.errors import (
    Code,
    LimitError,
    ParlourError,
    UsageError,
)
from parlour.mls import (
    CommitOptions,
    ExternalPsk,
    KeyPackageBundle,
    ReceivedProposal,
    Rule,
    RuleBroken,
    StagedCommit,
)
from parlour.mls.private.external import propose_as_external_sender, propose_to_join
from parlour.mls.private.psk import PskStore
from parlour.mls.private.selection import select_proposals
from parlour.mls.private.storage import dump_group, load_group
from parlour.mls.public import state as public_state
from parlour.mls.public.capabilities import Capabilities
from parlour.mls.public.extensions import Extension, Extensions
from parlour.mls.public.framing.content import Sender
from parlour.mls.public.group_context import ExternalSender, external_senders_extension
from parlour.mls.public.limits import MAX_AUTHENTICATED_DATA
from parlour.mls.public.proposals import (
    Add,
    ExternalInit,
    GroupContextExtensions,
    OtherProposal,
    PreSharedKey,
    Proposal,
    ReInit,
    Remove,
)
from parlour.mls.public.psk_id import ExternalPskId, PreSharedKeyId
from parlour.mls.public.state import SentProposal
from parlour.mls.public.types import LeafIndex, WireFormat
from parlour.testing.mls import OPEN_POLICY
from tests.mls_forger import key_package as forge_package
from tests.mls_forger import leaf_node
from tests.mls_people import NOW, Person, check_agreement, group_of, merge_everywhere

PRIVATE = CommitOptions(wire_format=WireFormat.PRIVATE_MESSAGE)


def test_private_proposals_and_commits() -> None:
    ada, bea, cid = group_of("ada", "bea", "cid")
    update = bea.group.propose_update(NOW, wire_format=WireFormat.PRIVATE_MESSAGE)
    for person in (ada, cid):
        received = person.group.process(update, NOW)
        assert isinstance(received, ReceivedProposal)
        assert received.sender == Sender.member(LeafIndex(1))
        with pytest.raises(ParlourError):
            person.group.process(update, NOW)
    merge_everywhere(ada, ada.group.commit(NOW, options=PRIVATE), [bea, cid])
    check_agreement([ada, bea, cid])


def test_proposals_from_outside() -> None:
    ada, bea, cid, server = (Person(name) for name in ("ada", "bea", "cid", "server"))
    key = server.identity.signer
    sender = ExternalSender(key.public_key.to_bytes(), server.identity.credential)
    ada.create(extensions=Extensions.of([external_senders_extension((sender,))]))
    bundle = bea.key_package()
    pending = ada.group.commit(NOW, adds=[bundle.key_package])
    ada.group.merge(pending, NOW)
    bea.join(pending.welcome, bundle)
    context = ada.group.current.context
    bundle = cid.key_package()
    for message in (
        propose_as_external_sender(context, key, 0, Remove(LeafIndex(1)), NOW, b"idle"),
        propose_to_join(context, bundle, NOW),
    ):
        for person in (ada, bea):
            assert isinstance(person.group.process(message, NOW), ReceivedProposal)
    expired = NOW + 10**8
    with pytest.raises(RuleBroken) as caught:
        propose_to_join(context, bundle, expired)
    assert caught.value.rule is Rule.LEAF_LIFETIME
    with pytest.raises(RuleBroken) as caught:
        propose_as_external_sender(context, key, 0, Add(bundle.key_package), expired)
    assert caught.value.rule is Rule.LEAF_LIFETIME
    pending = ada.group.commit(NOW)
    ada.group.merge(pending, NOW)
    staged = bea.group.process(pending.commit, NOW)
    assert isinstance(staged, StagedCommit)
    assert staged.removes_us
    cid.join(pending.welcome, bundle)
    check_agreement([ada, cid])


@pytest.mark.parametrize(
    ("bound", "value"),
    [
        ("MAX_PENDING_PROPOSALS", 1),
        ("MAX_PENDING_SIZE", 300),
        ("MAX_PENDING_PER_SENDER", 1),
        ("MAX_PENDING_SIZE_PER_SENDER", 300),
    ],
)
def test_too_many_proposals(monkeypatch: pytest.MonkeyPatch, bound: str, value: int) -> None:
    monkeypatch.setattr(public_state, bound, value)
    ada, bea = group_of("ada", "bea")
    first = ada.group.propose_update(NOW)
    bea.group.process(first, NOW)
    bea.group.process(first, NOW)
    with pytest.raises(LimitError):
        ada.group.propose_update(NOW)


def test_strangers_take_nobody_the_room_for_a_proposal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public_state, "MAX_PENDING_PER_SENDER", 2)
    ada, bea = group_of("ada", "bea")
    context = ada.group.current.context
    asks = [propose_to_join(context, Person(name).key_package(), NOW) for name in ("x", "y", "z")]
    for ask in asks[:2]:
        ada.group.process(ask, NOW)
    with pytest.raises(LimitError):
        ada.group.process(asks[2], NOW)
    # The bounds hold over a restart as well.
    ada.group = load_group(dump_group(ada.group), ada.policy)
    with pytest.raises(LimitError):
        ada.group.process(asks[2], NOW)
    ada.group.process(bea.group.propose(Remove(LeafIndex(0)), NOW), NOW)
    assert len(ada.group.proposals) == 3


def test_what_nobody_could_read_or_derive_is_not_made() -> None:
    ada, bea = group_of("ada", "bea")
    most = bytes(MAX_AUTHENTICATED_DATA)
    assert bea.group.decrypt(ada.group.encrypt(b"x", most), NOW).authenticated_data == most
    long = most + b"x"
    refused_calls: list[Callable[[], object]] = [
        lambda: ada.group.encrypt(b"x", long),
        lambda: ada.group.propose(Remove(LeafIndex(1)), NOW, authenticated_data=long),
        lambda: ada.group.commit(NOW, options=CommitOptions(authenticated_data=long)),
        *(partial(ada.group.export, b"label", b"", n) for n in (-1, 0, 255 * 32 + 1, 70_000)),
    ]
    for make in refused_calls:
        before = dump_group(ada.group)
        with pytest.raises(UsageError) as caught:
            make()
        assert caught.value.code is Code.USAGE_INVALID
        assert dump_group(ada.group) == before
    assert len(ada.group.export(b"label", b"", 255 * 32)) == 255 * 32


def selected(ada: Person, *sent: tuple[int, Proposal], reinit: bool = False) -> list[Proposal]:
    items = [
        SentProposal(proposal, Sender.member(LeafIndex(leaf)), bytes((n,)))
        for n, (leaf, proposal) in enumerate(sent)
    ]
    chosen = select_proposals(items, (), LeafIndex(0), ada.group.current.tree, reinit=reinit)
    assert len(chosen.proposals) + len(chosen.left_out) == len(items)
    assert all(item.reason for item in chosen.left_out)
    return [item.proposal for item in chosen.proposals]


def test_conflicts_between_proposals() -> None:
    ada, _, cid = group_of("ada", "bea", "cid")
    end = ReInit(b"next", 1, 1, Extensions())
    remove = Remove(LeafIndex(1))
    psk = PreSharedKey(PreSharedKeyId(ExternalPskId(b"id"), b"n" * 32))
    change = GroupContextExtensions(Extensions())
    add = Add(Person("dan").key_package().key_package)
    again = Add(KeyPackageBundle.create(cid.identity, NOW).key_package)
    assert selected(ada, (1, end)) == []
    assert selected(ada, (1, end), (1, remove)) == [remove]
    assert selected(ada, (1, end), (1, end), (1, remove), reinit=True) == [end]
    assert selected(ada, (1, remove), reinit=True) == [remove]
    assert selected(ada, (1, remove), (2, remove), (1, Remove(LeafIndex(0)))) == [remove]
    assert selected(ada, (1, psk), (2, psk)) == [psk]
    assert selected(ada, (1, change), (2, change)) == [change]
    assert selected(ada, (1, add), (2, add)) == [add]
    assert selected(ada, (1, again)) == []
    assert selected(ada, (1, again), (1, Remove(LeafIndex(2)))) == [again, Remove(LeafIndex(2))]
    assert selected(ada, (1, ExternalInit(b"k"))) == []
    other = OtherProposal(77, b"")
    assert selected(ada, (1, other), (2, other)) == [other, other]
    own = SentProposal(end, Sender.member(LeafIndex(0)))
    kept = SentProposal(remove, Sender.member(LeafIndex(1)), b"r")
    chosen = select_proposals([kept], [own], LeafIndex(0), ada.group.current.tree)
    assert chosen.proposals == (own,)
    assert [item.sent for item in chosen.left_out] == [kept]


def test_nobody_stops_all_commits_by_a_proposal() -> None:
    ada, bea, cid, fay = people = group_of("ada", "bea", "cid", "fay")
    bea.psks.add_external(b"mine", ExternalPsk(b"k" * 32))
    psk = PreSharedKey(PreSharedKeyId(ExternalPskId(b"mine"), b"n" * 32))
    unknown = GroupContextExtensions(Extensions.of([Extension(0xF0F0, b"nobody has it")]))
    victim = fay.group.current.own_leaf.encryption_key
    twin = Person("dan")
    same_key = Add(forge_package(twin, leaf_node(twin, encryption_key=victim)))
    brief = KeyPackageBundle.create(Person("eve").identity, NOW, lifetime=60).key_package
    for sender, message in (
        (bea, bea.group.propose(psk, NOW)),
        (cid, cid.group.propose_update(NOW)),
        (bea, bea.group.propose(unknown, NOW)),
        (bea, bea.group.propose(same_key, NOW)),
        (bea, bea.group.propose(Add(brief), NOW)),
        (bea, bea.group.propose(OtherProposal(77, b""), NOW)),
        (bea, bea.group.propose(ReInit(b"next", 1, 1, Extensions()), NOW)),
    ):
        for person in people:
            if person is not sender:
                person.group.process(message, NOW)
    with pytest.raises(RuleBroken):
        ada.group.encrypt(b"a commit is due")
    later = NOW + 120
    pending = ada.group.commit(later, removes=[bea.group.own_leaf])
    kinds = [type(sent.proposal).__name__ for sent in pending.changes.proposals]
    assert sorted(kinds) == ["Remove", "Update"]
    reasons = {type(left.sent.proposal).__name__: left.reason for left in pending.left_out}
    assert Rule.COMMIT_PSKS_KNOWN.value in reasons["PreSharedKey"]
    assert Rule.LEAF_GROUP_EXTENSIONS.value in reasons["GroupContextExtensions"]
    assert Rule.PROPOSAL_SUPPORTED.value in reasons["OtherProposal"]
    assert reasons["ReInit"] == "nobody asked to end the group"
    adds = [left.reason for left in pending.left_out if isinstance(left.sent.proposal, Add)]
    assert any(Rule.ENCRYPTION_KEY_UNIQUE.value in reason for reason in adds)
    assert any(Rule.LEAF_LIFETIME.value in reason for reason in adds)
    merge_everywhere(ada, pending, [cid, fay])
    check_agreement([ada, cid, fay])
    # What we ask for ourselves is not dropped in silence.
    for proposals in ([psk], [unknown]):
        with pytest.raises(RuleBroken):
            ada.group.commit(NOW, proposals=proposals)


def test_what_we_ask_for_comes_before_what_others_proposed() -> None:
    ada, bea = group_of("ada", "bea")
    cid = Person("cid")
    older, newer = cid.key_package(), cid.key_package()
    mine = GroupContextExtensions(Extensions.of([Extension(1, b"mine")]))
    theirs = GroupContextExtensions(Extensions.of([Extension(1, b"theirs")]))
    for proposal in (Add(older.key_package), theirs, Remove(ada.group.own_leaf)):
        ada.group.process(bea.group.propose(proposal, NOW), NOW)
    pending = ada.group.commit(NOW, adds=[newer.key_package], proposals=[mine])
    assert pending.changes.extensions == mine.extensions
    assert [left.sent.proposal for left in pending.left_out] == [
        Add(older.key_package),
        theirs,
        Remove(ada.group.own_leaf),
    ]
    merge_everywhere(ada, pending, [bea])
    cid.join(pending.welcome, newer)
    check_agreement([ada, bea, cid])


def test_an_add_that_is_valid_because_somebody_else_wants_the_old_leaf_gone() -> None:
    ada, bea, cid = group_of("ada", "bea", "cid")
    unknown = GroupContextExtensions(Extensions.of([Extension(0xF0F0, b"nobody has it")]))
    for proposal in (unknown, Remove(cid.group.own_leaf)):
        message = bea.group.propose(proposal, NOW)
        for person in (ada, cid):
            person.group.process(message, NOW)
    bundle = cid.key_package()
    pending = ada.group.commit(NOW, adds=[bundle.key_package])
    assert [left.sent.proposal for left in pending.left_out] == [unknown]
    merge_everywhere(ada, pending, [bea, cid])
    cid.join(pending.welcome, bundle)
    check_agreement([ada, bea, cid])


def test_the_application_rejects_single_proposals() -> None:
    ada, bea, cid = group_of("ada", "bea", "cid")
    for proposal in (Remove(cid.group.own_leaf), Add(Person("dan").key_package().key_package)):
        message = bea.group.propose(proposal, NOW)
        for person in (ada, cid):
            person.group.process(message, NOW)
    unwanted = [sent for sent in ada.group.proposals if isinstance(sent.proposal, Remove)]
    references = frozenset(sent.reference or b"" for sent in unwanted)
    pending = ada.group.commit(NOW, options=CommitOptions(unwanted=references))
    assert [left.sent for left in pending.left_out] == unwanted
    assert len(pending.changes.added) == 1
    merge_everywhere(ada, pending, [bea, cid])
    check_agreement([ada, bea, cid])
    pending = ada.group.commit(NOW, options=CommitOptions(pending=False))
    assert pending.left_out == ()


def test_a_group_ends_only_when_somebody_wants_it_to() -> None:
    ada, bea = group_of("ada", "bea")
    ada.group.process(bea.group.propose(ReInit(b"next", 1, 1, Extensions()), NOW), NOW)
    assert ada.group.commit(NOW).changes.reinit is None
    ada.group.clear_pending()
    with pytest.raises(RuleBroken) as caught:
        ada.group.commit(NOW, removes=[bea.group.own_leaf], options=CommitOptions(reinit=True))
    assert caught.value.rule is Rule.REINIT_ALONE
    merge_everywhere(ada, ada.group.commit(NOW, options=CommitOptions(reinit=True)), [bea])
    assert not ada.group.is_active
    assert not bea.group.is_active


def test_the_latest_update_of_a_member_counts() -> None:
    ada, bea, cid = group_of("ada", "bea", "cid")
    for _ in range(2):
        update = bea.group.propose_update(NOW)
        for person in (ada, cid):
            person.group.process(update, NOW)
    merge_everywhere(ada, ada.group.commit(NOW), [bea, cid])
    check_agreement([ada, bea, cid])


def test_a_kind_of_proposal_that_all_know() -> None:
    capable = Capabilities(proposals=(0xF042,))
    people = []
    for name in ("ada", "bea"):
        person = Person(name)
        person.identity = replace(person.identity, capabilities=capable)
        people.append(person)
    ada, bea = people
    ada.create()
    bundle = bea.key_package()
    pending = ada.group.commit(NOW, adds=[bundle.key_package])
    ada.group.merge(pending, NOW)
    bea.join(pending.welcome, bundle)
    news = OtherProposal(0xF042, b"the application's own")
    ada.group.process(bea.group.propose(news, NOW), NOW)
    pending = ada.group.commit(NOW)
    staged = bea.group.process(pending.commit, NOW)
    assert isinstance(staged, StagedCommit)
    assert [sent.proposal for sent in staged.public.changes.proposals] == [news]
    ada.group.merge(pending, NOW)
    check_agreement(people)


def test_sending_although_proposals_wait() -> None:
    ada, bea = group_of("ada", "bea")
    ada.group.propose_update(NOW)
    ada.group.member.policy = replace(OPEN_POLICY, send_before_commit=True)
    assert bea.group.decrypt(ada.group.encrypt(b"urgent"), NOW).data == b"urgent"
    assert isinstance(PskStore().find(PreSharedKeyId(ExternalPskId(b"x"), b"")), type(None))
