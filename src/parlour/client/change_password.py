"""Change the password of a home that no program has open, however far a crash let it come."""

from __future__ import annotations

from pathlib import Path

from parlour.client.client import Client
from parlour.client.home import Home
from parlour.client.passwords import opens, text_of
from parlour.client.registration import home_folder
from parlour.identity.passphrase import Passphrase


async def change_password(
    folder: Path | str,
    password: str,
    new_password: str | Passphrase,
    *,
    account_password: str | None = None,
    lone: bool = False,
    end_sessions: bool = False,
) -> None:
    """`Client.passwords.change` from outside; raises what it raises, and what opening a home does.

    It is the new password that opens the home, where an earlier try came to its end.
    """
    path, first = home_folder(folder), password
    if await Home.keychain_of(path) is None and not await opens(path, password):
        first = text_of(new_password)
    async with Client.open(path, first) as client:
        await client.connected()
        await client.passwords.change(
            password,
            new_password,
            account_password=account_password,
            lone=lone,
            end_sessions=end_sessions,
        )
