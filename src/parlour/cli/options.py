"""What many commands take: from a flag, the environment, the file of settings, or a default."""

from __future__ import annotations

import functools
import getpass
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from parlour.cli import asking
from parlour.cli.output import Output
from parlour.client.config import find_home, find_password, with_settings
from parlour.client.home import Home
from parlour.errors import Code, UsageError


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
        home = find_home(self.home, with_settings(os.environ))
        try:
            if home.is_dir() or not home.exists():
                return home
        except OSError as problem:
            raise UsageError(Code.USAGE_CONFIG, f"the home: {problem.strerror}") from None
        raise UsageError(Code.USAGE_CONFIG, "the home is a file, not a folder")

    async def password(self) -> str | None:
        """The password of the home that is there; None where a keychain opens it."""
        if await Home.keychain_of(self.folder()) is not None:
            return None
        return await self.typed_password(f"Password for {self.folder()}: ")

    async def typed_password(self, prompt: str) -> str:
        """A password from a file, from the environment, or typed."""
        ask = functools.partial(getpass.getpass, prompt) if asking.somebody() else None
        return await self._find(ask)

    async def new_password(self, what: str = "a password") -> str:
        """A password for a new home, asked twice where it is typed."""
        given = await self._find(lambda: "")
        if given:
            return given
        if not asking.somebody():
            return await self._find(None)
        return await asking.new_password(what)

    async def _find(self, prompt: Callable[[], str] | None) -> str:
        environment = with_settings(os.environ)
        try:
            return await asking.of_a_person(
                functools.partial(find_password, self.password_file, environment, prompt)
            )
        except EOFError:
            raise UsageError(Code.USAGE_CONFIG, "no password was given") from None
