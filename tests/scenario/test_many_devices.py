"""As many devices as an account may have, in one conversation."""

from __future__ import annotations

import pytest

from parlour.errors import Code, LimitError
from parlour.identity.device_list import MAX_DEVICES, next_entry
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer

from .people import meet_again


def test_fifty_devices_of_one_account_all_hear_and_are_all_heard() -> None:
    server = MemoryServer()
    first, bob = MemoryDevice(server, "alice"), MemoryDevice(server, "bob")
    devices = [
        first,
        *(MemoryDevice(server, "alice", seed=n, beside=first) for n in range(1, MAX_DEVICES)),
    ]
    for device in (*devices, bob):
        device.connect()
    bob.say("alice", "to fifty")
    for device in devices:
        device.pull()
        assert device.texts() == ["to fifty"]
    devices[-1].say("bob", "from the fiftieth")
    bob.pull()
    assert bob.texts() == ["from the fiftieth"]
    first.remove(devices[1])
    meet_again(bob, first)
    bob.say("alice", "to forty-nine")
    for device in (first, devices[2], devices[-1]):
        device.pull()
        assert device.texts()[-1] == "to forty-nine"
    contact = bob.machine.contact_named("alice")
    assert contact is not None
    assert len(contact.head.devices) == MAX_DEVICES - 1


def test_nobody_makes_or_takes_a_list_of_more() -> None:
    server = MemoryServer()
    alice = MemoryDevice(server, "alice")
    state = server.accounts[alice.machine.account_id].state
    device = state.devices[0]
    with pytest.raises(LimitError) as refused:
        next_entry(state, alice.account_key, (device,) * (MAX_DEVICES + 1), 1)
    assert refused.value.code is Code.LIMIT_COUNT
