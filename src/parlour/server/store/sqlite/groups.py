"""Groups on MLS: how they are made, and what is read of them. `handshakes` changes them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

from parlour.errors import Code, NotFoundError
from parlour.server.store.group_records import (
    DeviceKey,
    GroupChange,
    GroupHead,
    Handshaken,
    HandshakePlace,
    NewGroup,
    Node,
    StoredGroup,
    encode_nodes,
)
from parlour.server.store.sqlite import handshakes
from parlour.server.store.sqlite.database import Database
from parlour.server.store.sqlite.pages import PageBudget, fill_page, read_entry
from parlour.server.store.sqlite.rows import (
    DeviceRow,
    Readable,
    account_pk,
    active_device,
    describe,
    find_repeat,
    member_stream,
    stream_pk,
)
from parlour.server.store.sqlite.streams import create_pair, insert_stream
from parlour.wire.groups import GroupState
from parlour.wire.limits import MAX_PAGE
from parlour.wire.streams import Entry, StreamInfo

# SQLite takes at least 999 values in one statement.
_CHUNK: Final = 500


class SqliteGroups:
    """Implements `interface.Groups`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self, group: NewGroup, *, creator: bytes, device_id: bytes
    ) -> tuple[StreamInfo, bool]:
        """See `interface.Groups.create`."""
        return await self._database.write(
            lambda connection: _create(connection, group, creator, device_id)
        )

    async def head(self, device_id: bytes, stream: bytes, client_id: bytes) -> GroupHead:
        """See `interface.Groups.head`."""
        return await self._database.read(
            lambda connection: _head(connection, device_id, stream, client_id)
        )

    async def load(self, stream: bytes) -> StoredGroup:
        """See `interface.Groups.load`."""
        return await self._database.read(lambda connection: _load(connection, stream))

    async def device_keys(self, device_ids: Iterable[bytes]) -> list[DeviceKey]:
        """See `interface.Groups.device_keys`."""
        wanted = list(dict.fromkeys(device_ids))
        return await self._database.read(lambda connection: _device_keys(connection, wanted))

    async def change(
        self, device_id: bytes, entry: Handshaken, change: GroupChange, *, now: int
    ) -> HandshakePlace | None:
        """See `interface.Groups.change`."""
        return await self._database.write(
            lambda connection: handshakes.change(connection, device_id, entry, change, now)
        )

    async def propose(
        self, device_id: bytes, entry: Handshaken, message: bytes, *, now: int
    ) -> HandshakePlace | None:
        """See `interface.Groups.propose`."""
        return await self._database.write(
            lambda connection: handshakes.propose(connection, device_id, entry, message, now)
        )

    async def winners(
        self, device_id: bytes, stream: bytes, generation: int, epoch: int, *, now: int
    ) -> list[Entry]:
        """See `interface.Groups.winners`."""
        return await self._database.read(
            lambda connection: _winners(connection, device_id, stream, (generation, epoch), now)
        )

    async def state(
        self, device_id: bytes | None, stream: bytes, generation: int | None, epoch: int | None
    ) -> GroupState:
        """See `interface.Groups.state`."""
        return await self._database.read(
            lambda connection: _state(connection, device_id, stream, generation, epoch)
        )


def _create(
    connection: sqlite3.Connection, group: NewGroup, creator: bytes, device_id: bytes
) -> tuple[StreamInfo, bool]:
    device = active_device(connection, device_id)
    info = group.info
    if info.kind in ("direct", "self"):
        found, made = create_pair(connection, info, {creator, *info.members}, group.retention)
        if not made:
            return found, False
        stream = stream_pk(connection, info.stream)
    else:
        existing = connection.execute(
            "SELECT pk FROM streams WHERE stream_id = ? AND kind = ? AND genesis = ?",
            (info.stream, info.kind, info.genesis),
        ).fetchone()
        if existing is not None:
            # The answer was lost: the genesis is signed, so it was this device that asked.
            return describe(connection, existing[0]), False
        stream = insert_stream(connection, info, group.retention)
        for account_id in info.members:
            handshakes.let_in(connection, stream, account_pk(connection, account_id), 0)
    connection.execute(
        "INSERT INTO mls_groups (stream, generation, epoch, seq, group_info, roster_state, "
        "roster_head, version, acknowledged) VALUES (?, 0, 0, 0, ?, ?, ?, 0, 0)",
        (stream, group.group_info, group.roster_state, group.roster_head),
    )
    connection.execute(
        "INSERT INTO group_nodes (stream, position, data) VALUES (?, 0, ?)", (stream, group.node)
    )
    connection.execute(
        "INSERT INTO group_leaves (stream, leaf, device) VALUES (?, 0, ?)", (stream, device.pk)
    )
    return describe(connection, stream), True


def _head(
    connection: sqlite3.Connection, device_id: bytes, stream_id: bytes, client_id: bytes
) -> GroupHead:
    device = active_device(connection, device_id)
    row = connection.execute(
        "SELECT streams.pk, kind, generation, mls_groups.epoch, "
        "(SELECT count(*) FROM group_proposals WHERE group_proposals.stream = streams.pk) "
        "FROM streams LEFT JOIN mls_groups ON mls_groups.stream = streams.pk WHERE stream_id = ?",
        (stream_id,),
    ).fetchone()
    if row is None:
        raise NotFoundError(Code.STREAM_UNKNOWN)
    if row[2] is None:
        # Who may not know that it exists is not told that it is no group either.
        member_stream(connection, device, stream_id)
        raise NotFoundError(Code.GROUP_UNKNOWN)
    earlier = find_repeat(connection, device, row[0], client_id)
    _, kind, generation, epoch, proposals = row
    roster_state = _roster_for_strangers(connection, device, row[0])
    return GroupHead(kind, generation, epoch, proposals, earlier, roster_state)


def _roster_for_strangers(
    connection: sqlite3.Connection, device: DeviceRow, stream: int
) -> bytes | None:
    member = connection.execute(
        "SELECT 1 FROM members WHERE stream = ? AND account = ?", (stream, device.account)
    ).fetchone()
    if member is not None:
        return None
    (roster_state,) = connection.execute(
        "SELECT roster_state FROM mls_groups WHERE stream = ?", (stream,)
    ).fetchone()
    return bytes(roster_state)


def _group_row(connection: sqlite3.Connection, stream: int) -> tuple[int, int, int, bytes]:
    row = connection.execute(
        "SELECT generation, epoch, seq, group_info FROM mls_groups WHERE stream = ?", (stream,)
    ).fetchone()
    if row is None:
        raise NotFoundError(Code.GROUP_UNKNOWN)
    return row[0], row[1], row[2], row[3]


def _nodes(connection: sqlite3.Connection, stream: int) -> list[Node]:
    rows = connection.execute(
        "SELECT position, data FROM group_nodes WHERE stream = ? ORDER BY position", (stream,)
    )
    return [Node(*row) for row in rows]


def _load(connection: sqlite3.Connection, stream_id: bytes) -> StoredGroup:
    stream = stream_pk(connection, stream_id)
    generation, epoch, seq, group_info = _group_row(connection, stream)
    roster_state, roster_head = connection.execute(
        "SELECT roster_state, roster_head FROM mls_groups WHERE stream = ?", (stream,)
    ).fetchone()
    proposals = connection.execute(
        "SELECT message FROM group_proposals WHERE stream = ? ORDER BY pk", (stream,)
    )
    wishes = connection.execute(
        "SELECT device_id, at FROM group_wishes JOIN devices ON devices.pk = device "
        "WHERE stream = ?",
        (stream,),
    )
    return StoredGroup(
        describe(connection, stream),
        generation,
        epoch,
        seq,
        group_info,
        roster_state,
        roster_head,
        _nodes(connection, stream),
        [message for (message,) in proposals],
        dict(wishes.fetchall()),
    )


def _device_keys(connection: sqlite3.Connection, device_ids: list[bytes]) -> list[DeviceKey]:
    found: list[DeviceKey] = []
    for start in range(0, len(device_ids), _CHUNK):
        chunk = device_ids[start : start + _CHUNK]
        marks = ",".join("?" * len(chunk))
        rows = connection.execute(
            "SELECT account_id, device_id, signature_key, active, "  # noqa: S608
            "(SELECT entry FROM device_lists WHERE device_lists.account = accounts.pk "
            "ORDER BY number DESC LIMIT 1) "
            "FROM devices JOIN accounts ON accounts.pk = devices.account "
            f"WHERE device_id IN ({marks})",
            chunk,
        )
        found += [DeviceKey(row[0], row[1], row[2], bool(row[3]), row[4]) for row in rows]
    return found


def _winners(
    connection: sqlite3.Connection,
    device_id: bytes,
    stream_id: bytes,
    after: tuple[int, int],
    now: int,
) -> list[Entry]:
    device = active_device(connection, device_id)
    readable = member_stream(connection, device, stream_id)
    budget = PageBudget(MAX_PAGE)
    found: list[Entry] = []
    rows = connection.execute(
        "SELECT seq FROM group_epochs WHERE stream = ? AND (generation, epoch) > (?, ?) "
        "ORDER BY generation, epoch LIMIT ?",
        (readable.pk, *after, MAX_PAGE),
    ).fetchall()
    for (seq,) in rows:
        row = read_entry(connection, device.pk, readable, seq, now)
        if row is not None and fill_page(found, budget, iter([row])):
            break
    return found


def _state(
    connection: sqlite3.Connection,
    device_id: bytes | None,
    stream_id: bytes,
    generation: int | None,
    epoch: int | None,
) -> GroupState:
    if device_id is None:
        readable = Readable(stream_pk(connection, stream_id), first=0)
    else:
        device = active_device(connection, device_id)
        # Who was removed before it has joined finds the epoch that its Welcome is for.
        readable = member_stream(connection, device, stream_id, former=epoch is not None)
    stream, last = readable.pk, readable.last
    now_generation, now_epoch, seq, group_info = _group_row(connection, stream)
    (genesis,) = connection.execute(
        "SELECT genesis FROM streams WHERE pk = ?", (stream,)
    ).fetchone()
    wanted = (
        now_generation if generation is None else generation,
        now_epoch if epoch is None else epoch,
    )
    if wanted == (now_generation, now_epoch) and seq <= last:
        roster = connection.execute(
            "SELECT roster_state, roster_head FROM mls_groups WHERE stream = ?", (stream,)
        ).fetchone()
        tree = encode_nodes(_nodes(connection, stream))
        return GroupState(stream_id, genesis, *wanted, seq, group_info, tree, *roster)
    kept = connection.execute(
        "SELECT seq, tree, roster_state, roster_head FROM group_epochs "
        "WHERE stream = ? AND generation = ? AND epoch = ? AND tree IS NOT NULL",
        (stream, *wanted),
    ).fetchone()
    if kept is None or kept[0] > last:
        raise NotFoundError(Code.GROUP_EPOCH_GONE)
    return GroupState(stream_id, genesis, *wanted, kept[0], b"", *kept[1:])
