"""Groups of people at a running server: the same rooms as in the unit tests, over REST."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from parlour.roster import Kind as RosterKind
from parlour.server.clock import system_clock
from parlour.server.sessions import Grant
from parlour.wire.groups import CreateGroup, GroupState, Handled, Handshake, ReadGroup
from parlour.wire.kinds import Kind
from parlour.wire.streams import Append, Appended, Page, Read, StreamInfo
from tests.served_groups import Device, Room

from .people import Person

T = TypeVar("T")


class OverRest:
    """`tests.served_groups.Services` for people, who call each operation with their tokens."""

    def __init__(self, *people: Person) -> None:
        self.people = {person.device_id: person for person in people}
        self.now = system_clock()
        self.groups = self
        self.streams = self

    def device(self, person: Person) -> Device:
        device = Device(person.name, person.account_id, person.device_key, self.now // 1000)
        device.account_key = person.account_key
        return device

    async def create(self, grant: Grant, request: CreateGroup) -> StreamInfo:
        return await self._ask(grant, Kind.CREATE_GROUP, request, StreamInfo)

    async def handshake(self, grant: Grant, request: Handshake) -> Handled:
        return await self._ask(grant, Kind.HANDSHAKE, request, Handled)

    async def append(self, grant: Grant, request: Append) -> Appended:
        return await self._ask(grant, Kind.APPEND, request, Appended)

    async def read(self, grant: Grant, request: Any) -> Any:
        if isinstance(request, Read):
            return await self._ask(grant, Kind.READ, request, Page)
        assert isinstance(request, ReadGroup)
        return await self._ask(grant, Kind.READ_GROUP, request, GroupState)

    async def _ask(self, grant: Grant, kind: Kind, body: msgspec.Struct, response: type[T]) -> T:
        return await self.people[grant.device_id].rest(kind, body, response)


async def group_of(*people: Person) -> Room:
    """A group that the first of them founded and added the others to."""
    services: Any = OverRest(*people)
    return await Room.of(services, *(services.device(person) for person in people))


def new_group_of(person: Person) -> CreateGroup:
    """What founds a group of one person."""
    services: Any = OverRest(person)
    creator = services.device(person)
    return Room.planned(services, creator, RosterKind.GROUP).creation(creator)


def commit_of(room: Room, person: Person) -> Handshake:
    """A commit of one person that only renews keys."""
    (device,) = (each for each in room.devices if each.id == person.device_id)
    device.live.clear_pending()
    return room.commit(device)
