"""Round trips of the codec, and that no bytes make it do anything but refuse."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parlour.codec import Reader, Writer, decode
from parlour.codec.varint import MAX_LENGTH, decode_varint, encode_varint
from parlour.errors import Code, DecodeError

Field = tuple[str, Any]

FIELDS = st.one_of(
    st.tuples(st.just("uint8"), st.integers(0, (1 << 8) - 1)),
    st.tuples(st.just("uint16"), st.integers(0, (1 << 16) - 1)),
    st.tuples(st.just("uint32"), st.integers(0, (1 << 32) - 1)),
    st.tuples(st.just("uint64"), st.integers(0, (1 << 64) - 1)),
    st.tuples(st.just("opaque"), st.binary(max_size=200)),
    st.tuples(st.just("vector"), st.lists(st.binary(max_size=20), max_size=20)),
    st.tuples(st.just("optional"), st.none() | st.integers(0, 255)),
)
STRUCTS = st.lists(FIELDS, max_size=8)

WRITE: dict[str, Callable[[Writer, Any], object]] = {
    "uint8": Writer.uint8,
    "uint16": Writer.uint16,
    "uint32": Writer.uint32,
    "uint64": Writer.uint64,
    "opaque": Writer.opaque,
    "vector": lambda writer, value: writer.vector(value, Writer.opaque),
    "optional": lambda writer, value: writer.optional(value, Writer.uint8),
}
READ: dict[str, Callable[[Reader], Any]] = {
    "uint8": Reader.uint8,
    "uint16": Reader.uint16,
    "uint32": Reader.uint32,
    "uint64": Reader.uint64,
    "opaque": Reader.opaque,
    "vector": lambda reader: reader.vector(Reader.opaque),
    "optional": lambda reader: reader.optional(Reader.uint8),
}


def encode(fields: list[Field]) -> bytes:
    writer = Writer()
    for kind, value in fields:
        WRITE[kind](writer, value)
    return writer.data()


def reader_of(kinds: list[str]) -> Callable[[Reader], list[Field]]:
    return lambda reader: [(kind, READ[kind](reader)) for kind in kinds]


@given(st.integers(0, MAX_LENGTH))
def test_varints_come_back(value: int) -> None:
    data = encode_varint(value)
    assert decode_varint(data, 0) == (value, len(data))


@given(st.binary(min_size=1, max_size=5))
def test_each_length_has_one_spelling(data: bytes) -> None:
    try:
        value, end = decode_varint(data, 0)
    except DecodeError:
        return
    assert encode_varint(value) == data[:end]


@given(STRUCTS)
def test_structs_come_back(fields: list[Field]) -> None:
    assert decode(encode(fields), reader_of([kind for kind, _ in fields])) == fields


@given(STRUCTS, st.binary(min_size=1, max_size=4))
def test_trailing_bytes_are_refused(fields: list[Field], extra: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(encode(fields) + extra, reader_of([kind for kind, _ in fields]))
    assert caught.value.code == Code.DECODE_TRAILING


@given(STRUCTS.filter(bool), st.data())
def test_truncated_structs_are_refused(fields: list[Field], data: st.DataObject) -> None:
    encoded = encode(fields)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(DecodeError) as caught:
        decode(encoded[:cut], reader_of([kind for kind, _ in fields]))
    assert caught.value.code == Code.DECODE_TRUNCATED


@given(st.binary(max_size=64), st.lists(st.sampled_from(sorted(READ)), max_size=8))
def test_any_bytes_give_a_value_with_that_encoding_or_a_refusal(
    data: bytes, kinds: list[str]
) -> None:
    try:
        fields = decode(data, reader_of(kinds))
    except DecodeError:
        return
    assert encode(fields) == data
