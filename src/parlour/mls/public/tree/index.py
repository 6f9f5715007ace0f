"""Which keys stand where in a tree, and what its leaves support.

Every commit asks whether a key is new and whether everybody supports something. This index answers
without a walk over the tree, and is carried from one tree to the next.

Spec: RFC 9420 §7.3 (uniqueness, capabilities).
"""

from __future__ import annotations

from collections.abc import Iterable

from parlour.mls.public.capabilities import Support
from parlour.mls.public.leaf_node import LeafNode
from parlour.mls.public.rules import Rule, require
from parlour.mls.public.tree.nodes import Node, ParentNode
from parlour.mls.public.types import LeafIndex, NodeIndex


class TreeIndex:
    """The keys of one tree."""

    __slots__ = ("encryption_keys", "signature_keys", "support")

    def __init__(self) -> None:
        self.encryption_keys: dict[bytes, NodeIndex] = {}
        self.signature_keys: dict[bytes, LeafIndex] = {}
        self.support = Support()

    def copy(self) -> TreeIndex:
        """One that can change by itself."""
        other = TreeIndex()
        other.encryption_keys = self.encryption_keys.copy()
        other.signature_keys = self.signature_keys.copy()
        other.support = self.support.copy()
        return other

    def replace(self, changes: Iterable[tuple[NodeIndex, Node, Node]]) -> None:
        """Take away the old node of each `(position, old, new)`, then put in the new ones.

        In this order, so that a key may move from a member that leaves to one that comes.
        """
        changes = tuple(changes)
        for _, old, _ in changes:
            if old is not None:
                self._take(old)
        for position, _, new in changes:
            if new is not None:
                self._put(position, new)

    def _take(self, node: LeafNode | ParentNode) -> None:
        del self.encryption_keys[node.encryption_key]
        if isinstance(node, LeafNode):
            del self.signature_keys[node.signature_key]
            self.support.count(node.capabilities, node.credential.credential_type, -1)

    def _put(self, position: NodeIndex, node: LeafNode | ParentNode) -> None:
        # V0715 §7.3: "Verify that the following fields are unique among the members of the group:
        # `signature_key` `encryption_key`" and §12.4.3.1: "Verify that the encryption key in the
        # parent node does not appear in any other node of the tree."
        place = self.encryption_keys.setdefault(node.encryption_key, position)
        require(place == position, Rule.ENCRYPTION_KEY_UNIQUE, f"nodes {place} and {position}")
        if isinstance(node, LeafNode):
            leaf = LeafIndex(position // 2)
            # V0714 §7.3: "Verify that the following fields are unique among the members of the
            # group: `signature_key` `encryption_key`"
            other = self.signature_keys.setdefault(node.signature_key, leaf)
            require(other == leaf, Rule.SIGNATURE_KEY_UNIQUE, f"leaves {other} and {leaf}")
            self.support.count(node.capabilities, node.credential.credential_type, 1)
