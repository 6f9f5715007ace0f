"""QR codes in a terminal: two modules in one character, by half blocks.

With colours the code is black on white whatever the terminal's own colours are. Without, light
modules are drawn and dark ones left out, which is right on a dark terminal; readers take the
inverse as well.

Spec: ISO/IEC 18004 (a quiet zone of four modules).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.text import Text

QUIET_ZONE: Final = 4
# (upper light, lower light) → character
_BLOCKS: Final = {
    (True, True): "█",
    (True, False): "▀",
    (False, True): "▄",
    (False, False): " ",
}


def light_modules(data: bytes | str) -> list[list[bool]]:
    """The code with its quiet zone, row by row; True is light."""
    import segno

    code = segno.make(data, error="m", micro=False, boost_error=True)
    matrix: Iterable[Iterable[int]] = code.matrix_iter(border=QUIET_ZONE)
    return [[not module for module in row] for row in matrix]


def half_blocks(data: bytes | str) -> list[str]:
    """The code as lines of half blocks, light modules drawn."""
    rows = light_modules(data)
    if len(rows) % 2:
        rows.append([True] * len(rows[0]))
    pairs = list(pairwise(rows))[::2]
    return ["".join(_BLOCKS[pair] for pair in zip(*both, strict=True)) for both in pairs]


def drawn(data: bytes | str) -> Text:
    """The code for a console."""
    from rich.text import Text

    return Text("\n".join(half_blocks(data)), style="#ffffff on #000000", no_wrap=True)
