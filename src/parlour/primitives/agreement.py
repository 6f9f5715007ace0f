"""Diffie-Hellman: X25519 (RFC 7748)."""

from __future__ import annotations

from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric import x25519

from parlour.errors import AuthenticationError, Code
from parlour.primitives.random import Random, system_random

X25519_SIZE: Final = 32


class X25519PublicKey:
    """A public key of 32 bytes. Equal when the bytes are equal."""

    __slots__ = ("_bytes", "_key")

    def __init__(self, data: bytes) -> None:
        try:
            self._key = x25519.X25519PublicKey.from_public_bytes(data)
        except ValueError as error:
            raise AuthenticationError(Code.CRYPTO_KEY, "an X25519 key has 32 bytes") from error
        self._bytes = bytes(data)

    def to_bytes(self) -> bytes:
        """The 32 bytes of RFC 7748 §5."""
        return self._bytes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, X25519PublicKey) and self._bytes == other._bytes

    def __hash__(self) -> int:
        return hash(self._bytes)

    def __repr__(self) -> str:
        return f"X25519PublicKey({self._bytes.hex()})"


class X25519PrivateKey:
    """A private key of 32 bytes with its public key."""

    __slots__ = ("_bytes", "_key", "public_key")

    def __init__(self, data: bytes) -> None:
        try:
            self._key = x25519.X25519PrivateKey.from_private_bytes(data)
        except ValueError as error:
            raise AuthenticationError(Code.CRYPTO_KEY, "an X25519 key has 32 bytes") from error
        self._bytes = bytes(data)
        self.public_key = X25519PublicKey(self._key.public_key().public_bytes_raw())

    @classmethod
    def generate(cls, random: Random = system_random) -> Self:
        """Make a fresh key pair."""
        return cls(random(X25519_SIZE))

    def exchange(self, peer: X25519PublicKey) -> bytes:
        """The shared secret of 32 bytes; an all-zero one (a low-order point) is refused."""
        try:
            return self._key.exchange(peer._key)
        except ValueError as error:
            raise AuthenticationError(Code.CRYPTO_KEY, "a low-order point") from error

    def to_bytes(self) -> bytes:
        """The 32 private bytes, for sealed storage."""
        return self._bytes

    def __repr__(self) -> str:
        return f"X25519PrivateKey([secret], public={self.public_key.to_bytes().hex()})"
