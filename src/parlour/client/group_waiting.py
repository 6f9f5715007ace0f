"""Wait until what is wanted of a group has come true, and tell how far it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from parlour.client.engine import again
from parlour.client.own_list import Room
from parlour.conversation.events import GroupJoined, GroupLeft
from parlour.conversation.groups.progress import GroupProgress
from parlour.conversation.groups.records import Want
from parlour.errors import Code, TransportError, error

# Seconds without any progress after which nobody waits any longer.
PATIENCE: Final = 60.0
# The same for the last devices to come in, when what was wanted has come true.
_STRAGGLING: Final = 5.0
# Seconds between two looks: counting a large group takes a while.
_BETWEEN: Final = 0.1


@dataclass(frozen=True, slots=True)
class Step:
    """How far long work is: what is done now, `done` of `total`."""

    what: str
    done: int
    total: int


Progress: TypeAlias = Callable[[Step], None]
"""Called whenever work on a group has come further."""
Reached: TypeAlias = Callable[[GroupProgress], bool]


class Waiting:
    """Waits for one wish about one group, and raises its refusal. Made before it is said."""

    def __init__(
        self, room: Room, group: bytes, want: str, timeout: float, progress: Progress | None = None
    ) -> None:
        self._room = room
        self._group = group
        self._wants = (want, "create")
        self._timeout = timeout
        self._progress = progress
        self._last: GroupProgress | None = None
        self._shown: Step | None = None
        self._looked_at = 0.0
        for each in self._wants:
            room.engine.refusals.pop((group, each), None)

    async def until(self, true: Reached, complete: Reached = lambda _: True) -> None:
        """Return when the wish is `true`, and `complete` unless that takes too long.

        Raises why it can't be, and `TransportError` when nothing goes on. With a timeout of 0 it
        returns at once.
        """
        if not self._timeout:
            return
        engine, link = self._room.engine, self._room.link
        ends = time.monotonic() + self._timeout
        while True:
            seen = engine.changed.count
            self._raise_refusal()
            if self._look():
                ends = time.monotonic() + self._timeout
            done = self._last is not None and true(self._last)
            if done and self._last is not None and complete(self._last):
                # What refused it is told a moment after the wish is gone.
                await engine.current()
                self._raise_refusal()
                self._was_ours()
                return
            if link.status.failure is not None:
                raise again(link.status.failure)
            left = ends - time.monotonic()
            try:
                async with asyncio.timeout(left - self._timeout + _STRAGGLING if done else left):
                    await engine.changed.wait(seen)
                    await asyncio.sleep(self._looked_at + _BETWEEN - time.monotonic())
            except TimeoutError:
                if done:
                    return
                raise again(
                    link.status.last_error or TransportError(Code.NETWORK_TIMEOUT)
                ) from None

    def _look(self) -> bool:
        """Count again, and tell of it; whether something has moved."""
        machine, before = self._room.engine.machine, self._last
        self._looked_at = time.monotonic()
        if machine.has_group(self._group):
            self._last = machine.group_progress(self._group, self._room.engine.clock())
        if self._last is None:
            return False
        step = step_of(self._last)
        if step != self._shown and self._progress is not None:
            self._progress(step)
        self._shown = step
        return self._last != before

    def _was_ours(self) -> None:
        """Who has come or gone by their own doing needs not be told."""
        for each in self._room.engine.warnings.waiting:
            match self._wants[0], each:
                case ("join", GroupJoined(group=group)) | ("leave", GroupLeft(group=group)):
                    if group == self._group:
                        self._room.engine.told(each)
                case _:
                    pass

    def _raise_refusal(self) -> None:
        for want in self._wants:
            refusal = self._room.engine.refusals.pop((self._group, want), None)
            if refusal is not None:
                # Whoever gets the error needs no warning besides.
                self._room.engine.told(refusal)
                raise error(refusal.reason)


def step_of(progress: GroupProgress) -> Step:
    """What is being done now."""
    total = progress.devices - progress.left_out
    if progress.lists and progress.wishes:
        return _left("device lists", progress.lists, progress.devices)
    if progress.packages:
        return _left("keys", progress.packages, progress.devices)
    return Step("devices", progress.leaves, total)


def _left(what: str, left: int, total: int) -> Step:
    return Step(what, max(total - left, 0), max(total, left))


def is_added(progress: GroupProgress) -> bool:
    """Whether everybody who was to come is on the roster, but for those who can't be yet.

    Somebody of whom no device was online since it has the account has no keys to be added by.
    """
    if Want.ADD not in progress.wishes:
        return True
    busy = progress.lists or progress.packages or progress.sending or progress.missing
    return bool(progress.left_out) and not busy


def is_in(progress: GroupProgress) -> bool:
    """Whether all devices that can be in the group are."""
    return not progress.missing and not progress.sending
