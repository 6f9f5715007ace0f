"""Proposals: changes that somebody asks for.

Spec: RFC 9420 §12.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Self, TypeAlias

from parlour.codec import Reader, Writer, encode_opaque
from parlour.mls.public.extensions import Extensions
from parlour.mls.public.key_package import KeyPackage
from parlour.mls.public.leaf_node import LeafNode
from parlour.mls.public.limits import MAX_GROUP_ID, MAX_KEY
from parlour.mls.public.psk_id import PreSharedKeyId
from parlour.mls.public.types import LeafIndex, ProposalType

_REFERENCE: Final = b"MLS 1.0 Proposal Reference"


@dataclass(frozen=True, slots=True)
class Add:
    """§12.1.1: add the client of a key package."""

    key_package: KeyPackage

    proposal_type: ClassVar[int] = ProposalType.ADD

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Decode its body."""
        return cls(KeyPackage.read(reader))

    def encode_body(self) -> bytes:
        """Encode what follows the type."""
        return self.key_package.encoded


@dataclass(frozen=True, slots=True)
class Update:
    """§12.1.2: replace the sender's leaf node."""

    leaf_node: LeafNode

    proposal_type: ClassVar[int] = ProposalType.UPDATE

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Decode its body."""
        return cls(LeafNode.read(reader))

    def encode_body(self) -> bytes:
        """Encode what follows the type."""
        return self.leaf_node.encoded


@dataclass(frozen=True, slots=True)
class Remove:
    """§12.1.3: remove the member at a leaf."""

    removed: LeafIndex

    proposal_type: ClassVar[int] = ProposalType.REMOVE

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Decode its body."""
        return cls(LeafIndex(reader.uint32()))

    def encode_body(self) -> bytes:
        """Encode what follows the type."""
        return self.removed.to_bytes(4)


@dataclass(frozen=True, slots=True)
class PreSharedKey:
    """§12.1.4: mix a pre-shared key into the next epoch."""

    psk: PreSharedKeyId

    proposal_type: ClassVar[int] = ProposalType.PSK

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Decode its body."""
        return cls(PreSharedKeyId.read(reader))

    def encode_body(self) -> bytes:
        """Encode what follows the type."""
        return self.psk.encode()


@dataclass(frozen=True, slots=True)
class ReInit:
    """§12.1.5: end this group and begin another in its place."""

    group_id: bytes
    version: int
    cipher_suite: int
    extensions: Extensions

    proposal_type: ClassVar[int] = ProposalType.REINIT

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Decode its body."""
        return cls(
            reader.opaque(MAX_GROUP_ID), reader.uint16(), reader.uint16(), Extensions.read(reader)
        )

    def encode_body(self) -> bytes:
        """Encode what follows the type."""
        writer = Writer().opaque(self.group_id).uint16(self.version).uint16(self.cipher_suite)
        return writer.data() + self.extensions.encode()


@dataclass(frozen=True, slots=True)
class ExternalInit:
    """§12.1.6: begin the next epoch from a secret sealed to `external_pub`."""

    kem_output: bytes

    proposal_type: ClassVar[int] = ProposalType.EXTERNAL_INIT

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Decode its body."""
        return cls(reader.opaque(MAX_KEY))

    def encode_body(self) -> bytes:
        """Encode what follows the type."""
        return encode_opaque(self.kem_output)


@dataclass(frozen=True, slots=True)
class GroupContextExtensions:
    """§12.1.7: replace the extensions of the group, all of them."""

    extensions: Extensions

    proposal_type: ClassVar[int] = ProposalType.GROUP_CONTEXT_EXTENSIONS

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Decode its body."""
        return cls(Extensions.read(reader))

    def encode_body(self) -> bytes:
        """Encode what follows the type."""
        return self.extensions.encode()


@dataclass(frozen=True, slots=True)
class OtherProposal:
    """A type that is not known here, with its content as it came, read as `opaque<V>`.

    Where all members list the type, a commit may cover it; what it means is the application's. The
    commit has a path: whether the type could do without one is not known here.
    """

    proposal_type: int
    content: bytes

    def encode_body(self) -> bytes:
        """Encode what follows the type."""
        return encode_opaque(self.content)


KnownProposal: TypeAlias = (
    Add | Update | Remove | PreSharedKey | ReInit | ExternalInit | GroupContextExtensions
)
Proposal: TypeAlias = KnownProposal | OtherProposal

_KINDS: Final[dict[int, type[KnownProposal]]] = {
    int(kind.proposal_type): kind
    for kind in (
        Add,
        Update,
        Remove,
        PreSharedKey,
        ReInit,
        ExternalInit,
        GroupContextExtensions,
    )
}
# §12.4: "The only proposal types defined in this document that do not require a path".
WITHOUT_PATH: Final = frozenset({ProposalType.ADD, ProposalType.PSK, ProposalType.REINIT})
# §12.1.8: what an `external` sender may propose.
BY_EXTERNAL_SENDER: Final = frozenset(
    {
        ProposalType.ADD,
        ProposalType.REMOVE,
        ProposalType.PSK,
        ProposalType.REINIT,
        ProposalType.GROUP_CONTEXT_EXTENSIONS,
    }
)


def read_proposal(reader: Reader) -> Proposal:
    """Decode a `Proposal`: its type, and a body of that type."""
    proposal_type = reader.uint16()
    kind = _KINDS.get(proposal_type)
    if kind is None:
        return OtherProposal(proposal_type, reader.opaque())
    return kind.read(reader)


def encode_proposal(proposal: Proposal) -> bytes:
    """Encode a `Proposal`."""
    return proposal.proposal_type.to_bytes(2) + proposal.encode_body()


def reference_label() -> bytes:
    """The label of ProposalRef (§5.2)."""
    return _REFERENCE
