"""What of one roster holds in another one that has gone another way since.

Two branches of a roster are both signed by those who might, and neither follows on the other: a
server was put back to a backup, or shows two histories. Whoever puts them together can't tell what
was decided later. So what either side has taken away stays away; what one side alone has given is
to be given anew.
"""

from __future__ import annotations

from parlour.roster.changes import (
    Change,
    ChannelClosed,
    ChannelOpened,
    LinkClosed,
    Named,
    Removed,
    RoleSet,
)
from parlour.roster.state import RosterState


def carried_over(known: RosterState, shown: RosterState) -> list[Change]:
    """What makes of the roster of a branch one in which nobody has more than by the known one.

    Links are closed, all of them: who may not come in by them is noted on one side only.
    """
    changes: list[Change] = [
        Removed(account) for account in shown.members if account not in known.members
    ]
    changes += [LinkClosed(link_id) for link_id in shown.links]
    for channel, there in shown.channels.items():
        here = known.channels.get(channel)
        if here is None:
            changes.append(ChannelClosed(channel))
        elif there.min_role < here.min_role:
            changes.append(ChannelOpened(channel, there.kind, here.min_role))
    if known.name_commitment is not None:
        changes.append(Named(known.name_commitment))
    # Last, as who makes the entry may have a lower role by it.
    changes += [
        RoleSet(account, known.members[account].role)
        for account, member in shown.members.items()
        if account in known.members and known.members[account].role < member.role
    ]
    return changes
