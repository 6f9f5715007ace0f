"""AES-GCM (NIST SP 800-38D) with 96-bit nonces and 128-bit tags."""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from parlour.errors import AuthenticationError, Code, UsageError

NONCE_SIZE: Final = 12
TAG_SIZE: Final = 16
AES_128_KEY_SIZE: Final = 16
AES_256_KEY_SIZE: Final = 32


class AesGcm:
    """One AES-GCM key of 16 or 32 bytes. Whoever uses it answers for fresh nonces."""

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        if len(key) not in (AES_128_KEY_SIZE, AES_256_KEY_SIZE):
            raise UsageError(Code.USAGE_INVALID, "an AES key has 16 or 32 bytes")
        self._cipher = AESGCM(key)

    def seal(self, nonce: bytes, plaintext: bytes, associated_data: bytes = b"") -> bytes:
        """Encrypt: the ciphertext with the 16-byte tag at its end."""
        if len(nonce) != NONCE_SIZE:
            raise UsageError(Code.USAGE_INVALID, "a nonce has 12 bytes")
        return self._cipher.encrypt(nonce, plaintext, associated_data)

    def open(self, nonce: bytes, ciphertext: bytes, associated_data: bytes = b"") -> bytes:
        """Decrypt, or raise `AuthenticationError` without a hint why."""
        if len(nonce) != NONCE_SIZE:
            raise UsageError(Code.USAGE_INVALID, "a nonce has 12 bytes")
        try:
            return self._cipher.decrypt(nonce, ciphertext, associated_data)
        except InvalidTag:
            raise AuthenticationError(Code.CRYPTO_TAG) from None

    def __repr__(self) -> str:
        return "AesGcm([secret])"


def seal(key: bytes, nonce: bytes, plaintext: bytes, associated_data: bytes = b"") -> bytes:
    """Encrypt once under a key that is used for nothing else."""
    return AesGcm(key).seal(nonce, plaintext, associated_data)


def open_(key: bytes, nonce: bytes, ciphertext: bytes, associated_data: bytes = b"") -> bytes:
    """Decrypt what `seal` made, or raise `AuthenticationError`."""
    return AesGcm(key).open(nonce, ciphertext, associated_data)
