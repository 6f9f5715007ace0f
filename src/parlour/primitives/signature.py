"""Signatures: Ed25519 (RFC 8032)."""

from __future__ import annotations

from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519

from parlour.errors import AuthenticationError, Code
from parlour.primitives.random import Random, system_random

ED25519_KEY_SIZE: Final = 32
ED25519_SIGNATURE_SIZE: Final = 64


class Ed25519PublicKey:
    """A public key of 32 bytes. Equal when the bytes are equal."""

    __slots__ = ("_bytes", "_key")

    def __init__(self, data: bytes) -> None:
        try:
            self._key = ed25519.Ed25519PublicKey.from_public_bytes(data)
        except ValueError as error:
            raise AuthenticationError(Code.CRYPTO_KEY, "an Ed25519 key has 32 bytes") from error
        self._bytes = bytes(data)

    def verify(self, signature: bytes, message: bytes) -> None:
        """Return if `signature` (64 bytes) is this key's over `message`, else raise."""
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            raise AuthenticationError(Code.CRYPTO_SIGNATURE) from None

    def to_bytes(self) -> bytes:
        """The 32 bytes of RFC 8032 §5.1.5."""
        return self._bytes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ed25519PublicKey) and self._bytes == other._bytes

    def __hash__(self) -> int:
        return hash(self._bytes)

    def __repr__(self) -> str:
        return f"Ed25519PublicKey({self._bytes.hex()})"


class Ed25519PrivateKey:
    """A private key, kept as its 32-byte seed, with its public key."""

    __slots__ = ("_bytes", "_key", "public_key")

    def __init__(self, seed: bytes) -> None:
        try:
            self._key = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
        except ValueError as error:
            raise AuthenticationError(Code.CRYPTO_KEY, "an Ed25519 seed has 32 bytes") from error
        self._bytes = bytes(seed)
        self.public_key = Ed25519PublicKey(self._key.public_key().public_bytes_raw())

    @classmethod
    def generate(cls, random: Random = system_random) -> Self:
        """Make a fresh key pair."""
        return cls(random(ED25519_KEY_SIZE))

    def sign(self, message: bytes) -> bytes:
        """Sign: 64 bytes."""
        return self._key.sign(message)

    def to_bytes(self) -> bytes:
        """The 32-byte seed, for sealed storage."""
        return self._bytes

    def __repr__(self) -> str:
        return f"Ed25519PrivateKey([secret], public={self.public_key.to_bytes().hex()})"
