"""A tree in parts, for a store: 16 leaves with the nodes between them, and the nodes above all.

A commit changes one path, so two of these parts, whatever the size of the group.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from parlour.codec import Reader
from parlour.errors import Code, StorageError
from parlour.mls.public.suites import CipherSuite
from parlour.mls.public.tree.extension import encode_node, read_node
from parlour.mls.public.tree.nodes import Node
from parlour.mls.public.tree.ratchet_tree import RatchetTree

# 16 leaves of 400 bytes and the 15 nodes above them: 8 kB. Above a hundred of such branches, as a
# group of 1,500 has them, stand a hundred nodes: 8 kB again.
_WIDTH: Final = 32
_NUMBER_SIZE: Final = 4
_TOP: Final = b"top"


def _branch_of(position: int) -> bytes:
    if position % _WIDTH == _WIDTH - 1:
        return _TOP
    return (position // _WIDTH).to_bytes(_NUMBER_SIZE)


def branches_of(tree: RatchetTree) -> set[bytes]:
    """The names of all parts of a tree."""
    return {_TOP, *map(_branch_of, range(0, 2 * tree.leaf_count - 1, _WIDTH))}


def changed_branches(tree: RatchetTree, base: RatchetTree) -> set[bytes]:
    """The names of those that are not what they are in `base`, also where one tree ends."""
    return {_branch_of(position) for position in tree.differences(base)}


def encode_branch(tree: RatchetTree, name: bytes) -> bytes | None:
    """One part; None if all in it is blank."""
    if name == _TOP:
        nodes = tree.between(_WIDTH - 1, 2 * tree.leaf_count, _WIDTH)
    else:
        first = int.from_bytes(name) * _WIDTH
        nodes = tree.between(first, first + _WIDTH - 1)
    if all(node is None for node in nodes):
        return None
    return b"".join(map(encode_node, nodes))


def read_branches(
    suite: CipherSuite, leaf_count: int, branches: Mapping[bytes, bytes]
) -> RatchetTree:
    """The tree of which these are the parts that are not blank."""
    nodes: list[Node] = [None] * (2 * leaf_count - 1)
    for name, data in branches.items():
        top = name == _TOP
        position = _WIDTH - 1 if top else int.from_bytes(name) * _WIDTH
        reader = Reader(data)
        while not reader.at_end:
            if position >= len(nodes):
                raise StorageError(Code.STORE_BROKEN, "a node outside its tree")
            nodes[position] = read_node(reader, position)
            position += _WIDTH if top else 1
    return RatchetTree.of_nodes(suite, nodes)
