"""What a commit did to devices of accounts that stay.

Everybody is told: a server, or a member, could do much of it without a word otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator

from parlour.conversation.events import DeviceChange, GroupDevice
from parlour.conversation.groups.chat import Chat
from parlour.conversation.groups.credentials import owner_of
from parlour.conversation.groups.lists import Lists
from parlour.mls.public.changes import Changes
from parlour.roster.roster import Roster
from parlour.wire.streams import Entry


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
