"""Chapters 5, 7 and 10: credentials, leaf nodes, key packages. A test for each rule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from parlour.codec import Reader
from parlour.errors import UsageError
from parlour.mls import (
    BasicCredential,
    CommitOptions,
    ExternalJoin,
    Group,
    KeyPackageBundle,
    Policy,
    Rule,
    RuleBroken,
    X509Credential,
    decode_message,
    find_suite,
)
from parlour.mls.private.storage import dump_group
from parlour.mls.public.capabilities import Capabilities, RequiredCapabilities
from parlour.mls.public.commit import Commit, HpkeCiphertexts, UpdatePathNode
from parlour.mls.public.credentials import Credential, OtherCredential
from parlour.mls.public.extensions import Extension, Extensions
from parlour.mls.public.framing.content import NEW_MEMBER_PROPOSAL
from parlour.mls.public.framing.messages import KeyPackageMessage, encode_message
from parlour.mls.public.leaf_node import LeafNode, Lifetime
from parlour.mls.public.policy import LifetimeCheck
from parlour.mls.public.proposals import Add, GroupContextExtensions, Update
from parlour.mls.public.tree.extension import encode_tree, read_tree
from parlour.mls.public.tree.nodes import Node, ParentNode
from parlour.mls.public.tree.parent_hash import parent_hash
from parlour.mls.public.tree.ratchet_tree import RatchetTree
from parlour.mls.public.types import ExtensionType, LeafIndex, LeafNodeSource, NodeIndex
from parlour.mls.public.validation.leaf_nodes import LeafValidator
from parlour.mls.public.validation.tree import check_parent_key, check_tree
from parlour.primitives.certificates import Certificate
from parlour.primitives.signature import EcdsaP256PrivateKey
from parlour.testing.mls import OPEN_POLICY, TrustEveryone
from tests.mls_forger import (
    UNKNOWN_EXTENSION,
    commit,
    fresh_key,
    key_package,
    leaf_node,
    message,
    new_commit,
    refused,
    resign,
    unknown_extension,
    update_path,
)
from tests.mls_people import (
    NOW,
    Person,
    check_agreement,
    group_of,
    merge_everywhere,
    refresh,
    watch,
)


def refuses_leaf(rule: Rule, leaf: LeafNode, adder: Person, reader: Person, new: Person) -> None:
    """An Add of that leaf is refused as a proposal and in a commit."""
    add = Add(key_package(new, leaf))
    refused(reader.group, rule, message(adder, add))
    refused(reader.group, rule, commit(adder, add))


def people() -> tuple[Person, Person, Person]:
    ada, bea = group_of("ada", "bea")
    return ada, bea, Person("cid")


# --- Credentials ---


class Nobody(TrustEveryone):
    def accepts(self, credential: Credential, signature_key: bytes) -> bool:
        return credential != BasicCredential(b"cid")


def test_v0501_the_application_refuses_a_credential() -> None:
    ada, bea, cid = people()
    bea.group.member.policy = replace(OPEN_POLICY, credentials=Nobody())
    refused(bea.group, Rule.CREDENTIAL_ACCEPTED, message(ada, Add(key_package(cid))))


def test_v0502_a_certificate_of_another_key() -> None:
    ada, bea, cid = people()
    other = EcdsaP256PrivateKey.generate()
    chain = Certificate.self_signed(other, names=["x"], now=NOW, valid_for=9).to_bytes()
    for certificates in ((chain,), (), (b"no certificate",)):
        leaf = leaf_node(cid, credential=X509Credential(certificates))
        refuses_leaf(Rule.CREDENTIAL_X509_KEY, leaf, ada, bea, cid)


def test_v0503_an_update_under_another_name() -> None:
    ada, bea, _ = people()
    leaf = leaf_node(bea, LeafNodeSource.UPDATE, credential=BasicCredential(b"eve"))
    refused(ada.group, Rule.CREDENTIAL_SUCCESSOR, message(bea, Update(leaf)))


class Pins(TrustEveryone):
    """An application that remembers the first key that it saw of everybody."""

    def __init__(self) -> None:
        self.pinned: dict[bytes, bytes] = {}

    def accepts(self, credential: Credential, signature_key: bytes) -> bool:
        return self.pinned.setdefault(self.identity(credential), signature_key) == signature_key


def test_v0705_nobody_is_remembered_by_a_leaf_that_nobody_signed() -> None:
    ada, bea, cid = people()
    eve, pins = Person("eve"), Pins()
    bea.group.member.policy = replace(OPEN_POLICY, credentials=pins)
    forged = leaf_node(cid, signature_key=eve.identity.signer.public_key.to_bytes())
    refuses_leaf(Rule.LEAF_SIGNATURE, forged, ada, bea, cid)
    nodes: list[Node] = [leaf_node(ada), None, forged]
    tree = RatchetTree.of_nodes(ada.suite, nodes)
    refuses_tree(Rule.LEAF_SIGNATURE, tree, replace(OPEN_POLICY, credentials=pins))
    assert pins.pinned == {}
    bea.group.process(encode_message(message(ada, Add(key_package(cid)))), NOW)
    assert list(pins.pinned.values()) == [cid.identity.signer.public_key.to_bytes()]


# --- Our own ---


def test_what_others_would_refuse_is_not_made() -> None:
    """A commit that we alone would follow, or a group that nobody could join."""
    ada, bea = Person("ada"), Person("bea")
    needed = RequiredCapabilities(credential_types=(1, 2))
    required = Extension(ExtensionType.REQUIRED_CAPABILITIES, needed.encode())
    ada.create(extensions=Extensions.of([required]))
    bundle = bea.key_package()
    pending = ada.group.commit(NOW, adds=[bundle.key_package])
    merge_everywhere(ada, pending, [])
    bea.join(pending.welcome, bundle)
    poor = replace(ada.identity, capabilities=Capabilities(credentials=(1,)))
    renamed = replace(ada.identity, credential=BasicCredential(b"eve"))
    join = ExternalJoin(OPEN_POLICY)
    before = dump_group(ada.group)
    for identity, rule in (
        (poor, Rule.LEAF_REQUIRED_CAPABILITIES),
        (renamed, Rule.CREDENTIAL_SUCCESSOR),
    ):
        with pytest.raises(RuleBroken) as caught:
            ada.group.commit(NOW, options=CommitOptions(identity=identity))
        assert caught.value.rule is rule
    poor = replace(Person("cid").identity, capabilities=poor.capabilities)
    with pytest.raises(RuleBroken) as caught:
        Group.join_external(ada.group.group_info(), poor, NOW, join)
    assert caught.value.rule is Rule.LEAF_REQUIRED_CAPABILITIES
    other = Person("ada", find_suite(3)).identity
    for make in (
        lambda: ada.group.commit(NOW, options=CommitOptions(identity=other)),
        lambda: ada.group.propose_update(NOW, other),
        lambda: Group.join_external(ada.group.group_info(), other, NOW, join),
        lambda: ada.create(b"g" * 256),
    ):
        with pytest.raises(UsageError):
            make()
    assert dump_group(ada.group) == before
    for extension, rule in (
        (unknown_extension(), Rule.LEAF_GROUP_EXTENSIONS),
        (
            Extension(required.extension_type, RequiredCapabilities((77,)).encode()),
            Rule.LEAF_REQUIRED_CAPABILITIES,
        ),
    ):
        with pytest.raises(RuleBroken) as caught:
            bea.create(extensions=Extensions.of([extension]))
        assert caught.value.rule is rule
    assert Person("cid").create(b"g" * 255).members


# --- Contents ---


def test_v0701_unmerged_leaves_out_of_order() -> None:
    for unmerged in ((2, 1), (1, 1)):
        node = ParentNode(b"key", b"", tuple(map(LeafIndex, unmerged)))
        with pytest.raises(RuleBroken) as caught:
            ParentNode.read(Reader(node.encoded))
        assert caught.value.rule is Rule.UNMERGED_SORTED


def test_v0702_an_extension_that_the_leaf_does_not_list() -> None:
    ada, bea, cid = people()
    leaf = leaf_node(cid, extensions=Extensions.of([unknown_extension()]))
    refuses_leaf(Rule.CAPABILITIES_EXTENSIONS, leaf, ada, bea, cid)


def test_v0703_a_credential_that_the_leaf_does_not_list() -> None:
    ada, bea, cid = people()
    leaf = leaf_node(cid, capabilities=Capabilities(credentials=(2,)))
    refuses_leaf(Rule.CAPABILITIES_CREDENTIAL, leaf, ada, bea, cid)


def test_v0704_a_leaf_for_ever() -> None:
    ada, bea, cid = people()
    leaf = leaf_node(cid, lifetime=Lifetime(0, 2**64 - 1))
    refuses_leaf(Rule.LIFETIME_TOTAL, leaf, ada, bea, cid)
    bea.group.member.policy = replace(OPEN_POLICY, max_lifetime=None)
    bea.group.process(encode_message(message(ada, Add(key_package(cid, leaf)))), NOW)


def test_v0705_a_leaf_signed_by_somebody_else() -> None:
    ada, bea, cid = people()
    leaf = leaf_node(cid, signer=ada.identity.signer)
    refuses_leaf(Rule.LEAF_SIGNATURE, leaf, ada, bea, cid)


def test_v0706_a_leaf_without_what_the_group_requires() -> None:
    ada, bea, cid = people()
    needed = RequiredCapabilities(extension_types=(10,))
    extensions = Extensions.of([Extension(ExtensionType.REQUIRED_CAPABILITIES, needed.encode())])
    pending = ada.group.commit(NOW, proposals=[GroupContextExtensions(extensions)])
    merge_everywhere(ada, pending, [bea])
    leaf = leaf_node(cid, capabilities=Capabilities(extensions=()))
    refuses_leaf(Rule.LEAF_REQUIRED_CAPABILITIES, leaf, ada, bea, cid)


class Liberal(TrustEveryone):
    def accepts(self, credential: Credential, signature_key: bytes) -> bool:
        return True


ODD = OtherCredential(77, b"")


def test_v0707_a_credential_that_a_member_does_not_know() -> None:
    ada, bea, cid = people()
    bea.group.member.policy = replace(OPEN_POLICY, credentials=Liberal())
    capabilities = Capabilities(credentials=(1, 77))
    leaf = leaf_node(cid, credential=ODD, capabilities=capabilities)
    broken = commit(ada, Add(key_package(cid, leaf)))
    refused(bea.group, Rule.LEAF_CREDENTIAL_SUPPORTED, broken)


def test_v0708_a_newcomer_who_does_not_know_a_members_credential() -> None:
    ada, bea, cid = people()
    bea.group.member.policy = replace(OPEN_POLICY, credentials=Liberal())
    leaf = leaf_node(cid, credential=ODD, capabilities=Capabilities(credentials=(77,)))
    broken = commit(ada, Add(key_package(cid, leaf)))
    refused(bea.group, Rule.LEAF_SUPPORTS_CREDENTIALS, broken)


def test_v0709_a_leaf_out_of_its_time() -> None:
    ada, bea, cid = people()
    strict = replace(OPEN_POLICY, lifetimes=LifetimeCheck.ADDS)
    for lifetime in (Lifetime(NOW + 1, NOW + 9), Lifetime(NOW - 9, NOW - 1)):
        leaf = leaf_node(cid, lifetime=lifetime)
        bea.group.member.policy = strict
        refuses_leaf(Rule.LEAF_LIFETIME, leaf, ada, bea, cid)
        # What we send is compared whatever the policy says; what comes may be late.
        bea.group.member.policy = OPEN_POLICY
        before = dump_group(bea.group)
        for send in (
            lambda leaf=leaf: bea.group.propose(Add(key_package(cid, leaf)), NOW),
            lambda leaf=leaf: bea.group.commit(NOW, adds=[key_package(cid, leaf)]),
        ):
            with pytest.raises(RuleBroken) as caught:
                send()
            assert caught.value.rule is Rule.LEAF_LIFETIME
        assert dump_group(bea.group) == before
    bea.group.process(encode_message(message(ada, Add(key_package(cid, leaf)))), NOW)


def test_a_member_who_was_away_follows_a_commit_that_was_good_when_it_was_made() -> None:
    ada, bea, cid = people()
    bundle = KeyPackageBundle.create(cid.identity, NOW, lifetime=60)
    pending = ada.group.commit(NOW, adds=[bundle.key_package])
    bea.group.process(pending.commit, NOW + 10_000)
    ada.group.merge(pending, NOW)
    check_agreement([ada, bea])


def test_v0710_a_key_package_with_a_leaf_from_elsewhere() -> None:
    ada, bea, cid = people()
    cid.group = ada.group
    leaf = leaf_node(cid, LeafNodeSource.UPDATE)
    refuses_leaf(Rule.LEAF_SOURCE_KEY_PACKAGE, leaf, ada, bea, cid)


def test_v0711_an_update_with_a_leaf_from_elsewhere() -> None:
    ada, bea, _ = people()
    refused(ada.group, Rule.LEAF_SOURCE_UPDATE, message(bea, Update(leaf_node(bea))))


def test_v0712_a_path_with_a_leaf_from_elsewhere() -> None:
    ada, bea, _ = people()
    path = replace(update_path(ada), leaf_node=leaf_node(ada, LeafNodeSource.UPDATE))
    refused(bea.group, Rule.LEAF_SOURCE_COMMIT, commit(ada, path=path))


def test_v0713_an_update_with_the_old_key() -> None:
    ada, bea, _ = people()
    old = bea.group.current.own_leaf.encryption_key
    leaf = leaf_node(bea, LeafNodeSource.UPDATE, encryption_key=old)
    refused(ada.group, Rule.UPDATE_FRESH_KEY, message(bea, Update(leaf)))


def test_v0714_two_members_with_one_signature_key() -> None:
    ada, bea, _ = people()
    path, old = update_path(ada), ada.identity.signer
    ada.identity = ada.identity.with_signer(bea.identity.signer)
    path = resign(ada, path, signature_key=bea.identity.signer.public_key.to_bytes())
    refused(bea.group, Rule.SIGNATURE_KEY_UNIQUE, message(ada, Commit((), path), signer=old))


def test_v0715_two_members_with_one_encryption_key() -> None:
    ada, bea, cid = people()
    leaf = leaf_node(cid, encryption_key=bea.group.current.own_leaf.encryption_key)
    refused(bea.group, Rule.ENCRYPTION_KEY_UNIQUE, commit(ada, Add(key_package(cid, leaf))))


# --- Paths ---


def test_v0716_a_path_that_is_too_short() -> None:
    ada, bea, _ = people()
    path = replace(update_path(ada), nodes=())
    refused(bea.group, Rule.PATH_LENGTH, commit(ada, path=path))


def test_v0717_a_path_for_fewer_members() -> None:
    ada, bea, _ = people()
    path = update_path(ada)
    (node,) = path.nodes
    path = replace(path, nodes=(replace(node, encrypted_path_secret=HpkeCiphertexts(b"")),))
    refused(bea.group, Rule.PATH_CIPHERTEXTS, commit(ada, path=path))


def test_v0718_a_path_secret_of_other_keys() -> None:
    ada, bea, _ = people()
    valid, other = update_path(ada), update_path(ada)
    sealed = other.nodes[0].encrypted_path_secret
    nodes = (replace(valid.nodes[0], encrypted_path_secret=sealed),)
    refused(bea.group, Rule.PATH_DERIVED_KEYS, commit(ada, path=replace(valid, nodes=nodes)))


def test_v0719_a_leaf_with_another_parent_hash() -> None:
    ada, bea, _ = people()
    path = resign(ada, update_path(ada), parent_hash=b"h" * 32)
    refused(bea.group, Rule.PATH_PARENT_HASH, commit(ada, path=path))


def refuses_tree(rule: Rule, tree: RatchetTree, policy: Policy | None = None) -> None:
    validator = LeafValidator(tree.suite, policy or OPEN_POLICY, NOW, b"group")
    with pytest.raises(RuleBroken) as caught:
        check_tree(tree, validator)
    assert caught.value.rule is rule


def test_v0720_a_parent_node_that_nobody_put_there() -> None:
    people_ = group_of("ada", "bea", "cid")
    refresh(people_)
    tree = people_[0].group.current.tree
    data = read_tree(tree.suite, encode_tree(tree))
    check_tree(data, LeafValidator(tree.suite, OPEN_POLICY, NOW, b"group"))
    nodes = [tree.node(position) for position in range(7)]
    nodes[5] = ParentNode(fresh_key(people_[0]), b"")
    refuses_tree(Rule.PARENT_HASH_VALID, RatchetTree.of_nodes(tree.suite, nodes))
    root = tree.parent(3)
    assert root is not None
    nodes[5], nodes[3] = None, ParentNode(fresh_key(people_[0]), root.parent_hash)
    refuses_tree(Rule.PARENT_HASH_VALID, RatchetTree.of_nodes(tree.suite, nodes))


@pytest.mark.parametrize("name", ["encryption_key", "signature_key"])
def test_v0721_keys_of_no_scheme(name: str) -> None:
    ada, bea, cid = people()
    changes: dict[str, Any] = {name: b"short"}
    refuses_leaf(Rule.LEAF_KEY_VALID, leaf_node(cid, **changes), ada, bea, cid)
    cid.group = ada.group
    add = Add(key_package(cid, leaf_node(cid, signature_key=b"short")))
    refused(bea.group, Rule.LEAF_KEY_VALID, message(cid, add, sender=NEW_MEMBER_PROPOSAL))


# Of each kind of key whose points can have a low order (RFC 9180 §7.1.4).
LOW_ORDER = [(1, 32), (4, 56), (0xF001, 32)]


def low_order_key(person: Person, size: int) -> bytes:
    return fresh_key(person)[:-size] + bytes(size)


@pytest.mark.parametrize(("suite", "size"), LOW_ORDER)
def test_v0721_v0724_v1005_keys_to_which_nobody_can_encrypt(suite: int, size: int) -> None:
    ada, bea, cid = group_of("ada", "bea", "cid", suite=find_suite(suite))
    dan = Person("dan", find_suite(suite))
    # Somebody outside knows as well which group and epoch it is.
    dan.group = ada.group
    weak = low_order_key(bea, size)
    leaf = leaf_node(bea, LeafNodeSource.UPDATE, encryption_key=weak)
    update = message(bea, Update(leaf))
    broken = refused(ada.group, Rule.LEAF_KEY_VALID, update)
    assert "leaf 1" in str(broken)
    with pytest.raises(RuleBroken):
        watch(ada).receive(update, NOW)
    for package, rule in (
        (key_package(dan, leaf_node(dan, encryption_key=weak)), Rule.LEAF_KEY_VALID),
        (key_package(dan, init_key=weak), Rule.KEY_PACKAGE_INIT_KEY_VALID),
    ):
        add = message(dan, Add(package), sender=NEW_MEMBER_PROPOSAL)
        named = refused(cid.group, rule, add)
        assert package.leaf_node.signature_key[:8].hex() in str(named)
        with pytest.raises(RuleBroken) as caught:
            ada.group.commit(NOW, adds=[package])
        assert caught.value.rule is rule
    with pytest.raises(RuleBroken) as caught:
        check_parent_key(ada.suite, ParentNode(weak, b""), NodeIndex(3))
    assert caught.value.rule is Rule.PARENT_KEY_VALID
    assert "node 3" in str(caught.value)


def test_v0722_a_leaf_without_the_groups_suite() -> None:
    ada, bea, cid = people()
    leaf = leaf_node(cid, capabilities=Capabilities(cipher_suites=(2,)))
    refuses_leaf(Rule.LEAF_CIPHER_SUITE, leaf, ada, bea, cid)
    bea.group.member.policy = replace(OPEN_POLICY, listed_suites=False)
    bea.group.process(encode_message(message(ada, Add(key_package(cid, leaf)))), NOW)


KNOWS_IT = Capabilities(extensions=(UNKNOWN_EXTENSION,))


def test_v0723_a_leaf_without_an_extension_of_the_group() -> None:
    ada, bea, cid = Person("ada"), Person("bea"), Person("cid")
    for person in (ada, bea):
        person.identity = replace(person.identity, capabilities=KNOWS_IT)
    ada.create(extensions=Extensions.of([unknown_extension()]))
    bundle = bea.key_package()
    pending = ada.group.commit(NOW, adds=[bundle.key_package])
    ada.group.merge(pending, NOW)
    bea.join(pending.welcome, bundle)
    refuses_leaf(Rule.LEAF_GROUP_EXTENSIONS, leaf_node(cid), ada, bea, cid)


def test_v0724_a_parent_key_of_no_scheme() -> None:
    ada, bea, _ = people()
    new = new_commit(ada)
    assert new.path is not None
    valid = new.path.update_path
    broken = UpdatePathNode(b"short", valid.nodes[0].encrypted_path_secret)
    tree = ada.group.current.tree
    above = parent_hash(tree.suite, b"short", b"", tree.tree_hash(2))
    path = resign(ada, replace(valid, nodes=(broken,)), parent_hash=above)
    refused(bea.group, Rule.PARENT_KEY_VALID, commit(ada, path=path))


# --- Key packages ---


def refuses_package(rule: Rule, **changes: object) -> None:
    ada, bea, cid = people()
    add = Add(key_package(cid, **changes))  # type: ignore[arg-type]
    refused(bea.group, rule, message(ada, add))


def test_v1001_a_key_package_of_another_version() -> None:
    refuses_package(Rule.KEY_PACKAGE_VERSION, version=2)


def test_v1002_a_key_package_without_a_signature() -> None:
    refuses_package(Rule.KEY_PACKAGE_SIGNATURE, signature=b"s" * 64)


def test_v1003_a_key_package_with_one_key_for_two_uses() -> None:
    ada, bea, cid = people()
    leaf = leaf_node(cid)
    add = Add(key_package(cid, leaf, init_key=leaf.encryption_key))
    refused(bea.group, Rule.KEY_PACKAGE_INIT_KEY, message(ada, add))


def test_v1004_a_key_package_of_another_suite() -> None:
    refuses_package(Rule.KEY_PACKAGE_MATCHES_GROUP, cipher_suite=3)


def test_v1005_an_init_key_of_no_scheme() -> None:
    refuses_package(Rule.KEY_PACKAGE_INIT_KEY_VALID, init_key=b"short")


def test_v1006_a_key_package_with_an_extension_that_its_leaf_does_not_list() -> None:
    refuses_package(Rule.KEY_PACKAGE_EXTENSIONS, extensions=Extensions.of([unknown_extension()]))


def test_v0615_a_key_package_of_another_version_in_an_envelope() -> None:
    cid = Person("cid")
    data = encode_message(KeyPackageMessage(key_package(cid, version=2)))
    with pytest.raises(RuleBroken) as caught:
        decode_message(data)
    assert caught.value.rule is Rule.MESSAGE_VERSION


# --- Lists of extensions ---


def test_v1301_two_extensions_of_one_type() -> None:
    twice = [unknown_extension(), unknown_extension()]
    with pytest.raises(RuleBroken) as caught:
        Extensions.of(twice)
    assert caught.value.rule is Rule.EXTENSIONS_UNIQUE


def test_v1302_an_extension_that_a_member_does_not_support() -> None:
    ada, bea, _ = people()
    change = GroupContextExtensions(Extensions.of([unknown_extension()]))
    # The committer alone supports it.
    path = resign(ada, update_path(ada), capabilities=KNOWS_IT)
    refused(bea.group, Rule.GROUP_EXTENSIONS_SUPPORTED, commit(ada, change, path=path))
