"""``parlour serve``."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from cyclopts import Parameter

from parlour.cli.options import Options
from parlour.cli.output import Output
from parlour.cli.server_settings import reachable_at, server_config
from parlour.errors import ExitCode
from parlour.server.config import Config
from parlour.server.process import Server


@Parameter(name="*")
@dataclass(frozen=True)
class ServerOptions:
    """The settings that can be given here; without them, file and environment decide."""

    data: Path | None = None
    """Folder of everything that the server keeps. [default: parlour-data]"""

    name: str | None = None
    """What follows the @ in people's names. Fixed at the first start. [default: this machine's]"""

    host: str | None = None
    """Address to listen on. [default: 0.0.0.0]"""

    port: int | None = None
    """Port to listen on; 0 takes any free one. [default: 8443]"""

    registration: Literal["invite", "open"] | None = None
    """Who may register: whoever has an invite, or everybody. [default: invite]"""

    certificate: Path | None = None
    """PEM file of a certificate of your own; the server makes one otherwise."""

    key: Path | None = None
    """PEM file of its key."""

    log: Path | None = None
    """File to log to. [default: standard error]"""


def serve(
    *,
    server: ServerOptions = ServerOptions(),
    config: Path = Path("parlour.toml"),
    options: Options = Options(),  # noqa: B008 - frozen
) -> int:
    """Run a server until Ctrl-C or SIGTERM.

    Settings come from parlour.toml in this folder, then from the environment (PARLOUR_DATA and so
    on), then from here. At the first start the server makes its keys and its certificate.

    Parameters
    ----------
    config
        File of settings.
    """
    return _runner(server_config(config, **asdict(server)), options.output())


def _runner(settings: Config, output: Output) -> int:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(_serve(settings, output))
    return uvloop.run(_serve(settings, output))


async def _serve(settings: Config, output: Output) -> int:
    first = not (settings.data / "parlour.db").exists()
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(name, ended.set)
    async with Server(settings) as server:
        output.document(
            {
                "code": "server.started",
                "name": settings.name,
                "host": settings.host,
                "port": server.port,
                "pin": server.pin.hex(),
                "data": str(settings.data.absolute()),
                "first_start": first,
            }
        )
        if first:
            _introduce(settings, server, output)
        await ended.wait()
    return int(ExitCode.FINE)


def _introduce(settings: Config, server: Server, output: Output) -> None:
    """What an operator wants to know once."""
    address = f"{reachable_at(settings)}:{server.port}"
    data = settings.data.absolute()
    option = "" if settings.data == Config().data else f" --data {settings.data}"
    rows = {
        "Name": f"{settings.name}  (fixed from now on: people are NAME@{settings.name})",
        "Listening on": f"{settings.host}:{server.port}, TLS 1.3",
        "Others reach it at": f"{address}, as far as this machine can tell",
        "Pin of its key": server.pin.hex(),
        "Data": f"{data}  (back this folder up; keep it private)",
    }
    output.text(f"Your server runs, on {socket.gethostname()}.\n")
    for label, value in rows.items():
        output.text(f"  {label + ':':<20}{value}")
    output.text(f"\nNext, in another terminal: parlour admin invite{option}")
    output.text("To stop it: Ctrl-C. Below comes its log, which holds no names and no addresses.")
