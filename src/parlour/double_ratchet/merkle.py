"""One signature over many prekeys: a Merkle tree, whose root is signed.

Whoever starts a session verifies the signatures of up to three prekeys. As a device issues its
prekeys in batches, one signature over the tree of a batch gives each prekey the proof that it
stands there under its kind, id and expiry, and the one who starts pays for one verification
instead of three (and the device for one signature instead of two hundred).

Leaves and nodes are hashed under different labels, so that no node passes for a leaf. Empty places
on the right are a constant that is no hash of anything.
Why: docs/decisions/0030-prekeys-signed-in-batches.md.
"""

from __future__ import annotations

from typing import Final

from parlour.double_ratchet import labels
from parlour.double_ratchet.limits import MAX_BATCH_DEPTH
from parlour.errors import Code, UsageError
from parlour.primitives.hashes import SHA256_SIZE, sha256

_EMPTY: Final = bytes(SHA256_SIZE)


def leaf_hash(content: bytes) -> bytes:
    """The hash of a leaf with that content."""
    return sha256(labels.PREKEY_LEAF + content)


def _node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(labels.PREKEY_NODE + left + right)


def build(leaves: list[bytes]) -> tuple[bytes, list[bytes]]:
    """The root over `leaves` (hashes, at least one) and for each leaf its path, bottom up."""
    depth = (len(leaves) - 1).bit_length()
    if not leaves or depth > MAX_BATCH_DEPTH:
        raise UsageError(Code.USAGE_INVALID, "a batch has 1 to 256 prekeys")
    level = leaves + [_EMPTY] * ((1 << depth) - len(leaves))
    paths: list[list[bytes]] = [[] for _ in leaves]
    for height in range(depth):
        for index, path in enumerate(paths):
            path.append(level[(index >> height) ^ 1])
        level = [_node_hash(level[i], level[i + 1]) for i in range(0, len(level), 2)]
    return level[0], [b"".join(path) for path in paths]


def root_of(leaf: bytes, index: int, path: bytes) -> bytes:
    """The root that `leaf` (a hash) at `index` leads to by `path` (hashes of 32 bytes)."""
    node = leaf
    for offset in range(0, len(path), SHA256_SIZE):
        sibling = path[offset : offset + SHA256_SIZE]
        node = _node_hash(sibling, node) if index & 1 else _node_hash(node, sibling)
        index >>= 1
    return node
