"""``parlour recover NAME``: from the recovery key alone to a home on this device."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter
from rich.text import Text

from parlour.cli import asking, paper
from parlour.cli import recovery as drilling
from parlour.cli.options import HomeOptions
from parlour.cli.register import this_machine
from parlour.client.client import Client
from parlour.client.home import move_aside
from parlour.client.recovery import Drilled, drill, place_at
from parlour.client.vault_file import VAULT_NAME
from parlour.errors import Code, UsageError
from parlour.login import account_name

_FLAG: Final = Parameter(negative=())


async def recover(
    name: str,
    /,
    *,
    server: str,
    others: Annotated[str | None, Parameter(name="--other-devices")] = None,
    recovery_file: Path | None = None,
    set_aside: Annotated[bool, _FLAG] = False,
    device_name: str | None = None,
    keychain: Annotated[str | None, Parameter(negative=())] = None,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Get your account back with the recovery key: when no device is left, or no password.

    This becomes a new device of the account, with a new password. Contacts come back from your
    other devices or from a backup, as do messages: they lie on devices only.

    Parameters
    ----------
    name
        Name of the account.
    server
        HOST or HOST:PORT of its server.
    others
        What becomes of the account's other devices: "keep" them, or "remove" them all, after a
        fire or a theft. Asked when it is not given.
    recovery_file
        File that holds the recovery key, instead of being asked.
    set_aside
        If the folder holds a home whose password is forgotten, move that out of the way.
    device_name
        What your own devices call this one; nobody else can read it. [default: this machine's name]
    keychain
        Keep the key of this device's data in the system's keychain: secret-service, libsecret,
        kwallet, macos or windows.
    """
    if others not in (None, "keep", "remove"):
        raise UsageError(Code.USAGE_INVALID, "--other-devices is keep or remove")
    name, place, output = account_name(name.partition("@")[0]), place_at(server), options.output()
    key = await paper.typed(recovery_file)
    found = await drill(place, name, key)
    drilling.show(found, output)
    remove = await _remove_others(others, found)
    aside = await _make_room(options, asked=set_aside)
    password = await options.new_password("a new password for the account")
    output.note("Making keys and asking the server …")
    await Client.recover(
        options.folder(),
        place,
        name,
        key,
        password,
        keychain=keychain,
        remove_others=remove,
        device_name=this_machine() if device_name is None else device_name,
    )
    output.document(
        {
            **drilling.document(found),
            "home": str(options.folder()),
            "others_removed": remove,
            "set_aside": str(aside) if aside else None,
        }
    )
    output.text(Text(f"✓ {found.account} is yours again, on this device.", style="bold"))
    if remove:
        output.text("  All other devices are removed. They read nothing from now on.")
    else:
        output.text("  Your other devices stay. To remove one: parlour devices remove NAME")
    if aside is not None:
        output.text(f"  What was here is in {aside}, locked by its own password.")
    output.text("  Messages come back from a backup file: parlour backup import FILE")
    output.text("  The recovery key stays good. If somebody saw it: parlour recovery new")
    return 0


async def _remove_others(given: str | None, found: Drilled) -> bool:
    if given is not None or not found.devices:
        return given == "remove"
    if not asking.somebody():
        raise UsageError(Code.USAGE_CONFIG, "give --other-devices keep, or remove")
    asking.note("If somebody else may have one of these devices, all of them should go.")
    return await asking.yes("Remove all of them?")


async def _make_room(options: HomeOptions, *, asked: bool) -> Path | None:
    """Set a home aside whose password is forgotten; an unfinished recovery goes on where it is."""
    folder = options.folder()
    if not (folder / VAULT_NAME).exists():
        return None
    if not asked and asking.somebody():
        asking.note(f"{folder} holds a home. Forgotten its password? Then it can be set aside:")
        asking.note("nothing in it is lost, and it opens if you ever remember the password.")
        asking.note("If a recovery was interrupted here, say no: by the same password it goes on.")
        asked = await asking.yes("Set it aside, and make a new device here?")
    return await move_aside(folder) if asked else None
