"""X25519 and X448 (RFC 7748)."""

from __future__ import annotations

from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric import x448, x25519

from parlour.errors import AuthenticationError, Code, UsageError
from parlour.primitives.agreement.keys import AgreementPrivateKey, AgreementPublicKey
from parlour.primitives.random import Random, system_random

X25519_SIZE: Final = 32
X448_SIZE: Final = 56


class X25519PublicKey(AgreementPublicKey):
    """A public key of 32 bytes (RFC 7748 §5). Equal when the bytes are equal."""

    __slots__ = ()

    _key: x25519.X25519PublicKey

    def __init__(self, data: bytes) -> None:
        try:
            self._key = x25519.X25519PublicKey.from_public_bytes(data)
        except ValueError as error:
            raise AuthenticationError(Code.CRYPTO_KEY, "an X25519 key has 32 bytes") from error
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
        """The shared secret of 32 bytes; an all-zero one (a low-order point) is refused."""
        try:
            return self._key.exchange(peer._key)
        except ValueError as error:
            raise AuthenticationError(Code.CRYPTO_KEY, "a low-order point") from error
        except TypeError as error:
            raise UsageError(Code.USAGE_INVALID, "not an X25519 key") from error


class X448PublicKey(AgreementPublicKey):
    """A public key of 56 bytes (RFC 7748 §5). Equal when the bytes are equal."""

    __slots__ = ()

    _key: x448.X448PublicKey

    def __init__(self, data: bytes) -> None:
        try:
            self._key = x448.X448PublicKey.from_public_bytes(data)
        except ValueError as error:
            raise AuthenticationError(Code.CRYPTO_KEY, "an X448 key has 56 bytes") from error
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
        """The shared secret of 56 bytes; an all-zero one (a low-order point) is refused."""
        try:
            return self._key.exchange(peer._key)
        except ValueError as error:
            raise AuthenticationError(Code.CRYPTO_KEY, "a low-order point") from error
        except TypeError as error:
            raise UsageError(Code.USAGE_INVALID, "not an X448 key") from error
