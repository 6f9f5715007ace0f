"""``parlour devices``."""

from __future__ import annotations

from typing import Literal

from cyclopts import App
from rich.text import Text

from parlour.cli.options import HomeOptions
from parlour.cli.safe_text import one_line
from parlour.cli.shown import date_and_time, utc_date
from parlour.cli.unlocking import with_account_password
from parlour.client.client import Client
from parlour.client.devices import OwnDeviceInfo

devices = App(name="devices", help="List, rename or remove your devices.")


@devices.command(name="list")
async def list_(*, options: HomeOptions = HomeOptions()) -> int:  # noqa: B008 - frozen
    """List the devices of your account."""
    password = await options.password()
    output = options.output()
    async with Client.open(options.folder(), password) as client:
        await client.caught_up()
        found = await client.devices.list()
        approval = client.devices.needs_approval
    output.document({"devices": [document(device) for device in found], "approval": approval})
    for row in rows(list(found)):
        output.text(row)
    if approval:
        output.note("A new device needs the approval of one of these, or of the recovery key.")
    return 0


@devices.command
async def rename(
    device: str,
    name: str,
    /,
    *,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Give a device another name. Only your own devices can read it.

    Parameters
    ----------
    device
        Its name, or the beginning of its id as `parlour devices list` shows it.
    name
        Its new name.
    """
    password = await options.password()
    async with Client.open(options.folder(), password) as client:
        await client.caught_up()
        await with_account_password(
            options, password, lambda secret: client.devices.rename(device, name, secret)
        )
    output = options.output()
    output.document({"renamed": device, "name": name})
    output.text(f"✓ {one_line(device)} is {one_line(name)} now.")
    return 0


@devices.command
async def remove(
    device: str,
    /,
    *more: str,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Remove devices from your account: they are logged out, and read nothing that is said later.

    For one that was lost or stolen, `parlour lost-device` does more.

    Parameters
    ----------
    device
        Its name, or the beginning of its id as `parlour devices list` shows it.
    more
        Others.
    """
    password = await options.password()
    async with Client.open(options.folder(), password) as client:
        await client.caught_up()
        removed = await with_account_password(
            options, password, lambda secret: client.devices.remove([device, *more], secret)
        )
    output = options.output()
    output.document({"removed": [device_id.hex() for device_id in removed]})
    output.text(f"✓ {count(len(removed))} removed.")
    return 0


@devices.command
async def approval(
    needed: Literal["on", "off"],
    /,
    *,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Demand, or no longer, that an old device or the recovery key approves a new one.

    Everybody you talk with checks it. Whoever learns your password can't add a device then.

    Parameters
    ----------
    needed
        on or off.
    """
    password = await options.password()
    async with Client.open(options.folder(), password) as client:
        await client.caught_up()
        await with_account_password(
            options,
            password,
            lambda secret: client.devices.set_approval(secret, needed=needed == "on"),
        )
    output = options.output()
    output.document({"approval": needed == "on"})
    output.text(
        "✓ A new device needs the approval of an old one, or of the recovery key."
        if needed == "on"
        else "✓ Your password, with a device or the recovery key, is enough for a new device."
    )
    return 0


def document(device: OwnDeviceInfo) -> dict[str, object]:
    """A device as JSON."""
    return {
        "device_id": device.device_id.hex(),
        "name": device.name,
        "current": device.current,
        "added_at": device.added_at * 1000,
        "last_seen": device.last_seen,
    }


def rows(found: list[OwnDeviceInfo]) -> list[Text]:
    """The devices, one in a row."""
    names = [one_line(device.name) if device.name else "(no name)" for device in found]
    width = max(map(len, names), default=0)
    shown = []
    for device, name in zip(found, names, strict=True):
        row = Text(name.ljust(width), style="bold" if device.name else "dim")
        row.append(f"  {device.short_id}")
        row.append(f"  added {date_and_time(device.added_at * 1000)[:10]}", style="dim")
        seen = "not logged in"
        if device.last_seen is not None:
            seen = f"last used {utc_date(device.last_seen)}"
        row.append(f"  {seen}", style="dim")
        if device.current:
            row.append("  this one", style="green")
        shown.append(row)
    return shown


def count(number: int) -> str:
    """``1 device``, ``2 devices``."""
    return f"{number} device{'' if number == 1 else 's'}"
