"""A server that shows other account keys: nothing is sent to them before a person decides."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from parlour.conversation.contact import Verification
from parlour.conversation.events import KeyChanged, KeyReturned, MessageUnreadable
from parlour.conversation.reasons import Reason
from parlour.errors import Code, ParlourError
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer
from parlour.wire.kinds import Kind
from tests.scenario.lies import behave, lie
from tests.scenario.people import blocks, heard, meet_again, two


def _impostor(server: MemoryServer, of: MemoryDevice) -> MemoryDevice:
    """Whom a server makes up in somebody's place: another account key under the same id."""
    account = server.accounts[of.machine.account_id]
    fresh = MemoryServer()
    fresh.now = server.now
    twin = MemoryDevice(fresh, of.name, seed="twin", account_id=of.machine.account_id)
    account.entries[:] = fresh.accounts[of.machine.account_id].entries
    server.streams.update(fresh.streams)
    server.prekeys.update(fresh.prekeys)
    twin.server = server
    return twin


def test_an_unverified_account_with_another_key_is_shown() -> None:
    server, alice, bob = two()
    _impostor(server, bob)
    alice.connect()
    alice.say("bob", "who are you?")
    assert [event.stopped for event in heard(alice, KeyChanged)] == [False]


def test_a_verified_account_with_another_key_stops_sending_and_reading() -> None:
    server, alice, bob = two()
    alice.machine.verify(bob.machine.account_id, server.now)
    honest = list(server.accounts[bob.machine.account_id].entries)
    alice.machine.send(bob.machine.account_id, alice.content("secret"), server.now)
    twin = _impostor(server, bob)
    alice.connect()
    assert [event.stopped for event in heard(alice, KeyChanged)] == [True]
    assert blocks(alice) == [Code.ACCOUNT_KEY_CHANGED]
    with pytest.raises(ParlourError) as caught:
        alice.say("bob", "more")
    assert caught.value.code is Code.ACCOUNT_KEY_CHANGED
    twin.connect()
    twin.say("alice", "it is me")
    alice.pull()
    assert [event.reason for event in heard(alice, MessageUnreadable)] == [Reason.KEY_CHANGED]
    assert alice.texts() == ["hello to you"]
    twin.pull()
    assert twin.texts() == []  # nothing went to the wrong key

    # The server behaves: the key that was verified is shown again, and all goes on.
    server.accounts[bob.machine.account_id].entries[:] = honest
    meet_again(alice, bob)
    assert heard(alice, KeyReturned)
    assert bob.texts() == ["hello", "secret"]
    assert alice.machine.contacts[bob.machine.account_id].verification is Verification.VERIFIED


@pytest.mark.parametrize("decide", ["verify", "accept"])
def test_what_was_held_is_read_when_a_person_accepts_the_new_key(decide: str) -> None:
    server, alice, bob = two()
    bob_id = bob.machine.account_id
    alice.machine.verify(bob_id, server.now)
    twin = _impostor(server, bob)  # this time it is Bob, who lost everything
    alice.connect()
    alice.machine.handle_timeout(server.now)
    twin.connect()
    twin.say("alice", "one")
    twin.say("alice", "two")
    alice.pull()
    alice.restart()
    alice.connect()
    with pytest.raises(ParlourError) as caught:
        alice.machine.verify(bob_id, server.now, key=bob.account_key.public_key)
    assert caught.value.code is Code.ACCOUNT_KEY_CHANGED
    key = alice.machine.contacts[bob_id].key_to_verify()
    getattr(alice.machine, decide)(bob_id, server.now, key=key)
    alice.settle()
    assert alice.texts() == ["hello to you", "one", "two"]
    alice.say("bob", "there you are")
    twin.pull()
    assert twin.texts() == ["there you are"]


def test_another_key_of_our_own_account_is_never_taken() -> None:
    """Else a server would get a copy of all we say, as a device of ours."""
    server, alice, bob = two()
    own = alice.machine.account_id
    twin = MemoryDevice(MemoryServer(), "alice", seed="twin", account_id=own)
    made_up = twin.server.accounts[own].entries
    lie(
        server,
        Kind.READ_DEVICE_LIST,
        lambda page: replace(page, entries=made_up) if page.account_id == own else page,
        to=alice,
    )
    alice.connect()
    alice.say("bob", "secret")
    assert heard(alice, KeyChanged) == []
    assert Code.ACCOUNT_KEY_CHANGED in blocks(alice)
    behave(server)
    meet_again(alice, bob)
    assert bob.texts() == ["hello", "secret"]
