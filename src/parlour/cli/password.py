"""``parlour password``: change it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from parlour.cli import asking
from parlour.cli.options import HomeOptions
from parlour.cli.unlocking import with_account_password
from parlour.client.change_password import change_password
from parlour.client.config import read_password_file
from parlour.client.workers import run_slow
from parlour.errors import Code, UsageError


async def password(
    *,
    new_password_file: Path | None = None,
    end_others: Annotated[bool, Parameter(negative=())] = False,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Change the password of your account, and of this device.

    Your other devices stay logged in, and open by the old password until you run `parlour login`
    on them. If you have forgotten the password: parlour recover NAME.

    Parameters
    ----------
    new_password_file
        File that holds the new password, instead of being asked.
    end_others
        Log out all other devices, which then need the new password.
    """
    old = await options.password()
    new = await read_new(new_password_file)
    output = options.output()
    output.note("Sealing the account anew …")

    async def change(account_password: str) -> None:
        home = account_password if old is None else old
        await change_password(
            options.folder(),
            home,
            new,
            account_password=account_password,
            end_sessions=end_others,
        )

    await with_account_password(options, old, change)
    output.document({"changed": True, "others_ended": end_others})
    output.text("✓ The password is changed.")
    if end_others:
        output.text("  Your other devices are logged out. On each of them: parlour login")
    return 0


async def read_new(file: Path | None) -> str:
    """A new password, from a file or asked twice."""
    if file is not None:
        return await run_slow(read_password_file, file)
    if not asking.somebody():
        raise UsageError(Code.USAGE_CONFIG, "no new password: give --new-password-file")
    return await asking.new_password("a new password")
