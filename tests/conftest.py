"""What all tests share: where they write, and where the official test vectors lie."""

import asyncio
import ctypes
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

# Otherwise looptime makes an event loop for the first test that needs none, and leaves it open.
asyncio.set_event_loop(None)

# Folders in memory have to have so much room for the tests to write there.
MIN_ROOM = 2 << 30
# For `mallopt` of glibc: blocks from this size on are given back to the system.
M_MMAP_THRESHOLD = -3
LARGE_BLOCK = 1 << 20


def spare_the_disk() -> None:
    """Write into memory instead, where there is room: a disk takes milliseconds for each commit.

    Processes that are killed leave the same behind there.
    """
    folder = Path("/dev/shm")  # noqa: S108 - what is made in it is made by `tempfile`
    if "TMPDIR" in os.environ or not os.access(folder, os.W_OK):
        return
    if shutil.disk_usage(folder).free >= MIN_ROOM:
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder)


def spare_memory() -> None:
    """Give large blocks back.

    Each login takes 19 MiB for a moment. By itself glibc soon takes them from its heap, where the
    next small block that stays keeps the room: two thousand tests would hold two gigabytes.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)


spare_the_disk()
spare_memory()

CHECKOUT = Path(__file__).resolve().parent.parent


def find_vectors() -> Path:
    """The folder of official vectors: `PARLOUR_VECTORS`, or `../shared/vectors` by the checkout.

    Skips the test, or the module that asks while it is imported, when the folder is absent.
    """
    named = os.environ.get("PARLOUR_VECTORS")
    folder = Path(named) if named else CHECKOUT.parent / "shared" / "vectors"
    if not folder.is_dir():
        pytest.skip(
            f"official vectors absent: no folder {folder} (set PARLOUR_VECTORS)",
            allow_module_level=True,
        )
    return folder


def load_vector(path: str) -> Any:
    """The JSON file `path`, relative to the folder of vectors; skips as `find_vectors` does."""
    file = find_vectors() / path
    if not file.is_file():
        pytest.skip(f"official vectors absent: no file {file}", allow_module_level=True)
    return json.loads(file.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def vectors_dir() -> Path:
    return find_vectors()
