"""QR codes: in a terminal, two modules in one character by half blocks, and as PNG or SVG files.

With colours the code is black on white whatever the terminal's own colours are. Without, light
modules are drawn and dark ones left out, which is right on a dark terminal; readers take the
inverse as well.

Spec: ISO/IEC 18004 (a quiet zone of four modules).
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from parlour.client.files import check_new_file, write_atomic
from parlour.errors import Code, UsageError

if TYPE_CHECKING:
    from rich.text import Text

QUIET_ZONE: Final = 4
# Pixels for a module of a PNG file: large enough for a print of the size of a hand.
_SCALE: Final = 8
_KINDS: Final = {".png": "png", ".svg": "svg"}
# (upper light, lower light) → character
_BLOCKS: Final = {
    (True, True): "█",
    (True, False): "▀",
    (False, True): "▄",
    (False, False): " ",
}


def light_modules(data: bytes | str) -> list[list[bool]]:
    """The code with its quiet zone, row by row; True is light."""
    matrix: Iterable[Iterable[int]] = _code(data).matrix_iter(border=QUIET_ZONE)
    return [[not module for module in row] for row in matrix]


def _code(data: bytes | str) -> Any:
    import segno

    return segno.make(data, error="m", micro=False, boost_error=True)


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


def save(data: bytes | str, path: Path) -> None:
    """Write the code to a PNG or SVG file, by the end of its name, readable by its owner alone.

    Raises `UsageError` for another name, `StorageError`.
    """
    kind = kind_of(path)
    file = io.BytesIO()
    _code(data).save(file, kind=kind, scale=_SCALE, border=QUIET_ZONE, light="#ffffff")
    write_atomic(path, file.getvalue())


def kind_of(path: Path) -> str:
    """``png`` or ``svg``; raises `UsageError` for a file of another kind."""
    kind = _KINDS.get(path.suffix.casefold())
    if kind is None:
        raise UsageError(Code.USAGE_INVALID, "the file of a QR code ends with .png or .svg")
    return kind


def check_file(path: Path) -> None:
    """Return if a code can be written there; raises `UsageError` before anything is shown."""
    kind_of(path)
    check_new_file(path)
