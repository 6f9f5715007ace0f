"""ECDH on P-256, P-384 and P-521 (NIST SP 800-56A §5.7.1.2): the shared secret is x alone."""

from __future__ import annotations

from typing import ClassVar, Final, Self

from cryptography.hazmat.primitives.asymmetric import ec

from parlour.errors import Code, UsageError
from parlour.primitives.agreement.keys import AgreementPrivateKey, AgreementPublicKey
from parlour.primitives.random import Random, system_random
from parlour.primitives.weierstrass import P256, P384, P521, Curve

P256_SCALAR_SIZE: Final = P256.scalar_size
P256_POINT_SIZE: Final = P256.point_size

_ECDH: Final = ec.ECDH()


class _PublicKey(AgreementPublicKey):
    __slots__ = ()

    CURVE: ClassVar[Curve]
    _key: ec.EllipticCurvePublicKey

    def __init__(self, data: bytes) -> None:
        self._key = self.CURVE.decode_point(data)
        self._bytes = bytes(data)


class _PrivateKey(AgreementPrivateKey):
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

    def exchange(self, peer: AgreementPublicKey) -> bytes:
        """The shared secret: the x coordinate, as long as a scalar."""
        try:
            return self._key.exchange(_ECDH, peer._key)
        except (TypeError, ValueError) as error:
            # The peer's point was checked when it was decoded; another curve is all that is left.
            raise UsageError(Code.USAGE_INVALID, f"not a {self.CURVE.name} key") from error


class P256PublicKey(_PublicKey):
    """An uncompressed point of 65 bytes. Equal when the bytes are equal."""

    __slots__ = ()
    CURVE = P256


class P256PrivateKey(_PrivateKey):
    """A scalar of 32 bytes with its public key."""

    __slots__ = ()
    CURVE = P256
    _PUBLIC = P256PublicKey
    public_key: P256PublicKey


class P384PublicKey(_PublicKey):
    """An uncompressed point of 97 bytes. Equal when the bytes are equal."""

    __slots__ = ()
    CURVE = P384


class P384PrivateKey(_PrivateKey):
    """A scalar of 48 bytes with its public key."""

    __slots__ = ()
    CURVE = P384
    _PUBLIC = P384PublicKey
    public_key: P384PublicKey


class P521PublicKey(_PublicKey):
    """An uncompressed point of 133 bytes. Equal when the bytes are equal."""

    __slots__ = ()
    CURVE = P521


class P521PrivateKey(_PrivateKey):
    """A scalar of 66 bytes with its public key."""

    __slots__ = ()
    CURVE = P521
    _PUBLIC = P521PublicKey
    public_key: P521PublicKey
