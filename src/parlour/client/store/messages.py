"""Statements on messages, and the rule of what may follow what.

::

    ours:      QUEUED ──→ SENT                              SILENT
    others':   UNREADABLE ──→ RECEIVED ←── (released) ── REQUESTED

Each state but RECEIVED may also be written over with itself. Everything else changes nothing: a
server that shows us our own entry again, or somebody's under a used id, can't replace what was
said. What becomes readable is handed out once more, because its reader saw a placeholder.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final, TypeAlias

from parlour.conversation.changes import SHOWN, Message, MessageState, PutMessage

Key: TypeAlias = tuple[bytes, bytes, bytes]

_COLUMNS: Final = (
    "conversation, message_id, sender_account, sender_device, seq, sent_at, stored_at, state,"
    " content, reason"
)
_BY_KEY: Final = "conversation = ? AND sender_device = ? AND message_id = ?"
# By number, what has none yet at the end by its time; then by what makes the order total.
_PLACE: Final = "(seq IS NULL), (coalesce(seq, sent_at)), sender_device, message_id"
_PLACE_DOWN: Final = (
    "(seq IS NULL) DESC, (coalesce(seq, sent_at)) DESC, sender_device DESC, message_id DESC"
)

_HIDDEN: Final = tuple(sorted(state.value for state in MessageState if state not in SHOWN))

# Put together from the constants above alone.
_SELECT: Final = f"SELECT {_COLUMNS} FROM message WHERE"  # noqa: S608
_SELECT_STATE: Final = f"SELECT state, delivery FROM message WHERE {_BY_KEY}"  # noqa: S608
_MARK: Final = f"UPDATE message SET delivery = NULL WHERE {_BY_KEY} AND state = ?"  # noqa: S608

_MAY_FOLLOW: Final = frozenset(
    {
        (MessageState.QUEUED, MessageState.QUEUED),
        (MessageState.QUEUED, MessageState.SENT),
        (MessageState.QUEUED, MessageState.UNSENT),
        # The server had taken it: its answer came after we were out.
        (MessageState.UNSENT, MessageState.SENT),
        (MessageState.SENT, MessageState.SENT),
        (MessageState.SILENT, MessageState.SILENT),
        (MessageState.UNREADABLE, MessageState.UNREADABLE),
        (MessageState.UNREADABLE, MessageState.RECEIVED),
        (MessageState.UNREADABLE, MessageState.REQUESTED),
    }
)
_READABLE_NOW: Final = (MessageState.UNREADABLE, MessageState.RECEIVED)


def _from_row(row: tuple[Any, ...]) -> Message:
    conversation, message_id, account, device, seq, sent_at, stored_at, state, content, reason = row
    return Message(
        conversation=conversation,
        message_id=message_id,
        sender_account=account,
        sender_device=device,
        seq=seq,
        sent_at=sent_at,
        stored_at=stored_at,
        state=MessageState(state),
        content=content,
        reason=reason,
    )


def put_message(connection: Any, change: PutMessage) -> bool:
    """Write a message as `_MAY_FOLLOW` allows; whether it is to be handed out since then."""
    message = change.message
    row = connection.execute(_SELECT_STATE, message.key).fetchone()
    delivery: int | None = None
    before: MessageState | None = None
    if row is not None:
        before, delivery = MessageState(row[0]), row[1]
        if (before, message.state) not in _MAY_FOLLOW:
            return False
    again = (before, message.state) == _READABLE_NOW
    new = again or (change.undelivered and delivery is None)
    _write(connection, message, _next_delivery(connection) if new else delivery)
    return new


def _next_delivery(connection: Any) -> int:
    (number,) = connection.execute(
        "SELECT coalesce(max(delivery), 0) + 1 FROM message WHERE delivery IS NOT NULL"
    ).fetchone()
    return int(number)


def _write(connection: Any, message: Message, delivery: int | None) -> None:
    connection.execute(
        f"INSERT OR REPLACE INTO message ({_COLUMNS}, delivery)"  # noqa: S608
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            message.conversation,
            message.message_id,
            message.sender_account,
            message.sender_device,
            message.seq,
            message.sent_at,
            message.stored_at,
            message.state.value,
            message.content,
            message.reason,
            delivery,
        ),
    )


def get_message(connection: Any, key: Key) -> Message | None:
    """The message of that key."""
    row = connection.execute(f"{_SELECT} {_BY_KEY}", key).fetchone()
    return None if row is None else _from_row(row)


def release(connection: Any, conversation: bytes) -> list[Message]:
    """Show the messages of a request, in the order in which they came; return them."""
    rows = connection.execute(
        f"{_SELECT} conversation = ? AND state = ? ORDER BY {_PLACE}",
        (conversation, MessageState.REQUESTED.value),
    ).fetchall()
    released = [replace(_from_row(row), state=MessageState.RECEIVED) for row in rows]
    for message in released:
        _write(connection, message, _next_delivery(connection))
    return released


def delete_messages(connection: Any, conversation: bytes, *, everything: bool) -> None:
    """Delete the messages of a request, or all of a conversation."""
    values: list[Any] = [conversation]
    which = ""
    if not everything:
        which = " AND state = ?"
        values.append(MessageState.REQUESTED.value)
    connection.execute(f"DELETE FROM message WHERE conversation = ?{which}", values)  # noqa: S608


def delete_message(connection: Any, key: Key) -> None:
    """Delete one message that nobody has read."""
    connection.execute(
        f"DELETE FROM message WHERE {_BY_KEY} AND state IN (?, ?)",  # noqa: S608
        (*key, MessageState.UNREADABLE.value, MessageState.QUEUED.value),
    )


def trim_silent(connection: Any, stored_before: int) -> None:
    """Delete what was for programs and is older."""
    connection.execute(
        "DELETE FROM message WHERE state = ? AND stored_at < ?",
        (MessageState.SILENT.value, stored_before),
    )


def list_messages(
    connection: Any, conversation: bytes, before: Message | None, limit: int
) -> list[Message]:
    """The last `limit` messages of a conversation before the place of `before`, in its order."""
    values: list[Any] = [conversation]
    older = ""
    if before is not None:
        older = f" AND ({_PLACE}) < (?, ?, ?, ?)"
        place = before.sent_at if before.seq is None else before.seq
        values += [before.seq is None, place, before.sender_device, before.message_id]
    shown = f" AND state NOT IN ({', '.join('?' * len(_HIDDEN))})"
    query = f"{_SELECT} conversation = ?{older}{shown} ORDER BY {_PLACE_DOWN} LIMIT ?"
    rows = connection.execute(query, (*values, *_HIDDEN, limit)).fetchall()
    return [_from_row(row) for row in reversed(rows)]


def list_conversations(connection: Any) -> list[bytes]:
    """Every conversation that has messages."""
    rows = connection.execute("SELECT DISTINCT conversation FROM message ORDER BY conversation")
    return [row[0] for row in rows]


def count_messages(connection: Any) -> int:
    """How many messages there are."""
    (count,) = connection.execute("SELECT count(*) FROM message").fetchone()
    return int(count)


def list_undelivered(connection: Any, limit: int) -> list[Message]:
    """The first `limit` messages that were not handed out, in the order in which they came."""
    rows = connection.execute(
        f"{_SELECT} delivery IS NOT NULL ORDER BY delivery LIMIT ?",
        (limit,),
    )
    return [_from_row(row) for row in rows]


def mark_delivered(connection: Any, messages: Iterable[Message]) -> None:
    """Mark as handed out what is still as it was handed out.

    What was read as unreadable and became readable since then stays undelivered.
    """
    connection.executemany(
        _MARK,
        [(*message.key, message.state.value) for message in messages],
    )
