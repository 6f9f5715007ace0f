"""Handshakes: an entry and all that it changes of its group, in one transaction, or none of it.

Whether the entry is right was found out before, from a state that may be old by now. So the first
thing here is to compare where the group is: of all that were made for one epoch one wins.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Final

from parlour.errors import AccessError, Code, ConflictError
from parlour.server.store.group_records import (
    MAX_JOINABLE_EPOCHS,
    GroupChange,
    Handshaken,
    HandshakePlace,
)
from parlour.server.store.sqlite.rows import (
    DeviceRow,
    account_pk,
    active_device,
    check_room,
    find_repeat,
    insert_entry,
    stream_pk,
)

_KEEP_JOINABLE: Final = (
    "UPDATE group_epochs SET tree = NULL, roster_state = NULL, roster_head = NULL "
    "WHERE stream = ? AND tree IS NOT NULL AND pk NOT IN (SELECT pk FROM group_epochs "
    "WHERE stream = ? AND tree IS NOT NULL ORDER BY pk DESC LIMIT ?)"
)


def change(
    connection: sqlite3.Connection,
    device_id: bytes,
    entry: Handshaken,
    after: GroupChange,
    now: int,
) -> HandshakePlace | None:
    """See `interface.Groups.change`."""
    sender = active_device(connection, device_id)
    stream = stream_pk(connection, entry.stream)
    earlier = find_repeat(connection, sender, stream, entry.client_id)
    if earlier is not None:
        return _place(connection, stream, *earlier, repeated=True)
    if not _is_at(connection, stream, entry):
        return None
    seq = _append(connection, sender, stream, entry, now)
    connection.execute(
        "UPDATE mls_groups SET generation = ?, epoch = ?, seq = ?, group_info = ? WHERE stream = ?",
        (after.generation, after.epoch, seq, after.group_info, stream),
    )
    _put_tree(connection, stream, after)
    added: list[bytes] = []
    removed: list[bytes] = []
    if after.roster is not None:
        connection.execute(
            "UPDATE mls_groups SET roster_state = ?, roster_head = ? WHERE stream = ?",
            (*after.roster, stream),
        )
    if after.accounts is not None:
        added, removed = _put_members(connection, stream, after.accounts, seq, now)
    _note_epoch(connection, stream, after, seq, now)
    _put_wishes(connection, stream, after.wishes)
    connection.execute("DELETE FROM group_proposals WHERE stream = ?", (stream,))
    return _place(connection, stream, seq, now, added=added, removed=removed)


def propose(
    connection: sqlite3.Connection, device_id: bytes, entry: Handshaken, message: bytes, now: int
) -> HandshakePlace | None:
    """See `interface.Groups.propose`."""
    sender = active_device(connection, device_id)
    stream = stream_pk(connection, entry.stream)
    earlier = find_repeat(connection, sender, stream, entry.client_id)
    if earlier is not None:
        return _place(connection, stream, *earlier, repeated=True)
    if not _is_at(connection, stream, entry):
        return None
    seq = _append(connection, sender, stream, entry, now)
    connection.execute(
        "INSERT INTO group_proposals (stream, message) VALUES (?, ?)", (stream, message)
    )
    return _place(connection, stream, seq, now)


def let_in(connection: sqlite3.Connection, stream: int, account: int, first_seq: int) -> None:
    """Make an account a member, which reads from that entry on; raises ``limit.count``.

    If it was one before, it goes on to read what was said until it went.
    """
    check_room(connection, account)
    connection.execute(
        "INSERT INTO members (stream, account, first_seq) VALUES (?, ?, ?)",
        (stream, account, first_seq),
    )


def _is_at(connection: sqlite3.Connection, stream: int, entry: Handshaken) -> bool:
    row = connection.execute(
        "SELECT generation, epoch FROM mls_groups WHERE stream = ?", (stream,)
    ).fetchone()
    return bool(row == (entry.generation, entry.epoch))


def _append(
    connection: sqlite3.Connection, sender: DeviceRow, stream: int, entry: Handshaken, now: int
) -> int:
    (seq,) = connection.execute(
        "UPDATE streams SET last_seq = last_seq + 1 WHERE pk = ? RETURNING last_seq", (stream,)
    ).fetchone()
    parts = [(_recipient(connection, part.device_id), part.data) for part in entry.parts]
    insert_entry(connection, sender, stream, seq, entry.client_id, entry.envelope, parts, now=now)
    return int(seq)


def _recipient(connection: sqlite3.Connection, device_id: bytes) -> int:
    """A device that is to be welcomed; it may have left its list while the commit was verified."""
    try:
        return active_device(connection, device_id).pk
    except AccessError as error:
        raise ConflictError(Code.STREAM_PARTS) from error


def _put_tree(connection: sqlite3.Connection, stream: int, after: GroupChange) -> None:
    if after.whole:
        connection.execute("DELETE FROM group_nodes WHERE stream = ?", (stream,))
        connection.execute("DELETE FROM group_leaves WHERE stream = ?", (stream,))
    connection.executemany(
        "DELETE FROM group_nodes WHERE stream = ? AND position = ?",
        [(stream, node.position) for node in after.nodes if node.data is None],
    )
    connection.executemany(
        "INSERT INTO group_nodes (stream, position, data) VALUES (?, ?, ?) "
        "ON CONFLICT (stream, position) DO UPDATE SET data = excluded.data",
        [(stream, node.position, node.data) for node in after.nodes if node.data is not None],
    )
    # All that change go first: a device may stand at another leaf than before.
    connection.executemany(
        "DELETE FROM group_leaves WHERE stream = ? AND leaf = ?",
        [(stream, leaf.index) for leaf in after.leaves],
    )
    connection.executemany(
        "INSERT INTO group_leaves (stream, leaf, device) "
        "SELECT ?, ?, pk FROM devices WHERE device_id = ?",
        [(stream, leaf.index, leaf.device_id) for leaf in after.leaves if leaf.device_id],
    )


def _put_members(
    connection: sqlite3.Connection, stream: int, accounts: frozenset[bytes], seq: int, now: int
) -> tuple[list[bytes], list[bytes]]:
    """Make the members those accounts; returns who came and who went."""
    before = {account_id: pk for pk, account_id in _members(connection, stream)}
    added = sorted(accounts - before.keys())
    removed = sorted(before.keys() - accounts)
    for account_id in removed:
        connection.execute(
            "INSERT OR REPLACE INTO former_members (stream, account, first_seq, last_seq, "
            "left_at) SELECT stream, account, first_seq, ?, ? FROM members "
            "WHERE stream = ? AND account = ?",
            (seq, now, stream, before[account_id]),
        )
        connection.execute(
            "DELETE FROM members WHERE stream = ? AND account = ?", (stream, before[account_id])
        )
    for account_id in added:
        let_in(connection, stream, account_pk(connection, account_id), seq)
    if added or removed:
        connection.execute(
            "UPDATE mls_groups SET version = version + 1 WHERE stream = ?", (stream,)
        )
    return added, removed


def _members(connection: sqlite3.Connection, stream: int) -> Iterable[tuple[int, bytes]]:
    return connection.execute(
        "SELECT accounts.pk, account_id FROM members "
        "JOIN accounts ON accounts.pk = members.account WHERE stream = ?",
        (stream,),
    )


def _put_wishes(connection: sqlite3.Connection, stream: int, wishes: Mapping[bytes, int]) -> None:
    connection.executemany(
        "INSERT OR REPLACE INTO group_wishes (stream, device, at) "
        "SELECT ?, pk, ? FROM devices WHERE device_id = ?",
        [(stream, at, device_id) for device_id, at in wishes.items()],
    )


def _note_epoch(
    connection: sqlite3.Connection, stream: int, after: GroupChange, seq: int, now: int
) -> None:
    roster: tuple[bytes | None, bytes | None] = (None, None)
    if after.tree is not None:
        roster = connection.execute(
            "SELECT roster_state, roster_head FROM mls_groups WHERE stream = ?", (stream,)
        ).fetchone()
    connection.execute(
        "INSERT INTO group_epochs (stream, generation, epoch, seq, stored_at, tree, "
        "roster_state, roster_head) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (stream, after.generation, after.epoch, seq, now, after.tree, *roster),
    )
    if after.tree is not None:
        connection.execute(_KEEP_JOINABLE, (stream, stream, MAX_JOINABLE_EPOCHS))


def _place(
    connection: sqlite3.Connection,
    stream: int,
    seq: int,
    stored_at: int,
    *,
    repeated: bool = False,
    added: Iterable[bytes] = (),
    removed: Iterable[bytes] = (),
) -> HandshakePlace:
    (version,) = connection.execute(
        "SELECT version FROM mls_groups WHERE stream = ?", (stream,)
    ).fetchone()
    members = tuple(account_id for _, account_id in _members(connection, stream))
    return HandshakePlace(seq, stored_at, repeated, version, members, tuple(added), tuple(removed))
