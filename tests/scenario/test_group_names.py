"""Nobody speaks as another: not with a server's help, and not by saying something once more."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from parlour.conversation import content as contents
from parlour.conversation.content import Resent, Text
from parlour.conversation.events import GroupLeft, MessageReceived, MessageUnreadable
from parlour.conversation.groups.chat import Chat
from parlour.conversation.groups.view import GroupName
from parlour.conversation.reasons import Reason
from parlour.conversation.records import Held
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer
from parlour.wire.envelope import ENVELOPE_FORMAT, Envelope, SuiteId
from parlour.wire.streams import Append, Entry
from tests.scenario.conversations import settle, view
from tests.scenario.parties import Party, chat_of
from tests.scenario.people import heard
from tests.scenario.test_direct import strangers

ID = bytes([9]) * 16


def put_unreadable(
    server: MemoryServer, chat: Chat, account_id: bytes, device: MemoryDevice
) -> Entry:
    """The server stores what nobody can open: of a device, under the name of an account."""
    body = bytearray(chat.live().encrypt(b"x", b"y", random=device.random))
    body[-1] ^= 1
    envelope = Envelope(ENVELOPE_FORMAT, SuiteId.MLS_MESSAGE, b"", bytes(body))
    append = Append(stream=chat.id, client_id=ID, envelope=envelope, parts=[])
    stored = server._store(device.machine.device_id, append, [])
    stored.entry = replace(stored.entry, sender_account=account_id)
    return stored.entry


def resend(device: MemoryDevice, to: MemoryDevice, text: str) -> None:
    """Say over the pairwise session that this was the message."""
    said = Resent(ID, device.server.now, contents.encode(Text(text)))
    machine = to.machine
    device.machine._sending.send_to_inbox(
        machine.account_id, machine.device_id, said, device.server.now
    )
    device.settle()


def test_a_device_under_another_account() -> None:
    party = Party("alice", "bob", "mallory")
    alice, bob, mallory = party.devices
    chat = chat_of(mallory, party)
    put_unreadable(party.server, chat, alice.machine.account_id, mallory)
    party.settle(2)
    resend(mallory, bob, "alice owes mallory 1000")
    party.settle(2)
    assert bob.texts() == []
    assert [e.reason for e in heard(bob, MessageUnreadable)] == [Reason.UNKNOWN_DEVICE]
    assert not bob.machine._memory.held


def test_what_was_held_is_not_said_by_a_device_of_another_account() -> None:
    party = Party("alice", "bob", "mallory")
    alice, bob, mallory = party.devices
    chat = chat_of(mallory, party)
    entry = put_unreadable(party.server, chat, mallory.machine.account_id, mallory)
    party.settle(2)
    (held,) = bob.machine._memory.held.values()
    # As an older program kept it.
    lie = replace(entry, sender_account=alice.machine.account_id)
    bob.machine._memory.put_held(Held(lie, held.conversation, held.reason, held.until, held.asked))
    resend(mallory, bob, "alice owes mallory 1000")
    party.settle(2)
    assert bob.texts() == []
    assert alice.texts() == []


def test_of_two_what_i_said_myself() -> None:
    server, mallory, bob = strangers("default-mls", "default-mls")
    mallory.say("bob", "hello")
    settle(mallory, bob)
    bob.say("alice", "hello")
    settle(mallory, bob)
    group = view(bob, mallory).id
    chat = mallory.machine._memory.groups.chats[group]
    put_unreadable(server, chat, bob.machine.account_id, mallory)
    bob.pull()
    resend(mallory, bob, "I owe 1000")
    settle(mallory, bob)
    texts = [
        contents.decode(message.content)
        for message in bob.store.messages.values()
        if message.message_id == ID and message.content
    ]
    assert texts == []
    assert bob.texts() == ["hello"]


def test_a_device_that_was_taken_off_its_list_is_still_its_accounts() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    laptop = party.add_device("laptop", alice)
    party.settle(8)
    party.check_together()
    bob.disconnect()
    party.say(laptop, "the last thing it said")
    alice.remove(laptop)
    party.devices.remove(laptop)
    party.reconnect()
    party.settle(4)
    assert bob.texts() == ["the last thing it said"]
    assert [event.content for event in heard(bob, MessageReceived)] == [
        Text("the last thing it said")
    ]


@pytest.mark.parametrize("what", ["event", "view", "name"])
def test_no_name_of_a_group_in_a_repr(what: str) -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    bob.machine.group_leave(party.group, party.server.now)
    bob.settle()
    party.settle(3)
    shown = {
        "event": [*alice.events, *bob.events],
        "view": [party.view(alice)],
        "name": [GroupName("Friends", is_over=False)],
    }[what]
    assert what != "event" or any(isinstance(event, GroupLeft) for event in bob.events)
    assert "Friends" not in repr(shown)
