"""The rules: what each change needs, applied to a copy of the state that is thrown away on a no.

Each change is judged by what those before it in the entry have left. So who lowers its own role
can't go on with the old one, and no order of changes gives anybody more than two entries would.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace
from typing import Final, assert_never

from parlour.errors import AccessError, AuthenticationError, Code, LimitError, SecurityStop
from parlour.primitives.hashes import sha256
from parlour.primitives.signature import Ed25519PublicKey
from parlour.roster import device_signature, labels
from parlour.roster.changes import (
    NO_KEY,
    Added,
    Change,
    ChannelClosed,
    ChannelOpened,
    JoinedByLink,
    Left,
    LinkClosed,
    LinkOpened,
    Named,
    Removed,
    RoleSet,
    join_content,
    leave_content,
)
from parlour.roster.device_signature import FindKey
from parlour.roster.genesis import Genesis, Kind
from parlour.roster.limits import (
    ID_SIZE,
    MAX_ACCOUNTS,
    MAX_CHANNELS,
    MAX_LINK_LIFETIME_MS,
    MAX_LINKS,
)
from parlour.roster.roles import FIXED_KINDS, HIGHEST_LINK_ROLE, Right, Role, may
from parlour.roster.state import Channel, Link, Member, RosterState, rank

_FIXED_SIZES: Final = {Kind.DIRECT: 2, Kind.SELF: 1}


@dataclass(frozen=True, slots=True)
class Step:
    """Who makes an entry, which one, and when (milliseconds); `now` if who checks has a clock."""

    account: bytes
    device: bytes
    number: int
    at: int
    find_key: FindKey
    now: int | None = None


def invalid(detail: str) -> SecurityStop:
    """The error for what no order of honest entries leads to."""
    return SecurityStop(Code.ROSTER_INVALID, detail)


def forbidden(detail: str) -> AccessError:
    """The error for what the signer has not the right to."""
    return AccessError(Code.ROSTER_FORBIDDEN, detail)


def link_id_of(public_key: bytes) -> bytes:
    """A link's id: the first 16 bytes of SHA-256 of its Ed25519 key."""
    return sha256(public_key)[:ID_SIZE]


def _link_key(public_key: bytes) -> Ed25519PublicKey:
    try:
        return Ed25519PublicKey(public_key)
    except AuthenticationError as error:
        raise invalid("the key of a link") from error


def founded(genesis: Genesis, changes: tuple[Change, ...], step: Step) -> RosterState:
    """The state after entry 0, which begins with its creator."""
    top = Role.MEMBER if genesis.kind in FIXED_KINDS else Role.OWNER
    first = changes[0] if changes else None
    if not isinstance(first, Added) or (first.account, first.role) != (step.account, top):
        raise invalid("a founding entry that does not begin with its creator")
    creator = {step.account: Member(top, 0, first.key)}
    draft = Draft(RosterState(genesis.roster_id, genesis.stream, genesis.kind, creator), step)
    if genesis.kind in FIXED_KINDS:
        draft.fill(changes)
    else:
        draft.apply(changes[1:])
    return draft.result()


def changed(state: RosterState, changes: tuple[Change, ...], step: Step) -> RosterState:
    """The state after a later entry; raises what the first change that is refused raises."""
    if not changes:
        raise invalid("an entry that changes nothing")
    draft = Draft(state, step)
    if isinstance(changes[0], JoinedByLink):
        draft.join(changes)
    else:
        draft.apply(changes)
    return draft.result()


class Draft:
    """A copy of a state, to which the changes of one entry are applied in their order."""

    def __init__(self, state: RosterState, step: Step) -> None:
        self._state = state
        self._step = step
        self._members = dict(state.members)
        self._links = dict(state.links)
        self._channels = dict(state.channels)
        self._barred = set(state.barred)
        self._name = state.name_commitment
        self._first = state.first
        # All ranks, once the first one had to be looked for; what is out of date is passed over.
        self._ranks: list[tuple[int, int, bytes]] = []

    def fill(self, changes: tuple[Change, ...]) -> None:
        """Found a conversation whose accounts never change."""
        for number, change in enumerate(changes):
            if not isinstance(change, Added) or change.role is not Role.MEMBER:
                raise invalid("more than members in a conversation of a fixed kind")
            if change.key != NO_KEY:
                # Nobody would go by it: people decide about changed keys there.
                raise invalid("an account key in a conversation of a fixed kind")
            if number:
                self._bring_in(change.account, change.role, change.key)
        if len(self._members) != _FIXED_SIZES[self._state.kind]:
            raise invalid("the number of accounts of a conversation of a fixed kind")

    def apply(self, changes: tuple[Change, ...]) -> None:
        """Apply changes of a member, who stays one: nobody takes itself out."""
        if self._step.account not in self._members:
            raise forbidden("an entry of a stranger")
        for change in changes:
            self._apply(change)

    def join(self, changes: tuple[Change, ...]) -> None:
        """Apply the one change by which a stranger comes in."""
        if len(changes) != 1 or not isinstance(change := changes[0], JoinedByLink):
            raise invalid("who comes in by a link does nothing else")
        step = self._step
        if (change.account, change.device) != (step.account, step.device):
            raise invalid("a link that is used for somebody else")
        link = self._links.get(change.link_id)
        if link is None or change.account in self._barred:
            raise forbidden("the link is not open, or not for this account")
        if link.expires_at <= max(step.at, step.now or 0):
            raise forbidden("the link has expired")
        content = join_content(self._state.roster_id, change.account, change.device)
        device_signature.verify_by_key(
            labels.LINK_JOIN, content, _link_key(link.public_key), change.signature
        )
        self._bring_in(change.account, link.role, change.key)
        self._use(change.link_id, link)

    def _use(self, link_id: bytes, link: Link) -> None:
        if link.uses == 1:
            del self._links[link_id]
        else:
            self._links[link_id] = Link(
                link.public_key, link.role, link.uses - 1, link.expires_at, link.opened_by
            )

    def result(self) -> RosterState:
        """The new state, without links that are over."""
        links = {link_id: link for link_id, link in self._links.items() if self._is_good(link)}
        # Nobody can be kept out by a list that is full; without links nobody needs to be.
        if len(self._barred) > MAX_ACCOUNTS:
            links = {}
        state = RosterState(
            roster_id=self._state.roster_id,
            stream=self._state.stream,
            kind=self._state.kind,
            members=self._members,
            name_commitment=self._name,
            links=links,
            channels=self._channels,
            barred=frozenset(self._barred if links else ()),
        )
        # Known here, and a walk through all members elsewhere.
        vars(state)["first"] = self._first
        return state

    def _is_good(self, link: Link) -> bool:
        """Whether its time is not over, and who opened it still may open such a link."""
        return (
            link.expires_at > self._step.at
            and self._may(link.opened_by, Right.LINK)
            and link.role <= self._role(link.opened_by)
        )

    # --- Roles as they are now ---

    def _role(self, account: bytes) -> Role:
        """The effective role, as in `RosterState.effective_role`."""
        return Role.OWNER if account == self._first else self._members[account].role

    def _may(self, account: bytes, right: Right) -> bool:
        return account in self._members and may(self._state.kind, self._role(account), right)

    def _require(self, right: Right, role: Role = Role.MEMBER) -> None:
        """Refuse a signer who has not `right`, or not over `role`."""
        account = self._step.account
        if not may(self._state.kind, self._role(account), right):
            raise forbidden(f"no right to {right.value}")
        if role > self._role(account):
            raise forbidden(f"no right to {right.value} above the own role")

    def _member(self, account: bytes) -> Member:
        member = self._members.get(account)
        if member is None:
            raise invalid("a change of an account that is no member")
        return member

    def _place(self, account: bytes, member: Member) -> None:
        self._members[account] = member
        own = rank(account, member)
        if self._ranks:
            heapq.heappush(self._ranks, own)
        if account == self._first:
            self._find_first()
        elif own < rank(self._first, self._members[self._first]):
            self._first = account

    def _take_out(self, account: bytes) -> None:
        del self._members[account]
        if account == self._first:
            self._find_first()

    def _find_first(self) -> None:
        """The first in order. A heap, as one entry may take out the first a thousand times."""
        if not self._ranks:
            self._ranks = [rank(*each) for each in self._members.items()]
            heapq.heapify(self._ranks)
        while not self._is_current(self._ranks[0]):
            heapq.heappop(self._ranks)
        self._first = self._ranks[0][-1]

    def _is_current(self, ranked: tuple[int, int, bytes]) -> bool:
        account = ranked[-1]
        member = self._members.get(account)
        return member is not None and rank(account, member) == ranked

    # --- The changes ---

    def _apply(self, change: Change) -> None:
        match change:
            case Added():
                self._require(Right.ADD, change.role)
                self._bring_in(change.account, change.role, change.key)
            case Removed():
                self._remove(change)
            case RoleSet():
                self._set_role(change)
            case Left():
                self._leave(change)
            case Named():
                self._require(Right.RENAME)
                self._name = change.commitment
            case JoinedByLink():
                raise invalid("who comes in by a link does nothing else")
            case _:
                self._open_or_close(change)

    def _open_or_close(
        self, change: LinkOpened | LinkClosed | ChannelOpened | ChannelClosed
    ) -> None:
        match change:
            case LinkOpened():
                self._open_link(change)
            case LinkClosed():
                self._require(Right.LINK)
                if self._links.pop(change.link_id, None) is None:
                    raise invalid("a link that is not open")
            case ChannelOpened():
                self._open_channel(change)
            case ChannelClosed():
                present = self._channels.pop(change.channel, None)
                if present is None:
                    raise invalid("a channel that is not open")
                self._require(Right.CHANNELS, present.min_role)
            case _:
                assert_never(change)

    def _bring_in(self, account: bytes, role: Role, key: bytes) -> None:
        if account in self._members:
            raise invalid("an account that is a member already")
        if len(self._members) >= MAX_ACCOUNTS:
            raise LimitError(Code.LIMIT_COUNT, f"more than {MAX_ACCOUNTS} accounts in a roster")
        self._barred.discard(account)
        self._place(account, Member(role, self._step.number, key))

    def _remove(self, change: Removed) -> None:
        self._member(change.account)
        if change.account == self._step.account:
            raise invalid("who goes leaves by a statement")
        self._require(Right.REMOVE, self._role(change.account))
        self._take_out(change.account)
        if self._links:
            self._barred.add(change.account)

    def _set_role(self, change: RoleSet) -> None:
        member = self._member(change.account)
        if member.role is change.role:
            raise invalid("a role that the account has already")
        self._require(Right.SET_ROLE, max(change.role, self._role(change.account)))
        self._place(change.account, replace(member, role=change.role))

    def _leave(self, change: Left) -> None:
        if self._state.kind in FIXED_KINDS:
            raise forbidden("nobody leaves a conversation of a fixed kind")
        member = self._member(change.account)
        if change.account == self._step.account:
            # MLS lets nobody take out its own leaf either (RFC 9420 §12.2).
            raise invalid("a leave is entered by somebody who stays")
        content = leave_content(self._state.roster_id, change.account, change.device, member.since)
        key = self._step.find_key(change.account, change.device)
        device_signature.verify(labels.LEAVE, content, change.device, key, change.signature)
        self._take_out(change.account)

    def _open_link(self, change: LinkOpened) -> None:
        self._require(Right.LINK, change.role)
        if change.role > HIGHEST_LINK_ROLE:
            raise forbidden("a link to a role that rules")
        if change.link_id != link_id_of(change.public_key) or change.link_id in self._links:
            raise invalid("the id of a link")
        _link_key(change.public_key)
        lifetime = change.expires_at - self._step.at
        if not (0 < lifetime <= MAX_LINK_LIFETIME_MS and 0 < change.uses <= MAX_ACCOUNTS):
            raise invalid("a link without a bound")
        if len(self._links) >= MAX_LINKS:
            raise LimitError(Code.LIMIT_COUNT, f"more than {MAX_LINKS} open links")
        self._links[change.link_id] = Link(
            change.public_key, change.role, change.uses, change.expires_at, self._step.account
        )

    def _open_channel(self, change: ChannelOpened) -> None:
        present = self._channels.get(change.channel)
        # Who may not read a channel must not open it to itself either.
        lowest = present.min_role if present else Role.MEMBER
        self._require(Right.CHANNELS, max(change.min_role, lowest))
        if change.channel == self._state.stream or (present and present.kind is not change.kind):
            raise invalid("a channel that is something else already")
        if present is None and len(self._channels) >= MAX_CHANNELS:
            raise LimitError(Code.LIMIT_COUNT, f"more than {MAX_CHANNELS} channels")
        self._channels[change.channel] = Channel(change.kind, change.min_role)
