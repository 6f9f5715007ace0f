"""A tree that is being changed.

Spec: RFC 9420 §7.7 (adding and removing leaves), §12.1.1 to §12.1.3 (what proposals do to it).
"""

from __future__ import annotations

from parlour.errors import Code, LimitError
from parlour.mls.public.leaf_node import LeafNode
from parlour.mls.public.limits import MAX_LEAVES
from parlour.mls.public.tree import math
from parlour.mls.public.tree.index import TreeIndex
from parlour.mls.public.tree.nodes import Node, ParentNode
from parlour.mls.public.tree.ratchet_tree import RatchetTree, TreeView
from parlour.mls.public.types import LeafIndex, NodeIndex


class TreeDraft(TreeView):
    """A copy of a tree to work on. `freeze` makes the next tree of it, once; the old one stays."""

    __slots__ = ("_base", "_base_index", "_first_blank", "_originals")

    def __init__(self, base: RatchetTree) -> None:
        self.suite = base.suite
        self._base = base
        self._nodes, self._hashes, self._resolutions = base.arrays()
        self._base_index = base.index
        self._originals: dict[NodeIndex, Node] = {}
        # No leaf to the left of this one is blank.
        self._first_blank = base.first_blank

    def freeze(self) -> RatchetTree:
        """The changed tree; a key that now stands twice is refused."""
        index: TreeIndex = self._base_index.copy()
        size = len(self._nodes)
        index.replace(
            (position, old, self._nodes[position] if position < size else None)
            for position, old in self._originals.items()
        )
        tree = RatchetTree(
            self.suite, self._nodes, self._hashes, self._resolutions, index, self._first_blank
        )
        # The arrays belong to the tree now, which does not change.
        self._nodes, self._hashes, self._resolutions = [], [], []
        return tree.made_from(self._base, self._originals)

    def holds_any(self, keys: list[bytes]) -> bool:
        """Whether one of the encryption keys stands anywhere in the tree as it is now."""
        known = self._base_index.encryption_keys
        for key in keys:
            position = known.get(key)
            if position is not None and position not in self._originals:
                return True
        size = len(self._nodes)
        changed = (self._nodes[p] for p in self._originals if p < size)
        return not {n.encryption_key for n in changed if n is not None}.isdisjoint(keys)

    def set_node(self, position: int, node: Node) -> None:
        """Put something at a position; the hashes above it are to be made again."""
        old = self._nodes[position]
        if old is node:
            return
        self._originals.setdefault(NodeIndex(position), old)
        self._nodes[position] = node
        self._forget(position)

    def _forget(self, position: int) -> None:
        self._hashes[position] = None
        self._resolutions[position] = None
        for above in math.direct_path(position, self.leaf_count):
            self._hashes[above] = None
            self._resolutions[above] = None

    def blank_path(self, leaf_index: LeafIndex) -> None:
        """Blank the nodes above a leaf."""
        for position in self.direct_path(leaf_index):
            self.set_node(position, None)

    # --- What proposals do ---

    def update_leaf(self, leaf_index: LeafIndex, leaf_node: LeafNode) -> None:
        """Update (§12.1.2): replace the leaf, blank the path."""
        self.set_node(2 * leaf_index, leaf_node)
        self.blank_path(leaf_index)

    def remove_leaf(self, leaf_index: LeafIndex) -> None:
        """Remove (§12.1.3), without the truncation that follows the last of them."""
        self.set_node(2 * leaf_index, None)
        self.blank_path(leaf_index)
        self._first_blank = min(self._first_blank, leaf_index)

    def truncate(self) -> None:
        """Cut off the right half while nobody is in it (§7.7)."""
        while self.leaf_count > 1:
            half = self.leaf_count - 1
            if any(node is not None for node in self._nodes[half + 1 :: 2]):
                return
            for position in range(half, len(self._nodes)):
                self._originals.setdefault(NodeIndex(position), self._nodes[position])
            del self._nodes[half:]
            del self._hashes[half:]
            del self._resolutions[half:]

    def blank_leaf(self) -> LeafIndex:
        """The leftmost blank leaf; the tree is extended if it has none (§12.1.1)."""
        leaves = range(self._first_blank, self.leaf_count)
        index = next((i for i in leaves if self._nodes[2 * i] is None), self.leaf_count)
        if index == self.leaf_count:
            self._extend()
        self._first_blank = index
        return LeafIndex(index)

    def _extend(self) -> None:
        """A blank root above this tree and a blank one of the same size (§7.7)."""
        if self.leaf_count >= MAX_LEAVES:
            raise LimitError(Code.LIMIT_COUNT, f"a group has at most {MAX_LEAVES} leaves")
        grown = len(self._nodes) + 1
        # What an earlier truncation cut off and a key index still knows is blank from now on.
        self._nodes.extend([None] * grown)
        self._hashes.extend([None] * grown)
        self._resolutions.extend([None] * grown)

    def add_leaf(self, leaf_node: LeafNode) -> LeafIndex:
        """Add (§12.1.1): take the leftmost blank leaf, unmerged in the nodes above."""
        leaf_index = self.blank_leaf()
        self._nodes[2 * leaf_index] = leaf_node
        self._originals.setdefault(NodeIndex(2 * leaf_index), None)
        self._forget(2 * leaf_index)
        for position in self.direct_path(leaf_index):
            node = self._nodes[position]
            if isinstance(node, ParentNode):
                self.set_node(position, node.with_unmerged(leaf_index))
        self._first_blank = leaf_index + 1
        return leaf_index
