"""``parlour join``: on a new device."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.text import Text

from parlour.cli import devices, qr
from parlour.cli.meeting import Meeting, read_code
from parlour.cli.options import HomeOptions
from parlour.cli.register import this_machine
from parlour.client.client import Client
from parlour.client.linking import Linked
from parlour.client.recovery import place_at
from parlour.client.vault_file import VAULT_NAME
from parlour.errors import Code, UsageError

_ABOUT = "\nThis device joins {account}."


async def join(
    *,
    server: str | None = None,
    account: str = "",
    passphrase: Annotated[bool, Parameter(negative=())] = False,
    code_file: Path | None = None,
    qr_code: Annotated[bool, Parameter(name="--qr", negative=())] = False,
    qr_file: Path | None = None,
    keychain: Annotated[str | None, Parameter(negative=())] = None,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Make this a device of an account that you have on another one.

    Run `parlour link` there, and paste here the code that it shows. Or show the code here, with
    --server, and take it there with `parlour link --paste`. Then compare six digits.

    Parameters
    ----------
    server
        HOST or HOST:PORT of the account's server: this device shows the code.
    account
        With --server, the name of the account: any other one is refused.
    passphrase
        With --server and --account: join by the generated passphrase of the account alone, without
        another device, where server and account allow that.
    code_file
        File that holds the other device's code, instead of pasting it.
    qr_code
        With --server, show the code as a QR code too.
    qr_file
        With --server, write the QR code to this PNG or SVG file.
    keychain
        Keep the key of this device's data in the system's keychain: secret-service, libsecret,
        kwallet, macos or windows.
    """
    if qr_file is not None:
        qr.check_file(qr_file)
    if passphrase:
        return await _by_passphrase(server, account, keychain, options)
    folder, output = options.folder(), options.output()
    meeting = Meeting(output, "the other device", qr_code, qr_file)
    compare = meeting.compare(_ABOUT)
    if server is None:
        code = await read_code(code_file, "`parlour link` on your other device")
        password = await _password(options)
        linked = await Client.join(folder, code, password, compare=compare, keychain=keychain)
    else:
        place = place_at(server)
        password = await _password(options)
        output.text("On your other device run `parlour link --paste`, and paste this code there:")
        linked = await Client.link_new(
            folder,
            place,
            password,
            show=meeting.show,
            compare=compare,
            keychain=keychain,
            account=account,
        )
    _say_done(linked, options)
    return 0


async def _by_passphrase(
    server: str | None, account: str, keychain: str | None, options: HomeOptions
) -> int:
    if server is None or not account:
        raise UsageError(Code.USAGE_INVALID, "--passphrase needs --server and --account")
    words = await options.typed_password("Passphrase of the account: ")
    password = " ".join(words.split())
    await Client.join_by_passphrase(
        options.folder(),
        place_at(server),
        account,
        password,
        keychain=keychain,
        device_name=this_machine(),
    )
    async with Client.open(options.folder(), password) as client:
        await client.connected()
        found = list(await client.devices.list())
    output = options.output()
    output.document(
        {
            "code": "link.done",
            "account": account,
            "home": str(options.folder()),
            "devices": [devices.document(device) for device in found],
        }
    )
    output.text(Text(f"✓ This is a device of {account} now. All of them:", style="bold"))
    for row in devices.rows(found):
        output.text(row)
    output.text("  Is one of them not yours? Then, here: parlour lost-device")
    output.text("  Your other devices are told. What was said before is on them, or in a backup.")
    return 0


async def _password(options: HomeOptions) -> str:
    """What opens the new home; that of one that an interrupted try left."""
    if (options.folder() / VAULT_NAME).exists():
        password = await options.password()
        if password is None:
            raise UsageError(Code.HOME_EXISTS, str(options.folder()))
        return password
    return await options.new_password("a password for this device (that of your account is fine)")


def _say_done(linked: Linked, options: HomeOptions) -> None:
    output, folder = options.output(), options.folder()
    account = f"{linked.name}@{linked.server}"
    output.document(
        {
            "code": "link.done",
            "account": account,
            "device_id": linked.device_id.hex(),
            "home": str(folder),
        }
    )
    output.text(Text(f"✓ This is a device of {account} now.", style="bold"))
    output.text("  Your contacts are here, and what is said from now on. What was said before is")
    output.text("  on your other devices; bring it with `parlour backup export` and `import`.")
