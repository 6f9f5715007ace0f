"""Commits and update paths, as they are written.

Spec: RFC 9420 §7.6 (UpdatePath), §12.4 (Commit).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self, TypeAlias

from parlour.codec import Reader, encode_opaque
from parlour.codec.varint import decode_varint
from parlour.errors import Code, DecodeError
from parlour.mls.public.leaf_node import LeafNode
from parlour.mls.public.limits import MAX_HASH, MAX_KEY, MAX_LEAVES, MAX_PROPOSALS
from parlour.mls.public.proposals import Proposal, encode_proposal, read_proposal

# A path has one node per level of the tree.
_MAX_PATH = MAX_LEAVES.bit_length()
_BY_VALUE = 1
_BY_REFERENCE = 2


@dataclass(frozen=True, slots=True)
class HpkeCiphertext:
    """A sealed secret: `opaque kem_output<V>; opaque ciphertext<V>`."""

    kem_output: bytes
    ciphertext: bytes

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Decode one."""
        return cls(reader.opaque(MAX_KEY), reader.opaque(MAX_KEY))

    def encode(self) -> bytes:
        """Encode it."""
        return encode_opaque(self.kem_output) + encode_opaque(self.ciphertext)


class HpkeCiphertexts:
    """`HPKECiphertext name<V>`, of which a recipient needs one and has to count all.

    In a path all have one size, so a thousand of them are checked by a few slices and one alone is
    decoded.
    """

    __slots__ = ("_data", "_items", "_stride", "count")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._items: list[HpkeCiphertext] | None = None
        self._stride = self._common_size()
        if self._stride:
            self.count = len(data) // self._stride
        else:
            self._items = self._read_all()
            self.count = len(self._items)

    @classmethod
    def of(cls, items: list[HpkeCiphertext]) -> Self:
        """Those."""
        return cls(b"".join(item.encode() for item in items))

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Decode the vector."""
        return cls(reader.opaque())

    def _common_size(self) -> int:
        """The size of each item if all are spelled alike, else 0."""
        data = self._data
        if not data:
            return 0
        size, start = decode_varint(data, 0)
        if start + size >= len(data):
            return 0
        inner, after = decode_varint(data, start + size)
        stride = after + inner
        if len(data) % stride:
            return 0
        count = len(data) // stride
        heads = [*range(start), *range(start + size, after)]
        alike = all(data[i::stride] == data[i : i + 1] * count for i in heads)
        return stride if alike and count <= MAX_LEAVES and max(size, inner) <= MAX_KEY else 0

    def _read_all(self) -> list[HpkeCiphertext]:
        reader = Reader(self._data)
        items: list[HpkeCiphertext] = []
        while not reader.at_end:
            items.append(HpkeCiphertext.read(reader))
            if len(items) > MAX_LEAVES:
                raise DecodeError(Code.DECODE_OVERSIZED, "more ciphertexts than leaves")
        return items

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> HpkeCiphertext:
        if self._items is not None:
            return self._items[index]
        start = index * self._stride
        return HpkeCiphertext.read(Reader(self._data[start : start + self._stride]))

    def encode(self) -> bytes:
        """Encode the vector."""
        return encode_opaque(self._data)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HpkeCiphertexts) and self._data == other._data

    def __hash__(self) -> int:
        return hash(self._data)


@dataclass(frozen=True, slots=True)
class UpdatePathNode:
    """A node of the sender's filtered direct path, and its secret for those below."""

    encryption_key: bytes
    encrypted_path_secret: HpkeCiphertexts

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Decode one."""
        return cls(reader.opaque(MAX_KEY), HpkeCiphertexts.read(reader))

    def encode(self) -> bytes:
        """Encode it."""
        return encode_opaque(self.encryption_key) + self.encrypted_path_secret.encode()


@dataclass(frozen=True, slots=True)
class UpdatePath:
    """`LeafNode leaf_node; UpdatePathNode nodes<V>`, the nodes from the leaf upwards."""

    leaf_node: LeafNode
    nodes: tuple[UpdatePathNode, ...]

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Decode one."""
        return cls(LeafNode.read(reader), tuple(reader.vector(UpdatePathNode.read, _MAX_PATH)))

    def encode(self) -> bytes:
        """Encode it."""
        nodes = b"".join(node.encode() for node in self.nodes)
        return self.leaf_node.encoded + encode_opaque(nodes)


@dataclass(frozen=True, slots=True)
class ProposalRef:
    """A proposal that was sent before, by its hash."""

    reference: bytes


ProposalOrRef: TypeAlias = Proposal | ProposalRef


def _read_proposal_or_ref(reader: Reader) -> ProposalOrRef:
    kind = reader.uint8()
    if kind == _BY_VALUE:
        return read_proposal(reader)
    if kind == _BY_REFERENCE:
        return ProposalRef(reader.opaque(MAX_HASH))
    raise DecodeError(Code.DECODE_MALFORMED, "ProposalOrRefType")


def _encode_proposal_or_ref(item: ProposalOrRef) -> bytes:
    if isinstance(item, ProposalRef):
        return bytes((_BY_REFERENCE,)) + encode_opaque(item.reference)
    return bytes((_BY_VALUE,)) + encode_proposal(item)


@dataclass(frozen=True, slots=True)
class Commit:
    """`ProposalOrRef proposals<V>; optional<UpdatePath> path`."""

    proposals: tuple[ProposalOrRef, ...]
    path: UpdatePath | None = field(default=None)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Decode one."""
        proposals = reader.vector(_read_proposal_or_ref, MAX_PROPOSALS)
        return cls(tuple(proposals), reader.optional(UpdatePath.read))

    def encode(self) -> bytes:
        """Encode it."""
        proposals = b"".join(map(_encode_proposal_or_ref, self.proposals))
        path = b"\x00" if self.path is None else b"\x01" + self.path.encode()
        return encode_opaque(proposals) + path
