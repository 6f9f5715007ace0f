"""A server process, and commands against it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

PASSWORD = "seven boats on a grey lake"


def environment(**settings: str) -> dict[str, str]:
    """This environment without any setting of Parlour, and with `settings`."""
    inherited = {name: value for name, value in os.environ.items() if name[:8] != "PARLOUR_"}
    return {**inherited, "PYTHONPATH": os.pathsep.join(sys.path), **settings}


@dataclass(frozen=True)
class RunningServer:
    """A server that listens."""

    data: Path
    port: int
    pin: str
    process: subprocess.Popen[str]

    def invite(self, *, uses: int = 1) -> str:
        from parlour.server import Config, create_invite

        config = Config(data=self.data, port=self.port, name="parlour.example")
        return create_invite(config, host="127.0.0.1", port=self.port, uses=uses).to_text()

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(30)


@contextmanager
def running_server(data: Path, *, port: int = 0) -> Iterator[RunningServer]:
    """Run ``parlour serve`` until the end of the block."""
    log = data.with_suffix(".log")
    arguments = ["--data", str(data), "--name", "parlour.example", "--host", "127.0.0.1"]
    command = [sys.executable, "-m", "parlour.cli", "serve", *arguments, "--port", str(port)]
    with log.open("a") as errors:
        process = subprocess.Popen(
            [*command, "--json", "--config", str(data.with_suffix(".toml"))],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment(),
        )
    try:
        started = json_line(process.stdout)
        yield RunningServer(data, started["port"], started["pin"], process)
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()


def json_line(stream: IO[str] | None) -> dict[str, Any]:
    """The next line of a stream, read as JSON."""
    assert stream is not None
    line = stream.readline()
    assert line, "the program ended"
    document: dict[str, Any] = json.loads(line)
    return document


def password_file(folder: Path) -> Path:
    """A file with `PASSWORD`, readable by its owner alone."""
    path = folder / "password"
    path.touch(mode=0o600)
    path.write_text(PASSWORD + "\n")
    return path
