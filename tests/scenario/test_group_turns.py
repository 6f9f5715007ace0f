"""What anybody could do is done by one, and once."""

from __future__ import annotations

from parlour.roster.genesis import Kind
from parlour.testing.device import MemoryDevice
from parlour.wire.envelope import SuiteId
from tests.scenario.parties import Party, chat_of


def committers(party: Party, group: bytes, after: int = 0) -> list[bytes]:
    """Which devices have committed, in order."""
    return [
        stored.entry.sender_device
        for stored in party.server.streams[group].entries[after:]
        if stored.entry.envelope.suite == SuiteId.MLS_COMMIT
    ]


def link_and_wait(party: Party, *absent: MemoryDevice) -> list[bytes]:
    """Bob links a tablet while somebody is away; who has committed then?"""
    alice, bob, carol = party.devices
    before = len(party.server.streams[party.group].entries)
    tablet = MemoryDevice(party.server, "bob", seed="tablet", beside=bob, linked=True)
    party.devices.append(tablet)
    for device in absent:
        device.disconnect()
    # It is online, and has key packages, before the others hear of it.
    party.reconnect(*[each for each in (tablet, alice, bob, carol) if each not in absent])
    party.settle(8)
    assert chat_of(tablet, party).is_active
    return committers(party, party.group, before)


def test_a_device_is_added_by_another_one_of_its_account() -> None:
    party = Party("alice", "bob", "carol")
    bob = party.devices[1]
    assert link_and_wait(party) == [bob.machine.device_id]


def test_else_by_the_lowest_leaf() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, _ = party.devices
    assert chat_of(alice, party).rank(of=alice.machine.device_id) == 0
    assert link_and_wait(party, bob) == [alice.machine.device_id]


def test_else_by_the_next_one_who_is_there() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    assert link_and_wait(party, alice, bob) == [carol.machine.device_id]


def test_a_removed_device_is_removed_in_all_of_its_groups_once_each() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, _ = party.devices
    tablet = party.add_device("bob", beside=bob)
    groups = [party.group]
    for founder, others in ((alice, ["bob"]), (bob, ["alice", "carol"])):
        ids = [founder.meet(name) for name in others]
        made = founder.machine.create_group(Kind.GROUP, "More", ids, party.server.now, suite=1)
        founder.settle()
        groups.append(made)
    party.settle(6)
    assert all(tablet.machine.groups[group].leaves >= 3 for group in groups)
    before = {group: len(party.server.streams[group].entries) for group in groups}
    leaves = {group: alice.machine.groups[group].leaves for group in groups}
    tablet.disconnect()
    bob.remove(tablet)
    party.devices.remove(tablet)
    party.reconnect()
    party.settle(10)
    for group in groups:
        assert len(committers(party, group, before[group])) == 1
        assert alice.machine.groups[group].leaves == leaves[group] - 1
