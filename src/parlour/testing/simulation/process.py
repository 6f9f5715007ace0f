"""A process that may die between any two steps, as by SIGKILL.

A step is whatever touches the world outside: a commit, a frame that leaves, one that is taken in.
When a process dies, none of its tasks does anything any more; what it had committed stays.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from contextvars import ContextVar, copy_context
from typing import Any, Final, TypeVar

T = TypeVar("T")
# A task that cleans up when it is cancelled may begin another one.
_REAPINGS: Final = 8

_current: ContextVar[Process | None] = ContextVar("process", default=None)


class Killed(asyncio.CancelledError):
    """The process is dead: whoever runs in it stops here."""


class Process:
    """One process of one device, or of the server. `effects` are `World.effects`."""

    def __init__(
        self, name: str, loop: asyncio.AbstractEventLoop, effects: Counter[str] | None = None
    ) -> None:
        self.name = name
        self.alive = True
        self.effects: Counter[str] = Counter() if effects is None else effects
        self.on_death: Callable[[], None] = lambda: None
        self._loop = loop
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._fuse: int | None = None
        self._armed_by = ""

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run something in this process."""
        context = copy_context()
        context.run(_current.set, self)
        return self._loop.create_task(coroutine, context=context)

    def arm(self, steps: int, by: str) -> None:
        """Die after so many more steps; `by` is counted as an effect then."""
        self._fuse, self._armed_by = steps, by

    def disarm(self) -> None:
        """Do not die by itself."""
        self._fuse = None

    def survives(self) -> bool:
        """One step: whether the process is still alive at its end."""
        if self.alive and self._fuse is not None:
            self._fuse -= 1
            if self._fuse <= 0:
                self.effects[self._armed_by] += 1
                self.kill()
        return self.alive

    def step(self) -> None:
        """One step; raises `Killed` where the process does not survive it."""
        if not self.survives():
            raise Killed

    def kill(self) -> None:
        """Die now."""
        if self.alive:
            self.alive = False
            self._reap(_REAPINGS)
            self.on_death()

    def _reap(self, times: int) -> None:
        for task in list(self._tasks):
            task.cancel()
        if times and self._tasks:
            self._loop.call_soon(self._reap, times - 1)

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """Know of a task that was begun in this process."""
        self._tasks[task] = None
        task.add_done_callback(self._forget)
        if not self.alive:
            task.cancel()

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)


def make_task(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T], **options: Any
) -> asyncio.Task[T]:
    """The loop's task factory: every task belongs to the process that began it."""
    task = asyncio.Task(coroutine, loop=loop, **options)
    context = options.get("context")
    process = context.get(_current) if context is not None else _current.get()
    if process is not None:
        process.adopt(task)
    return task
