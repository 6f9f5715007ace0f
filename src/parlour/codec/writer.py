"""Write structures of the TLS presentation language.

Spec: RFC 8446 §3, RFC 9420 §2.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Self, TypeVar

from parlour.codec.varint import ONE_BYTE_LENGTHS, encode_varint
from parlour.errors import Code, UsageError

T = TypeVar("T")


def encode_opaque(value: bytes) -> bytes:
    """`opaque name<V>` alone: a length and that many bytes. For hot paths, past a `Writer`."""
    length = len(value)
    if length < len(ONE_BYTE_LENGTHS):
        return ONE_BYTE_LENGTHS[length] + value
    return encode_varint(length) + value


def opaque_parts(*parts: bytes) -> tuple[bytes, ...]:
    """The pieces of one `opaque name<V>` that consists of `parts`.

    A long value is copied when all pieces of a message are joined, and not at each level of it.
    """
    return (encode_varint(sum(map(len, parts))), *parts)


class Writer:
    """Collect fields in order; every method returns the writer, so a struct reads as a chain."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def _uint(self, value: int, size: int) -> Self:
        try:
            self._parts.append(value.to_bytes(size))
        except OverflowError as error:
            raise UsageError(Code.USAGE_INVALID, f"not a uint{8 * size}") from error
        return self

    def uint8(self, value: int) -> Self:
        """One byte."""
        return self._uint(value, 1)

    def uint16(self, value: int) -> Self:
        """Two bytes, big-endian."""
        return self._uint(value, 2)

    def uint32(self, value: int) -> Self:
        """Four bytes, big-endian."""
        return self._uint(value, 4)

    def uint64(self, value: int) -> Self:
        """Eight bytes, big-endian."""
        return self._uint(value, 8)

    def fixed(self, value: bytes, size: int) -> Self:
        """`opaque name[size]`: exactly `size` bytes without a length."""
        if len(value) != size:
            raise UsageError(Code.USAGE_INVALID, f"expected {size} bytes, got {len(value)}")
        self._parts.append(bytes(value))
        return self

    def opaque(self, value: bytes) -> Self:
        """`opaque name<V>`: a length and that many bytes."""
        self._parts.append(encode_varint(len(value)))
        self._parts.append(bytes(value))
        return self

    def vector(self, items: Iterable[T], write: Callable[[Writer, T], object]) -> Self:
        """`T name<V>`: the length in bytes and the items, each written by `write`."""
        inner = Writer()
        for item in items:
            write(inner, item)
        return self.opaque(inner.data())

    def optional(self, value: T | None, write: Callable[[Writer, T], object]) -> Self:
        """`optional<T>`: a presence byte, then the value if there is one (RFC 9420 §2.1.1)."""
        self.uint8(0 if value is None else 1)
        if value is not None:
            write(self, value)
        return self

    def data(self) -> bytes:
        """Everything written so far."""
        return b"".join(self._parts)
