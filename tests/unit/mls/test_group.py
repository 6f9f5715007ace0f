"""What applications do with groups, and what they may not."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

import parlour.mls
from parlour.codec import encode_opaque
from parlour.errors import (
    AuthenticationError,
    Code,
    DecodeError,
    LimitError,
    ParlourError,
    PeerError,
    UsageError,
)
from parlour.mls import (
    ApplicationMessage,
    BasicCredential,
    CommitOptions,
    ExternalJoin,
    ExternalPsk,
    Group,
    Identity,
    KeyPackageBundle,
    PendingCommit,
    Policy,
    ReceivedProposal,
    Rule,
    RuleBroken,
    StagedCommit,
    WelcomeJoin,
    X509Credential,
    find_suite,
)
from parlour.mls.private import sending
from parlour.mls.private.epoch import Epoch
from parlour.mls.private.external import propose_as_external_sender, propose_to_join
from parlour.mls.private.key_schedule import Schedule
from parlour.mls.private.linking import branch_group, reinit_group
from parlour.mls.private.protection import sender_data_keys
from parlour.mls.private.psk import PskStore
from parlour.mls.private.secrets import JoinerSecret, PskSecret, ResumptionPsk
from parlour.mls.private.selection import select_proposals
from parlour.mls.private.storage import dump_group, load_group
from parlour.mls.private.treekem import open_path
from parlour.mls.public import state as public_state
from parlour.mls.public.capabilities import Capabilities
from parlour.mls.public.credentials import Credential, OtherCredential
from parlour.mls.public.extensions import Extension, Extensions
from parlour.mls.public.framing.content import Sender
from parlour.mls.public.framing.messages import GroupInfoMessage, PrivateMessage, decode_message
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
from parlour.mls.public.psk_id import ExternalPskId, PreSharedKeyId, ResumptionPskId
from parlour.mls.public.state import SentProposal
from parlour.mls.public.types import GREASE, LeafIndex, ResumptionPskUsage, WireFormat
from parlour.primitives.certificates import Certificate
from parlour.primitives.signature import EcdsaP256PrivateKey
from parlour.testing.mls import OPEN_POLICY, TRUST_EVERYONE
from tests.mls_forger import key_package as forge_package
from tests.mls_forger import leaf_node, refused
from tests.mls_people import NOW, Person, check_agreement, group_of, merge_everywhere, refresh

PRIVATE = CommitOptions(wire_format=WireFormat.PRIVATE_MESSAGE)


def test_every_public_name_is_there_when_asked_for() -> None:
    stub = Path(parlour.mls.__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    assert set(re.findall(r" as (\w+),?$", stub, re.M)) == set(parlour.mls.__all__)
    for name in parlour.mls.__all__:
        assert getattr(parlour.mls, name).__name__ in (name, name.lower())
        assert name in dir(parlour.mls)
    with pytest.raises(AttributeError):
        parlour.mls.Nonsense  # type: ignore[attr-defined]  # noqa: B018


def test_what_a_group_is() -> None:
    ada, bea = group_of("ada", "bea")
    group = bea.group
    assert (group.group_id, group.epoch, group.own_leaf) == (b"group", 1, 1)
    assert [index for index, _ in group.members] == [0, 1]
    assert len(group.extensions) == 0
    assert group.is_active
    assert group.pending is None
    assert group.export(b"label", b"context", 20) == ada.group.export(b"label", b"context", 20)
    assert group.export(b"other", b"context", 20) != ada.group.export(b"label", b"context", 20)
    assert len(group.export(b"label", b"", 100)) == 100
    assert "Group(67726f7570, epoch=1, leaf=1)" in repr(group)
    assert repr(group.current.tree) == "RatchetTree(2 members, 2 leaves)"
    assert hash(group.current.tree) == hash(ada.group.current.tree)
    assert hash(group.current.own_leaf) == hash(ada.group.current.tree.leaf(1))


def test_labels_and_lengths_of_an_application_are_not_remembered_without_end() -> None:
    ada, bea = group_of("ada", "bea")
    suite = ada.suite
    for number in range(300):
        label = str(number).encode()
        exported = ada.group.export(label, b"", number + 1)
        assert exported == bea.group.export(label, b"", number + 1)
        assert len(exported) == number + 1
    assert max(len(suite._infos), len(suite._blocks)) <= 256


@pytest.mark.parametrize("wire_format", [WireFormat.PUBLIC_MESSAGE, WireFormat.PRIVATE_MESSAGE])
def test_our_own_commit_comes_back(wire_format: WireFormat) -> None:
    ada, bea = group_of("ada", "bea")
    pending = ada.group.commit(
        NOW, options=CommitOptions(wire_format=wire_format, authenticated_data=b"why")
    )
    assert isinstance(bea.group.receive(pending.commit, NOW), StagedCommit)
    bea.group.decrypt(ada.group.encrypt(b"while it is pending"), NOW)
    assert ada.group.receive(pending.commit, NOW) is pending
    assert isinstance(ada.group.process(pending.commit, NOW), PendingCommit)
    bea.group.process(pending.commit, NOW)
    check_agreement([ada, bea])
    # A second time it is late.
    for person in (ada, bea):
        with pytest.raises(RuleBroken) as caught:
            person.group.process(pending.commit, NOW)
        assert caught.value.rule is Rule.EPOCH
        assert caught.value.code is Code.MLS_EPOCH


def test_a_commit_of_ours_that_we_gave_up() -> None:
    ada, _ = group_of("ada", "bea")
    pending = ada.group.commit(NOW)
    with pytest.raises(UsageError):
        ada.group.commit(NOW)
    ada.group.clear_pending()
    with pytest.raises(PeerError) as caught:
        ada.group.process(pending.commit, NOW)
    assert caught.value.code is Code.MLS_EPOCH
    with pytest.raises(UsageError):
        ada.group.merge(pending, NOW)


def test_a_staged_commit_can_be_looked_at_and_left() -> None:
    ada, bea, cid = group_of("ada", "bea", "cid")
    dan = Person("dan")
    bundle = dan.key_package()
    pending = ada.group.commit(
        NOW, adds=[bundle.key_package], removes=[cid.group.own_leaf], options=PRIVATE
    )
    staged = bea.group.receive(pending.commit, NOW)
    assert isinstance(staged, StagedCommit)
    assert not staged.removes_us
    changes = staged.public.changes
    assert [package for _, package in changes.added] == [bundle.key_package]
    assert changes.removed == (LeafIndex(2),)
    assert staged.public.committer == 0
    assert bea.group.epoch == 1
    other = cid.group.receive(pending.commit, NOW)
    assert isinstance(other, StagedCommit)
    assert other.removes_us
    cid.group.merge(other, NOW)
    with pytest.raises(UsageError) as caught:
        cid.group.encrypt(b"I am gone")
    assert caught.value.code is Code.USAGE_STATE
    again = bea.group.receive(pending.commit, NOW)
    bea.group.merge(staged, NOW)
    assert isinstance(again, StagedCommit)
    with pytest.raises(UsageError):
        bea.group.merge(again, NOW)


def test_of_two_commits_of_an_epoch_the_one_that_removes_us_is_the_last() -> None:
    ada, bea, cid = group_of("ada", "bea", "cid")
    removal = cid.group.receive(ada.group.commit(NOW, removes=[LeafIndex(2)]).commit, NOW)
    loser = cid.group.receive(bea.group.commit(NOW).commit, NOW)
    assert isinstance(removal, StagedCommit)
    assert isinstance(loser, StagedCommit)
    cid.group.merge(removal, NOW)
    for staged in (loser, removal):
        with pytest.raises(UsageError):
            cid.group.merge(staged, NOW)
    assert (cid.group.epoch, len(cid.group.members), cid.group.own_leaf) == (1, 3, 2)


def test_results_hold_no_secret_once_they_are_merged_or_given_up() -> None:
    ada, bea = group_of("ada", "bea")
    given_up = ada.group.commit(NOW)
    ada.group.clear_pending()
    pending = ada.group.commit(NOW, options=PRIVATE)
    staged = bea.group.process(pending.commit, NOW)
    ada.group.merge(pending, NOW)
    lost = bea.group.commit(NOW)
    bea.group.process(ada.group.commit(NOW).commit, NOW)
    assert isinstance(staged, StagedCommit)
    assert not staged.removes_us
    assert staged.next is not None
    for done in (given_up.next, pending.next, staged.next, lost.next):
        with pytest.raises(UsageError):
            done.look()
        assert repr(done) == "NextEpoch([secret])"
    # And the key of the commit itself is gone from the epoch that it ended.
    with pytest.raises(ParlourError):
        bea.group.member.past[0].secret_tree.find(LeafIndex(0), 0, 0)


def test_reading_data_takes_nothing_else() -> None:
    ada, bea = group_of("ada", "bea")
    remove = Remove(LeafIndex(0))
    messages = [
        bea.group.propose(remove, NOW, wire_format=WireFormat.PRIVATE_MESSAGE),
        bea.group.propose(remove, NOW, authenticated_data=b"again"),
        bea.group.commit(NOW, options=PRIVATE).commit,
    ]
    before = dump_group(ada.group)
    for message in messages:
        with pytest.raises(DecodeError):
            ada.group.decrypt(message, NOW)
        assert dump_group(ada.group) == before


def test_a_removed_member_reads_the_past_and_nothing_else() -> None:
    ada, bea, cid = group_of("ada", "bea", "cid")
    late = ada.group.encrypt(b"before")
    pending = ada.group.commit(NOW, removes=[cid.group.own_leaf])
    merge_everywhere(ada, pending, [bea])
    cid.group.process(pending.commit, NOW)
    after = ada.group.encrypt(b"after")
    assert cid.group.decrypt(late, NOW).data == b"before"
    with pytest.raises(PeerError):
        cid.group.decrypt(after, NOW)
    cid.group.expire(NOW + 3_601)
    with pytest.raises(PeerError):
        cid.group.decrypt(late, NOW + 3_601)


def test_an_update_heals_a_compromised_member() -> None:
    """A thief of the whole state reads what comes until the victim's update is committed."""
    ada, bea, cid = group_of("ada", "bea", "cid")
    refresh([ada, bea, cid])
    thief = load_group(dump_group(bea.group), OPEN_POLICY)
    message = ada.group.encrypt(b"stolen")
    assert thief.decrypt(message, NOW).data == b"stolen"
    update = bea.group.propose_update(NOW)
    for group in (ada.group, cid.group, thief):
        group.process(update, NOW)
    pending = cid.group.commit(NOW)
    merge_everywhere(cid, pending, [ada, bea])
    with pytest.raises(RuleBroken):
        thief.process(pending.commit, NOW)
    with pytest.raises(ParlourError):
        thief.decrypt(ada.group.encrypt(b"safe"), NOW)
    check_agreement([ada, bea, cid])


def test_past_epochs_are_bounded_by_number_and_time() -> None:
    ada, bea = group_of("ada", "bea")
    late = []
    for _ in range(7):
        late.append(ada.group.encrypt(b"late"))
        refresh([ada, bea])
    assert len(bea.group.member.past) == 5
    for message in late[:2]:
        with pytest.raises(RuleBroken) as caught:
            bea.group.decrypt(message, NOW)
        assert caught.value.rule is Rule.EPOCH
    assert bea.group.decrypt(late[2], NOW + 3_600).data == b"late"
    with pytest.raises(RuleBroken):
        bea.group.decrypt(late[3], NOW + 3_601)


def test_a_message_that_comes_too_late_changes_nothing() -> None:
    ada, bea = group_of("ada", "bea")
    late = ada.group.encrypt(b"late")
    refresh([ada, bea])
    before = dump_group(bea.group)
    with pytest.raises(RuleBroken):
        bea.group.decrypt(late, NOW + 3_601)
    assert dump_group(bea.group) == before
    # One that is read shows that time has passed.
    bea.group.decrypt(ada.group.encrypt(b"new"), NOW + 3_601)
    assert bea.group.member.past == ()


def test_padding_and_authenticated_data() -> None:
    ada, bea = group_of("ada", "bea")
    sizes = {len(ada.group.encrypt(bytes(n), pad_to=256)) for n in range(0, 150, 10)}
    assert len(sizes) == 1
    message = ada.group.encrypt(b"text", b"epoch tag", pad_to=512)
    received = bea.group.receive(message, NOW)
    assert isinstance(received, ApplicationMessage)
    assert (received.sender, received.epoch) == (0, 1)
    assert (received.data, received.authenticated_data) == (b"text", b"epoch tag")
    for pad_to in (0, -1, sending.MAX_PADDING + 1):
        with pytest.raises(UsageError):
            ada.group.encrypt(b"text", pad_to=pad_to)
    with pytest.raises(UsageError):
        ada.group.encrypt(bytes(sending.MAX_APPLICATION_DATA + 1))


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


def test_a_new_signature_key() -> None:
    ada, bea = group_of("ada", "bea")
    signer = ada.suite.signing_key_type.generate(ada.random)
    identity = ada.identity.with_signer(signer)
    pending = ada.group.commit(NOW, options=CommitOptions(identity=identity))
    merge_everywhere(ada, pending, [bea])
    assert bea.group.decrypt(ada.group.encrypt(b"new key"), NOW).data == b"new key"
    old, signer = bea.identity.signer, bea.suite.signing_key_type.generate(bea.random)
    update = bea.group.propose_update(NOW, bea.identity.with_signer(signer))
    ada.group.process(update, NOW)
    merge_everywhere(ada, ada.group.commit(NOW), [bea])
    assert bea.group.current.identity.signer is signer is not old
    assert ada.group.decrypt(bea.group.encrypt(b"mine too"), NOW).data == b"mine too"
    check_agreement([ada, bea])


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


def test_certificates() -> None:
    suite = find_suite(2)
    people = []
    for name in ("ada", "bea"):
        person = Person(name, suite)
        signer = EcdsaP256PrivateKey.generate()
        chain = Certificate.self_signed(signer, names=[name], now=NOW, valid_for=99).to_bytes()
        person.identity = replace(
            person.identity, signer=signer, credential=X509Credential((chain, b"an issuer"))
        )
        people.append(person)
    ada, bea = people
    ada.create()
    bundle = bea.key_package()
    pending = ada.group.commit(NOW, adds=[bundle.key_package])
    ada.group.merge(pending, NOW)
    bea.join(pending.welcome, bundle)
    refresh(people, 1)
    # An external commit in place of the former self shows the same certificate.
    join = ExternalJoin(OPEN_POLICY, resync=bea.group.own_leaf)
    again = Group.join_external(ada.group.group_info(), bea.identity, NOW, join)
    ada.group.process(again.commit, NOW)
    bea.group = again.confirm(again.commit)
    check_agreement(people)


def test_a_capability_of_grease_is_in_every_list() -> None:
    identity = Identity.generate(BasicCredential(b"ada"))
    lists = identity.capabilities
    for values in (lists.cipher_suites, lists.extensions, lists.proposals, lists.credentials):
        assert set(values) & set(GREASE)
    assert len(KeyPackageBundle.create(identity, NOW).key_package.extensions) == 0
    package = KeyPackageBundle.create(identity, NOW, grease=True).key_package
    assert set(package.extensions.types) <= set(GREASE)
    assert len(package.extensions) == 1
    assert not set(Identity.generate(BasicCredential(b"x"), grease=False).capabilities.proposals)


def test_the_tree_and_the_key_for_joiners_may_be_left_out() -> None:
    ada, bea = Person("ada"), Person("bea")
    ada.create()
    bundle = bea.key_package()
    options = CommitOptions(ratchet_tree=False, external_pub=True)
    pending = ada.group.commit(NOW, adds=[bundle.key_package], options=options)
    ada.group.merge(pending, NOW)
    assert pending.welcome is not None
    join = WelcomeJoin(OPEN_POLICY, ratchet_tree=ada.group.current.tree)
    bea.group, _ = Group.join(pending.welcome, [bundle], NOW, join)
    check_agreement([ada, bea])
    info = ada.group.group_info(
        ratchet_tree=False, extensions=Extensions.of([Extension(0x0A0A, b"grease")])
    )
    message = decode_message(info)
    assert isinstance(message, GroupInfoMessage)
    assert message.group_info.extensions.types == (0x0A0A, 4)


def test_threads_verify_batches() -> None:
    ada = Person("ada")
    ada.create()
    people = [Person(f"p{n}") for n in range(70)]
    bundles = [person.key_package() for person in people]
    packages = [bundle.key_package for bundle in bundles]
    with ThreadPoolExecutor(2) as executor:
        pending = ada.group.commit(NOW, adds=packages, run=executor.map)
        assert pending.welcome is not None
        join = WelcomeJoin(OPEN_POLICY)
        group, used = Group.join(pending.welcome, bundles[3:], NOW, join, run=executor.map)
        assert used is bundles[3]
        assert group.own_leaf == 4
        broken = replace(packages[66], signature=b"s" * 64)
        ada.group.clear_pending()
        with pytest.raises(RuleBroken) as caught:
            ada.group.commit(NOW, adds=[*packages[:66], broken], run=executor.map)
        assert caught.value.rule is Rule.KEY_PACKAGE_SIGNATURE


def test_messages_of_the_wrong_kind() -> None:
    ada, bea = group_of("ada", "bea")
    package = ada.key_package().message
    with pytest.raises(DecodeError):
        ada.group.receive(package, NOW)
    with pytest.raises(DecodeError):
        Group.join(package, [], NOW, WelcomeJoin(OPEN_POLICY))
    with pytest.raises(DecodeError):
        Group.join_external(package, ada.identity, NOW, ExternalJoin(OPEN_POLICY))
    with pytest.raises(DecodeError):
        bea.group.decrypt(ada.group.propose(Remove(LeafIndex(1)), NOW), NOW)
    with pytest.raises(DecodeError):
        decode_message(bytes((0, 1, 0, 9)))
    with pytest.raises(DecodeError):
        decode_message(bytes((0, 2, 0, 1)))


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


def test_a_key_is_injected_under_another_nonce_each_time() -> None:
    people = group_of("ada", "bea")
    ada, bea = people
    for person in people:
        person.psks.add_external(b"id", ExternalPsk(b"k" * 32))
    psk = PreSharedKey(PreSharedKeyId(ExternalPskId(b"id"), b"n" * 32))
    ada.group.process(bea.group.propose(psk, NOW), NOW)
    seen = {psk.psk}
    for own in ([], [psk], [psk]):
        pending = ada.group.commit(NOW, proposals=own)
        merge_everywhere(ada, pending, [bea])
        (used,) = pending.changes.psks
        assert used.key == psk.psk.key
        assert len(used.psk_nonce) == 32
        seen.add(used)
    assert len(seen) == 4


def test_only_a_groups_first_commit_continues_another() -> None:
    ada, _ = group_of("ada", "bea")
    with pytest.raises(UsageError) as caught:
        ada.group.commit(NOW, options=CommitOptions(link=ResumptionPskUsage.BRANCH))
    assert caught.value.code is Code.USAGE_STATE


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


def test_an_update_that_is_refused_leaves_no_key() -> None:
    ada, _ = group_of("ada", "bea")
    another = replace(ada.identity, credential=BasicCredential(b"somebody else"))
    with pytest.raises(RuleBroken):
        ada.group.propose_update(NOW, another)
    assert ada.group.member.updates == {}
    ada.group.propose_update(NOW)
    assert len(ada.group.member.updates) == 1


def test_a_clock_that_was_fast_keeps_no_epoch_beyond_the_hour() -> None:
    ada, bea = group_of("ada", "bea")
    late = bea.group.encrypt(b"late")
    far = NOW + 3_601
    ada.group.merge(ada.group.commit(NOW + 3_600), NOW + 3_600)
    bea.group.merge(bea.group.commit(far), far)
    bea.group.expire(NOW)
    assert not bea.group.member.past
    assert ada.group.decrypt(late, NOW).data == b"late"
    ada.group.expire(NOW + 3_600)
    assert ada.group.member.past
    ada.group.expire(NOW + 3_601)
    assert not ada.group.member.past


def test_an_external_join_with_a_key() -> None:
    ada, bea = group_of("ada", "bea")
    cid = Person("cid")
    psk_id = PreSharedKeyId(ExternalPskId(b"id"), b"")
    for person in (ada, bea, cid):
        person.psks.add_external(b"id", ExternalPsk(b"k" * 32))
    join = ExternalJoin(OPEN_POLICY, cid.psks, (psk_id,), authenticated_data=b"link")
    info = decode_message(ada.group.group_info())
    assert isinstance(info, GroupInfoMessage)
    pending = Group.join_external(info.group_info, cid.identity, NOW, join)
    for person in (ada, bea):
        person.group.process(pending.commit, NOW)
    cid.group = pending.confirm(pending.commit)
    check_agreement([ada, bea, cid])
    with pytest.raises(UsageError):
        pending.confirm(pending.commit)


def test_the_store_of_keys() -> None:
    ada, bea = group_of("ada", "bea")
    for _ in range(7):
        refresh([ada, bea])
    assert repr(ada.psks) == "PskStore(0 external, 1 groups)"
    ada.psks.remove_group(b"group")
    assert repr(ada.psks) == "PskStore(0 external, 0 groups)"


@pytest.mark.parametrize("keep", [0, 1, 2, 5])
def test_as_many_epochs_as_were_asked_for(keep: int) -> None:
    store = PskStore(keep)
    for epoch in (0, 1, 4, 3, 2):
        store.add_resumption(b"group", epoch, ResumptionPsk(bytes(32)))
    key = partial(ResumptionPskId, ResumptionPskUsage.APPLICATION, b"group")
    found = [n for n in range(5) if store.find(PreSharedKeyId(key(n), b"")) is not None]
    assert found == list(range(5))[5 - keep :]
    for wrong in (-1, 1 << 16):
        with pytest.raises(UsageError):
            PskStore(wrong)


# --- Which proposals a commit takes ---


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


# --- Groups that continue others ---


def test_what_does_not_continue_a_group() -> None:
    ada, bea = group_of("ada", "bea")
    package = bea.key_package().key_package
    with pytest.raises(UsageError):
        reinit_group(ada.group, ada.identity, [package], NOW)
    stranger = Person("eve").key_package().key_package
    with pytest.raises(UsageError):
        branch_group(ada.group, b"branch", [stranger], NOW)
    end = ReInit(b"next", 1, 3, Extensions())
    merge_everywhere(ada, ada.group.commit(NOW, proposals=[end]), [bea])
    with pytest.raises(UsageError):
        reinit_group(ada.group, ada.identity, [package], NOW)
    newer = replace(end, version=2)
    ada.group.member.reinit = newer
    with pytest.raises(UsageError):
        reinit_group(ada.group, replace(ada.identity, suite=find_suite(3)), [package], NOW)
    ada.group.member.reinit = end
    chacha = replace(ada.identity, suite=find_suite(3))
    with pytest.raises(UsageError):
        reinit_group(ada.group, chacha, [], NOW)
    bundle = KeyPackageBundle.create(replace(bea.identity, suite=find_suite(3)), NOW)
    group, welcome = reinit_group(ada.group, chacha, [bundle.key_package], NOW)
    join = WelcomeJoin(OPEN_POLICY, bea.psks, groups={b"group": bea.group.as_origin()})
    joined, _ = Group.join(welcome, [bundle], NOW, join)
    assert joined.epoch_authenticator == group.epoch_authenticator


def test_a_branch_of_one() -> None:
    (ada,) = group_of("ada")
    with pytest.raises(UsageError):
        branch_group(ada.group, b"branch", [], NOW)


def test_an_update_whose_key_is_not_ours() -> None:
    """Somebody replays our Update of a former life in the same epoch."""
    ada, bea = group_of("ada", "bea")
    update = bea.group.propose_update(NOW)
    ada.group.process(update, NOW)
    bea.group.member.updates.clear()
    pending = ada.group.commit(NOW)
    with pytest.raises(RuleBroken) as caught:
        bea.group.process(pending.commit, NOW)
    assert caught.value.rule is Rule.PATH_DERIVED_KEYS


def test_sending_although_proposals_wait() -> None:
    ada, bea = group_of("ada", "bea")
    ada.group.propose_update(NOW)
    ada.group.member.policy = replace(OPEN_POLICY, send_before_commit=True)
    assert bea.group.decrypt(ada.group.encrypt(b"urgent"), NOW).data == b"urgent"
    assert isinstance(PskStore().find(PreSharedKeyId(ExternalPskId(b"x"), b"")), type(None))


def test_an_epoch_of_nobody() -> None:
    (ada,) = group_of("ada")
    with pytest.raises(UsageError):
        _ = replace(ada.group.current, leaf_index=LeafIndex(9)).own_leaf


def test_who_trusts_everyone_tells_clients_apart_by_what_they_say() -> None:
    name = TRUST_EVERYONE.identity
    chain = X509Credential((b"der", b"issuer"))
    assert name(chain) == name(X509Credential((b"der", b"another issuer")))
    others: list[Credential] = [
        BasicCredential(b"der"),
        BasicCredential(b"ada"),
        OtherCredential(77, b"der"),
        chain,
    ]
    assert len({name(other) for other in others}) == 4


def test_a_policy_has_to_say_who_is_who_and_opens_no_door_unasked() -> None:
    with pytest.raises(TypeError):
        Policy()  # type: ignore[call-arg]
    closed = Policy(TRUST_EVERYONE)
    ada, _ = group_of("ada", "bea")
    ada.group.member.policy = closed
    stranger, other_bea = Person("cid"), Person("cid")
    other_bea.identity = replace(stranger.identity, credential=BasicCredential(b"bea"))
    ask = propose_to_join(ada.group.current.context, stranger.key_package(), NOW)
    info = ada.group.group_info()
    for rule, message in (
        (Rule.EXTERNAL_PROPOSAL_AUTHORIZED, ask),
        (Rule.EXTERNAL_COMMIT_ALLOWED, external_commit(info, stranger)),
        (Rule.EXTERNAL_COMMIT_ALLOWED, external_commit(info, other_bea, LeafIndex(1))),
    ):
        refused(ada.group, rule, message)
    ada.group.member.policy = replace(closed, external_commits=True)
    again = external_commit(info, other_bea, LeafIndex(1))
    refused(ada.group, Rule.EXTERNAL_COMMIT_REMOVE, again)
    assert [index for index, _ in after(ada.group.commit(NOW)).tree.members()] == [0, 1]


def after(pending: PendingCommit) -> Epoch:
    return pending.next.look()[0]


def external_commit(info: bytes, who: Person, resync: LeafIndex | None = None) -> bytes:
    join = ExternalJoin(OPEN_POLICY, resync=resync)
    return Group.join_external(info, who.identity, NOW, join, random=who.random).commit


def test_there_is_no_group_before_the_commit_that_joins_it_has_won() -> None:
    ada, bea = group_of("ada", "bea")
    cid, join = Person("cid"), ExternalJoin(OPEN_POLICY)
    pending = Group.join_external(ada.group.group_info(), cid.identity, NOW, join)
    assert repr(pending) == "PendingJoin(67726f7570, epoch=2)"
    assert not hasattr(pending, "encrypt")
    winner = bea.group.commit(NOW)
    with pytest.raises(UsageError) as caught:
        pending.confirm(winner.commit)
    assert caught.value.code is Code.USAGE_STATE
    merge_everywhere(bea, winner, [ada])
    pending = Group.join_external(ada.group.group_info(), cid.identity, NOW, join)
    for person in (ada, bea):
        person.group.process(pending.commit, NOW)
    cid.group = pending.confirm(pending.commit)
    check_agreement([ada, bea, cid])
    with pytest.raises(UsageError):
        pending.confirm(pending.commit)


def test_every_commit_heals_us_unless_we_say_otherwise() -> None:
    ada, bea = group_of("ada", "bea")
    bea.group.process(ada.group.propose(Add(Person("cid").key_package().key_package), NOW), NOW)
    before = ada.group.current.own_leaf
    pending = ada.group.commit(NOW)
    assert after(pending).own_leaf.encryption_key != before.encryption_key
    ada.group.clear_pending()
    without = ada.group.commit(NOW, options=CommitOptions(path=False))
    assert after(without).own_leaf == before


def test_sender_data_of_another_size() -> None:
    ada, bea = group_of("ada", "bea")
    message = decode_message(ada.group.encrypt(b"text"))
    assert isinstance(message, PrivateMessage)
    key, nonce = sender_data_keys(
        ada.suite, ada.group.current.secrets.sender_data_secret, message.ciphertext
    )
    aad = encode_opaque(b"group") + (1).to_bytes(8) + b"\x01"
    sealed = ada.suite.cipher(key).seal(nonce, bytes(11), aad)
    with pytest.raises(AuthenticationError):
        bea.group.receive(replace(message, encrypted_sender_data=sealed), NOW)


def test_a_path_for_which_we_have_no_key() -> None:
    ada, bea = group_of("ada", "bea")
    staged = bea.group.receive(ada.group.commit(NOW).commit, NOW)
    assert isinstance(staged, StagedCommit)
    public = staged.public
    assert public.path is not None
    with pytest.raises(RuleBroken) as caught:
        open_path(
            bea.suite,
            public.provisional_context,
            public.path,
            public.path_steps,
            frozenset(),
            LeafIndex(1),
            {},
        )
    assert caught.value.rule is Rule.PATH_DERIVED_KEYS


def test_a_key_schedule_does_not_show() -> None:
    suite = find_suite(1)
    schedule = Schedule.begin(suite, JoinerSecret(b"j" * 32), PskSecret(suite.zero))
    assert repr(schedule) == "Schedule([secret])"
