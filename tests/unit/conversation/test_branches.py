"""Whether a roster leads to ours, on from it, or elsewhere."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from parlour.conversation.groups.branches import elsewhere, leads_elsewhere
from parlour.roster import Named, Roster
from tests.rosters import ANNA, found, step


def named(roster: Roster, *names: int) -> list[Roster]:
    """The roster after each of some renamings."""
    rosters = [roster]
    for name in names:
        rosters.append(step(rosters[-1], ANNA, Named(bytes([name]) * 32)))
    return rosters[1:]


def holding(rosters: list[Roster], remembered: int = 64) -> Any:
    """A group whose newest entries are these."""
    recent = [roster.head.encode() for roster in rosters][-remembered:]
    return SimpleNamespace(known_roster=lambda: rosters[-1], recent=recent)


BEGINNING = found()
OURS = named(BEGINNING, 1, 2, 3)
THEIRS = named(BEGINNING, 4, 5, 6, 7)


def test_what_was_followed_and_what_follows_lead_nowhere_else() -> None:
    chat = holding(OURS)
    (after,) = named(OURS[-1], 9)
    for roster in (BEGINNING, *OURS, after):
        assert not leads_elsewhere(chat, roster.head)


def test_what_is_beside_it_leads_elsewhere() -> None:
    chat = holding(OURS)
    for roster in THEIRS:
        assert leads_elsewhere(chat, roster.head)


def test_further_ahead_than_one_entry_nothing_is_known() -> None:
    assert not leads_elsewhere(holding(OURS), named(THEIRS[-1], 8)[-1].head)


def test_what_is_not_remembered_any_more_can_not_be_gone_on_from() -> None:
    assert leads_elsewhere(holding(OURS, remembered=1), OURS[0].head)
    assert not leads_elsewhere(holding(OURS, remembered=1), OURS[1].head)


def test_a_beginning_is_judged_by_the_entry_that_should_follow_on_ours() -> None:
    chat = holding(OURS)
    ours = [roster.head.encode() for roster in [*OURS, *named(OURS[-1], 9)]]
    theirs = [roster.head.encode() for roster in THEIRS]
    assert elsewhere(chat, []) is None
    assert elsewhere(chat, ours) is None
    assert elsewhere(chat, ours[:2]) is None
    assert elsewhere(chat, theirs) == THEIRS[-1].head
    assert elsewhere(chat, theirs[:2]) == THEIRS[1].head
    further = [roster.head.encode() for roster in named(THEIRS[-1], 8)]
    assert elsewhere(chat, further) is None, "the entries between are missing"
