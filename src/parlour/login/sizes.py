"""The sizes of OPAQUE-3DH over ristretto255 with SHA-512, in bytes.

The library below accepts trailing bytes after some messages; so lengths are checked here, on
both sides, before it sees anything.

Spec: RFC 9807 §5.1 (registration), §6.1 (login), §7.
"""

from __future__ import annotations

from typing import Final

from parlour.errors import Code, DecodeError

RECORD_VERSION: Final = 1

REGISTRATION_REQUEST_SIZE: Final = 32
REGISTRATION_RESPONSE_SIZE: Final = 64
REGISTRATION_UPLOAD_SIZE: Final = 192
RECORD_SIZE: Final = 1 + REGISTRATION_UPLOAD_SIZE
KE1_SIZE: Final = 96
KE2_SIZE: Final = 320
KE3_SIZE: Final = 64


def check_size(data: bytes, size: int) -> bytes:
    """Return `data` if it has exactly `size` bytes, else raise `DecodeError`."""
    if len(data) < size:
        raise DecodeError(Code.DECODE_TRUNCATED, f"{len(data)} bytes, expected {size}")
    if len(data) > size:
        raise DecodeError(Code.DECODE_TRAILING, f"{len(data)} bytes, expected {size}")
    return bytes(data)
