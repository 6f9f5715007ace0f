"""How a tree travels: the nodes from left to right, without the blank ones at the end.

Spec: RFC 9420 §12.4.3.3.
"""

from __future__ import annotations

from parlour.codec import Reader, opaque_parts
from parlour.errors import Code, DecodeError
from parlour.mls.public.extensions import Extension
from parlour.mls.public.leaf_node import LeafNode
from parlour.mls.public.limits import MAX_NODES
from parlour.mls.public.rules import Rule, require
from parlour.mls.public.suites import CipherSuite
from parlour.mls.public.tree import math
from parlour.mls.public.tree.nodes import Node, ParentNode
from parlour.mls.public.tree.ratchet_tree import RatchetTree
from parlour.mls.public.types import ExtensionType, NodeType

_BLANK = b"\x00"
_LEAF = b"\x01" + NodeType.LEAF.to_bytes(1)
_PARENT = b"\x01" + NodeType.PARENT.to_bytes(1)


def read_node(reader: Reader, position: int) -> Node:
    """Decode an `optional<Node>` that stands at a position."""
    present = reader.uint8()
    if not present:
        return None
    kind = reader.uint8()
    if present != 1 or kind not in (NodeType.LEAF, NodeType.PARENT):
        raise DecodeError(Code.DECODE_MALFORMED, "optional<Node>")
    if kind == NodeType.LEAF:
        return LeafNode.read(reader)
    # Each entry takes four bytes of a message and ten times that of memory: who made the tree is
    # not verified yet, so there are no more than a tree of this size can have.
    first, after_last = math.subtree_leaves(position)
    return ParentNode.read(reader, after_last - first)


def read_nodes(data: bytes) -> list[Node]:
    """Decode `optional<Node> ratchet_tree<V>`, and fill the tree up with blank nodes."""
    outer = Reader(data)
    reader = Reader(outer.opaque())
    outer.finish()
    nodes: list[Node] = []
    while not reader.at_end:
        if len(nodes) >= MAX_NODES:
            raise DecodeError(Code.DECODE_OVERSIZED, f"more than {MAX_NODES} nodes")
        node = read_node(reader, len(nodes))
        # V1268 §12.4.3.3: "The leaves of the tree are stored in even-numbered entries in the array"
        is_leaf = len(nodes) % 2 == 0
        kind = LeafNode if is_leaf else ParentNode
        require(node is None or isinstance(node, kind), Rule.TREE_NODE_TYPES)
        nodes.append(node)
    # V1266 §12.4.3.3: "The receiver MUST check that the last node in `ratchet_tree` is non-blank"
    require(bool(nodes) and nodes[-1] is not None, Rule.TREE_LAST_NODE)
    width = (1 << len(nodes).bit_length()) - 1
    nodes.extend([None] * (width - len(nodes)))
    return nodes


def read_tree(suite: CipherSuite, data: bytes) -> RatchetTree:
    """Decode a tree; keys that stand twice are refused, nothing else is checked yet."""
    return RatchetTree.of_nodes(suite, read_nodes(data))


def encode_node(node: Node) -> bytes:
    """Encode an `optional<Node>`."""
    if node is None:
        return _BLANK
    return (_LEAF if isinstance(node, LeafNode) else _PARENT) + node.encoded


def encode_tree(tree: RatchetTree) -> bytes:
    """Encode a tree."""
    nodes = tree.nodes()
    while nodes and nodes[-1] is None:
        nodes.pop()
    parts = [_BLANK] * len(nodes)
    parts[::2] = [_BLANK if leaf is None else _LEAF + leaf.encoded for leaf in nodes[::2]]
    parts[1::2] = [_BLANK if node is None else _PARENT + node.encoded for node in nodes[1::2]]
    return b"".join(opaque_parts(*parts))


def ratchet_tree_extension(tree: RatchetTree) -> Extension:
    """The extension of a GroupInfo that carries the tree."""
    return Extension(ExtensionType.RATCHET_TREE, encode_tree(tree))
