"""The TLS codec: the first byte chooses a shape, the rest is read as it.

What is read has to be written to the same bytes: a second spelling of a value would give one
structure two hashes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from parlour.codec import Reader, Writer, decode
from parlour.codec.varint import decode_varint, encode_varint

Read = Callable[[Reader], Any]
Write = Callable[[Writer, Any], object]


def _read_struct(reader: Reader) -> tuple[int, bytes, list[int], int | None, bytes]:
    return (
        reader.uint16(),
        reader.opaque(limit=64),
        reader.vector(Reader.uint32, limit=8),
        reader.optional(Reader.uint64),
        reader.fixed(4),
    )


def _write_struct(writer: Writer, value: tuple[int, bytes, list[int], int | None, bytes]) -> None:
    version, name, items, choice, tag = value
    writer.uint16(version).opaque(name).vector(items, Writer.uint32)
    writer.optional(choice, Writer.uint64).fixed(tag, 4)


def _read_varint(reader: Reader) -> int:
    data = reader.rest()
    value, end = decode_varint(data, 0)
    decode(data[end:], lambda _: None)
    return value


def _read_nested(reader: Reader) -> list[list[bytes]]:
    return reader.vector(lambda inner: inner.vector(Reader.opaque, limit=16), limit=16)


def _write_varint(writer: Writer, value: int) -> None:
    data = encode_varint(value)
    writer.fixed(data, len(data))


def _write_nested(writer: Writer, value: list[list[bytes]]) -> None:
    writer.vector(value, lambda inner, items: inner.vector(items, Writer.opaque))


SHAPES: Final[list[tuple[Read, Write]]] = [
    (_read_varint, _write_varint),
    (Reader.opaque, Writer.opaque),
    (_read_nested, _write_nested),
    (_read_struct, _write_struct),
    (
        lambda reader: reader.vector(_read_struct, limit=4),
        lambda writer, value: writer.vector(value, _write_struct),
    ),
]

_STRUCT: Final = (7, b"name", [1, 2, 3], 1 << 40, b"tag!")
_VALUES: Final[list[Any]] = [
    16384,
    b"x" * 70,
    [[b"a", b"bc"], [b"d" * 64]],
    _STRUCT,
    [_STRUCT, (0, b"", [], None, bytes(4))],
]


def _encode(index: int, value: Any) -> bytes:
    writer = Writer()
    SHAPES[index][1](writer, value)
    return writer.data()


SEEDS: Final = [bytes((index,)) + _encode(index, value) for index, value in enumerate(_VALUES)]


def target(data: bytes) -> None:
    if data:
        index = data[0] % len(SHAPES)
        value = decode(data[1:], SHAPES[index][0])
        assert _encode(index, value) == data[1:]
