"""A server process, two people who have accounts on it, and commands."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Self

from parlour.client.client import Client
from parlour.server import Config, create_invite

COMMAND = [sys.executable, "-m", "parlour.cli"]
# For what makes a home: to open one in full takes half a second, each time. The demos do that.
CHEAP_COMMAND = [sys.executable, "-m", "tests.integration.cheap_command"]
MAKES_HOMES = ("register", "recover")
PASSWORD = "seven boats on a grey lake"
SERVER = "parlour.example"


def environment(**settings: str) -> dict[str, str]:
    """This environment without any setting of Parlour, and with `settings`."""
    inherited = {name: value for name, value in os.environ.items() if name[:8] != "PARLOUR_"}
    return {**inherited, "PYTHONPATH": os.pathsep.join(sys.path), **settings}


class ServerProcess:
    """``parlour serve`` on one data folder and, once it was started, on one port."""

    def __init__(self, data: Path, *, port: int = 0) -> None:
        self.data = data
        self.port = port
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, unless it runs."""
        if self._process is not None:
            return
        place = ["--data", str(self.data), "--config", str(self.data.with_suffix(".toml"))]
        address = ["--host", "127.0.0.1", "--port", str(self.port), "--name", SERVER]
        with self.data.with_suffix(".log").open("a") as log:
            self._process = subprocess.Popen(
                [*COMMAND, "serve", *place, *address, "--json"],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment(),
            )
        self.port = json_line(self._process.stdout)["port"]

    def stop(self) -> None:
        """Stop it, if it runs."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()

    def invite(self, *, uses: int = 1) -> str:
        """An invite's text."""
        config = Config(data=self.data, port=self.port, name=SERVER)
        return create_invite(config, host="127.0.0.1", port=self.port, uses=uses).to_text()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *fault: object) -> None:
        self.stop()


class People:
    """People with a home each and one password file, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.password = folder / "password"
        self.password.touch(mode=0o600)
        self.password.write_text(PASSWORD + "\n")

    def environment(self, name: str) -> dict[str, str]:
        """The settings of one of them."""
        return environment(
            PARLOUR_HOME=str(self.folder / name),
            PARLOUR_PASSWORD_FILE=str(self.password),
            TERM="xterm-256color",
        )

    def keep(self, invite: str) -> str:
        """The path of a file that holds an invite."""
        file = self.folder / "invite"
        file.write_text(invite + "\n")
        return str(file)

    def register(self, invite: str, names: Iterable[str]) -> None:
        """Register all of them, at the same time."""
        started = [
            subprocess.Popen(
                [
                    *CHEAP_COMMAND,
                    "register",
                    name,
                    "--invite-file",
                    self.keep(invite),
                    "--no-recovery",
                    "--json",
                ],
                env=self.environment(name),
                stdout=subprocess.PIPE,
                text=True,
            )
            for name in names
        ]
        for name, process in zip(names, started, strict=True):
            printed, _ = process.communicate(timeout=60)
            assert json.loads(printed)["account"] == f"{name}@{SERVER}"

    def introduce(self, names: Iterable[str]) -> None:
        """Let all of them hear each other, as if each had said yes to the others."""

        async def accept(name: str, others: list[str]) -> None:
            async with Client.open(self.folder / name, PASSWORD) as client:
                for other in others:
                    await client.people.accept(other)

        async def accept_all() -> None:
            everybody = list(names)
            await asyncio.gather(
                *(
                    accept(name, [other for other in everybody if other != name])
                    for name in everybody
                )
            )

        asyncio.run(accept_all())

    def call(self, name: str, *arguments: str, said: str = "") -> str:
        """Run a command as one of them; return what it prints."""
        done = self.run(name, *arguments, said=said)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(self, name: str, *arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command as one of them."""
        command = CHEAP_COMMAND if arguments[0] in MAKES_HOMES else COMMAND
        return subprocess.run(
            [*command, *arguments],
            input=said,
            env=self.environment(name),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@contextmanager
def server_and_people(folder: Path, *names: str) -> Iterator[tuple[ServerProcess, People]]:
    """A server that runs, and people who have accounts on it."""
    with ServerProcess(folder / "server") as server:
        people = People(folder)
        people.register(server.invite(uses=len(names)), names)
        people.introduce(names)
        yield server, people


def json_line(stream: IO[str] | None) -> dict[str, Any]:
    """The next line of a stream, read as JSON."""
    assert stream is not None
    line = stream.readline()
    assert line, "the program ended"
    document: dict[str, Any] = json.loads(line)
    return document
