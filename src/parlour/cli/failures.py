"""The one place where errors end: a sentence, a code, a remedy, and an exit code.

What was not foreseen is a bug of ours. Of it we print the type and where it was raised, never the
values of variables and never its text, which may hold what somebody said.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final

from parlour.cli.output import Document, encode
from parlour.cli.safe_text import one_line
from parlour.errors import Code, ExitCode, ParlourError, error

INTERRUPTED: Final = 130
# As a shell counts them: 128 and the number of SIGPIPE.
BROKEN_PIPE: Final = 141
_FRAMES: Final = 5


def guarded(act: Callable[[], int], *, json: bool) -> int:
    """Run a command; turn whatever it raises into words on standard error and an exit code."""
    try:
        return act()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return _reader_left()
    except ParlourError as failure:
        show(failure, json=json)
        return int(failure.exit_code)
    except BaseExceptionGroup as group:
        return _first_of(group, json=json)
    except Exception as failure:
        show(error(Code.INTERNAL_BUG, place(failure)), json=json)
        return int(ExitCode.BUG)


def _first_of(group: BaseExceptionGroup[BaseException], *, json: bool) -> int:
    """Of several errors at once, the first one that is ours decides."""

    def again() -> int:
        known = group.subgroup(ParlourError) or group
        first = known.exceptions[0]
        raise first

    return guarded(again, json=json)


def _reader_left() -> int:
    """Whoever read our output is gone, as in ``parlour history bob | head``."""
    # Otherwise Python flushes once more at its end, and complains.
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, sys.stdout.fileno())
    return BROKEN_PIPE


def show(failure: ParlourError, *, json: bool) -> None:
    """Print an error on standard error."""
    if json:
        print(encode({"error": document(failure)}), file=sys.stderr)
        return
    detail = f" ({one_line(failure.detail)})" if failure.detail else ""
    print(f"{_red('✗')} {failure.sentence}{detail} [{failure.code.value}]", file=sys.stderr)
    print(f"  {failure.remedy}", file=sys.stderr)


def document(failure: ParlourError) -> Document:
    """An error as JSON."""
    return {
        "code": failure.code.value,
        "sentence": failure.sentence,
        "remedy": failure.remedy,
        "detail": one_line(failure.detail),
        "exit_code": int(failure.exit_code),
    }


def place(failure: BaseException) -> str:
    """The type, and the last calls before it was raised: files and lines, nothing else."""
    frames = traceback.extract_tb(failure.__traceback__)[-_FRAMES:]
    where = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))
    return f"{type(failure).__name__} at {where}" if where else type(failure).__name__


def _red(text: str) -> str:
    coloured = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    return f"\x1b[31m{text}\x1b[0m" if coloured else text
