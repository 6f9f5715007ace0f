"""Ed25519 and Ed448 (RFC 8032), both without a context and not pre-hashed."""

from __future__ import annotations

from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519

from parlour.errors import AuthenticationError, Code
from parlour.primitives.random import Random, system_random
from parlour.primitives.signature.keys import SignaturePrivateKey, SignaturePublicKey

ED25519_KEY_SIZE: Final = 32
ED25519_SIGNATURE_SIZE: Final = 64
ED448_KEY_SIZE: Final = 57
ED448_SIGNATURE_SIZE: Final = 114

# The 14 spellings of the eight points of small order. A signature under one of them says nothing:
# whoever has such a key can show one signature as made over two messages.
_SMALL_ORDER: Final = frozenset(
    bytes.fromhex(middle.format(first) + last)
    for middle, firsts, lasts in (
        ("{}" + 30 * "00", ("00", "01"), ("00", "80")),
        ("{}" + 30 * "ff", ("ec", "ed", "ee"), ("7f", "ff")),
        (
            "{}e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc",
            ("26",),
            ("05", "85"),
        ),
        (
            "{}176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03",
            ("c7",),
            ("7a", "fa"),
        ),
    )
    for first in firsts
    for last in lasts
)


class Ed25519PublicKey(SignaturePublicKey):
    """A public key of 32 bytes (RFC 8032 §5.1.5). Equal when the bytes are equal."""

    __slots__ = ()

    _key: ed25519.Ed25519PublicKey

    def __init__(self, data: bytes) -> None:
        self._bytes = bytes(data)
        if self._bytes in _SMALL_ORDER:
            raise AuthenticationError(Code.CRYPTO_KEY, "an Ed25519 key of small order")
        try:
            self._key = ed25519.Ed25519PublicKey.from_public_bytes(data)
        except ValueError as error:
            raise AuthenticationError(Code.CRYPTO_KEY, "an Ed25519 key has 32 bytes") from error

    def verify(self, signature: bytes, message: bytes) -> None:
        """Return if `signature` (64 bytes) is this key's over `message`, else raise."""
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            raise AuthenticationError(Code.CRYPTO_SIGNATURE) from None


class Ed25519PrivateKey(SignaturePrivateKey):
    """A private key, kept as its 32-byte seed, with its public key."""

    __slots__ = ()

    _key: ed25519.Ed25519PrivateKey
    public_key: Ed25519PublicKey

    def __init__(self, seed: bytes) -> None:
        try:
            self._key = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
        except ValueError as error:
            raise AuthenticationError(Code.CRYPTO_KEY, "an Ed25519 seed has 32 bytes") from error
        self._bytes = bytes(seed)
        public_key = self._key.public_key()
        self.public_key = Ed25519PublicKey._from_library(public_key, public_key.public_bytes_raw())

    @classmethod
    def generate(cls, random: Random = system_random) -> Self:
        """Make a fresh key pair."""
        return cls(random(ED25519_KEY_SIZE))

    def sign(self, message: bytes) -> bytes:
        """Sign: 64 bytes."""
        return self._key.sign(message)


class Ed448PublicKey(SignaturePublicKey):
    """A public key of 57 bytes (RFC 8032 §5.2.5). Equal when the bytes are equal."""

    __slots__ = ()

    _key: ed448.Ed448PublicKey

    def __init__(self, data: bytes) -> None:
        try:
            self._key = ed448.Ed448PublicKey.from_public_bytes(data)
        except ValueError as error:
            raise AuthenticationError(Code.CRYPTO_KEY, "an Ed448 key has 57 bytes") from error
        self._bytes = bytes(data)

    def verify(self, signature: bytes, message: bytes) -> None:
        """Return if `signature` (114 bytes) is this key's over `message`, else raise."""
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            raise AuthenticationError(Code.CRYPTO_SIGNATURE) from None


class Ed448PrivateKey(SignaturePrivateKey):
    """A private key, kept as its 57-byte seed, with its public key."""

    __slots__ = ()

    _key: ed448.Ed448PrivateKey
    public_key: Ed448PublicKey

    def __init__(self, seed: bytes) -> None:
        try:
            self._key = ed448.Ed448PrivateKey.from_private_bytes(seed)
        except ValueError as error:
            raise AuthenticationError(Code.CRYPTO_KEY, "an Ed448 seed has 57 bytes") from error
        self._bytes = bytes(seed)
        public_key = self._key.public_key()
        self.public_key = Ed448PublicKey._from_library(public_key, public_key.public_bytes_raw())

    @classmethod
    def generate(cls, random: Random = system_random) -> Self:
        """Make a fresh key pair."""
        return cls(random(ED448_KEY_SIZE))

    def sign(self, message: bytes) -> bytes:
        """Sign: 114 bytes."""
        return self._key.sign(message)
