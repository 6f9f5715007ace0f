"""The schema, step by step: numbered SQL files, applied in order, each in one transaction.

`PRAGMA user_version` holds the number of the last one applied. A file that was published is never
changed: what comes later is a new file.
"""

from __future__ import annotations

import re
import sqlite3
from importlib import resources

from parlour.errors import Code, StorageError


def migrations() -> list[tuple[int, str]]:
    """The steps as (number, SQL), in order."""
    found = []
    for file in resources.files(__name__).iterdir():
        if match := re.fullmatch(r"(\d{4})_\w+\.sql", file.name):
            found.append((int(match[1]), file.read_text(encoding="utf-8")))
    return sorted(found)


def migrate(connection: sqlite3.Connection) -> int:
    """Bring the database to the newest schema and return its number.

    Raises `StorageError` for a database that a newer program has made: this one would not know
    what it may not change.
    """
    steps = migrations()
    newest = steps[-1][0]
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > newest:
        raise StorageError(Code.STORE_BROKEN, f"schema {version} is newer than {newest}")
    for number, sql in steps:
        if number > version:
            _apply(connection, number, sql)
    return newest


def _apply(connection: sqlite3.Connection, number: int, sql: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in _statements(sql):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number:d}")
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _statements(sql: str) -> list[str]:
    """Split a script; `executescript` would commit on its own."""
    statements, current = [], ""
    for line in sql.splitlines(keepends=True):
        current += line
        if sqlite3.complete_statement(current):
            statements.append(current)
            current = ""
    return statements
