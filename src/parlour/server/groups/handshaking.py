"""One handshake, from the request to the entry.

Where the group is, the store says three times: before the work, so that who has lost already costs
nothing; when its turn has come; and in the transaction that decides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from parlour.errors import Code, NotFoundError
from parlour.mls.public.validation.signatures import SignatureMemo
from parlour.roster import RosterEntry
from parlour.server.clock import Clock
from parlour.server.groups.authority import Authority
from parlour.server.groups.beginnings import Restart, judge_restart
from parlour.server.groups.cache import GroupCache
from parlour.server.groups.commits import Commitment, Judged, judge_commit
from parlour.server.groups.decoded import DecodedCommit, Sender, decode_public, devices_of
from parlour.server.groups.links import comes_by_link
from parlour.server.groups.newcomers import lists_of_newcomers
from parlour.server.groups.proposals import judge_proposal, proposal_devices
from parlour.server.groups.refusals import refusal, require
from parlour.server.groups.tracked import TrackedGroup
from parlour.server.groups.turns import Turns
from parlour.server.store import Store
from parlour.server.store.group_records import GroupHead, Handshaken, HandshakePlace
from parlour.wire.directory import DeviceListPage
from parlour.wire.envelope import ENVELOPE_FORMAT, Envelope, SuiteId
from parlour.wire.groups import (
    CommitBody,
    Handshake,
    ProposalBody,
    RestartBody,
    RestartGroup,
    decode_body,
)

T = TypeVar("T")

# A new leaf under X-Wing has 2 KiB; proposals wait in memory, two of each leaf.
MAX_PROPOSAL: Final = 16 << 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a handshake: its place, or None if it lost; and its entry as it was stored.

    `newcomers` are the device lists of whom it brings, where those are few.
    """

    place: HandshakePlace | None
    entry: Handshaken
    group: TrackedGroup | None = None
    newcomers: tuple[DeviceListPage, ...] = ()


class Handshaking:
    """Judges handshakes and stores those that are right and first."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._turns = Turns()
        self._cache = GroupCache()
        self._memo = SignatureMemo()

    async def run(self, work: Callable[[], T]) -> T:
        """Do slow work in a thread."""
        return await self._turns.run(work)

    async def authority(self, devices: set[bytes]) -> Authority:
        """Who is who among these devices, now."""
        keys = await self._store.groups.device_keys(devices)
        return Authority(keys, self._clock() // 1000, memo=self._memo)

    def remember(self, group: TrackedGroup) -> None:
        """Keep a group that was just stored."""
        self._cache.put(group)

    async def commit(self, sender: Sender, request: Handshake) -> Outcome:
        """A commit: judged against the group as it is, then stored if it is still there."""
        body = await self._turns.run(lambda: decode_body(request.envelope.body, CommitBody))
        require(body.generation == request.generation, "a commit to another generation")
        entry = _entry(request)
        stop = await self._early(sender, entry, body)
        if stop is not None:
            return stop
        decoded = await self._turns.run(lambda: DecodedCommit.decode(body))
        async with self._turns.of(request.stream):
            group = await self._group(sender, entry)
            if isinstance(group, Outcome):
                return group
            devices = await self._turns.run(lambda: decoded.devices(group))
            authority = await self.authority(devices)
            commitment = Commitment(request, body, decoded, sender, self._clock())
            judgement = await self._turns.run(lambda: judge_commit(group, commitment, authority))
            # Before the commit is stored, as nothing is waited for between that and the pushes.
            newcomers = await lists_of_newcomers(self._store.devices, decoded.entries)
            outcome = await self._store_change(sender, entry, judgement)
            return replace(outcome, newcomers=newcomers)

    async def propose(self, sender: Sender, request: Handshake) -> Outcome:
        """A proposal, which waits for the next commit."""
        require(not request.parts and not request.group_info, "a proposal that leads somewhere")
        body = decode_body(request.envelope.body, ProposalBody)
        require(body.generation == request.generation, "a proposal to another generation")
        require(len(body.proposal) <= MAX_PROPOSAL, "a proposal that is too large")
        entry = _entry(request)
        stop = await self._early(sender, entry, None)
        if stop is not None:
            return stop
        message = decode_public(body.proposal)
        async with self._turns.of(request.stream):
            group = await self._group(sender, entry)
            if isinstance(group, Outcome):
                return group
            authority = await self.authority(proposal_devices(message, body.evidence))
            seconds = self._clock() // 1000
            after = await self._turns.run(
                lambda: judge_proposal(group, message, body.evidence, sender, authority, seconds)
            )
            place = await self._store.groups.propose(
                sender.device, entry, body.proposal, now=self._clock()
            )
            return self._stored(entry, place, after)

    async def restart(self, sender: Sender, request: RestartGroup) -> Outcome:
        """The beginning of a later generation, in whichever epoch the group is by now.

        Who broke it could go on committing, and would win every race for the epoch. If this
        server's data is from a backup, members may know generations that are lost here.
        """
        _check_envelope(request.envelope, SuiteId.MLS_RESTART)
        body = decode_body(request.envelope.body, RestartBody)
        require(request.generation > 0, "a restart that is the founding")
        require(body.generation == request.generation, "a restart of another generation")
        entry = Handshaken(
            request.stream,
            request.client_id,
            request.envelope,
            (),
            request.generation - 1,
            request.epoch,
        )
        stop = await self._early(sender, entry, None)
        if stop is not None:
            return stop
        entries = tuple(map(RosterEntry.decode, body.roster))
        async with self._turns.of(request.stream):
            group = await self._group(sender, entry)
            if isinstance(group, Outcome):
                return group
            entry = replace(entry, generation=group.generation, epoch=group.epoch)
            authority = await self.authority({sender.device} | devices_of(entries))
            restart = Restart(request, entries, sender, self._clock())
            judgement = await self._turns.run(lambda: judge_restart(group, restart, authority))
            return await self._store_change(sender, entry, judgement)

    # --- Where the group is ----------------------------------------------------------------

    async def _early(
        self, sender: Sender, entry: Handshaken, body: CommitBody | None
    ) -> Outcome | None:
        """An outcome that needs no judging: it was stored before, or it has lost.

        Raises ``stream.unknown`` to strangers who do not come by a link.
        """
        head = await self._store.groups.head(sender.device, entry.stream, entry.client_id)
        if head.roster_state is not None and head.earlier is None:
            welcome = body is not None and comes_by_link(
                head.roster_state, body, sender, self._clock()
            )
            if not welcome:
                raise NotFoundError(Code.STREAM_UNKNOWN)
        return _settled(head, entry)

    async def _group(self, sender: Sender, entry: Handshaken) -> TrackedGroup | Outcome:
        """The group, now that it is this handshake's turn, or the outcome if it is too late."""
        head = await self._store.groups.head(sender.device, entry.stream, entry.client_id)
        settled = _settled(head, entry)
        if settled is not None:
            return settled
        place = head.generation, head.epoch, head.proposals
        group = self._cache.find(entry.stream, place)
        if group is None:
            stored = await self._store.groups.load(entry.stream)
            group = await self._turns.run(lambda: TrackedGroup.of(stored))
            if group.place != place:
                return Outcome(None, entry)
            self._cache.put(group)
        return group

    async def _store_change(self, sender: Sender, entry: Handshaken, judgement: Judged) -> Outcome:
        place = await self._store.groups.change(
            sender.device, entry, judgement.change, now=self._clock()
        )
        return self._stored(entry, place, judgement.after)

    def _stored(
        self, entry: Handshaken, place: HandshakePlace | None, after: TrackedGroup
    ) -> Outcome:
        if place is not None and not place.repeated:
            self._cache.put(after)
        return Outcome(place, entry, after)


def _settled(head: GroupHead, entry: Handshaken) -> Outcome | None:
    if head.earlier is not None:
        return Outcome(HandshakePlace(*head.earlier, True, 0, ()), entry)
    there = head.generation == entry.generation and head.epoch == entry.epoch
    if entry.envelope.suite == SuiteId.MLS_RESTART:
        there = head.generation <= entry.generation
    return None if there else Outcome(None, entry)


def _entry(request: Handshake) -> Handshaken:
    return Handshaken(
        request.stream,
        request.client_id,
        request.envelope,
        request.parts,
        request.generation,
        request.epoch,
    )


def check_suite(envelope: Envelope) -> SuiteId:
    """Whether a handshake is a commit or a proposal."""
    if envelope.suite == SuiteId.MLS_COMMIT:
        _check_envelope(envelope, SuiteId.MLS_COMMIT)
        return SuiteId.MLS_COMMIT
    _check_envelope(envelope, SuiteId.MLS_PROPOSAL)
    return SuiteId.MLS_PROPOSAL


def _check_envelope(envelope: Envelope, suite: SuiteId) -> None:
    plain = envelope.format == ENVELOPE_FORMAT and envelope.suite == suite
    if not plain or envelope.key_id:
        raise refusal(f"an envelope that is no {suite.name}")
