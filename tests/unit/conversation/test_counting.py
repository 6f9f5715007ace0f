"""Counts over the life of a device: what is kept, when it is written, and how much of it."""

from __future__ import annotations

import msgspec
import pytest

from parlour.conversation.changes import Change, Namespace, PutRecord
from parlour.conversation.counting import MAX_COUNTERS, OTHER, Counters
from parlour.conversation.groups.records import Step
from parlour.conversation.reasons import Reason
from parlour.conversation.records import Records
from parlour.errors import Code, ParlourError
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer

DAY = 86_400_000
MONDAY = 20_000 * DAY


def kept(changes: list[Change]) -> Records:
    found: dict[Namespace, dict[bytes, bytes]] = {}
    for change in changes:
        assert isinstance(change, PutRecord)
        found.setdefault(change.namespace, {})[change.key] = change.value
    return found


def test_counts_go_on_where_they_were_and_know_since_when() -> None:
    counters = Counters({}, MONDAY + 5)
    counters.count("commit.lost")
    records = kept(counters.take_changes())
    later = Counters(records, MONDAY + 40 * DAY)
    later.count("commit.lost")
    later.count("group.lost")
    again = Counters(kept(later.take_changes()), MONDAY + 41 * DAY)
    assert (again.since, again.counts) == (20_000, {"commit.lost": 2, "group.lost": 1})


def test_the_day_stands_before_anything_was_counted_and_nothing_is_written_twice() -> None:
    counters = Counters({}, MONDAY)
    records = kept(counters.take_changes())
    assert counters.take_changes() == []
    later = Counters(records, MONDAY + DAY)
    assert later.since == 20_000
    assert later.take_changes() == []


def test_there_is_a_bound_and_what_is_beyond_it_is_counted_together() -> None:
    counters = Counters({}, MONDAY)
    for number in range(MAX_COUNTERS + 10):
        counters.count(f"name.{number}")
    counters.count("name.0")
    assert len(counters.counts) == MAX_COUNTERS + 1
    assert counters.counts[OTHER] == 10
    assert counters.counts["name.0"] == 2


def test_the_bound_has_room_for_all_that_this_program_counts() -> None:
    # Codes of refusals and reasons are counted by name, the rest is some forty words.
    assert len(Code) + len(Reason) + len(Step) + 40 <= MAX_COUNTERS


def test_a_broken_record_is_named() -> None:
    with pytest.raises(ParlourError) as caught:
        Counters({Namespace.SERVER: {b"counted": msgspec.msgpack.encode("none")}}, MONDAY)
    assert caught.value.code is Code.STORE_VERSION


def test_counting_alone_writes_nothing_and_goes_with_what_is_written_next() -> None:
    alice = MemoryDevice(MemoryServer(), "alice")
    alice.connect()
    memory = alice.machine._memory
    memory.take_changes()
    memory.count("commit.lost")
    assert memory.take_changes() == []
    memory.put_inbox()
    written = [change.key for change in memory.take_changes() if isinstance(change, PutRecord)]
    assert written == [b"inbox", b"counted"]
    memory.put_inbox()
    assert len(memory.take_changes()) == 1, "nothing was counted since"


def test_a_device_that_is_started_again_counts_on() -> None:
    server = MemoryServer()
    alice = MemoryDevice(server, "alice")
    alice.connect()
    alice.machine._memory.count("commit.lost")
    alice.machine._memory.put_inbox()
    alice.connect()
    since = alice.machine.counted_since
    server.now += 3 * DAY
    alice.restart()
    assert alice.machine.counters == {"commit.lost": 1}
    assert alice.machine.counted_since == since
