"""The codes are read back from what a terminal shows."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import zxingcpp

from parlour.cli import qr

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
