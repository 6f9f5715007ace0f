"""What the reader takes, and what it refuses."""

from collections.abc import Callable
from typing import cast

import pytest

from parlour.codec import Reader, decode
from parlour.errors import Code, DecodeError


def refusal(call: Callable[[], object]) -> Code:
    with pytest.raises(DecodeError) as caught:
        call()
    return caught.value.code


def test_integers_are_big_endian_and_in_order() -> None:
    reader = Reader(bytes(range(1, 16)))
    assert reader.uint8() == 0x01
    assert reader.uint16() == 0x0203
    assert reader.uint32() == 0x04050607
    assert reader.uint64() == 0x08090A0B0C0D0E0F
    assert reader.at_end
    reader.finish()


@pytest.mark.parametrize(
    "read",
    [
        Reader.uint8,
        Reader.uint16,
        Reader.uint32,
        Reader.uint64,
        Reader.opaque,
        lambda reader: reader.fixed(1),
        lambda reader: reader.vector(Reader.uint8),
        lambda reader: reader.optional(Reader.uint8),
    ],
)
def test_nothing_is_read_past_the_end(read: Callable[[Reader], object]) -> None:
    assert refusal(lambda: read(Reader(b""))) == Code.DECODE_TRUNCATED


def test_a_truncated_field_is_not_taken() -> None:
    reader = Reader(b"\x01\x02")
    assert refusal(reader.uint32) == Code.DECODE_TRUNCATED
    assert reader.rest() == b"\x01\x02"


def test_fixed_and_rest() -> None:
    reader = Reader(b"abcde")
    assert reader.fixed(2) == b"ab"
    assert reader.fixed(0) == b""
    assert reader.rest() == b"cde"
    assert reader.rest() == b""


def test_opaque() -> None:
    assert Reader(b"\x03abcd").opaque() == b"abc"
    assert Reader(b"\x03abcd").opaque(limit=3) == b"abc"
    assert refusal(lambda: Reader(b"\x03abcd").opaque(limit=2)) == Code.DECODE_OVERSIZED
    assert refusal(lambda: Reader(b"\x03ab").opaque()) == Code.DECODE_TRUNCATED


def test_a_length_of_a_gigabyte_costs_nothing() -> None:
    assert refusal(lambda: Reader(b"\xbf\xff\xff\xff").opaque()) == Code.DECODE_TRUNCATED


def test_vectors() -> None:
    data = b"\x04\x00\x01\x00\x02"
    assert decode(data, lambda reader: reader.vector(Reader.uint16)) == [1, 2]
    assert decode(data, lambda reader: reader.vector(Reader.uint16, limit=2)) == [1, 2]
    assert decode(b"\x00", lambda reader: reader.vector(Reader.uint16)) == []


def test_vectors_are_bounded_and_whole() -> None:
    data = b"\x04\x00\x01\x00\x02"
    assert refusal(lambda: Reader(data).vector(Reader.uint16, limit=1)) == Code.DECODE_OVERSIZED
    assert refusal(lambda: Reader(data).vector(Reader.uint64)) == Code.DECODE_TRUNCATED
    # An item that takes nothing would loop for ever.
    assert refusal(lambda: Reader(data).vector(lambda _: None)) == Code.DECODE_MALFORMED


def test_optional() -> None:
    def read(reader: Reader) -> int | None:
        return reader.optional(Reader.uint8)

    assert decode(b"\x00", read) is None
    assert decode(b"\x01\x07", read) == 7
    assert refusal(lambda: decode(b"\x02\x07", read)) == Code.DECODE_MALFORMED


def test_trailing_bytes_are_refused() -> None:
    assert decode(b"\x07", Reader.uint8) == 7
    assert refusal(lambda: decode(b"\x07\x00", Reader.uint8)) == Code.DECODE_TRAILING


def test_later_changes_of_a_buffer_do_not_show() -> None:
    buffer = bytearray(b"\x02ab")
    reader = Reader(cast("bytes", buffer))
    buffer[1:] = b"xx"
    assert reader.opaque() == b"ab"


def test_vectors_of_integers_in_one_step() -> None:
    assert Reader(b"\x04\x00\x01\x00\x02").uint16s() == (1, 2)
    assert Reader(b"\x04\x00\x01\x00\x02").uint32s() == (0x00010002,)
    assert Reader(b"\x00").uint16s() == Reader(b"\x00").uint32s() == ()
    assert refusal(Reader(b"\x03abc").uint16s) == Code.DECODE_TRUNCATED
    assert refusal(Reader(b"\x06abcdef").uint32s) == Code.DECODE_TRUNCATED
    assert refusal(lambda: Reader(b"\x04abcd").uint16s(limit=1)) == Code.DECODE_OVERSIZED
    assert refusal(lambda: Reader(b"\x08abcdefgh").uint32s(limit=1)) == Code.DECODE_OVERSIZED


def test_a_structure_as_it_was_spelled() -> None:
    reader = Reader(b"abcdef")
    reader.fixed(1)
    start = reader.offset
    reader.uint16()
    assert reader.since(start) == b"bc"
