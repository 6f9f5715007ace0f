"""People with a group, for the targets that attack one of them; what happened to them is played.

Bob has founded it, alice is an admin, mallory a moderator, carol a member. Dave is no member yet.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

from msgspec.structs import replace

from parlour.conversation.groups.chat import Chat
from parlour.roster.genesis import Kind
from parlour.roster.links import JoinLink
from parlour.roster.roles import Role
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer
from parlour.wire import groups as wire
from parlour.wire.envelope import ENVELOPE_FORMAT, Envelope, SuiteId
from parlour.wire.streams import Entry, StreamInfo

NAMES: Final = ("bob", "alice", "mallory", "carol", "dave")
_TABLES: Final = (
    "streams",
    "windows",
    "key_packages",
    "given_out",
    "acknowledged",
    "prekeys",
    "now",
)
_HOUR: Final = 3_600_000

Act = Callable[[MemoryDevice, int], object]
"""What somebody does, at a time (ms)."""


class Members:
    """The group, and how it was at the beginning, to which it can be put back."""

    def __init__(self) -> None:
        self.server = MemoryServer()
        self.devices = {name: MemoryDevice(self.server, name) for name in NAMES}
        for device in self.devices.values():
            device.connect()
        self.bob = self.devices["bob"]
        others = [self.bob.meet(name) for name in NAMES[1:-1]]
        self.group = self.bob.machine.create_group(
            Kind.GROUP, "Friends", others, self.server.now, suite=1
        )
        self.settle()
        for device in (self.devices[name] for name in NAMES[1:-1]):
            device.machine.accept_group(self.group, self.server.now)
        self.settle()
        for name, role in (("alice", Role.ADMIN), ("mallory", Role.MODERATOR)):
            account = self.devices[name].machine.account_id
            self.bob.machine.group_set_role(self.group, account, role, self.server.now)
            self.settle()
        self.link = self._open_link()
        for name in NAMES[:-1]:
            self.devices[name].meet("dave")
        self.accounts = {name: each.machine.account_id for name, each in self.devices.items()}
        self._stores = {name: each.store.copy() for name, each in self.devices.items()}
        self._saved = self._tables()
        self.begins_at = self.server.now
        self.begins_after = self.shown("bob")[-1].seq

    def _open_link(self) -> JoinLink:
        genesis, now = self.chat("bob").genesis, self.server.now
        link = JoinLink.create("test.example", None, self.group, genesis.hash(), self.bob.random)
        self.bob.machine.group_open_link(
            link, now, role=Role.MEMBER, uses=3, expires_at=now + _HOUR
        )
        self.settle()
        return link

    def _tables(self) -> Any:
        kept = {name: getattr(self.server, name) for name in _TABLES}
        return deepcopy((kept, self.server.groups.groups))

    def settle(self, rounds: int = 4) -> None:
        """Let everybody who is online take in what came."""
        for _ in range(rounds):
            for device in self.devices.values():
                if device.online:
                    device.pull()
                    device.wait(1_000)

    def begin_again(self) -> None:
        """Put everybody, and the server, back to where the group was at the beginning."""
        kept, self.server.groups.groups = deepcopy(self._saved)
        for name, value in kept.items():
            setattr(self.server, name, value)
        for name, device in self.devices.items():
            device.store = self._stores[name].copy()
            device.restart()
            device.connect()

    def play(self, name: str, act: Act) -> list[Entry]:
        """What bob would be shown if somebody did this while he is away."""
        self.begin_again()
        self.bob.disconnect()
        act(self.devices[name], self.server.now)
        self.settle()
        return self._missed()

    def play_trouble(self) -> list[Entry]:
        """A commit of mallory's that nobody can read: they say so, and alice begins again."""
        self.begin_again()
        self.bob.disconnect()
        envelope = Envelope(ENVELOPE_FORMAT, SuiteId.MLS_COMMIT, b"", b"?")
        epoch = self.chat("alice").epoch
        commit = wire.Handshake(self.group, bytes(16), 0, epoch, envelope, [], b"")
        self.server._store(self.devices["mallory"].machine.device_id, commit, [])
        self.settle(40)
        return self._missed()

    def _missed(self) -> list[Entry]:
        return [each for each in self.shown("bob") if each.seq > self.begins_after]

    def shown(self, name: str) -> list[Entry]:
        """What the server has of the group for somebody."""
        device_id = self.devices[name].machine.device_id
        return self.server.entries_for(device_id, self.group, 0)

    def key_package_of(self, device_id: bytes) -> wire.FoundKeyPackage:
        """One that a device has published, which is given to everybody."""
        published = self.server.key_packages[device_id]
        data = next(each.data for each in published if each.suite == 1)
        return wire.FoundKeyPackage(device_id, False, data)

    def chat(self, name: str) -> Chat:
        """What somebody keeps of the group."""
        return self.devices[name].machine._memory.groups.chats[self.group]


@dataclass(frozen=True, slots=True)
class Coming:
    """How dave is told of the group: its stream, the entry that adds him, and what he may read."""

    stream: StreamInfo
    entry: Entry
    state: wire.GroupState


@dataclass(frozen=True, slots=True)
class Futures:
    """What may happen next, each time from the same beginning, as bob is shown it."""

    well: list[list[Entry]]
    trouble: list[Entry]
    coming: Coming


def futures_of(members: Members) -> Futures:
    """Play them, and begin again."""
    group, dave, carol = members.group, members.accounts["dave"], members.accounts["carol"]
    acts: list[tuple[str, Act]] = [
        ("alice", lambda alice, now: alice.machine.group_refresh(group, now)),
        ("alice", lambda alice, now: alice.machine.group_rename(group, "New", now)),
        ("mallory", lambda mallory, now: mallory.machine.group_remove(group, [carol], now)),
        ("mallory", lambda mallory, now: mallory.machine.group_refresh(group, now)),
        ("carol", lambda carol, now: carol.machine.group_leave(group, now)),
        ("dave", lambda dave, now: dave.machine.join_by_link(members.link, now)),
    ]
    well = [members.play(name, act) for name, act in acts]
    trouble = members.play_trouble()
    well.append(
        members.play("alice", lambda alice, now: alice.machine.group_add(group, [dave], now))
    )
    entry = members.shown("dave")[0]
    info = replace(members.server.streams[group].info, last=entry.seq, first=entry.seq)
    coming = Coming(info, entry, members.server.groups.read(wire.ReadGroup(group)))
    members.begin_again()
    return Futures(well, trouble, coming)
