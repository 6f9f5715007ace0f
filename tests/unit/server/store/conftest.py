"""A store for each test: the same tests for every implementation."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from parlour.server.store import Store
from parlour.server.store.sqlite import SqliteStore

from .builders import NAME


@pytest.fixture(params=["sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    opened = await SqliteStore.open(tmp_path, name=NAME)
    yield opened
    await opened.close()
