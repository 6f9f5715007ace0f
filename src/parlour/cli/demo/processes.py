"""The processes of the demo. What they say is JSON, a line for each thing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

from parlour.errors import Code, InternalError

# Seconds; on a machine that is busy with other things a step takes a few.
PATIENCE: Final = 40.0
_PREFIX: Final = "PARLOUR_"
_LAST_LINES: Final = 5


def failed(what: str) -> InternalError:
    """The demo shows something else than it should."""
    return InternalError(Code.INTERNAL_BUG, f"the demo failed: {what}")


class Process:
    """A ``parlour … --json``. Its standard error goes to a file beside its data."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log

    @classmethod
    async def start(
        cls, name: str, folder: Path, *arguments: str, settings: Mapping[str, str] | None = None
    ) -> Self:
        """Start one in `folder`, with no settings but `settings`."""
        inherited = {key: os.environ[key] for key in os.environ if not key.startswith(_PREFIX)}
        log = folder / f"{name}.log"
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "parlour.cli",
                *arguments,
                "--json",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                cwd=folder,
                env={**inherited, **(settings or {})},
            )
        return cls(name, process, log)

    @property
    def pid(self) -> int:
        """The number that the system knows it by."""
        return self._process.pid

    async def expect(self, **wanted: object) -> dict[str, Any]:
        """Wait for a document that has these values, passing over others."""
        output = self._process.stdout
        if output is None:
            raise failed(f"{self.name} has no output")
        try:
            async with asyncio.timeout(PATIENCE):
                while line := await output.readline():
                    said: dict[str, Any] = json.loads(line)
                    if all(said.get(key) == value for key, value in wanted.items()):
                        return said
        except TimeoutError:
            raise failed(f"{self.name} did not say {wanted}{self._last_words()}") from None
        raise failed(f"{self.name} ended before it said {wanted}{self._last_words()}")

    async def all(self) -> AsyncIterator[dict[str, Any]]:
        """All documents until it ends well."""
        output = self._process.stdout
        async with asyncio.timeout(PATIENCE):
            while output is not None and (line := await output.readline()):
                yield json.loads(line)
        await self.finish()

    async def tell(self, line: str) -> None:
        """Write a line to its standard input."""
        if self._process.stdin is None:
            raise failed(f"{self.name} has no input")
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()

    async def finish(self) -> None:
        """Close its input and wait until it ends well."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(PATIENCE):
                code = await self._process.wait()
        except TimeoutError:
            raise failed(f"{self.name} does not end") from None
        if code:
            raise failed(f"{self.name} ended with {code}{self._last_words()}")

    async def stop(self) -> None:
        """End it, whatever it does."""
        if self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(PATIENCE / 2):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    def _last_words(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return ": " + " / ".join(lines[-_LAST_LINES:]) if lines else ""
