"""Names and addresses in what people hand to each other: invites, codes, messages of a linking."""

from __future__ import annotations

from typing import Final

from parlour.codec import Reader
from parlour.errors import Code, DecodeError

_PRINTABLE: Final = range(0x21, 0x7F)


def read_printable(reader: Reader, limit: int) -> str:
    """An ``opaque<V>`` of up to `limit` bytes that is printable ASCII, as text.

    These are shown before anything is proven. A control character would let whoever made them
    write over the terminal's lines, and another alphabet would show a name that is not it.
    Raises `DecodeError`.
    """
    data = reader.opaque(limit)
    if not all(byte in _PRINTABLE for byte in data):
        raise DecodeError(Code.DECODE_MALFORMED, "a name that can't be one")
    return data.decode("ascii")
