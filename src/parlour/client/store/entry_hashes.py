"""Statements on the hashes of entries."""

from __future__ import annotations

from typing import Any, Final

from parlour.conversation.changes import PutEntryHash

# Others name the last entry that they saw: a message that is older than this many entries when it
# arrives is compared no more. About 600 KB for a stream that has so many.
KEPT_PER_STREAM: Final = 10_000


def put_entry_hash(connection: Any, change: PutEntryHash) -> None:
    """Write the hash of an entry, new or over the old one."""
    connection.execute(
        "INSERT INTO entry_hash (stream, seq, hash) VALUES (?, ?, ?)"
        " ON CONFLICT DO UPDATE SET hash = excluded.hash",
        (change.stream, change.seq, change.hash),
    )


def trim_entry_hashes(connection: Any, stream: bytes, kept: int) -> None:
    """Keep the `kept` highest numbers of a stream.

    Counted, not computed from the highest number: a server that makes up one that is far ahead
    must not empty the table.
    """
    connection.execute(
        "DELETE FROM entry_hash WHERE stream = ?1 AND seq <= ("
        " SELECT seq FROM entry_hash WHERE stream = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
        (stream, kept),
    )


def get_entry_hash(connection: Any, stream: bytes, seq: int) -> bytes | None:
    """The hash of an entry, if it is still kept."""
    row = connection.execute(
        "SELECT hash FROM entry_hash WHERE stream = ? AND seq = ?", (stream, seq)
    ).fetchone()
    return None if row is None else row[0]
