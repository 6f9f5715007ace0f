"""What the server's disk says of groups, as a run goes on: epochs, rosters, and who wished what.

It is read after each commit, so that nothing of it depends on what devices make of it. A message
of a group is owed to the devices that had a leaf in the epoch in which it was sent.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Final

from parlour.conversation.groups.records import Want
from parlour.mls.public.framing.messages import PrivateMessage, decode_message
from parlour.roster.roles import Role
from parlour.roster.state import RosterState
from parlour.testing.simulation import population
from parlour.wire.ids import ID_SIZE

Epoch = tuple[bytes, int, int]
"""A group, a generation and an epoch."""
_HEADS: Final = (
    "SELECT streams.pk, stream_id, generation, mls_groups.epoch, roster_state FROM mls_groups "
    "JOIN streams ON streams.pk = mls_groups.stream"
)
_LEAVES: Final = (
    "SELECT device_id FROM group_leaves JOIN devices ON devices.pk = device WHERE stream = ?"
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person wanted of a group. `place` is how many rosters it had when they did.

    `action` is the one by which they did.
    """

    label: str
    device_id: bytes
    group: bytes
    want: Want
    place: int
    accounts: tuple[bytes, ...] = ()
    role: int = 0
    link_id: bytes = b""
    action: str = ""

    def is_true_in(self, state: RosterState) -> bool:
        """Whether a roster has it so."""
        members = state.members
        match self.want:
            case Want.ADD:
                return all(account in members for account in self.accounts)
            case Want.REMOVE | Want.LEAVE:
                return not any(account in members for account in self.accounts)
            case Want.ROLE:
                known = [members.get(account) for account in self.accounts]
                return all(each is None or each.role == Role(self.role) for each in known)
            case Want.OPEN_LINK:
                return self.link_id in state.links
            case Want.CLOSE_LINK:
                return self.link_id not in state.links
            case _:
                return True


@dataclass(frozen=True, slots=True)
class GroupOnDisk:
    """Where a group is, as the server has it. `leaves` are devices."""

    pk: int
    generation: int
    epoch: int
    roster: RosterState
    leaves: frozenset[bytes]


@dataclass(slots=True)
class Epochs:
    """Which devices had a leaf in which epoch, on one side of the server."""

    leaves: dict[Epoch, frozenset[bytes]] = field(default_factory=dict)
    heads: dict[bytes, tuple[int, int, bytes]] = field(default_factory=dict)

    def copy(self) -> Epochs:
        """The same, for another side."""
        return Epochs(dict(self.leaves), dict(self.heads))


@dataclass(frozen=True, slots=True)
class Spoken:
    """A message of a group, as the server got it. `removed` are devices that had left their lists.

    `accounts` were the members.
    """

    sender: bytes
    client_id: bytes
    epoch: Epoch
    body: bytes
    accounts: frozenset[bytes]
    removed: frozenset[bytes]


class Chronicle:
    """All that happened to the groups of a run. `names` are theirs in programs."""

    def __init__(self) -> None:
        self.names: dict[str, bytes] = {}
        self.rosters: dict[bytes, list[RosterState]] = defaultdict(list)
        self.wishes: list[Wish] = []
        self.comings: list[Wish] = []
        """Who came by a link: that comes true where nobody is refused."""
        self.links: dict[str, list[str]] = defaultdict(list)
        """The lines to hand round, by the name of their group."""
        self.readers: dict[Epoch, frozenset[bytes]] = defaultdict(frozenset)
        """Devices that had a leaf in an epoch of that number, on whichever side of the server."""
        self.spoken: list[Spoken] = []

    def absorb(self, connection: sqlite3.Connection, epochs: Epochs) -> None:
        """Take in what changed since the last look."""
        for pk, stream, generation, epoch, state in connection.execute(_HEADS).fetchall():
            group, head = bytes(stream), (generation, epoch, bytes(state))
            before = epochs.heads.get(group)
            if before == head:
                continue
            epochs.heads[group] = head
            leaves = leaves_of(connection, pk)
            epochs.leaves[(group, generation, epoch)] = leaves
            self.readers[(group, generation, epoch)] |= leaves
            if before is None or before[2] != head[2]:
                self.rosters[group].append(RosterState.decode(bytes(state)))

    def wish(self, wish: Wish) -> None:
        """A person wanted something, and it is on their device's disk."""
        self.wishes.append(wish)

    def name_of(self, group: bytes) -> str:
        """What programs call a group; of one that has no name, whose it is."""
        for name, each in self.names.items():
            if each == group:
                return name
        people = self.rosters[group][-1].members if self.rosters[group] else ()
        known = [
            name
            for name in (*population.NAMES, *population.CROWD)
            if population.account_id(name) in people
        ]
        return " and ".join(known) or group.hex()

    def leavers(self) -> set[tuple[bytes, bytes]]:
        """Accounts whose person has once wished to leave a group, with the group."""
        leaving = [wish for wish in self.wishes if wish.want is Want.LEAVE]
        return {(account, wish.group) for wish in leaving for account in wish.accounts}

    def place(self, group: bytes, seen: RosterState | None) -> int:
        """How many rosters a group had had, as whoever sees that one of them sees it."""
        rosters = self.rosters[group]
        newest = max(len(rosters) - 1, 0)
        places = [n for n, state in enumerate(rosters) if seen and state.hash() == seen.hash()]
        return min([newest, *places[-1:]])

    def is_superseded(self, wish: Wish) -> bool:
        """Whether the same device wished something else later, of the same people or link.

        One commit may do both, and no roster shows the first.
        """
        later = self.wishes[self.wishes.index(wish) + 1 :]
        return any(
            (each.device_id, each.group, each.link_id) == (wish.device_id, wish.group, wish.link_id)
            and set(each.accounts) >= set(wish.accounts)
            for each in later
        )

    def is_open(self, group: bytes, link_id: bytes) -> bool:
        """Whether a link is on the newest roster of a group."""
        rosters = self.rosters[group]
        return bool(rosters) and link_id in rosters[-1].links

    def effects(self) -> Counter[str]:
        """How often what was done in groups has come true, by its action."""
        wishes = [wish for wish in (*self.wishes, *self.comings) if self.came_true(wish)]
        return Counter(wish.action for wish in wishes)

    def came_true(self, wish: Wish) -> bool:
        """Whether some roster since then has had it so."""
        return any(wish.is_true_in(state) for state in self.rosters[wish.group][wish.place :])


def leaves_of(connection: sqlite3.Connection, pk: int) -> frozenset[bytes]:
    """The devices that have a leaf in a group."""
    return frozenset(bytes(row[0]) for row in connection.execute(_LEAVES, (pk,)).fetchall())


def groups_of(connection: sqlite3.Connection) -> dict[bytes, GroupOnDisk]:
    """All groups that the server has."""
    return {
        bytes(stream): GroupOnDisk(
            pk, generation, epoch, RosterState.decode(bytes(state)), leaves_of(connection, pk)
        )
        for pk, stream, generation, epoch, state in connection.execute(_HEADS).fetchall()
    }


def epoch_of(body: bytes) -> Epoch | None:
    """In which epoch a message was sent, as it says in clear."""
    message = decode_message(body)
    if not isinstance(message, PrivateMessage):
        return None
    generation = int.from_bytes(message.group_id[ID_SIZE:])
    return message.group_id[:ID_SIZE], generation, message.epoch
