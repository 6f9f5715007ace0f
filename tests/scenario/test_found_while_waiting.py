"""A sender is looked up in the moment in which their first message waits for their device list."""

from parlour.conversation.content import Text
from parlour.conversation.events import MessageReceived, MessageUnreadable
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer
from parlour.wire.directory import LookUp
from parlour.wire.kinds import Kind
from parlour.wire.push import PushEntry


def test_a_look_up_does_not_leave_what_waits_for_the_list_unread() -> None:
    server = MemoryServer()
    alice, bob = MemoryDevice(server, "alice"), MemoryDevice(server, "bob")
    alice.connect()
    alice.say("bob", "hello")
    started = server.live_start(bob.machine.device_id, bob.machine.positions())
    bob.online = True
    bob.machine.connected(started, server.now)
    # Before the list is asked for: the shell writes a batch while the answer to a look-up comes.
    page = server.request(bob.machine.device_id, Kind.LOOK_UP, LookUp("alice"))
    bob.machine.found(page, "alice")  # type: ignore[arg-type]
    bob.settle()
    received = [event for event in bob.events if isinstance(event, MessageReceived)]
    assert len(received) == 1
    assert not any(isinstance(event, MessageUnreadable) for event in bob.events)


def test_what_waits_for_the_list_is_read_before_what_comes_next() -> None:
    server = MemoryServer()
    alice, bob = MemoryDevice(server, "alice"), MemoryDevice(server, "bob")
    alice.connect()
    alice.say("bob", "one")
    started = server.live_start(bob.machine.device_id, bob.machine.positions())
    bob.online = True
    bob.machine.connected(started, server.now)
    page = server.request(bob.machine.device_id, Kind.LOOK_UP, LookUp("alice"))
    bob.machine.found(page, server.now, "alice")  # type: ignore[arg-type]
    alice.say("bob", "two")
    (stream,) = {entry.stream for entry in started.entries}
    (pushed,) = server.entries_for(bob.machine.device_id, stream, 1)[-1:]
    bob.machine.pushed(PushEntry(pushed), server.now)
    bob.settle()
    received = [event for event in bob.events if isinstance(event, MessageReceived)]
    assert [event.content for event in received] == [Text("one"), Text("two")]
