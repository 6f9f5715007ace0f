"""What holds of one roster in another branch of it; the property tests try all of it at random."""

from __future__ import annotations

from parlour.roster import (
    ChannelClosed,
    ChannelKind,
    ChannelOpened,
    Kind,
    LinkClosed,
    Named,
    Removed,
    Role,
    RoleSet,
)
from parlour.roster.carrying import carried_over
from parlour.roster.links import JoinLink, LinkSecret
from tests.rosters import ANNA, BEA, CARL, NOW, STREAM, added, entry_of, find_key, found, step

HALL, ATTIC = b"h" * 16, b"a" * 16
LINK = JoinLink("chat.example", None, STREAM, bytes(32), LinkSecret(bytes(16)))


def test_whatever_either_side_has_taken_away_stays_away() -> None:
    common = found(Kind.CHANNEL, added(BEA, Role.ADMIN), added(CARL, Role.MEMBER))
    common = step(common, ANNA, ChannelOpened(HALL, ChannelKind.TEXT, Role.MEMBER))
    known = step(
        common,
        ANNA,
        Removed(CARL.account),
        RoleSet(BEA.account, Role.MODERATOR),
        ChannelOpened(HALL, ChannelKind.TEXT, Role.ADMIN),
        Named(b"k" * 32),
    )
    shown = step(
        common,
        ANNA,
        Named(b"s" * 32),
        ChannelOpened(ATTIC, ChannelKind.VOICE, Role.MEMBER),
        LINK.opened(role=Role.MEMBER, uses=1, expires_at=NOW + 500),
    )
    changes = carried_over(known.state, shown.state)
    assert changes == [
        Removed(CARL.account),
        LinkClosed(LINK.link_id),
        ChannelOpened(HALL, ChannelKind.TEXT, Role.ADMIN),
        ChannelClosed(ATTIC),
        Named(b"k" * 32),
        RoleSet(BEA.account, Role.MODERATOR),
    ]
    after = shown.extend(entry_of(shown, ANNA, *changes), find_key).state
    assert set(after.members) == {ANNA.account, BEA.account}
    assert set(after.channels) == {HALL}


def test_where_nothing_was_taken_away_the_name_alone_is_carried_over() -> None:
    common = found(Kind.GROUP, added(BEA))
    assert carried_over(common.state, common.state) == []
    named = step(common, ANNA, Named(b"k" * 32))
    assert carried_over(named.state, common.state) == [Named(b"k" * 32)]
    open_hall = step(found(Kind.CHANNEL), ANNA, ChannelOpened(HALL, ChannelKind.TEXT, Role.MEMBER))
    assert carried_over(open_hall.state, open_hall.state) == []
