"""The sweeper goes on, whatever the disk says."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import pytest

from parlour.errors import Code, StorageError
from parlour.server import sweeper
from parlour.server.logs import Log


class Streams:
    """A store of which sweeping gives these outcomes, one after the other."""

    def __init__(self, *outcomes: int | Exception) -> None:
        self.outcomes = list(outcomes)
        self.done = asyncio.Event()

    async def sweep(self, *, now: int) -> int:
        if not self.outcomes:
            self.done.set()
            await asyncio.Event().wait()
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class StoreOf:
    def __init__(self, streams: Streams) -> None:
        self.streams = streams


async def test_it_sweeps_until_nothing_is_left_and_survives_a_full_disk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sweeper, "INTERVAL_SECONDS", 0)
    streams = Streams(500, 20, 0, StorageError(Code.STORE_FULL), 0)
    store: Any = StoreOf(streams)
    text = io.StringIO()
    running = asyncio.create_task(sweeper.run(store, lambda: 5, Log(text, lambda: 5)))
    async with asyncio.timeout(5):
        await streams.done.wait()
    running.cancel()
    lines = text.getvalue().splitlines()
    assert len(lines) == 2
    assert '"event": "swept", "count": 520' in lines[0]
    assert '"event": "sweep_failed", "code": "store.full"' in lines[1]
