"""Two people who talk on MLS, and see no difference."""

from __future__ import annotations

import pytest

from parlour.conversation.groups.records import GroupState
from parlour.conversation.records import Conversation
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer


def strangers(*presets: str) -> tuple[MemoryServer, MemoryDevice, MemoryDevice]:
    """Alice and Bob, online, with the presets they use."""
    server = MemoryServer()
    alice, bob = MemoryDevice(server, "alice"), MemoryDevice(server, "bob")
    for device, preset in zip((alice, bob), presets, strict=True):
        device.machine.set_setting("preset", preset, server.now)
        device.connect()
    return server, alice, bob


def settle(*devices: MemoryDevice, rounds: int = 4) -> None:
    """Let everybody take in what came."""
    for _ in range(rounds):
        for device in devices:
            device.pull()
        for device in devices:
            device.wait(1_000)


def conversation(device: MemoryDevice, peer: MemoryDevice) -> Conversation:
    """The conversation of a device with another account."""
    return device.machine._memory.conversations[peer.machine.account_id]


def check_on_mls(alice: MemoryDevice, bob: MemoryDevice) -> None:
    """That both follow one group of two."""
    a = alice.machine.direct_group(bob.machine.account_id)
    b = bob.machine.direct_group(alice.machine.account_id)
    assert a is not None
    assert b is not None
    assert (a.id, a.epoch, a.leaves) == (b.id, b.epoch, b.leaves)
    assert {a.state, b.state} == {GroupState.ACTIVE}
    assert not alice.machine.groups
    assert not bob.machine.groups


@pytest.mark.parametrize("other", ["default", "default-mls"])
def test_hello(other: str) -> None:
    _, alice, bob = strangers("default-mls", other)
    alice.say("bob", "hello")
    settle(alice, bob)
    assert bob.texts() == ["hello"]
    bob.say("alice", "hello to you")
    alice.say("bob", "fine")
    settle(alice, bob)
    assert alice.texts() == ["hello to you"]
    assert bob.texts() == ["hello", "fine"]
    check_on_mls(alice, bob)
    assert conversation(alice, bob).stream == conversation(bob, alice).stream
    assert not alice.machine.waiting
