"""Groups that are begun again by who should not, or by somebody who does not finish it."""

from __future__ import annotations

import pytest
from msgspec import Struct
from msgspec.structs import replace

from parlour.conversation.events import GroupRestarted
from parlour.conversation.groups.records import GroupState, Pending, Sent, Step, Trouble
from parlour.conversation.groups.restarting import (
    ABANDONED_AFTER,
    ABANDONED_AT_LAST,
    MEMBERS_AFTER,
    RESTART_AFTER,
    RESTART_ALONE,
    RESTART_NEXT,
    WAITING,
)
from parlour.errors import Code, error
from parlour.roster.roles import Role
from parlour.testing.device import MemoryDevice
from parlour.wire.kinds import Kind
from tests.scenario.parties import Party, backup, chat_of, let_time_pass, restore
from tests.scenario.people import heard
from tests.scenario.refusing import can_not_read


def begin_again(device: MemoryDevice, party: Party) -> None:
    """A device begins a group again, though nothing is wrong with it."""
    chat, now = chat_of(device, party), party.server.now
    trouble = Trouble(0, chat.epoch, "no reason", now, Step.ASK, now)
    device.machine._groups._ladder._restarting.begin(chat, trouble, now)


def begin_and_add_nobody(
    party: Party, device: MemoryDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same, and nobody is brought in."""
    begin_again(device, party)
    monkeypatch.setattr(device.machine._groups._committing, "begin", lambda *_: False)
    device.settle()


def party_with_two_admins() -> Party:
    party = Party("alice", "bob", "carol", "mallory")
    alice, *_, mallory = party.devices
    alice.machine.group_set_role(
        party.group, mallory.machine.account_id, Role.ADMIN, party.server.now
    )
    alice.settle()
    party.settle(3)
    return party


def test_an_admin_begins_a_healthy_group_again_and_adds_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Everybody is told who it was, and the other admins begin it once more."""
    party = party_with_two_admins()
    alice, bob, carol, mallory = party.devices
    begin_and_add_nobody(party, mallory, monkeypatch)
    party.settle(2)
    by = mallory.machine.account_id
    for device in (alice, bob, carol):
        assert heard(device, GroupRestarted) == [GroupRestarted(party.group, by, (), needless=True)]
    mallory.disconnect()
    party.settle(12, 60_000)
    for device in (alice, bob, carol):
        assert [(e.by, e.needless) for e in heard(device, GroupRestarted)] == [
            (by, True),
            (alice.machine.account_id, False),
        ]
    party.say(alice, "we go on")
    party.settle()
    assert bob.texts() == carol.texts() == ["we go on"]
    party.check_together([alice, bob, carol])
    alice.machine.group_remove(party.group, [by], party.server.now)
    alice.settle()
    party.settle()
    assert len(party.view(bob).members) == 3


def test_the_machine_wakes_up_by_itself_to_begin_a_group_again() -> None:
    party = Party("alice", "bob", "mallory")
    alice, bob, mallory = party.devices
    can_not_read(party, alice, bob)
    mallory.machine.group_refresh(party.group, party.server.now)
    mallory.settle()
    mallory.disconnect()
    party.settle(3, 2_000)
    trouble = chat_of(alice, party).record.trouble
    assert trouble is not None
    assert chat_of(alice, party).record.reports
    began = trouble.began
    while not heard(alice, GroupRestarted) and party.server.now < began + RESTART_ALONE:
        at = alice.machine.next_timeout()
        assert at is not None
        alice.wait(max(at - party.server.now, 1))
        alice.pull()
    assert party.server.now == began + RESTART_AFTER
    party.settle(6)
    party.check_together([alice, bob])


def test_nobody_interferes_while_members_are_added(monkeypatch: pytest.MonkeyPatch) -> None:
    party = party_with_two_admins()
    alice, *_, mallory = party.devices
    begin_and_add_nobody(party, mallory, monkeypatch)
    party.settle(1)
    chat, restarting = chat_of(alice, party), alice.machine._groups._ladder._restarting
    trouble = Trouble(0, 0, WAITING, 1_000, Step.WAIT, 1_000)
    assert restarting.due_at(chat, trouble) == 1_000 + ABANDONED_AFTER
    chat.welcomed_at = 61_000
    assert restarting.due_at(chat, trouble) == 61_000 + ABANDONED_AFTER
    chat.welcomed_at = 1_000 + 2 * ABANDONED_AT_LAST
    assert restarting.due_at(chat, trouble) == 1_000 + ABANDONED_AT_LAST
    # Who left it so comes last.
    chat.record.begun_by = alice.machine.account_id
    assert restarting.due_at(chat, trouble) == 1_000 + ABANDONED_AT_LAST + 3 * RESTART_NEXT
    chat.record.begun_by = b""
    assert restarting.due_at(chat, trouble) is None


def test_a_beginning_takes_the_place_of_no_other_try_to_come_back() -> None:
    """The server may have let us in by it, and then nobody would know that commit for ours."""
    party = party_with_two_admins()
    alice, *_ = party.devices
    chat, restarting = chat_of(alice, party), alice.machine._groups._ladder._restarting
    trouble = Trouble(9, chat.epoch, "mls.invalid", 1_000, Step.REJOIN, 1_000, broken=True)
    assert restarting.due_at(chat, trouble) == 1_000 + RESTART_ALONE
    chat.record.pending = Pending(Sent.JOIN, bytes(16), b"a commit", 0, chat.epoch)
    assert restarting.due_at(chat, trouble) is None
    # The server may have taken it, and keep the entry back.
    waiting = replace(trouble, step=Step.WAIT)
    assert restarting.due_at(chat, waiting) == 1_000 + RESTART_ALONE


def test_a_beginning_that_is_refused_keeps_nobody_from_coming_back() -> None:
    party = party_with_two_admins()
    alice, *_ = party.devices
    request, tries = party.server.request, 0

    def refuse(device_id: bytes, kind: Kind, body: Struct) -> Struct:
        nonlocal tries
        if kind is Kind.RESTART_GROUP:
            tries += 1
            raise error(Code.GROUP_INVALID)
        return request(device_id, kind, body)

    party.server.request = refuse  # type: ignore[method-assign]
    for device in party.devices[1:]:
        device.disconnect()
    chat = chat_of(alice, party)
    entry = party.server.streams[party.group].entries[-1].entry
    alice.machine._groups._ladder.broken(
        chat, entry, error(Code.MLS_INVALID), b"", party.server.now
    )
    chat.record.reports = dict.fromkeys(party.ids, party.server.now)
    let_time_pass(alice, 30)
    assert party.view(alice).state is GroupState.ACTIVE
    assert tries


def test_where_no_admin_is_left_a_member_begins_the_group_again() -> None:
    """The server has lost what was followed, and the only admin their device."""
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    saved = backup(party)
    alice.machine.group_rename(party.group, "Better friends", party.server.now)
    alice.settle()
    party.settle(3)
    restore(party, saved)
    party.server.incarnation = bytes([1]) * 16
    alice.disconnect()
    party.reconnect(bob, carol)
    party.settle(MEMBERS_AFTER // 120_000, 60_000)
    assert party.view(bob).state is party.view(carol).state is GroupState.REPAIRING
    party.settle(MEMBERS_AFTER // 60_000, 60_000)
    party.check_together([bob, carol])
    party.say(bob, "we go on")
    tablet = party.add_device("alice", beside=alice)
    alice.disconnect()
    party.settle(10, 60_000)
    party.check_together([bob, carol, tablet])
    assert party.view(tablet).role is Role.OWNER
    assert party.view(carol).name == "Better friends"
    assert carol.texts() == ["we go on"]


def test_a_member_alone_with_its_trouble_begins_nothing_again() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    alice.disconnect()
    chat = chat_of(bob, party)
    trouble = Trouble(9, 1, "mls.invalid", 1_000, Step.WAIT, 1_000, broken=True)
    restarting = bob.machine._groups._ladder._restarting
    assert restarting.due_at(chat, trouble) is None
    chat.record.reports = {alice.machine.account_id: 1_000}
    after = RESTART_AFTER + MEMBERS_AFTER + RESTART_NEXT
    assert restarting.due_at(chat, trouble) == 1_000 + after
