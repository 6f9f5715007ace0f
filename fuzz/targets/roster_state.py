"""States of rosters, as a joiner gets them from a server, and the genesis beside them."""

from __future__ import annotations

from typing import Final

from fuzz.targets.roster_entry import _ROSTER
from parlour.errors import ParlourError
from parlour.roster import Genesis, Roster, RosterState
from tests.rosters import ANNA, find_key

_HEAD: Final = _ROSTER.head.encode()

SEEDS: Final = [_ROSTER.state.encode(), _ROSTER.genesis.encode()]


def target(data: bytes) -> None:
    _genesis(data)
    try:
        state = RosterState.decode(data)
    except ParlourError:
        return
    assert state.encode() == data
    assert state.ordered()[0] == state.first
    try:
        taken = Roster.of_state(_ROSTER.genesis, data, _HEAD, find_key)
    except ParlourError:
        return
    assert taken == _ROSTER


def _genesis(data: bytes) -> None:
    try:
        genesis = Genesis.decode(data)
    except ParlourError:
        return
    assert genesis.encode() == data
    try:
        genesis.verify(ANNA.key.public_key)
    except ParlourError:
        return
    assert genesis == _ROSTER.genesis
