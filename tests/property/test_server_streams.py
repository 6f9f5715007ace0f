"""A stream against a model of a few lines: random appends, repeats, cursors, expiry and time."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from parlour.server.store.records import DAY_MS, KEEP_ROW_MS, QUEUE_DAYS
from parlour.server.store.sqlite import SqliteStore
from parlour.wire.streams import CatchUp, Position, Read
from tests.unit.server.store.builders import NAME, NOW, conversation, entry, someone, unique

PEOPLE: Final = 2
IDS: Final = [unique() for _ in range(6)]
LIFETIMES: Final = [None, 1, DAY_MS]

# (what, who, which id or number, which lifetime or how long)
steps = st.lists(
    st.tuples(
        st.sampled_from(["append", "append", "append", "acknowledge", "sweep", "wait"]),
        st.integers(0, PEOPLE - 1),
        st.integers(0, 7),
        st.integers(0, 2),
    ),
    max_size=40,
)


@dataclass
class Kept:
    """What the model knows of one entry."""

    seq: int
    sender: int
    client_id: bytes
    stored_at: int
    expires_at: int | None
    trimmed_at: int | None = None

    def served(self, now: int) -> bool:
        alive = self.expires_at is None or self.expires_at > now
        return self.trimmed_at is None and alive


@dataclass
class Model:
    """A direct stream of two devices with the rule `queue`."""

    now: int = NOW
    last: int = 0
    kept: list[Kept] = field(default_factory=list)
    cursors: list[int] = field(default_factory=lambda: [0] * PEOPLE)

    def append(self, sender: int, client_id: bytes, lifetime: int | None) -> tuple[int, int, bool]:
        for each in self.kept:
            if (each.sender, each.client_id) == (sender, client_id):
                return each.seq, each.stored_at, True
        self.last += 1
        expires_at = None if lifetime is None else self.now + lifetime
        self.kept.append(Kept(self.last, sender, client_id, self.now, expires_at))
        return self.last, self.now, False

    def acknowledge(self, who: int, seq: int) -> None:
        seq = min(seq, self.last)
        if seq <= self.cursors[who]:
            return
        self.cursors[who] = seq
        for each in self.kept:
            if each.seq <= min(self.cursors) and each.trimmed_at is None:
                each.trimmed_at = self.now

    def sweep(self) -> None:
        for each in self.kept:
            expired = each.expires_at is not None and each.expires_at <= self.now
            old = each.stored_at <= self.now - QUEUE_DAYS * DAY_MS
            if each.trimmed_at is None and (expired or old):
                each.trimmed_at = self.now
        self.kept = [
            each
            for each in self.kept
            if each.trimmed_at is None or each.trimmed_at > self.now - KEEP_ROW_MS
        ]

    def served(self) -> list[int]:
        return [each.seq for each in self.kept if each.served(self.now)]


@settings(max_examples=40, deadline=None)
@given(steps)
def test_a_stream_does_what_its_model_does(walk: list[tuple[str, int, int, int]]) -> None:
    asyncio.run(play(walk))


async def play(walk: list[tuple[str, int, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = await SqliteStore.open(Path(folder), name=NAME)
        try:
            await compare(store, walk)
        finally:
            await store.close()


async def compare(store: SqliteStore, walk: list[tuple[str, int, int, int]]) -> None:
    people = [await someone(store) for _ in range(PEOPLE)]
    stream = await conversation(store, *people)
    model = Model()
    for what, who, number, choice in walk:
        device = people[who].device
        if what == "append":
            client_id = IDS[number % len(IDS)]
            lifetime = LIFETIMES[choice]
            expires_at = None if lifetime is None else model.now + lifetime
            request = entry(stream, client_id=client_id, expires_at=expires_at)
            place = await store.streams.append(device, request, now=model.now)
            expected = model.append(who, client_id, lifetime)
            assert (place.seq, place.stored_at, place.repeated) == expected
        elif what == "acknowledge":
            await store.streams.acknowledge(device, [Position(stream, number)], now=model.now)
            model.acknowledge(who, number)
        elif what == "sweep":
            while await store.streams.sweep(now=model.now):
                pass
            model.sweep()
        else:
            model.now += [1, DAY_MS, KEEP_ROW_MS][choice]
        page = await store.streams.read(device, Read(stream, 0, 500), now=model.now)
        assert [each.seq for each in page.entries] == model.served()
        caught = await store.streams.catch_up(
            device, CatchUp([Position(stream, number)]), now=model.now
        )
        assert [each.seq for each in caught.entries] == [
            seq for seq in model.served() if seq > number
        ]
    info = await store.streams.info(people[0].device, stream)
    assert info.last == model.last
