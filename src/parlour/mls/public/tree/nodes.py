"""Parent nodes, and what stands at a position of the tree.

Spec: RFC 9420 §7.1.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Self, TypeAlias

from parlour.codec import Reader, encode_opaque
from parlour.mls.public.leaf_node import LeafNode
from parlour.mls.public.limits import MAX_HASH, MAX_KEY, MAX_LEAVES
from parlour.mls.public.rules import Rule, require
from parlour.mls.public.suites import CipherSuite
from parlour.mls.public.types import LeafIndex
from parlour.primitives.hpke import HpkePublicKey


@dataclass(frozen=True, slots=True)
class ParentNode:
    """A key whose private half the members below have, except the unmerged ones.

    ::

        struct {
            HPKEPublicKey encryption_key;
            opaque parent_hash<V>;
            uint32 unmerged_leaves<V>;
        } ParentNode;
    """

    encryption_key: bytes
    parent_hash: bytes
    unmerged_leaves: tuple[LeafIndex, ...] = ()
    encoded: bytes = field(init=False, repr=False, compare=False)
    _hpke_key: HpkePublicKey | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        unmerged = struct.pack(f">{len(self.unmerged_leaves)}I", *self.unmerged_leaves)
        encoded = (
            encode_opaque(self.encryption_key)
            + encode_opaque(self.parent_hash)
            + encode_opaque(unmerged)
        )
        object.__setattr__(self, "encoded", encoded)

    @classmethod
    def read(cls, reader: Reader, leaves_below: int = MAX_LEAVES) -> Self:
        """Decode one; no more leaves can be unmerged than stand below it."""
        key = reader.opaque(MAX_KEY)
        parent_hash = reader.opaque(MAX_HASH)
        unmerged = reader.uint32s(leaves_below)
        # V0701 §7.1: "The entries in the `unmerged_leaves` vector MUST be sorted in increasing
        # order."
        increasing = all(a < b for a, b in pairwise(unmerged))
        require(increasing, Rule.UNMERGED_SORTED)
        return cls(key, parent_hash, tuple(map(LeafIndex, unmerged)))

    def with_unmerged(self, leaf_index: LeafIndex) -> ParentNode:
        """This node above one more leaf that lacks its private key."""
        unmerged = tuple(sorted({*self.unmerged_leaves, leaf_index}))
        return ParentNode(self.encryption_key, self.parent_hash, unmerged, self._hpke_key)

    def hpke_key(self, suite: CipherSuite) -> HpkePublicKey:
        """The encryption key, parsed; `AuthenticationError` if it is none of the suite's."""
        key = self._hpke_key
        if key is None:
            key = suite.decode_encryption_key(self.encryption_key)
            object.__setattr__(self, "_hpke_key", key)
        return key


Node: TypeAlias = LeafNode | ParentNode | None
"""What stands at a position; None is a blank node."""
