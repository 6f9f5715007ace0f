"""What is left of a picture: what is seen, and nothing that a camera wrote beside it."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parlour.client.pictures import without_metadata
from parlour.errors import Code, UsageError

SECRET = b"51.4778N 0.0015W"


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


JFIF = segment(0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0")
COLOURS = segment(0xE2, b"ICC_PROFILE\0" + b"p" * 40)
ADOBE = segment(0xEE, b"Adobe\0d\0\0\0\0\x01")
TABLE = segment(0xDB, b"\0" * 65)
# Coded data with a stuffed byte and a restart, then a second scan, as progressive pictures have.
SCAN = segment(0xDA, b"\x01\x01\0\0\x3f\0") + b"\x12\xff\x00\x34\xff\xd0\x56"
END = b"\xff\xd9"
CLEAN_JPEG = b"\xff\xd8" + JFIF + COLOURS + ADOBE + TABLE + SCAN + TABLE + SCAN + END

PNG = b"\x89PNG\r\n\x1a\n"
HEAD = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
DATA = chunk(b"IDAT", zlib.compress(b"\0\xff\0\0"))
CLEAN_PNG = PNG + HEAD + chunk(b"gAMA", b"\0\0\xb1\x8f") + DATA + chunk(b"IEND", b"")


def test_of_a_photograph_the_picture_is_left() -> None:
    taken = (
        b"\xff\xd8"
        + JFIF
        + segment(0xE1, b"Exif\0\0" + SECRET)
        + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + SECRET)
        + COLOURS
        + segment(0xE2, b"MPF\0" + SECRET)
        + segment(0xED, b"Photoshop 3.0\0" + SECRET)
        + b"\xff\xff"  # filling before a marker
        + ADOBE
        + segment(0xFE, SECRET)
        + TABLE
        + SCAN
        + TABLE
        + SCAN
        + END
        + CLEAN_JPEG
        + SECRET
    )
    assert without_metadata(taken) == CLEAN_JPEG
    assert without_metadata(CLEAN_JPEG) == CLEAN_JPEG


def test_of_a_png_file_the_picture_is_left() -> None:
    written = (
        PNG
        + HEAD
        + chunk(b"eXIf", SECRET)
        + chunk(b"gAMA", b"\0\0\xb1\x8f")
        + chunk(b"tEXt", b"Comment\0" + SECRET)
        + chunk(b"iTXt", SECRET)
        + chunk(b"zTXt", SECRET)
        + chunk(b"tIME", b"\x07\xea\x0b\x15\0\0\0")
        + chunk(b"prVt", SECRET)
        + DATA
        + chunk(b"IEND", b"")
        + SECRET
    )
    assert without_metadata(written) == CLEAN_PNG
    assert without_metadata(CLEAN_PNG) == CLEAN_PNG


@pytest.mark.parametrize("whole", [CLEAN_JPEG, CLEAN_PNG], ids=["jpeg", "png"])
def test_what_is_cut_off_is_damaged(whole: bytes) -> None:
    for length in range(8, len(whole)):
        with pytest.raises(UsageError) as refused:
            without_metadata(whole[:length])
        assert refused.value.code is Code.USAGE_INVALID


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"<svg/>", b"\xff\xd8\x00\xe0\0\x02", b"\xff"])
def test_nothing_else_is_a_picture(data: bytes) -> None:
    with pytest.raises(UsageError):
        without_metadata(data)


@given(st.sampled_from([b"\xff\xd8", PNG, CLEAN_JPEG[:-2], CLEAN_PNG[:-12]]), st.binary())
def test_whatever_follows_it_is_a_picture_or_refused(start: bytes, rest: bytes) -> None:
    try:
        cleaned = without_metadata(start + rest)
    except UsageError:
        return
    assert without_metadata(cleaned) == cleaned
    assert len(cleaned) <= len(start + rest)
