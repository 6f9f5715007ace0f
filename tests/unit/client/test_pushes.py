import asyncio

import pytest

from parlour.client import pushes
from parlour.client.pushes import PushQueue
from parlour.errors import Code, TransportError
from parlour.wire.push import PushDrain, PushResync


def ended() -> TransportError:
    return TransportError(Code.NETWORK_CLOSED)


async def test_who_waits_is_given_the_next_one() -> None:
    queue = PushQueue(lambda: False)
    getting = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    await queue.put(PushDrain(1), 10)
    assert await getting == PushDrain(1)


async def test_the_end_comes_after_what_is_left() -> None:
    queue = PushQueue(lambda: False)
    await queue.put(PushDrain(1), 10)
    queue.end(ended)
    assert await queue.get() == PushDrain(1)
    with pytest.raises(TransportError):
        await queue.get()


async def test_a_writer_waits_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushes, "MAX_PUSH_BYTES", 20)
    queue = PushQueue(lambda: False)
    await queue.put(PushDrain(1), 20)
    putting = asyncio.ensure_future(queue.put(PushDrain(2), 1))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not putting.done()
    assert await queue.get() == PushDrain(1)
    await putting
    assert await queue.get() == PushDrain(2)


async def test_a_writer_loses_patience_once_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushes, "MAX_PUSHES", 2)
    queue = PushQueue(lambda: False, patience=0.01)
    for number in range(5):
        await queue.put(PushDrain(number), 1)
    assert [await queue.get() for _ in range(3)] == [PushDrain(0), PushDrain(1), PushResync()]
    await queue.put(PushDrain(9), 1)
    assert await queue.get() == PushDrain(9)


async def test_a_request_hurries_a_writer_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushes, "MAX_PUSHES", 1)
    busy = False
    queue = PushQueue(lambda: busy)
    await queue.put(PushDrain(1), 1)
    putting = asyncio.ensure_future(queue.put(PushDrain(2), 1))
    await asyncio.sleep(0)
    busy = True
    queue.hurry()
    await putting
    assert [await queue.get() for _ in range(2)] == [PushDrain(1), PushResync()]
