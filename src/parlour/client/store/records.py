"""Statements on small records by namespace and key."""

from __future__ import annotations

from typing import Any

from parlour.conversation.changes import DeleteRecord, Namespace, PutRecord
from parlour.errors import Code, StorageError


def put_record(connection: Any, change: PutRecord) -> None:
    """Write a record, new or over the old one."""
    connection.execute(
        "INSERT INTO record (namespace, key, value) VALUES (?, ?, ?)"
        " ON CONFLICT DO UPDATE SET value = excluded.value",
        (change.namespace.value, change.key, change.value),
    )


def delete_record(connection: Any, change: DeleteRecord) -> None:
    """Delete a record, if it is there."""
    connection.execute(
        "DELETE FROM record WHERE namespace = ? AND key = ?", (change.namespace.value, change.key)
    )


def get_record(connection: Any, namespace: Namespace, key: bytes) -> bytes | None:
    """One record, or None."""
    row = connection.execute(
        "SELECT value FROM record WHERE namespace = ? AND key = ?", (namespace.value, key)
    ).fetchone()
    return None if row is None else bytes(row[0])


def all_records(connection: Any) -> dict[Namespace, dict[bytes, bytes]]:
    """Everything but pictures, with every namespace named.

    Raises `STORE_VERSION` for one that this program does not know.
    """
    records: dict[Namespace, dict[bytes, bytes]] = {namespace: {} for namespace in Namespace}
    rows = connection.execute(
        "SELECT namespace, key, value FROM record WHERE namespace != ?", (Namespace.PICTURE.value,)
    )
    for name, key, value in rows:
        try:
            namespace = Namespace(name)
        except ValueError as error:
            raise StorageError(Code.STORE_VERSION, f"records of {name}") from error
        records[namespace][key] = value
    return records
