"""A server's roster that does not lead to ours, nor on from it; and what of ours holds in it.

After its data was put back to a backup, a server may go on by somebody who has not seen what was
lost, while we followed that. Both rosters were signed by those who might, and neither follows on
the other. A server that shows an old history would like to bring back whom we put out in just this
way, so nobody goes over to its branch by themselves. An admin whom both branches know begins the
group again on the server's branch, with what the other one had decided carried over
(`roster.carrying`): nobody is in it, or has a higher role, whom the admin did not know so. So a
branch that was made up gives nothing to who made it. Those who were brought in since, on either
branch, are invited anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from parlour.conversation.groups.chat import Chat
from parlour.conversation.groups.records import Trouble
from parlour.primitives.hashes import equal
from parlour.roster.entry import RosterEntry
from parlour.roster.roles import FIXED_KINDS, Right
from parlour.roster.state import RosterState
from parlour.wire.groups import GroupState as PublicState

BRANCH: Final = "branch"
"""Why a group begins again: the server's roster leads another way than ours."""


@dataclass(frozen=True, slots=True)
class Branch:
    """What a server shows of a group on its branch, not verified but for its form."""

    shown: PublicState
    state: RosterState

    @classmethod
    def of(cls, chat: Chat, shown: PublicState) -> Branch | None:
        """The branch that a server shows, if it is one. Raises what a wrong form raises."""
        head = RosterEntry.decode(shown.roster_head)
        if chat.genesis.kind in FIXED_KINDS or chat.roster is None:
            return None
        went_over = chat.record.roster_head != chat.roster.head_hash
        if not went_over and not leads_elsewhere(chat, head):
            return None
        return cls(shown, RosterState.decode(shown.roster_state))


def branch_of(chat: Chat, trouble: Trouble) -> Branch | None:
    """The branch that a trouble is about; one that was seen earlier counts no more."""
    return chat.branch if trouble.reason == BRANCH else None


def leads_elsewhere(chat: Chat, head: RosterEntry) -> bool:
    """Whether the newest entry of a roster neither follows on ours, nor was followed by it.

    What is further ahead than one entry can't be told by its head alone, and counts as following.
    """
    known = chat.known_roster()
    if head.number > known.number:
        return head.number == known.number + 1 and not equal(head.previous, known.head_hash)
    if head.number == known.number:
        return not equal(head.hash(), known.head_hash)
    remembered = map(RosterEntry.decode, chat.recent)
    after = next((each for each in remembered if each.number == head.number + 1), None)
    return after is None or not equal(after.previous, head.hash())


def rules(state: RosterState, account: bytes) -> bool:
    """Whether an account is an admin: who may carry over what the other branch had decided."""
    return state.may(account, Right.SET_ROLE)


def elsewhere(chat: Chat, entries: Sequence[bytes]) -> RosterEntry | None:
    """The last entry with which a group begins again, if it leads another way than ours."""
    if not entries:
        return None
    decoded = list(map(RosterEntry.decode, entries))
    next_number = chat.known_roster().number + 1
    first = next((each for each in decoded if each.number >= next_number), decoded[-1])
    return decoded[-1] if leads_elsewhere(chat, first) else None
