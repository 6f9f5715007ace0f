"""A server that was restored from a backup: numbers come again, and nothing is lost."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from parlour.conversation.content import Text
from parlour.conversation.events import (
    MessageMissing,
    MessageReceived,
    MessageUnreadable,
    ServerRestored,
)
from parlour.conversation.genesis import between
from parlour.conversation.reasons import Reason
from parlour.wire.kinds import Kind
from parlour.wire.streams import CreateConversation
from tests.scenario.lies import deliver
from tests.scenario.people import heard, two


def test_a_restored_backup_repeats_numbers_and_loses_nothing_that_it_has() -> None:
    server, alice, bob = two()
    stream = server.streams[bob.machine.positions()[-1].stream]
    backup = len(stream.entries)
    alice.say("bob", "after the backup")
    bob.pull()
    for stored in stream.entries[backup:]:
        del stream.by_client_id[stored.entry.sender_device, stored.entry.client_id]
    del stream.entries[backup:]
    server.incarnation = b"i" * 16
    alice.connect()
    alice.say("bob", "the same number")
    alice.say("bob", "and one more")
    bob.connect()
    assert heard(bob, ServerRestored)
    assert bob.texts() == ["hello", "after the backup", "the same number", "and one more"]
    assert heard(bob, MessageUnreadable) == []
    assert heard(bob, MessageMissing) == []
    assert len(heard(bob, MessageReceived)) == 4


@pytest.mark.parametrize("other", [False, True], ids=["the same stream", "another stream"])
def test_a_conversation_that_is_younger_than_the_backup_is_made_again(other: bool) -> None:
    server, alice, bob = two()
    alice.disconnect()
    waiting = alice.machine.send(bob.machine.account_id, Text("waits"), server.now)
    stream = alice.machine.positions()[-1].stream
    del server.streams[stream]
    server.incarnation = b"i" * 16
    if other:
        # Somebody who did not know of it was first.
        genesis = between(alice.machine.account_id, bob.machine.account_id)
        body = CreateConversation(b"o" * 16, "direct", list(genesis.members), genesis.encode())
        server.request(bob.machine.device_id, Kind.CREATE_CONVERSATION, body)
    alice.connect()
    bob.connect()
    bob.say("alice", "once more")
    alice.pull()
    assert server.streams.keys() >= {b"o" * 16 if other else stream}
    assert [m.seq for m in alice.store.messages.values() if m.message_id == waiting] == [1]
    assert bob.texts()[-1] == "waits"
    assert alice.texts()[-1] == "once more"


def test_what_is_new_after_a_restore_is_asked_for_again_though_its_number_is_not() -> None:
    server, alice, bob = two()
    stream = server.streams[bob.machine.positions()[-1].stream]
    backup = len(stream.entries)
    server.now += 1000
    alice.say("bob", "after the backup")
    bob.pull()
    for stored in stream.entries[backup:]:
        del stream.by_client_id[stored.entry.sender_device, stored.entry.client_id]
    del stream.entries[backup:]
    server.incarnation = b"i" * 16
    alice.connect()
    bob.connect()
    server.now += 1000
    alice.say("bob", "the same number")
    number = len(stream.entries)
    deliver(server, lambda e: [replace(e, part=None)] if e.seq == number else [e], to=bob)
    bob.pull()
    alice.pull()
    bob.pull()
    assert [event.reason for event in heard(bob, MessageUnreadable)] == [Reason.NO_PART]
    assert bob.texts()[-1] == "the same number"


def test_what_is_held_is_not_asked_for_again_after_a_restore() -> None:
    server, alice, bob = two()
    alice.say("bob", "lost part")
    deliver(server, lambda e: [replace(e, part=None)] if e.seq == 3 else [e], to=bob)
    bob.pull()
    server.incarnation = b"i" * 16
    bob.connect()
    assert len(heard(bob, MessageUnreadable)) == 1
    alice.connect()
    bob.pull()
    assert bob.texts() == ["hello", "lost part"]
