"""``parlour link``: on a device that is part of the account already."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from parlour.cli import asking, qr
from parlour.cli.meeting import Meeting, read_code
from parlour.cli.options import HomeOptions
from parlour.cli.safe_text import one_line
from parlour.cli.unlocking import with_account_password
from parlour.client.client import Client
from parlour.client.devices import OwnDeviceInfo

_FLAG: Final = Parameter(negative=())
_ABOUT: Final = (
    "\nA new device wants to join {account}. Once it has, it reads what is said from then on,\n"
    "and speaks in your name."
)


async def link(
    *,
    paste: Annotated[bool, _FLAG] = False,
    code_file: Path | None = None,
    name: str | None = None,
    qr_code: Annotated[bool, Parameter(name="--qr", negative=())] = False,
    qr_file: Path | None = None,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Take a new device into your account.

    Run this on a device that you have, and `parlour join` on the new one. This one shows a code,
    the new one takes it, and you compare six digits. With --paste it is the other way round: the
    new device shows the code (`parlour join --server HOST:PORT`).

    Parameters
    ----------
    paste
        Take the code that the new device shows.
    code_file
        File that holds that code, instead of pasting it.
    name
        What your own devices call the new one; nobody else can read it.
    qr_code
        Show the code as a QR code too.
    qr_file
        Write the QR code to this PNG or SVG file. Whoever sees it may use it.
    """
    if qr_file is not None:
        qr.check_file(qr_file)
    password = await options.password()
    output = options.output()
    meeting = Meeting(output, "the new device", qr_code, qr_file)
    async with Client.open(options.folder(), password) as client:
        await client.connected()
        called = await _name(name, json=options.json)
        compare = meeting.compare(_ABOUT)
        if paste or code_file is not None:
            code = await read_code(code_file, "the new device")
            device = await with_account_password(
                options,
                password,
                lambda secret: client.devices.scan(code, secret, compare=compare, name=called),
            )
        else:
            output.text("On the new device run `parlour join`, and paste this code there:")
            device = await with_account_password(
                options,
                password,
                lambda secret: client.devices.show(
                    secret, show=meeting.show, compare=compare, name=called
                ),
            )
    _say_done(device, client.name, options)
    return 0


async def _name(given: str | None, *, json: bool) -> str:
    if given is not None or json or not asking.somebody():
        return given or ""
    return (await asking.line("A name for the new device, for your eyes only: ")).strip()


def _say_done(device: OwnDeviceInfo, account: str, options: HomeOptions) -> None:
    output = options.output()
    output.document(
        {
            "code": "link.done",
            "account": account,
            "device_id": device.device_id.hex(),
            "name": device.name,
        }
    )
    called = one_line(device.name) if device.name else f"device {device.short_id}"
    output.text(f"✓ {called} is one of your devices now. All of them: parlour devices list")
