"""The codes are read back from what a terminal shows, and from files."""

from __future__ import annotations

import hashlib
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import zxingcpp

from parlour.cli import qr
from parlour.errors import UsageError

INK = {"█": (True, True), "▀": (True, False), "▄": (False, True), " ": (False, False)}
INVITE = "parlour:invite#" + "Aa0_-" * 25
SCALE = 4


def photographed(lines: list[str], *, inverted: bool) -> np.ndarray:
    """What a camera sees of the half blocks: drawn ones bright, or dark on a bright terminal."""
    rows = [[INK[character][half] for character in line] for line in lines for half in (0, 1)]
    bright = np.array(rows, dtype=bool) ^ inverted
    return np.kron(bright, np.ones((SCALE, SCALE), dtype=bool)).astype(np.uint8) * 255


@pytest.mark.parametrize("inverted", [False, True], ids=["dark terminal", "bright terminal"])
@pytest.mark.parametrize(
    "data", [hashlib.shake_256(b"code").digest(65), INVITE], ids=["bytes", "invite"]
)
def test_a_camera_reads_it(data: bytes | str, inverted: bool) -> None:
    lines = qr.half_blocks(data)
    assert {len(line) for line in lines} == {len(lines[0])}
    (found,) = zxingcpp.read_barcodes(photographed(lines, inverted=inverted))
    assert found.bytes == (data.encode() if isinstance(data, str) else data)


def test_the_drawing_is_the_same() -> None:
    assert qr.drawn(INVITE).plain.split("\n") == qr.half_blocks(INVITE)


def png_pixels(data: bytes) -> np.ndarray:
    """The pixels of a PNG file with one bit each, as code makers write them."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        chunks[data[at + 4 : at + 8]] = data[at + 8 : at + 8 + size]
        at += size + 12
    width, height, depth, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (depth, colour) == (1, 0)
    raw = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, -1)
    rows = np.zeros((height + 1, raw.shape[1] - 1), np.uint8)
    for at, (filtered, *row) in enumerate(raw):
        assert filtered in (0, 2), "as it is, or the difference to the row above"
        rows[at + 1] = np.array(row, np.uint8) + (rows[at] if filtered else 0)
    return np.unpackbits(rows[1:], axis=1)[:, :width] * 255


def svg_pixels(text: str) -> np.ndarray:
    """What the dark path of an SVG file covers: strokes of one module."""
    size = int(re.search(r'width="(\d+)"', text)[1]) // 8  # type: ignore[index]
    image = np.full((size, size), 255, np.uint8)
    path = re.search(r'class="qrline" stroke="#000" d="([^"]+)"', text)
    assert path is not None
    x = y = 0.0
    for act, first, second in re.findall(r"([Mmh])(-?[\d.]+)(?: (-?[\d.]+))?", path[1]):
        if act == "h":
            image[int(y), int(x) : int(x) + int(first)] = 0
            x += int(first)
        else:
            origin = (0.0, 0.0) if act == "M" else (x, y)
            x, y = origin[0] + float(first), origin[1] + float(second)
    return np.kron(image, np.ones((SCALE, SCALE), np.uint8))


def test_a_png_file_is_read(tmp_path: Path) -> None:
    qr.save(hashlib.shake_256(b"code").digest(65), tmp_path / "code.PNG")
    (found,) = zxingcpp.read_barcodes(png_pixels((tmp_path / "code.PNG").read_bytes()))
    assert found.bytes == hashlib.shake_256(b"code").digest(65)
    assert (tmp_path / "code.PNG").stat().st_mode & 0o777 == 0o600


def test_an_svg_file_is_read(tmp_path: Path) -> None:
    qr.save(INVITE, tmp_path / "code.svg")
    (found,) = zxingcpp.read_barcodes(svg_pixels((tmp_path / "code.svg").read_text()))
    assert found.bytes == INVITE.encode()


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        qr.save(INVITE, tmp_path / "code.jpg")
    assert list(tmp_path.iterdir()) == []
