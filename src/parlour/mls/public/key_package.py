"""Key packages: what a client publishes so that it can be added while it is away.

Spec: RFC 9420 §10.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from parlour.codec import Reader, Writer, encode_opaque
from parlour.mls.public.extensions import NO_EXTENSIONS, Extensions
from parlour.mls.public.leaf_node import LeafNode
from parlour.mls.public.limits import MAX_KEY, MAX_SIGNATURE
from parlour.mls.public.suites import CipherSuite
from parlour.mls.public.types import MLS10, ExtensionType
from parlour.primitives.hpke import HpkePublicKey
from parlour.primitives.signature import SignaturePrivateKey

_LABEL = b"KeyPackageTBS"
_REFERENCE = b"MLS 1.0 KeyPackage Reference"


@dataclass(frozen=True, slots=True, eq=False)
class KeyPackage:
    """A signed key package. `encoded` is it as it was spelled.

    ::

        struct {
            ProtocolVersion version;
            CipherSuite cipher_suite;
            HPKEPublicKey init_key;
            LeafNode leaf_node;
            Extension extensions<V>;
            /* SignWithLabel(., "KeyPackageTBS", KeyPackageTBS) */
            opaque signature<V>;
        } KeyPackage;
    """

    version: int
    cipher_suite: int
    init_key: bytes
    leaf_node: LeafNode
    extensions: Extensions
    signature: bytes
    encoded: bytes = field(repr=False)
    content_size: int = field(repr=False)
    _hpke_init_key: HpkePublicKey | None = field(default=None, repr=False)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Decode one."""
        start = reader.offset
        version = reader.uint16()
        cipher_suite = reader.uint16()
        init_key = reader.opaque(MAX_KEY)
        leaf_node = LeafNode.read(reader)
        extensions = Extensions.read(reader)
        size = reader.offset - start
        signature = reader.opaque(MAX_SIGNATURE)
        return cls(
            version,
            cipher_suite,
            init_key,
            leaf_node,
            extensions,
            signature,
            reader.since(start),
            size,
        )

    @classmethod
    def sign(
        cls,
        suite: CipherSuite,
        key: SignaturePrivateKey,
        init_key: bytes,
        leaf_node: LeafNode,
        extensions: Extensions = NO_EXTENSIONS,
    ) -> Self:
        """Make one of this version."""
        writer = Writer().uint16(MLS10).uint16(suite.id).opaque(init_key)
        tbs = writer.data() + leaf_node.encoded + extensions.encode()
        signature = suite.sign_with_label(key, _LABEL, tbs)
        encoded = tbs + encode_opaque(signature)
        return cls(MLS10, suite.id, init_key, leaf_node, extensions, signature, encoded, len(tbs))

    def signed_data(self, suite: CipherSuite) -> bytes:
        """What `signature` has to be over."""
        return suite.sign_content(_LABEL, self.encoded[: self.content_size])

    def reference(self, suite: CipherSuite) -> bytes:
        """KeyPackageRef (§5.2)."""
        return suite.ref_hash(_REFERENCE, self.encoded)

    def hpke_init_key(self, suite: CipherSuite) -> HpkePublicKey:
        """The init key, parsed; `AuthenticationError` if it is none of the suite's."""
        key = self._hpke_init_key
        if key is None:
            key = suite.decode_encryption_key(self.init_key)
            object.__setattr__(self, "_hpke_init_key", key)
        return key

    @property
    def is_last_resort(self) -> bool:
        """Whether the client says that it may be used more than once (§16.8)."""
        return self.extensions.find(ExtensionType.LAST_RESORT_KEY_PACKAGE) is not None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeyPackage) and self.encoded == other.encoded

    def __hash__(self) -> int:
        return hash(self.encoded)
