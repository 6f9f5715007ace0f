"""What a person must hear of, kept until a program has shown it.

A changed key, a history that does not fit, a server that lies: it may come to light while a
program runs that says nothing of it. A server that could choose such a moment could otherwise swap
a key without a word. So each warning is written with what led to it, in the same transaction, and
waits on disk until it was shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec

from parlour.conversation.changes import Change, Namespace, PutRecord
from parlour.conversation.events import (
    CommitRefused,
    Event,
    GroupForked,
    GroupJoined,
    GroupLeft,
    GroupListUnread,
    GroupRefused,
    GroupRestarted,
    GroupUnconfirmed,
    HistoryMismatch,
    KeyChanged,
    KeyReturned,
    MessageMissing,
    RequestReceived,
    ServerMisbehaved,
    ServerRestored,
)
from parlour.errors import Code, StorageError

Warned: TypeAlias = (
    KeyChanged
    | KeyReturned
    | HistoryMismatch
    | MessageMissing
    | RequestReceived
    | GroupJoined
    | GroupLeft
    | GroupRefused
    | GroupRestarted
    | GroupForked
    | GroupUnconfirmed
    | GroupListUnread
    | CommitRefused
    | ServerMisbehaved
    | ServerRestored
)
_KINDS: Final = {kind.code.value: kind for kind in Warned.__args__}
_WAITING: Final = b"warnings"
# Nobody reads more. Of too many, the oldest of the most frequent kind goes: who can cause a
# thousand of one kind can't push out one of another.
MAX_WARNINGS: Final = 200


@dataclass(frozen=True, slots=True)
class Warnings:
    """What waits to be shown, oldest first. A value: what follows from it is another one."""

    waiting: tuple[Warned, ...] = ()

    @classmethod
    def load(cls, records: Mapping[Namespace, Mapping[bytes, bytes]]) -> Warnings:
        """Those of a home; those that only a newer program knows are left out."""
        data = records.get(Namespace.SERVER, {}).get(_WAITING)
        if data is None:
            return cls()
        try:
            kept = msgspec.msgpack.decode(data, type=list[tuple[str, msgspec.Raw]])
            return cls(
                tuple(
                    msgspec.msgpack.decode(fields, type=_KINDS[code])
                    for code, fields in kept
                    if code in _KINDS
                )
            )
        except msgspec.MsgspecError as problem:
            raise StorageError(Code.STORE_BROKEN, "warnings") from problem

    def after(self, events: Iterable[Event], told: Iterable[Warned]) -> Warnings:
        """When these have happened, and those were shown."""
        gone = set(told)
        waiting = [each for each in self.waiting if each not in gone]
        for event in events:
            if isinstance(event, Warned) and event not in waiting:
                waiting.append(event)
        while len(waiting) > MAX_WARNINGS:
            ((most, _),) = Counter(each.code for each in waiting).most_common(1)
            waiting.remove(next(each for each in waiting if each.code == most))
        return Warnings(tuple(waiting))

    def change(self) -> Change:
        """The record to write."""
        kept = [(each.code.value, each) for each in self.waiting]
        return PutRecord(Namespace.SERVER, _WAITING, msgspec.msgpack.encode(kept))
