"""Make a home in steps of which any may be the last one before a crash.

Everything that an account or a device stands on is on this disk before the server knows it. So a
crash in between leaves a home that is unfinished: the same call, made again, finds out from the
server whether it was made, and either finishes the home or begins it anew.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from parlour.client.account import Account
from parlour.client.home import Home, new_lock
from parlour.conversation.changes import Change, DeleteRecord, Namespace
from parlour.errors import Code, ParlourError, error

Step: TypeAlias = Callable[[Home], Awaitable[None]]
Finish: TypeAlias = Callable[[Home], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class SetUp:
    """One way to a home.

    `finish` finishes what an earlier try has left, if the server knows it, and says whether it
    did. `make` does all of it. `refusals` are what a server answers instead of making anything;
    there are none where what was signed must stay (`signed_entry`).
    """

    finish: Finish
    make: Step
    refusals: frozenset[Code] = frozenset()

    async def run(self, path: Path, password: str, keychain: str | None) -> None:
        """Make the home in `path`, or finish it; leave none where the server refuses."""
        home = await _unfinished(path, password)
        if home is None:
            home = await Home.create(path, new_lock(password, keychain))
        elif await self._finish(home):
            return
        await self._make(home)

    async def _finish(self, home: Home) -> bool:
        try:
            finished = bool((await home.store.records())[Namespace.DEVICE])
            finished = finished and await self.finish(home)
        except BaseException:
            await home.close()
            raise
        if finished:
            await home.close()
        return finished

    async def _make(self, home: Home) -> None:
        before = (await home.store.records())[Namespace.DEVICE]
        try:
            await self.make(home)
        except BaseException as problem:
            await self._leave(home, before, problem)
            raise
        await home.close()

    async def _leave(
        self, home: Home, before: Mapping[bytes, bytes], problem: BaseException
    ) -> None:
        """Keep the home if an account may stand on it, else leave nothing.

        The server may have made what it was told to, unless it said no.
        """
        refused = isinstance(problem, ParlourError) and problem.code in self.refusals
        try:
            now = (await home.store.records())[Namespace.DEVICE]
        except ParlourError:
            await home.close()
            return
        if now and (now == before or not refused):
            await home.close()
        else:
            await home.discard()


async def begin_anew(home: Home, first: Sequence[Change]) -> None:
    """Write what a home begins with, in place of what a try that came to nothing has left."""
    records = await home.store.records()
    old = [DeleteRecord(space, key) for space in records for key in records[space]]
    await home.store.apply([*old, *first])


async def _unfinished(path: Path, password: str | None) -> Home | None:
    """The home that an interrupted try left; refuses one that is in use."""
    try:
        home = await Home.open(path, password)
    except ParlourError as problem:
        if problem.code is Code.HOME_MISSING:
            return None
        raise
    try:
        records = await home.store.records()
        in_use = bool(records[Namespace.DEVICE]) and not Account.load(records).begun
    except BaseException:
        await home.close()
        raise
    if in_use:
        await home.close()
        raise error(Code.HOME_EXISTS)
    return home


async def is_unfinished(path: Path, password: str | None) -> bool:
    """Whether an interrupted try left a home there; raises `HOME_EXISTS` for one that is in use."""
    home = await _unfinished(path, password)
    if home is not None:
        await home.close()
    return home is not None
