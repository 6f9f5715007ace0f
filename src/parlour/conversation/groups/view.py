"""A group as programs see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from parlour.conversation.groups.chat import Chat
from parlour.conversation.groups.records import Acceptance, GroupState, Want
from parlour.conversation.policies import max_leaves
from parlour.roster.genesis import Genesis
from parlour.roster.roles import Role


@dataclass(frozen=True, slots=True)
class MemberView:
    """Somebody in a group: `devices` is how many have a leaf, `since` the entry that added them."""

    account_id: bytes
    role: Role
    devices: int
    since: int


@dataclass(frozen=True, slots=True)
class LinkView:
    """A link by which somebody may come in."""

    link_id: bytes
    role: Role
    uses: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class GroupView:
    """A group: what it is, who is in it, and where this device stands.

    It has `leaves` devices in it, and room for `max_leaves`; that stays, as its suite does.
    """

    id: bytes
    name: str = field(repr=False)
    genesis: Genesis
    state: GroupState
    acceptance: Acceptance
    generation: int
    epoch: int
    members: tuple[MemberView, ...]
    links: tuple[LinkView, ...]
    role: Role | None
    leaves: int
    unconfirmed: bool
    wanted: tuple[Want, ...]
    trouble: str = ""

    @property
    def max_leaves(self) -> int:
        """How many devices can be in it, by its suite."""
        return max_leaves(self.genesis.suite)

    @property
    def is_over(self) -> bool:
        """Whether we are not in it any more, or have said that we go."""
        return _is_over(self.state, self.acceptance)


class GroupName(NamedTuple):
    """What a group is called, and whether we are not in it any more."""

    name: str
    is_over: bool

    def __repr__(self) -> str:
        return f"GroupName(is_over={self.is_over})"


def name_of(chat: Chat) -> GroupName:
    """What is told of a group without a look at its members."""
    record = chat.record
    return GroupName(record.name, _is_over(record.state, record.acceptance))


def _is_over(state: GroupState, acceptance: Acceptance) -> bool:
    return state is GroupState.LEFT or acceptance is Acceptance.DECLINED


def view_of(chat: Chat, own: bytes, wanted: tuple[Want, ...]) -> GroupView:
    """What a program is told of a group."""
    record, roster = chat.record, chat.roster
    devices: dict[bytes, int] = {}
    for owner in chat.devices():
        devices[owner.account_id] = devices.get(owner.account_id, 0) + 1
    members: tuple[MemberView, ...] = ()
    links: tuple[LinkView, ...] = ()
    role = None
    if roster is not None:
        state = roster.state
        role = state.effective_role(own)
        members = tuple(
            MemberView(
                account,
                state.effective_role(account) or Role.MEMBER,
                devices.get(account, 0),
                chat.since.get(account, 0),
            )
            for account in state.ordered()
        )
        links = tuple(
            LinkView(link_id, link.role, link.uses, link.expires_at)
            for link_id, link in state.links.items()
        )
    return GroupView(
        id=chat.id,
        name=record.name,
        genesis=chat.genesis,
        state=record.state,
        acceptance=record.acceptance,
        generation=record.generation,
        epoch=chat.epoch,
        members=members,
        links=links,
        role=role,
        leaves=sum(devices.values()),
        unconfirmed=record.unconfirmed,
        wanted=wanted,
        trouble="" if record.trouble is None else record.trouble.reason,
    )
