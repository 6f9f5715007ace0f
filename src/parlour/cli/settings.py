"""``parlour settings``: what is the same on all devices of a person."""

from __future__ import annotations

from cyclopts import App

from parlour.cli.options import HomeOptions
from parlour.cli.safe_text import one_line
from parlour.client.client import Client

settings = App(name="settings", help="Show or change what is the same on all your devices.")


@settings.command(name="list")
async def list_(*, options: HomeOptions = HomeOptions()) -> int:  # noqa: B008 - frozen
    """Show all settings. Programs choose their names and what they mean."""
    password = await options.password()
    output = options.output()
    async with Client.open(options.folder(), password) as client:
        await client.caught_up()
        found = client.settings.all()
    output.document({"settings": found})
    for key, value in found.items():
        output.text(f"{one_line(key)} = {one_line(value)}")
    if not found:
        output.note("None was set.")
    return 0


@settings.command(name="set")
async def set_(
    key: str,
    value: str,
    /,
    *,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Change a setting. Your other devices have it within a second, or when they are on again.

    Parameters
    ----------
    key
        Its name.
    value
        What it is from now on.
    """
    password = await options.password()
    output = options.output()
    async with Client.open(options.folder(), password) as client:
        await client.caught_up()
        await client.settings.set(key, value)
        await client.told()
    output.document({"key": key, "value": value})
    output.text(f"✓ {one_line(key)} = {one_line(value)}")
    return 0
