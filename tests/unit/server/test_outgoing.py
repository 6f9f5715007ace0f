"""The queue of one connection."""

from __future__ import annotations

import asyncio

import pytest

from parlour.server.socket import outgoing
from parlour.server.socket.outgoing import Outgoing, SlowReader
from parlour.wire.frames import decode_frame
from parlour.wire.kinds import Kind


class Line:
    """A connection that takes messages in when it is told to."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.sent: list[bytes] = []
        self._news = asyncio.Event()

    async def send(self, data: bytes) -> None:
        await self.open.wait()
        self.sent.append(data)
        self._news.set()

    async def took(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.sent) < count:
                self._news.clear()
                await self._news.wait()

    async def close(self, status: int) -> None:
        raise NotImplementedError


@pytest.fixture(autouse=True)
def small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "MAX_PUSHES", 3)
    monkeypatch.setattr(outgoing, "MAX_PUSH_BYTES", 100)


async def drained(queue: Outgoing) -> None:
    queue.end()
    async with asyncio.timeout(5):
        await queue.run()


def is_resync(frame: bytes) -> bool:
    return decode_frame(frame).kind == Kind.PUSH_RESYNC


async def test_everything_leaves_in_order() -> None:
    line = Line()
    queue = Outgoing(line)
    places: list[str] = []
    queue.push(b"1")
    queue.answer(b"2", lambda: places.append("free"))
    queue.push(b"3")
    assert places == []
    await drained(queue)
    assert line.sent == [b"1", b"2", b"3"]
    assert places == ["free"]


async def test_too_many_pushes_become_one_resync() -> None:
    line = Line()
    queue = Outgoing(line)
    for number in range(5):
        queue.push(b"%d" % number)
    queue.answer(b"answer", lambda: None)
    await drained(queue)
    assert line.sent[:4] == [b"0", b"1", b"2", b"answer"]
    assert [is_resync(each) for each in line.sent[4:]] == [True]


async def test_too_many_bytes_become_a_resync() -> None:
    line = Line()
    queue = Outgoing(line)
    queue.push(b"x" * 60)
    queue.push(b"y" * 60)
    queue.push(b"z")  # after a gap: dropped as well
    await drained(queue)
    assert line.sent[0] == b"x" * 60
    assert [is_resync(each) for each in line.sent[1:]] == [True]


async def test_pushes_flow_again_after_a_resync() -> None:
    line = Line()
    queue = Outgoing(line)
    for number in range(9):
        queue.push(b"%d" % number)
    running = asyncio.create_task(queue.run())
    await line.took(4)
    for number in range(10, 13):
        queue.push(b"%d" % number)
    queue.end()
    await running
    assert line.sent[4:] == [b"10", b"11", b"12"]


async def test_held_pushes_follow_what_is_queued_before_their_release() -> None:
    line = Line()
    queue = Outgoing(line)
    queue.push(b"before")
    queue.hold()
    queue.push(b"held")
    queue.answer(b"page", lambda: None)
    queue.release()
    await drained(queue)
    assert line.sent == [b"before", b"page", b"held"]


async def test_too_many_held_pushes_become_a_resync_after_the_page() -> None:
    line = Line()
    queue = Outgoing(line)
    queue.hold()
    for number in range(5):
        queue.push(b"%d" % number)
    queue.answer(b"page", lambda: None)
    running = asyncio.create_task(queue.run())
    await line.took(1)
    assert line.sent == [b"page"]
    queue.release()
    queue.end()
    await running
    assert line.sent[1:4] == [b"0", b"1", b"2"]
    assert [is_resync(each) for each in line.sent[4:]] == [True]


async def test_who_takes_nothing_in_is_given_up() -> None:
    line = Line()
    line.open.clear()
    queue = Outgoing(line, send_seconds=0.01)
    queue.push(b"1")
    with pytest.raises(SlowReader):
        await queue.run()
