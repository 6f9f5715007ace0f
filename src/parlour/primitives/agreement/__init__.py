"""Diffie-Hellman: X25519 and X448 (RFC 7748), ECDH on P-256, P-384 and P-521.

Layout: `keys` (the common interface), `montgomery`, `nist`.
"""

from parlour.primitives.agreement.keys import AgreementPrivateKey, AgreementPublicKey
from parlour.primitives.agreement.montgomery import (
    X448_SIZE,
    X25519_SIZE,
    X448PrivateKey,
    X448PublicKey,
    X25519PrivateKey,
    X25519PublicKey,
)
from parlour.primitives.agreement.nist import (
    P256_POINT_SIZE,
    P256_SCALAR_SIZE,
    P256PrivateKey,
    P256PublicKey,
    P384PrivateKey,
    P384PublicKey,
    P521PrivateKey,
    P521PublicKey,
)

__all__ = [
    "P256_POINT_SIZE",
    "P256_SCALAR_SIZE",
    "X448_SIZE",
    "X25519_SIZE",
    "AgreementPrivateKey",
    "AgreementPublicKey",
    "P256PrivateKey",
    "P256PublicKey",
    "P384PrivateKey",
    "P384PublicKey",
    "P521PrivateKey",
    "P521PublicKey",
    "X448PrivateKey",
    "X448PublicKey",
    "X25519PrivateKey",
    "X25519PublicKey",
]
