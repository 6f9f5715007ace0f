"""Groups, from their founding to the last who leaves, with an honest server."""

from __future__ import annotations

from dataclasses import replace as replaced

import pytest
from msgspec import Struct

from parlour.conversation.content import Text
from parlour.conversation.events import (
    GroupChange,
    GroupChanged,
    GroupJoined,
    GroupLeft,
    GroupRefused,
)
from parlour.conversation.groups.records import Acceptance, GroupState
from parlour.errors import Code, ParlourError, TransportError
from parlour.identity.device_list import next_entry
from parlour.roster.genesis import Kind
from parlour.roster.roles import Role
from parlour.testing.device import Killed, MemoryDevice
from parlour.wire.groups import GroupState as GroupPublicState
from parlour.wire.push import PushStream
from tests.scenario.parties import Party
from tests.scenario.people import heard


def test_founded_named_and_spoken_in() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    party.check_together()
    assert {party.view(device).name for device in party.devices} == {"Friends"}
    for device in party.devices:
        assert device.machine.has_group(party.group)
        assert device.machine.group(party.group) == party.view(device)
    assert not alice.machine.has_group(party.ids[0])
    party.say(alice, "hi")
    party.say(bob, "hello")
    party.settle()
    assert carol.texts() == ["hi", "hello"]
    assert bob.texts() == ["hi"]
    assert alice.texts() == ["hello"]
    assert alice.machine.waiting == 0


@pytest.mark.parametrize("kind", [Kind.GROUP, Kind.FAMILY, Kind.CHANNEL])
def test_kinds(kind: Kind) -> None:
    party = Party("alice", "bob", kind=kind)
    party.check_together()
    assert party.view(party.devices[1]).genesis.kind is kind


def test_x_wing_where_all_devices_can() -> None:
    party = Party("alice", "bob", suite=None)
    assert party.view(party.devices[0]).genesis.suite == 0xF001
    party.check_together()


def test_no_x_wing_where_a_device_can_not() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    account = party.server.accounts[bob.machine.account_id]
    (device,) = account.state.devices
    old = (replaced(device, has_kem=False),)
    now = party.server.now
    account.entries.append(next_entry(account.state, bob.account_key, old, now // 1000).encode())
    party.reconnect(alice)
    group = alice.machine.create_group(Kind.GROUP, "Old", party.ids, now)
    assert alice.machine.group(group).genesis.suite == 1


def test_two_change_at_once_and_nobody_sees_a_lost_race() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, _ = party.devices
    alice.machine.group_set_role(party.group, party.ids[0], Role.ADMIN, party.server.now)
    alice.settle()
    party.settle()
    alice.machine.group_rename(party.group, "by alice", party.server.now)
    bob.machine.group_rename(party.group, "by bob", party.server.now)
    # Both have made their commit before either has reached the server.
    requests = [(d, d.machine.outgoing(party.server.now)) for d in (alice, bob)]
    for device, asked in requests:
        device._write()
        for request in asked:
            device._answer(request)
            device._write()
    party.settle(6)
    party.check_together()
    assert bob.machine.counters["commit.lost"] == 1
    assert {party.view(device).name for device in party.devices} == {"by bob"}
    assert not any(heard(device, GroupRefused) for device in party.devices)


def test_a_second_device_is_added_by_the_first() -> None:
    party = Party("alice", "bob")
    _, bob = party.devices
    tablet = party.add_device("bob", beside=bob)
    party.settle()
    party.check_together()
    assert party.view(bob).leaves == 3
    party.say(party.devices[0], "to both")
    party.settle()
    assert tablet.texts() == bob.texts() == ["to both"]
    party.say(tablet, "from the tablet")
    party.settle()
    assert bob.texts() == ["to both", "from the tablet"]


def test_a_second_device_is_added_by_others_when_the_first_is_away() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    tablet = MemoryDevice(party.server, "bob", seed="tablet", beside=bob, linked=True)
    bob.disconnect()
    party.devices.append(tablet)
    tablet.connect()
    party.reconnect(alice, carol)
    party.settle(8)
    party.check_together()
    assert party.view(alice).leaves == 4


def test_a_removed_device_is_removed_once_by_whoever_is_there() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    tablet = party.add_device("bob", beside=bob)
    party.settle()
    epoch = party.view(alice).epoch
    bob.disconnect()
    bob.remove(tablet)
    party.devices.remove(tablet)
    party.reconnect(alice, carol)
    party.settle(8)
    party.check_together([alice, carol])
    assert (party.view(alice).epoch, party.view(alice).leaves) == (epoch + 1, 3)
    bob.connect()
    party.settle()
    party.check_together()
    assert party.view(alice).epoch == epoch + 1


def test_nothing_is_said_before_a_removed_device_is_gone() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    tablet = party.add_device("bob", beside=bob)
    party.settle()
    bob.remove(tablet)
    party.devices.remove(tablet)
    tablet.disconnect()
    party.reconnect(alice)
    # Who wants to speak acts at once, whoever's turn it is.
    party.say(alice, "without the thief")
    assert party.view(alice).leaves == 2
    party.settle()
    assert bob.texts() == ["without the thief"]
    assert alice.machine.waiting == 0


def test_who_is_put_out_reads_nothing_more() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    alice.machine.group_remove(party.group, [party.ids[1]], party.server.now)
    alice.settle()
    party.settle()
    assert party.view(carol).state is GroupState.LEFT
    assert [event.by for event in heard(carol, GroupLeft)] == [alice.machine.account_id]
    party.say(alice, "carol is gone")
    party.settle()
    assert bob.texts() == ["carol is gone"]
    assert carol.texts() == []
    with pytest.raises(ParlourError) as caught:
        carol.machine.send_to(party.group, Text("still here"), party.server.now)
    assert caught.value.code is Code.GROUP_OVER


def test_who_was_put_out_may_be_asked_back() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    alice.machine.group_remove(party.group, party.ids, party.server.now)
    alice.settle()
    party.settle()
    alice.machine.group_add(party.group, party.ids, party.server.now)
    alice.settle()
    party.settle()
    assert party.view(bob).acceptance is Acceptance.INVITED
    bob.machine.accept_group(party.group, party.server.now)
    party.say(alice, "welcome back")
    party.settle()
    assert bob.texts() == ["welcome back"]
    party.check_together()


def test_leaving() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    bob.machine.group_leave(party.group, party.server.now)
    bob.settle()
    party.settle()
    assert party.view(bob).state is GroupState.LEFT
    party.check_together([alice, carol])
    left = [e.account for e in heard(alice, GroupChanged) if e.change is GroupChange.LEFT]
    assert left == [bob.machine.account_id]
    # The founder goes, too: whoever is first then may do everything.
    alice.machine.group_leave(party.group, party.server.now)
    alice.settle()
    party.settle()
    assert party.view(carol).role is Role.OWNER
    carol.machine.group_leave(party.group, party.server.now)
    carol.settle()
    assert party.view(carol).state is GroupState.LEFT


def test_both_of_two_leave_at_once() -> None:
    party = Party("alice", "bob")
    for device in party.devices:
        device.machine.group_leave(party.group, party.server.now)
    for device in party.devices:
        device.settle()
    party.settle(30)
    assert GroupState.LEFT in {party.view(device).state for device in party.devices}


def test_a_member_who_was_away() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    carol.disconnect()
    for n in range(6):
        party.say(alice, f"before {n}")
        alice.machine.group_refresh(party.group, party.server.now)
        alice.settle()
        party.settle(2)
    party.say(bob, "the last")
    carol.connect()
    party.settle()
    party.check_together()
    assert carol.texts() == [*(f"before {n}" for n in range(6)), "the last"]


def test_what_waits_is_said_in_the_epoch_that_is_then() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    bob.disconnect()
    bob.machine.send_to(party.group, Text("from the train"), party.server.now)
    bob.settle()
    alice.machine.group_remove(party.group, [party.ids[1]], party.server.now)
    alice.settle()
    party.settle()
    bob.connect()
    party.settle()
    assert alice.texts() == ["from the train"]
    assert carol.texts() == []


def test_a_stranger_adds_me_and_i_decide() -> None:
    server_party = Party("alice", "bob")
    alice, bob = server_party.devices
    dave = server_party.outsider("dave")
    server_party.devices.append(dave)
    alice.machine.group_add(server_party.group, [alice.meet("dave")], server_party.server.now)
    alice.settle()
    server_party.settle()
    server_party.say(alice, "hello dave")
    server_party.settle()
    assert [event.invited for event in heard(dave, GroupJoined)] == [True]
    assert dave.texts() == []
    dave.machine.accept_group(server_party.group, server_party.server.now)
    dave.settle()
    assert dave.texts() == ["hello dave"]
    bob.machine.decline_group(server_party.group, server_party.server.now)
    bob.settle()
    server_party.settle()
    assert server_party.view(bob).state is GroupState.LEFT


def test_a_link() -> None:
    party = Party("alice", "bob")
    alice, _ = party.devices
    dave = party.outsider("dave")
    link = party.link(alice)
    assert [each.uses for each in party.view(alice).links] == [1]
    assert dave.machine.join_by_link(link, party.server.now) == party.group
    dave.settle()
    party.devices.append(dave)
    party.settle()
    assert party.view(dave).acceptance is Acceptance.ACCEPTED
    party.check_together()
    assert party.view(alice).links == ()
    party.say(dave, "by the link")
    party.settle()
    assert alice.texts() == ["by the link"]
    erin = party.outsider("erin")
    erin.machine.join_by_link(link, party.server.now)
    erin.settle()
    assert [event.want for event in heard(erin, GroupRefused)] == ["join"]


@pytest.mark.parametrize("step", ["before write", "after write", "before request", "after request"])
@pytest.mark.parametrize("nth", range(1, 9))
def test_killed_at_any_step_of_a_commit(step: str, nth: int) -> None:
    party = Party("alice", "bob", "carol")
    alice = party.devices[0]
    count = 0
    is_written = False

    def kill(at: str) -> None:
        nonlocal count, is_written
        is_written |= at == "after write"
        count += at == step
        if at == step and count == nth:
            raise Killed

    alice.machine.group_rename(party.group, "renamed", party.server.now)
    alice.fault = kill
    try:
        alice.settle()
        party.settle(2)
    except Killed:
        pass
    alice.fault = lambda at: None
    alice.restart()
    if not is_written:
        # Only then did the person see no answer. Whatever was written is done without them.
        alice.machine.group_rename(party.group, "renamed", party.server.now)
    alice.connect()
    party.settle(6)
    party.check_together()
    assert {party.view(device).name for device in party.devices} == {"renamed"}
    party.say(alice, "well")
    party.settle()
    assert party.devices[1].texts() == ["well"]


@pytest.mark.parametrize("what", ["before request", "after request"])
@pytest.mark.parametrize("nth", range(1, 5))
def test_requests_and_answers_that_are_lost(what: str, nth: int) -> None:
    party = Party("alice", "bob", "carol")
    alice = party.devices[0]
    count = 0

    def lose(at: str) -> None:
        nonlocal count
        count += at == what
        if at == what and count == nth:
            raise TransportError(Code.NETWORK_CLOSED)

    alice.fault = lose
    alice.machine.group_remove(party.group, [party.ids[1]], party.server.now)
    party.say(alice, "now")
    party.settle(4)
    alice.fault = lambda at: None
    party.reconnect(alice)
    party.settle(6)
    party.check_together(party.devices[:2])
    assert party.devices[1].texts() == ["now"]


def test_declined_before_it_was_joined() -> None:
    party = Party("alice", "bob")
    alice, _ = party.devices
    dave = party.outsider("dave")
    alice.machine.group_add(party.group, [alice.meet("dave")], party.server.now)
    alice.settle()
    party.server.answer = _no_public_state
    dave.pull()
    assert party.view(dave).state is GroupState.JOINING
    dave.machine.decline_group(party.group, party.server.now)
    dave.settle()
    party.server.answer = lambda device_id, kind, body, answer: answer
    party.devices.append(dave)
    party.reconnect(dave)
    party.settle(8)
    assert party.view(dave).state is GroupState.LEFT
    assert party.view(alice).leaves == 2


def _no_public_state(device_id: bytes, kind: object, body: object, answer: Struct) -> Struct:
    if isinstance(answer, GroupPublicState):
        raise TransportError(Code.NETWORK_TIMEOUT)
    return answer


def test_a_server_does_not_bring_us_back_into_a_group_that_we_left() -> None:
    party = Party("alice", "bob", "carol")
    bob = party.devices[1]
    bob.machine.group_leave(party.group, party.server.now)
    bob.settle()
    party.settle()
    bob.machine.pushed(PushStream(party.server.streams[party.group].info), party.server.now)
    bob.settle()
    party.settle(60)
    assert party.view(bob).state is GroupState.LEFT
    party.check_together([party.devices[0], party.devices[2]])
