"""What an operator does to the data folder, with the server running or not.

Each opens the database as a second process would, which SQLite's write-ahead log allows; it waits
a few seconds for the server's writer, whose commits take milliseconds.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from parlour.errors import Code, StorageError, UsageError
from parlour.identity.invite import Invite, InviteSecret
from parlour.primitives.hashes import sha256
from parlour.primitives.random import Random, system_random
from parlour.server.certificates import load_tls
from parlour.server.clock import Clock, system_clock
from parlour.server.config import Config
from parlour.server.store.sqlite.database import connect
from parlour.server.store.sqlite.invites import insert_invite
from parlour.server.store.sqlite.migrations import migrations
from parlour.server.store.sqlite.store import DATABASE_FILE

_DAY: Final = 24 * 60 * 60
MAX_USES: Final = 1000
MAX_DAYS: Final = 365


def create_invite(
    config: Config,
    *,
    host: str,
    port: int,
    uses: int = 1,
    days: int = 7,
    ca: bool = False,
    clock: Clock = system_clock,
    random: Random = system_random,
) -> Invite:
    """Make an invite to this server, reached at `host` and `port`, for `uses` registrations.

    With `ca`, it names no pin: clients check the certificate against the authorities they trust.
    Blocks for a commit. Raises ``usage.invalid``, ``usage.state`` when the server was never
    started on this folder, and `StorageError`.
    """
    if not (1 <= uses <= MAX_USES and 1 <= days <= MAX_DAYS):
        raise UsageError(Code.USAGE_INVALID, f"1 to {MAX_USES} uses and 1 to {MAX_DAYS} days")
    now = clock() // 1000
    path = config.data / DATABASE_FILE
    if not path.exists():
        raise UsageError(Code.USAGE_STATE, "start the server once before")
    expires_at = now + days * _DAY
    secret = InviteSecret.generate(random)
    name = _store_invite(path, secret, uses, expires_at)
    pin = None if ca else load_tls(config, now=now, random=random).pin
    return Invite(server=name, host=host, port=port, pin=pin, secret=secret, expires_at=expires_at)


def _store_invite(path: Path, secret: InviteSecret, uses: int, expires_at: int) -> str:
    """Store the invite's hash and return the server's name."""
    try:
        connection = connect(path)
        try:
            _check_schema(connection)
            connection.execute("BEGIN IMMEDIATE")
            insert_invite(connection, sha256(secret.reveal()), uses, expires_at * 1000, None)
            (name,) = connection.execute("SELECT value FROM meta WHERE key = 'name'").fetchone()
            connection.execute("COMMIT")
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise StorageError(Code.STORE_BROKEN, type(error).__name__) from error
    return str(name)


def _check_schema(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != migrations()[-1][0]:
        raise StorageError(Code.STORE_BROKEN, "the schema is another version's: start the server")
