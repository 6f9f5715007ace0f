"""People for a benchmark of groups: their devices, and their accounts in a server's store.

Registering a thousand people is not what is measured. So accounts, device lists, prekeys, tokens
and key packages are written into the store as the services would write them, before the server
starts. Stores that the server only counts (one-time prekeys, further key packages) hold fillers.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from parlour.conversation.beginning import first_changes
from parlour.conversation.changes import Namespace, PutRecord
from parlour.conversation.contact import Contact
from parlour.conversation.machine import Machine
from parlour.conversation.records import ASKED_FOR_SYNC, OwnDevice, UpkeepDone
from parlour.conversation.standing import Standing
from parlour.conversation.upkeep import wire_prekey
from parlour.double_ratchet.identity import LocalDevice
from parlour.double_ratchet.prekey_store import PrekeyStore
from parlour.identity.device_list import (
    Device,
    DeviceListEntry,
    DeviceListState,
    first_entry,
    next_entry,
)
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.server.sessions import LIFETIME_MS, hash_token
from parlour.server.store.records import NewAccount, NewDevice, NewToken
from parlour.server.store.sqlite import SqliteStore
from parlour.testing.device import MemoryStore
from parlour.wire.groups import KeyPackageCounts, KeyPackageUpload, PublishKeyPackages
from parlour.wire.prekeys import Prekey
from parlour.wire.push import PushKeyPackagesLow

SERVER: Final = "bench.test"
# Above what makes a server, or a device, think of more.
FILLERS: Final = 30
_YEAR: Final = 365 * 86_400


@dataclass
class BenchDevice:
    """One device: the records that its machine starts from, and what its server stores."""

    name: str
    local: LocalDevice
    store: MemoryStore
    token: str
    prekeys: list[Prekey]
    uploads: list[KeyPackageUpload] = field(default_factory=list)
    supply: dict[int, int] = field(default_factory=dict)

    @property
    def new(self) -> NewDevice:
        """What the store makes of it."""
        identity = self.local.identity
        return NewDevice(identity.device_id, identity.signature_key.to_bytes(), identity.device_id)


@dataclass
class Person:
    """One account with its devices."""

    name: str
    account_id: bytes
    entries: list[DeviceListEntry]
    devices: list[BenchDevice]

    @property
    def contact(self) -> Contact:
        """As somebody knows them who has accepted them."""
        return Contact(self.name, self.entries[-1], standing=Standing.ACCEPTED)


def make_person(name: str, devices: int, suite: int) -> Person:
    """Somebody new."""
    now = int(time.time())
    account_id, key = os.urandom(16), Ed25519PrivateKey.generate(os.urandom)
    locals_ = [LocalDevice.generate(account_id, os.urandom) for _ in range(devices)]
    listed = [
        Device(local.identity.signature_key, local.identity.identity_key, True, now)
        for local in locals_
    ]
    entries = [first_entry(account_id, key, listed[0], now)]
    if devices > 1:
        state = DeviceListState.after(entries[0])
        entries.append(next_entry(state, key, tuple(listed), now))
    person = Person(name, account_id, entries, [])
    for local in locals_:
        first, alone = not person.devices, devices == 1
        person.devices.append(_make_device(person, local, suite, now, first=first, alone=alone))
    return person


def _make_device(
    person: Person, local: LocalDevice, suite: int, now: int, *, first: bool, alone: bool
) -> BenchDevice:
    prekeys = PrekeyStore(local)
    # Devices of one account write to each other; nobody else is written to but in the group.
    left = None if alone else 0
    prekeys.maintain(now, os.urandom, one_time_left=left, one_time_kem_left=left)
    upload = prekeys.publish()
    prekeys.mark_published(upload)
    fillers = []
    if alone:
        fillers += [Prekey("one_time", 1000 + n, now + _YEAR, b"-") for n in range(FILLERS)]
        fillers += [Prekey("kem_one_time", 2000 + n, now + _YEAR, b"-") for n in range(FILLERS)]
    own = OwnDevice(
        server=SERVER,
        name=person.name,
        account_id=person.account_id,
        signature_key=local.signature_key.to_bytes(),
        identity_key=local.identity_key.to_bytes(),
        first=first,
    )
    store = MemoryStore()
    store.apply(first_changes(own, person.contact, prekeys))
    done = UpkeepDone(upload.signed_prekey.id, now * 1000)
    store.apply(
        [
            PutRecord(Namespace.SERVER, b"upkeep", msgspec.msgpack.encode(done)),
            PutRecord(Namespace.SERVER, ASKED_FOR_SYNC, b"1"),
        ]
    )
    token = "plt_" + os.urandom(32).hex()[:43]
    signed = [wire_prekey(prekey) for prekey in upload.prekeys]
    device = BenchDevice(person.name, local, store, token, [*signed, *fillers], supply={suite: 1})
    _make_key_packages(device, suite, now)
    return device


def _make_key_packages(device: BenchDevice, suite: int, now: int) -> None:
    """By the machine itself, which keeps their private keys."""
    machine = Machine(device.store.records, now * 1000, supply=device.supply)
    machine.pushed(PushKeyPackagesLow(KeyPackageCounts([])), now * 1000)
    packages = machine._key_packages
    while requests := packages.requests(now * 1000):
        body = requests[0].body
        if isinstance(body, PublishKeyPackages):
            device.uploads += body.packages
        packages.published()
    device.store.apply(machine.changes())
    device.uploads += [
        KeyPackageUpload(suite, False, now + _YEAR, b"filler %d" % number)
        for number in range(FILLERS)
    ]


async def _store(folder: Path, people: list[Person]) -> None:
    store = await SqliteStore.open(folder, name=SERVER)
    now = int(time.time() * 1000)
    try:
        for begin in range(0, len(people), 100):
            some = people[begin : begin + 100]
            await asyncio.gather(*(_register(store, person, now) for person in some))
    finally:
        await store.close()


async def _register(store: SqliteStore, person: Person, now: int) -> None:
    device = person.devices[0]
    await store.accounts.register(
        NewAccount(
            account_id=person.account_id,
            name=person.name,
            record=b"-",
            record_signature=b"-",
            vault=b"-",
            list_entry=person.entries[0].encode(),
            device=device.new,
            prekeys=device.prekeys,
            token=_token(device, now),
            invite=None,
        ),
        now=now,
    )
    if len(person.entries) > 1:
        new = [each.new for each in person.devices]
        entry = person.entries[1].encode()
        await store.devices.append_list(person.account_id, 1, entry, new, now=now)
    for each in person.devices:
        device_id = each.local.identity.device_id
        if each is not device:
            await store.tokens.add(device_id, _token(each, now))
            await store.prekeys.publish(device_id, each.prekeys)
        await store.key_packages.publish(device_id, each.uploads, now=now)


def _token(device: BenchDevice, now: int) -> NewToken:
    return NewToken(hash_token(device.token), now, now + LIFETIME_MS)


def make_world(folder: Path, count: int, devices: int, suite: int) -> list[Person]:
    """So many people, whose accounts are in the store of a server that is yet to start."""
    folder.mkdir(parents=True)
    people = [make_person(f"p{number}", devices, suite) for number in range(count)]
    asyncio.run(_store(folder, people))
    return people


def acquaint(device: BenchDevice, people: list[Person]) -> None:
    """Let a device know people, as if it had read their lists before."""
    contacts = device.store.records[Namespace.CONTACT]
    for person in people:
        contacts[person.account_id] = encoded(person)


_encoded: dict[bytes, bytes] = {}


def encoded(person: Person) -> bytes:
    """A contact's record, one object for all who know them."""
    known = _encoded.get(person.account_id)
    if known is None:
        known = _encoded[person.account_id] = person.contact.encode()
    return known
