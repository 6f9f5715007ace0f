"""Vector lengths of RFC 9420 §2.1.2."""

import pytest

from parlour.codec.varint import MAX_LENGTH, decode_varint, encode_varint
from parlour.errors import Code, DecodeError, UsageError


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, "00"),
        (37, "25"),  # RFC 9000 §A.1
        (63, "3f"),
        (64, "4040"),
        (15293, "7bbd"),  # RFC 9000 §A.1
        (16383, "7fff"),
        (16384, "80004000"),
        (494878333, "9d7f3e7d"),  # RFC 9000 §A.1
        (MAX_LENGTH, "bfffffff"),
    ],
)
def test_both_ways(value: int, encoded: str) -> None:
    data = bytes.fromhex(encoded)
    assert encode_varint(value) == data
    assert decode_varint(data, 0) == (value, len(data))
    assert decode_varint(b"??" + data + b"!", 2) == (value, 2 + len(data))


@pytest.mark.parametrize("value", [-1, MAX_LENGTH + 1])
def test_lengths_out_of_range_are_the_callers_mistake(value: int) -> None:
    with pytest.raises(UsageError):
        encode_varint(value)


@pytest.mark.parametrize(
    ("encoded", "code"),
    [
        ("", Code.DECODE_TRUNCATED),
        ("40", Code.DECODE_TRUNCATED),
        ("800040", Code.DECODE_TRUNCATED),
        ("4025", Code.DECODE_MALFORMED),  # 37 in two bytes
        ("403f", Code.DECODE_MALFORMED),  # 63 in two bytes
        ("80003fff", Code.DECODE_MALFORMED),  # 16383 in four bytes
        ("80000000", Code.DECODE_MALFORMED),
        ("c2197c5eff14e88c", Code.DECODE_MALFORMED),  # the 8-byte form
        ("ff", Code.DECODE_MALFORMED),
    ],
)
def test_what_is_refused(encoded: str, code: Code) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_varint(bytes.fromhex(encoded), 0)
    assert caught.value.code == code
