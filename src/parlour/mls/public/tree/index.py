"""Which keys stand where in a tree, and what its leaves support.

Every commit asks whether a key is new and whether everybody supports something. This index answers
without a walk over the tree, and is carried from one tree to the next.

Spec: RFC 9420 §7.3 (uniqueness, capabilities).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from parlour.mls.public.capabilities import Support
from parlour.mls.public.leaf_node import LeafNode
from parlour.mls.public.rules import Rule, require
from parlour.mls.public.tree.nodes import Node, ParentNode
from parlour.mls.public.types import LeafIndex, NodeIndex

# So many changes are cheaper to copy than a thousand keys, and merged every few dozen commits.
_MAX_CHANGES: Final = 256


class KeyTable:
    """Where each key stands. A copy shares the large table that both began with.

    Each has its own changes to it, which are merged into a new one when they are many.
    """

    __slots__ = ("_base", "_changes")

    def __init__(self) -> None:
        self._base: dict[bytes, int] = {}
        self._changes: dict[bytes, int | None] = {}

    def copy(self) -> KeyTable:
        """One that can change by itself."""
        if len(self._changes) > _MAX_CHANGES:
            merged = {**self._base, **self._changes}
            self._base = {key: place for key, place in merged.items() if place is not None}
            self._changes = {}
        other = KeyTable()
        other._base, other._changes = self._base, self._changes.copy()
        return other

    def get(self, key: bytes) -> int | None:
        """The place of a key, if it is here."""
        return self._changes[key] if key in self._changes else self._base.get(key)

    def put(self, key: bytes, place: int) -> int:
        """Put a key here, unless it is here already; where it stands then."""
        known = self.get(key)
        if known is None:
            self._changes[key] = known = place
        return known

    def remove(self, key: bytes) -> None:
        """Take a key away."""
        self._changes[key] = None


class TreeIndex:
    """The keys of one tree."""

    __slots__ = ("encryption_keys", "signature_keys", "support")

    def __init__(self) -> None:
        self.encryption_keys = KeyTable()
        self.signature_keys = KeyTable()
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
        self.encryption_keys.remove(node.encryption_key)
        if isinstance(node, LeafNode):
            self.signature_keys.remove(node.signature_key)
            self.support.count(node.capabilities, node.credential.credential_type, -1)

    def _put(self, position: NodeIndex, node: LeafNode | ParentNode) -> None:
        # V0715 §7.3: "Verify that the following fields are unique among the members of the group:
        # `signature_key` `encryption_key`" and §12.4.3.1: "Verify that the encryption key in the
        # parent node does not appear in any other node of the tree."
        place = self.encryption_keys.put(node.encryption_key, position)
        require(place == position, Rule.ENCRYPTION_KEY_UNIQUE, f"nodes {place} and {position}")
        if isinstance(node, LeafNode):
            leaf = LeafIndex(position // 2)
            # V0714 §7.3: "Verify that the following fields are unique among the members of the
            # group: `signature_key` `encryption_key`"
            other = self.signature_keys.put(node.signature_key, leaf)
            require(other == leaf, Rule.SIGNATURE_KEY_UNIQUE, f"leaves {other} and {leaf}")
            self.support.count(node.capabilities, node.credential.credential_type, 1)
