"""Who there is: accounts with the keys of some devices each, made once and copied for each run.

Making keys is what takes time; so all runs have the same people, and differ in what happens.
"""

from __future__ import annotations

import functools
import sqlite3
from dataclasses import dataclass
from typing import Final

import msgspec

from parlour.client.account import Account
from parlour.conversation.beginning import first_changes
from parlour.conversation.changes import Change, Namespace, PutRecord
from parlour.conversation.contact import Contact
from parlour.conversation.presets import DEFAULT, PRESET
from parlour.conversation.records import OwnDevice, Setting
from parlour.conversation.upkeep import first_upload
from parlour.double_ratchet.identity import LocalDevice
from parlour.double_ratchet.prekey_store import PrekeyStore
from parlour.identity.device_list import Device, DeviceListEntry, first_entry
from parlour.primitives.hashes import sha256
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.server.sessions import LIFETIME_MS, hash_token
from parlour.server.store.records import NewAccount, NewDevice, NewToken
from parlour.server.store.sqlite.accounts import _register
from parlour.server.store.sqlite.migrations import migrate
from parlour.testing.randomness import seeded
from parlour.testing.simulation.disk import server_database
from parlour.testing.simulation.loop import BEGINNING
from parlour.testing.simulation.server import NAME
from parlour.wire.ids import ID_SIZE
from parlour.wire.prekeys import Prekey

NAMES: Final = ("alice", "bob", "carol", "dave", "erin", "frank")
# Who comes later, all at the same moment.
CROWD: Final = (
    "grace",
    "heidi",
    "ivan",
    "judy",
    "kim",
    "liam",
    "maria",
    "nina",
    "olaf",
    "peggy",
    "quinn",
    "rosa",
)
DEVICES: Final = 6
SECONDS: Final = BEGINNING // 1000


@dataclass(frozen=True)
class Kit:
    """A device before it is on any list."""

    label: str
    local: LocalDevice
    listed: Device
    prekeys: bytes
    uploaded: list[Prekey]
    token: str

    @property
    def device_id(self) -> bytes:
        """The device."""
        return self.local.identity.device_id

    def as_new(self) -> NewDevice:
        """The device as the server stores it."""
        key = self.listed.signature_key.to_bytes()
        return NewDevice(self.device_id, key, inbox=self.device_id)


@dataclass(frozen=True)
class Member:
    """An account: its first device is on its list from the beginning."""

    name: str
    account_id: bytes
    key: Ed25519PrivateKey
    entry: DeviceListEntry

    def records(
        self,
        kit: Kit,
        entry: DeviceListEntry,
        *,
        first: bool,
        snapshot: bytes = b"",
        preset: str = DEFAULT,
    ) -> list[Change]:
        """What a device of it begins with. `preset` was chosen before it was switched on."""
        own = OwnDevice(
            server=NAME,
            name=self.name,
            account_id=self.account_id,
            signature_key=kit.local.signature_key.to_bytes(),
            identity_key=kit.local.identity_key.to_bytes(),
            first=first,
        )
        prekeys = PrekeyStore.from_bytes(kit.prekeys, kit.local)
        account = Account(NAME, NAME, 443, (), kit.token, bytes(16))
        contact = Contact(self.name, entry)
        records = [*first_changes(own, contact, prekeys, snapshot), account.change()]
        if preset != DEFAULT:
            setting = msgspec.msgpack.encode(Setting(preset, BEGINNING))
            records.append(PutRecord(Namespace.SETTING, PRESET.encode(), setting))
        return records


@functools.cache
def kit(name: str, number: int) -> Kit:
    """A device of that name's account."""
    random = seeded(f"kit {name} {number}")
    local = LocalDevice.generate(account_id(name), random)
    prekeys = PrekeyStore.create(local, SECONDS, random)
    upload, uploaded = first_upload(prekeys)
    prekeys.mark_published(upload)
    identity = local.identity
    listed = Device(identity.signature_key, identity.identity_key, True, SECONDS)
    token = "plt_" + sha256(f"{name} {number}".encode()).hex()[:43]
    return Kit(f"{name}{number}", local, listed, prekeys.to_bytes(), uploaded, token)


def account_id(name: str) -> bytes:
    """The id of that name's account."""
    return sha256(name.encode())[:ID_SIZE]


@functools.cache
def member(name: str) -> Member:
    """The account of that name."""
    key = Ed25519PrivateKey.generate(seeded(f"account {name}"))
    entry = first_entry(account_id(name), key, kit(name, 1).listed, SECONDS)
    return Member(name, account_id(name), key, entry)


@functools.cache
def image(names: tuple[str, ...]) -> sqlite3.Connection:
    """The server's disk on which these accounts were registered."""
    connection = server_database()
    migrate(connection)
    connection.execute("INSERT INTO meta (key, value) VALUES ('name', ?)", (NAME,))
    incarnation = seeded("incarnation")(ID_SIZE)
    connection.execute("INSERT INTO meta (key, value) VALUES ('incarnation', ?)", (incarnation,))
    for name in names:
        connection.execute("BEGIN")
        _register(connection, new_account(name, BEGINNING), BEGINNING)
        connection.execute("COMMIT")
    return connection


def new_token(token: str, now: int) -> NewToken:
    """What the server stores of a token."""
    return NewToken(hash_token(token), created_at=now, expires_at=now + LIFETIME_MS)


def new_account(name: str, now: int) -> NewAccount:
    """What the server stores of an account, with its first device."""
    owner, first = member(name), kit(name, 1)
    return NewAccount(
        account_id=owner.account_id,
        name=name,
        record=b"record",
        record_signature=b"signature",
        vault=b"vault",
        list_entry=owner.entry.encode(),
        device=first.as_new(),
        prekeys=first.uploaded,
        token=new_token(first.token, now),
        invite=None,
    )
