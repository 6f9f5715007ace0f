"""Chapters 8, 11 and 12: proposals, their lists, and commits. A test for each rule."""

from __future__ import annotations

from dataclasses import replace

import pytest

from parlour.errors import Code, LimitError
from parlour.mls import BasicCredential, ExternalJoin, ExternalPsk, Group, Rule, RuleBroken
from parlour.mls.private.storage import dump_group
from parlour.mls.public.capabilities import Capabilities, RequiredCapabilities
from parlour.mls.public.changes import make_validator
from parlour.mls.public.commit import Commit, ProposalRef, UpdatePath
from parlour.mls.public.credentials import Credential
from parlour.mls.public.extensions import Extension, Extensions
from parlour.mls.public.framing.content import NEW_MEMBER_COMMIT
from parlour.mls.public.framing.messages import PublicMessage, decode_message, encode_message
from parlour.mls.public.limits import MAX_PSKS
from parlour.mls.public.proposals import (
    Add,
    ExternalInit,
    GroupContextExtensions,
    OtherProposal,
    PreSharedKey,
    Proposal,
    ReInit,
    Remove,
    Update,
)
from parlour.mls.public.psk_id import ExternalPskId, PreSharedKeyId, ResumptionPskId
from parlour.mls.public.state import SentProposal
from parlour.mls.public.types import (
    GREASE,
    ExtensionType,
    LeafIndex,
    LeafNodeSource,
    ResumptionPskUsage,
)
from parlour.mls.public.validation.proposals import check_proposal
from parlour.testing.mls import OPEN_POLICY, TrustEveryone
from tests.mls_forger import (
    commit,
    fresh_key,
    key_package,
    leaf_node,
    message,
    new_commit,
    refused,
    resign,
    update_path,
)
from tests.mls_people import NOW, Person, check_agreement, group_of, merge_everywhere

NONCE = b"n" * 32


def psk(key: ExternalPskId | ResumptionPskId, nonce: bytes = NONCE) -> PreSharedKey:
    return PreSharedKey(PreSharedKeyId(key, nonce))


def reinit(version: int = 1) -> ReInit:
    return ReInit(b"next", version, 1, Extensions())


def people() -> tuple[Person, Person]:
    ada, bea = group_of("ada", "bea")
    return ada, bea


def refuses(rule: Rule, *proposals: Proposal) -> None:
    """A commit of those proposals is refused."""
    ada, bea = people()
    refused(bea.group, rule, commit(ada, *proposals, path=update_path(ada)))


# --- Single proposals ---


def test_v0801_a_nonce_of_another_length() -> None:
    for size in (0, 31, 33):
        refuses(Rule.PSK_NONCE_LENGTH, psk(ExternalPskId(b"id"), bytes(size)))


def test_v1101_capabilities_that_a_member_lacks() -> None:
    needed = RequiredCapabilities((10,), (77,), (1,))
    extension = Extension(ExtensionType.REQUIRED_CAPABILITIES, needed.encode())
    change = GroupContextExtensions(Extensions.of([extension]))
    ada, bea = people()
    able = Capabilities(proposals=(77,))
    path = resign(ada, update_path(ada), capabilities=able)
    refused(bea.group, Rule.REQUIRED_CAPABILITIES_SUPPORTED, commit(ada, change, path=path))


def test_v1201_a_remove_of_nobody() -> None:
    for leaf in (2, 3, 2**32 - 1):
        refuses(Rule.REMOVE_MEMBER, Remove(LeafIndex(leaf)))


@pytest.mark.parametrize(
    ("rule", "usage"),
    [
        (Rule.PSK_USAGE_REINIT, ResumptionPskUsage.REINIT),
        (Rule.PSK_USAGE_BRANCH, ResumptionPskUsage.BRANCH),
    ],
    ids=["v1202", "v1203"],
)
def test_v1202_v1203_keys_of_a_beginning(rule: Rule, usage: ResumptionPskUsage) -> None:
    refuses(rule, psk(ResumptionPskId(usage, b"group", 1)))


def test_v1204_a_return_to_an_older_version() -> None:
    refuses(Rule.REINIT_VERSION, reinit(version=0))


def test_v1107_an_end_after_which_nothing_can_begin() -> None:
    for version, suite in ((0x7777, 1), (1, 0x9999), (1, GREASE[0])):
        ada, bea = people()
        end = ReInit(b"next", version, suite, Extensions())
        refused(bea.group, Rule.REINIT_SUPPORTED, commit(ada, end, path=update_path(ada)))
        refused(bea.group, Rule.REINIT_SUPPORTED, message(ada, end))
        with pytest.raises(RuleBroken) as caught:
            ada.group.propose(end, NOW)
        assert caught.value.rule is Rule.REINIT_SUPPORTED
        with pytest.raises(RuleBroken) as caught:
            ada.group.commit(NOW, proposals=[end])
        assert caught.value.rule is Rule.REINIT_SUPPORTED
    # Clients that fill their lists carelessly can be let through.
    careless = replace(OPEN_POLICY, listed_suites=False)
    bea.group.member.policy = careless
    bea.group.process(encode_message(message(ada, end)), NOW)


def test_v1220_an_update_from_outside() -> None:
    ada, bea = people()
    update = Update(leaf_node(ada, LeafNodeSource.UPDATE))
    new, _ = joining(ada)
    broken = message(
        new, Commit((*external_proposals(ada), update), joining_path(ada)), sender=NEW_MEMBER_COMMIT
    )
    # The list of an external commit is checked first; alone, an Update has to be a member's.
    refused(bea.group, Rule.EXTERNAL_COMMIT_PROPOSALS, broken)

    state = bea.group.current.public
    with pytest.raises(RuleBroken) as caught:
        check_proposal(
            make_validator(state, OPEN_POLICY, NOW),
            state.tree,
            SentProposal(update, NEW_MEMBER_COMMIT),
        )
    assert caught.value.rule is Rule.UPDATE_BY_MEMBER


# --- Lists ---


def by_reference(sender: Person, proposal: Proposal, *readers: Person) -> ProposalRef:
    """The proposal is sent, read, and named."""
    sent = message(sender, proposal)
    for reader in readers:
        reader.group.process(encode_message(sent), NOW)
    return ProposalRef(sent.authenticated.proposal_ref(sender.suite))


def test_v1206_an_update_of_the_committer() -> None:
    ada, bea = people()
    reference = by_reference(ada, Update(leaf_node(ada, LeafNodeSource.UPDATE)), bea)
    broken = message(ada, Commit((reference,), update_path(ada)))
    refused(bea.group, Rule.UPDATE_BY_COMMITTER, broken)


def test_v1207_a_committer_who_leaves() -> None:
    refuses(Rule.REMOVE_COMMITTER, Remove(LeafIndex(0)))


def test_v1208_one_leaf_twice() -> None:
    ada, bea, cid = group_of("ada", "bea", "cid")
    remove = Remove(LeafIndex(1))
    twice = commit(ada, remove, remove, path=update_path(ada))
    refused(cid.group, Rule.SAME_LEAF_TWICE, twice)
    reference = by_reference(bea, Update(leaf_node(bea, LeafNodeSource.UPDATE)), cid)
    both = message(ada, Commit((reference, remove), update_path(ada)))
    refused(cid.group, Rule.SAME_LEAF_TWICE, both)


def test_v1209_one_client_added_twice() -> None:
    cid = Person("cid")
    refuses(Rule.ADD_TWICE, Add(key_package(cid)), Add(key_package(cid)))


def test_v1210_a_member_added_again() -> None:
    ada, bea, cid = group_of("ada", "bea", "cid")
    bundle = cid.key_package()
    add = Add(bundle.key_package)
    refused(bea.group, Rule.ADD_PRESENT, commit(ada, add))
    again = ada.group.commit(NOW, proposals=[add], removes=[cid.group.own_leaf])
    merge_everywhere(ada, again, [bea])
    cid.join(again.welcome, bundle)


def test_v1211_one_key_twice() -> None:
    refuses(Rule.PSK_TWICE, psk(ExternalPskId(b"id")), psk(ExternalPskId(b"id")))


def test_v1212_extensions_twice() -> None:
    change = GroupContextExtensions(Extensions())
    refuses(Rule.EXTENSIONS_TWICE, change, change)


def test_v1213_an_end_with_something_else() -> None:
    refuses(Rule.REINIT_ALONE, reinit(), Remove(LeafIndex(1)))
    refuses(Rule.REINIT_ALONE, reinit(), reinit())


def test_v1214_an_external_init_of_a_member() -> None:
    refuses(Rule.EXTERNAL_INIT_IN_COMMIT, ExternalInit(b"k" * 32))


def test_v1215_a_proposal_that_not_all_understand() -> None:
    refuses(Rule.PROPOSAL_SUPPORTED, OtherProposal(77, b"?"))


def test_v1215_who_comes_or_goes_need_not_understand_it() -> None:
    people = [Person(name) for name in ("ada", "bea", "cid")]
    ada, bea, cid = people
    for person in (ada, bea):
        person.identity = replace(person.identity, capabilities=Capabilities(proposals=(77,)))
    ada.create()
    bundles = [person.key_package() for person in (bea, cid)]
    pending = ada.group.commit(NOW, adds=[bundle.key_package for bundle in bundles])
    ada.group.merge(pending, NOW)
    for person, bundle in zip((bea, cid), bundles, strict=True):
        person.join(pending.welcome, bundle)
    news, dan = OtherProposal(77, b"?"), Person("dan")
    with pytest.raises(RuleBroken) as caught:
        ada.group.commit(NOW, proposals=[news])
    assert caught.value.rule is Rule.PROPOSAL_SUPPORTED
    bundle = dan.key_package()
    pending = ada.group.commit(
        NOW, proposals=[news], removes=[cid.group.own_leaf], adds=[bundle.key_package]
    )
    merge_everywhere(ada, pending, [bea, cid])
    dan.join(pending.welcome, bundle)
    assert not cid.group.is_active
    check_agreement([ada, bea, dan])


def test_more_keys_than_a_joiner_would_read() -> None:
    ada, bea, cid = (*people(), Person("cid"))
    for person in (ada, bea, cid):
        person.psks.add_external(b"id", ExternalPsk(b"k"))
    keys = [psk(ExternalPskId(b"id"), n.to_bytes(32)) for n in range(MAX_PSKS + 1)]
    with pytest.raises(LimitError):
        ada.group.commit(NOW, proposals=keys)
    before = dump_group(bea.group)
    with pytest.raises(LimitError):
        bea.group.process(encode_message(commit(ada, *keys)), NOW)
    assert dump_group(bea.group) == before
    bundle = cid.key_package()
    pending = ada.group.commit(NOW, proposals=keys[1:], adds=[bundle.key_package])
    merge_everywhere(ada, pending, [bea])
    cid.join(pending.welcome, bundle)
    check_agreement([ada, bea, cid])


def test_v1221_a_proposal_that_nobody_sent() -> None:
    ada, bea = people()
    broken = message(ada, Commit((ProposalRef(b"r" * 32),), update_path(ada)))
    refused(bea.group, Rule.PROPOSAL_KNOWN, broken)


# --- External commits ---


def joining(ada: Person, *, resync: LeafIndex | None = None) -> tuple[Person, bytes]:
    """Somebody with a valid external commit, who sees the group as Ada does."""
    cid = Person("cid")
    join = ExternalJoin(OPEN_POLICY, resync=resync)
    pending = Group.join_external(
        ada.group.group_info(), cid.identity, NOW, join, random=cid.random
    )
    cid.group = ada.group
    return cid, pending.commit


def external_commit(ada: Person) -> tuple[Person, Commit]:
    cid, data = joining(ada)
    sent = decode_message(data)
    assert isinstance(sent, PublicMessage)
    assert isinstance(sent.content.body, Commit)
    return cid, sent.content.body


def external_proposals(ada: Person) -> tuple[Proposal, ...]:
    _, valid = external_commit(ada)
    return tuple(item for item in valid.proposals if not isinstance(item, ProposalRef))


def joining_path(ada: Person) -> UpdatePath:
    _, valid = external_commit(ada)
    assert valid.path is not None
    return valid.path


def refuses_external(rule: Rule, *proposals: Proposal | ProposalRef) -> None:
    ada, bea = people()
    cid, valid = external_commit(ada)
    broken = Commit((*valid.proposals, *proposals), valid.path)
    refused(bea.group, rule, message(cid, broken, sender=NEW_MEMBER_COMMIT))


def test_v1216_not_one_external_init() -> None:
    refuses_external(Rule.EXTERNAL_COMMIT_INIT, ExternalInit(b"k" * 32))
    ada, bea = people()
    cid, valid = external_commit(ada)
    broken = message(cid, Commit((), valid.path), sender=NEW_MEMBER_COMMIT)
    refused(bea.group, Rule.EXTERNAL_COMMIT_INIT, broken)


def test_v1217_two_former_selves() -> None:
    refuses_external(Rule.EXTERNAL_COMMIT_REMOVE, Remove(LeafIndex(0)), Remove(LeafIndex(1)))
    ada, bea = people()
    bea.group.member.policy = replace(OPEN_POLICY, resync=False)
    _, data = joining_as("ada", ada)
    refused(bea.group, Rule.EXTERNAL_COMMIT_REMOVE, data)


def joining_as(name: str, ada: Person) -> tuple[Person, bytes]:
    """Somebody joins in place of Ada."""
    new = Person("another key")
    new.identity = replace(new.identity, credential=BasicCredential(name.encode()))
    return new, join_over(ada, new, LeafIndex(0))


def test_v1218_a_joiner_who_removes_somebody_else() -> None:
    ada, bea = people()
    cid = Person("cid")
    with pytest.raises(RuleBroken) as caught:
        Group.join_external(
            ada.group.group_info(),
            cid.identity,
            NOW,
            ExternalJoin(OPEN_POLICY, resync=LeafIndex(0)),
        )
    assert caught.value.rule is Rule.EXTERNAL_COMMIT_SUCCESSOR
    data = join_over(ada, cid, LeafIndex(0))
    refused(bea.group, Rule.EXTERNAL_COMMIT_SUCCESSOR, data)
    _, data = joining_as("ada", ada)
    bea.group.process(data, NOW)


class Careless(TrustEveryone):
    """A joiner who takes itself for anybody."""

    def succeeds(self, old: Credential, new: Credential) -> bool:
        return True


def join_over(ada: Person, cid: Person, leaf: LeafIndex) -> bytes:
    join = ExternalJoin(replace(OPEN_POLICY, credentials=Careless()), resync=leaf)
    info = ada.group.group_info()
    return Group.join_external(info, cid.identity, NOW, join, random=cid.random).commit


def test_v1219_an_external_commit_with_more() -> None:
    refuses_external(Rule.EXTERNAL_COMMIT_PROPOSALS, Add(key_package(Person("dan"))))


def test_v1237_an_external_commit_by_reference() -> None:
    ada, bea = people()
    reference = by_reference(ada, psk(ExternalPskId(b"id")), bea)
    cid, valid = external_commit(ada)
    broken = Commit((*valid.proposals, reference), valid.path)
    data = message(cid, broken, sender=NEW_MEMBER_COMMIT)
    refused(bea.group, Rule.EXTERNAL_COMMIT_BY_VALUE, data)


def test_v1239_external_commits_that_the_application_forbids() -> None:
    ada, bea = people()
    bea.group.member.policy = replace(OPEN_POLICY, external_commits=False)
    _, data = joining(ada)
    refused(bea.group, Rule.EXTERNAL_COMMIT_ALLOWED, data)


# --- Commits ---


def test_v1231_a_commit_without_the_path_it_needs() -> None:
    ada, bea, cid = group_of("ada", "bea", "cid")
    change = GroupContextExtensions(Extensions())
    for proposals in ((), (Remove(LeafIndex(1)),), (change,)):
        refused(cid.group, Rule.COMMIT_PATH_REQUIRED, commit(ada, *proposals))
    assert bea.group.is_active


def test_v1232_a_path_with_the_old_leaf_key() -> None:
    ada, bea = people()
    old = ada.group.current.own_leaf.encryption_key
    path = resign(ada, update_path(ada), encryption_key=old)
    refused(bea.group, Rule.COMMIT_LEAF_FRESH_KEY, commit(ada, path=path))


def test_v1233_a_path_with_a_key_that_is_known() -> None:
    ada, bea = people()
    path = update_path(ada)
    known = bea.group.current.own_leaf.encryption_key
    for node in (
        replace(path.nodes[0], encryption_key=known),
        replace(path.nodes[0], encryption_key=path.leaf_node.encryption_key),
    ):
        broken = commit(ada, path=replace(path, nodes=(node,)))
        refused(bea.group, Rule.COMMIT_PATH_KEYS_NEW, broken)
    cid = Person("cid")
    leaf = leaf_node(cid)
    node = replace(path.nodes[0], encryption_key=leaf.encryption_key)
    added = Add(key_package(cid, leaf))
    long = new_commit(ada, added).path
    assert long is not None
    nodes = (node, *long.update_path.nodes[1:])
    broken = commit(ada, added, path=replace(long.update_path, nodes=nodes))
    refused(bea.group, Rule.COMMIT_PATH_KEYS_NEW, broken)


def test_v1234_a_commit_whose_maker_saw_another_group() -> None:
    ada, bea = people()
    refused(bea.group, Rule.COMMIT_CONFIRMATION_TAG, commit(ada, path=update_path(ada)))
    cid, data = joining(ada)
    sent = decode_message(data)
    assert isinstance(sent, PublicMessage)
    valid = sent.content.body
    assert isinstance(valid, Commit)
    for kem_output in (b"short", bytes(32), fresh_key(cid)):
        broken = Commit((ExternalInit(kem_output),), valid.path)
        refused(
            bea.group,
            Rule.COMMIT_CONFIRMATION_TAG,
            message(cid, broken, sender=NEW_MEMBER_COMMIT),
        )


def test_v1235_a_key_that_is_not_here() -> None:
    ada, bea = people()
    proposal = psk(ExternalPskId(b"id"))
    ada.psks.add_external(b"id", ExternalPsk(b"k"))
    pending = ada.group.commit(NOW, proposals=[proposal])
    error = refused(bea.group, Rule.COMMIT_PSKS_KNOWN, pending.commit)
    assert error.code is Code.MLS_PSK
    bea.psks.add_external(b"id", ExternalPsk(b"k"))
    merge_everywhere(ada, pending, [bea])
    assert ada.group.epoch_authenticator == bea.group.epoch_authenticator


def test_v1238_a_group_that_has_ended() -> None:
    ada, bea = people()
    pending = ada.group.commit(NOW, proposals=[reinit()])
    late = message(ada, Remove(LeafIndex(1)), epoch=ada.group.epoch + 1)
    merge_everywhere(ada, pending, [bea])
    refused(bea.group, Rule.GROUP_CLOSED, late)
    for person in (ada, bea):
        before = dump_group(person.group)
        with pytest.raises(RuleBroken) as caught:
            person.group.encrypt(b"hello")
        assert caught.value.rule is Rule.GROUP_CLOSED
        assert dump_group(person.group) == before
