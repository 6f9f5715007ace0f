"""Trims and forgets what is over, a little at a time."""

from __future__ import annotations

import asyncio
from typing import Final

from parlour.errors import ParlourError
from parlour.server.clock import Clock
from parlour.server.logs import Log
from parlour.server.store import Store

# How late after its expiry an entry may still lie on the disk; it is not served any more.
INTERVAL_SECONDS: Final = 60.0


async def sweep_all(store: Store, now: int) -> int:
    """Sweep until nothing is left to do; other writers get their turn in between."""
    total = 0
    while done := await store.streams.sweep(now=now):
        total += done
    return total


async def run(store: Store, clock: Clock, log: Log) -> None:
    """Sweep every minute until cancelled. A full disk is logged, and tried again."""
    while True:
        try:
            swept = await sweep_all(store, clock())
        except ParlourError as error:
            log.warning("sweep_failed", code=error.code.value)
        else:
            if swept:
                log.info("swept", count=swept)
        await asyncio.sleep(INTERVAL_SECONDS)
