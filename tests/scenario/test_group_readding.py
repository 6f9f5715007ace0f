"""Taken out of a group and in again: only who has asked for it, and once for each wish."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from msgspec import structs

from parlour.conversation.content import ReaddWanted
from parlour.conversation.events import CommitRefused
from parlour.conversation.groups.authorising import check_wish
from parlour.conversation.groups.committing import GOOD_FOR
from parlour.conversation.groups.joining import MAX_WISH_PACKAGES
from parlour.conversation.groups.ladder import MAX_REJOINS, PAUSE
from parlour.conversation.groups.records import GroupState
from parlour.errors import Code, SecurityStop
from parlour.mls.private.committing import CommitOptions
from parlour.mls.private.identity import KeyPackageBundle
from parlour.mls.public.framing.messages import KeyPackageMessage, decode_message
from parlour.mls.public.welcome_parts import split_welcome
from parlour.roster.genesis import Kind
from parlour.roster.readding import MAX_WISH_AGE, ReaddWish
from parlour.testing.device import MemoryDevice
from parlour.wire import groups as wire
from parlour.wire.streams import Entry, Part
from tests.scenario.parties import Party, chat_of, let_time_pass, lose_alone
from tests.scenario.people import heard
from tests.scenario.test_group_hostile import check_goes_on, made_by
from tests.scenario.test_group_restarts import begin_again


def published(party: Party, whom: MemoryDevice) -> bytes:
    """A key package that a device has published, and that the server gives to nobody else."""
    uploads = party.server.key_packages[whom.machine.device_id]
    upload = next(each for each in uploads if each.suite == 1 and not each.last_resort)
    uploads.remove(upload)
    return upload.data


def package_of(party: Party, whom: MemoryDevice, at: int | None = None) -> KeyPackageBundle:
    """The key package by which a device that lost its way wishes to come again."""
    now = party.server.now
    joining = whom.machine._groups._joining
    return joining.package_for_wish(chat_of(whom, party), now if at is None else at, now)


def again(
    party: Party,
    by: MemoryDevice,
    whom: MemoryDevice,
    wishes: Sequence[ReaddWish] = (),
    data: bytes = b"",
) -> None:
    """Take a device out and in again, with a key package that the committer had kept."""
    chat = chat_of(by, party)
    group = chat.live()
    message = decode_message(data or package_of(party, whom).message)
    assert isinstance(message, KeyPackageMessage)
    leaf = chat.leaf_of(whom.machine.device_id)
    assert leaf is not None
    pending = group.commit(
        party.server.now // 1000,
        adds=[message.key_package],
        removes=[leaf],
        options=CommitOptions(ratchet_tree=False, group_info=True),
        random=by.random,
    )
    assert pending.welcome is not None
    info, secrets = split_welcome(pending.welcome)
    encoded = [wish.encode() for wish in wishes]
    body = wire.CommitBody(chat.record.generation, pending.commit, [], info, encoded)
    parts = [Part(whom.machine.device_id, data) for data in secrets.values()]
    request = made_by(party, by, body, parts=parts, group_info=pending.group_info)
    group.clear_pending()
    party.server._handshake(by.machine.device_id, request)


def wish_of(party: Party, device: MemoryDevice, at: int | None = None) -> ReaddWish:
    """What a device that lost its way signs."""
    memory = device.machine._memory
    wish = ReaddWish(
        party.group,
        0,
        chat_of(device, party).epoch,
        memory.account_id,
        memory.device_id,
        package_of(party, device, at).reference,
        party.server.now if at is None else at,
    )
    return wish.sign(memory.local.signature_key)


def test_nobody_is_added_again_who_has_not_asked_for_it() -> None:
    party = Party("alice", "bob", "mallory")
    alice, bob, mallory = party.devices
    again(party, mallory, alice, data=published(party, alice))
    mallory.disconnect()
    party.settle(2)
    assert [event.reason for event in heard(bob, CommitRefused)] == [Code.GROUP_COMMIT_REFUSED]
    check_goes_on(party, alice, bob)


def test_a_wish_is_fulfilled_once() -> None:
    party = Party("alice", "bob", "carol", "mallory")
    alice, bob, carol, mallory = party.devices
    wish = wish_of(party, alice)
    again(party, mallory, alice, [wish])
    mallory.disconnect()
    party.settle(2)
    party.check_together()
    assert heard(carol, CommitRefused) == []
    again(party, bob, alice, [wish])
    carol.pull()
    assert [event.reason for event in heard(carol, CommitRefused)] == [Code.ROSTER_INVALID]


def test_a_wish_is_fulfilled_by_the_key_package_that_it_names() -> None:
    """Who holds a fresh wish can't use it with a key package that the device has not any more."""
    party = Party("alice", "bob", "mallory")
    alice, bob, mallory = party.devices
    again(party, mallory, alice, [wish_of(party, alice)], data=published(party, alice))
    mallory.disconnect()
    bob.pull()
    assert [event.reason for event in heard(bob, CommitRefused)] == [Code.GROUP_COMMIT_REFUSED]
    assert party.view(alice).state is GroupState.ACTIVE
    check_goes_on(party, alice, bob)


def test_a_key_package_for_a_wish_is_good_in_its_group_alone() -> None:
    """A member to whom it was given could use it up elsewhere, and fulfil the wish afterwards."""
    party = Party("alice", "bob", "mallory")
    alice, bob, mallory = party.devices
    package = package_of(party, alice)
    other = mallory.machine.create_group(
        Kind.GROUP, "Trap", [alice.machine.account_id], party.server.now, suite=1
    )
    targets = mallory.machine._groups._targets._of(1)
    message = decode_message(package.message)
    assert isinstance(message, KeyPackageMessage)
    target = (alice.machine.account_id, alice.machine.device_id)
    targets.packages[target] = message.key_package
    mallory.settle()
    party.settle(1)
    assert alice.machine.groups[other].state is not GroupState.ACTIVE
    assert alice.machine.counters["welcome.refused"] == 1
    again(party, mallory, alice, [wish_of(party, alice)])
    party.settle(2)
    assert party.view(alice).state is GroupState.ACTIVE
    party.check_together([alice, bob])
    # It is used up now, and the next wish names another one.
    assert package_of(party, alice).reference != package.reference


def test_each_wish_has_a_key_package_of_its_own() -> None:
    """One that was fulfilled does not make another one useless."""
    party = Party("alice", "bob")
    alice, _ = party.devices
    first, second = package_of(party, alice, 1), package_of(party, alice, 2)
    assert first.reference != second.reference
    assert package_of(party, alice, 1).reference == first.reference
    alice.machine._groups._joining._key_packages.used(first.reference, party.server.now)
    assert package_of(party, alice, 1).reference != first.reference
    for at in range(3, 2 * MAX_WISH_PACKAGES):
        package_of(party, alice, at)
    assert len(chat_of(alice, party).record.wish_packages) == MAX_WISH_PACKAGES


def test_nobody_fulfils_a_wish_from_before_they_came() -> None:
    """Others may have, whom they have not seen do it."""
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    wish, package = wish_of(party, alice), package_of(party, alice).message
    party.server.now += 1_000
    again(party, carol, bob, [wish_of(party, bob)])
    party.settle(2)
    carol.disconnect()
    epoch = chat_of(bob, party).epoch
    committing, chat = bob.machine._groups._committing, chat_of(bob, party)
    committing.wished(chat, wish, package, party.server.now)
    alice.disconnect()
    party.settle(4)
    assert chat_of(bob, party).epoch == epoch
    later = replace(wish, at=party.server.now + 1)
    assert chat.takes_wish(later)
    chat.note_wishes([later.encode()], party.server.now)
    assert not chat.takes_wish(later)


def test_a_wish_is_not_used_up_for_nothing() -> None:
    party = Party("alice", "bob", "mallory")
    alice, bob, mallory = party.devices
    again(party, mallory, alice, [wish_of(party, alice), wish_of(party, bob)])
    bob.pull()
    assert [event.reason for event in heard(bob, CommitRefused)] == [Code.GROUP_COMMIT_REFUSED]


def test_what_was_fulfilled_is_remembered_as_long_as_it_is_good() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    wish = wish_of(party, alice)
    chat = chat_of(bob, party)
    lists = bob.machine._groups._lists
    check_wish(chat, wish, party.server.now, lists)
    chat.note_wishes([wish.encode()], party.server.now + MAX_WISH_AGE)
    with pytest.raises(SecurityStop):
        check_wish(chat, wish, party.server.now + MAX_WISH_AGE, lists)
    chat.note_wishes([], party.server.now + MAX_WISH_AGE + 1)
    assert chat.record.wishes == {}
    with pytest.raises(SecurityStop):
        check_wish(chat, wish, party.server.now + MAX_WISH_AGE + 1, lists)


def test_only_a_devices_own_wish_is_heard() -> None:
    party = Party("alice", "bob", "mallory")
    alice, bob, mallory = party.devices
    party.server.now += 10_000
    epoch = chat_of(bob, party).epoch
    own, hers = wish_of(party, mallory), wish_of(party, alice)
    package = package_of(party, mallory).message
    unsigned = replace(own, signature=bytes(64))
    cases = [
        (hers.encode(), package),
        (unsigned.encode(), package),
        (replace(unsigned, stream=bytes(16)).encode(), package),
        (b"?", package),
        (wish_of(party, mallory, 1).encode(), package),
        (own.encode(), b"?"),
        (own.encode(), published(party, mallory)),
    ]
    for data in cases:
        mallory.machine._sending.send_to_inbox(
            bob.machine.account_id, bob.machine.device_id, ReaddWanted(*data), party.server.now
        )
    mallory.settle()
    party.settle()
    assert chat_of(bob, party).epoch == epoch
    assert bob.machine.counters["wish.refused"] == 5


def test_a_wish_of_who_is_no_member_or_not_known_yet() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    alice.machine.group_remove(party.group, [carol.machine.account_id], party.server.now)
    wish, epoch = wish_of(party, carol), chat_of(bob, party).epoch
    alice.settle()
    party.settle()
    ladder = bob.machine._groups._ladder
    # From who is no member any more.
    wanted = ReaddWanted(wish.encode(), package_of(party, carol).message)
    ladder._wanted(wish.account, wish.device, wanted, party.server.now)
    # From a device of alice's that bob has not heard of: her list is read again.
    newer = replace(wish, account=alice.machine.account_id, device=bytes(16))
    wanted = ReaddWanted(newer.encode(), wanted.package)
    ladder._wanted(newer.account, newer.device, wanted, party.server.now)
    party.settle()
    assert chat_of(bob, party).epoch == epoch + 1
    assert "wish.refused" not in bob.machine.counters


def test_a_wish_grows_old_where_nobody_can_fulfil_it() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    committing = bob.machine._groups._committing
    chat, epoch = chat_of(bob, party), chat_of(bob, party).epoch
    wish = wish_of(party, carol)
    committing.wished(chat, wish, package_of(party, carol).message, party.server.now)
    alice.disconnect()
    carol.disconnect()
    bob.disconnect()
    party.server.now += GOOD_FOR
    bob.connect()
    party.settle(3)
    assert chat.epoch == epoch
    assert chat.leaf_of(carol.machine.device_id) is not None
    assert party.view(bob).state is GroupState.ACTIVE


def test_a_device_has_one_wish_each_time_that_it_asks() -> None:
    party = Party("alice", "bob")
    alice, _ = party.devices
    ladder, chat = alice.machine._groups._ladder, chat_of(alice, party)
    began = party.server.now
    first = ladder._wish(chat, began, began)
    assert ladder._wish(chat, began, began + 90_000) == first
    later = ReaddWish.decode(ladder._wish(chat, began + 600_000, began + 630_000)[0])
    assert later.at == began + 600_000
    # The clock went back: it is now.
    assert ReaddWish.decode(ladder._wish(chat, began, began - 5)[0]).at == began - 5


def test_who_has_come_since_a_device_got_lost_adds_it_again() -> None:
    """What it asked for before they came they leave alone; it asks once more."""
    party = Party("alice", "bob")
    alice, bob = party.devices
    lose_alone(party, bob)
    # It has come back by itself too often today.
    chat_of(bob, party).record.rejoined = [party.server.now] * MAX_REJOINS
    let_time_pass(bob, 30)
    assert party.view(bob).state is GroupState.REPAIRING
    bob.disconnect()

    def hide(entry: Entry, device_id: bytes) -> list[Entry]:
        return [] if entry.stream == alice.machine.device_id else [entry]

    party.server.deliver = hide
    alice.connect()
    laptop = MemoryDevice(party.server, "bob", seed="laptop", beside=bob, linked=True)
    laptop.connect()
    party.devices.append(laptop)
    party.reconnect(alice)
    party.settle(6)
    assert party.view(laptop).state is GroupState.ACTIVE
    alice.disconnect()
    bob.connect()
    party.settle(12, PAUSE // 10)
    party.check_together([bob, laptop])
    assert not chat_of(bob, party).record.unconfirmed


def test_who_does_not_know_that_the_group_began_again_is_added_again() -> None:
    """Without the roster, nobody can tell whether the one that began it may."""
    party = Party("alice", "bob")
    alice, bob = party.devices
    laptop = MemoryDevice(party.server, "bob", seed="laptop", beside=bob, linked=True)
    laptop.connect()
    laptop.disconnect()
    begin_again(alice, party)
    party.reconnect(alice)
    party.settle(4)
    assert party.view(alice).generation == 1
    assert chat_of(alice, party).leaf_of(laptop.machine.device_id) is not None

    def strip(entry: Entry, device_id: bytes) -> list[Entry]:
        return [structs.replace(entry, part=None) if entry.stream == party.group else entry]

    party.server.deliver = strip
    laptop.connect()
    party.devices.append(laptop)
    party.server.deliver = lambda entry, device_id: [entry]
    assert chat_of(laptop, party).record.generation == 0
    party.settle(18, 10_000)
    party.check_together()
    assert "ladder.rejoin" not in laptop.machine.counters
