"""The version of a local store: the list of steps that lead to it.

A database remembers in `user_version` how many steps it has taken; the rest is taken when it is
opened, each in a transaction of its own. A step that was published is never changed.

The number stands for all that is in the database, not for its tables alone: whoever changes what a
record holds, so that an older record does not decode, or an older program would read a newer one
wrongly, takes a step, which may have no statements (`tests/stability/test_formats.py` holds us to
it). A newer database is refused before anything is read, and an older one whose records no step
has brought up is refused when they are (`STORE_VERSION`).
"""

from __future__ import annotations

from typing import Any, Final

from parlour.client.store.database import transaction
from parlour.errors import Code, StorageError

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        """
        CREATE TABLE record (
            namespace TEXT NOT NULL,
            key       BLOB NOT NULL,
            value     BLOB NOT NULL,
            PRIMARY KEY (namespace, key)
        ) STRICT, WITHOUT ROWID
        """,
        # `delivery` numbers what was not yet handed to the program that reads events, in the
        # order in which it came to be so; NULL for what was.
        """
        CREATE TABLE message (
            conversation   BLOB NOT NULL,
            sender_device  BLOB NOT NULL,
            message_id     BLOB NOT NULL,
            sender_account BLOB NOT NULL,
            seq            INTEGER,
            sent_at        INTEGER NOT NULL,
            stored_at      INTEGER,
            state          TEXT NOT NULL,
            content        BLOB NOT NULL,
            reason         TEXT NOT NULL,
            delivery       INTEGER,
            PRIMARY KEY (conversation, sender_device, message_id)
        ) STRICT, WITHOUT ROWID
        """,
        """
        CREATE INDEX message_place ON message (
            conversation, (seq IS NULL), (coalesce(seq, sent_at)), sender_device, message_id
        )
        """,
        "CREATE UNIQUE INDEX message_delivery ON message (delivery) WHERE delivery IS NOT NULL",
        """
        CREATE TABLE entry_hash (
            stream BLOB NOT NULL,
            seq    INTEGER NOT NULL,
            hash   BLOB NOT NULL,
            PRIMARY KEY (stream, seq)
        ) STRICT, WITHOUT ROWID
        """,
    ),
    # Records changed without a number until here; from here on, each number has one shape.
    (),
)


def migrate(connection: Any, migrations: tuple[tuple[str, ...], ...] = MIGRATIONS) -> None:
    """Take the steps that the database has not taken.

    Raises `STORE_VERSION` for a database of a newer program, which this one could only damage.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(migrations):
        raise StorageError(Code.STORE_VERSION, "it is of a newer program: update this one")
    for number, statements in enumerate(migrations[version:], version + 1):
        with transaction(connection):
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
