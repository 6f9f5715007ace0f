"""Cursors, trimming and forgetting.

Trimming takes ciphertext and parts away at once. The row stays a week more, so that an append
that is repeated late is still recognised; then it goes as well.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from parlour.server.store.records import DAY_MS, KEEP_ROW_MS, RetentionRule
from parlour.server.store.sqlite.rows import active_device, readable_stream
from parlour.wire.streams import Position

# What one sweep may do of each kind, so that it holds up the writer for milliseconds only.
SWEEP_LIMIT: Final = 500
# How long "this login was ended" can still be told from "never seen".
KEEP_TOKEN_MS: Final = 30 * DAY_MS


def acknowledge(
    connection: sqlite3.Connection, device_id: bytes, positions: Sequence[Position], now: int
) -> None:
    """See `interface.Streams.acknowledge`."""
    device = active_device(connection, device_id)
    for position in positions:
        stream = readable_stream(connection, device, position.stream)
        # A position ahead of the stream would trim what is yet to come.
        moved = connection.execute(
            "INSERT INTO cursors (device, stream, seq) "
            "SELECT ?, pk, min(?, last_seq) FROM streams WHERE pk = ? "
            "ON CONFLICT (device, stream) DO UPDATE SET seq = excluded.seq "
            "WHERE excluded.seq > cursors.seq",
            (device.pk, position.seq, stream),
        )
        if moved.rowcount == 1:
            _trim_read(connection, stream, now)


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
    for table, condition, time in (
        ("entries", "trimmed_at <= ?", now - KEEP_ROW_MS),
        ("tokens", "revoked_at <= ?", now - KEEP_TOKEN_MS),
        ("tokens", "expires_at <= ?", now - KEEP_TOKEN_MS),
        ("invites", "expires_at <= ?", now),
        ("invites", "uses_left = 0 AND ?", 1),
        ("key_packages", "expires_at <= ?", now // 1000),
        ("prekeys", "kind IN ('one_time', 'kem_one_time') AND expires_at <= ?", now // 1000),
    ):
        done += connection.execute(
            f"DELETE FROM {table} WHERE pk IN "  # noqa: S608  # literals above
            f"(SELECT pk FROM {table} WHERE {condition} LIMIT ?)",
            (time, SWEEP_LIMIT),
        ).rowcount
    return done


def _trim_read(connection: sqlite3.Connection, stream: int, now: int) -> None:
    """Trim what every device that may read the stream has read, if its rule says so."""
    rule, inbox = connection.execute(
        "SELECT retention, device FROM streams WHERE pk = ?", (stream,)
    ).fetchone()
    if rule != RetentionRule.QUEUE:
        return
    (read_by_all,) = connection.execute(
        "SELECT min(coalesce(cursors.seq, 0)) FROM members "
        "JOIN devices ON devices.account = members.account AND devices.active = 1 "
        "LEFT JOIN cursors ON cursors.device = devices.pk AND cursors.stream = members.stream "
        "WHERE members.stream = ? AND (? IS NULL OR devices.pk = ?)",
        (stream, inbox, inbox),
    ).fetchone()
    _trim(
        connection,
        "SELECT pk FROM entries WHERE stream = ? AND seq <= ? AND body IS NOT NULL",
        (stream, read_by_all),
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
