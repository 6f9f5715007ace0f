"""Conversations and their entries: create, append, read, catch up, acknowledge."""

from __future__ import annotations

from typing import Final, assert_never

from parlour.errors import AccessError, Code, UsageError
from parlour.server.clock import Clock
from parlour.server.groups import Members
from parlour.server.groups.messages import epoch_of
from parlour.server.hub import Hub
from parlour.server.sessions import Grant
from parlour.server.store import Store
from parlour.wire.envelope import SuiteId
from parlour.wire.kinds import Kind
from parlour.wire.push import PushStream
from parlour.wire.server import Nothing
from parlour.wire.streams import (
    Acknowledge,
    Append,
    Appended,
    CatchUp,
    CaughtUp,
    CreateConversation,
    Entry,
    ListStreams,
    Page,
    Read,
    StreamInfo,
    StreamInfos,
)

_PAIR: Final = 2


class StreamService:
    """What a device may do with the streams of its account."""

    def __init__(self, store: Store, hub: Hub, clock: Clock, members: Members) -> None:
        self._store = store
        self._hub = hub
        self._clock = clock
        self._members = members

    async def create(self, grant: Grant, request: CreateConversation) -> StreamInfo:
        """Create a conversation of two, or of one's own devices, or get the one there is."""
        members = {grant.account_id, *request.members}
        wanted = StreamInfo(request.stream, request.kind, list(members), request.genesis, 0)
        match request.kind:
            case "direct":
                _check_members(members, _PAIR, "a direct conversation has two members")
                info, made = await self._store.streams.create_direct(
                    wanted, creator=grant.account_id, now=self._clock()
                )
            case "self":
                _check_members(members, 1, "a self conversation has one member")
                info, made = await self._store.streams.create_self(wanted, creator=grant.account_id)
            case "inbox":
                raise AccessError(Code.STREAM_FORBIDDEN, "the server makes inboxes")
            case "group" | "family" | "channel":
                raise AccessError(Code.STREAM_FORBIDDEN, "groups are created as such")
            case _:
                assert_never(request.kind)
        if made:
            self._hub.push(info.members, Kind.PUSH_STREAM, PushStream(info))
        return info

    async def of_device(self, grant: Grant, request: ListStreams) -> StreamInfos:
        """A page of the streams of the device."""
        return await self._store.streams.of_device(grant.device_id, request.after or b"")

    async def append(self, grant: Grant, request: Append) -> Appended:
        """Append an entry and push it to who is connected.

        Nothing is awaited before the store has it, so the entries of one connection are stored in
        the order in which they came.
        """
        stream, epoch = request.stream, None
        if request.envelope.suite == SuiteId.MLS_MESSAGE:
            epoch = epoch_of(stream, request.envelope.body)
        known, members = self._members.find(stream)
        place = await self._store.streams.append(
            grant.device_id, request, now=self._clock(), epoch=epoch, known=known
        )
        if place.version is None or place.version != known:
            members = place.members
            if place.version is not None:
                self._members.remember(stream, place.version, members)
        if not place.repeated:
            entry = Entry(
                request.stream,
                place.seq,
                grant.account_id,
                grant.device_id,
                request.client_id,
                place.stored_at,
                request.expires_at,
                request.envelope,
                None,
            )
            parts = {part.device_id: part.data for part in request.parts}
            self._hub.push_entry(entry, parts, members, place.inbox_device)
        return Appended(
            request.stream, request.client_id, place.seq, place.stored_at, place.repeated
        )

    async def read(self, grant: Grant, request: Read) -> Page:
        """Read a page of one stream."""
        return await self._store.streams.read(grant.device_id, request, now=self._clock())

    async def catch_up(self, grant: Grant, request: CatchUp) -> CaughtUp:
        """Read on in all streams of the device."""
        return await self._store.streams.catch_up(grant.device_id, request, now=self._clock())

    async def acknowledge(self, grant: Grant, request: Acknowledge) -> Nothing:
        """Move the device's cursors."""
        await self._store.streams.acknowledge(grant.device_id, request.positions, now=self._clock())
        return Nothing()


def _check_members(members: set[bytes], count: int, sentence: str) -> None:
    if len(members) != count:
        raise UsageError(Code.USAGE_INVALID, sentence)
