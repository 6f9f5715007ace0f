"""A server's settings, and where it can be reached."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Final

from parlour.errors import ParlourError
from parlour.login import server_name
from parlour.server.config import Config, load_config

# Of the block for documentation (RFC 5737): asking for the way there sends nothing.
_SOMEWHERE: Final = ("192.0.2.1", 9)
_UNNAMED: Final = Config().name


def server_config(file: Path, **flags: object) -> Config:
    """Merge file, environment and flags; a flag that is None was not given.

    The name is the one that was chosen, else that of the data which is there, else this machine's.
    """
    config = load_config(file, os.environ, flags)
    if config.name != _UNNAMED or flags.get("name") is not None:
        return config
    return replace(config, name=_stored(config.data, "name") or _machine_name())


def port_of(config: Config) -> int:
    """The port that the server of this data listened on last, else the configured one."""
    return int(_stored(config.data, "port") or config.port)


def _stored(data: Path, key: str) -> str | None:
    """What the server of this folder wrote down: its name of the first start, its port."""
    path = data / "parlour.db"
    if not path.exists():
        return None
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        ) as connection:
            row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    except sqlite3.Error:
        return None
    return str(row[0]) if row else None


def _machine_name() -> str:
    try:
        return server_name(socket.gethostname())
    except ParlourError:
        return _UNNAMED


def reachable_at(config: Config) -> str:
    """The address to put into invites when the operator named none.

    A name with a dot in it is taken for one of the DNS. Else it is the address that this machine
    has on its network: other machines seldom know it by its bare name.
    """
    host = config.name.rpartition(":")[0] or config.name
    if not _is_address(config.host) or not ipaddress.ip_address(config.host).is_unspecified:
        return config.host
    if "." in host or _is_address(host):
        return host
    return _own_address() or host


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True


def _own_address() -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_SOMEWHERE)
        except OSError:
            return None
        return str(probe.getsockname()[0])
