"""Questions to whoever sits at the terminal, and lines of standard input where nobody does.

Each waits on a thread that may stay behind: when Ctrl-C comes, or the other device says that it
is over, nobody has to press Enter first. So standard input is read by the system's own call, which
holds no lock that Python would wait for at its end. A terminal that hides what is typed is put back
as it was, whatever happens.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import getpass
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from parlour.errors import Code, UsageError

T = TypeVar("T")

# Bytes. The longest thing to paste is an invite, of about a thousand.
MAX_LINE: Final = 1 << 14
_YES: Final = ("y", "yes")


def somebody() -> bool:
    """Whether somebody is there to answer."""
    return sys.stdin.isatty()


def note(text: str, *, end: str = "\n") -> None:
    """Say something beside the results."""
    print(text, end=end, file=sys.stderr, flush=True)


async def yes(question: str) -> bool:
    """Ask what only ``y`` or ``yes`` answers with yes."""
    note(f"{question} [y/N] ", end="")
    return (await line()).strip().casefold() in _YES


async def line(prompt: str = "") -> str:
    """One line of standard input, without its end; empty where there is none."""
    if prompt:
        note(prompt, end="")
    return await of_a_person(read_line)


async def hidden(prompt: str) -> str:
    """What a person types without seeing it. Raises `USAGE_CONFIG` where nobody types."""
    return await of_a_person(functools.partial(_hidden, prompt))


async def new_password(what: str = "a password") -> str:
    """Ask for a password twice, until both are the same."""
    while True:
        first = await hidden(f"Choose {what}: ")
        if not first:
            raise UsageError(Code.USAGE_INVALID, "a password has at least one character")
        if await hidden("The same again: ") == first:
            return first
        note("They differ. Once more.")


def read_line() -> str:
    """As `line`, and blocking. What follows the line stays where it is, for whoever reads next."""
    taken = bytearray()
    descriptor = sys.stdin.fileno()
    while len(taken) < MAX_LINE and (piece := os.read(descriptor, 1)) not in (b"", b"\n"):
        taken += piece
    return taken.decode(errors="replace").removesuffix("\r")


async def of_a_person(ask: Callable[[], T]) -> T:
    """Call `ask`, which waits for a person. Cancelling gives up at once."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def work() -> None:
        try:
            tell = functools.partial(_give, answer, ask())
        except BaseException as failure:  # whoever waits has to hear of it
            tell = functools.partial(_fail, answer, failure)
        # The loop may have ended meanwhile.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(tell)

    with _terminal_kept():
        threading.Thread(target=work, daemon=True, name="parlour-asking").start()
        return await answer


def _give(answer: asyncio.Future[T], result: T) -> None:
    if not answer.done():
        answer.set_result(result)


def _fail(answer: asyncio.Future[T], failure: BaseException) -> None:
    if not answer.done():
        answer.set_exception(failure)


def _hidden(prompt: str) -> str:
    try:
        return getpass.getpass(prompt)
    except EOFError:
        raise UsageError(Code.USAGE_CONFIG, "nothing was typed") from None


@contextlib.contextmanager
def _terminal_kept() -> Iterator[None]:
    """Put the terminal back as it is now when somebody gives up in the middle."""
    if sys.platform == "win32":
        yield
        return
    import termios

    try:
        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
    except (OSError, ValueError, termios.error):
        yield
        return
    try:
        yield
    except BaseException:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        note("")
        raise
