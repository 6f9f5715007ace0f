"""Threads for what is slow: nothing that computes long or waits for a disk runs on the event loop.

`run_slow` shares a few threads for stretching passwords, files and the system's keychain.
`Worker` is one thread of its own, for a database connection that only one thread may touch.
`run` runs a program on the fastest event loop that there is.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, Final, ParamSpec, TypeVar

from parlour.errors import Code, UsageError

P = ParamSpec("P")
T = TypeVar("T")

# Two, because Argon2id takes 128 MiB in each.
SLOW_THREADS: Final = 2

_slow: Final = ThreadPoolExecutor(SLOW_THREADS, thread_name_prefix="parlour-slow")


def new_event_loop() -> asyncio.AbstractEventLoop:
    """An event loop of uvloop's where it is installed, else Python's own."""
    if sys.platform != "win32":
        try:
            import uvloop
        except ImportError:  # pragma: no cover - it is installed with us wherever it exists
            pass
        else:
            return uvloop.new_event_loop()
    return asyncio.new_event_loop()  # pragma: no cover - Windows


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a program from its beginning to its end: `asyncio.run`, on `new_event_loop`."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)


async def run_slow(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `function` in one of a few threads and give back what it returns or raises.

    When the waiting task is cancelled, a call that has begun goes on to its end, unheard.
    """
    call = functools.partial(function, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_slow, call)


class Worker:
    """One thread that runs what it is given, in order.

    A queue and a thread, because an executor's own futures would cost each call as much again.
    """

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[tuple[asyncio.Future[Any], Callable[[], Any]] | None]
        self._queue = SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function` in the thread, after all that was given before.

        A task that is cancelled while it waits cancels a call that has not begun; one that has
        begun goes on to its end. Raises `USAGE_STATE` after `close`.
        """
        if self._closed:
            raise UsageError(Code.USAGE_STATE, "it is closed")
        answer: asyncio.Future[T] = self._loop.create_future()
        self._queue.put((answer, functools.partial(function, *args, **kwargs)))
        return await answer

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def close(self) -> None:
        """Take no more calls; the thread ends when it has done what it has."""
        self._closed = True
        self._queue.put(None)

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            answer, call = item
            if answer.cancelled():
                continue
            try:
                result = call()
            except BaseException as failure:  # whoever waits has to hear of it
                self._tell(answer, None, failure)
            else:
                self._tell(answer, result, None)
            # Nothing that a call was given stays behind while the thread waits.
            del item, answer, call

    def _tell(
        self, answer: asyncio.Future[Any], result: Any, failure: BaseException | None
    ) -> None:
        def tell() -> None:
            if answer.done():
                return
            if failure is None:
                answer.set_result(result)
            else:
                answer.set_exception(failure)

        # The loop may have ended meanwhile.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(tell)
