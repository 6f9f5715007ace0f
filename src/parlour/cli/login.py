"""``parlour login``."""

from __future__ import annotations

from parlour.cli.options import HomeOptions
from parlour.cli.unlocking import with_account_password
from parlour.client.client import Client


async def login(*, options: HomeOptions = HomeOptions()) -> int:  # noqa: B008 - frozen
    """Log this device in again, after its login was ended or has expired.

    If the password was changed on another device, this one opens by the new password afterwards.
    """
    password = await options.password()
    await with_account_password(
        options,
        password,
        lambda secret: Client.log_in(
            options.folder(), secret if password is None else password, account_password=secret
        ),
    )
    output = options.output()
    output.document({"home": str(options.folder())})
    output.text("✓ Logged in.")
    return 0
