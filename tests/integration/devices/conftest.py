"""A town whose passwords are stretched cheaply: these tests open the vault at every turn."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.town import Town, found_town, quick_passwords


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Town:
    folder = tmp_path_factory.mktemp("quick town") / "founded"
    with quick_passwords():
        return asyncio.run(found_town(folder, "alice", "bob", "carol"))


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    with quick_passwords():
        yield
