"""AES-GCM (NIST SP 800-38D) and ChaCha20-Poly1305 (RFC 8439): 96-bit nonces, 128-bit tags."""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from parlour.errors import AuthenticationError, Code, UsageError

NONCE_SIZE: Final = 12
TAG_SIZE: Final = 16
AES_128_KEY_SIZE: Final = 16
AES_256_KEY_SIZE: Final = 32
CHACHA20_KEY_SIZE: Final = 32
# Lengths are C integers inside the library, and a longer ciphertext would end the process.
MAX_SIZE: Final = (1 << 31) - 1


class Aead:
    """One key of one cipher. Whoever uses it answers for fresh nonces.

    `AesGcm` and `ChaChaPoly` are the ciphers; both take nonces of 12 bytes.
    """

    __slots__ = ("_cipher",)

    _cipher: AESGCM | ChaCha20Poly1305

    def seal(self, nonce: bytes, plaintext: bytes, associated_data: bytes = b"") -> bytes:
        """Encrypt: the ciphertext with the 16-byte tag at its end."""
        if len(nonce) != NONCE_SIZE:
            raise UsageError(Code.USAGE_INVALID, "a nonce has 12 bytes")
        if len(plaintext) + len(associated_data) > MAX_SIZE:
            raise UsageError(Code.USAGE_INVALID, "at most 2^31 - 1 bytes are sealed")
        return self._cipher.encrypt(nonce, plaintext, associated_data)

    def open(self, nonce: bytes, ciphertext: bytes, associated_data: bytes = b"") -> bytes:
        """Decrypt, or raise `AuthenticationError` without a hint why."""
        if len(nonce) != NONCE_SIZE:
            raise UsageError(Code.USAGE_INVALID, "a nonce has 12 bytes")
        if len(ciphertext) + len(associated_data) > MAX_SIZE:
            raise AuthenticationError(Code.CRYPTO_TAG)
        try:
            return self._cipher.decrypt(nonce, ciphertext, associated_data)
        except InvalidTag:
            raise AuthenticationError(Code.CRYPTO_TAG) from None

    def __repr__(self) -> str:
        return f"{type(self).__name__}([secret])"


class AesGcm(Aead):
    """One AES-GCM key of 16 or 32 bytes. Whoever uses it answers for fresh nonces."""

    __slots__ = ()

    def __init__(self, key: bytes) -> None:
        if len(key) not in (AES_128_KEY_SIZE, AES_256_KEY_SIZE):
            raise UsageError(Code.USAGE_INVALID, "an AES key has 16 or 32 bytes")
        self._cipher = AESGCM(key)


class ChaChaPoly(Aead):
    """One ChaCha20-Poly1305 key of 32 bytes. Whoever uses it answers for fresh nonces."""

    __slots__ = ()

    def __init__(self, key: bytes) -> None:
        if len(key) != CHACHA20_KEY_SIZE:
            raise UsageError(Code.USAGE_INVALID, "a ChaCha20 key has 32 bytes")
        self._cipher = ChaCha20Poly1305(key)


def seal(key: bytes, nonce: bytes, plaintext: bytes, associated_data: bytes = b"") -> bytes:
    """Encrypt once by AES-GCM under a key that is used for nothing else."""
    return AesGcm(key).seal(nonce, plaintext, associated_data)


def open_(key: bytes, nonce: bytes, ciphertext: bytes, associated_data: bytes = b"") -> bytes:
    """Decrypt what `seal` made, or raise `AuthenticationError`."""
    return AesGcm(key).open(nonce, ciphertext, associated_data)
