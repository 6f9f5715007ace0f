"""Hashes, HMAC and comparison in constant time."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

SHA256_SIZE: Final = 32
SHA512_SIZE: Final = 64


def sha256(data: bytes) -> bytes:
    """SHA-256, 32 bytes."""
    return hashlib.sha256(data).digest()


def sha512(data: bytes) -> bytes:
    """SHA-512, 64 bytes."""
    return hashlib.sha512(data).digest()


def sha3_256(data: bytes) -> bytes:
    """SHA3-256, 32 bytes."""
    return hashlib.sha3_256(data).digest()


def hmac_sha256(key: bytes, data: bytes) -> bytes:
    """HMAC-SHA256 (RFC 2104), 32 bytes."""
    return hmac.digest(key, data, "sha256")


def equal(left: bytes, right: bytes) -> bool:
    """Compare in time that depends on the lengths only."""
    return hmac.compare_digest(left, right)
