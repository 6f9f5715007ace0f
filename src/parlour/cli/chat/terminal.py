"""Input: keys of a terminal in raw mode, or lines of whatever else stands there.

A terminal is left as it was found, also after an error. Where it can't be driven (Windows, a
terminal that says ``dumb``) lines are read instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final

_CHUNK: Final = 4096
# A line longer than the longest message in its most expensive encoding is no message.
_MAX_LINE: Final = 1 << 20
_PASTE_ON: Final = "\x1b[?2004h"
_PASTE_OFF: Final = "\x1b[?2004l"


def drivable() -> bool:
    """Whether both ends are a terminal that understands control sequences."""
    return (
        sys.platform != "win32"
        and sys.stdin.isatty()
        and sys.stdout.isatty()
        and os.environ.get("TERM", "dumb") != "dumb"
    )


def write(text: str) -> None:
    """Write to the terminal at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


if sys.platform != "win32":
    import termios

    @contextlib.contextmanager
    def raw_input(on_bytes: Callable[[bytes], None]) -> Iterator[None]:
        """Give every key to `on_bytes` as it is pressed; empty bytes when the terminal is gone."""
        loop = asyncio.get_running_loop()
        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
        mode = termios.tcgetattr(descriptor)
        mode[0] &= ~(termios.ICRNL | termios.IXON)
        mode[3] &= ~(termios.ECHO | termios.ICANON | termios.ISIG | termios.IEXTEN)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, mode)
        write(_PASTE_ON)
        loop.add_reader(descriptor, lambda: on_bytes(_read(descriptor)))
        try:
            yield
        finally:
            loop.remove_reader(descriptor)
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
            # The terminal may be gone, which is why we end.
            with contextlib.suppress(OSError):
                write(_PASTE_OFF)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _CHUNK)
    except OSError:
        return b""


async def lines() -> AsyncIterator[str]:
    """Lines of standard input until its end.

    Read on a thread that may stay behind when the program ends; it holds no lock of Python's
    streams, which would stop the interpreter from ending.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    descriptor = sys.stdin.fileno()

    def pump() -> None:
        while True:
            data = _read(descriptor)
            try:
                loop.call_soon_threadsafe(queue.put_nowait, data)
            except RuntimeError:
                return
            if not data:
                return

    threading.Thread(target=pump, daemon=True, name="parlour-input").start()
    rest = b""
    while data := await queue.get():
        *complete, rest = (rest + data).split(b"\n")
        for line in complete:
            yield _text(line)
        rest = rest[:_MAX_LINE]
    if rest:
        yield _text(rest)


def _text(line: bytes) -> str:
    return line.decode(errors="replace").removesuffix("\r")
