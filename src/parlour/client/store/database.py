"""Open the database, run transactions, and turn its errors into ours.

Everything here runs on the store's own thread.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import sqlcipher3

from parlour.client.files import create_private_file
from parlour.client.keys import DatabaseKey
from parlour.errors import Code, ParlourError, StorageError

_PRAGMAS: Final = (
    # The home's lock keeps other programs out; then SQLite needs no shared-memory file.
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA journal_mode = WAL",
    # State is on disk before a ciphertext leaves: a commit waits for the disk.
    "PRAGMA synchronous = FULL",
    # What is deleted or replaced is overwritten, not only unlinked.
    "PRAGMA secure_delete = ON",
    "PRAGMA foreign_keys = ON",
    "PRAGMA temp_store = MEMORY",
    # A damaged or exchanged file may not make SQLite run functions or trust wrong sizes.
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
)
_PRAGMAS_MACOS: Final = (
    # There an fsync stops at the drive's cache.
    "PRAGMA fullfsync = ON",
    "PRAGMA checkpoint_fullfsync = ON",
)
# Primary result codes (https://sqlite.org/rescode.html).
_CODES: Final = {
    5: Code.STORE_LOCKED,  # SQLITE_BUSY
    6: Code.STORE_LOCKED,  # SQLITE_LOCKED
    13: Code.STORE_FULL,  # SQLITE_FULL
}
_PRIMARY: Final = 0xFF


def storage_error(error: sqlcipher3.Error) -> ParlourError:
    """The error of ours for one of SQLite's, whose text never holds a value."""
    number = getattr(error, "sqlite_errorcode", None)
    code = Code.STORE_BROKEN if number is None else _CODES.get(number & _PRIMARY)
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return StorageError(code or Code.STORE_BROKEN, name)


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn what SQLite raises into `StorageError`."""
    try:
        yield
    except sqlcipher3.Error as error:
        raise storage_error(error) from error


@contextmanager
def transaction(connection: Any) -> Iterator[None]:
    """Run the block in one transaction: all of it is on disk afterwards, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A commit that failed for a full disk leaves the transaction open; SQLite itself may have
        # rolled it back as well.
        if connection.in_transaction:
            with suppress(sqlcipher3.Error):
                connection.execute("ROLLBACK")
        raise


def open_database(path: Path, key: DatabaseKey) -> Any:
    """Open or create the database with the raw key; a wrong key raises `STORE_BROKEN`."""
    create_private_file(path)
    with storage_errors():
        # Transactions are written out, so the module begins none by itself.
        connection = sqlcipher3.connect(str(path), isolation_level=None, timeout=0)
        try:
            # SQLCipher would write its log to the program's standard error.
            connection.execute("PRAGMA cipher_log_level = NONE")
            connection.execute(f"PRAGMA key = \"x'{key.reveal().hex()}'\"")
            for pragma in _PRAGMAS + (_PRAGMAS_MACOS if sys.platform == "darwin" else ()):
                connection.execute(pragma).fetchall()
            # The first page is decrypted and authenticated here.
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except BaseException:
            connection.close()
            raise
    return connection


def truncate_wal(connection: Any) -> None:
    """Bring what the log holds into the database and cut the log to nothing.

    Old pages, encrypted under the same key, would lie in the log until it was written over.
    """
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def close_database(connection: Any) -> None:
    """Truncate the log and close; closes in any case."""
    with storage_errors():
        try:
            truncate_wal(connection)
        finally:
            connection.close()
