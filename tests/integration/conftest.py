"""What the end-to-end tests share: a town, made once for each process of tests."""

import asyncio
from pathlib import Path

import pytest

from tests.town import Town, found_town


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Town:
    folder = tmp_path_factory.mktemp("town") / "founded"
    return asyncio.run(found_town(folder, "alice", "bob", "carol"))


@pytest.fixture
def town(founded: Town, tmp_path: Path) -> Town:
    return founded.copy(tmp_path / "town")
