"""Signatures of key packages, verified while whoever fetched them still makes the commit.

A commit that adds a thousand devices holds three signatures for each. They are the same as in the
key packages that were given out for it a second before; by then this server has verified them, in
a thread and when it has nothing else to do. What is wrong shows when the commit is judged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from parlour.errors import ParlourError
from parlour.mls.public.framing.messages import KeyPackageMessage, decode_message
from parlour.mls.public.suites import find_suite
from parlour.mls.public.validation.key_packages import check_key_package
from parlour.mls.public.validation.leaf_nodes import LeafValidator
from parlour.server.groups.authority import Authority
from parlour.server.groups.handshaking import Handshaking
from parlour.server.store.records import TakenKeyPackage

# Below that, verifying with the commit takes a few milliseconds.
FEW: Final = 16
# Fetches whose key packages wait to be verified; beyond, they are verified with their commits.
MAX_WAITING: Final = 8
# Verified at a time, a few milliseconds, before it is the turn of a commit.
_STEP: Final = 32


@dataclass(frozen=True, slots=True)
class _Batch:
    suite: int
    taken: Sequence[TakenKeyPackage]


class Ahead:
    """Verifies what was given out, one batch after the other."""

    def __init__(self, handshaking: Handshaking) -> None:
        self._handshaking = handshaking
        self._waiting: list[_Batch] = []
        self._working: asyncio.Task[None] | None = None

    def given_out(self, suite: int, taken: Sequence[TakenKeyPackage]) -> None:
        """Somebody has fetched these; returns at once."""
        if len(taken) < FEW or len(self._waiting) >= MAX_WAITING:
            return
        self._waiting.append(_Batch(suite, taken))
        if self._working is None:
            self._working = asyncio.create_task(self._work())

    async def finished(self) -> None:
        """Until nothing waits; for tests."""
        if self._working is not None:
            await self._working

    async def _work(self) -> None:
        try:
            while self._waiting:
                with suppress(ParlourError):
                    await self._verify(self._waiting.pop(0))
        finally:
            self._working = None

    async def _verify(self, batch: _Batch) -> None:
        devices = {each.package.device_id for each in batch.taken}
        authority = await self._handshaking.authority(devices)
        data = [each.package.data for each in batch.taken]
        for begin in range(0, len(data), _STEP):
            some = data[begin : begin + _STEP]
            await self._handshaking.run(partial(_verify, some, batch.suite, authority))


def _verify(packages: list[bytes], suite: int, authority: Authority) -> None:
    for data in packages:
        # Whether it can be used, whoever fetched it finds out; and the commit is judged for itself.
        with suppress(ParlourError):
            message = decode_message(data)
            if isinstance(message, KeyPackageMessage):
                validator = LeafValidator(find_suite(suite), authority.policy, authority.now, b"")
                check_key_package(validator, message.key_package)
                validator.finish()
