"""What changed in a group while a device could not follow is told when it is back."""

from __future__ import annotations

import pytest

from parlour.conversation.changes import Namespace
from parlour.conversation.events import GroupChange, GroupChanged
from parlour.roster.roles import Role
from parlour.testing.device import MemoryDevice

from .parties import Party, lose_state
from .people import heard


def told(device: MemoryDevice) -> set[tuple[bytes, str, bytes, int]]:
    events = heard(device, GroupChanged)
    return {(each.by, each.change, each.account, each.role) for each in events}


def party_that_changes_without_carol() -> tuple[Party, set[tuple[bytes, str, bytes, int]]]:
    """Carol's device has lost the keys of the group, and misses all; what it is to be told."""
    party = Party("alice", "bob", "carol", "dave", "frank")
    alice, bob, carol, dave, frank = party.devices
    closed = party.link(alice)
    party.settle()
    lose_state(carol, party.group)
    carol.disconnect()
    carol.events.clear()
    party.outsider("eve")
    eve, machine = alice.meet("eve"), alice.machine
    frank_id, now = frank.machine.account_id, party.server.now
    machine.group_add(party.group, [eve], now)
    machine.group_remove(party.group, [dave.machine.account_id, frank_id], now)
    alice.settle()
    machine.group_add(party.group, [frank_id], now)
    machine.group_set_role(party.group, bob.machine.account_id, Role.ADMIN, now)
    machine.group_rename(party.group, "Others", now)
    machine.group_close_link(party.group, closed.link_id, now)
    alice.settle()
    party.link(alice)
    return party, {
        (b"", GroupChange.REMOVED, dave.machine.account_id, 0),
        (b"", GroupChange.REMOVED, frank_id, 0),
        (b"", GroupChange.ADDED, frank_id, 0),
        (b"", GroupChange.ADDED, eve, 0),
        (b"", GroupChange.ROLE, bob.machine.account_id, int(Role.ADMIN)),
        (b"", GroupChange.RENAMED, b"", 0),
        (b"", GroupChange.LINK_OPENED, b"", 0),
        (b"", GroupChange.LINK_CLOSED, b"", 0),
    }


@pytest.mark.parametrize("alone", [False, True], ids=["let in", "by its own commit"])
def test_who_finds_its_way_back_hears_what_has_changed(alone: bool) -> None:
    party, expected = party_that_changes_without_carol()
    alice, bob, carol, *_ = party.devices
    if alone:
        for device in party.devices:
            device.disconnect()
    carol.restart()
    carol.connect()
    for _ in range(60):
        carol.wait(5_000)
        if not alone:
            for device in (alice, bob, carol, alice):
                device.pull()
    assert party.view(carol).epoch == party.view(alice).epoch + alone
    named = {(alice.machine.account_id, GroupChange.RENAMED, b"", 0)}
    assert told(carol) - named == expected
    told_before = len(heard(carol, GroupChanged))
    party.reconnect(alice, bob)
    party.settle()
    assert len(heard(carol, GroupChanged)) - told_before <= alone


def test_who_has_lost_the_roster_too_hears_of_nothing_that_nobody_can_know() -> None:
    party, _ = party_that_changes_without_carol()
    carol = party.devices[2]
    del carol.store.records[Namespace.ROSTER][party.group]
    carol.restart()
    carol.connect()
    party.settle(20)
    party.check_together([party.devices[0], carol])
    assert not [each for each in heard(carol, GroupChanged) if not each.by]
