"""Pictures without what cameras write beside them: places, times, serial numbers, a second picture.

What is seen is kept as it is; nothing is decoded, so nothing is lost and nothing can be exploited.
A file that does not have the shape of a picture is refused.

Spec: ITU-T T.81 annex B (JPEG), W3C PNG §5 and §11.
"""

from __future__ import annotations

import struct
from typing import Final

from parlour.errors import Code, UsageError

_JPEG: Final = b"\xff\xd8"
_MARKER: Final = 0xFF
_PNG: Final = b"\x89PNG\r\n\x1a\n"
# JFIF's density, a profile of colours, and Adobe's kind of colours change what is seen.
_JFIF, _ICC, _ADOBE = 0xE0, 0xE2, 0xEE
_ICC_NAME: Final = b"ICC_PROFILE\0"
_APPLICATION: Final = range(0xE0, 0xF0)
_COMMENT, _SCAN, _END = 0xFE, 0xDA, 0xD9
_RESTARTS: Final = range(0xD0, 0xD8)
# Of PNG, what changes what is seen; the last three move the picture.
_PNG_KEPT: Final = frozenset(
    b"IHDR PLTE IDAT IEND tRNS cHRM gAMA iCCP sBIT sRGB cICP mDCV cLLI bKGD pHYs "
    b"acTL fcTL fdAT".split()
)


def without_metadata(data: bytes) -> bytes:
    """A JPEG or PNG file with nothing in it but the picture; raises `USAGE_INVALID`."""
    if data.startswith(_JPEG):
        return _jpeg(data)
    if data.startswith(_PNG):
        return _png(data)
    raise UsageError(Code.USAGE_INVALID, "a picture is a JPEG or PNG file")


def _jpeg(data: bytes) -> bytes:
    kept, at = [_JPEG], len(_JPEG)
    while True:
        if at + 4 > len(data) or data[at] != _MARKER:
            raise _damaged()
        marker = data[at + 1]
        if marker == _MARKER:  # any number of these may stand before a marker
            at += 1
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        if end > len(data) or end < at + 4:
            raise _damaged()
        if marker == _SCAN:
            end = _end_of_scan(data, end)
        if _is_seen(marker, data[at + 4 : end]):
            kept.append(data[at:end])
        at = end
        if data[at : at + 2] == bytes((_MARKER, _END)):
            # What follows the end is another picture, a film, or anything.
            return b"".join([*kept, bytes((_MARKER, _END))])


def _end_of_scan(data: bytes, at: int) -> int:
    """Where the coded picture ends: at the next marker that is not a part of it."""
    while (at := data.find(b"\xff", at)) >= 0 and at + 1 < len(data):
        if data[at + 1] != 0 and data[at + 1] not in _RESTARTS:
            return at
        at += 2
    raise _damaged()


def _is_seen(marker: int, content: bytes) -> bool:
    if marker == _ICC:
        return content.startswith(_ICC_NAME)
    return marker in (_JFIF, _ADOBE) or marker not in (*_APPLICATION, _COMMENT)


def _png(data: bytes) -> bytes:
    kept, at = [_PNG], len(_PNG)
    while True:
        if at + 12 > len(data):
            raise _damaged()
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            raise _damaged()
        if kind in _PNG_KEPT:
            kept.append(data[at:end])
        if kind == b"IEND":
            return b"".join(kept)
        at = end


def _damaged() -> UsageError:
    return UsageError(Code.USAGE_INVALID, "the picture is damaged")
