import asyncio

from parlour.client.signals import Signal


async def test_a_waiter_misses_nothing_that_came_since_it_looked() -> None:
    signal = Signal()
    seen = signal.count
    signal.notify()
    await asyncio.wait_for(signal.wait(seen), 1)


async def test_everybody_who_waits_is_told_and_who_gave_up_is_forgotten() -> None:
    signal = Signal()
    waiters = [asyncio.create_task(signal.wait(signal.count)) for _ in range(3)]
    await asyncio.sleep(0)
    waiters[0].cancel()
    await asyncio.gather(waiters[0], return_exceptions=True)
    signal.notify()
    await asyncio.wait_for(asyncio.gather(*waiters[1:]), 1)
    assert not signal._waiters
