"""What became of a group, as events.

Everybody is told: a server, or a member, could do much of it without a word otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator

from parlour.conversation.events import DeviceChange, GroupChange, GroupChanged, GroupDevice
from parlour.conversation.groups.chat import Chat
from parlour.conversation.groups.credentials import owner_of
from parlour.conversation.groups.lists import Lists
from parlour.mls.public.changes import Changes
from parlour.roster.changes import (
    Added,
    Change,
    JoinedByLink,
    Left,
    LinkClosed,
    LinkOpened,
    Named,
    Removed,
    RoleSet,
)
from parlour.roster.roster import Roster
from parlour.roster.state import RosterState
from parlour.wire.streams import Entry


def change_event(group: bytes, by: bytes, change: Change) -> GroupChanged | None:
    """The event of one change in an entry of the roster that `by` has signed."""
    match change:
        case Added(account=account):
            return GroupChanged(group, by, GroupChange.ADDED, account)
        case Removed(account=account):
            return GroupChanged(group, by, GroupChange.REMOVED, account)
        case Left(account=account):
            return GroupChanged(group, account, GroupChange.LEFT, account)
        case JoinedByLink(account=account):
            return GroupChanged(group, by, GroupChange.JOINED_BY_LINK, account)
        case RoleSet(account=account, role=role):
            return GroupChanged(group, by, GroupChange.ROLE, account, role=int(role))
        case Named():
            return GroupChanged(group, by, GroupChange.RENAMED, b"")
        case LinkOpened():
            return GroupChanged(group, by, GroupChange.LINK_OPENED, b"")
        case LinkClosed():
            return GroupChanged(group, by, GroupChange.LINK_CLOSED, b"")
        case _:
            return None


def difference_events(
    group: bytes, before: RosterState, after: RosterState
) -> Iterator[GroupChanged]:
    """What changed while this device could not follow, by two rosters; nobody knows who did it.

    Who went and came again is told of as both.
    """
    went, came = before.differing(after), after.differing(before)
    for account in sorted(went):
        yield GroupChanged(group, b"", GroupChange.REMOVED, account)
    for account in sorted(came):
        yield GroupChanged(group, b"", GroupChange.ADDED, account)
    for account in sorted(after.members.keys() - came):
        role = after.members[account].role
        if role is not before.members[account].role:
            yield GroupChanged(group, b"", GroupChange.ROLE, account, role=int(role))
    if after.name_commitment != before.name_commitment:
        yield GroupChanged(group, b"", GroupChange.RENAMED, b"")
    for _ in after.links.keys() - before.links.keys():
        yield GroupChanged(group, b"", GroupChange.LINK_OPENED, b"")
    for _ in before.links.keys() - after.links.keys():
        yield GroupChanged(group, b"", GroupChange.LINK_CLOSED, b"")


def device_events(
    chat: Chat, changes: Changes, entry: Entry, roster: Roster, lists: Lists, *, by_link: bool
) -> Iterator[GroupDevice]:
    """The events of a commit that was allowed and is about to be merged.

    `roster` is that after it; `by_link` when it brought somebody in by a link, which is told of as
    a change of the roster. A device that has left its list goes without a word: that it left is
    told with the list.
    """
    by, committer = entry.sender_account, entry.sender_device
    if changes.committer is None and not by_link:
        yield GroupDevice(chat.id, by, DeviceChange.RETURNED, by, committer)
    added = {owner_of(package.leaf_node).device_id for _, package in changes.added}
    for index in changes.removed:
        owner = chat.owners[index]
        if owner.device_id == committer or owner.account_id not in roster.state.members:
            continue
        if owner.device_id in added:
            change = DeviceChange.READDED
        elif lists.is_listed(owner, roster.state):
            change = DeviceChange.EXPIRED
        else:
            continue
        yield GroupDevice(chat.id, by, change, owner.account_id, owner.device_id)
