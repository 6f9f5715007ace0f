"""Configuration: defaults < `parlour.toml` < environment < command line.

::

    [server]
    data = "parlour-data"        # folder of everything that is kept      PARLOUR_DATA
    host = "0.0.0.0"             # address to listen on                   PARLOUR_HOST
    port = 8443                  # 0 takes any free one                   PARLOUR_PORT
    name = "localhost"           # what follows the @; never changes      PARLOUR_NAME
    registration = "invite"      # or "open"                              PARLOUR_REGISTRATION
    invites = "members"          # or "operator" alone                    PARLOUR_INVITES
    lone_vaults = "no"           # "yes": a generated passphrase may open an account on a new
                                 # device without any other      PARLOUR_LONE_VAULTS
    limits = 1.0                 # multiplies every rate limit            PARLOUR_LIMITS
    certificate = ""             # PEM chain; empty: one of our own       PARLOUR_CERTIFICATE
    key = ""                     # PEM key of that certificate            PARLOUR_KEY
    log = ""                     # file; empty: standard error            PARLOUR_LOG

Secrets are files in the data folder; none stands here, in the environment or in an argument.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from parlour.errors import Code, ParlourError, UsageError
from parlour.login import server_name

DEFAULT_PORT: Final = 8443
_MAX_PORT: Final = 65535
_PREFIX: Final = "PARLOUR_"


@dataclass(frozen=True, slots=True)
class Config:
    """A server's settings; see the module for each."""

    data: Path = Path("parlour-data")
    host: str = "0.0.0.0"  # noqa: S104  # a server is there to be reached
    port: int = DEFAULT_PORT
    name: str = "localhost"
    registration: str = "invite"
    invites: str = "members"
    lone_vaults: str = "no"
    limits: float = 1.0
    certificate: Path | None = None
    key: Path | None = None
    log: Path | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.port <= _MAX_PORT:
            raise _invalid("port", "0 to 65535")
        if self.registration not in ("invite", "open"):
            raise _invalid("registration", "invite or open")
        if self.invites not in ("members", "operator"):
            raise _invalid("invites", "members or operator")
        if self.lone_vaults not in ("no", "yes"):
            raise _invalid("lone_vaults", "no or yes")
        if not self.limits > 0:
            raise _invalid("limits", "a number above 0")
        if (self.certificate is None) != (self.key is None):
            raise _invalid("certificate", "certificate and key go together")
        try:
            object.__setattr__(self, "name", server_name(self.name))
        except ParlourError as error:
            raise _invalid("name", error.detail) from error


def load_config(
    file: Path | None, environment: Mapping[str, str], flags: Mapping[str, object]
) -> Config:
    """Merge the sources; a flag that is None was not given. Raises ``usage.config``.

    `file` may be None or absent; what stands in it and is not known here is refused by its name.
    """
    merged: dict[str, object] = dict(_read(file))
    for name in _SETTINGS:
        if text := environment.get(_PREFIX + name.upper()):
            merged[name] = text
    merged.update({name: value for name, value in flags.items() if value is not None})
    if unknown := merged.keys() - _SETTINGS.keys():
        raise _invalid(sorted(unknown)[0], "no such setting")
    return Config(**{name: _convert(name, value) for name, value in merged.items()})


def _read(file: Path | None) -> Mapping[str, object]:
    if file is None or not file.exists():
        return {}
    try:
        parsed = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _invalid(file.name, str(error)) from error
    table = parsed.get("server", {})
    if not isinstance(table, dict):
        raise _invalid("server", "a table")
    return table


def _optional_path(value: Any) -> Path | None:
    return Path(value).expanduser() if str(value) else None


_SETTINGS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "data": lambda value: Path(value).expanduser(),
    "host": str,
    "port": int,
    "name": str,
    "registration": str,
    "invites": str,
    "lone_vaults": str,
    "limits": float,
    "certificate": _optional_path,
    "key": _optional_path,
    "log": _optional_path,
}


def _convert(name: str, value: object) -> Any:
    try:
        return _SETTINGS[name](value)
    except (TypeError, ValueError) as error:
        raise _invalid(name, "not a value of its kind") from error


def _invalid(name: str, reason: str) -> UsageError:
    return UsageError(Code.USAGE_CONFIG, f"{name}: {reason}")
