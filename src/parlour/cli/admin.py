"""``parlour admin``: what the operator of a server does."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from parlour.cli import qr
from parlour.cli.lasting import days
from parlour.cli.options import Options
from parlour.cli.server_settings import port_of, reachable_at, server_config
from parlour.client.address import Address
from parlour.server.admin import create_invite

admin = App(name="admin", help="Invite people to your server.")


@admin.command
def invite(
    *,
    uses: int = 1,
    expires: str = "7d",
    address: str | None = None,
    qr_code: Annotated[bool, Parameter(name="--qr", negative=())] = False,
    qr_file: Path | None = None,
    data: Path | None = None,
    config: Path = Path("parlour.toml"),
    options: Options = Options(),  # noqa: B008 - frozen
) -> int:
    """Print an invite: a line to hand over to somebody.

    It holds the server's address, the pin of its key, and a secret that allows to register. Hand
    it over in a way that you trust.

    Parameters
    ----------
    uses
        How many accounts may be made with it.
    expires
        For how long it holds: days ("7d") or weeks ("2w").
    address
        HOST or HOST:PORT where people reach the server.
    qr_code
        Show it as a QR code too.
    qr_file
        Write the QR code to this PNG or SVG file. Whoever sees it may register.
    data
        Folder of the server. [default: parlour-data]
    config
        File of settings.
    """
    if qr_file is not None:
        qr.check_file(qr_file)
    settings = server_config(config, data=data)
    named = Address.parse(address) if address else None
    made = create_invite(
        settings,
        host=named.host if named else reachable_at(settings),
        port=_port(address, named, port_of(settings)),
        uses=uses,
        days=days(expires),
    )
    line = made.to_text()
    until = datetime.fromtimestamp(made.expires_at, UTC)
    output = options.output()
    output.document(
        {
            "invite": line,
            "server": made.server,
            "host": made.host,
            "port": made.port,
            "pin": made.pin.hex() if made.pin else None,
            "uses": uses,
            "expires_at": made.expires_at * 1000,
        }
    )
    output.text(line)
    if qr_code:
        output.text()
        output.text(qr.drawn(line))
    if qr_file is not None:
        qr.save(line, qr_file)
        output.note(f"The code is in {qr_file}.")
    times = "once" if uses == 1 else f"{uses} times"
    output.note(
        f"Good {times} until {until:%Y-%m-%d %H:%M} UTC, for {made.server} at "
        f"{made.host}:{made.port}. (Another address: --address)"
    )
    output.note("Whoever gets it runs: parlour register NAME")
    return 0


def _port(text: str | None, named: Address | None, configured: int) -> int:
    """The named port; without one, the server's own."""
    if named is None or text is None:
        return configured
    # Colons without brackets are an IPv6 address, which no port follows.
    alone = text.endswith("]") or (text.count(":") != 1 and not text.startswith("["))
    return configured if alone else named.port
