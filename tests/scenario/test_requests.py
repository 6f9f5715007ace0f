"""First contact: what a stranger may do, and what is decided about them."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from parlour.conversation.changes import MessageState, Namespace
from parlour.conversation.content import ResendRequest
from parlour.conversation.events import (
    MessageReceived,
    ProfileChanged,
    RequestFull,
    RequestReceived,
    ServerMisbehaved,
)
from parlour.conversation.people import MAX_REQUESTED, NOBODY, QUIET, REQUESTS
from parlour.conversation.standing import Standing
from parlour.errors import Code, ParlourError
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer
from tests.scenario.people import heard, meet_again, strangers


def asked(texts: int = 1) -> tuple[MemoryServer, MemoryDevice, MemoryDevice]:
    """Alice has written to Bob, who does not know her."""
    server, alice, bob = strangers()
    bob.welcoming = False
    for number in range(texts):
        alice.say("bob", f"hello {number}")
    bob.pull()
    return server, alice, bob


def standing(device: MemoryDevice, name: str) -> Standing:
    contact = device.machine.contact_named(name)
    assert contact is not None
    return contact.standing


def kept(device: MemoryDevice, state: MessageState) -> int:
    return sum(1 for message in device.store.messages.values() if message.state is state)


def decide(device: MemoryDevice, act: str, other: MemoryDevice) -> None:
    getattr(device.machine, act)(other.machine.account_id, device.server.now)
    device.settle()


def refused(device: MemoryDevice, act: str, other: MemoryDevice) -> Code:
    with pytest.raises(ParlourError) as caught:
        getattr(device.machine, act)(other.machine.account_id, device.server.now)
    return caught.value.code


def test_of_a_stranger_the_name_is_shown_and_nothing_else() -> None:
    _, alice, bob = asked(2)
    assert [event.name for event in heard(bob, RequestReceived)] == ["alice"]
    assert not heard(bob, MessageReceived)
    assert not bob.store.undelivered
    assert kept(bob, MessageState.REQUESTED) == 2
    assert standing(bob, "alice") is Standing.REQUESTED
    assert standing(alice, "bob") is Standing.ACCEPTED


def test_accepting_shows_what_was_said_in_its_order() -> None:
    _, alice, bob = asked(3)
    decide(bob, "accept_request", alice)
    assert bob.texts() == ["hello 0", "hello 1", "hello 2"]
    assert len(heard(bob, MessageReceived)) == len(bob.store.undelivered) == 3
    alice.say("bob", "thanks")
    bob.pull()
    assert bob.texts()[-1] == "thanks"
    assert len(heard(bob, RequestReceived)) == 1


def test_writing_to_somebody_is_a_yes() -> None:
    _, alice, bob = asked()
    bob.say("alice", "hello to you")
    assert bob.texts() == ["hello 0"]
    alice.pull()
    assert alice.texts() == ["hello to you"]
    assert not heard(alice, RequestReceived)


def test_a_no_deletes_what_was_said_and_holds_for_a_day() -> None:
    server, alice, bob = asked(2)
    decide(bob, "decline", alice)
    assert not bob.store.messages
    alice.say("bob", "please")
    bob.pull()
    assert len(heard(bob, RequestReceived)) == 1
    server.now += QUIET
    alice.say("bob", "and today?")
    bob.pull()
    assert len(heard(bob, RequestReceived)) == 2
    assert standing(bob, "alice") is Standing.REQUESTED
    decide(bob, "accept_request", alice)
    assert bob.texts() == ["and today?"]


def test_nothing_comes_from_a_blocked_account_and_nothing_goes_there() -> None:
    _, alice, bob = asked()
    decide(bob, "accept_request", alice)
    bob.disconnect()
    bob.say("alice", "on my way")
    decide(bob, "block", alice)
    bob.connect()
    assert not bob.machine.waiting
    alice.say("bob", "are you there?")
    alice.pull()
    bob.pull()
    assert bob.texts() == ["hello 0"]
    assert alice.texts() == []
    with pytest.raises(ParlourError) as caught:
        bob.say("alice", "no")
    assert caught.value.code is Code.CONTACT_BLOCKED


def test_who_is_unblocked_may_ask_again_and_nothing_seems_missing() -> None:
    _, alice, bob = asked()
    decide(bob, "accept_request", alice)
    decide(bob, "block", alice)
    for number in range(3):
        alice.say("bob", f"lost {number}")
    bob.pull()
    decide(bob, "unblock", alice)
    bob.welcoming = True
    alice.say("bob", "again")
    bob.pull()
    assert bob.texts() == ["hello 0", "again"]
    usual = MessageReceived | RequestReceived
    assert {type(event) for event in bob.events[2:] if not isinstance(event, usual)} == set()


def test_what_makes_no_sense_is_refused() -> None:
    _, alice, bob = asked()
    assert refused(bob, "unblock", alice) is Code.USAGE_STATE
    decide(bob, "accept_request", alice)
    assert refused(bob, "decline", alice) is Code.USAGE_STATE
    decide(bob, "block", alice)
    decide(bob, "block", alice)
    assert refused(bob, "accept_request", alice) is Code.CONTACT_BLOCKED
    assert refused(bob, "block", bob) is Code.ACCOUNT_UNKNOWN


def test_a_stranger_can_not_fill_the_disk() -> None:
    _, alice, bob = asked(MAX_REQUESTED + 2)
    for number in range(3):
        alice.say("bob", f"one more {number}")
    bob.pull()
    assert kept(bob, MessageState.REQUESTED) == MAX_REQUESTED
    decide(bob, "accept_request", alice)
    assert [event.count for event in heard(bob, RequestFull)] == [5]
    assert len(bob.texts()) == MAX_REQUESTED


def test_nobody_may_ask_where_the_person_says_so() -> None:
    server, alice, bob = strangers()
    with pytest.raises(ParlourError) as caught:
        bob.machine.set_setting(REQUESTS, "friends", server.now)
    assert caught.value.code is Code.USAGE_INVALID
    bob.machine.set_setting(REQUESTS, NOBODY, server.now)
    alice.say("bob", "hello")
    bob.pull()
    assert not heard(bob, RequestReceived)
    bob.say("alice", "it is me who asks")
    alice.pull()
    alice.say("bob", "good")
    bob.pull()
    assert bob.texts() == ["good"]


def test_forgetting_leaves_nothing_and_lets_the_name_come_again() -> None:
    server, alice, bob = asked()
    bob.say("alice", "hi")
    bob.machine.verify(alice.machine.account_id, server.now)
    decide(bob, "forget", alice)
    assert bob.machine.contact_named("alice") is None
    assert not bob.store.messages
    alice.say("bob", "who are you?")
    meet_again(alice, bob)
    assert [event.name for event in heard(bob, RequestReceived)] == ["alice", "alice"]
    decide(bob, "accept_request", alice)
    # Its session is gone with everything else, so it comes once more over a new one.
    meet_again(alice, bob)
    assert bob.texts() == ["who are you?"]
    bob.restart()
    assert standing(bob, "alice") is Standing.ACCEPTED


def test_somebody_whom_one_never_talked_with_is_forgotten_with_their_profile() -> None:
    server, alice, bob = asked()
    decide(bob, "accept_request", alice)
    alice.machine.set_profile("Alice")
    alice.settle()
    bob.pull()
    assert bob.store.records[Namespace.PROFILE].keys() >= {alice.machine.account_id}
    carol = MemoryDevice(server, "carol")
    carol.connect()
    carol.say("bob", "to stay")
    bob.pull()
    decide(bob, "forget", alice)
    assert alice.machine.account_id not in bob.store.records[Namespace.PROFILE]
    assert standing(bob, "carol") is Standing.REQUESTED
    # Who was only looked up has no conversation that would have to go.
    met = alice.meet("carol")
    alice.settle()
    alice.machine.forget(met, server.now)
    alice.settle()
    assert alice.machine.contact_named("carol") is None


def test_profiles_go_to_those_whom_one_talks_with() -> None:
    _server, alice, bob = asked()
    alice.machine.set_profile("Alice", "at sea", b"picture")
    alice.settle()
    bob.pull()
    alice_id = alice.machine.account_id
    # The name and the picture of a stranger stay unseen until they are accepted.
    assert bob.machine.profile(alice_id) is None
    decide(bob, "accept_request", alice)
    profile = bob.machine.profile(alice_id)
    assert profile is not None
    assert (profile.name, profile.status) == ("Alice", "at sea")
    assert bob.store.records[Namespace.PICTURE] == {alice_id: b"picture"}
    bob.machine.set_profile("Bob")
    bob.settle()
    alice.pull()
    assert alice.machine.profile(bob.machine.account_id).name == "Bob"  # type: ignore[union-attr]


def test_who_is_blocked_does_not_see_the_next_profile() -> None:
    _server, alice, bob = asked()
    bob.machine.set_profile("Bob", "hello")
    bob.settle()
    decide(bob, "accept_request", alice)
    alice.pull()
    key = alice.machine._memory.profiles[bob.machine.account_id].key
    decide(bob, "block", alice)
    bob.machine.set_profile("Bob", "without alice")
    bob.settle()
    alice.pull()
    known = alice.machine.profile(bob.machine.account_id)
    assert known is not None
    assert known.status == "hello"
    assert bob.machine._memory.profiles[bob.machine.account_id].key != key


def test_a_server_that_shows_an_old_profile_is_found_out() -> None:
    server, alice, bob = asked()
    bob.say("alice", "hi")
    bob.machine.set_profile("Bob", "one")
    bob.settle()
    old = dict(server.profiles)
    alice.pull()
    bob.machine.set_profile("Bob", "two")
    bob.settle()
    server.profiles.update(old)
    alice.pull()
    known = alice.machine.profile(bob.machine.account_id)
    assert known is not None
    assert known.status == "one"
    assert {event.reason for event in heard(alice, ServerMisbehaved)} == {Code.PROFILE_ROLLBACK}
    assert len(heard(alice, ProfileChanged)) == 1


def test_a_blocked_device_gets_nothing_repeated() -> None:
    server, alice, bob = asked()
    decide(bob, "block", alice)
    request = ResendRequest(bob.machine.account_id, b"m" * 16, "")
    device_id = bob.machine.device_id
    alice.machine._sending.send_to_inbox(bob.machine.account_id, device_id, request, server.now)
    alice.settle()
    bob.pull()
    assert not bob.machine._memory.outbox


def test_what_a_stranger_is_held_for_goes_when_they_are_blocked() -> None:
    server, alice, bob = asked()
    decide(bob, "accept_request", alice)
    server.deliver = lambda entry, device_id: [replace(entry, part=None)]
    alice.say("bob", "unreadable")
    carol = MemoryDevice(server, "carol")
    carol.connect()
    carol.say("bob", "unreadable too")
    bob.pull()
    assert len(bob.machine._memory.held) == 2
    decide(bob, "block", alice)
    (held,) = bob.machine._memory.held.values()
    assert held.entry.sender_account == carol.machine.account_id
