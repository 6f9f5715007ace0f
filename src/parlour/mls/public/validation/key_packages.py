"""Key packages, before their clients are added.

Spec: RFC 9420 §10, §10.1.
"""

from __future__ import annotations

from parlour.errors import AuthenticationError
from parlour.mls.public.key_package import KeyPackage
from parlour.mls.public.policy import LifetimeCheck
from parlour.mls.public.rules import Rule, RuleBroken, require
from parlour.mls.public.types import MLS10, LeafNodeSource
from parlour.mls.public.validation.leaf_nodes import LeafValidator, name_client
from parlour.mls.public.validation.signatures import SignatureCheck


def check_key_package(
    validator: LeafValidator, key_package: KeyPackage, *, signed: bool = True
) -> None:
    """All of §10.1; signatures are left in the validator. `signed` False: verified before."""
    suite = validator.suite
    # V1001 §10.1: "Verify that the cipher suite and protocol version of the KeyPackage match those
    # in the GroupContext."
    require(key_package.version == MLS10, Rule.KEY_PACKAGE_VERSION)
    # V1004 §10.1: "Verify that the cipher suite and protocol version of the KeyPackage match those
    # in the GroupContext."
    require(key_package.cipher_suite == suite.id, Rule.KEY_PACKAGE_MATCHES_GROUP)
    leaf = key_package.leaf_node
    # V0710 §7.3: "If the LeafNode appears in a KeyPackage, verify that `leaf_node_source` is set to
    # `key_package`."
    require(leaf.source is LeafNodeSource.KEY_PACKAGE, Rule.LEAF_SOURCE_KEY_PACKAGE)
    # V1003 §10.1: "Verify that the value of `leaf_node.encryption_key` is different from the value
    # of the `init_key` field."
    require(leaf.encryption_key != key_package.init_key, Rule.KEY_PACKAGE_INIT_KEY)
    # V1005 §10: "The value for `init_key` MUST be a public key for the asymmetric encryption scheme
    # defined by `cipher_suite`"
    try:
        key_package.hpke_init_key(suite)
    except AuthenticationError as error:
        raise RuleBroken(Rule.KEY_PACKAGE_INIT_KEY_VALID, name_client(leaf)) from error
    # V1006 §10: "Extensions included in the `extensions` or `leaf_node.extensions` fields MUST be
    # included in the `leaf_node.capabilities` field."
    own = key_package.extensions.types
    require(all(map(leaf.capabilities.supports_extension, own)), Rule.KEY_PACKAGE_EXTENSIONS)
    validator.check(leaf, signed=signed)
    validator.check_lifetime(leaf, LifetimeCheck.ADDS)
    validator.check_new(leaf)
    if signed:
        # V1002 §10.1: "Verify that the signature on the KeyPackage is valid using the public key in
        # `leaf_node.credential`."
        validator.signatures.append(
            SignatureCheck(
                leaf.verifying_key(suite),
                key_package.signed_data(suite),
                key_package.signature,
                Rule.KEY_PACKAGE_SIGNATURE,
            )
        )
