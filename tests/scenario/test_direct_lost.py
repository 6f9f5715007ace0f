"""Conversations of two that the server has no more, and one of the other kind in their place."""

from __future__ import annotations

import pytest

from parlour.conversation.content import EpochSeen
from parlour.conversation.events import ServerMisbehaved
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer
from parlour.wire.push import PushResync
from tests.scenario.conversations import conversation, settle
from tests.scenario.parties import Party
from tests.scenario.people import heard
from tests.scenario.test_direct import strangers

MLS, PAIRWISE = "default-mls", "default"
KINDS = [(MLS, MLS), (MLS, PAIRWISE), (PAIRWISE, MLS), (PAIRWISE, PAIRWISE)]
HOUR = 3_600_000


def begun(*presets: str) -> tuple[MemoryServer, MemoryDevice, MemoryDevice]:
    """Alice has begun a conversation, and the server lost it before Bob came."""
    server, alice, bob = strangers(*presets)
    bob.disconnect()
    alice.say("bob", "lost")
    settle(alice)
    stream = conversation(alice, bob).stream
    assert stream
    del server.streams[stream]
    server.groups.groups.pop(stream, None)
    return server, alice, bob


def meet(*devices: MemoryDevice) -> None:
    """Let everybody come, and take in what there is."""
    for _ in range(4):
        for device in devices:
            device.connect()
        for device in devices:
            device.wait(1_000)


def restored(server: MemoryServer) -> None:
    """The server says that its data is from a backup."""
    server.incarnation = bytes(15) + b"\1"


def check_that_they_talk(alice: MemoryDevice, bob: MemoryDevice) -> None:
    meet(alice, bob)
    alice.say("bob", "from alice")
    bob.say("alice", "from bob")
    meet(alice, bob)
    assert bob.texts().count("from alice") == 1
    assert alice.texts().count("from bob") == 1
    assert conversation(alice, bob).stream == conversation(bob, alice).stream
    assert not alice.machine.waiting
    assert not bob.machine.waiting
    kinds = {alice.machine.direct_group(bob.machine.account_id) is None}
    kinds.add(bob.machine.direct_group(alice.machine.account_id) is None)
    assert len(kinds) == 1


@pytest.mark.parametrize("presets", KINDS)
@pytest.mark.parametrize("says_so", [True, False])
@pytest.mark.parametrize("first", ["the other", "who knew it"])
def test_another_is_in_its_place(presets: tuple[str, str], first: str, says_so: bool) -> None:
    """Whoever founds it, and whether the server says that it has lost something or not."""
    server, alice, bob = begun(*presets)
    if says_so:
        restored(server)
    if first == "the other":
        alice.disconnect()
        bob.connect()
        bob.say("alice", "anew")
        meet(bob)
        alice.connect()
    else:
        alice.connect()
        alice.say("bob", "anew")
        meet(alice)
        bob.connect()
    for _ in range(3):
        meet(alice, bob)
        server.now += HOUR
    assert (bob if first != "the other" else alice).texts().count("anew") == 1
    check_that_they_talk(alice, bob)
    told = [event.what for event in heard(alice, ServerMisbehaved)]
    assert told == ([] if says_so else ["stream"])


def test_a_device_that_has_only_heard_of_it_from_another_goes_where_the_others_are() -> None:
    """What was handed over on linking names a conversation that the server has no more."""
    server, alice, bob = begun(MLS, MLS)
    laptop = MemoryDevice(server, "alice", seed="laptop", beside=alice, linked=True)
    alice.disconnect()
    bob.connect()
    bob.say("alice", "anew")
    meet(bob)
    for _ in range(3):
        meet(bob, laptop)
        server.now += HOUR
    assert laptop.texts() == ["anew"]
    assert [event.what for event in heard(laptop, ServerMisbehaved)] == ["stream"]
    check_that_they_talk(laptop, bob)


@pytest.mark.parametrize("preset", [MLS, PAIRWISE])
def test_what_a_server_loses_while_one_is_connected_keeps_nobody_from_the_rest(preset: str) -> None:
    """It answers nothing that names a stream that it does not know, and does not say which."""
    server, alice, bob = strangers(preset, preset)
    meet(alice, bob)
    alice.say("bob", "before")
    meet(alice, bob)
    carol = MemoryDevice(server, "carol")
    carol.connect()
    stream = conversation(bob, alice).stream
    del server.streams[stream]
    server.groups.groups.pop(stream, None)
    carol.meet("bob")
    carol.say("bob", "from carol")
    bob.machine.pushed(PushResync(), server.now)
    for _ in range(4):
        bob.wait(60_000)
    assert bob.machine.caught_up
    assert bob.machine.contact_named("carol") is not None
    check_that_they_talk(alice, bob)


def test_a_group_that_a_server_loses_while_one_is_connected_keeps_nobody_from_the_rest() -> None:
    party = Party("alice", "bob")
    _, bob = party.devices
    del party.server.streams[party.group]
    bob.machine.pushed(PushResync(), party.server.now)
    for _ in range(4):
        bob.wait(60_000)
    assert bob.machine.caught_up


def test_a_server_that_has_lost_it_when_it_is_asked_on_a_hint_is_told_of() -> None:
    """Somebody says that there is another epoch; that the data is from a backup says nobody."""
    server, alice, bob = strangers(MLS, MLS)
    meet(alice, bob)
    alice.say("bob", "before")
    meet(alice, bob)
    (chat,) = bob.machine._memory.groups.chats.values()
    tag = chat.record.tags[-1]
    seen = EpochSeen(chat.id, tag.generation, tag.epoch, bytes(len(tag.tag)), answer=False)
    server.groups.groups.pop(chat.id)
    (identity,) = bob.machine.contacts[alice.machine.account_id].identities()
    bob.machine._groups.controlled(identity, seen, server.now)
    bob.settle()
    assert [event.what for event in heard(bob, ServerMisbehaved)] == ["stream"]
