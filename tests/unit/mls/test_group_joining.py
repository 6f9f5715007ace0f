"""Coming into a group: who may, by what, and into one that continues another."""

from __future__ import annotations

from dataclasses import replace

import pytest

from parlour.errors import (
    Code,
    UsageError,
)
from parlour.mls import (
    BasicCredential,
    CommitOptions,
    ExternalJoin,
    ExternalPsk,
    Group,
    Identity,
    KeyPackageBundle,
    Policy,
    Rule,
    WelcomeJoin,
    X509Credential,
    find_suite,
)
from parlour.mls.private.external import propose_to_join
from parlour.mls.private.linking import branch_group, reinit_group
from parlour.mls.public.credentials import Credential, OtherCredential
from parlour.mls.public.extensions import Extension, Extensions
from parlour.mls.public.framing.messages import GroupInfoMessage, decode_message
from parlour.mls.public.proposals import (
    ReInit,
)
from parlour.mls.public.psk_id import ExternalPskId, PreSharedKeyId
from parlour.mls.public.types import GREASE, LeafIndex, ResumptionPskUsage
from parlour.primitives.certificates import Certificate
from parlour.primitives.signature import EcdsaP256PrivateKey
from parlour.testing.mls import OPEN_POLICY, TRUST_EVERYONE
from tests.mls_forger import refused
from tests.mls_people import (
    NOW,
    Person,
    after,
    check_agreement,
    group_of,
    merge_everywhere,
    refresh,
)


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


def test_only_a_groups_first_commit_continues_another() -> None:
    ada, _ = group_of("ada", "bea")
    with pytest.raises(UsageError) as caught:
        ada.group.commit(NOW, options=CommitOptions(link=ResumptionPskUsage.BRANCH))
    assert caught.value.code is Code.USAGE_STATE


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
