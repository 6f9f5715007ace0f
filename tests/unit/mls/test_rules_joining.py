"""§11.2, §11.3 and §12.4.3: GroupInfo, Welcome, and the trees in them. A test for each rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from parlour.codec import encode_opaque
from parlour.mls import (
    CommitOptions,
    ExternalJoin,
    ExternalPsk,
    Group,
    KeyPackageBundle,
    Rule,
    RuleBroken,
    WelcomeJoin,
)
from parlour.mls.private.committing import NewCommit, Setting, make_commit
from parlour.mls.private.joining import Origin
from parlour.mls.private.linking import branch_group, reinit_group
from parlour.mls.private.psk import PskStore
from parlour.mls.private.secrets import PathSecret
from parlour.mls.private.welcoming import make_welcome
from parlour.mls.public.extensions import Extension, Extensions
from parlour.mls.public.framing.content import Sender
from parlour.mls.public.group_info import GroupInfo
from parlour.mls.public.proposals import Add, PreSharedKey, ReInit
from parlour.mls.public.psk_id import ExternalPskId, PreSharedKeyId, ResumptionPskId
from parlour.mls.public.state import SentProposal
from parlour.mls.public.tree.extension import encode_tree
from parlour.mls.public.tree.nodes import Node, ParentNode
from parlour.mls.public.tree.ratchet_tree import RatchetTree
from parlour.mls.public.types import LeafIndex, ResumptionPskUsage
from parlour.mls.public.validation.tree import check_unmerged_leaves
from parlour.mls.public.welcome import Welcome
from parlour.testing.mls import OPEN_POLICY
from tests.mls_forger import fresh_key, new_commit, unknown_extension
from tests.mls_people import NOW, Person, group_of, refresh

OPEN = WelcomeJoin(OPEN_POLICY)
Tamper = Callable[[GroupInfo], GroupInfo]


def added(*, path: bool = True) -> tuple[Person, KeyPackageBundle, NewCommit]:
    """Bea, her key package, and a commit of Ada that adds her."""
    ada, bea = Person("ada"), Person("bea")
    ada.create()
    bundle = bea.key_package()
    return ada, bundle, new_commit(ada, Add(bundle.key_package), path=path)


def welcome(ada: Person, new: NewCommit, info: GroupInfo | None = None) -> Welcome:
    return make_welcome(new, (info or new.epoch.group_info()).encoded, ada.random)


def refuses(
    rule: Rule, message: Welcome | bytes, bundle: KeyPackageBundle, join: WelcomeJoin = OPEN
) -> None:
    with pytest.raises(RuleBroken) as caught:
        Group.join(message, [bundle], NOW, join)
    assert caught.value.rule is rule, caught.value


def resigned(ada: Person, info: GroupInfo, **changes: object) -> GroupInfo:
    """A GroupInfo with some fields changed, signed all the same."""
    info = replace(info, **changes)  # type: ignore[arg-type]
    return GroupInfo.sign(
        ada.suite,
        ada.identity.signer,
        info.group_context,
        info.extensions,
        info.confirmation_tag,
        info.signer,
    )


def test_a_welcome_that_breaks_no_rule() -> None:
    for path in (True, False):
        ada, bundle, new = added(path=path)
        group, _ = Group.join(welcome(ada, new), [bundle], NOW, OPEN)
        assert group.epoch_authenticator == new.epoch.secrets.epoch_authenticator


def test_v1251_a_group_with_an_extension_that_we_do_not_know() -> None:
    ada, bundle, new = added()
    for kind in (0x4242, 0x0A0A):
        extensions = Extensions.of([Extension(kind, b"")])
        context = replace(new.epoch.context, extensions=extensions)
        info = resigned(ada, new.epoch.group_info(), group_context=context)
        refuses(Rule.GROUP_INFO_EXTENSIONS, welcome(ada, new, info), bundle)


def test_v1252_a_second_group_of_that_id() -> None:
    ada, bundle, new = added()
    join = WelcomeJoin(OPEN_POLICY, groups={b"group": None})
    refuses(Rule.GROUP_ID_UNIQUE, welcome(ada, new), bundle, join)
    external = ExternalJoin(OPEN_POLICY, groups=(b"other", b"group"))
    with pytest.raises(RuleBroken) as caught:
        Group.join_external(ada.group.group_info(), Person("dan").identity, NOW, external)
    assert caught.value.rule is Rule.GROUP_ID_UNIQUE


def test_v1253_a_group_info_that_nobody_signed() -> None:
    ada, bundle, new = added()
    info = new.epoch.group_info()
    forged = replace(info, encoded=info.encoded[: info.content_size] + encode_opaque(b"s" * 64))
    refuses(Rule.GROUP_INFO_SIGNATURE, welcome(ada, new, forged), bundle)
    for signer in (2, 3):
        forged = resigned(ada, info, signer=LeafIndex(signer))
        refuses(Rule.GROUP_INFO_SIGNATURE, welcome(ada, new, forged), bundle)


def test_v1254_a_welcome_for_somebody_else() -> None:
    ada, _, new = added()
    refuses(Rule.WELCOME_NOT_FOR_US, welcome(ada, new), Person("cid").key_package())
    other_suite = replace(welcome(ada, new), cipher_suite=3)
    refuses(Rule.WELCOME_NOT_FOR_US, other_suite, Person("bea").key_package())


def test_v1255_a_group_info_of_another_suite() -> None:
    ada, bundle, new = added()
    context = replace(new.epoch.context, cipher_suite=3)
    info = resigned(ada, new.epoch.group_info(), group_context=context)
    refuses(Rule.WELCOME_CIPHER_SUITE, welcome(ada, new, info), bundle)


def with_psk(nonce: bytes, *keys: ExternalPskId | ResumptionPskId) -> tuple[PreSharedKeyId, ...]:
    return tuple(PreSharedKeyId(key, nonce) for key in keys)


def test_v1256_a_key_that_is_not_here() -> None:
    ada, bea = Person("ada"), Person("bea")
    ada.create()
    ada.psks.add_external(b"id", ExternalPsk(b"k" * 32))
    bundle = bea.key_package()
    (psk_id,) = with_psk(b"n" * 32, ExternalPskId(b"id"))
    new = new_commit(ada, Add(bundle.key_package), PreSharedKey(psk_id))
    refuses(Rule.WELCOME_PSKS_KNOWN, welcome(ada, new), bundle)
    store = PskStore()
    store.add_external(b"id", ExternalPsk(b"k" * 32))
    Group.join(welcome(ada, new), [bundle], NOW, WelcomeJoin(OPEN_POLICY, psks=store))
    store.remove_external(b"id")
    refuses(
        Rule.WELCOME_PSKS_KNOWN, welcome(ada, new), bundle, WelcomeJoin(OPEN_POLICY, psks=store)
    )


def test_v1257_two_origins() -> None:
    ada, bundle, new = added()
    links = with_psk(
        b"n" * 32,
        ResumptionPskId(ResumptionPskUsage.BRANCH, b"one", 1),
        ResumptionPskId(ResumptionPskUsage.REINIT, b"two", 1),
    )
    linked = replace(new, changes=replace(new.changes, psks=links))
    refuses(Rule.WELCOME_ONE_LINK, welcome(ada, linked), bundle)


def test_v1258_a_welcome_that_does_not_open() -> None:
    ada, bundle, new = added()
    sent = welcome(ada, new)
    sealed = sent.encrypted_group_info
    broken = replace(sent, encrypted_group_info=sealed[:-1] + bytes((sealed[-1] ^ 1,)))
    refuses(Rule.WELCOME_OPENS, broken, bundle)
    other = Person("bea").suite.hpke.kem.generate_key_pair()
    refuses(Rule.WELCOME_OPENS, sent, replace(bundle, init_key=other))


def test_v1259_a_tree_of_another_group() -> None:
    ada, bundle, new = added()
    stranger = Person("cid")
    stranger.create()
    join = WelcomeJoin(OPEN_POLICY, ratchet_tree=encode_tree(stranger.group.current.tree))
    refuses(Rule.TREE_HASH, welcome(ada, new), bundle, join)


def nodes_of(people: list[Person]) -> list[Node]:
    tree = people[0].group.current.tree
    return [tree.node(position) for position in range(2 * tree.leaf_count - 1)]


def refuses_unmerged(rule: Rule, people: list[Person], **parents: tuple[int, ...]) -> None:
    nodes = nodes_of(people)
    for name, unmerged in parents.items():
        nodes[int(name[1:])] = ParentNode(
            fresh_key(people[0]), b"", tuple(map(LeafIndex, unmerged))
        )
    with pytest.raises(RuleBroken) as caught:
        check_unmerged_leaves(RatchetTree.of_nodes(people[0].suite, nodes))
    assert caught.value.rule is rule


def test_v1260_unmerged_leaves_that_are_nobody() -> None:
    people = group_of("ada", "bea", "cid")
    refuses_unmerged(Rule.UNMERGED_IS_LEAF, people, n3=(3,))
    refuses_unmerged(Rule.UNMERGED_IS_LEAF, people, n3=(4,))
    refuses_unmerged(Rule.UNMERGED_IS_LEAF, people, n3=(2**32 - 1,))
    refuses_unmerged(Rule.UNMERGED_IS_LEAF, people, n1=(2,))


def test_v1261_unmerged_leaves_that_are_merged_below() -> None:
    people = group_of("ada", "bea", "cid")
    refuses_unmerged(Rule.UNMERGED_CHAIN, people, n1=(), n3=(1,))


def test_v1262_a_tree_without_us() -> None:
    ada, bundle, new = added()
    again = KeyPackageBundle.create(bundle.identity, NOW)
    secrets = welcome(ada, new)
    entry = replace(secrets.secrets[0], new_member=again.reference)
    renamed = replace(secrets, secrets=(entry,))
    own = replace(again, init_key=bundle.init_key)
    refuses(Rule.WELCOME_LEAF_PRESENT, renamed, own)


def test_v1263_a_path_secret_of_other_keys() -> None:
    ada, bundle, new = added()
    assert new.path is not None
    nodes = tuple(replace(node, secret=PathSecret(bytes(32))) for node in new.path.nodes)
    broken = replace(new, path=replace(new.path, nodes=nodes))
    refuses(Rule.WELCOME_PATH_KEYS, welcome(ada, broken), bundle)


def test_v1264_a_group_info_whose_maker_saw_another_group() -> None:
    ada, bundle, new = added()
    info = resigned(ada, new.epoch.group_info(), confirmation_tag=b"t" * 32)
    refuses(Rule.WELCOME_CONFIRMATION_TAG, welcome(ada, new, info), bundle)


def test_v1265_no_tree_anywhere() -> None:
    ada, bundle, new = added()
    info = new.epoch.group_info(ratchet_tree=False)
    refuses(Rule.TREE_PRESENT, welcome(ada, new, info), bundle)
    tree = encode_tree(new.epoch.tree)
    Group.join(welcome(ada, new, info), [bundle], NOW, WelcomeJoin(OPEN_POLICY, ratchet_tree=tree))


def test_v1266_a_tree_that_ends_with_nothing() -> None:
    ada, bundle, new = added()
    for tree in (b"\x00", encode_opaque(b"\x00")):
        refuses(
            Rule.TREE_LAST_NODE,
            welcome(ada, new),
            bundle,
            WelcomeJoin(OPEN_POLICY, ratchet_tree=tree),
        )


def test_v1267_a_group_that_nobody_can_join_alone() -> None:
    ada = Person("ada")
    ada.create()
    with pytest.raises(RuleBroken) as caught:
        Group.join_external(
            ada.group.group_info(external_pub=False),
            Person("bea").identity,
            NOW,
            ExternalJoin(OPEN_POLICY),
        )
    assert caught.value.rule is Rule.EXTERNAL_PUB_PRESENT


def test_v1268_a_leaf_where_a_parent_belongs() -> None:
    ada, bundle, new = added()
    leaf = b"\x01\x01" + new.epoch.own_leaf.encoded
    parent = b"\x01\x02" + ParentNode(b"key", b"").encoded
    for nodes in (leaf + leaf, parent):
        join = WelcomeJoin(OPEN_POLICY, ratchet_tree=encode_opaque(nodes))
        refuses(Rule.TREE_NODE_TYPES, welcome(ada, new), bundle, join)


# --- Reinitialization and branches ---


def origin_of(person: Person) -> WelcomeJoin:
    return WelcomeJoin(OPEN_POLICY, psks=person.psks, groups={b"group": person.group.as_origin()})


def closed(*names: str) -> list[Person]:
    """A group that has ended."""
    people = group_of(*names)
    pending = people[0].group.commit(NOW, proposals=[ReInit(b"next", 1, 1, Extensions())])
    for person in people[1:]:
        person.group.process(pending.commit, NOW)
    people[0].group.merge(pending, NOW)
    return people


def test_v1102_a_new_beginning_that_nobody_agreed_to() -> None:
    ada, bea = closed("ada", "bea")
    bundle = bea.key_package()
    group, sent = reinit_group(ada.group, ada.identity, [bundle.key_package], NOW)
    assert group.group_id == b"next"
    origin = bea.group.as_origin()
    assert origin.reinit is not None
    for reinit in (
        None,
        replace(origin.reinit, group_id=b"else"),
        replace(origin.reinit, version=0x7777),
        replace(origin.reinit, cipher_suite=3),
        replace(origin.reinit, extensions=Extensions.of([unknown_extension()])),
    ):
        groups: dict[bytes, Origin | None] = {b"group": Origin(origin.state, reinit)}
        join = WelcomeJoin(OPEN_POLICY, psks=bea.psks, groups=groups)
        refuses(Rule.REINIT_MATCHES, sent, bundle, join)
    refuses(Rule.REINIT_MATCHES, sent, bundle, WelcomeJoin(OPEN_POLICY, psks=bea.psks))
    joined, _ = Group.join(sent, [bundle], NOW, origin_of(bea))
    assert joined.epoch_authenticator == group.epoch_authenticator


def test_v1103_a_continuation_that_begins_late() -> None:
    ada, bea = group_of("ada", "bea")
    bundle = bea.key_package()
    group = Group.create(ada.identity, b"next", NOW, policy=OPEN_POLICY, psks=ada.psks)
    group.merge(group.commit(NOW), NOW)
    key = ResumptionPskId(ResumptionPskUsage.BRANCH, b"group", ada.group.epoch)
    psk = PreSharedKey(PreSharedKeyId(key, b"n" * 32))
    me = Sender.member(LeafIndex(0))
    # `Group.commit` does not make such a one.
    late = make_commit(
        group.current,
        OPEN_POLICY,
        ada.psks,
        (SentProposal(Add(bundle.key_package), me), SentProposal(psk, me)),
        CommitOptions(link=ResumptionPskUsage.BRANCH),
        Setting(NOW),
    )
    refuses(Rule.REINIT_EPOCH, welcome(ada, late), bundle, origin_of(bea))


def test_v1104_a_new_beginning_without_a_member() -> None:
    ada, bea, _ = closed("ada", "bea", "cid")
    bundle = bea.key_package()
    _, sent = reinit_group(ada.group, ada.identity, [bundle.key_package], NOW, check_members=False)
    refuses(Rule.REINIT_MEMBERS, sent, bundle, origin_of(bea))


def test_v1105_a_branch_of_nothing_that_we_know() -> None:
    ada, bea = group_of("ada", "bea")
    bundle = bea.key_package()
    group, sent = branch_group(ada.group, b"branch", [bundle.key_package], NOW)
    refuses(Rule.BRANCH_MATCHES, sent, bundle, WelcomeJoin(OPEN_POLICY, psks=bea.psks))
    # The old group may have gone on meanwhile.
    refresh([ada, bea])
    joined, _ = Group.join(sent, [bundle], NOW, origin_of(bea))
    assert joined.epoch_authenticator == group.epoch_authenticator


def test_v1106_a_branch_with_a_stranger() -> None:
    ada, bea = group_of("ada", "bea")
    bundle = bea.key_package()
    stranger = Person("eve").key_package().key_package
    _, sent = branch_group(
        ada.group, b"branch", [bundle.key_package, stranger], NOW, check_members=False
    )
    refuses(Rule.BRANCH_MEMBERS, sent, bundle, origin_of(bea))
