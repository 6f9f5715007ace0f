"""``parlour register INVITE NAME``."""

from __future__ import annotations

import time
from typing import Annotated

from cyclopts import Parameter
from rich.text import Text

from parlour.cli.options import HomeOptions
from parlour.client.client import Client
from parlour.errors import Code, UsageError, error
from parlour.identity.invite import Invite
from parlour.login import account_name


async def register(
    invite: str,
    name: str,
    /,
    *,
    keychain: Annotated[str | None, Parameter(negative=())] = None,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Make an account with an invite.

    The password opens your account on this device. The server never learns it, so nobody can reset
    it.

    Parameters
    ----------
    invite
        The line that begins with parlour:invite#, in quotes. It holds the server's address, and the
        pin of its key.
    name
        How others find you: 1 to 32 of a-z, 0-9, dot, dash and underscore.
    keychain
        Keep the key of this device's data in the system's keychain: secret-service, libsecret,
        kwallet, macos or windows.
    """
    invited = Invite.from_text(invite)
    name = account_name(name)
    if invited.expires_at and invited.expires_at < time.time():
        raise error(Code.INVITE_INVALID, "it has expired")
    folder = options.folder()
    if (folder / "vault.json").exists():
        raise UsageError(Code.HOME_EXISTS, str(folder))
    output = options.output()
    output.note(f"Server: {invited.server} at {invited.host}:{invited.port}")
    password = await options.new_password()
    output.note("Making keys and registering …")
    await Client.register(folder, invited, name, password, keychain=keychain)
    account = f"{name}@{invited.server}"
    output.document({"account": account, "home": str(folder)})
    output.text(Text(f"✓ You are {account}.", style="bold"))
    output.text(f"  Your keys and messages lie in {folder}, encrypted under your password.")
    output.text("  Talk with somebody: parlour chat NAME")
    return 0
