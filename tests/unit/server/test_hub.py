"""Pushes to many: some at a time, and all in their order."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from parlour.server.caller import Subscriber
from parlour.server.hub import SLICE, Hub
from parlour.server.sessions import Grant
from parlour.wire.envelope import ENVELOPE_FORMAT, Envelope, SuiteId
from parlour.wire.frames import decode_body, decode_frame
from parlour.wire.kinds import Kind
from parlour.wire.push import PushEntry, PushResync
from parlour.wire.streams import Entry

MANY = 2 * SLICE + 1
STREAM = b"s" * 16


class Listener:
    """A connection that keeps what it is handed."""

    def __init__(self, number: int) -> None:
        name = number.to_bytes(16)
        self.grant = Grant(name, name, name, 0, 0)
        self.frames: list[bytes] = []
        self.ended = False

    def push(self, frame: bytes) -> None:
        self.frames.append(frame)

    def hold(self) -> None:
        raise NotImplementedError

    def end(self, status: int, code: Any = None) -> None:
        self.ended = True


def connected(hub: Hub, count: int) -> list[Listener]:
    listeners = [Listener(number) for number in range(count)]
    for listener in listeners:
        hub.connect(cast(Subscriber, listener))
    return listeners


def accounts(listeners: list[Listener]) -> list[bytes]:
    return [listener.grant.account_id for listener in listeners]


def entry(seq: int) -> Entry:
    envelope = Envelope(ENVELOPE_FORMAT, SuiteId.MLS_MESSAGE, b"", b"x")
    return Entry(STREAM, seq, STREAM, STREAM, STREAM, 0, None, envelope, None)


def pushed(listener: Listener) -> list[int]:
    """The numbers of the entries that came; 0 for anything else."""
    found = []
    for data in listener.frames:
        frame = decode_frame(data)
        is_entry = frame.kind == Kind.PUSH_ENTRY
        found.append(decode_body(frame.body, PushEntry).entry.seq if is_entry else 0)
    return found


async def test_a_few_have_a_push_at_once() -> None:
    hub = Hub()
    listeners = connected(hub, 3)
    hub.push_entry(entry(1), {}, accounts(listeners), None)
    assert [pushed(each) for each in listeners] == [[1]] * 3


async def test_what_goes_to_many_lets_others_have_their_turn() -> None:
    hub = Hub()
    listeners = connected(hub, MANY)
    hub.push_entry(entry(1), {}, accounts(listeners), None)
    had = sum(map(bool, map(pushed, listeners)))
    assert had == SLICE
    await asyncio.sleep(0)
    assert sum(map(bool, map(pushed, listeners))) == 2 * SLICE
    await asyncio.sleep(0)
    assert all(pushed(each) == [1] for each in listeners)


async def test_pushes_keep_their_order_also_to_few() -> None:
    hub = Hub()
    listeners = connected(hub, MANY)
    hub.push_entry(entry(1), {}, accounts(listeners), None)
    last = listeners[-1]
    hub.push(accounts([last]), Kind.PUSH_RESYNC, PushResync())
    hub.push_entry(entry(2), {}, accounts(listeners), last.grant.device_id)
    assert pushed(last) == []
    for _ in range(3):
        await asyncio.sleep(0)
    assert pushed(last) == [1, 0, 2]
    assert pushed(listeners[0]) == [1]


async def test_each_device_gets_its_own_part_alone() -> None:
    hub = Hub()
    one, other = connected(hub, 2)
    hub.push_entry(entry(1), {one.grant.device_id: b"part"}, accounts([one, other]), None)
    bodies = [decode_body(decode_frame(each.frames[0]).body, PushEntry) for each in (one, other)]
    assert [body.entry.part for body in bodies] == [b"part", None]


async def test_a_server_that_stops_hands_out_what_is_on_its_way_first() -> None:
    hub = Hub()
    listeners = connected(hub, MANY)
    hub.push_entry(entry(1), {}, accounts(listeners), None)
    with hub.opened(cast(Subscriber, listeners[-1])):
        hub.drain(lambda: 0)
        assert pushed(listeners[-1]) == [1, 0]
        assert listeners[-1].ended
        await asyncio.sleep(0)
    assert all(pushed(each)[0] == 1 for each in listeners)


async def test_nobody_is_there() -> None:
    hub = Hub()
    hub.push([STREAM], Kind.PUSH_RESYNC, PushResync())
    hub.push_entry(entry(1), {}, [STREAM], None)
    (late,) = connected(hub, 1)
    hub.push_entry(entry(2), {}, accounts([late]), None)
    assert pushed(late) == [2]
