"""``parlour lost-device``: everything that a lost device asks for, in one guided step."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.text import Text

from parlour.cli import asking
from parlour.cli.devices import rows
from parlour.cli.options import HomeOptions
from parlour.cli.output import Output
from parlour.cli.password import read_new
from parlour.cli.safe_text import one_line
from parlour.cli.unlocking import with_account_password
from parlour.client.client import Client
from parlour.client.devices import OwnDeviceInfo
from parlour.errors import Code, UsageError


async def lost_device(
    *names: str,
    new_password_file: Path | None = None,
    yes: Annotated[bool, Parameter(negative=())] = False,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """A device was lost or stolen: take it out of your account, and change what it knew.

    In one step it loses its login and its place in your account, every other login ends, and your
    password changes. Whoever has it reads what is on it, if they can unlock it; nothing that is
    said afterwards.

    Parameters
    ----------
    names
        The lost devices, by name or by the beginning of their ids; asked without any.
    new_password_file
        File that holds the new password, instead of being asked.
    yes
        Don't ask whether to go on.
    """
    password = await options.password()
    output = options.output()
    async with Client.open(options.folder(), password) as client:
        await client.caught_up()
        known = list(await client.devices.list())
        wanted = names or await _which(known, output)
        lost = [_named(await client.devices.find(name), known) for name in wanted]
        if any(device.current for device in lost):
            raise UsageError(Code.USAGE_INVALID, "this is the device that you are using")
        _say_what_happens(lost, output)
        if not yes:
            if options.json or not asking.somebody():
                raise UsageError(Code.USAGE_STATE, "nobody is there to ask: give --yes")
            if not await asking.yes("Go on?"):
                output.note("Nothing was changed.")
                return 0
        new = await read_new(new_password_file)

        async def change(secret: str) -> None:
            await client.passwords.change(
                secret if password is None else password,
                new,
                account_password=secret,
                end_sessions=True,
                remove=[device.device_id for device in lost],
            )

        await with_account_password(options, password, change)
    output.document({"removed": [device.device_id.hex() for device in lost]})
    _say_done(lost, stay=len(known) - len(lost) - 1, output=output)
    return 0


async def _which(known: list[OwnDeviceInfo], output: Output) -> tuple[str, ...]:
    if not asking.somebody() or output.json:
        raise UsageError(Code.USAGE_INVALID, "say which: parlour lost-device NAME")
    for row in rows(known):
        output.text(row)
    answer = (await asking.line("Which one is lost? Its name, or its id: ")).strip()
    if not answer:
        raise UsageError(Code.USAGE_INVALID, "no device was named")
    return (answer,)


def _named(device_id: bytes, known: list[OwnDeviceInfo]) -> OwnDeviceInfo:
    return next(device for device in known if device.device_id == device_id)


def called(device: OwnDeviceInfo) -> str:
    """A device by its name and the beginning of its id."""
    return f"{one_line(device.name)} ({device.short_id})" if device.name else device.short_id


def _say_what_happens(lost: list[OwnDeviceInfo], output: Output) -> None:
    names = ", ".join(called(device) for device in lost)
    output.text(Text(f"\nThis happens now, in one step, to: {names}", style="bold"))
    output.text("  · It leaves your account, is logged out, and reads nothing that is said later.")
    output.text("    Your contacts' devices stop writing to it as soon as they hear of that.")
    output.text("  · Your password changes, and every other login ends.")
    output.text("What is on it already stays readable to whoever can unlock it.\n")


def _say_done(lost: list[OwnDeviceInfo], *, stay: int, output: Output) -> None:
    names = ", ".join(called(device) for device in lost)
    output.text(f"✓ {names} is out of your account, and your password is changed.")
    if stay:
        output.text("  On your other devices, log in by the new password: parlour login")
    output.text("  That nobody adds a device by what it knew: parlour devices approval on")
    output.text("  Was the paper with the recovery key there as well? Then: parlour recovery new")
