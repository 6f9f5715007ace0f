"""Random changes of a group at the server: it always says what its members know."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parlour.errors import ParlourError
from parlour.roster import Removed
from parlour.wire.groups import ReadGroup
from tests.served_groups import Device, Room, Services, commit_body

NAMES = ("ada", "bea", "cid", "dan")
STEP = st.tuples(
    st.sampled_from(("add", "remove", "commit", "say", "back", "crash", "race", "restart")),
    st.integers(0, 3),
    st.integers(0, 3),
)


def rows(folder: Path, question: str) -> set[bytes]:
    with closing(sqlite3.connect(folder / "parlour.db")) as connection:
        return {row[0] for row in connection.execute(question)}


class Walk:
    """One random walk through the life of a group. Ada, who founded it, is never removed."""

    def __init__(self, services: Services, folder: Path, people: list[Device], room: Room) -> None:
        self.services = services
        self.folder = folder
        self.people = people
        self.room = room
        self.place = (0, 0)

    async def step(self, what: str, one: int, two: int) -> None:
        room, services = self.room, self.services
        ada, target = self.people[0], self.people[one]
        inside = [each for each in self.people if each in room.devices]
        actor = inside[two % len(inside)]
        if what == "add" and target not in inside:
            target.identity = target.certified()
            await room.add(ada, target)
        elif what == "remove" and target in inside and target is not ada:
            gone = room.commit(ada, Removed(target.account), removes=[target])
            await room.send(ada, gone)
        elif what == "commit":
            await room.send(actor, room.commit(actor))
        elif what == "say":
            await room.say(actor)
        elif what == "back" and target in inside and len(inside) > 1:
            await self.come_back(target)
        elif what == "race" and len(inside) > 1:
            await self.race(inside)
        elif what == "crash":
            services.forget()
        elif what == "restart":
            request, group = room.restart(ada)
            await services.groups.restart(ada.grant, request)
            for each in room.devices:
                each.group = None
            room.generation += 1
            room.devices, ada.group = [ada], group

    async def come_back(self, device: Device) -> None:
        room = self.room
        leaf = room.leaf(device, device)
        room.devices.remove(device)
        device.identity = device.certified()
        state = await self.services.groups.read(device.grant, ReadGroup(room.stream))
        request, pending = room.external(device, state, resync=leaf)
        await room.send(device, request)
        device.group = pending.confirm(commit_body(request).commit)
        room.devices.append(device)

    async def race(self, inside: list[Device]) -> None:
        commits = [self.room.commit(each) for each in inside]
        answers = await asyncio.gather(
            *(
                self.services.groups.handshake(each.grant, commit)
                for each, commit in zip(inside, commits, strict=True)
            )
        )
        (won,) = [index for index, answer in enumerate(answers) if answer.seq]
        await self.room.follow(inside[won], commits[won])

    async def check(self) -> None:
        room, ada = self.room, self.people[0]
        state = await self.services.groups.read(ada.grant, ReadGroup(room.stream))
        assert (state.generation, state.epoch) == (room.generation, ada.live.epoch)
        assert state.tree == ada.live.tree()
        assert state.roster_state == room.roster.state.encode()
        assert (state.generation, state.epoch) >= self.place
        self.place = (state.generation, state.epoch)
        members = rows(
            self.folder,
            "SELECT account_id FROM members JOIN accounts ON accounts.pk = members.account "
            "JOIN mls_groups ON mls_groups.stream = members.stream",
        )
        leaves = rows(
            self.folder,
            "SELECT device_id FROM group_leaves JOIN devices ON devices.pk = device",
        )
        owners = {each.account for each in room.devices}
        assert leaves == {each.id for each in room.devices}
        assert members == room.roster.state.members.keys()
        assert owners <= members
        if room.generation == 0:
            assert owners == members
        for each in self.people:
            if each.account not in members:
                try:
                    await self.services.groups.read(each.grant, ReadGroup(room.stream))
                except ParlourError:
                    continue
                raise AssertionError("a stranger read the group")


async def walk(steps: list[tuple[str, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        services = await Services(folder).open()
        try:
            people = await services.devices(*NAMES)
            room = await Room.of(services, *people[:2])
            walking = Walk(services, folder, people, room)
            for step in steps:
                await walking.step(*step)
                await walking.check()
        finally:
            await services.close()


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
@given(st.lists(STEP, min_size=1, max_size=14))
def test_the_server_knows_what_the_members_know(steps: list[tuple[str, int, int]]) -> None:
    asyncio.run(walk(steps))
