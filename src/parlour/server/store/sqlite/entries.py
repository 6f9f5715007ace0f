"""Append an entry: membership, parts, epoch and number, in one transaction.

This is the hot path: about eight statements for a message between two people, and no more for one
to a group.
"""

from __future__ import annotations

import sqlite3
from typing import Final, NamedTuple

from parlour.errors import AccessError, Code, ConflictError, NotFoundError, error
from parlour.server.store.records import AppendedEntry
from parlour.server.store.sqlite.rows import (
    DeviceRow,
    active_device,
    find_repeat,
    insert_entry,
    member_stream,
)
from parlour.wire.envelope import SuiteId
from parlour.wire.streams import Append

# Suites of MLS; those of them that are no messages come as handshakes.
_MLS_SUITES: Final = range(0x0100, 0x0200)

_SHARE: Final = (
    "SELECT 1 FROM members mine JOIN members theirs ON theirs.stream = mine.stream "
    "WHERE mine.account = :sender AND theirs.account = :owner LIMIT 1"
)
# At the same time: whoever came after somebody had gone has nothing of theirs to ask for.
_TIMES: Final = (
    "SELECT stream, first_seq, 9223372036854775807 AS last_seq FROM members WHERE account = {0} "
    "UNION ALL SELECT stream, first_seq, last_seq FROM former_members WHERE account = {0}"
)
_SHARED: Final = (
    f"SELECT 1 FROM ({_TIMES.format(':sender')}) mine JOIN ({_TIMES.format(':owner')}) theirs "  # noqa: S608
    "ON theirs.stream = mine.stream AND mine.first_seq < theirs.last_seq "
    "AND theirs.first_seq < mine.last_seq LIMIT 1"
)


class _Stream(NamedTuple):
    pk: int
    epoch: int
    last_seq: int
    device: int | None
    group: tuple[int, int] | None
    version: int | None


def append(
    connection: sqlite3.Connection,
    device_id: bytes,
    request: Append,
    now: int,
    epoch: tuple[int, int] | None = None,
    known: int | None = None,
) -> AppendedEntry:
    """See `interface.Streams.append`."""
    sender = active_device(connection, device_id)
    stream = _find_stream(connection, request.stream)
    if stream.group is not None:
        return _append_to_group(connection, sender, stream, request, now, epoch, known)
    members = _members(connection, stream.pk)
    _check_writer(connection, sender, stream, members)
    if request.envelope.suite in _MLS_SUITES:
        raise error(Code.GROUP_INVALID, "a message of MLS in what is no group")
    owner = _inbox_owner(connection, stream)
    earlier = find_repeat(connection, sender, stream.pk, request.client_id)
    if earlier is not None:
        return AppendedEntry(*earlier, True, tuple(members.values()), owner)
    parts = _check_parts(connection, stream, owner, request)
    following = _next_epoch(stream, request)
    seq = stream.last_seq + 1
    connection.execute(
        "UPDATE streams SET last_seq = ?, epoch = ? WHERE pk = ?", (seq, following, stream.pk)
    )
    _insert(connection, sender, stream, seq, request, parts, now)
    return AppendedEntry(seq, now, False, tuple(members.values()), owner)


def _append_to_group(
    connection: sqlite3.Connection,
    sender: DeviceRow,
    stream: _Stream,
    request: Append,
    now: int,
    epoch: tuple[int, int] | None,
    known: int | None,
) -> AppendedEntry:
    """A message: from a leaf, in an epoch that has begun. No statement here grows with the group.

    Its members are read only if the caller knows them as they were before.
    """
    _check_leaf(connection, sender, stream, request.stream)
    if epoch is None or request.envelope.suite != SuiteId.MLS_MESSAGE:
        raise error(Code.GROUP_INVALID, "not a message of MLS")
    if stream.group is None or epoch > stream.group:
        raise error(Code.GROUP_INVALID, "an epoch that has not begun")
    if request.parts or request.expect_epoch is not None:
        raise error(Code.GROUP_INVALID, "a message with parts, or with a condition")
    members: tuple[bytes, ...] = ()
    if known != stream.version:
        members = tuple(_members(connection, stream.pk).values())
    earlier = find_repeat(connection, sender, stream.pk, request.client_id)
    if earlier is not None:
        return AppendedEntry(*earlier, True, members, None, stream.version)
    seq = stream.last_seq + 1
    connection.execute("UPDATE streams SET last_seq = ? WHERE pk = ?", (seq, stream.pk))
    _insert(connection, sender, stream, seq, request, [], now)
    return AppendedEntry(seq, now, False, members, None, stream.version)


def _check_leaf(
    connection: sqlite3.Connection, sender: DeviceRow, stream: _Stream, stream_id: bytes
) -> None:
    leaf = connection.execute(
        "SELECT 1 FROM group_leaves WHERE stream = ? AND device = ?", (stream.pk, sender.pk)
    ).fetchone()
    if leaf is None:
        # Whose account is not in it either is not told that there is such a group.
        member_stream(connection, sender, stream_id, former=False)
        raise AccessError(Code.GROUP_NOT_MEMBER)


def _insert(
    connection: sqlite3.Connection,
    sender: DeviceRow,
    stream: _Stream,
    seq: int,
    request: Append,
    parts: list[tuple[int, bytes]],
    now: int,
) -> None:
    insert_entry(
        connection,
        sender,
        stream.pk,
        seq,
        request.client_id,
        request.envelope,
        parts,
        now=now,
        expires_at=request.expires_at,
    )


def _find_stream(connection: sqlite3.Connection, stream_id: bytes) -> _Stream:
    row = connection.execute(
        "SELECT streams.pk, streams.epoch, last_seq, device, generation, mls_groups.epoch, version "
        "FROM streams LEFT JOIN mls_groups ON mls_groups.stream = streams.pk WHERE stream_id = ?",
        (stream_id,),
    ).fetchone()
    if row is None:
        raise NotFoundError(Code.STREAM_UNKNOWN)
    pk, epoch, last_seq, device, generation, group_epoch, version = row
    group = None if generation is None else (generation, group_epoch)
    return _Stream(pk, epoch, last_seq, device, group, version)


def _members(connection: sqlite3.Connection, stream: int) -> dict[int, bytes]:
    return dict(
        connection.execute(
            "SELECT accounts.pk, account_id FROM members "
            "JOIN accounts ON accounts.pk = members.account WHERE stream = ?",
            (stream,),
        ).fetchall()
    )


def _check_writer(
    connection: sqlite3.Connection, sender: DeviceRow, stream: _Stream, members: dict[int, bytes]
) -> None:
    """Members write; to an inbox also those who share a conversation with its owner, or have.

    Who was put out asks those with whom it was in there for what it could not read, and is
    answered, as long as the server would serve it that.
    """
    if sender.account in members:
        return
    if stream.device is None:
        raise NotFoundError(Code.STREAM_UNKNOWN)
    (owner,) = members
    both = {"sender": sender.account, "owner": owner}
    shared = connection.execute(_SHARE, both).fetchone()
    if shared is None and connection.execute(_SHARED, both).fetchone() is None:
        raise AccessError(Code.STREAM_FORBIDDEN)


def _inbox_owner(connection: sqlite3.Connection, stream: _Stream) -> bytes | None:
    if stream.device is None:
        return None
    row = connection.execute("SELECT device_id FROM devices WHERE pk = ?", (stream.device,))
    return bytes(row.fetchone()[0])


def _check_parts(
    connection: sqlite3.Connection, stream: _Stream, owner: bytes | None, request: Append
) -> list[tuple[int, bytes]]:
    """Resolve the parts' devices; every one must be an active device of a member."""
    named = {part.device_id: part.data for part in request.parts}
    if len(named) != len(request.parts):
        raise ConflictError(Code.STREAM_PARTS, "a device is named twice")
    if owner is not None and named.keys() != {owner}:
        raise ConflictError(Code.STREAM_PARTS, "an inbox takes a part for its device")
    if not named:
        return []
    allowed = dict(
        connection.execute(
            "SELECT device_id, devices.pk FROM members "
            "JOIN devices ON devices.account = members.account AND devices.active = 1 "
            "WHERE members.stream = ?",
            (stream.pk,),
        ).fetchall()
    )
    if not named.keys() <= allowed.keys():
        raise ConflictError(Code.STREAM_PARTS)
    return [(allowed[device_id], data) for device_id, data in named.items()]


def _next_epoch(stream: _Stream, request: Append) -> int:
    if request.expect_epoch is None:
        return stream.epoch
    if request.expect_epoch != stream.epoch:
        raise ConflictError(Code.STREAM_EPOCH)
    return stream.epoch + 1
