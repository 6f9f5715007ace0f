"""``parlour register NAME``.

The invite is asked for, or read from a file: as an argument, every user of the machine could read
its secret in the list of processes, and the shell would keep it.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter
from rich.text import Text

from parlour.cli.options import HomeOptions
from parlour.client.client import Client
from parlour.client.workers import run_slow
from parlour.errors import Code, UsageError, error
from parlour.identity.invite import Invite
from parlour.login import account_name

# Characters. An invite has a few hundred; what is longer is something else.
MAX_INVITE: Final = 4096


async def register(
    name: str,
    /,
    *,
    invite_file: Path | None = None,
    keychain: Annotated[str | None, Parameter(negative=())] = None,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Make an account with an invite.

    The password opens your account on this device. The server never learns it, so nobody can reset
    it.

    Parameters
    ----------
    name
        How others find you: 1 to 32 of a-z, 0-9, dot, dash and underscore.
    invite_file
        File that holds the invite, instead of being asked. The invite is the line that begins with
        parlour:invite#.
    keychain
        Keep the key of this device's data in the system's keychain: secret-service, libsecret,
        kwallet, macos or windows.
    """
    name = account_name(name)
    if (options.folder() / "vault.json").exists():
        raise UsageError(Code.HOME_EXISTS, str(options.folder()))
    invited = Invite.from_text(await run_slow(_read_invite, invite_file))
    if invited.expires_at and invited.expires_at < time.time():
        raise error(Code.INVITE_INVALID, "it has expired")
    folder = options.folder()
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


def _read_invite(file: Path | None) -> str:
    """The invite: from a file, else from whoever sits there, else the first line that comes in."""
    if file is not None:
        try:
            return file.read_text()[:MAX_INVITE]
        except (OSError, UnicodeDecodeError) as problem:
            raise UsageError(Code.USAGE_CONFIG, "the file of the invite can't be read") from problem
    if sys.stdin.isatty():
        print("Paste the invite that you were given, and press Enter:", file=sys.stderr)
    return sys.stdin.readline(MAX_INVITE)
