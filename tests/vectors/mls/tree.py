"""Kinds about the ratchet tree: §7."""

from __future__ import annotations

from dataclasses import replace

from parlour.codec import decode
from parlour.mls.private.secrets import PathSecret
from parlour.mls.private.treekem import (
    derive_path,
    node_key_pair,
    open_path,
    seal_path,
)
from parlour.mls.public.changes import Changes
from parlour.mls.public.commit import UpdatePath
from parlour.mls.public.extensions import Extensions
from parlour.mls.public.group_context import GroupContext
from parlour.mls.public.leaf_node import LeafNode, LeafNodeContent
from parlour.mls.public.proposals import Add, Remove, Update, read_proposal
from parlour.mls.public.staging import merge_path
from parlour.mls.public.suites import find_suite
from parlour.mls.public.tree.draft import TreeDraft
from parlour.mls.public.tree.extension import encode_tree, read_tree
from parlour.mls.public.tree.parent_hash import set_path
from parlour.mls.public.types import LeafIndex, LeafNodeSource, NodeIndex
from parlour.mls.public.validation.leaf_nodes import LeafValidator
from parlour.mls.public.validation.tree import check_tree
from parlour.primitives.hpke import HpkePrivateKey
from parlour.primitives.random import system_random
from parlour.testing.mls import OPEN_POLICY
from tests.vectors.mls.crypto import Case, raw, signing_key

# Leaves in the vectors live for ever, or died in 2024, and do not list suite 7.
LENIENT = replace(OPEN_POLICY, max_lifetime=None, listed_suites=False)


def tree_operations(case: Case) -> None:
    suite = find_suite(case["cipher_suite"])
    before = read_tree(suite, raw(case, "tree_before"))
    assert before.tree_hash() == raw(case, "tree_hash_before")
    assert encode_tree(before) == raw(case, "tree_before")
    draft = TreeDraft(before)
    match decode(raw(case, "proposal"), read_proposal):
        case Add(key_package):
            draft.add_leaf(key_package.leaf_node)
        case Update(leaf_node):
            draft.update_leaf(LeafIndex(case["proposal_sender"]), leaf_node)
        case Remove(removed):
            draft.remove_leaf(removed)
            draft.truncate()
        case other:
            raise AssertionError(other)
    after = draft.freeze()
    assert encode_tree(after) == raw(case, "tree_after")
    assert after.tree_hash() == raw(case, "tree_hash_after")
    assert read_tree(suite, raw(case, "tree_after")) == after
    assert encode_tree(before) == raw(case, "tree_before")


def tree_validation(case: Case) -> None:
    suite = find_suite(case["cipher_suite"])
    tree = read_tree(suite, raw(case, "tree"))
    assert encode_tree(tree) == raw(case, "tree")
    for position, expected in enumerate(case["tree_hashes"]):
        assert tree.tree_hash(position) == bytes.fromhex(expected)
        assert list(tree.resolution(position)) == case["resolutions"][position]
    check_tree(tree, LeafValidator(suite, LENIENT, 0, raw(case, "group_id")))


def treekem(case: Case) -> None:
    suite = find_suite(case["cipher_suite"])
    before = read_tree(suite, raw(case, "ratchet_tree"))
    keys: dict[LeafIndex, dict[NodeIndex, HpkePrivateKey]] = {}
    signers = {}
    for entry in case["leaves_private"]:
        index = LeafIndex(entry["index"])
        own = suite.hpke.kem.decode_private_key(
            raw(entry, "encryption_priv").rjust(suite.hpke.kem.private_key_size, b"\0")
        )
        leaf = before.leaf(index)
        assert leaf is not None
        assert leaf.encryption_key == own.public_key.to_bytes()
        signers[index] = signing_key(suite, raw(entry, "signature_priv"))
        assert leaf.signature_key == signers[index].public_key.to_bytes()
        keys[index] = {NodeIndex(2 * index): own}
        for path in entry["path_secrets"]:
            key = node_key_pair(suite, PathSecret(raw(path, "path_secret")))
            node = before.parent(path["node"])
            assert node is not None
            assert node.encryption_key == key.public_key.to_bytes()
            keys[index][NodeIndex(path["node"])] = key
    changes = Changes((), LeafIndex(0), Extensions())

    def context(tree_hash: bytes) -> GroupContext:
        return GroupContext(
            suite.id,
            raw(case, "group_id"),
            case["epoch"],
            tree_hash,
            raw(case, "confirmed_transcript_hash"),
            Extensions(),
        )

    for v in case["update_paths"]:
        sender = LeafIndex(v["sender"])
        path = decode(raw(v, "update_path"), UpdatePath.read)
        assert path.encode() == raw(v, "update_path")
        draft = TreeDraft(before)
        steps = merge_path(draft, changes, path, sender)
        after = draft.freeze()
        check_tree(after, LeafValidator(suite, LENIENT, 0, raw(case, "group_id")))
        assert after.tree_hash() == raw(v, "tree_hash_after")
        for index, own_keys in keys.items():
            if index == sender:
                continue
            opened, commit_secret = open_path(
                suite, context(after.tree_hash()), path, steps, frozenset(), index, own_keys
            )
            assert commit_secret.reveal() == raw(v, "commit_secret")
            lowest = min(opened, key=lambda node: (node + 1) & -(node + 1))
            secret = PathSecret(bytes.fromhex(v["path_secrets"][index]))
            assert opened[lowest].to_bytes() == node_key_pair(suite, secret).to_bytes()
        # A path of our own, read by all others.
        draft = TreeDraft(before)
        steps = draft.filtered_direct_path(sender)
        nodes, secret_after = derive_path(suite, PathSecret(bytes(suite.hash_size)), len(steps))
        public = [node.key.public_key.to_bytes() for node in nodes]
        parent_hash = set_path(draft, sender, steps, public)
        old = before.leaf(sender)
        assert old is not None
        content = LeafNodeContent(
            suite.hpke.kem.generate_key_pair().public_key.to_bytes(),
            old.signature_key,
            old.credential,
            old.capabilities,
            LeafNodeSource.COMMIT,
            parent_hash=parent_hash,
        )
        leaf_node = LeafNode.sign(suite, signers[sender], content, raw(case, "group_id"), sender)
        draft.set_node(2 * sender, leaf_node)
        own_after = draft.freeze()
        provisional = context(own_after.tree_hash())
        made = seal_path(
            own_after, provisional, leaf_node, steps, nodes, frozenset(), system_random
        )
        for index, own_keys in keys.items():
            if index != sender:
                _, found = open_path(suite, provisional, made, steps, frozenset(), index, own_keys)
                assert found == secret_after
