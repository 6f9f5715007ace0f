"""Whose words a profile is: against contacts and devices that hold its key, and a server."""

from __future__ import annotations

import pytest

from parlour.conversation.events import ServerMisbehaved
from parlour.conversation.records import KnownProfile
from parlour.conversation.sync import AnnouncedProfile, OwnProfileSync, ProfileKeyGiven
from parlour.errors import AuthenticationError
from parlour.identity.profile import (
    MAX_VERSION,
    Profile,
    ProfileKey,
    open_profile,
    profile_hash,
    seal_profile,
)
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer
from tests.scenario.people import heard, strangers, two
from tests.scenario.test_own_devices import settle, three


def seen(device: MemoryDevice, other: MemoryDevice) -> KnownProfile:
    """What a device shows of the profile of another one's account."""
    known = device.machine.profile(other.machine.account_id)
    assert known is not None
    return known


def key_of(device: MemoryDevice, other: MemoryDevice) -> ProfileKey:
    return ProfileKey(device.machine._memory.profiles[other.machine.account_id].key)


def forged(version: int, key: ProfileKey, account_id: bytes) -> bytes:
    """A profile as anybody can seal it who has the key."""
    return seal_profile(Profile(version, "not I"), key=key, account_id=account_id)


def opens(server: MemoryServer, key: ProfileKey, owner: MemoryDevice) -> bool:
    """Whether the profile that the server has now is one for that key."""
    account_id = owner.machine.account_id
    sealed = server.profiles[account_id]
    version = owner.machine._memory.profiles[account_id].announced
    try:
        open_profile(
            sealed, key=key, account_id=account_id, version=version, digest=profile_hash(sealed)
        )
    except AuthenticationError:
        return False
    return True


def rest(*devices: MemoryDevice) -> None:
    """Time passes for all, past the pauses after what failed."""
    for _ in range(3):
        for device in devices:
            device.pull()
            device.wait(70_000)


def set_profile(device: MemoryDevice, status: str) -> None:
    device.machine.set_profile("Alice", status)
    device.settle()


@pytest.mark.parametrize("version", [2, 3, MAX_VERSION])
def test_a_contact_and_the_server_can_not_make_somebodys_profile(version: int) -> None:
    server, alice, bob = two()
    carol = MemoryDevice(server, "carol")
    carol.connect()
    carol.say("alice", "hi")
    alice.pull()
    set_profile(alice, "one")
    settle(bob, carol)
    set_profile(alice, "two")
    honest = server.profiles[alice.machine.account_id]
    made = forged(version, key_of(bob, alice), alice.machine.account_id)
    server.profiles[alice.machine.account_id] = made
    settle(carol)
    assert seen(carol, alice).status == "one"
    assert carol.machine._memory.profiles[alice.machine.account_id].announced == 2
    # What she says later is seen, and her contacts' devices can still be linked.
    server.profiles[alice.machine.account_id] = honest
    set_profile(alice, "three")
    rest(carol)
    assert seen(carol, alice).status == "three"
    tablet = MemoryDevice(server, "carol", seed="tablet", beside=carol, linked=True)
    tablet.connect()
    assert seen(tablet, alice).status == "three"


def test_a_profile_that_is_not_announced_yet_is_waited_for() -> None:
    server, alice, bob = two()
    set_profile(alice, "one")
    first = server.profiles[alice.machine.account_id]
    settle(bob)
    set_profile(alice, "two")
    second = server.profiles[alice.machine.account_id]
    server.profiles[alice.machine.account_id] = first
    alice.machine.set_profile("Alice", "three")
    # The server has the third one when only the second one is announced.
    (request,) = alice.machine.outgoing(server.now)
    server.request(alice.machine.device_id, request.kind, request.body)  # type: ignore[union-attr]
    bob.pull()
    assert seen(bob, alice).status == "one"
    assert not heard(bob, ServerMisbehaved)
    alice.connect()
    rest(bob)
    assert seen(bob, alice).status == "three"
    assert second != server.profiles[alice.machine.account_id]


def test_a_profile_is_sent_again_as_it_was_announced() -> None:
    server, alice, bob = two()
    alice.machine.set_profile("Alice", "one")
    (first,) = alice.machine.outgoing(server.now)
    alice._write()
    alice.restart()
    alice.connect()
    settle(bob)
    assert seen(bob, alice).status == "one"
    assert first.body.profile == server.profiles[alice.machine.account_id]  # type: ignore[union-attr]
    assert not alice.machine._memory.profiles[alice.machine.account_id].sealed


def test_a_stolen_device_does_not_fix_a_profile_for_good() -> None:
    server, phone, laptop, bob = three()
    set_profile(phone, "one")
    settle(laptop, bob)
    lie = AnnouncedProfile(b"k" * 32, MAX_VERSION, b"d" * 32)
    for peer, content in (
        (phone.machine.account_id, OwnProfileSync(lie)),
        (bob.machine.account_id, ProfileKeyGiven(lie)),
    ):
        laptop.machine._sending.send_silently(peer, content, server.now)
    laptop.settle()
    settle(phone, bob)
    phone.remove(laptop)
    phone.connect()
    carol = MemoryDevice(server, "carol")
    carol.connect()
    carol.say("alice", "hi")
    phone.pull()
    for status in ("two", "three"):
        set_profile(phone, status)
        rest(bob, carol)
        assert seen(bob, phone).status == seen(carol, phone).status == status
    tablet = MemoryDevice(server, "alice", seed="tablet", beside=phone, linked=True)
    tablet.connect()
    assert seen(tablet, phone).status == "three"


def test_a_key_that_was_given_up_does_not_come_back_with_another_device() -> None:
    server, phone, laptop, bob = three()
    set_profile(phone, "one")
    settle(laptop, bob)
    old = key_of(bob, phone)
    laptop.disconnect()
    set_profile(laptop, "two")
    set_profile(laptop, "three")
    phone.machine.block(bob.machine.account_id, server.now)
    phone.settle()
    assert not opens(server, old, phone)
    laptop.connect()
    settle(phone, laptop, phone, laptop)
    assert not opens(server, old, phone)
    assert seen(phone, laptop).status == seen(laptop, phone).status == "three"


def test_a_device_that_has_not_read_the_profile_yet_does_not_replace_it_by_nothing() -> None:
    server, phone, laptop, bob = three()
    set_profile(phone, "one")
    settle(laptop, bob)
    old = key_of(bob, phone)
    set_profile(phone, "two")
    kept = dict(server.profiles)
    server.profiles.clear()
    settle(laptop)
    laptop.machine.block(bob.machine.account_id, server.now)
    laptop.settle()
    assert not server.profiles
    server.profiles.update(kept)
    laptop.connect()
    settle(phone, laptop)
    assert not opens(server, old, phone)
    assert seen(phone, laptop).status == seen(laptop, phone).status == "two"


def test_who_sets_it_instead_takes_another_key_as_well() -> None:
    server, phone, laptop, bob = three()
    set_profile(phone, "one")
    settle(laptop, bob)
    old = key_of(bob, phone)
    set_profile(phone, "two")
    server.profiles.clear()
    settle(laptop)
    laptop.machine.block(bob.machine.account_id, server.now)
    set_profile(laptop, "three")
    settle(phone)
    assert not opens(server, old, phone)
    assert seen(phone, laptop).status == "three"


def test_what_was_on_its_way_when_another_device_was_first_is_put_right() -> None:
    server, phone, laptop, bob = three()
    # Which of two counts is by chance: often enough for both.
    for number, (first, second) in enumerate(3 * [(phone, laptop), (laptop, phone)]):
        for device in (phone, laptop):
            device.disconnect()
            device.machine.set_profile("Alice", f"{device is phone} {number}")
            device.settle()
        first.connect()
        # It gets to the server, and the answer does not get back before what the other one says.
        (request,) = second.machine._profiles.requests()
        server.request(second.machine.device_id, request.kind, request.body)
        settle(second, first, second)
        second.connect()
        rest(first, second, bob)
        said = {seen(device, phone).status for device in (phone, laptop, bob)}
        assert len(said) == 1


@pytest.mark.parametrize("blocked", [False, True])
def test_who_was_forgotten_does_not_see_the_next_profile(blocked: bool) -> None:
    server, alice, bob = two()
    carol = MemoryDevice(server, "carol")
    carol.connect()
    carol.say("alice", "hi")
    alice.pull()
    set_profile(alice, "one")
    settle(bob, carol)
    old = key_of(bob, alice)
    alice.machine.forget(bob.machine.account_id, server.now)
    alice.settle()
    assert not opens(server, old, alice)
    if blocked:
        alice.meet("bob")
        alice.machine.block(bob.machine.account_id, server.now)
    set_profile(alice, "at the new flat")
    settle(bob, carol)
    assert not opens(server, old, alice)
    assert seen(carol, alice).status == "at the new flat"
    assert seen(bob, alice).status == "one"


def test_the_key_stays_when_a_stranger_is_forgotten() -> None:
    server, alice, bob = strangers()
    set_profile(alice, "one")
    before = dict(server.profiles)
    alice.meet("bob")
    alice.machine.forget(bob.machine.account_id, server.now)
    alice.settle()
    assert server.profiles == before
