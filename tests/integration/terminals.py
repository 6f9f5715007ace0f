"""A person at a terminal: programs on a pseudo-terminal of their own, read as text."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

PATIENCE = 60.0
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# Makes the terminal the controlling one, so that passwords are asked for on it.
_ON_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """One program on one terminal of 100 columns."""

    def __init__(
        self, command: Sequence[str], *, environment: Mapping[str, str], folder: str
    ) -> None:
        import fcntl
        import pty
        import termios

        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", _ON_TERMINAL, *command],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=dict(environment),
            cwd=folder,
            close_fds=True,
        )
        os.close(slave)
        self.raw = ""
        self._seen = 0

    @property
    def text(self) -> str:
        """Everything that was printed, without control sequences."""
        return _ESCAPES.sub("", self.raw)

    def press(self, text: str) -> None:
        """Press keys."""
        os.write(self._master, text.encode())

    def wait_for(self, wanted: str, *, stay: bool = False) -> str:
        """Wait until `wanted` was printed after what was waited for before.

        With `stay` the next one may stand before this one.
        """
        deadline = time.monotonic() + PATIENCE
        while (at := self.text.find(wanted, self._seen)) < 0:
            if not self._read(deadline):
                raise AssertionError(f"no {wanted!r} in:\n{self.text[self._seen :]}")
        if not stay:
            self._seen = at + len(wanted)
        return self.text

    def wait_for_match(self, wanted: re.Pattern[str]) -> re.Match[str]:
        """Wait until something that matches was printed after what was waited for before."""
        deadline = time.monotonic() + PATIENCE
        while (found := wanted.search(self.text, self._seen)) is None:
            if not self._read(deadline):
                raise AssertionError(f"no {wanted.pattern!r} in:\n{self.text[self._seen :]}")
        self._seen = found.end()
        return found

    def end(self) -> int:
        """Read until the program ends; return its exit code."""
        deadline = time.monotonic() + PATIENCE
        while self._read(deadline):
            pass
        return self.process.wait(PATIENCE)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(deadline - time.monotonic(), 0))
        if not ready:
            return False
        try:
            data = os.read(self._master, 1 << 16)
        except OSError:
            return False
        self.raw += data.decode(errors="replace")
        return bool(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            # It must not block on a terminal that nobody reads.
            with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
                self.end()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)
