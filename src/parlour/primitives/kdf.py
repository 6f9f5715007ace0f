"""HKDF (RFC 5869) and Argon2id (RFC 9106)."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from parlour.errors import Code, UsageError

_SIZES: Final = {"sha256": 32, "sha384": 48, "sha512": 64}
_MAX_BLOCKS: Final = 255


def hash_size(hash_name: str) -> int:
    """Bytes of the hash `sha256`, `sha384` or `sha512`: the HKDF's `Nh`."""
    try:
        return _SIZES[hash_name]
    except KeyError:
        raise UsageError(Code.USAGE_INVALID, f"no hash {hash_name!r} here") from None


def hkdf_extract(salt: bytes, key_material: bytes, hash_name: str = "sha256") -> bytes:
    """HKDF-Extract: a pseudorandom key of the hash's size. An empty salt counts as zeros."""
    return hmac.digest(salt or bytes(hash_size(hash_name)), key_material, hash_name)


def hkdf_extract_pieces(
    salt: bytes, key_material: Iterable[bytes], hash_name: str = "sha256"
) -> bytes:
    """`hkdf_extract` of long material in pieces, which are not copied into one."""
    state = hmac.new(salt or bytes(hash_size(hash_name)), digestmod=hash_name)
    for piece in key_material:
        state.update(piece)
    return state.digest()


def hkdf_expand(key: bytes, info: bytes, length: int, hash_name: str = "sha256") -> bytes:
    """HKDF-Expand: `length` bytes, at most 255 blocks of the hash."""
    size = hash_size(hash_name)
    if 0 <= length <= size:
        # The common case of one block, in one call.
        return hmac.digest(key, info + b"\x01", hash_name)[:length]
    blocks = -(-length // size)
    if not 0 < blocks <= _MAX_BLOCKS:
        raise UsageError(Code.USAGE_INVALID, "HKDF gives 0 to 255 blocks")
    block = b""
    output = b""
    for counter in range(1, blocks + 1):
        block = hmac.digest(key, block + info + bytes((counter,)), hash_name)
        output += block
    return output[:length]


def hkdf(
    key_material: bytes, *, salt: bytes, info: bytes, length: int, hash_name: str = "sha256"
) -> bytes:
    """HKDF: extract, then expand to `length` bytes."""
    return hkdf_expand(hkdf_extract(salt, key_material, hash_name), info, length, hash_name)


@dataclass(frozen=True, slots=True)
class Argon2Cost:
    """What one derivation costs: memory in KiB, passes over it, parallel lanes."""

    memory_kib: int
    passes: int
    lanes: int = 1


def argon2id(
    password: bytes,
    *,
    salt: bytes,
    cost: Argon2Cost,
    length: int = 32,
    secret: bytes | None = None,
    associated_data: bytes | None = None,
) -> bytes:
    """Argon2id. Slow by design: call it in a worker thread, never on an event loop.

    `secret` (a pepper) and `associated_data` are the inputs K and X of RFC 9106 §3.1.
    """
    try:
        return Argon2id(
            salt=salt,
            length=length,
            iterations=cost.passes,
            lanes=cost.lanes,
            memory_cost=cost.memory_kib,
            ad=associated_data,
            secret=secret,
        ).derive(password)
    except (ValueError, OverflowError, MemoryError, UnsupportedAlgorithm) as error:
        raise UsageError(Code.USAGE_INVALID, "Argon2id refuses these parameters") from error
