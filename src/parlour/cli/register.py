"""``parlour register NAME``.

The invite is asked for, or read from a file: as an argument, every user of the machine could read
its secret in the list of processes, and the shell would keep it.
"""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter
from rich.text import Text

from parlour.cli import asking, paper
from parlour.cli.options import HomeOptions
from parlour.cli.output import Output
from parlour.cli.safe_text import one_line
from parlour.client.client import Client
from parlour.client.files import read_bounded
from parlour.client.set_up import is_unfinished
from parlour.client.vault_file import VAULT_NAME
from parlour.client.workers import run_slow
from parlour.errors import Code, ParlourError, StorageError, UsageError, error
from parlour.identity.device_name import MAX_NAME
from parlour.identity.invite import Invite
from parlour.identity.passphrase import Passphrase
from parlour.identity.recovery import RecoveryKey
from parlour.login import new_account_name

# Characters. An invite has a few hundred; what is longer is something else.
MAX_INVITE: Final = 4096
_FLAG: Final = Parameter(negative=())


async def register(
    name: str,
    /,
    *,
    invite_file: Path | None = None,
    recovery_file: Path | None = None,
    no_recovery: Annotated[bool, _FLAG] = False,
    passphrase: Annotated[bool, _FLAG] = False,
    device_name: str | None = None,
    keychain: Annotated[str | None, Parameter(negative=())] = None,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Make an account with an invite.

    The password opens your account on this device. The server never learns it. If you forget it,
    the recovery key that is shown here once is what brings your account back.

    Parameters
    ----------
    name
        How others find you: 1 to 32 of a-z, 0-9, dot, dash and underscore.
    invite_file
        File that holds the invite, instead of being asked. The invite is the line that begins with
        parlour:invite#.
    recovery_file
        Write the recovery key to this new file, instead of showing it.
    no_recovery
        Make no recovery key: a forgotten password then loses the account.
    passphrase
        Make a passphrase of six words instead of choosing a password. Where the server allows it,
        they alone bring the account to a new device.
    device_name
        What your own devices call this one; nobody else can read it. [default: this machine's name]
    keychain
        Keep the key of this device's data in the system's keychain: secret-service, libsecret,
        kwallet, macos or windows.
    """
    name = new_account_name(name)
    output = options.output()
    earlier = await _earlier_try(options)
    invited = Invite.from_text(await _read_invite(invite_file))
    if invited.expires_at and invited.expires_at < time.time():
        raise error(Code.INVITE_INVALID, "it has expired")
    _say_where(invited, output)
    words = Passphrase.generate() if passphrase and not earlier else None
    if words is not None:
        await paper.learn(words, output)
    password = earlier or (words.reveal() if words else await options.new_password())
    recovery = _Recovery(recovery_file, wanted=not no_recovery, again=bool(earlier))
    key = await recovery.key(output)
    output.note("Making keys and registering …")
    alone = await _make(
        options.folder(),
        invited,
        name,
        words or password,
        {
            "keychain": keychain,
            "recovery": key,
            "device_name": this_machine() if device_name is None else device_name,
        },
    )
    _say_done(f"{name}@{invited.server}", options, recovery, words, alone=alone)
    await _begin(options, password, meet=bool(invited.account_key and invited.account_name))
    output.text("  Talk with somebody: parlour chat NAME")
    return 0


async def _make(
    folder: Path, invited: Invite, name: str, password: str | Passphrase, settings: dict[str, Any]
) -> bool:
    """Register; whether a passphrase stands alone. Where the server forbids it, it does not."""
    try:
        lone = isinstance(password, Passphrase)
        await Client.register(folder, invited, name, password, lone=lone, **settings)
    except ParlourError as problem:
        if problem.code is not Code.PASSPHRASE_REFUSED:
            raise
        await Client.register(folder, invited, name, password, **settings)
        return False
    return lone


async def _begin(options: HomeOptions, password: str, *, meet: bool) -> None:
    """Leave keys by which others can add this device to groups, and look up who has invited us.

    Their key is compared with the one in the invite.
    """
    async with Client.open(options.folder(), password) as client:
        met = await client.invites.meet() if meet else None
        await client.ready()
    if met is not None:
        name = one_line(met.name)
        options.output().text(f"  {name} has invited you, and has the key that the invite names.")


async def _earlier_try(options: HomeOptions) -> str | None:
    """The password of what an interrupted registration left; refuses a home that is in use."""
    if not (options.folder() / VAULT_NAME).exists():
        return None
    password = await options.password()
    await is_unfinished(options.folder(), password)
    options.output().note("An earlier try was interrupted; this one goes on with it.")
    return password


def this_machine() -> str:
    """The name of this machine, as a name for the device."""
    return socket.gethostname().partition(".")[0][:MAX_NAME]


def _say_where(invited: Invite, output: Output) -> None:
    output.note(f"Server: {invited.server} at {invited.host}:{invited.port}")
    if invited.account_name:
        output.note(f"You are invited by {invited.account_name}@{invited.server}.")


async def _read_invite(file: Path | None) -> str:
    """The invite: from a file, else from whoever sits there, else the first line that comes in."""
    if file is not None:
        try:
            return (await run_slow(read_bounded, file, MAX_INVITE)).decode()
        except (OSError, UnicodeDecodeError, StorageError) as problem:
            raise UsageError(Code.USAGE_CONFIG, "the file of the invite can't be read") from problem
    if asking.somebody():
        asking.note("Paste the invite that you were given, and press Enter:")
    return await asking.line()


# --- The recovery key --------------------------------------------------------------------


class _Recovery:
    """Where the recovery key goes: to paper, to a file, or nowhere if a person says so."""

    def __init__(self, file: Path | None, *, wanted: bool, again: bool) -> None:
        self._file = file
        self._wanted = wanted
        self._again = again
        self._key: RecoveryKey | None = None

    async def key(self, output: Output) -> RecoveryKey | None:
        """Make a key and see it kept; or take the one of an earlier try."""
        if self._again:
            self._key = await self._earlier()
        elif self._wanted:
            self._key = await self._new(output)
        return self._key

    async def _earlier(self) -> RecoveryKey | None:
        """An earlier try may have made the account with the key that was written down then."""
        if self._file is not None:
            return await paper.typed(self._file)
        if not self._wanted or not asking.somebody():
            return None
        return await paper.typed(None, "The recovery key that you wrote down: ")

    async def _new(self, output: Output) -> RecoveryKey:
        key = RecoveryKey.generate()
        await paper.keep(key, self._file, output)
        return key

    @property
    def file(self) -> Path | None:
        """Where it was written to."""
        return self._file if self._key is not None else None


def _say_done(
    account: str,
    options: HomeOptions,
    recovery: _Recovery,
    words: Passphrase | None,
    *,
    alone: bool,
) -> None:
    folder, output = options.folder(), options.output()
    output.document(
        {
            "account": account,
            "home": str(folder),
            "recovery_file": str(recovery.file) if recovery.file else None,
            "passphrase": words.reveal() if words else None,
            "stands_alone": alone,
        }
    )
    output.text(Text(f"✓ You are {account}.", style="bold"))
    output.text(f"  Your keys and messages lie in {folder}, encrypted under your password.")
    if recovery.file is not None:
        output.text(f"  Your recovery key is in {recovery.file}. Move it off this machine.")
    if words is not None and not alone:
        output.text("  This server does not let a passphrase stand alone: it is a password here.")
