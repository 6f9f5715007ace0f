"""The operations of groups: found, change, read, begin again.

Spec: RFC 9750 §5 (delivery service), RFC 9420 §14 (sequencing of state changes).
"""

from __future__ import annotations

import contextlib

from parlour.errors import Code, LimitError, NotFoundError, error
from parlour.server.clock import Clock
from parlour.server.groups.ahead import Ahead
from parlour.server.groups.beginnings import judge_founding
from parlour.server.groups.decoded import Sender
from parlour.server.groups.handshaking import Handshaking, Outcome, check_suite
from parlour.server.groups.links import check_pass
from parlour.server.groups.members import Members
from parlour.server.hub import Hub
from parlour.server.limits import RESTARTS_PER_GROUP, Limits
from parlour.server.sessions import Grant
from parlour.server.store import Store
from parlour.server.store.group_records import HandshakePlace
from parlour.wire.envelope import SuiteId
from parlour.wire.groups import (
    CreateGroup,
    GroupState,
    Handled,
    Handshake,
    ReadGroup,
    RestartGroup,
)
from parlour.wire.ids import ID_SIZE
from parlour.wire.kinds import Kind
from parlour.wire.push import PushStream
from parlour.wire.streams import Entry, StreamInfo

# In the place of a client id, where nothing is to be found by it.
_NO_ID = bytes(ID_SIZE)


class GroupService:
    """What a device may do with groups. Messages go through `StreamService` like any others."""

    def __init__(
        self, store: Store, hub: Hub, limits: Limits, clock: Clock, members: Members
    ) -> None:
        self._store = store
        self._hub = hub
        self._limits = limits
        self._clock = clock
        self._members = members
        self._handshaking = Handshaking(store, clock)
        self.ahead = Ahead(self._handshaking)

    async def create(self, grant: Grant, request: CreateGroup) -> StreamInfo:
        """Found a group, or get the one that there is."""
        sender, now = _sender(grant), self._clock() // 1000
        authority = await self._handshaking.authority({sender.device})
        new, tracked = await self._handshaking.run(
            lambda: judge_founding(request, sender, authority, now)
        )
        info, made = await self._store.groups.create(
            new, creator=sender.account, device_id=sender.device
        )
        if made:
            self._handshaking.remember(tracked)
            self._hub.push(info.members, Kind.PUSH_STREAM, PushStream(info))
        return info

    async def handshake(self, grant: Grant, request: Handshake) -> Handled:
        """Append a commit or a proposal, if it is right and nobody was faster."""
        suite, sender = check_suite(request.envelope), _sender(grant)
        if suite is SuiteId.MLS_COMMIT:
            outcome = await self._handshaking.commit(sender, request)
        else:
            outcome = await self._handshaking.propose(sender, request)
        return await self._handled(sender, outcome)

    async def restart(self, grant: Grant, request: RestartGroup) -> Handled:
        """Begin a group again; an account does that to one group so often, and no oftener."""
        sender = _sender(grant)
        whose = f"{request.stream.hex()} {sender.account.hex()}"
        self._limits.check("restarts of", RESTARTS_PER_GROUP, whose)
        outcome = await self._handshaking.restart(sender, request)
        if outcome.place is not None and not outcome.place.repeated:
            with contextlib.suppress(LimitError):
                # More came at once: they have been stored by now.
                self._limits.hit("restarts of", RESTARTS_PER_GROUP, whose)
        return await self._handled(sender, outcome)

    async def read(self, grant: Grant, request: ReadGroup) -> GroupState:
        """The public state of a group, for members and for who shows that it has a link."""
        groups = self._store.groups
        try:
            return await groups.state(
                grant.device_id, request.stream, request.generation, request.epoch
            )
        except NotFoundError as unknown:
            if request.link is None or unknown.code is not Code.STREAM_UNKNOWN:
                raise
        await self._check_link(_sender(grant), request)
        # What was before the newcomer came is not shown to it.
        return await groups.state(None, request.stream, None, None)

    async def _check_link(self, sender: Sender, request: ReadGroup) -> None:
        try:
            head = await self._store.groups.head(sender.device, request.stream, _NO_ID)
        except NotFoundError as unknown:
            raise error(Code.GROUP_LINK) from unknown
        if head.roster_state is None or request.link is None:
            raise error(Code.GROUP_LINK)
        check_pass(head.roster_state, request.stream, request.link, sender, self._clock())

    # --- Afterwards ------------------------------------------------------------------------

    async def _handled(self, sender: Sender, outcome: Outcome) -> Handled:
        """The answer; and, before anything is waited for, the pushes."""
        entry, place = outcome.entry, outcome.place
        if place is not None and not place.repeated:
            self._push(sender, outcome, place)
            group = outcome.group
            if group is not None:
                return _handled(outcome, place, group.generation, group.epoch, [])
        head = await self._store.groups.head(sender.device, entry.stream, entry.client_id)
        winners: list[Entry] = []
        if place is None and head.roster_state is None:
            winners = await self._store.groups.winners(
                sender.device, entry.stream, entry.generation, entry.epoch, now=self._clock()
            )
        return _handled(outcome, place, head.generation, head.epoch, winners)

    def _push(self, sender: Sender, outcome: Outcome, place: HandshakePlace) -> None:
        """To those who were in before and those who are in now; newcomers hear of the stream."""
        handshake, group = outcome.entry, outcome.group
        stream = handshake.stream
        self._members.remember(stream, place.version, place.members)
        if place.added and group is not None:
            info = StreamInfo(
                stream,
                group.kind,  # type: ignore[arg-type]  # one of the kinds, from the store
                list(place.members),
                group.roster.genesis.encode(),
                last=place.seq,
                first=place.seq,
            )
            self._hub.push(place.added, Kind.PUSH_STREAM, PushStream(info))
        entry = Entry(
            stream,
            place.seq,
            sender.account,
            sender.device,
            handshake.client_id,
            place.stored_at,
            None,
            handshake.envelope,
            None,
        )
        parts = {part.device_id: part.data for part in handshake.parts}
        accounts = [*place.members, *place.removed]
        self._hub.push_entry(entry, parts, accounts, None, lists=outcome.newcomers)


def _sender(grant: Grant) -> Sender:
    return Sender(grant.account_id, grant.device_id)


def _handled(
    outcome: Outcome,
    place: HandshakePlace | None,
    generation: int,
    epoch: int,
    winners: list[Entry],
) -> Handled:
    entry = outcome.entry
    return Handled(
        entry.stream,
        entry.client_id,
        0 if place is None else place.seq,
        0 if place is None else place.stored_at,
        False if place is None else place.repeated,
        generation,
        epoch,
        winners,
    )
