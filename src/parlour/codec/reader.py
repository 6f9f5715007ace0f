"""Read structures of the TLS presentation language from untrusted bytes.

Spec: RFC 8446 §3, RFC 9420 §2.1. The reader slices what is there and allocates nothing from a
length that it has not compared with the data.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, TypeVar

from parlour.codec.varint import decode_varint
from parlour.errors import Code, DecodeError

T = TypeVar("T")

# A structure nested in vectors of vectors costs the decoder one frame each; nothing of ours nests
# deeper than this many elements wide, and a caller with a tighter bound passes it.
MAX_ITEMS: Final = 1 << 16
# RFC 9420 §2.1.2: from here on a length has more than one byte.
_LONG: Final = 1 << 6


class Reader:
    """Take fields in order. What does not fit raises `DecodeError`."""

    __slots__ = ("_data", "_offset")

    def __init__(self, data: bytes) -> None:
        self._data = bytes(data)
        self._offset = 0

    def _take(self, size: int) -> bytes:
        end = self._offset + size
        if end > len(self._data):
            raise DecodeError(Code.DECODE_TRUNCATED)
        value = self._data[self._offset : end]
        self._offset = end
        return value

    def uint8(self) -> int:
        """One byte."""
        return self._take(1)[0]

    def uint16(self) -> int:
        """Two bytes, big-endian."""
        return int.from_bytes(self._take(2))

    def uint32(self) -> int:
        """Four bytes, big-endian."""
        return int.from_bytes(self._take(4))

    def uint64(self) -> int:
        """Eight bytes, big-endian."""
        return int.from_bytes(self._take(8))

    def fixed(self, size: int) -> bytes:
        """`opaque name[size]`."""
        return self._take(size)

    def opaque(self, limit: int | None = None) -> bytes:
        """`opaque name<V>` of at most `limit` bytes."""
        data, start = self._data, self._offset
        # Most lengths are of one byte, whose prefix is 0.
        if start < len(data) and data[start] < _LONG:
            length, start = data[start], start + 1
        else:
            length, start = decode_varint(data, start)
        if limit is not None and length > limit:
            raise DecodeError(Code.DECODE_OVERSIZED, f"{length} bytes, at most {limit}")
        end = start + length
        if end > len(data):
            raise DecodeError(Code.DECODE_TRUNCATED)
        self._offset = end
        return data[start:end]

    def vector(self, read: Callable[[Reader], T], limit: int = MAX_ITEMS) -> list[T]:
        """`T name<V>` of at most `limit` items, each read by `read`, which must consume bytes."""
        data = self.opaque()
        items: list[T] = []
        if not data:
            return items
        inner = Reader(data)
        while not inner.at_end:
            if len(items) >= limit:
                raise DecodeError(Code.DECODE_OVERSIZED, f"more than {limit} items")
            before = inner._offset
            items.append(read(inner))
            if inner._offset == before:
                raise DecodeError(Code.DECODE_MALFORMED, "an item of no bytes")
        return items

    def optional(self, read: Callable[[Reader], T]) -> T | None:
        """`optional<T>` (RFC 9420 §2.1.1); a presence byte other than 0 and 1 is malformed."""
        present = self.uint8()
        if present > 1:
            raise DecodeError(Code.DECODE_MALFORMED, "presence byte")
        return read(self) if present else None

    def uint16s(self, limit: int = MAX_ITEMS) -> tuple[int, ...]:
        """`uint16 name<V>` of at most `limit` items, in one step."""
        data = self.opaque(2 * limit)
        if len(data) % 2:
            raise DecodeError(Code.DECODE_TRUNCATED)
        return struct.unpack(f">{len(data) // 2}H", data)

    def uint32s(self, limit: int = MAX_ITEMS) -> tuple[int, ...]:
        """`uint32 name<V>` of at most `limit` items, in one step."""
        data = self.opaque(4 * limit)
        if len(data) % 4:
            raise DecodeError(Code.DECODE_TRUNCATED)
        return struct.unpack(f">{len(data) // 4}I", data)

    @property
    def offset(self) -> int:
        """How many bytes were taken."""
        return self._offset

    def since(self, offset: int) -> bytes:
        """The bytes that were taken from `offset` on: a structure as it was spelled."""
        return self._data[offset : self._offset]

    @property
    def at_end(self) -> bool:
        """Whether every byte was taken."""
        return self._offset == len(self._data)

    def rest(self) -> bytes:
        """All that is left."""
        return self._take(len(self._data) - self._offset)

    def finish(self) -> None:
        """Refuse trailing bytes."""
        if not self.at_end:
            raise DecodeError(Code.DECODE_TRAILING)


def decode(data: bytes, read: Callable[[Reader], T]) -> T:
    """Read one whole structure from `data`: all of it, and nothing after it."""
    reader = Reader(data)
    value = read(reader)
    reader.finish()
    return value
