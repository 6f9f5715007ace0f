"""``parlour login``."""

from __future__ import annotations

from parlour.cli.options import HomeOptions
from parlour.client.client import Client
from parlour.client.config import find_password
from parlour.client.workers import run_slow


async def login(*, options: HomeOptions = HomeOptions()) -> int:  # noqa: B008 - frozen
    """Log this device in again, after its login was ended or has expired."""
    import os

    password = await options.password()
    if password is None:
        # The keychain opens the home, and the server asks for the password all the same.
        password = await run_slow(
            find_password, options.password_file, os.environ, options.prompt()
        )
    await Client.log_in(options.folder(), password)
    output = options.output()
    output.document({"home": str(options.folder())})
    output.text("✓ Logged in.")
    return 0
