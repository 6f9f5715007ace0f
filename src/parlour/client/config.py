"""Where the home is, and where its password comes from.

A password is never an argument of a command: every user of the machine can read those.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from parlour.client.files import OTHERS
from parlour.errors import Code, UsageError

HOME_VARIABLE: Final = "PARLOUR_HOME"
PASSWORD_FILE_VARIABLE: Final = "PARLOUR_PASSWORD_FILE"  # noqa: S105 - a name
PASSWORD_VARIABLE: Final = "PARLOUR_PASSWORD"  # noqa: S105 - a name
CONFIG_VARIABLE: Final = "PARLOUR_CONFIG"
_SETTINGS: Final = {"home": HOME_VARIABLE, "password_file": PASSWORD_FILE_VARIABLE}
DEFAULT_HOME: Final = ".parlour"
# The longest password has 1,024 characters of at most four bytes.
MAX_PASSWORD_FILE: Final = 4 << 10


def with_settings(environment: Mapping[str, str]) -> Mapping[str, str]:
    """The environment, with what the file of settings says where the environment says nothing.

    The file is the one that ``PARLOUR_CONFIG`` names, else ``parlour.toml`` in the user's folder of
    settings (``~/.config/parlour``). It is not looked for in the working folder, so that a folder
    that somebody sends can't name another home. Its ``[client]`` holds ``home`` and
    ``password_file``. Raises `USAGE_CONFIG` for a file or a setting that is not understood.
    """
    named = environment.get(CONFIG_VARIABLE)
    folder = environment.get("XDG_CONFIG_HOME") or "~/.config"
    path = Path(named or f"{folder}/parlour/parlour.toml").expanduser()
    if named is None and not path.exists():
        return environment
    try:
        client = tomllib.loads(path.read_text(encoding="utf-8")).get("client", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(Code.USAGE_CONFIG, f"{path} can't be read as TOML") from error
    if not isinstance(client, dict):
        raise UsageError(Code.USAGE_CONFIG, f"{path}: [client] is a table")
    settings = dict(environment)
    for name, value in client.items():
        variable = _SETTINGS.get(name)
        if variable is None or not isinstance(value, str):
            raise UsageError(Code.USAGE_CONFIG, f"{path}: client.{name}")
        settings.setdefault(variable, value)
    return settings


def find_home(option: Path | None, environment: Mapping[str, str]) -> Path:
    """The home: ``--home``, else ``PARLOUR_HOME``, else ``~/.parlour``."""
    if option is not None:
        return _expanded(option).absolute()
    if variable := environment.get(HOME_VARIABLE):
        return _expanded(Path(variable)).absolute()
    return Path.home() / DEFAULT_HOME


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:
        raise UsageError(Code.USAGE_CONFIG, f"{path.parts[0]}: there is no such user") from None


def find_password(
    option: Path | None,
    environment: Mapping[str, str],
    prompt: Callable[[], str] | None = None,
) -> str:
    """The password: what was asked for most plainly comes first.

    1. `option`, the file of ``--password-file``;
    2. the file that ``PARLOUR_PASSWORD_FILE`` names;
    3. ``PARLOUR_PASSWORD`` itself, the weakest: programs that are started from here inherit it,
       and it shows to whoever may look at the process;
    4. `prompt`, when there is somebody to ask.

    Reads files and may wait for a person: call it by `workers.run_slow`. Raises `USAGE_CONFIG`.
    """
    if option is not None:
        return read_password_file(option)
    if named := environment.get(PASSWORD_FILE_VARIABLE):
        return read_password_file(_expanded(Path(named)))
    if password := environment.get(PASSWORD_VARIABLE):
        return password
    if prompt is not None:
        return prompt()
    raise UsageError(
        Code.USAGE_CONFIG, f"no password: give --password-file or {PASSWORD_FILE_VARIABLE}"
    )


def read_password_file(path: Path) -> str:
    """The first and only line of a file that nobody else can read."""
    try:
        with path.open("rb") as file:
            # Of the open file, not of the path, which may be exchanged in between.
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if os.name == "posix" and mode & OTHERS:
                raise UsageError(
                    Code.USAGE_CONFIG, "others can reach the password file: chmod 600 it"
                )
            data = file.read(MAX_PASSWORD_FILE + 1)
    except OSError as error:
        raise UsageError(
            Code.USAGE_CONFIG, f"the password file: {error.strerror or 'not readable'}"
        ) from error
    if len(data) > MAX_PASSWORD_FILE:
        raise UsageError(Code.USAGE_CONFIG, "the password file is too large")
    try:
        text = data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        # Not chained: that error shows the bytes.
        raise UsageError(Code.USAGE_CONFIG, "the password file is not UTF-8") from None
    if not text or "\n" in text:
        raise UsageError(Code.USAGE_CONFIG, "the password file holds one line, the password")
    return text
