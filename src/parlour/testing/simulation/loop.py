"""Time that passes when nothing else is to be done: an event loop without a clock and without I/O.

asyncio's own loop runs what is ready in the order in which it became ready, and what is due in the
order of time. So a run is the same each time, as long as nobody else puts anything in.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Final, TypeVar

T = TypeVar("T")

# Two moments closer than this are one (seconds); sums of floats may miss by less.
RESOLUTION: Final = 1e-6
# Turns that a second may take when nothing happens: devices without a server look for it for days.
TURNS_PER_SECOND: Final = 2
# No run takes longer than that.
YEAR: Final = 365 * 24 * 3600
# Milliseconds since the epoch when a run begins.
BEGINNING: Final = 1_800_000_000_000


class Stuck(Exception):
    """Somebody waits, and nothing is left that could happen; or it never ends."""


class _Nothing:
    """In place of a selector: waiting lets the time pass."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[object]:
        """Wait: at once, for so many seconds, or for ever, which is a bug."""
        self._loop.turns += 1
        if timeout is None:
            raise Stuck("everybody waits, and nothing is left that could happen")
        seconds = self._loop.seconds
        turns = self._loop.most_turns + TURNS_PER_SECOND * seconds
        if seconds > self._loop.longest or self._loop.turns > turns:
            raise Stuck("too much happens, as if it never came to an end")
        self._loop.seconds += max(timeout, 0.0)
        return []


class SimulatedLoop(asyncio.BaseEventLoop):
    """An event loop whose time is `seconds`, 0 at the beginning."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self.turns = 0
        self.most_turns = sys.maxsize
        """After so many turns of the loop beyond those of its time, it is taken for endless."""
        self._selector = _Nothing(self)
        self._clock_resolution = RESOLUTION
        self.longest: float = YEAR
        """Seconds after which it is taken for endless, too."""
        self.faults: list[dict[str, Any]] = []
        """What went wrong where nobody waited for it."""
        self.set_exception_handler(lambda _loop, context: self.faults.append(context))

    def time(self) -> float:
        """Seconds since the beginning."""
        return self.seconds

    def now(self) -> int:
        """Milliseconds since the epoch, as a right clock shows."""
        return BEGINNING + round(self.seconds * 1000)

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Call it at once: there is one thread."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as problem:  # it is the caller's
            future.set_exception(problem)
        return future

    def _write_to_self(self) -> None:
        """There is one thread: nobody has to wake it."""

    def _process_events(self, event_list: list[object]) -> None:
        """Nothing comes from outside."""
