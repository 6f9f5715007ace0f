"""ECDSA on P-256 with SHA-256, P-384 with SHA-384 and P-521 with SHA-512 (FIPS 186-5).

Signatures are DER `ECDSA-Sig-Value` (RFC 5480). They are made with the nonces of RFC 6979, so that
neither weak randomness nor a copied state can repeat a nonce and give the key away. A stranger can
turn one valid signature into another, (r, n - s): nothing may use a signature as an identifier.
"""

from __future__ import annotations

from typing import ClassVar, Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from parlour.errors import AuthenticationError, Code
from parlour.primitives.random import Random, system_random
from parlour.primitives.signature.keys import SignaturePrivateKey, SignaturePublicKey
from parlour.primitives.weierstrass import P256, P384, P521, Curve

_SHA256: Final = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
_SHA384: Final = ec.ECDSA(hashes.SHA384(), deterministic_signing=True)
_SHA512: Final = ec.ECDSA(hashes.SHA512(), deterministic_signing=True)


class _PublicKey(SignaturePublicKey):
    __slots__ = ()

    CURVE: ClassVar[Curve]
    _ALGORITHM: ClassVar[ec.ECDSA]
    _key: ec.EllipticCurvePublicKey

    def __init__(self, data: bytes) -> None:
        self._key = self.CURVE.decode_point(data)
        self._bytes = bytes(data)

    def verify(self, signature: bytes, message: bytes) -> None:
        """Return if `signature` (DER) is this key's over `message`, else raise."""
        try:
            self._key.verify(signature, message, self._ALGORITHM)
        except InvalidSignature:
            raise AuthenticationError(Code.CRYPTO_SIGNATURE) from None


class _PrivateKey(SignaturePrivateKey):
    __slots__ = ()

    CURVE: ClassVar[Curve]
    _PUBLIC: ClassVar[type[_PublicKey]]
    _key: ec.EllipticCurvePrivateKey

    def __init__(self, data: bytes) -> None:
        self._key = self.CURVE.decode_scalar(data)
        self._bytes = bytes(data)
        public_key = self._key.public_key()
        self.public_key = self._PUBLIC._from_library(
            public_key, self.CURVE.encode_point(public_key)
        )

    @classmethod
    def generate(cls, random: Random = system_random) -> Self:
        """Make a fresh key pair."""
        return cls(cls.CURVE.generate_scalar(random))

    def sign(self, message: bytes) -> bytes:
        """Sign: DER, of a length that varies by a few bytes."""
        return self._key.sign(message, self._PUBLIC._ALGORITHM)


class EcdsaP256PublicKey(_PublicKey):
    """An uncompressed point of 65 bytes; SHA-256. Equal when the bytes are equal."""

    __slots__ = ()
    CURVE = P256
    _ALGORITHM = _SHA256


class EcdsaP256PrivateKey(_PrivateKey):
    """A scalar of 32 bytes with its public key; SHA-256."""

    __slots__ = ()
    CURVE = P256
    _PUBLIC = EcdsaP256PublicKey
    public_key: EcdsaP256PublicKey


class EcdsaP384PublicKey(_PublicKey):
    """An uncompressed point of 97 bytes; SHA-384. Equal when the bytes are equal."""

    __slots__ = ()
    CURVE = P384
    _ALGORITHM = _SHA384


class EcdsaP384PrivateKey(_PrivateKey):
    """A scalar of 48 bytes with its public key; SHA-384."""

    __slots__ = ()
    CURVE = P384
    _PUBLIC = EcdsaP384PublicKey
    public_key: EcdsaP384PublicKey


class EcdsaP521PublicKey(_PublicKey):
    """An uncompressed point of 133 bytes; SHA-512. Equal when the bytes are equal."""

    __slots__ = ()
    CURVE = P521
    _ALGORITHM = _SHA512


class EcdsaP521PrivateKey(_PrivateKey):
    """A scalar of 66 bytes with its public key; SHA-512."""

    __slots__ = ()
    CURVE = P521
    _PUBLIC = EcdsaP521PublicKey
    public_key: EcdsaP521PublicKey
