import asyncio

from parlour.client import feed as feed_module
from parlour.client.feed import Connected, Disconnected, Feed, Reader
from parlour.conversation.changes import Message, MessageState
from parlour.conversation.content import Text
from parlour.conversation.events import MessageReceived, ServerRestored
from parlour.errors import Code


def received(number: int) -> MessageReceived:
    key = number.to_bytes(16)
    message = Message(key, key, key, key, number, 0, 0, MessageState.RECEIVED, b"")
    return MessageReceived(message, Text("x"))


def taken(reader: Reader) -> list[object]:
    found: list[object] = []
    while (event := reader.take()) is not None:
        found.append(event)
    return found


def test_the_first_reader_gets_what_happened_before_but_messages_wait_in_the_store() -> None:
    feed = Feed()
    down = Disconnected(Code.NETWORK_CLOSED, final=False)
    feed.put(down)
    feed.put(received(1))
    first, second = feed.open(), feed.open()
    assert taken(first) == [down]
    assert taken(second) == []
    assert first.behind
    assert second.behind


def test_every_reader_gets_every_event() -> None:
    feed = Feed()
    readers = [feed.open(), feed.open()]
    feed.put(Connected())
    feed.put(received(1))
    for reader in readers:
        assert taken(reader) == [Connected(), received(1)]
    feed.close(readers[0])
    feed.put(ServerRestored())
    assert readers[0].is_empty
    assert taken(readers[1]) == [ServerRestored()]


def test_messages_of_a_page_are_not_there_twice() -> None:
    feed = Feed()
    reader = feed.open()
    for event in (received(1), Connected(), received(2)):
        feed.put(event)
    reader.caught_up({received(1).message.key}, more=False)
    assert taken(reader) == [Connected(), received(2)]
    assert not reader.behind


def test_a_slow_reader_loses_no_message(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(feed_module, "MAX_EVENTS", 3)
    feed = Feed()
    reader = feed.open()
    reader.caught_up((), more=False)
    feed.put(Connected())
    for number in range(3):
        feed.put(received(number))
    assert not reader.behind
    feed.put(received(3))
    assert reader.behind
    assert len(taken(reader)) == 3


async def test_a_reader_can_be_woken_without_an_event() -> None:
    feed = Feed()
    reader = feed.open()
    waiting = asyncio.create_task(reader.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    feed.wake()
    await asyncio.wait_for(waiting, 1)
    feed.put(Connected())
    await asyncio.wait_for(reader.wait(), 1)
