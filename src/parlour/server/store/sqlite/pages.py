"""Read entries: a page of one stream, or what is new in all streams of a device.

A page ends at a number of entries and at a number of bytes, but never before its first item.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final

from parlour.server.store.sqlite.rows import (
    Readable,
    active_device,
    describe,
    last_of,
    member_stream,
    member_streams,
    unseen_streams,
)
from parlour.wire.envelope import Envelope
from parlour.wire.ids import ID_SIZE
from parlour.wire.limits import MAX_PAGE_BYTES
from parlour.wire.streams import CatchUp, CaughtUp, Entry, Page, Read, StreamInfo, StreamInfos

# Ids, numbers and MessagePack's heads around the ciphertexts of one entry.
_ENTRY_OVERHEAD: Final = 160
_INFO_OVERHEAD: Final = 64

_SELECT: Final = (
    "SELECT stream_id, seq, account_id, devices.device_id, client_id, stored_at, expires_at, "
    "format, suite, key_id, body, parts.data FROM entries "
    "JOIN streams ON streams.pk = entries.stream "
    "JOIN devices ON devices.pk = entries.sender "
    "JOIN accounts ON accounts.pk = devices.account "
    "LEFT JOIN parts ON parts.entry = entries.pk AND parts.device = :device "
    "WHERE entries.stream = :stream AND body IS NOT NULL "
    "AND (expires_at IS NULL OR expires_at > :now) AND seq BETWEEN :floor AND :last "
    "AND (seq >= :first OR EXISTS (SELECT 1 FROM former_members "
    "WHERE former_members.stream = :stream "
    "AND former_members.account = (SELECT account FROM devices WHERE pk = :device) "
    "AND seq BETWEEN first_seq AND last_seq)) "
)
_FORWARDS: Final = _SELECT + "AND seq > :position ORDER BY seq LIMIT :limit"
_ONE: Final = _SELECT + "AND seq = :position LIMIT :limit"
_BACKWARDS: Final = _SELECT + "AND seq < :position ORDER BY seq DESC LIMIT :limit"


class PageBudget:
    """What still fits into a page."""

    def __init__(self, entries: int) -> None:
        self.entries = entries
        self._bytes = MAX_PAGE_BYTES
        self._empty = True

    def take(self, size: int) -> bool:
        """Whether an item of `size` bytes fits; the first one always does."""
        if not self._empty and size > self._bytes:
            return False
        self._empty = False
        self._bytes -= size
        return True


def read(connection: sqlite3.Connection, device_id: bytes, request: Read, now: int) -> Page:
    """See `interface.Streams.read`. Entries come in reading order, so backwards ones descend."""
    device = active_device(connection, device_id)
    stream = member_stream(connection, device, request.stream)
    budget = PageBudget(request.limit)
    sql = _BACKWARDS if request.backwards else _FORWARDS
    found: list[Entry] = []
    more = fill_page(
        found, budget, _select(connection, sql, device.pk, stream, request.after, now, budget)
    )
    return Page(found, more)


def list_streams(connection: sqlite3.Connection, device_id: bytes, after: bytes) -> StreamInfos:
    """See `interface.Streams.of_device`."""
    budget, infos = PageBudget(0), list[StreamInfo]()
    for stream in member_streams(connection, active_device(connection, device_id), after):
        info = describe(connection, stream.pk, stream.first)
        if not budget.take(_info_size(info)):
            return StreamInfos(infos, more=True)
        infos.append(info)
    return StreamInfos(infos)


def catch_up(
    connection: sqlite3.Connection, device_id: bytes, request: CatchUp, now: int
) -> CaughtUp:
    """See `interface.Streams.catch_up`."""
    device = active_device(connection, device_id)
    positions = {
        member_stream(connection, device, position.stream): position.seq
        for position in request.positions
    }
    budget = PageBudget(request.limit)
    infos: list[StreamInfo] = []
    found: list[Entry] = []
    current = member_streams(connection, device)
    # Who was removed from one is told no more of it than it asks for, or was welcomed to.
    readable = {stream.pk: stream for stream in current}
    for stream in [*positions, *unseen_streams(connection, device)]:
        readable.setdefault(stream.pk, stream)
    for stream in readable.values():
        position = positions.get(stream)
        if position is None or position > last_of(connection, stream.pk):
            info = describe(connection, stream.pk, stream.first)
            if not budget.take(_info_size(info)):
                return CaughtUp(infos, found, more=True)
            infos.append(info)
            position = position or 0
        chosen = _select(connection, _FORWARDS, device.pk, stream, position, now, budget)
        if fill_page(found, budget, chosen):
            return CaughtUp(infos, found, more=True)
    return CaughtUp(infos, found, more=False)


def _select(
    connection: sqlite3.Connection,
    sql: str,
    device: int,
    stream: Readable,
    position: int,
    now: int,
    budget: PageBudget,
) -> Iterator[tuple[object, ...]]:
    return connection.execute(
        sql,
        {
            "device": device,
            "stream": stream.pk,
            "floor": stream.floor,
            "first": stream.first,
            "last": stream.last,
            "position": position,
            "now": now,
            # One more than fits tells whether there is more.
            "limit": budget.entries + 1,
        },
    )


def read_entry(
    connection: sqlite3.Connection, device: int, stream: Readable, seq: int, now: int
) -> tuple[object, ...] | None:
    """The row of one entry, as the device may have it; None if it is gone, or not for it."""
    rows = _select(connection, _ONE, device, stream, seq, now, PageBudget(1))
    return next(rows, None)


def fill_page(found: list[Entry], budget: PageBudget, rows: Iterator[tuple[object, ...]]) -> bool:
    """Move rows into the page; True when one of them did not fit."""
    for row in rows:
        entry = _entry(row)
        if budget.entries == 0 or not budget.take(_entry_size(entry)):
            return True
        budget.entries -= 1
        found.append(entry)
    return False


def _entry(row: tuple[object, ...]) -> Entry:
    return Entry(*row[:7], Envelope(*row[7:11]), row[11])  # type: ignore[arg-type, call-arg]


def _entry_size(entry: Entry) -> int:
    return len(entry.envelope.body) + len(entry.part or b"") + _ENTRY_OVERHEAD


def _info_size(info: StreamInfo) -> int:
    return len(info.genesis) + len(info.members) * (ID_SIZE + 2) + _INFO_OVERHEAD
