"""``parlour backup export`` and ``parlour backup import``."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, Parameter
from rich.text import Text

from parlour.cli.options import HomeOptions
from parlour.cli.output import Output
from parlour.cli.shown import date_and_time
from parlour.client.backup import Progress
from parlour.client.client import Client
from parlour.client.config import read_password_file
from parlour.client.files import check_new_file
from parlour.client.workers import run_slow
from parlour.errors import Code, UsageError
from parlour.identity.passphrase import Passphrase

backup = App(name="backup", help="Export or import an encrypted backup.")

_FLAG: Final = Parameter(negative=())


@backup.command(name="export")
async def export_(
    file: Path,
    /,
    *,
    passphrase_file: Path | None = None,
    overwrite: Annotated[bool, _FLAG] = False,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Write contacts, settings and messages to an encrypted file, without the network.

    It opens with six words that are made for it and shown once. It holds no keys of this device:
    to come back from it you make a new device first, then import it there.

    Parameters
    ----------
    file
        The file to make.
    passphrase_file
        File that holds a passphrase of your own, instead of the six words.
    overwrite
        Write over a file that is there.
    """
    password = await options.password()
    output = options.output()
    await run_slow(check_new_file, file)
    own = await run_slow(_own_passphrase, passphrase_file)
    made = None if own is not None else Passphrase.generate()
    passphrase = own or (made.reveal() if made else "")
    async with Client.open(options.folder(), password, connect=False) as client:
        done = await client.export_backup(
            file, passphrase, overwrite=overwrite, progress=progress(output)
        )
    output.document(
        {
            "file": str(file),
            "messages": done.messages,
            "known": done.known,
            "left_out": done.left_out,
            "passphrase": made.reveal() if made else None,
        }
    )
    output.text(f"✓ {messages(done.messages)}, with contacts and settings, are in {file}.")
    if done.left_out:
        output.text(f"  {done.left_out} that were not sent, or can't be read, are not.")
    if made is not None:
        output.text("\n  It opens with these six words alone. Write them down now:\n")
        output.text(Text(f"      {made.reveal()}\n", style="bold"))
        output.text("  They are not kept anywhere. To try them: parlour backup import FILE")
    return 0


@backup.command(name="import")
async def import_(
    file: Path,
    /,
    *,
    passphrase_file: Path | None = None,
    options: HomeOptions = HomeOptions(),  # noqa: B008 - frozen
) -> int:
    """Merge a backup of this account into what is here. Doing it twice does no harm.

    What is here already stays as it is; of two decisions about a contact the later one counts.

    Parameters
    ----------
    file
        The backup.
    passphrase_file
        File that holds its passphrase, instead of being asked.
    """
    password = await options.password()
    output = options.output()
    passphrase = await run_slow(_passphrase, passphrase_file)
    async with Client.open(options.folder(), password, connect=False) as client:
        done = await client.import_backup(file, passphrase, progress=progress(output))
    output.document(
        {
            "file": str(file),
            "created_at": done.created_at,
            "messages": done.messages,
            "new": done.new,
            "known": done.known,
        }
    )
    output.text(f"✓ The backup of {date_and_time(done.created_at)} is imported.")
    output.text(f"  It holds {messages(done.messages)}, of which {done.new} were not here.")
    return 0


def messages(count: int) -> str:
    """``1 message``, ``2 messages``."""
    return f"{count} message{'' if count == 1 else 's'}"


def progress(output: Output) -> Progress | None:
    """How far it is, on a terminal."""
    if output.json or not sys.stderr.isatty():
        return None

    def show(done: int, total: int) -> None:
        end = "\r\x1b[K" if done == total else ""
        print(f"\r{done} of {messages(total)} …{end}", end="", file=sys.stderr, flush=True)

    return show


def _own_passphrase(file: Path | None) -> str | None:
    return None if file is None else _spaced(read_password_file(file.expanduser()))


def _passphrase(file: Path | None) -> str:
    given = _own_passphrase(file)
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise UsageError(Code.USAGE_CONFIG, "no passphrase: give --passphrase-file")
    try:
        return _spaced(getpass.getpass("Passphrase of the backup: "))
    except EOFError:
        raise UsageError(Code.USAGE_CONFIG, "no passphrase was given") from None


def _spaced(text: str) -> str:
    """With one blank between the words, however it was typed."""
    return " ".join(text.split())
