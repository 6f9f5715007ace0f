"""Commands in this process, as one person or another."""

from __future__ import annotations

import json
from typing import Any

import pytest

from parlour.cli.app import run
from tests.integration.running import People


class Shell:
    """Runs commands in this process as one person, and reads what they print."""

    def __init__(self, people: People, capture: pytest.CaptureFixture[str]) -> None:
        self.people = people
        self._capture = capture
        self.errors = ""

    def run(self, person: str, *arguments: str, code: int = 0) -> list[Any]:
        """Run a command with --json; return its documents."""
        assert run([*arguments, *self._home(person), "--json"]) == code, self._capture.readouterr()
        printed = self._capture.readouterr()
        self.errors = printed.err
        return [json.loads(line) for line in printed.out.splitlines()]

    def read(self, person: str, *arguments: str) -> str:
        """Run a command; return what people read."""
        assert run([*arguments, *self._home(person)]) == 0, self._capture.readouterr()
        return self._capture.readouterr().out

    def documents(self, person: str, *arguments: str, said: str) -> list[Any]:
        """Run a command with --json in a process of its own that is told something."""
        printed = self.people.call(person, *arguments, "--json", said=said)
        return [json.loads(line) for line in printed.splitlines()]

    def _home(self, person: str) -> list[str]:
        home = self.people.folder / person
        return ["--home", str(home), "--password-file", str(self.people.password)]

    @property
    def error_code(self) -> str:
        """The code of the last error."""
        return str(json.loads(self.errors)["error"]["code"])
