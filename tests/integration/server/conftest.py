"""A server for each test, in this process."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from parlour.server import Config, Server


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(
        data=tmp_path / "data",
        host="127.0.0.1",
        port=0,
        name="parlour.example",
        registration="open",
        limits=1000.0,
    )


@pytest.fixture
def log_stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
async def server(config: Config, log_stream: io.StringIO) -> AsyncIterator[Server]:
    async with Server(config, log_stream=log_stream) as running:
        yield running
    bugs = [line for line in log_stream.getvalue().splitlines() if '"level":"error"' in line]
    assert not bugs, bugs
