"""What a server may hand over in another order, and what it mixes up, as the simulation does it."""

import asyncio
from collections import Counter
from random import Random

import pytest

from parlour.testing.simulation.loop import SimulatedLoop
from parlour.testing.simulation.meddling import Meddler, Meddling
from parlour.testing.simulation.process import Process
from parlour.testing.simulation.wire import Line, Pair, Sent
from parlour.wire.envelope import Envelope
from parlour.wire.frames import decode_body, decode_frame, encode_frame
from parlour.wire.kinds import OPERATIONS, Kind
from parlour.wire.push import PushEntry
from parlour.wire.streams import Entry, LiveStarted, Page

DEVICE = bytes([1]) * 16
ONE, OTHER = bytes([2]) * 16, bytes([3]) * 16


def entry(stream: bytes, seq: int) -> Entry:
    said = seq.to_bytes(16)
    return Entry(stream, seq, said, said, said, 5, None, Envelope(1, 1, b"", bytes([seq])), None)


def push(stream: bytes, seq: int) -> bytes:
    return encode_frame(Kind.PUSH_ENTRY, 0, PushEntry(entry(stream, seq)))


def pair_on(loop: asyncio.AbstractEventLoop, effects: Counter[str]) -> Pair:
    line = Line(delay=(1, 1))
    return Pair(loop, line, Process("device", loop, effects), Process("server", loop), "seed")


class Server:
    """A server with some faults, and all that one device gets from it."""

    def __init__(self, *names: str) -> None:
        self.effects: Counter[str] = Counter()
        self.loop = SimulatedLoop()
        self.pair = pair_on(self.loop, self.effects)
        self.meddler = Meddler(self.effects)
        for name in names:
            self.meddler.begin(Meddling(name, 1.0, frozenset({DEVICE}), Random(name)))
        self.look = self.meddler.look(DEVICE, self.pair)

    def send(self, *frames: bytes) -> list[bytes]:
        """What arrives, in its order."""
        for frame in frames:
            for sent in self.look(frame):
                self.pair.transmit(self.pair.client, sent)
        self.loop.run_until_complete(asyncio.sleep(60))
        self.meddler.end_all()
        self.loop.close()
        return list(self.pair.client.inbox)

    def ask(self, request: int, kind: Kind) -> None:
        """The device asks for something."""
        self.pair.asked[request] = kind


def numbers(frames: list[bytes]) -> list[tuple[bytes, int]]:
    entries = [decode_body(decode_frame(frame).body, PushEntry).entry for frame in frames]
    return [(each.stream, each.seq) for each in entries]


def test_without_a_fault_frames_keep_their_order() -> None:
    server = Server()
    frames = [push(ONE, 1), push(OTHER, 1), push(ONE, 2)]
    assert server.send(*frames) == frames
    assert not +server.effects


def test_what_is_late_is_overtaken_by_others_and_by_none_of_its_own() -> None:
    loop, effects = SimulatedLoop(), Counter[str]()
    pair = pair_on(loop, effects)
    for sent in (
        Sent(b"before"),
        Sent(b"late", b"one", 5_000, "reorder"),
        Sent(b"after it", b"one", 0, "reorder"),
        Sent(b"beside it", b"other", 0, "reorder"),
        Sent(b"last"),
    ):
        pair.transmit(pair.client, sent)
    loop.run_until_complete(asyncio.sleep(60))
    loop.close()
    arrived = [b"before", b"beside it", b"late", b"after it", b"last"]
    assert list(pair.client.inbox) == arrived
    assert +effects == Counter({"reorder": 1})


def test_a_server_that_reorders_keeps_the_order_of_each_stream() -> None:
    server = Server("reorder")
    sent = [(stream, seq) for seq in range(1, 9) for stream in (ONE, OTHER)]
    came = numbers(server.send(*(push(*each) for each in sent)))
    assert came != sent
    assert sorted(came) == sorted(sent)
    for stream in (ONE, OTHER):
        assert [seq for each, seq in came if each == stream] == list(range(1, 9))
    assert server.effects["reorder"] > 0


def test_answers_are_overtaken_by_pushes_but_for_the_first_page() -> None:
    page = Page([], False)
    answers = [encode_frame(Kind.OK, number, page) for number in range(1, 9)]
    server = Server("reorder")
    for number in range(1, 9):
        server.ask(number, Kind.READ)
    frames = [*answers, *(push(ONE, seq) for seq in range(1, 9))]
    assert server.send(*frames) != frames
    started = encode_frame(Kind.OK, 1, LiveStarted(bytes(16), 1, [], [], False, 0))
    server = Server("reorder")
    server.ask(1, Kind.LIVE_START)
    assert server.send(started, push(ONE, 1), push(OTHER, 1))[0] == started


def test_a_server_that_shuffles_mixes_up_the_pushes_of_one_stream() -> None:
    server = Server("shuffle")
    came = numbers(server.send(*(push(ONE, seq) for seq in range(1, 9))))
    assert came != sorted(came)
    assert sorted(came) == [(ONE, seq) for seq in range(1, 9)]
    assert server.effects["shuffle"] > 0


def paged(name: str, entries: list[Entry]) -> tuple[list[Entry], Meddler]:
    """What becomes of a page."""
    server = Server(name)
    server.ask(4, Kind.READ)
    (sent,) = server.look(encode_frame(Kind.OK, 4, Page(entries, False)))
    server.loop.close()
    page = decode_body(decode_frame(sent.frame).body, OPERATIONS[Kind.READ].response)
    assert isinstance(page, Page)
    server.meddler.end_all()
    assert server.effects[name] > 0
    return page.entries, server.meddler


def test_a_shuffled_page_has_the_same_entries() -> None:
    entries = [entry(ONE, seq) for seq in range(1, 9)]
    found, meddler = paged("shuffle", entries)
    assert found != entries
    assert sorted(found, key=lambda each: each.seq) == entries
    assert meddler.hits == [], "it is no lie: the numbers are right"


def test_neighbours_in_a_page_get_each_other_s_number() -> None:
    found, meddler = paged("swap", [entry(ONE, 1), entry(ONE, 2), entry(OTHER, 3)])
    assert [(each.seq, each.envelope.body) for each in found] == [
        (1, b"\x02"),
        (2, b"\x01"),
        (3, b"\x03"),
    ]
    assert {hit.client_id for hit in meddler.hits} == {(1).to_bytes(16), (2).to_bytes(16)}


@pytest.mark.parametrize(
    ("sent", "came"),
    [([1, 2], [(1, 2), (2, 1)]), ([1, 3], [(1, 1), (3, 3)]), ([1], [])],
)
def test_a_push_waits_for_the_next_one_and_they_get_each_other_s_number(
    sent: list[int], came: list[tuple[int, int]]
) -> None:
    server = Server("swap")
    frames = server.send(*(push(ONE, seq) for seq in sent))
    entries = [decode_body(decode_frame(frame).body, PushEntry).entry for frame in frames]
    assert [(each.seq, each.envelope.body[0]) for each in entries] == came
