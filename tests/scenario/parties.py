"""Groups of people for stories."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from parlour.conversation.changes import Namespace
from parlour.conversation.content import Text
from parlour.conversation.groups.chat import Chat
from parlour.conversation.groups.records import Acceptance, GroupState
from parlour.conversation.groups.sharing import SharedGroups
from parlour.conversation.groups.view import GroupView
from parlour.roster.genesis import Kind
from parlour.roster.links import JoinLink
from parlour.roster.roles import Role
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer

HOUR = 3_600_000


class Party:
    """People with a group, each on one device; more devices may come."""

    def __init__(
        self,
        *names: str,
        kind: Kind = Kind.GROUP,
        suite: int | None = 1,
        shared: SharedGroups | None = None,
    ) -> None:
        self.server = MemoryServer()
        self.devices = [MemoryDevice(self.server, name) for name in names]
        for device in self.devices:
            if shared is not None:
                device.shared = shared
                device.restart()
            device.connect()
        founder = self.devices[0]
        self.ids = [founder.meet(device.name) for device in self.devices[1:]]
        self.group = founder.machine.create_group(
            kind, "Friends", self.ids, self.server.now, suite=suite
        )
        founder.settle()
        self.settle()
        for device in self.devices:
            device.machine.accept_group(self.group, self.server.now)
            device.settle()

    # --- Doing ---------------------------------------------------------------------------

    def add_device(self, name: str, beside: MemoryDevice) -> MemoryDevice:
        """Link a further device of an account; everybody learns of it by connecting anew."""
        device = MemoryDevice(self.server, name, seed=name, beside=beside, linked=True)
        self.devices.append(device)
        self.reconnect()
        return device

    def outsider(self, name: str) -> MemoryDevice:
        """Somebody who is online and not in the group."""
        device = MemoryDevice(self.server, name)
        device.connect()
        return device

    def link(self, by: MemoryDevice, uses: int = 1) -> JoinLink:
        """A link into the group that a member opened; good for an hour."""
        link = JoinLink.create(
            "test.example", None, self.group, self.view(by).genesis.hash(), by.random
        )
        now = self.server.now
        by.machine.group_open_link(link, now, role=Role.MEMBER, uses=uses, expires_at=now + HOUR)
        by.settle()
        self.settle(2)
        return link

    def reconnect(self, *devices: MemoryDevice) -> None:
        """Connect anew, as after a pause."""
        for device in devices or self.devices:
            device.disconnect()
            device.connect()

    def settle(self, rounds: int = 4, step: int = 4_000) -> None:
        """Let everybody who is online take in what came, while time passes."""
        for _ in range(rounds):
            for device in self.online:
                device.pull()
            for device in self.online:
                device.wait(step // max(len(self.online), 1))

    def say(self, device: MemoryDevice, text: str) -> bytes:
        """Say something in the group, and settle."""
        message_id = device.machine.send_to(self.group, Text(text), self.server.now)
        device.settle()
        return message_id

    # --- Looking -------------------------------------------------------------------------

    @property
    def online(self) -> list[MemoryDevice]:
        """Whoever is connected."""
        return [device for device in self.devices if device.online]

    def view(self, device: MemoryDevice) -> GroupView:
        """The group as a device sees it."""
        return device.machine.groups[self.group]

    def check_together(self, devices: Sequence[MemoryDevice] = ()) -> None:
        """That these are active, in one epoch, under one roster."""
        views = [self.view(device) for device in devices or self.online]
        assert {view.state for view in views} == {GroupState.ACTIVE}
        people = [tuple((m.account_id, m.role, m.devices) for m in v.members) for v in views]
        assert len(set(people)) == 1
        assert len({(view.generation, view.epoch, view.leaves) for view in views}) == 1
        assert {view.acceptance for view in views} == {Acceptance.ACCEPTED}
        chats = [chat_of(device, self) for device in devices or self.online]
        assert len({chat.record.tags[-1].tag for chat in chats}) == 1
        assert not any(chat.record.pending for chat in chats)


def backup(party: Party) -> Any:
    """What the server has of groups by now."""
    return deepcopy((party.server.streams, party.server.groups.groups, party.server.windows))


def restore(party: Party, saved: Any) -> None:
    """Put the server back to that; it does not say so."""
    party.server.streams, party.server.groups.groups, party.server.windows = saved


def chat_of(device: MemoryDevice, party: Party) -> Chat:
    """What a device keeps of the group."""
    return device.machine._memory.groups.chats[party.group]


def lose_state(device: MemoryDevice, group: bytes) -> None:
    """The MLS state of a group is gone from a device's disk, and its memory."""
    kept = device.store.records[Namespace.GROUP_STATE]
    for key in [key for key in kept if key.startswith(group)]:
        del kept[key]


def lose_alone(party: Party, device: MemoryDevice) -> None:
    """A device has lost its state, and nobody who could help is there."""
    lose_state(device, party.group)
    for other in party.devices:
        if other is not device:
            other.disconnect()
    device.restart()
    device.connect()


def come_back_alone(party: Party, device: MemoryDevice) -> None:
    """A device that has lost its state comes in again by a commit of its own."""
    lose_alone(party, device)
    let_time_pass(device)


def let_time_pass(device: MemoryDevice, rounds: int = 60) -> None:
    """A device is online for so many times five seconds."""
    for _ in range(rounds):
        device.wait(5_000)
