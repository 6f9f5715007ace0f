"""Who a client is, and the key packages by which others add it.

Spec: RFC 9420 §5.3, §7.2, §10.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, Self

from parlour.codec import Reader, Writer, decode
from parlour.errors import Code, DecodeError, UsageError
from parlour.mls.private.limits import BACKDATE
from parlour.mls.public.capabilities import Capabilities
from parlour.mls.public.credentials import Credential
from parlour.mls.public.extensions import NO_EXTENSIONS, Extension, Extensions
from parlour.mls.public.framing.messages import KeyPackageMessage, encode_message
from parlour.mls.public.key_package import KeyPackage
from parlour.mls.public.leaf_node import LeafNode, LeafNodeContent, Lifetime
from parlour.mls.public.limits import DAY
from parlour.mls.public.suites import DEFAULT_SUITE, CipherSuite, find_suite
from parlour.mls.public.types import GREASE, ExtensionType, LeafNodeSource
from parlour.primitives.hpke import HpkePrivateKey
from parlour.primitives.random import Random, system_random
from parlour.primitives.signature import SignaturePrivateKey

# TRUST.md: "Key packages older than 90 days are refused".
KEY_PACKAGE_LIFETIME: Final = 90 * DAY
_STORED_VERSION: Final = 1
_LAST_RESORT: Final = Extension(ExtensionType.LAST_RESORT_KEY_PACKAGE, b"")


def lifetime_from(now: int, seconds: int = KEY_PACKAGE_LIFETIME) -> Lifetime:
    """From a little before `now`, for `seconds`."""
    return Lifetime(max(now - BACKDATE, 0), now + seconds)


@dataclass(frozen=True, slots=True)
class Identity:
    """A client in its groups of one suite: its signature key, and what its leaves say."""

    credential: Credential
    signer: SignaturePrivateKey
    suite: CipherSuite = DEFAULT_SUITE
    capabilities: Capabilities = field(default_factory=Capabilities)
    extensions: Extensions = NO_EXTENSIONS

    @classmethod
    def generate(
        cls,
        credential: Credential,
        suite: CipherSuite = DEFAULT_SUITE,
        *,
        grease: bool = True,
        random: Random = system_random,
    ) -> Self:
        """A fresh signature key; `grease` adds unknown values to the capabilities (§13.5)."""
        capabilities = Capabilities()
        if grease:
            capabilities = capabilities.with_grease(random)
        return cls(credential, suite.signing_key_type.generate(random), suite, capabilities)

    def check_suite(self, suite: CipherSuite) -> None:
        """That this is an identity for groups of that suite."""
        if self.suite.id != suite.id:
            raise UsageError(Code.USAGE_INVALID, "an identity of another suite than the group's")

    def with_signer(self, signer: SignaturePrivateKey) -> Identity:
        """The same client under another signature key."""
        return replace(self, signer=signer)

    def leaf_content(
        self,
        encryption_key: bytes,
        source: LeafNodeSource,
        *,
        lifetime: Lifetime | None = None,
        parent_hash: bytes | None = None,
    ) -> LeafNodeContent:
        """What a leaf node of this client says."""
        return LeafNodeContent(
            encryption_key,
            self.signer.public_key.to_bytes(),
            self.credential,
            self.capabilities,
            source,
            lifetime,
            parent_hash,
            self.extensions,
        )


@dataclass(frozen=True, slots=True)
class KeyPackageBundle:
    """A key package of our own with its private keys. To be erased once it was used.

    One that `is_last_resort` is kept, for the day when all others are used up, and replaced soon.
    """

    key_package: KeyPackage
    init_key: HpkePrivateKey = field(repr=False)
    leaf_key: HpkePrivateKey = field(repr=False)
    identity: Identity

    @classmethod
    def create(
        cls,
        identity: Identity,
        now: int,
        *,
        lifetime: int = KEY_PACKAGE_LIFETIME,
        last_resort: bool = False,
        grease: bool = False,
        random: Random = system_random,
    ) -> Self:
        """Make one that is good until `now + lifetime` (seconds).

        `grease` adds an extension that nobody knows (§13.5); OpenMLS refuses such key packages.
        """
        suite = identity.suite
        init_key = suite.hpke.kem.generate_key_pair(random)
        leaf_key = suite.hpke.kem.generate_key_pair(random)
        content = identity.leaf_content(
            leaf_key.public_key.to_bytes(),
            LeafNodeSource.KEY_PACKAGE,
            lifetime=lifetime_from(now, lifetime),
        )
        leaf_node = LeafNode.sign(suite, identity.signer, content)
        extensions = Extensions.of([_LAST_RESORT] if last_resort else [])
        known = set(identity.capabilities.extensions)
        unknown = [value for value in GREASE if value in known]
        if grease and unknown:
            # "Extensions included in the `extensions` or `leaf_node.extensions` fields MUST be
            # included in the `leaf_node.capabilities` field" (§10).
            extensions = extensions.with_(Extension(unknown[0], random(random(1)[0] % 16)))
        key_package = KeyPackage.sign(
            suite, identity.signer, init_key.public_key.to_bytes(), leaf_node, extensions
        )
        return cls(key_package, init_key, leaf_key, identity)

    @property
    def reference(self) -> bytes:
        """KeyPackageRef (§5.2): by what a Welcome names it."""
        return self.key_package.reference(self.identity.suite)

    @property
    def message(self) -> bytes:
        """The key package as an MLSMessage, to be published."""
        return encode_message(KeyPackageMessage(self.key_package))

    def to_bytes(self) -> bytes:
        """For sealed storage: the key package and the three private keys."""
        writer = Writer().uint8(_STORED_VERSION).opaque(self.key_package.encoded)
        writer.opaque(self.init_key.to_bytes()).opaque(self.leaf_key.to_bytes())
        return writer.opaque(self.identity.signer.to_bytes()).data()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote."""
        return decode(data, cls._read)

    @classmethod
    def _read(cls, reader: Reader) -> Self:
        if reader.uint8() != _STORED_VERSION:
            raise DecodeError(Code.DECODE_VERSION, "KeyPackageBundle")
        key_package = decode(reader.opaque(), KeyPackage.read)
        suite = find_suite(key_package.cipher_suite)
        init_key = suite.hpke.kem.decode_private_key(reader.opaque())
        leaf_key = suite.hpke.kem.decode_private_key(reader.opaque())
        signer = suite.signing_key_type(reader.opaque())
        leaf = key_package.leaf_node
        identity = Identity(
            leaf.credential, signer, suite, leaf.capabilities, leaf.content.extensions
        )
        return cls(key_package, init_key, leaf_key, identity)
