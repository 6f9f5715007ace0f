"""Entries of rosters: what decodes is encoded to the same bytes; nothing forged is taken."""

from __future__ import annotations

from typing import Final

from parlour.errors import ParlourError
from parlour.roster import (
    ChannelKind,
    ChannelOpened,
    Kind,
    LinkClosed,
    Named,
    Removed,
    Role,
    RoleSet,
    Roster,
    encode_change,
)
from parlour.roster.changes import decode_change
from parlour.roster.entry import RosterEntry
from parlour.roster.links import JoinLink, LinkSecret
from tests.rosters import (
    ANNA,
    BEA,
    CARL,
    DORA,
    NOW,
    ROSTER_ID,
    STREAM,
    added,
    entry_of,
    find_key,
    found,
    leave,
    step,
)

_LINK: Final = JoinLink("chat.example", None, STREAM, bytes(32), LinkSecret(bytes(16)))
_OPENED: Final = _LINK.opened(role=Role.MEMBER, uses=3, expires_at=NOW + 1_000)
_BEGUN: Final = found(Kind.CHANNEL, added(BEA, Role.ADMIN), added(CARL), _OPENED)
_ROSTER: Final = step(_BEGUN, ANNA, Named(bytes(32)))
_HONEST: Final = (
    entry_of(_ROSTER, BEA, RoleSet(CARL.account, Role.MODERATOR), Removed(CARL.account)),
    entry_of(_ROSTER, ANNA, leave(_ROSTER, BEA), LinkClosed(_LINK.link_id)),
    entry_of(_ROSTER, ANNA, ChannelOpened(bytes(16), ChannelKind.TEXT, Role.ADMIN)),
    entry_of(
        _ROSTER, DORA, _LINK.sign_join(ROSTER_ID, DORA.account, DORA.device, DORA.account_key)
    ),
    entry_of(_ROSTER, ANNA, added(DORA, key=DORA.account_key)),
)

SEEDS: Final = [
    *(entry.encode() for entry in (_BEGUN.head, *_HONEST)),
    *(encode_change(change) for entry in _HONEST for change in entry.changes),
]


def target(data: bytes) -> None:
    try:
        change = decode_change(data)
    except ParlourError:
        pass
    else:
        assert encode_change(change) == data
    try:
        entry = RosterEntry.decode(data)
    except ParlourError:
        return
    assert entry.encode() == data
    assert len(entry.hash()) == 32
    try:
        Roster.found(_BEGUN.genesis, entry, find_key)
    except ParlourError:
        pass
    else:
        assert entry == _BEGUN.head
    try:
        _ROSTER.extend(entry, find_key)
    except ParlourError:
        return
    assert entry in _HONEST
