"""Variable-size vector length headers.

Spec: RFC 9420 §2.1.2 (the QUIC encoding of RFC 9000 §16 without its 8-byte form, and only the
shortest encoding of each value is legal).
"""

from __future__ import annotations

from typing import Final

from parlour.errors import Code, DecodeError, UsageError

# RFC 9420 §2.1.2: prefix 3 (the 8-byte form) is invalid, so 30 bits are the most.
MAX_LENGTH: Final = (1 << 30) - 1
_ONE_BYTE: Final = 1 << 6
# Most lengths are one of these.
ONE_BYTE_LENGTHS: Final = tuple(bytes((length,)) for length in range(_ONE_BYTE))
_TWO_BYTES: Final = 1 << 14
_INVALID_PREFIX: Final = 3


def encode_varint(value: int) -> bytes:
    """Encode a length of 0 to 2^30 - 1 in 1, 2 or 4 bytes."""
    if 0 <= value < _ONE_BYTE:
        return ONE_BYTE_LENGTHS[value]
    if _ONE_BYTE <= value < _TWO_BYTES:
        return (value | 0x4000).to_bytes(2)
    if _TWO_BYTES <= value <= MAX_LENGTH:
        return (value | 0x8000_0000).to_bytes(4)
    raise UsageError(Code.USAGE_INVALID, "a vector is longer than 2^30 - 1 bytes")


def decode_varint(data: bytes, offset: int) -> tuple[int, int]:
    """Decode a length at `offset`; return it and the offset after it."""
    if offset >= len(data):
        raise DecodeError(Code.DECODE_TRUNCATED, "vector length")
    prefix = data[offset] >> 6
    if prefix == 0:
        return data[offset], offset + 1
    if prefix == _INVALID_PREFIX:
        raise DecodeError(Code.DECODE_MALFORMED, "vector length prefix 3")
    size = 1 << prefix
    end = offset + size
    if end > len(data):
        raise DecodeError(Code.DECODE_TRUNCATED, "vector length")
    value = int.from_bytes(data[offset:end]) & ((1 << (8 * size - 2)) - 1)
    # "the minimum number of bits necessary": a second spelling of a value would give one structure
    # two hashes.
    if value < (_ONE_BYTE if prefix == 1 else _TWO_BYTES):
        raise DecodeError(Code.DECODE_MALFORMED, "vector length is not minimal")
    return value, end
