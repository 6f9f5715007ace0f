"""TreeKEM: making an update path, and opening one.

Spec: RFC 9420 §7.4, §7.5, §7.6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from parlour.errors import AuthenticationError
from parlour.mls.private.secrets import CommitSecret, PathSecret
from parlour.mls.public.commit import (
    HpkeCiphertext,
    HpkeCiphertexts,
    UpdatePath,
    UpdatePathNode,
)
from parlour.mls.public.group_context import GroupContext
from parlour.mls.public.leaf_node import LeafNode
from parlour.mls.public.rules import Rule, RuleBroken, require
from parlour.mls.public.suites import CipherSuite
from parlour.mls.public.tree import math
from parlour.mls.public.tree.nodes import ParentNode
from parlour.mls.public.tree.ratchet_tree import PathStep, RatchetTree
from parlour.mls.public.types import LeafIndex, NodeIndex
from parlour.primitives.hpke import HpkePrivateKey
from parlour.primitives.random import Random

_LABEL: Final = b"UpdatePathNode"

PrivateKeys = Mapping[NodeIndex, HpkePrivateKey]
"""The private keys that a member has: of its leaf, and of nodes above it."""


@dataclass(frozen=True, slots=True)
class PathNode:
    """A node of a path with its secret and its key pair."""

    secret: PathSecret
    key: HpkePrivateKey


def next_path_secret(suite: CipherSuite, secret: PathSecret) -> PathSecret:
    """The secret of the next node above."""
    return PathSecret(suite.derive_secret(secret.reveal(), b"path"))


def node_key_pair(suite: CipherSuite, secret: PathSecret) -> HpkePrivateKey:
    """The key pair of a node."""
    return suite.hpke.kem.derive_key_pair(suite.derive_secret(secret.reveal(), b"node"))


def derive_path(
    suite: CipherSuite, first: PathSecret, count: int
) -> tuple[list[PathNode], CommitSecret]:
    """The nodes of a path from its first secret upwards, and what comes after the last."""
    nodes = []
    secret = first
    for _ in range(count):
        nodes.append(PathNode(secret, node_key_pair(suite, secret)))
        secret = next_path_secret(suite, secret)
    return nodes, CommitSecret(secret.reveal())


def seal_path(
    tree: RatchetTree,
    context: GroupContext,
    leaf_node: LeafNode,
    steps: Sequence[PathStep],
    nodes: Sequence[PathNode],
    added: frozenset[int],
    random: Random,
) -> UpdatePath:
    """Encrypt each path secret to the nodes beside the path, new members left out (§7.5)."""
    suite = tree.suite
    info = suite.encryption_info(_LABEL, context.encoded)
    sealed = []
    for step, node in zip(steps, nodes, strict=True):
        secret = node.secret.reveal()
        ciphertexts = []
        for position in step.recipients(added):
            # A resolution names nodes that are not blank.
            recipient = cast(LeafNode | ParentNode, tree.node(position))
            key = recipient.hpke_key(suite)
            ciphertexts.append(HpkeCiphertext(*suite.encrypt_with_label(key, info, secret, random)))
        public = node.key.public_key.to_bytes()
        sealed.append(UpdatePathNode(public, HpkeCiphertexts.of(ciphertexts)))
    return UpdatePath(leaf_node, tuple(sealed))


def open_path(
    suite: CipherSuite,
    context: GroupContext,
    path: UpdatePath,
    steps: Sequence[PathStep],
    added: frozenset[int],
    leaf_index: LeafIndex,
    keys: PrivateKeys,
) -> tuple[dict[NodeIndex, HpkePrivateKey], CommitSecret]:
    """Decrypt the one secret that is for us, and derive what lies above it (§7.5).

    `keys` are ours in the tree that the path was encrypted to; the new ones are returned.
    """
    own = NodeIndex(2 * leaf_index)
    at = next(i for i, step in enumerate(steps) if math.is_ancestor(step.copath_child, own))
    # Of our keys, one at most stands where something was encrypted to.
    below = [position for position in keys if math.is_ancestor(steps[at].copath_child, position)]
    places = ((p, steps[at].place(p, added)) for p in below)
    position, place = next((entry for entry in places if entry[1] is not None), (own, None))
    info = suite.encryption_info(_LABEL, context.encoded)
    try:
        if place is None:
            raise RuleBroken(Rule.PATH_DERIVED_KEYS, "no key of ours was encrypted to")
        sealed = path.nodes[at].encrypted_path_secret[place]
        opened = suite.decrypt_with_label(
            keys[position], info, sealed.kem_output, sealed.ciphertext
        )
    except AuthenticationError as error:
        raise RuleBroken(Rule.PATH_DERIVED_KEYS, "does not open") from error
    public = [node.encryption_key for node in path.nodes[at:]]
    return derive_keys(suite, PathSecret(opened), [step.node for step in steps[at:]], public)


def derive_keys(
    suite: CipherSuite,
    secret: PathSecret,
    positions: Sequence[NodeIndex],
    public: Sequence[bytes],
) -> tuple[dict[NodeIndex, HpkePrivateKey], CommitSecret]:
    """The private keys from a node upwards; each has to belong to the public key that is there."""
    nodes, commit_secret = derive_path(suite, secret, len(positions))
    for node, expected in zip(nodes, public, strict=True):
        # V0718 §7.5: "Verify that the derived public keys are the same as the corresponding public
        # keys sent in the UpdatePath."
        same = node.key.public_key.to_bytes() == expected
        require(same, Rule.PATH_DERIVED_KEYS)
    return {p: node.key for p, node in zip(positions, nodes, strict=True)}, commit_secret


def current_keys(tree: RatchetTree, keys: PrivateKeys) -> dict[NodeIndex, HpkePrivateKey]:
    """Those whose public half still stands in the tree; the others are dropped (§7.5)."""
    width = 2 * tree.leaf_count - 1
    kept = {}
    for position, key in keys.items():
        node = tree.node(position) if position < width else None
        if node is not None and node.encryption_key == key.public_key.to_bytes():
            kept[position] = key
    return kept
