"""People with devices, and the rosters they make, for tests."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from parlour.primitives.signature import Ed25519PrivateKey, Ed25519PublicKey
from parlour.roster import (
    NO_KEY,
    Added,
    Change,
    Genesis,
    Kind,
    Left,
    Role,
    Roster,
    leave_statement,
)
from parlour.roster.device_signature import device_id_of
from parlour.roster.entry import RosterEntry

NOW: Final = 1_800_000_000_000
STREAM: Final = b"stream of a room"
ROSTER_ID: Final = b"roster of a room"


class Person:
    """An account with one device."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.account = hashlib.sha256(name.encode()).digest()[:16]
        self.key = Ed25519PrivateKey(hashlib.sha256(f"device of {name}".encode()).digest())
        self.device = device_id_of(self.key.public_key)
        seed = hashlib.sha256(f"account of {name}".encode()).digest()
        self.account_key = Ed25519PrivateKey(seed).public_key.to_bytes()

    def __repr__(self) -> str:
        return self.name


ANNA, BEA, CARL, DORA, EMIL, FAY = (
    Person(name) for name in ("anna", "bea", "carl", "dora", "emil", "fay")
)
PEOPLE: Final = (ANNA, BEA, CARL, DORA, EMIL, FAY)
_KEYS: Final = {(each.account, each.device): each.key.public_key for each in PEOPLE}


def find_key(account: bytes, device: bytes) -> Ed25519PublicKey | None:
    return _KEYS.get((account, device))


def genesis_of(kind: Kind = Kind.GROUP, creator: Person = ANNA) -> Genesis:
    return Genesis.create(
        creator.key,
        kind=kind,
        suite=1,
        stream=STREAM,
        roster_id=ROSTER_ID,
        creator_account=creator.account,
        created_at=NOW,
    )


def added(person: Person, role: Role = Role.MEMBER, key: bytes = NO_KEY) -> Added:
    return Added(person.account, role, key)


def found(kind: Kind = Kind.GROUP, *others: Change) -> Roster:
    """Anna's roster, with what she adds to the founding entry."""
    genesis = genesis_of(kind)
    top = Role.MEMBER if kind in (Kind.DIRECT, Kind.SELF) else Role.OWNER
    entry = Roster.founding_entry(genesis, [added(ANNA, top), *others], ANNA.key)
    return Roster.found(genesis, RosterEntry.decode(entry.encode()), find_key)


def entry_of(roster: Roster, person: Person, *changes: Change, at: int = NOW) -> RosterEntry:
    return roster.next_entry(changes, person.account, person.device, person.key, at, find_key)


def step(roster: Roster, person: Person, *changes: Change, at: int = NOW) -> Roster:
    """The roster after an entry of that person, as everybody else takes it."""
    entry = RosterEntry.decode(entry_of(roster, person, *changes, at=at).encode())
    return roster.extend(entry, find_key)


def leave(roster: Roster, person: Person) -> Left:
    since = roster.state.members[person.account].since
    return leave_statement(roster.state.roster_id, person.account, since, person.key)


def forge(
    roster: Roster,
    person: Person,
    changes: Sequence[Change],
    state_hash: bytes | None = None,
    at: int = NOW,
) -> RosterEntry:
    """An entry that nobody has checked, signed by that person's device."""
    return RosterEntry(
        roster_id=roster.state.roster_id,
        number=roster.number + 1,
        previous=roster.head_hash,
        changes=tuple(changes),
        state_hash=roster.state.hash() if state_hash is None else state_hash,
        signer_account=person.account,
        signer_device=person.device,
        at=at,
    ).sign(person.key)
