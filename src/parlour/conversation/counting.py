"""How often what has happened on this device, over its life: for an operator, without content.

The counts are one record. It is written with whatever is written next, never by itself, so that
counting costs no wait for the disk: a device that dies before then forgets the last few. Their
names are words of this program, and nothing that anybody sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from parlour.conversation.changes import Change, Namespace, PutRecord
from parlour.conversation.records import Records, decoded

# This program has about 150 names; those that other versions have counted are kept. What comes
# beyond is counted as `OTHER`, so that the record stays one of a few KiB whatever is added.
MAX_COUNTERS: Final = 256
OTHER: Final = "other"
_COUNTED: Final = b"counted"
_DAY: Final = 86_400_000


class Counted(Struct):
    """The record: the day on which counting began, in days since the epoch, and the counts."""

    since: int
    counts: dict[str, int] = {}


class Counters:
    """The counts of this device, and whether they are on disk."""

    def __init__(self, records: Records, now: int) -> None:
        data: Mapping[bytes, bytes] = records.get(Namespace.SERVER, {})
        self._unwritten = _COUNTED not in data
        kept = Counted(now // _DAY) if self._unwritten else decoded(data[_COUNTED], Counted)
        self.since = kept.since
        self.counts = Counter(kept.counts)

    def count(self, what: str) -> None:
        """Count something that happened."""
        known = what in self.counts or len(self.counts) < MAX_COUNTERS
        self.counts[what if known else OTHER] += 1
        self._unwritten = True

    def take_changes(self) -> list[Change]:
        """The record, if it is another one than on disk; for when something else is written."""
        if not self._unwritten:
            return []
        self._unwritten = False
        record = msgspec.msgpack.encode(Counted(self.since, dict(self.counts)))
        return [PutRecord(Namespace.SERVER, _COUNTED, record)]
