"""``parlour profile``: the name, line and picture that your contacts see."""

from __future__ import annotations

from pathlib import Path

from cyclopts import App
from rich.text import Text

from parlour.cli.options import HomeOptions
from parlour.cli.safe_text import one_line
from parlour.cli.shown import MARKS
from parlour.client.client import Client
from parlour.client.files import read_bounded
from parlour.client.pictures import without_metadata
from parlour.client.workers import run_slow
from parlour.errors import Code, ParlourError, UsageError, error
from parlour.identity.profile import MAX_PICTURE

profile = App(name="profile", help="Show profiles, or change yours.")


@profile.command
async def show(
    name: str | None = None,
    /,
    *,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Show what somebody shows of themselves, or you.

    A profile's name is what they call themselves: anybody may call themselves anything. The name
    of the account, and the sign beside it, say who it is.

    Parameters
    ----------
    name
        Whose; without it, yours.
    """
    password = await options.password()
    output = options.output()
    async with Client.open(options.folder(), password, connect=False) as client:
        if name is None:
            account, mark, style = client.name, "", ""
            known = client.people.own_profile
        else:
            known_here = client.people.known_as(name)
            if known_here is None:
                raise error(Code.ACCOUNT_UNKNOWN, "on this device")
            contact = known_here
            account, (mark, style) = contact.name, MARKS[contact.verification]
            known = client.people.profile(contact)
    output.document(
        {
            "account": account,
            "name": known.name if known else None,
            "status": known.status if known else None,
        }
    )
    output.text(Text(one_line(account), style="bold").append(f" {mark}", style=style))
    if known is None:
        output.note("No profile." if name is None else "They show no profile, or not to you.")
        return 0
    output.text(f"  calls themselves  “{one_line(known.name)}”")
    if known.status:
        output.text(f"  and says          “{one_line(known.status)}”")
    return 0


@profile.command(name="set")
async def set_(
    *,
    name: str | None = None,
    status: str | None = None,
    picture: Path | None = None,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Change what your contacts see of you. The server can't read it.

    Parameters
    ----------
    name
        What you call yourself: up to 64 characters.
    status
        A line of up to 140 characters.
    picture
        A JPEG or PNG file of up to 64 KiB. Where and when it was taken is left out.
    """
    if name is None and status is None and picture is None:
        raise UsageError(Code.USAGE_INVALID, "say what: --name, --status or --picture")
    image = b"" if picture is None else await run_slow(_picture, picture)
    password = await options.password()
    output = options.output()
    async with Client.open(options.folder(), password) as client:
        known = client.people.own_profile
        await client.people.set_profile(
            name if name is not None else (known.name if known else ""),
            status if status is not None else (known.status if known else ""),
            image if picture is not None else (known.picture if known else b""),
        )
        await client.told()
        shown = client.people.own_profile
    output.document(
        {"name": shown.name if shown else None, "status": shown.status if shown else None}
    )
    output.text("✓ Your contacts see your new profile as soon as they are online.")
    return 0


def _picture(file: Path) -> bytes:
    try:
        data = read_bounded(file, MAX_PICTURE)
    except FileNotFoundError:
        raise UsageError(Code.USAGE_INVALID, f"{file.name} is not there") from None
    except ParlourError:
        raise UsageError(
            Code.USAGE_INVALID, f"a picture has at most {MAX_PICTURE >> 10} KiB"
        ) from None
    return without_metadata(data)
