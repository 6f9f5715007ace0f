"""Streams: who reads which, and how they are made."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from parlour.errors import Code, UsageError
from parlour.server.store.records import AppendedEntry, Retention
from parlour.server.store.sqlite import entries, pages, retention
from parlour.server.store.sqlite.database import Database
from parlour.server.store.sqlite.rows import (
    account_pk,
    active_device,
    check_room,
    describe,
    member_stream,
)
from parlour.wire.streams import (
    Append,
    CatchUp,
    CaughtUp,
    Page,
    Position,
    Read,
    StreamInfo,
    StreamInfos,
)


class SqliteStreams:
    """Implements `interface.Streams`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_direct(
        self, info: StreamInfo, *, creator: bytes, now: int
    ) -> tuple[StreamInfo, bool]:
        """See `interface.Streams.create_direct`."""
        return await self._database.write(
            lambda connection: create_pair(
                connection, info, {creator, *info.members}, Retention.queue()
            )
        )

    async def create_self(self, info: StreamInfo, *, creator: bytes) -> tuple[StreamInfo, bool]:
        """See `interface.Streams.create_self`."""
        return await self._database.write(
            lambda connection: create_pair(connection, info, [creator], Retention.queue())
        )

    async def of_device(self, device_id: bytes, after: bytes = b"") -> StreamInfos:
        """See `interface.Streams.of_device`."""
        return await self._database.read(
            lambda connection: pages.list_streams(connection, device_id, after)
        )

    async def info(self, device_id: bytes, stream: bytes) -> StreamInfo:
        """See `interface.Streams.info`."""
        return await self._database.read(lambda connection: _info(connection, device_id, stream))

    async def append(
        self,
        device_id: bytes,
        request: Append,
        *,
        now: int,
        epoch: tuple[int, int] | None = None,
        known: int | None = None,
    ) -> AppendedEntry:
        """See `interface.Streams.append`."""
        return await self._database.write(
            lambda connection: entries.append(connection, device_id, request, now, epoch, known)
        )

    async def read(self, device_id: bytes, request: Read, *, now: int) -> Page:
        """See `interface.Streams.read`."""
        return await self._database.read(
            lambda connection: pages.read(connection, device_id, request, now)
        )

    async def catch_up(self, device_id: bytes, request: CatchUp, *, now: int) -> CaughtUp:
        """See `interface.Streams.catch_up`."""
        return await self._database.read(
            lambda connection: pages.catch_up(connection, device_id, request, now)
        )

    async def acknowledge(
        self, device_id: bytes, positions: Iterable[Position], *, now: int
    ) -> None:
        """See `interface.Streams.acknowledge`."""
        listed = list(positions)
        await self._database.write(
            lambda connection: retention.acknowledge(connection, device_id, listed, now)
        )

    async def sweep(self, *, now: int) -> int:
        """See `interface.Streams.sweep`."""
        return await self._database.write(lambda connection: retention.sweep(connection, now))


def _info(connection: sqlite3.Connection, device_id: bytes, stream_id: bytes) -> StreamInfo:
    stream = member_stream(connection, active_device(connection, device_id), stream_id)
    return describe(connection, stream.pk, stream.first)


class _Pair(NamedTuple):
    """Two accounts' keys in the database, in order."""

    low: int
    high: int


def create_pair(
    connection: sqlite3.Connection, info: StreamInfo, members: Iterable[bytes], rule: Retention
) -> tuple[StreamInfo, bool]:
    """The stream of two accounts; one account's own devices are the pair of it with itself."""
    accounts = [account_pk(connection, account) for account in members]
    pair = _Pair(min(accounts), max(accounts))
    existing = connection.execute(
        "SELECT stream FROM direct_pairs WHERE low = ? AND high = ?", pair
    ).fetchone()
    if existing:
        return describe(connection, existing[0]), False
    for account in set(pair):
        check_room(connection, account)
    stream = insert_stream(connection, info, rule)
    connection.execute(
        "INSERT INTO direct_pairs (low, high, stream) VALUES (?, ?, ?)", (*pair, stream)
    )
    for account in sorted(set(pair)):
        connection.execute("INSERT INTO members (stream, account) VALUES (?, ?)", (stream, account))
    return describe(connection, stream), True


def insert_stream(connection: sqlite3.Connection, info: StreamInfo, rule: Retention) -> int:
    """Insert a stream without members and return its key; raises ``usage.invalid``."""
    row = connection.execute(
        "INSERT OR IGNORE INTO streams (stream_id, kind, genesis, retention, retention_days, "
        "epoch, last_seq) VALUES (?, ?, ?, ?, ?, 0, 0) RETURNING pk",
        (info.stream, info.kind, info.genesis, rule.rule.value, rule.days),
    ).fetchone()
    if row is None:
        raise UsageError(Code.USAGE_INVALID, "the stream id is taken")
    return int(row[0])
