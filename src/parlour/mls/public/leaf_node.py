"""Leaf nodes: a member as it appears in the tree, signed by itself.

Spec: RFC 9420 §7.2.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from parlour.codec import Reader, Writer, encode_opaque
from parlour.errors import Code, DecodeError, UsageError
from parlour.mls.public.capabilities import Capabilities
from parlour.mls.public.credentials import Credential, read_credential
from parlour.mls.public.extensions import NO_EXTENSIONS, Extensions
from parlour.mls.public.limits import MAX_HASH, MAX_KEY, MAX_SIGNATURE
from parlour.mls.public.suites import CipherSuite
from parlour.mls.public.types import LeafIndex, LeafNodeSource
from parlour.primitives.hpke import HpkePublicKey
from parlour.primitives.signature import SignaturePrivateKey, SignaturePublicKey

_LABEL = b"LeafNodeTBS"


@dataclass(frozen=True, slots=True)
class Lifetime:
    """When a key package is good: from `not_before` to `not_after`, seconds since the epoch."""

    not_before: int
    not_after: int

    def covers(self, now: int) -> bool:
        """Whether `now` lies within."""
        return self.not_before <= now <= self.not_after


@dataclass(frozen=True, slots=True)
class LeafNodeContent:
    """The fields of a leaf node that are signed, apart from the group and the position.

    ::

        struct {
            HPKEPublicKey encryption_key;
            SignaturePublicKey signature_key;
            Credential credential;
            Capabilities capabilities;

            LeafNodeSource leaf_node_source;
            select (LeafNode.leaf_node_source) {
                case key_package: Lifetime lifetime;
                case update:      struct{};
                case commit:      opaque parent_hash<V>;
            };

            Extension extensions<V>;
            /* SignWithLabel(., "LeafNodeTBS", LeafNodeTBS) */
            opaque signature<V>;
        } LeafNode;
    """

    encryption_key: bytes
    signature_key: bytes
    credential: Credential
    capabilities: Capabilities
    source: LeafNodeSource
    lifetime: Lifetime | None = None
    parent_hash: bytes | None = None
    extensions: Extensions = NO_EXTENSIONS

    def encode(self) -> bytes:
        """The beginning of LeafNode and of LeafNodeTBS."""
        writer = Writer().opaque(self.encryption_key).opaque(self.signature_key)
        parts = [
            writer.data(),
            self.credential.encode(),
            self.capabilities.encode(),
            self.source.to_bytes(1),
        ]
        if self.lifetime is not None:
            parts.append(self.lifetime.not_before.to_bytes(8))
            parts.append(self.lifetime.not_after.to_bytes(8))
        if self.parent_hash is not None:
            parts.append(encode_opaque(self.parent_hash))
        parts.append(self.extensions.encode())
        return b"".join(parts)


def _tbs(
    content: bytes, source: LeafNodeSource, group_id: bytes | None, leaf_index: LeafIndex | None
) -> bytes:
    """LeafNodeTBS: a leaf made within a group is bound to it and to its position there."""
    if source is LeafNodeSource.KEY_PACKAGE:
        return content
    if group_id is None or leaf_index is None:
        raise UsageError(Code.USAGE_INVALID, "a leaf of no group and position")
    return content + encode_opaque(group_id) + leaf_index.to_bytes(4)


@dataclass(frozen=True, slots=True, eq=False)
class LeafNode:
    """A signed leaf node. `encoded` is it as it was spelled, `content_size` bytes of it signed."""

    content: LeafNodeContent
    signature: bytes
    encoded: bytes = field(repr=False)
    content_size: int = field(repr=False)
    # Parsed when they are first needed, then kept: parsing costs as much as a hash.
    _verifying_key: SignaturePublicKey | None = field(default=None, repr=False)
    _hpke_key: HpkePublicKey | None = field(default=None, repr=False)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Decode one."""
        start = reader.offset
        encryption_key = reader.opaque(MAX_KEY)
        signature_key = reader.opaque(MAX_KEY)
        credential = read_credential(reader)
        capabilities = Capabilities.read(reader)
        try:
            source = LeafNodeSource(reader.uint8())
        except ValueError:
            raise DecodeError(Code.DECODE_MALFORMED, "leaf_node_source") from None
        lifetime = parent_hash = None
        if source is LeafNodeSource.KEY_PACKAGE:
            lifetime = Lifetime(reader.uint64(), reader.uint64())
        elif source is LeafNodeSource.COMMIT:
            parent_hash = reader.opaque(MAX_HASH)
        content = LeafNodeContent(
            encryption_key,
            signature_key,
            credential,
            capabilities,
            source,
            lifetime,
            parent_hash,
            Extensions.read(reader),
        )
        size = reader.offset - start
        signature = reader.opaque(MAX_SIGNATURE)
        return cls(content, signature, reader.since(start), size)

    @classmethod
    def sign(
        cls,
        suite: CipherSuite,
        key: SignaturePrivateKey,
        content: LeafNodeContent,
        group_id: bytes | None = None,
        leaf_index: LeafIndex | None = None,
    ) -> Self:
        """Make one; sources `update` and `commit` need the group and the position."""
        encoded = content.encode()
        tbs = _tbs(encoded, content.source, group_id, leaf_index)
        signature = suite.sign_with_label(key, _LABEL, tbs)
        return cls(content, signature, encoded + encode_opaque(signature), len(encoded))

    def signed_data(
        self, suite: CipherSuite, group_id: bytes | None, leaf_index: LeafIndex | None
    ) -> bytes:
        """What `signature` has to be over."""
        content = self.encoded[: self.content_size]
        return suite.sign_content(_LABEL, _tbs(content, self.content.source, group_id, leaf_index))

    def verifying_key(self, suite: CipherSuite) -> SignaturePublicKey:
        """The signature key, parsed; `AuthenticationError` if it is none of the suite's."""
        key = self._verifying_key
        if key is None:
            key = suite.decode_verifying_key(self.content.signature_key)
            object.__setattr__(self, "_verifying_key", key)
        return key

    def hpke_key(self, suite: CipherSuite) -> HpkePublicKey:
        """The encryption key, parsed; `AuthenticationError` if it is none of the suite's."""
        key = self._hpke_key
        if key is None:
            key = suite.decode_encryption_key(self.content.encryption_key)
            object.__setattr__(self, "_hpke_key", key)
        return key

    @property
    def encryption_key(self) -> bytes:
        """The member's HPKE public key."""
        return self.content.encryption_key

    @property
    def signature_key(self) -> bytes:
        """The member's signature public key."""
        return self.content.signature_key

    @property
    def credential(self) -> Credential:
        """Who the member says it is."""
        return self.content.credential

    @property
    def capabilities(self) -> Capabilities:
        """What the member's client supports."""
        return self.content.capabilities

    @property
    def source(self) -> LeafNodeSource:
        """How the leaf came into the tree."""
        return self.content.source

    @property
    def parent_hash(self) -> bytes | None:
        """Of a leaf that came by a commit: what it says of its ancestors."""
        return self.content.parent_hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LeafNode) and self.encoded == other.encoded

    def __hash__(self) -> int:
        return hash(self.encoded)
