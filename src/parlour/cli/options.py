"""What many commands take: from a flag, the environment, the file of settings, or a default."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

from cyclopts import Parameter

from parlour.cli.output import Output
from parlour.client.config import find_home, find_password, with_settings
from parlour.client.home import Home
from parlour.client.workers import run_slow
from parlour.errors import Code, UsageError

Prompt: TypeAlias = Callable[[], str]


@Parameter(name="*")
@dataclass(frozen=True)
class Options:
    """What every command takes."""

    json: Annotated[bool, Parameter(negative=())] = False
    """Print JSON for programs."""

    def output(self) -> Output:
        """Where results go."""
        return Output(json=self.json)


@Parameter(name="*")
@dataclass(frozen=True)
class HomeOptions(Options):
    """What every command takes that works on a home."""

    home: Path | None = None
    """Folder of your account on this device. [env: PARLOUR_HOME] [default: ~/.parlour]"""

    password_file: Path | None = None
    """File that holds the password, instead of being asked. [env: PARLOUR_PASSWORD_FILE]"""

    def folder(self) -> Path:
        """The home's folder."""
        return find_home(self.home, with_settings(os.environ))

    async def password(self) -> str | None:
        """The password of the home that is there; None where a keychain opens it."""
        if await Home.keychain_of(self.folder()) is not None:
            return None
        return await run_slow(self._find_password, self.prompt())

    async def new_password(self) -> str:
        """A password for a new account, asked twice."""
        prompt = ask_new_password if sys.stdin.isatty() else None
        return await run_slow(self._find_password, prompt)

    def _find_password(self, prompt: Prompt | None) -> str:
        return find_password(self.password_file, with_settings(os.environ), prompt)

    def prompt(self) -> Prompt | None:
        """How to ask for the password, where somebody is there to answer."""
        folder = self.folder()
        return (lambda: _ask(f"Password for {folder}: ")) if sys.stdin.isatty() else None


def ask_new_password() -> str:
    """Ask for a password twice, until both are the same."""
    while True:
        first = _ask("Choose a password: ")
        if not first:
            raise UsageError(Code.USAGE_INVALID, "a password has at least one character")
        if _ask("The same again: ") == first:
            return first
        print("They differ. Once more.", file=sys.stderr)


def _ask(text: str) -> str:
    try:
        return getpass.getpass(text)
    except EOFError:
        raise UsageError(Code.USAGE_CONFIG, "no password was given") from None


def confirm(question: str) -> bool:
    """Ask whoever sits there a question that only ``y`` or ``yes`` answers with yes."""
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().casefold() in ("y", "yes")
