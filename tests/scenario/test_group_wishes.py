"""What is wanted of groups: what is refused, at once or later, and how far the rest has come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from parlour.conversation.content import DetailsWanted
from parlour.conversation.events import GroupRefused
from parlour.conversation.groups.records import GroupState, Want
from parlour.conversation.groups.wishes import Wishes
from parlour.conversation.machine import Machine
from parlour.conversation.sync import MAX_GROUP_NAME
from parlour.errors import Code, ParlourError
from parlour.mls.public.proposals import Remove
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.roster.changes import encode_change, leave_statement
from parlour.roster.genesis import Kind as GroupKind
from parlour.roster.roles import Role
from parlour.testing.device import MemoryDevice
from parlour.wire import groups as wire
from parlour.wire.kinds import Kind
from tests.scenario.parties import Party, chat_of
from tests.scenario.people import heard
from tests.scenario.test_group_answers import Refusing, always
from tests.scenario.test_group_hostile import check_goes_on, made_by, put, refusals

STRANGER = b"stranger" * 2


def refusal(act: Callable[[], object]) -> Code:
    with pytest.raises(ParlourError) as caught:
        act()
    return caught.value.code


def refused(device: MemoryDevice) -> list[tuple[str, Code]]:
    return [(event.want, event.reason) for event in heard(device, GroupRefused)]


def test_what_can_not_be_wanted_is_said_at_once() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    group, now, machine = party.group, party.server.now, alice.machine
    own, hers = machine.account_id, carol.machine.account_id
    no_member, forbidden = Code.GROUP_NO_MEMBER, Code.ROSTER_FORBIDDEN
    assert refusal(lambda: machine.group_add(group, [STRANGER], now)) is Code.ACCOUNT_UNKNOWN
    assert refusal(lambda: machine.group_remove(group, [own], now)) is Code.USAGE_INVALID
    assert refusal(lambda: machine.group_remove(group, [STRANGER], now)) is no_member
    assert refusal(lambda: machine.group_set_role(group, STRANGER, Role.ADMIN, now)) is no_member
    assert refusal(lambda: machine.group_refresh(STRANGER, now)) is Code.GROUP_UNKNOWN
    for name in ("", " ", "two\nlines", "x" * (MAX_GROUP_NAME + 1), "\U0001f642" * MAX_GROUP_NAME):
        act = partial(machine.group_rename, group, name, now)
        assert refusal(act) is Code.USAGE_INVALID
    assert refusal(lambda: machine.send_to(group, DetailsWanted(), now)) is Code.USAGE_INVALID
    machine.group_set_role(group, party.ids[0], Role.ADMIN, now)
    alice.settle()
    party.settle(2)
    admin = bob.machine
    assert refusal(lambda: admin.group_remove(group, [own], now)) is forbidden
    assert refusal(lambda: admin.group_set_role(group, own, Role.MEMBER, now)) is forbidden
    member = carol.machine
    assert refusal(lambda: member.group_remove(group, party.ids[:1], now)) is forbidden
    assert refusal(lambda: member.group_set_role(group, hers, Role.OWNER, now)) is forbidden
    assert machine._memory.groups.intents == {}


def test_whom_somebody_has_blocked_they_do_not_bring_in() -> None:
    party = Party("alice", "bob")
    alice, _ = party.devices
    party.outsider("dave")
    account, now = alice.meet("dave"), party.server.now
    alice.machine.block(account, now)
    alice._write()
    blocked = Code.CONTACT_BLOCKED
    assert refusal(lambda: alice.machine.group_add(party.group, [account], now)) is blocked
    create: Callable[..., bytes] = alice.machine.create_group
    assert refusal(lambda: create(GroupKind.GROUP, "New", [account], now, suite=1)) is blocked
    assert set(alice.machine.groups) == {party.group}


def test_nobody_is_brought_in_behind_an_account_key_that_changed() -> None:
    party = Party("alice", "bob")
    alice, _ = party.devices
    dave = party.outsider("dave")
    alice.say("dave", "hello")
    dave.pull()
    account, now = dave.machine.account_id, party.server.now
    alice.machine.verify(account, now)
    alice.settle()
    dave.disconnect()
    party.server.accounts.pop(account)
    MemoryDevice(party.server, "dave", seed="other", account_id=account).connect()
    party.reconnect(alice)
    changed = Code.ACCOUNT_KEY_CHANGED
    assert alice.machine.contacts[account].stopped
    assert refusal(lambda: alice.machine.group_add(party.group, [account], now)) is changed


@pytest.mark.parametrize("why", [Code.ACCOUNT_UNKNOWN, Code.ACCOUNT_KEY_CHANGED])
def test_whom_somebody_wanted_to_bring_in_and_can_not_any_more(why: Code) -> None:
    party = Party("alice", "bob")
    alice, _ = party.devices
    dave = party.outsider("dave")
    account, now = alice.meet("dave"), party.server.now
    alice.machine.verify(account, now)
    alice.settle()
    alice.disconnect()
    alice.machine.group_add(party.group, [account], now)
    assert alice.machine.group_progress(party.group, now).devices == 3
    if why is Code.ACCOUNT_UNKNOWN:
        alice.machine.forget(account, now)
        assert alice.machine.group_progress(party.group, now).devices == 2
    else:
        dave.disconnect()
        del party.server.accounts[account]
        MemoryDevice(party.server, "dave", seed="other", account_id=account).connect()
    alice.connect()
    assert refused(alice) == [("add", why)]
    assert alice.machine.group_progress(party.group, now).devices == 2
    party.settle(2)
    assert len(party.view(alice).members) == 2
    check_followed(party, *party.devices)


def test_who_waits_to_be_let_in_changes_nothing_yet() -> None:
    party = Party("alice", "bob")
    alice, _ = party.devices
    dave = party.outsider("dave")
    Refusing(party.server, dave, always(Kind.READ_GROUP, Code.LIMIT_RATE))
    alice.machine.group_add(party.group, [alice.meet("dave")], party.server.now)
    alice.settle()
    dave.pull()
    assert party.view(dave).state is GroupState.JOINING
    rename = partial(dave.machine.group_rename, party.group, "Mine", party.server.now)
    assert refusal(rename) is Code.GROUP_NOT_MEMBER


def test_a_no_drops_what_a_stranger_said() -> None:
    party = Party("alice", "bob")
    alice, _ = party.devices
    dave = party.outsider("dave")
    party.devices.append(dave)
    alice.machine.group_add(party.group, [alice.meet("dave")], party.server.now)
    alice.settle()
    party.say(alice, "psst")
    dave.pull()
    kept = [each.conversation for each in dave.store.messages.values()]
    assert kept.count(party.group) == 1
    dave.machine.decline_group(party.group, party.server.now)
    dave.settle()
    assert party.group not in [each.conversation for each in dave.store.messages.values()]
    party.settle()
    assert party.view(dave).state is GroupState.LEFT
    assert len(party.view(alice).members) == 2


def test_nothing_is_fetched_for_further_devices_of_who_goes() -> None:
    party = Party("alice", "bob", "carol")
    alice, _, carol = party.devices
    tablet = MemoryDevice(party.server, "carol", seed="tablet", beside=carol, linked=True)
    tablet.connect()
    packages = party.server.key_packages[tablet.machine.device_id]
    before = list(packages)
    alice.machine._directory.want(carol.machine.account_id)
    alice.settle()
    alice.machine.group_remove(party.group, [carol.machine.account_id], party.server.now)
    alice.settle()
    party.settle(2)
    assert party.view(alice).leaves == 2
    assert packages == before


def test_a_group_has_as_many_people_as_its_kind_may(monkeypatch: pytest.MonkeyPatch) -> None:
    party = Party("alice", "bob")
    alice, _ = party.devices
    party.outsider("dave")
    dave, now, machine = alice.meet("dave"), party.server.now, alice.machine
    wishes = machine._groups.wishes
    policy = wishes._renewing.policy(chat_of(alice, party))
    full = replace(policy, max_members=2)
    monkeypatch.setattr(wishes._renewing, "policy", lambda _: full)
    assert refusal(lambda: machine.group_add(party.group, [dave], now)) is Code.GROUP_FULL
    machine.group_add(party.group, party.ids, now)
    everybody = [dave, *party.ids]

    def create(wishes: Wishes) -> bytes:
        return wishes.create(GroupKind.GROUP, "New", everybody, now, suite=1, policy=full)

    assert refusal(lambda: create(wishes)) is Code.GROUP_FULL
    monkeypatch.undo()
    monkeypatch.setattr("parlour.conversation.groups.wishes.max_leaves", lambda _: 2)
    assert refusal(lambda: machine.group_add(party.group, [dave], now)) is Code.GROUP_FULL


def test_who_has_no_room_is_refused_before_any_key_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    party = Party("alice", "bob")
    alice, _ = party.devices
    for name in ("carol", "dave"):
        party.outsider(name)
    carol, dave = alice.meet("carol"), alice.meet("dave")
    before = {device: list(kept) for device, kept in party.server.key_packages.items()}
    now, machine = party.server.now, alice.machine
    assert party.view(alice).max_leaves == 4_096
    monkeypatch.setattr("parlour.conversation.groups.wishes.max_leaves", lambda _: 3)
    assert refusal(lambda: machine.group_add(party.group, [carol, dave], now)) is Code.GROUP_FULL
    everybody = [*party.ids, carol, dave]
    founded = partial(machine.create_group, GroupKind.GROUP, "New", everybody, now, suite=1)
    assert refusal(founded) is Code.GROUP_FULL
    party.settle()
    assert party.server.key_packages == before
    # Who is wanted already has a place, though nobody is in it yet.
    alice.disconnect()
    machine.group_add(party.group, [carol], now)
    assert refusal(lambda: machine.group_add(party.group, [dave], now)) is Code.GROUP_FULL
    machine.group_add(party.group, [carol], now)


def test_whose_room_is_taken_meanwhile_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    carol, dave = party.outsider("carol"), party.outsider("dave")
    tablet = MemoryDevice(party.server, "dave", seed="tablet", beside=dave, linked=True)
    tablet.connect()
    before = list(party.server.key_packages[tablet.machine.device_id])
    alice.meet("dave")
    alice.meet("carol")
    monkeypatch.setattr("parlour.conversation.groups.committing.max_leaves", lambda _: 4)
    wanted = [carol.machine.account_id, dave.machine.account_id]
    alice.machine.group_add(party.group, wanted, party.server.now)
    alice.settle()
    (refused,) = heard(alice, GroupRefused)
    assert (refused.want, refused.reason) == (Want.ADD.value, Code.GROUP_FULL)
    party.settle()
    members = {member.account_id for member in party.view(bob).members}
    assert len(members.intersection(wanted)) == 1
    assert not party.view(alice).wanted
    assert party.server.key_packages[tablet.machine.device_id] == before


def test_after_a_group_nothing_is_wanted_of_it() -> None:
    party = Party("alice", "bob")
    _, bob = party.devices
    group, now, machine = party.group, party.server.now, bob.machine
    machine.group_leave(group, now)
    bob.settle()
    party.settle(3)
    assert party.view(bob).is_over
    assert machine.group_names[group].is_over
    over = Code.GROUP_OVER
    assert refusal(lambda: machine.group_refresh(group, now)) is over
    assert refusal(lambda: machine.group_close_link(group, bytes(16), now)) is over
    assert bob.machine.groups[group].wanted == ()


# --- What turns out to be refused ------------------------------------------------------------


def act_offline(
    party: Party, device: MemoryDevice, meanwhile: Callable[[Machine], None], *acts: object
) -> None:
    """Somebody wants things while away; meanwhile the founder changes what they may."""
    founder = party.devices[0]
    device.disconnect()
    for act in acts:
        act()  # type: ignore[operator]
    meanwhile(founder.machine)
    founder.settle()
    party.settle(2)
    device.connect()
    party.settle(4)


def party_with_an_admin() -> tuple[Party, MemoryDevice]:
    party = Party("alice", "bob", "carol", "dave")
    alice, bob, *_ = party.devices
    alice.machine.group_set_role(party.group, party.ids[0], Role.ADMIN, party.server.now)
    alice.settle()
    party.settle(2)
    return party, bob


def test_of_several_things_those_that_are_allowed_come_true() -> None:
    party, bob = party_with_an_admin()
    _, carol, dave = party.ids
    group, now, machine = party.group, party.server.now, bob.machine
    act_offline(
        party,
        bob,
        lambda founder: founder.group_set_role(group, dave, Role.OWNER, now),
        lambda: machine.group_remove(group, [carol, dave], now),
        lambda: machine.group_rename(group, "New", now),
    )
    assert refused(bob) == [("remove", Code.ROSTER_FORBIDDEN)]
    assert party.view(bob).wanted == ()
    assert party.view(bob).name == "New"
    members = {member.account_id for member in party.view(party.devices[0]).members}
    assert dave in members
    assert carol not in members
    check_followed(party, bob, party.devices[0], party.devices[3])


def test_who_may_nothing_any_more_is_told_of_each_wish_once() -> None:
    party, bob = party_with_an_admin()
    _, carol, dave = party.ids
    group, now, machine = party.group, party.server.now, bob.machine
    epoch = party.view(bob).epoch
    act_offline(
        party,
        bob,
        lambda founder: founder.group_set_role(group, party.ids[0], Role.MEMBER, now),
        lambda: machine.group_remove(group, [carol], now),
        lambda: machine.group_set_role(group, dave, Role.MODERATOR, now),
    )
    assert refused(bob) == [("remove", Code.ROSTER_FORBIDDEN), ("role", Code.ROSTER_FORBIDDEN)]
    assert party.view(bob).wanted == ()
    assert party.view(bob).epoch == epoch + 1
    check_followed(party, *party.devices)


def test_who_may_not_be_added_is_not_let_in_and_the_others_are() -> None:
    party, bob = party_with_an_admin()
    _, carol, dave = party.ids
    party.outsider("erin")
    group, now, machine = party.group, party.server.now, bob.machine
    act_offline(
        party,
        bob,
        lambda founder: founder.group_set_role(group, party.ids[0], Role.MODERATOR, now),
        lambda: machine.group_add(group, [bob.meet("erin")], now),
        lambda: machine.group_remove(group, [carol], now),
    )
    assert refused(bob) == [("add", Code.ROSTER_FORBIDDEN)]
    members = {member.account_id for member in party.view(party.devices[0]).members}
    assert members == {party.devices[0].machine.account_id, party.ids[0], dave}
    check_followed(party, bob, party.devices[0], party.devices[3])


def test_who_comes_in_though_somebody_else_may_not_be_put_out() -> None:
    party, bob = party_with_an_admin()
    *_, dave = party.ids
    erin = party.outsider("erin")
    group, now, machine = party.group, party.server.now, bob.machine
    act_offline(
        party,
        bob,
        lambda founder: founder.group_set_role(group, dave, Role.OWNER, now),
        lambda: machine.group_add(group, [bob.meet("erin")], now),
        lambda: machine.group_remove(group, [dave], now),
    )
    assert refused(bob) == [("remove", Code.ROSTER_FORBIDDEN)]
    assert party.view(bob).leaves == 5
    party.devices.append(erin)
    party.settle(2)
    erin.machine.accept_group(group, now)
    check_followed(party, *party.devices)


def check_followed(party: Party, *devices: MemoryDevice) -> None:
    """Nobody had to be told of a commit that can't be followed."""
    party.check_together(devices)
    assert [refusals(device) for device in devices] == [[]] * len(devices)


def test_what_is_so_already_is_not_done_again() -> None:
    party, bob = party_with_an_admin()
    _, carol, dave = party.ids
    group, now, machine = party.group, party.server.now, bob.machine
    party.link(bob)
    (opened,) = party.view(bob).links
    epoch = party.view(bob).epoch

    def meanwhile(founder: Machine) -> None:
        founder.group_remove(group, [carol], now)
        founder.group_set_role(group, dave, Role.MODERATOR, now)
        founder.group_close_link(group, opened.link_id, now)

    act_offline(
        party,
        bob,
        meanwhile,
        lambda: machine.group_remove(group, [carol], now),
        lambda: machine.group_set_role(group, dave, Role.MODERATOR, now),
        lambda: machine.group_close_link(group, opened.link_id, now),
    )
    assert refused(bob) == []
    assert party.view(bob).wanted == ()
    assert party.view(bob).epoch == epoch + 1
    assert party.view(bob).links == ()


@pytest.mark.parametrize("fault", ["another time", "another device"])
def test_a_statement_that_is_not_right_stands_in_nobodys_way(fault: str) -> None:
    """A member asks to be let go, and signs for another time, or by a device on no list."""
    party = Party("alice", "bob", "mallory")
    alice, bob, mallory = party.devices
    chat, machine = chat_of(mallory, party), mallory.machine
    roster = chat.known_roster().state
    since, key = roster.members[machine.account_id].since, machine._memory.local.signature_key
    if fault == "another time":
        since += 1
    else:
        key = Ed25519PrivateKey.generate(mallory.random)
    statement = leave_statement(roster.roster_id, machine.account_id, since, key)
    group = chat.live()
    proposal = group.propose(
        Remove(group.own_leaf), party.server.now // 1000, random=mallory.random
    )
    body = wire.ProposalBody(0, proposal, encode_change(statement))
    put(party, mallory, made_by(party, mallory, body))
    mallory.disconnect()
    bob.pull()
    assert chat_of(bob, party).record.leaving == [encode_change(statement)]
    alice.machine.group_rename(party.group, "New", party.server.now)
    alice.settle()
    party.settle(6)
    assert chat_of(bob, party).record.leaving == []
    assert party.view(bob).name == "New"
    assert party.view(bob).leaves == 3
    check_goes_on(party, alice, bob)


# --- How far it is ---------------------------------------------------------------------------


def test_how_far_a_change_has_come() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    dave = party.outsider("dave")
    party.server.key_packages.pop(dave.machine.device_id)
    account, now = alice.meet("dave"), party.server.now

    def progress() -> tuple[object, ...]:
        it = alice.machine.group_progress(party.group, party.server.now)
        assert it.named
        assert it.state is GroupState.ACTIVE
        return it.wishes, it.devices, it.leaves, it.left_out, it.missing, it.sending, it.told

    assert progress() == ((), 2, 2, 0, 0, False, False)
    alice.machine.group_add(party.group, [account], now)
    assert alice.machine.group_coming(party.group) == {account}
    assert progress() == ((Want.ADD,), 3, 2, 0, 1, False, False)
    alice.settle()
    # There is no key package of it: it comes in when there is one.
    assert progress() == ((Want.ADD,), 3, 2, 1, 0, False, False)
    alice.machine.group_remove(party.group, party.ids, now)
    while not progress()[-2]:
        requests = alice.machine.outgoing(now)
        alice._write()
        for request in requests if not progress()[-2] else []:
            alice._answer(request)
            alice._write()
    party.reconnect(alice)
    party.settle(2)
    assert progress() == ((Want.ADD,), 2, 1, 1, 0, False, False)
    assert party.view(bob).state is GroupState.LEFT


def test_members_were_told_that_somebody_wants_to_go() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    alice.disconnect()
    bob.machine.group_leave(party.group, party.server.now)
    before = bob.machine.group_progress(party.group, party.server.now)
    assert (before.wishes, before.told) == ((Want.LEAVE,), False)
    bob.settle()
    bob.pull()
    after = bob.machine.group_progress(party.group, party.server.now)
    assert (after.wishes, after.told, after.sending) == ((Want.LEAVE,), True, False)
