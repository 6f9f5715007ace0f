"""A whole tree, before its group is joined or followed.

Spec: RFC 9420 §12.4.3.1 ("Verify the integrity of the ratchet tree").
"""

from __future__ import annotations

from parlour.errors import AuthenticationError
from parlour.mls.public.policy import LifetimeCheck
from parlour.mls.public.rules import Rule, RuleBroken, require
from parlour.mls.public.suites import CipherSuite
from parlour.mls.public.tree import math
from parlour.mls.public.tree.nodes import ParentNode
from parlour.mls.public.tree.parent_hash import verify_parent_hashes
from parlour.mls.public.tree.ratchet_tree import RatchetTree
from parlour.mls.public.types import LeafNodeSource, NodeIndex
from parlour.mls.public.validation.leaf_nodes import LeafValidator, check_credential_types
from parlour.mls.public.validation.signatures import Run


def check_tree(tree: RatchetTree, validator: LeafValidator, run: Run = map) -> None:
    """Everything but the tree hash, which the caller compares. Keys were compared on decoding."""
    check_unmerged_leaves(tree)
    verify_parent_hashes(tree)
    for position, node in tree.parents():
        check_parent_key(validator.suite, node, position)
    for leaf_index, leaf in tree.members():
        bound = leaf.source is not LeafNodeSource.KEY_PACKAGE
        validator.check(leaf, leaf_index if bound else None)
        validator.check_lifetime(leaf, LifetimeCheck.ALWAYS)
        validator.check_new(leaf)
    check_credential_types(tree.index.support, [])
    validator.finish(run)


def check_parent_key(suite: CipherSuite, node: ParentNode, position: NodeIndex) -> None:
    """That something can be encrypted to a parent node; else one member could stop all others."""
    # V0724 §5.1.1: "HPKE public keys are opaque values in a format defined by the underlying
    # protocol"
    try:
        node.hpke_key(suite)
    except AuthenticationError as error:
        raise RuleBroken(Rule.PARENT_KEY_VALID, f"node {position}") from error


def check_unmerged_leaves(tree: RatchetTree) -> None:
    """That unmerged leaves are members below the node, and unmerged all the way up to it."""
    for position, node in tree.parents():
        for leaf_index in node.unmerged_leaves:
            below = math.is_ancestor(position, 2 * leaf_index)
            # V1260 §12.4.3.1: "Verify that the entry represents a non-blank leaf node that is a
            # descendant of the parent node."
            require(below and tree.leaf(leaf_index) is not None, Rule.UNMERGED_IS_LEAF)
            path = tree.direct_path(leaf_index)
            for between in path[: path.index(position)]:
                other = tree.parent(between)
                # V1261 §12.4.3.1: "Verify that every non-blank intermediate node between the leaf
                # node and the parent node also has an entry for the leaf node in its
                # `unmerged_leaves`."
                unmerged = other is None or leaf_index in other.unmerged_leaves
                require(unmerged, Rule.UNMERGED_CHAIN)
