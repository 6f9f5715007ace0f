"""Cursors, trimming and forgetting.

Trimming takes ciphertext and parts away at once. The row stays a week more, so that an append
that is repeated late is still recognised; then it goes as well.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from parlour.server.store.group_records import KEEP_EPOCH_MS, KEEP_FORMER_MS, KEEP_WISH_MS
from parlour.server.store.records import DAY_MS, KEEP_ROW_MS, RetentionRule
from parlour.server.store.sqlite.rows import active_device, member_stream
from parlour.wire.streams import Position

# What one sweep may do of each kind, so that it holds up the writer for milliseconds only.
SWEEP_LIMIT: Final = 500
# Each asks thousands of devices what they have read.
SWEEP_GROUPS: Final = 4
_NO_LIMIT: Final = -1
# How long "this login was ended" can still be told from "never seen".
KEEP_TOKEN_MS: Final = 30 * DAY_MS


def acknowledge(
    connection: sqlite3.Connection, device_id: bytes, positions: Sequence[Position], now: int
) -> None:
    """See `interface.Streams.acknowledge`."""
    device = active_device(connection, device_id)
    for position in positions:
        stream = member_stream(connection, device, position.stream).pk
        # A position ahead of the stream would trim what is yet to come.
        moved = connection.execute(
            "INSERT INTO cursors (device, stream, seq) "
            "SELECT ?, pk, min(?, last_seq) FROM streams WHERE pk = ? "
            "ON CONFLICT (device, stream) DO UPDATE SET seq = excluded.seq "
            "WHERE excluded.seq > cursors.seq",
            (device.pk, position.seq, stream),
        )
        if moved.rowcount == 1 and not _is_group(connection, stream):
            _trim_read(connection, stream, now)


def _is_group(connection: sqlite3.Connection, stream: int) -> bool:
    """Whether it is a group, which is then trimmed by the next sweep.

    What all have read is a question to thousands of devices there, too many for each answer.
    """
    noted = connection.execute(
        "UPDATE mls_groups SET acknowledged = 1 WHERE stream = ? AND acknowledged = 0", (stream,)
    )
    if noted.rowcount:
        return True
    row = connection.execute("SELECT 1 FROM mls_groups WHERE stream = ?", (stream,)).fetchone()
    return row is not None


def sweep(connection: sqlite3.Connection, now: int) -> int:
    """See `interface.Streams.sweep`."""
    done = _trim(
        connection,
        "SELECT pk FROM entries WHERE expires_at <= ? AND body IS NOT NULL LIMIT ?",
        (now, SWEEP_LIMIT),
        now,
    )
    done += _trim(
        connection,
        "SELECT entries.pk FROM streams JOIN entries ON entries.stream = streams.pk "
        "WHERE retention != ? AND body IS NOT NULL "
        "AND stored_at <= ? - retention_days * ? LIMIT ?",
        (RetentionRule.FOREVER.value, now, DAY_MS, SWEEP_LIMIT),
        now,
    )
    done += _sweep_groups(connection, now)
    for table, condition, time in (
        ("entries", "trimmed_at <= ?", now - KEEP_ROW_MS),
        ("tokens", "revoked_at <= ?", now - KEEP_TOKEN_MS),
        ("tokens", "expires_at <= ?", now - KEEP_TOKEN_MS),
        ("invites", "expires_at <= ?", now),
        ("invites", "uses_left = 0 AND ?", 1),
        ("former_members", "left_at <= ?", now - KEEP_FORMER_MS),
        ("group_epochs", "stored_at <= ?", now - KEEP_EPOCH_MS),
        ("group_wishes", "at <= ?", now - KEEP_WISH_MS),
        ("key_packages", "expires_at <= ?", now // 1000),
        ("prekeys", "kind IN ('one_time', 'kem_one_time') AND expires_at <= ?", now // 1000),
    ):
        done += connection.execute(
            f"DELETE FROM {table} WHERE pk IN "  # noqa: S608  # literals above
            f"(SELECT pk FROM {table} WHERE {condition} LIMIT ?)",
            (time, SWEEP_LIMIT),
        ).rowcount
    return done


def _sweep_groups(connection: sqlite3.Connection, now: int) -> int:
    """Trim groups in which somebody has read on since the last sweep, and forget their trees."""
    done = 0
    streams = connection.execute(
        "SELECT stream FROM mls_groups WHERE acknowledged = 1 LIMIT ?", (SWEEP_GROUPS,)
    ).fetchall()
    for (stream,) in streams:
        trimmed = _trim_read(connection, stream, now, SWEEP_LIMIT)
        if trimmed < SWEEP_LIMIT:
            connection.execute("UPDATE mls_groups SET acknowledged = 0 WHERE stream = ?", (stream,))
        _forget_trees(connection, stream)
        done += max(trimmed, 1)
    return done


def _forget_trees(connection: sqlite3.Connection, stream: int) -> None:
    """Forget the trees of epochs whose joiners have all gone on."""
    connection.execute(
        "UPDATE group_epochs SET tree = NULL, roster_state = NULL, roster_head = NULL "
        "WHERE stream = ? AND tree IS NOT NULL AND NOT EXISTS (SELECT 1 FROM entries "
        "JOIN parts ON parts.entry = entries.pk "
        "LEFT JOIN cursors ON cursors.device = parts.device AND cursors.stream = entries.stream "
        "WHERE entries.stream = group_epochs.stream AND entries.seq = group_epochs.seq "
        "AND coalesce(cursors.seq, 0) < group_epochs.seq)",
        (stream,),
    )


def _trim_read(
    connection: sqlite3.Connection, stream: int, now: int, limit: int = _NO_LIMIT
) -> int:
    """Trim what every device that may read the stream has read, if its rule says so.

    Somebody who was removed holds up what came before, until that is read or too old.
    """
    rule, inbox = connection.execute(
        "SELECT retention, device FROM streams WHERE pk = ?", (stream,)
    ).fetchone()
    if rule != RetentionRule.QUEUE:
        return 0
    (read_by_all,) = connection.execute(
        "SELECT min(read_to) FROM ("
        "SELECT max(coalesce(cursors.seq, 0), first_seq - 1) AS read_to FROM members "
        "JOIN devices ON devices.account = members.account AND devices.active = 1 "
        "LEFT JOIN cursors ON cursors.device = devices.pk AND cursors.stream = members.stream "
        "WHERE members.stream = :stream AND (:inbox IS NULL OR devices.pk = :inbox) "
        "UNION ALL "
        "SELECT max(coalesce(cursors.seq, 0), first_seq - 1) FROM former_members "
        "JOIN devices ON devices.account = former_members.account AND devices.active = 1 "
        "LEFT JOIN cursors ON cursors.device = devices.pk "
        "AND cursors.stream = former_members.stream "
        "WHERE former_members.stream = :stream AND coalesce(cursors.seq, 0) < last_seq)",
        {"stream": stream, "inbox": inbox},
    ).fetchone()
    return _trim(
        connection,
        "SELECT pk FROM entries WHERE stream = ? AND seq <= ? AND body IS NOT NULL "
        "ORDER BY seq LIMIT ?",
        (stream, read_by_all, limit),
        now,
    )


def _trim(
    connection: sqlite3.Connection, chosen: str, arguments: tuple[object, ...], now: int
) -> int:
    entries = [(row[0],) for row in connection.execute(chosen, arguments).fetchall()]
    connection.executemany("DELETE FROM parts WHERE entry = ?", entries)
    connection.executemany(
        "UPDATE entries SET body = NULL, key_id = x'', trimmed_at = ? WHERE pk = ?",
        [(now, entry) for (entry,) in entries],
    )
    return len(entries)
