"""What the writer writes, and what it refuses."""

from collections.abc import Callable
from typing import cast

import pytest

from parlour.codec import Writer, encode_opaque
from parlour.errors import UsageError


def test_a_struct_reads_as_a_chain() -> None:
    data = (
        Writer()
        .uint8(1)
        .uint16(2)
        .uint32(3)
        .uint64(4)
        .fixed(b"ab", 2)
        .opaque(b"cde")
        .vector([5, 6], Writer.uint16)
        .optional(None, Writer.uint8)
        .optional(7, Writer.uint8)
        .data()
    )
    assert data.hex() == (
        "01" "0002" "00000003" "0000000000000004" "6162" "03636465" "0400050006" "00" "0107"
    )  # fmt: skip


def test_nothing_is_nothing() -> None:
    assert Writer().data() == b""
    assert Writer().vector([], Writer.uint8).data() == b"\x00"


@pytest.mark.parametrize(
    "write",
    [
        lambda writer: writer.uint8(256),
        lambda writer: writer.uint16(1 << 16),
        lambda writer: writer.uint32(1 << 32),
        lambda writer: writer.uint64(1 << 64),
        lambda writer: writer.uint8(-1),
        lambda writer: writer.fixed(b"abc", 2),
    ],
)
def test_what_does_not_fit_is_the_callers_mistake(write: Callable[[Writer], object]) -> None:
    writer = Writer()
    with pytest.raises(UsageError):
        write(writer)
    assert writer.data() == b""


def test_later_changes_of_a_buffer_do_not_show() -> None:
    buffer = bytearray(b"ab")
    view = cast("bytes", buffer)
    writer = Writer().fixed(view, 2).opaque(view)
    buffer[:] = b"xx"
    assert writer.data() == b"ab\x02ab"


def test_one_opaque_field_alone() -> None:
    assert encode_opaque(b"abc") == Writer().opaque(b"abc").data()
