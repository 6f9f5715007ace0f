"""Positions in a full binary tree that is kept as an array.

Leaves have even positions, the node between two subtrees the position between them. All functions
are of the position alone; whoever calls knows how large the tree is.

Spec: RFC 9420 appendix C.
"""

from __future__ import annotations

from parlour.mls.public.types import LeafIndex, NodeIndex


def level(node: int) -> int:
    """How many edges lie between a node and its leaves: the trailing ones of its position."""
    return (~node & (node + 1)).bit_length() - 1


def node_width(leaf_count: int) -> int:
    """The number of nodes of a tree with so many leaves."""
    return 2 * leaf_count - 1 if leaf_count else 0


def root(leaf_count: int) -> NodeIndex:
    """The root of the tree with so many leaves, a power of two."""
    return NodeIndex(leaf_count - 1)


def left(node: int) -> NodeIndex:
    """The left child of a parent node."""
    return NodeIndex(node ^ (1 << (level(node) - 1)))


def right(node: int) -> NodeIndex:
    """The right child of a parent node."""
    return NodeIndex(node ^ (3 << (level(node) - 1)))


def parent(node: int) -> NodeIndex:
    """The parent of a node, in a tree that is large enough to have it."""
    k = level(node)
    return NodeIndex((node | (1 << k)) & ~(1 << (k + 1)))


def sibling(node: int) -> NodeIndex:
    """The other child of a node's parent."""
    return NodeIndex(node ^ (2 << level(node)))


def direct_path(node: int, leaf_count: int) -> list[NodeIndex]:
    """The ancestors of a node, the root last; of the root none."""
    path: list[NodeIndex] = []
    k = level(node)
    top = leaf_count - 1
    while node != top:
        node = (node | (1 << k)) & ~(1 << (k + 1))
        k += 1
        path.append(NodeIndex(node))
    return path


def is_ancestor(node: int, of: int) -> bool:
    """Whether `node` is `of` or lies above it."""
    k = level(node)
    return (of >> k) | 1 == (node >> k) | 1 and level(of) <= k


def common_ancestor(a: int, b: int) -> NodeIndex:
    """The lowest node above, or equal to, both."""
    k = max(level(a), level(b))
    while (a >> (k + 1)) != (b >> (k + 1)):
        k += 1
    if a == b:
        return NodeIndex(a)
    return NodeIndex((a >> (k + 1) << (k + 1)) | ((1 << k) - 1) if k else a)


def subtree_leaves(node: int) -> tuple[LeafIndex, LeafIndex]:
    """The first leaf below a node, and the one after the last."""
    size = 1 << level(node)
    first = (node + 1 - size) // 2
    return LeafIndex(first), LeafIndex(first + size)
