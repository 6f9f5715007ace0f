"""A removal that a server hides from one of a person's own devices."""

from __future__ import annotations

import dataclasses

import pytest
from msgspec import Struct
from msgspec.structs import replace

from parlour.conversation import content as contents
from parlour.conversation.events import SendingBlocked
from parlour.conversation.sync import MAX_LIST_ENTRY, OwnListSync, SyncRequest
from parlour.errors import Code
from parlour.identity.device_list import (
    Device,
    DeviceListEntry,
    DeviceListState,
    first_entry,
    next_entry,
)
from parlour.primitives.agreement import X25519PrivateKey
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer
from parlour.testing.randomness import seeded
from parlour.wire.directory import DeviceListPage
from parlour.wire.kinds import Kind
from tests.scenario.lies import behave
from tests.scenario.people import blocks, heard
from tests.scenario.test_numbers import conversation_of
from tests.scenario.test_own_devices import settle, three


def hide(
    server: MemoryServer, after: int, *blind: MemoryDevice, of: MemoryDevice | None = None
) -> None:
    """Show some devices an account's list, theirs if not another's, as it was at entry `after`."""
    ids = {device.machine.device_id for device in blind}
    account_id = (of or blind[0]).machine.account_id

    def answer(device_id: bytes, asked: Kind, body: Struct, honest: Struct) -> Struct:
        if isinstance(honest, DeviceListPage) and device_id in ids:
            kept = max(after + 1 - honest.first, 0)
            if honest.account_id == account_id:
                return replace(honest, entries=honest.entries[:kept])
        return honest

    server.answer = answer


def stolen() -> tuple[MemoryServer, MemoryDevice, MemoryDevice, MemoryDevice, MemoryDevice]:
    """The phone removes a stolen tablet, and the server hides that from the laptop."""
    server, phone, laptop, bob = three()
    tablet = MemoryDevice(server, "alice", seed="tablet", beside=phone, linked=True)
    for device in (tablet, phone, laptop, bob):
        device.connect()
    settle(phone, laptop, tablet)
    hide(server, list_of(phone).number, laptop)
    phone.remove(tablet)
    phone.connect()
    return server, phone, laptop, tablet, bob


def list_of(device: MemoryDevice) -> DeviceListEntry:
    return device.machine.contacts[device.machine.account_id].head


def tell(sender: MemoryDevice, said: OwnListSync | SyncRequest) -> None:
    """Say something to one's own devices, as a program that was changed would."""
    sender.machine._sending.send_silently(sender.machine.account_id, said, sender.server.now)
    sender.settle()


def told(device: MemoryDevice, sender: MemoryDevice) -> int:
    """How many messages of a device say what its own list is."""
    mine = [
        contents.decode(message.content)
        for message in device.store.messages.values()
        if message.sender_device == sender.machine.device_id
    ]
    return sum(1 for said in mine if isinstance(said, OwnListSync))


@pytest.mark.parametrize("restarts", [False, True])
def test_a_device_that_is_shown_the_list_of_before_writes_to_nobody(restarts: bool) -> None:
    server, phone, laptop, tablet, bob = stolen()
    settle(laptop)
    if restarts:
        laptop.events.clear()
        laptop.restart()
        laptop.connect()
    assert [(event.conversation, event.reason) for event in heard(laptop, SendingBlocked)] == [
        (phone.machine.account_id, Code.DEVICE_LIST_ROLLBACK)
    ]
    laptop.say("bob", "not for a thief")
    laptop.machine.set_setting("colour", "red", server.now)
    laptop.wait(70_000)
    bob.connect()
    assert "not for a thief" not in bob.texts()
    behave(server)
    laptop.connect()
    bob.connect()
    assert "not for a thief" in bob.texts()
    assert tablet.machine.device_id not in [each.device_id for each in list_of(laptop).devices]
    stored = server.streams[conversation_of(laptop, bob).stream].entries[-1]
    assert tablet.machine.device_id not in stored.parts
    assert phone.machine.account_id not in laptop.store.records["sync"]  # type: ignore[index]
    assert blocks(phone) == []


def test_a_list_that_only_grew_by_devices_is_not_told() -> None:
    server, phone, laptop, _ = three()
    MemoryDevice(server, "alice", seed="tablet", beside=phone, linked=True).connect()
    phone.connect()
    laptop.connect()
    assert (told(phone, phone), told(laptop, laptop)) == (0, 0)


def test_one_device_tells_of_it_for_all() -> None:
    server, phone, laptop, _, _ = stolen()
    behave(server)
    settle(laptop)
    laptop.connect()
    assert list_of(laptop) == list_of(phone)
    assert (told(phone, phone), told(laptop, laptop)) == (1, 0)


def test_who_was_removed_does_not_tell_for_all() -> None:
    server, phone, laptop, _ = three()
    tablet = MemoryDevice(server, "alice", seed="tablet", beside=phone, linked=True)
    for device in (tablet, phone, laptop):
        device.connect()
    settle(phone, laptop, tablet)
    phone.remove(tablet)
    entry = DeviceListEntry.decode(server.accounts[phone.machine.account_id].entries[-1])
    phone.machine._syncing.take(OwnListSync(entry.encode()), tablet.machine.device_id, server.now)
    phone.settle()
    assert told(phone, phone) == 1


def test_whoever_asks_for_everything_is_told_of_the_list() -> None:
    server, phone, laptop, _, _ = stolen()
    behave(server)
    settle(laptop)
    laptop.connect()
    before = told(phone, phone)
    tell(laptop, SyncRequest())
    settle(phone)
    assert told(phone, phone) == before + 1


def _entries(phone: MemoryDevice) -> dict[str, bytes]:
    head = list_of(phone)
    key = Ed25519PrivateKey.generate(seeded("thief"))
    state = DeviceListState.after(head)
    signed = next_entry(state, key, head.devices, 1)
    others = first_entry(bytes(16), phone.account_key, head.devices[0], 1)
    for _ in range(head.number + 1):
        others = next_entry(DeviceListState.after(others), phone.account_key, head.devices, 1)
    following = next_entry(state, phone.account_key, head.devices, 1)
    return {
        "garbage": b"?",
        "signed by somebody": signed.encode(),
        "another signature": dataclasses.replace(following, signature=bytes(64)).encode(),
        "of another account": others.encode(),
        "what is known": head.encode(),
        "what is older": phone.server.accounts[head.account_id].entries[0],
    }


@pytest.mark.parametrize(
    "what",
    [
        "garbage",
        "signed by somebody",
        "another signature",
        "of another account",
        "what is known",
        "what is older",
    ],
)
def test_a_stolen_device_stops_nobody_with_what_it_makes_up(what: str) -> None:
    _, phone, laptop, bob = three()
    tell(laptop, OwnListSync(_entries(phone)[what]))
    settle(phone)
    phone.connect()
    phone.say("bob", "goes on")
    bob.pull()
    assert "goes on" in bob.texts()
    assert blocks(phone) == []


def test_a_fork_of_our_own_list_stops_a_device() -> None:
    server, phone, laptop, bob = three()
    before = DeviceListEntry.decode(server.accounts[phone.machine.account_id].entries[-2])
    fork = next_entry(DeviceListState.after(before), phone.account_key, before.devices, 7)
    assert fork.number == list_of(phone).number
    tell(laptop, OwnListSync(fork.encode()))
    settle(phone)
    phone.say("bob", "to whom?")
    bob.pull()
    assert "to whom?" not in bob.texts()
    assert blocks(phone) == [Code.DEVICE_LIST_INVALID]


def test_the_longest_list_has_room() -> None:
    from parlour.identity.device import MAX_SEALED_NAME
    from parlour.identity.device_list import MAX_DEVICES

    random = seeded("many")
    key = Ed25519PrivateKey.generate(random)
    devices = tuple(
        Device(
            Ed25519PrivateKey.generate(random).public_key,
            X25519PrivateKey.generate(random).public_key,
            has_kem=True,
            added_at=1 << 40,
            sealed_name=bytes(MAX_SEALED_NAME),
        )
        for _ in range(MAX_DEVICES)
    )
    first = first_entry(bytes(16), key, devices[0], 1)
    entry = next_entry(DeviceListState.after(first), key, devices, 1)
    for device in range(4):
        entry = entry.approve(Ed25519PrivateKey.generate(seeded(f"{device}")))
    encoded = entry.encode()
    assert len(encoded) < MAX_LIST_ENTRY
    said = OwnListSync(encoded)
    assert contents.decode(contents.encode(said)) == said
    assert repr(said) == f"OwnListSync([{len(encoded)} bytes])"
