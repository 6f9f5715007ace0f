"""A home that is put back to an older state while its server believes it: it uses keys twice.

Most are refused (`device.copied`). A copy that was made of a running home, and is used when that is
gone, is not: the server has seen no other one since.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from parlour.conversation.changes import MessageState
from parlour.conversation.events import MessageMissing, MessageUnreadable
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer

from .parties import Party
from .people import heard


def put_back(device: MemoryDevice, change: Callable[[], None]) -> None:
    """The disk of a device is lost after a change, and an older copy of it takes its place."""
    saved = device.store.copy()
    change()
    device.disconnect()
    device.store = saved
    device.restart()
    device.connect()


def nothing_is_unread(device: MemoryDevice) -> bool:
    states = {message.state for message in device.store.messages.values()}
    return MessageState.UNREADABLE not in states and not device.machine._memory.held


def let_all_pull(*devices: MemoryDevice) -> None:
    for _ in range(3):
        for device in devices:
            device.pull()


@pytest.mark.parametrize("preset", ["default", "default-mls"])
def test_two_people(preset: str) -> None:
    server = MemoryServer()
    alice, bob = MemoryDevice(server, "alice"), MemoryDevice(server, "bob")
    for device in (alice, bob):
        device.connect()
        device.machine.set_setting("preset", preset, server.now)
        device.settle()
    for device, other in ((alice, "bob"), (bob, "alice"), (alice, "bob")):
        device.say(other, "before")
        let_all_pull(alice, bob)

    def go_on() -> None:
        alice.say("bob", "first")
        alice.say("bob", "second")
        bob.pull()

    put_back(alice, go_on)
    for text in ("once more first", "once more second", "third"):
        alice.say("bob", text)
    let_all_pull(alice, bob)
    assert sorted(bob.texts()[-5:]) == sorted(
        ["first", "second", "once more first", "once more second", "third"]
    )
    assert nothing_is_unread(bob)
    assert not heard(bob, MessageUnreadable)
    assert not heard(bob, MessageMissing)
    bob.say("alice", "all has come")
    let_all_pull(alice, bob)
    assert alice.texts()[-1] == "all has come"


@pytest.mark.parametrize("commits", ["nobody", "alice", "bob"])
def test_a_group(commits: str) -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    committer = next((each for each in party.devices if each.name == commits), None)

    def go_on() -> None:
        party.say(alice, "first")
        if committer is not None:
            committer.machine.group_refresh(party.group, party.server.now)
            committer.settle()
        party.say(alice, "second")
        let_all_pull(bob, carol)

    put_back(alice, go_on)
    for text in ("once more first", "once more second", "third"):
        party.say(alice, text)
    party.settle(8)
    for device in (bob, carol):
        said = ["first", "once more first", "once more second", "second", "third"]
        assert sorted(device.texts()) == said
        assert nothing_is_unread(device)
        assert not heard(device, MessageMissing)
    party.check_together()


def test_ones_own_devices() -> None:
    server = MemoryServer()
    phone = MemoryDevice(server, "alice")
    phone.connect()
    laptop = MemoryDevice(server, "alice", seed="laptop", beside=phone, linked=True)
    laptop.connect()
    let_all_pull(phone, laptop)

    def set_both(key: str, value: str) -> None:
        phone.machine.set_setting(key, value, server.now)
        phone.settle()
        laptop.pull()

    set_both("colour", "red")
    laptop.machine.set_setting("shape", "round", server.now)
    let_all_pull(laptop, phone)
    set_both("colour", "blue")
    put_back(phone, lambda: set_both("colour", "green"))
    server.now += 1
    set_both("size", "large")
    let_all_pull(phone, laptop)
    assert laptop.machine.settings["size"] == "large"


def test_what_a_copy_does_not_say_again_is_told_in_the_end() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices

    def go_on() -> None:
        party.say(alice, "first")
        bob.pull()

    put_back(alice, go_on)
    message_id = party.say(alice, "lost")
    alice.disconnect()
    bob.pull()
    assert not heard(bob, MessageUnreadable)
    for _ in range(8):
        bob.wait(24 * 3_600_000)
    (told,) = heard(bob, MessageUnreadable)
    assert told.message.message_id == message_id
    assert told.reason == "unreadable.lost"
