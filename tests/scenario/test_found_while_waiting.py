"""A sender is looked up in the moment in which their first message waits for their device list."""

from parlour.conversation.events import MessageReceived, MessageUnreadable
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer
from parlour.wire.directory import LookUp
from parlour.wire.kinds import Kind


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
