"""What a member can make others do is bounded; what becomes of devices is told to everybody."""

from __future__ import annotations

import pytest

from parlour.conversation.content import CommitBroken, DetailsWanted, EpochSeen, ReaddWanted
from parlour.conversation.events import DeviceChange, GroupDevice, GroupForked, GroupJoined
from parlour.conversation.groups import messages, wishes
from parlour.conversation.groups.comparing import (
    ANSWER_EVERY,
    FORKED_EVERY,
    MAX_REMEMBERED,
    TELL_EVERY,
)
from parlour.conversation.groups.readding import HOUR, MAX_READDED, Readding
from parlour.conversation.groups.readding import MAX_REMEMBERED as MAX_DEVICES
from parlour.conversation.groups.records import Acceptance, GroupState
from parlour.conversation.sync import GroupSync
from parlour.roster.genesis import Kind
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer
from parlour.wire.envelope import SuiteId
from tests.scenario.parties import Party, chat_of, come_back_alone
from tests.scenario.people import heard
from tests.scenario.test_group_hostile import forge
from tests.scenario.test_group_readding import package_of, wish_of


def control(party: Party, by: MemoryDevice, to: MemoryDevice, said: object) -> None:
    """Take a control message of another device."""
    (identity,) = to.machine.contacts[by.machine.account_id].identities()
    to.machine._groups.controlled(identity, said, party.server.now)  # type: ignore[arg-type]
    to.settle()


def wish(party: Party, device: MemoryDevice) -> tuple[bytes, bytes]:
    return wish_of(party, device).encode(), package_of(party, device).message


def commits(party: Party) -> int:
    entries = party.server.streams[party.group].entries
    return sum(each.entry.envelope.suite == SuiteId.MLS_COMMIT for each in entries)


# --- Asking to be added again ----------------------------------------------------------------


@pytest.mark.parametrize("broken", [False, True])
def test_a_device_is_brought_back_so_often_in_an_hour(broken: bool) -> None:
    party = Party("alice", "bob", "mallory")
    alice, bob, mallory = party.devices
    before = commits(party)
    for turn in range(MAX_READDED + 4):
        if broken:
            report = CommitBroken(
                0, chat_of(mallory, party).epoch, 1, "made up", *wish(party, mallory)
            )
            mallory.machine._groups._messages.seal_at_once(
                chat_of(mallory, party), report, party.server.now
            )
            mallory.settle()
        else:
            wanted = ReaddWanted(*wish(party, mallory))
            control(party, mallory, (alice, bob)[turn % 2], wanted)
        party.settle(2, 9_000)
    assert commits(party) - before == MAX_READDED
    party.check_together()
    readded = [e for e in heard(bob, GroupDevice) if e.change is DeviceChange.READDED]
    assert {event.device for event in readded} == {mallory.machine.device_id}
    assert len(readded) == MAX_READDED
    party.server.now += HOUR
    party.settle(1)
    control(party, mallory, alice, ReaddWanted(*wish(party, mallory)))
    party.settle(3)
    assert commits(party) - before == MAX_READDED + 1


def test_not_all_devices_are_remembered() -> None:
    readding = Readding()
    for number in range(MAX_DEVICES + 1):
        readding.came(bytes(16), [number.to_bytes(16)] * MAX_READDED, 5)
    assert readding.may(bytes(16), (0).to_bytes(16), 5)
    assert not readding.may(bytes(16), (1).to_bytes(16), 5)


# --- Asking for the name ---------------------------------------------------------------------


def answers(party: Party, since: int) -> int:
    asker = party.devices[-1].machine.device_id
    entries = party.server.streams[party.group].entries[since:]
    return sum(each.entry.sender_device != asker for each in entries)


def ask(party: Party, asker: MemoryDevice) -> None:
    machine = asker.machine
    machine._groups._messages.send(
        chat_of(asker, party), DetailsWanted(), party.server.now, silent=True
    )
    asker.settle()
    party.settle(1, 1_000)


def test_the_name_is_told_once_in_a_while() -> None:
    party = Party("alice", "bob", "carol", "dave", "mallory")
    mallory = party.devices[-1]
    before = len(party.server.streams[party.group].entries)
    for _ in range(16):
        ask(party, mallory)
    assert answers(party, before) == 1
    party.server.now += messages.DESCRIBE_EVERY
    ask(party, mallory)
    assert answers(party, before) == 2


def test_who_is_next_tells_the_name_when_the_first_is_away() -> None:
    party = Party("alice", "bob", "carol")
    alice, _, carol = party.devices
    chat_of(carol, party).record.name = ""
    alice.disconnect()
    ask(party, carol)
    assert party.view(carol).name == ""
    ask(party, carol)
    party.settle(4)
    assert party.view(carol).name == "Friends"


def test_two_who_ask_are_told_at_once() -> None:
    party = Party("alice", "bob", "carol", "dave")
    alice, bob, carol, dave = party.devices
    alice.disconnect()
    before = len(party.server.streams[party.group].entries)
    for asker in (carol, dave):
        asker.machine._groups._messages.send(
            chat_of(asker, party), DetailsWanted(), party.server.now, silent=True
        )
        asker.settle()
    bob.pull()
    assert chat_of(bob, party).describe_at is not None
    party.settle(6)
    assert answers(party, before) <= 3


# --- Made-up epochs --------------------------------------------------------------------------


def test_claims_of_other_epochs_are_shown_once_in_a_while() -> None:
    party = Party("alice", "mallory")
    alice, mallory = party.devices
    epoch = chat_of(alice, party).epoch
    for number in range(50):
        lie = EpochSeen(party.group, 0, epoch, bytes([number]) * 16, answer=False)
        control(party, mallory, alice, lie)
    assert len(heard(alice, GroupForked)) == 1
    party.server.now += FORKED_EVERY
    control(party, mallory, alice, EpochSeen(party.group, 0, epoch, bytes(16), answer=False))
    assert len(heard(alice, GroupForked)) == 2


def test_nobody_is_told_of_epochs_in_which_they_or_we_are_not() -> None:
    party = Party("alice", "bob", "mallory")
    alice, bob, mallory = party.devices
    noted = chat_of(alice, party).record.tags[-1]
    alice.machine.group_remove(party.group, [mallory.machine.account_id], party.server.now)
    alice.settle()
    party.settle(2)
    inbox = party.server.streams[mallory.machine.device_id].entries
    before, wrong = len(inbox), bytes(16)
    for group, asked, asker in (
        (party.group, alice, mallory),
        (bytes(16), alice, mallory),
        (party.group, mallory, bob),
    ):
        control(
            party, asker, asked, EpochSeen(group, noted.generation, noted.epoch, wrong, answer=True)
        )
        assert heard(asked, GroupForked) == []
    assert len(inbox) == before
    # Nor of one for which there is no name any more.
    chat_of(alice, party).record.tags = []
    party.server.now += TELL_EVERY
    inbox = party.server.streams[bob.machine.device_id].entries
    before = len(inbox)
    alice.say("bob", "by another path")
    assert len(inbox) == before


def test_decisions_about_groups_that_never_come_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wishes, "MAX_PENDING", 2)
    memory = Party("alice", "bob").devices[0].machine._groups.wishes
    for number in range(4):
        sync = GroupSync(number.to_bytes(16), accepted=True, at=1, name="", salt=b"")
        memory._decided_elsewhere(sync, 1_000)
    assert len(memory._memory.syncs) == 2


def test_questions_are_answered_once_in_a_while() -> None:
    party = Party("alice", "mallory")
    alice, mallory = party.devices
    noted = chat_of(alice, party).record.tags[-1]
    asked = EpochSeen(party.group, noted.generation, noted.epoch, noted.tag, answer=True)
    inbox = party.server.streams[mallory.machine.device_id].entries
    before = len(inbox)
    for _ in range(5):
        control(party, mallory, alice, asked)
    assert len(inbox) == before + 1
    party.server.now += ANSWER_EVERY
    control(party, mallory, alice, asked)
    assert len(inbox) == before + 2
    times = alice.machine._groups._comparing._answered
    for number in range(MAX_REMEMBERED):
        times[number.to_bytes(16), party.group] = 0
    party.server.now += ANSWER_EVERY
    control(party, mallory, alice, asked)
    assert len(times) == MAX_REMEMBERED


# --- What becomes of devices -----------------------------------------------------------------


def test_everybody_hears_of_a_device_that_came_back_by_itself() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    come_back_alone(party, carol)
    alice.connect()
    bob.connect()
    party.settle(10)
    party.check_together()
    account, device = carol.machine.account_id, carol.machine.device_id
    back = GroupDevice(party.group, account, DeviceChange.RETURNED, account, device)
    assert back in heard(alice, GroupDevice)
    assert back in heard(bob, GroupDevice)


def test_who_comes_by_a_link_is_told_of_as_that() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    dave = party.outsider("dave")
    link = party.link(alice)
    dave.machine.join_by_link(link, party.server.now)
    dave.settle()
    party.devices.append(dave)
    party.settle(6)
    party.check_together()
    assert not heard(bob, GroupDevice)


def test_the_server_makes_no_device_idle_by_its_clock() -> None:
    party = Party("alice", "bob", "carol", "mallory")
    alice, bob, _, mallory = party.devices
    leaf = chat_of(mallory, party).leaf_of(alice.machine.device_id)
    assert leaf is not None
    epoch = party.view(bob).epoch
    now, party.server.now = party.server.now, party.server.now + 400 * 24 * HOUR
    forge(party, mallory, removes=[leaf])
    party.server.now = now
    bob.pull()
    assert party.view(bob).epoch == epoch
    assert party.view(bob).state is not GroupState.ACTIVE


def test_everybody_hears_of_a_device_that_was_away_for_too_long() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    party.server.now += 200 * 24 * HOUR
    owner = chat_of(carol, party).leaf_of(alice.machine.device_id)
    assert owner is not None
    forge(party, carol, removes=[owner])
    bob.pull()
    (event,) = heard(bob, GroupDevice)
    assert event.change is DeviceChange.EXPIRED
    assert (event.by, event.device) == (carol.machine.account_id, alice.machine.device_id)


# --- Consent ---------------------------------------------------------------------------------


def two_devices() -> tuple[MemoryServer, MemoryDevice, MemoryDevice, MemoryDevice]:
    server = MemoryServer()
    bob = MemoryDevice(server, "bob")
    bob.connect()
    laptop = MemoryDevice(server, "laptop", seed="2", beside=bob, linked=True)
    bob.disconnect()
    for device in (bob, laptop):
        device.connect()
        device.welcoming = False
    mallory = MemoryDevice(server, "mallory")
    mallory.connect()
    return server, bob, laptop, mallory


def rounds(*devices: MemoryDevice, count: int = 6) -> None:
    for _ in range(count):
        for device in devices:
            device.pull()
            device.wait(2_000)


def test_devices_that_are_brought_in_one_by_one_say_yes_for_nobody() -> None:
    server, bob, laptop, mallory = two_devices()
    laptop_id = laptop.machine.device_id
    packages = server.key_packages.pop(laptop_id)
    account = mallory.meet("bob")
    group = mallory.machine.create_group(Kind.GROUP, "Buy now", [account], server.now, suite=1)
    mallory.settle()
    rounds(mallory, bob, laptop)
    assert bob.machine.groups[group].acceptance is Acceptance.INVITED
    assert mallory.machine.groups[group].leaves == 2
    server.key_packages[laptop_id] = packages
    server.now += HOUR
    rounds(mallory, bob, laptop)
    assert laptop.machine.groups[group].acceptance is Acceptance.INVITED
    assert bob.machine.groups[group].acceptance is Acceptance.INVITED
    bob.machine.accept_group(group, server.now)
    rounds(bob, laptop)
    assert laptop.machine.groups[group].acceptance is Acceptance.ACCEPTED


def test_a_yes_that_is_quicker_than_the_group() -> None:
    server, bob, laptop, mallory = two_devices()
    laptop_id = laptop.machine.device_id
    packages = server.key_packages.pop(laptop_id)
    account = mallory.meet("bob")
    group = mallory.machine.create_group(Kind.GROUP, "Friends", [account], server.now, suite=1)
    mallory.settle()
    laptop.disconnect()
    rounds(mallory, bob)
    bob.machine.accept_group(group, server.now)
    bob.settle()
    said = GroupSync(group, True, server.now, "Friends", bytes(16))
    laptop.machine._syncing.on_group(said, server.now)
    no = GroupSync(bytes(16), False, server.now, "No", bytes(16))
    laptop.machine._syncing.on_group(no, server.now)
    assert set(laptop.machine._memory.syncs) == {group}
    server.key_packages[laptop_id] = packages
    server.now += HOUR
    laptop.connect()
    rounds(mallory, bob, laptop)
    assert laptop.machine.groups[group].acceptance is Acceptance.ACCEPTED
    assert [event.invited for event in heard(laptop, GroupJoined)] == [False]
    assert not laptop.machine._memory.syncs


def test_who_is_blocked_brings_nobody_in() -> None:
    server, bob, _, mallory = two_devices()
    account = mallory.meet("bob")
    bob.meet("mallory")
    bob.machine.block(mallory.machine.account_id, server.now)
    bob._write()
    bob.settle()
    group = mallory.machine.create_group(Kind.GROUP, "Again", [account], server.now, suite=1)
    mallory.settle()
    rounds(mallory, bob, count=8)
    assert not heard(bob, GroupJoined)
    assert bob.machine.groups[group].state is GroupState.LEFT
    assert account not in [m.account_id for m in mallory.machine.groups[group].members]
