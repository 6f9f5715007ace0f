"""What was written and can't be sent any more: its writer keeps the text, and is told why."""

from __future__ import annotations

import pytest

from parlour.conversation import content as contents
from parlour.conversation.changes import Message, MessageState
from parlour.conversation.content import Text
from parlour.conversation.events import MessageUnsent
from parlour.errors import Code
from parlour.testing.device import MemoryDevice
from tests.scenario.parties import Party


def unsent(device: MemoryDevice) -> list[Message]:
    """What stays with its writer."""
    kept = device.store.messages.values()
    return [message for message in kept if message.state is MessageState.UNSENT]


def text_of(message: Message) -> str:
    content = contents.decode(message.content)
    assert isinstance(content, Text)
    return content.text


def reasons(device: MemoryDevice) -> list[Code]:
    return [event.reason for event in device.events if isinstance(event, MessageUnsent)]


def test_who_was_put_out_while_offline_keeps_what_they_wrote_meanwhile() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, _ = party.devices
    bob.disconnect()
    party.say(bob, "see you at eight")
    alice.machine.group_remove(party.group, [bob.machine.account_id], party.server.now)
    party.settle()
    bob.connect()
    party.settle()
    assert party.view(bob).state == "left"
    assert [text_of(message) for message in unsent(bob)] == ["see you at eight"]
    assert [message.reason for message in unsent(bob)] == [Code.GROUP_OVER.value]
    assert reasons(bob) == [Code.GROUP_OVER]
    assert not bob.machine.waiting


@pytest.mark.parametrize("restarts", [False, True])
def test_who_leaves_keeps_what_they_wrote(restarts: bool) -> None:
    party = Party("alice", "bob")
    _, bob = party.devices
    bob.disconnect()
    party.say(bob, "goodbye")
    bob.machine.group_leave(party.group, party.server.now)
    bob.settle()
    if restarts:
        bob.restart()
    bob.connect()
    party.settle()
    assert [text_of(message) for message in unsent(bob)] == ["goodbye"]


def test_what_was_written_to_somebody_who_is_blocked_now_is_kept() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    alice.disconnect()
    now = party.server.now
    alice.machine.send(bob.machine.account_id, Text("never mind"), now)
    alice.settle()
    alice.machine.block(bob.machine.account_id, now)
    alice.settle()
    assert [text_of(message) for message in unsent(alice)] == ["never mind"]
    assert reasons(alice) == [Code.CONTACT_BLOCKED]
    alice.connect()
    alice.machine.unblock(bob.machine.account_id, party.server.now)
    party.settle()
    assert [message.state for message in unsent(alice)] == [MessageState.UNSENT]


def test_who_comes_back_says_it_again_or_not() -> None:
    """It is not sent by itself: much may have been said since."""
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    bob.disconnect()
    party.say(bob, "see you at eight")
    alice.machine.group_remove(party.group, [bob.machine.account_id], party.server.now)
    party.settle()
    bob.connect()
    party.settle()
    alice.machine.group_add(party.group, [bob.machine.account_id], party.server.now)
    party.settle()
    bob.machine.accept_group(party.group, party.server.now)
    party.settle()
    party.say(bob, "I am back")
    party.settle()
    read = [message for message in carol.store.messages.values() if message.state == "received"]
    assert [text_of(message) for message in read] == ["I am back"]
    assert [text_of(message) for message in unsent(bob)] == ["see you at eight"]
