"""What all tests share: where the official test vectors lie."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

# Otherwise looptime makes an event loop for the first test that needs none, and leaves it open.
asyncio.set_event_loop(None)

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
