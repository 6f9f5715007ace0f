"""``parlour recovery test`` and ``parlour recovery new``."""

from __future__ import annotations

from pathlib import Path

from cyclopts import App
from rich.text import Text

from parlour.cli import paper
from parlour.cli.options import HomeOptions
from parlour.cli.output import Output
from parlour.cli.safe_text import one_line
from parlour.cli.shown import date_and_time
from parlour.cli.unlocking import with_account_password
from parlour.client.client import Client
from parlour.client.recovery import Drilled, drill, place_at
from parlour.errors import Code, UsageError
from parlour.identity.recovery import RecoveryKey

recovery = App(name="recovery", help="Try your recovery key, or make a new one.")


@recovery.command(name="test")
async def try_(
    name: str | None = None,
    /,
    *,
    server: str | None = None,
    recovery_file: Path | None = None,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Try whether the recovery key on your paper would bring your account back.

    Goes the whole way of a recovery up to where it would change something.

    Parameters
    ----------
    name
        Name of the account, if it is not that of the home here.
    server
        HOST or HOST:PORT of its server, if there is no home here.
    recovery_file
        File that holds the key, instead of being asked.
    """
    output = options.output()
    if name is not None and server is not None:
        account = name.partition("@")[0]
        found = await drill(place_at(server), account, await paper.typed(recovery_file))
    elif name is None and server is None:
        found = await _drill_at_home(recovery_file, options)
    else:
        raise UsageError(Code.USAGE_INVALID, "give both NAME and --server, or neither")
    output.document(document(found))
    show(found, output)
    output.text("  Nothing was changed.")
    return 0


async def _drill_at_home(file: Path | None, options: HomeOptions) -> Drilled:
    """With what this device knows of the account, which a paper can't know."""
    password = await options.password()
    async with Client.open(options.folder(), password) as client:
        await client.caught_up()
        if not client.recovery.exists:
            raise UsageError(
                Code.USAGE_STATE, "the account has no recovery key; make one: parlour recovery new"
            )
        return await client.recovery.drill(await paper.typed(file))


def document(found: Drilled) -> dict[str, object]:
    """What a recovery would bring back, as JSON."""
    return {
        "account": found.account,
        "account_id": found.account_id.hex(),
        "pin": found.pin.hex(),
        "needs_approval": found.needs_approval,
        "devices": [
            {
                "device_id": device.device_id.hex(),
                "name": device.name,
                "added_at": device.added_at * 1000,
            }
            for device in found.devices
        ],
    }


def show(found: Drilled, output: Output) -> None:
    """The same for people."""
    output.text(Text(f"✓ The recovery key opens {found.account}.", style="bold"))
    output.text("  Its devices:")
    names = [one_line(device.name) if device.name else "(no name)" for device in found.devices]
    width = max(map(len, names), default=0)
    for device, name in zip(found.devices, names, strict=True):
        row = Text(f"    {name.ljust(width)}")
        row.append(f"  {device.device_id.hex()[:8]}", style="dim")
        row.append(f"  added {date_and_time(device.added_at * 1000)[:10]}", style="dim")
        output.text(row)


@recovery.command
async def new(
    *,
    recovery_file: Path | None = None,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Make a new recovery key. The server takes the old one no more from then on.

    Parameters
    ----------
    recovery_file
        Write the key to this new file, instead of showing it.
    """
    password = await options.password()
    output = options.output()
    async with Client.open(options.folder(), password) as client:
        await client.caught_up()
        key = RecoveryKey.generate()
        await paper.keep(key, recovery_file, output)
        await with_account_password(
            options, password, lambda secret: client.recovery.renew(secret, key)
        )
        account = client.name
    output.document(
        {"account": account, "recovery_file": str(recovery_file) if recovery_file else None}
    )
    output.text("✓ This is your recovery key now. Destroy the old paper.")
    return 0
