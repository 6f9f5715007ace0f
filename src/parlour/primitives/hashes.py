"""Hashes, HMAC and comparison in constant time."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

SHA256_SIZE: Final = 32
SHA384_SIZE: Final = 48
SHA512_SIZE: Final = 64


def sha256(data: bytes) -> bytes:
    """SHA-256, 32 bytes."""
    return hashlib.sha256(data).digest()


def sha384(data: bytes) -> bytes:
    """SHA-384, 48 bytes."""
    return hashlib.sha384(data).digest()


def sha512(data: bytes) -> bytes:
    """SHA-512, 64 bytes."""
    return hashlib.sha512(data).digest()


def sha3_256(data: bytes) -> bytes:
    """SHA3-256, 32 bytes."""
    return hashlib.sha3_256(data).digest()


def shake256(data: bytes, length: int) -> bytes:
    """SHAKE256, `length` bytes."""
    return hashlib.shake_256(data).digest(length)


def hmac_sha256(key: bytes, data: bytes) -> bytes:
    """HMAC-SHA256 (RFC 2104), 32 bytes."""
    return hmac.digest(key, data, "sha256")


def hmac_sha384(key: bytes, data: bytes) -> bytes:
    """HMAC-SHA384 (RFC 2104), 48 bytes."""
    return hmac.digest(key, data, "sha384")


def hmac_sha512(key: bytes, data: bytes) -> bytes:
    """HMAC-SHA512 (RFC 2104), 64 bytes."""
    return hmac.digest(key, data, "sha512")


def equal(left: bytes, right: bytes) -> bool:
    """Compare in time that depends on the lengths only."""
    return hmac.compare_digest(left, right)
