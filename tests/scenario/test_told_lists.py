"""A removal that a server hides from the people whom one talks with."""

from __future__ import annotations

import dataclasses

import pytest

from parlour.conversation.events import SendingBlocked
from parlour.conversation.sync import DeviceListGiven
from parlour.errors import Code
from parlour.identity.device_list import DeviceListEntry, DeviceListState, next_entry
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer
from tests.scenario.lies import behave
from tests.scenario.people import heard
from tests.scenario.test_numbers import conversation_of
from tests.scenario.test_own_devices import settle, three
from tests.scenario.test_own_list import hide, list_of


def hidden_from_bob() -> tuple[MemoryServer, MemoryDevice, MemoryDevice, MemoryDevice]:
    """Alice's phone removes her tablet, and the server shows Bob no news of her list."""
    server, phone, laptop, bob = three()
    tablet = MemoryDevice(server, "alice", seed="tablet", beside=phone, linked=True)
    for device in (tablet, phone, laptop, bob):
        device.connect()
    bob.say("alice", "to three devices")
    settle(phone, laptop)
    assert tablet.machine.device_id in devices_of_alice(bob)
    hide(server, list_of(phone).number, bob, of=phone)
    phone.remove(tablet)
    phone.connect()
    settle(phone, laptop, bob)
    return server, phone, tablet, bob


def devices_of_alice(device: MemoryDevice) -> list[bytes]:
    contact = device.machine.contact_named("alice")
    assert contact is not None
    return [each.device_id for each in contact.head.devices]


def told(phone: MemoryDevice, bob: MemoryDevice, entry: bytes) -> None:
    phone.machine._sending.send_silently(
        bob.machine.account_id, DeviceListGiven(entry), phone.server.now
    )
    phone.settle()
    settle(bob)


@pytest.mark.parametrize("restarts", [False, True])
def test_nobody_goes_on_writing_to_a_device_that_was_removed(restarts: bool) -> None:
    server, phone, tablet, bob = hidden_from_bob()
    if restarts:
        bob.events.clear()
        bob.restart()
        bob.connect()
    bob.say("alice", "not for a thief")
    bob.wait(70_000)
    assert Code.DEVICE_LIST_ROLLBACK in [event.reason for event in heard(bob, SendingBlocked)]
    assert bob.machine.waiting == 1
    behave(server)
    bob.connect()
    settle(phone, bob)
    assert "not for a thief" in phone.texts()
    assert tablet.machine.device_id not in devices_of_alice(bob)
    stored = server.streams[conversation_of(bob, phone).stream].entries[-1]
    assert tablet.machine.device_id not in stored.parts
    assert not bob.store.records["sync"]  # type: ignore[index]


def test_what_the_account_key_did_not_sign_stops_nobody() -> None:
    _, phone, _, bob = three()
    head, key = list_of(phone), phone.account_key
    last = DeviceListState.after(head)
    newer = next_entry(last, key, head.devices, head.issued_at + 1)
    foreign = next_entry(
        DeviceListState.after(dataclasses.replace(list_of(bob))),
        bob.account_key,
        list_of(bob).devices,
        head.issued_at + 1,
    )
    forged = dataclasses.replace(newer, account_key=Ed25519PrivateKey.generate().public_key)
    damaged = bytearray(newer.encode())
    damaged[-1] ^= 1
    for entry in (b"", b"no entry", bytes(damaged), forged.encode(), foreign.encode()):
        told(phone, bob, entry)
    told(phone, bob, head.encode())
    bob.say("alice", "still here")
    settle(phone)
    assert "still here" in phone.texts()
    assert not heard(bob, SendingBlocked)
    assert not bob.store.records.get("sync")  # type: ignore[call-overload]


def test_that_somebody_was_once_forgotten_is_not_forgotten_for_it() -> None:
    server, phone, _, bob = three()
    bob.machine.forget(phone.machine.account_id, server.now)
    bob.settle()
    kept = dict(bob.machine._memory.syncs)
    assert kept
    bob.say("alice", "we meet again")
    settle(phone, bob)
    head = list_of(phone)
    newer = next_entry(
        DeviceListState.after(head), phone.account_key, head.devices, head.issued_at + 1
    )
    told(phone, bob, newer.encode())
    assert bob.machine._memory.syncs == kept
    bob.connect()
    bob.say("alice", "shown elsewhere, not here")
    bob.wait(70_000)
    assert DeviceListEntry.decode(newer.encode()).number > head.number
