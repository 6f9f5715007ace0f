"""Signatures: Ed25519 and Ed448 (RFC 8032), ECDSA on P-256, P-384 and P-521.

Layout: `keys` (the common interface), `edwards`, `ecdsa`.
"""

from parlour.primitives.signature.ecdsa import (
    EcdsaP256PrivateKey,
    EcdsaP256PublicKey,
    EcdsaP384PrivateKey,
    EcdsaP384PublicKey,
    EcdsaP521PrivateKey,
    EcdsaP521PublicKey,
)
from parlour.primitives.signature.edwards import (
    ED448_KEY_SIZE,
    ED448_SIGNATURE_SIZE,
    ED25519_KEY_SIZE,
    ED25519_SIGNATURE_SIZE,
    Ed448PrivateKey,
    Ed448PublicKey,
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from parlour.primitives.signature.keys import SignaturePrivateKey, SignaturePublicKey

__all__ = [
    "ED448_KEY_SIZE",
    "ED448_SIGNATURE_SIZE",
    "ED25519_KEY_SIZE",
    "ED25519_SIGNATURE_SIZE",
    "EcdsaP256PrivateKey",
    "EcdsaP256PublicKey",
    "EcdsaP384PrivateKey",
    "EcdsaP384PublicKey",
    "EcdsaP521PrivateKey",
    "EcdsaP521PublicKey",
    "Ed448PrivateKey",
    "Ed448PublicKey",
    "Ed25519PrivateKey",
    "Ed25519PublicKey",
    "SignaturePrivateKey",
    "SignaturePublicKey",
]
