"""X25519 and X448 (RFC 7748)."""

from __future__ import annotations

from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric import x448, x25519

from parlour.errors import AuthenticationError, Code, UsageError
from parlour.primitives.agreement.keys import AgreementPrivateKey, AgreementPublicKey
from parlour.primitives.random import Random, system_random

X25519_SIZE: Final = 32
X448_SIZE: Final = 56

# The u-coordinates of every point whose order divides the cofactor, of the curve (8 and 4) and of
# its twist (4 and 4). With any private key they give the secret zero (RFC 7748 §6), so nobody could
# encrypt to such a key; it is refused when it is read, as RFC 9180 §7.1.4 demands.
_P25519: Final = 2**255 - 19
_P448: Final = 2**448 - 2**224 - 1
_SMALL_25519: Final = frozenset(
    (
        0,
        1,
        _P25519 - 1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    )
)
_SMALL_448: Final = frozenset((0, 1, _P448 - 1))
# §5: the highest bit of an X25519 key is masked, and numbers from p upwards are taken modulo p.
_MASK_25519: Final = 2**255 - 1


def _refuse_small_order(u: int, prime: int, small: frozenset[int]) -> None:
    if u % prime in small:
        raise AuthenticationError(Code.CRYPTO_KEY, "a low-order point")


class X25519PublicKey(AgreementPublicKey):
    """A public key of 32 bytes (RFC 7748 §5), not of low order. Equal when the bytes are equal."""

    __slots__ = ()

    _key: x25519.X25519PublicKey

    def __init__(self, data: bytes) -> None:
        try:
            self._key = x25519.X25519PublicKey.from_public_bytes(data)
        except ValueError as error:
            raise AuthenticationError(Code.CRYPTO_KEY, "an X25519 key has 32 bytes") from error
        _refuse_small_order(int.from_bytes(data, "little") & _MASK_25519, _P25519, _SMALL_25519)
        self._bytes = bytes(data)


class X25519PrivateKey(AgreementPrivateKey):
    """A private key of 32 bytes with its public key."""

    __slots__ = ()

    _key: x25519.X25519PrivateKey
    public_key: X25519PublicKey

    def __init__(self, data: bytes) -> None:
        try:
            self._key = x25519.X25519PrivateKey.from_private_bytes(data)
        except ValueError as error:
            raise AuthenticationError(Code.CRYPTO_KEY, "an X25519 key has 32 bytes") from error
        self._bytes = bytes(data)
        public_key = self._key.public_key()
        self.public_key = X25519PublicKey._from_library(public_key, public_key.public_bytes_raw())

    @classmethod
    def generate(cls, random: Random = system_random) -> Self:
        """Make a fresh key pair."""
        return cls(random(X25519_SIZE))

    def exchange(self, peer: AgreementPublicKey) -> bytes:
        """The shared secret of 32 bytes; an all-zero one is refused once more."""
        try:
            return self._key.exchange(peer._key)
        except ValueError as error:
            raise AuthenticationError(Code.CRYPTO_KEY, "a low-order point") from error
        except TypeError as error:
            raise UsageError(Code.USAGE_INVALID, "not an X25519 key") from error


class X448PublicKey(AgreementPublicKey):
    """A public key of 56 bytes (RFC 7748 §5), not of low order. Equal when the bytes are equal."""

    __slots__ = ()

    _key: x448.X448PublicKey

    def __init__(self, data: bytes) -> None:
        try:
            self._key = x448.X448PublicKey.from_public_bytes(data)
        except ValueError as error:
            raise AuthenticationError(Code.CRYPTO_KEY, "an X448 key has 56 bytes") from error
        _refuse_small_order(int.from_bytes(data, "little"), _P448, _SMALL_448)
        self._bytes = bytes(data)


class X448PrivateKey(AgreementPrivateKey):
    """A private key of 56 bytes with its public key."""

    __slots__ = ()

    _key: x448.X448PrivateKey
    public_key: X448PublicKey

    def __init__(self, data: bytes) -> None:
        try:
            self._key = x448.X448PrivateKey.from_private_bytes(data)
        except ValueError as error:
            raise AuthenticationError(Code.CRYPTO_KEY, "an X448 key has 56 bytes") from error
        self._bytes = bytes(data)
        public_key = self._key.public_key()
        self.public_key = X448PublicKey._from_library(public_key, public_key.public_bytes_raw())

    @classmethod
    def generate(cls, random: Random = system_random) -> Self:
        """Make a fresh key pair."""
        return cls(random(X448_SIZE))

    def exchange(self, peer: AgreementPublicKey) -> bytes:
        """The shared secret of 56 bytes; an all-zero one is refused once more."""
        try:
            return self._key.exchange(peer._key)
        except ValueError as error:
            raise AuthenticationError(Code.CRYPTO_KEY, "a low-order point") from error
        except TypeError as error:
            raise UsageError(Code.USAGE_INVALID, "not an X448 key") from error
