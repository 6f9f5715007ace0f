"""The main job, without disk and network: two people, one conversation."""

from parlour.conversation.events import (
    ContactAdded,
    MessageReceived,
    MessageSent,
    RequestReceived,
)
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer


def test_both_ways_and_while_offline() -> None:
    server = MemoryServer()
    alice, bob = MemoryDevice(server, "alice"), MemoryDevice(server, "bob")
    alice.connect()
    alice.say("bob", "hello")
    assert any(isinstance(event, MessageSent) for event in alice.events)

    bob.connect()  # Bob was offline
    assert bob.texts() == ["hello"]
    bob.say("alice", "hello to you")
    alice.pull()
    assert alice.texts() == ["hello to you"]

    bob.disconnect()
    for number in range(5):
        alice.say("bob", f"late {number}")
    bob.connect()
    assert bob.texts() == ["hello", *(f"late {number}" for number in range(5))]
    received = [event for event in bob.events if isinstance(event, MessageReceived)]
    assert len(received) == 6
    for device, expected in ((alice, [ContactAdded]), (bob, [ContactAdded, RequestReceived])):
        others = [e for e in device.events if not isinstance(e, MessageSent | MessageReceived)]
        assert [type(event) for event in others] == expected
