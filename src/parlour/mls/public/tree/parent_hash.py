"""Parent hashes: which keys a member put above itself, signed in its leaf.

Spec: RFC 9420 §7.9.
"""

from __future__ import annotations

from parlour.codec import encode_opaque
from parlour.mls.public.leaf_node import LeafNode
from parlour.mls.public.rules import Rule, require
from parlour.mls.public.suites import CipherSuite
from parlour.mls.public.tree import math
from parlour.mls.public.tree.draft import TreeDraft
from parlour.mls.public.tree.nodes import ParentNode
from parlour.mls.public.tree.ratchet_tree import PathStep, TreeView
from parlour.mls.public.types import LeafIndex, NodeIndex


def parent_hash(
    suite: CipherSuite, encryption_key: bytes, parent_hash: bytes, sibling_hash: bytes
) -> bytes:
    """The hash of a ParentHashInput.

    ::

        struct {
            HPKEPublicKey encryption_key;
            opaque parent_hash<V>;
            opaque original_sibling_tree_hash<V>;
        } ParentHashInput;
    """
    return suite.hash(
        encode_opaque(encryption_key) + encode_opaque(parent_hash) + encode_opaque(sibling_hash)
    )


def set_path(
    draft: TreeDraft, leaf_index: LeafIndex, path: list[PathStep], keys: list[bytes]
) -> bytes:
    """Put new keys on a filtered direct path (§7.5), and return the leaf's `parent_hash`.

    The other nodes of the direct path become blank. Hashes are made from the root to the leaf.
    """
    draft.blank_path(leaf_index)
    above = b""
    for step, key in zip(reversed(path), reversed(keys), strict=True):
        draft.set_node(step.node, ParentNode(key, above))
        # The node has no unmerged leaves now, so its sibling's hash is the original one.
        above = parent_hash(draft.suite, key, above, draft.tree_hash(step.copath_child))
    return above


def verify_parent_hashes(tree: TreeView) -> None:
    """Every parent node was set, together with a leaf below it, by the member at that leaf."""
    for position, node in tree.parents():
        children = (math.left(position), math.right(position))
        valid = sum(_has_valid_descendant(tree, node, child) for child in children)
        # V0720 §7.9.2: "When joining a group, the new member MUST authenticate that each non-blank
        # parent node P is parent-hash valid." "by verifying that there is exactly one descendant of
        # each non-blank parent node for which the parent node is parent-hash valid."
        require(valid == 1, Rule.PARENT_HASH_VALID, f"node {position}")


def _has_valid_descendant(tree: TreeView, node: ParentNode, child: NodeIndex) -> bool:
    """Whether a node below `child` has a parent hash that is valid with respect to `node`.

    "D is in the resolution of C, and the intersection of P's `unmerged_leaves` with the subtree
    under C is equal to the resolution of C with D removed": so D is what is left over.
    """
    unmerged = {2 * leaf for leaf in node.unmerged_leaves if math.is_ancestor(child, 2 * leaf)}
    resolution = tree.resolution(child)
    rest = [entry for entry in resolution if entry not in unmerged]
    if len(rest) != 1 or len(resolution) != len(unmerged) + 1:
        return False
    descendant = tree.node(rest[0])
    claimed = descendant.parent_hash if isinstance(descendant, LeafNode | ParentNode) else None
    if claimed is None:
        return False
    removed = frozenset(node.unmerged_leaves)
    original = tree.hash_without(math.sibling(child), removed)
    expected = parent_hash(tree.suite, node.encryption_key, node.parent_hash, original)
    return claimed == expected
