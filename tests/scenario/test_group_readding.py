"""Taken out of a group and in again: only who has asked for it, and once for each wish."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from parlour.conversation.content import ReaddWanted
from parlour.conversation.events import CommitRefused
from parlour.conversation.groups.authorising import check_wish
from parlour.conversation.groups.committing import GOOD_FOR
from parlour.conversation.groups.ladder import WISH_EVERY
from parlour.conversation.groups.records import GroupState
from parlour.errors import Code, SecurityStop
from parlour.mls.private.committing import CommitOptions
from parlour.mls.public.framing.messages import KeyPackageMessage, decode_message
from parlour.mls.public.welcome_parts import split_welcome
from parlour.roster.readding import MAX_WISH_AGE, ReaddWish
from parlour.testing.device import MemoryDevice
from parlour.wire import groups as wire
from parlour.wire.envelope import ENVELOPE_FORMAT, Envelope, SuiteId
from parlour.wire.streams import Part
from tests.scenario.parties import Party
from tests.scenario.people import heard
from tests.scenario.test_group_hostile import chat_of, check_goes_on


def again(
    party: Party, by: MemoryDevice, whom: MemoryDevice, wishes: Sequence[ReaddWish] = ()
) -> None:
    """Take a device out and in again, with a key package that the committer had kept."""
    chat = chat_of(by, party)
    group = chat.live()
    uploads = party.server.key_packages[whom.machine.device_id]
    upload = next(each for each in uploads if each.suite == 1 and not each.last_resort)
    uploads.remove(upload)
    message = decode_message(upload.data)
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
    handshake = wire.Handshake(
        stream=party.group,
        client_id=by.random(16),
        generation=chat.record.generation,
        epoch=group.epoch,
        envelope=Envelope(ENVELOPE_FORMAT, SuiteId.MLS_COMMIT, b"", wire.encode_body(body)),
        parts=[Part(whom.machine.device_id, data) for data in secrets.values()],
        group_info=pending.group_info or b"",
    )
    group.clear_pending()
    party.server._handshake(by.machine.device_id, handshake)


def wish_of(party: Party, device: MemoryDevice, at: int | None = None) -> ReaddWish:
    """What a device that lost its way signs."""
    memory = device.machine._memory
    wish = ReaddWish(
        party.group,
        0,
        chat_of(device, party).epoch,
        memory.account_id,
        memory.device_id,
        party.server.now if at is None else at,
    )
    return wish.sign(memory.local.signature_key)


def test_nobody_is_added_again_who_has_not_asked_for_it() -> None:
    party = Party("alice", "bob", "mallory")
    alice, bob, mallory = party.devices
    again(party, mallory, alice)
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
    forged = ReaddWish(
        party.group, 0, epoch, own.account, own.device, party.server.now, bytes(64)
    ).encode()
    elsewhere = ReaddWish(
        bytes(16), 0, epoch, own.account, own.device, party.server.now, bytes(64)
    ).encode()
    for data in (hers.encode(), forged, elsewhere, b"?", wish_of(party, mallory, 1).encode()):
        mallory.machine._sending.send_to_inbox(
            bob.machine.account_id, bob.machine.device_id, ReaddWanted(data), party.server.now
        )
    mallory.settle()
    party.settle()
    assert chat_of(bob, party).epoch == epoch
    assert bob.machine.counters["wish.refused"] == 3


def test_a_wish_of_who_is_no_member_or_not_known_yet() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    alice.machine.group_remove(party.group, [carol.machine.account_id], party.server.now)
    wish, epoch = wish_of(party, carol), chat_of(bob, party).epoch
    alice.settle()
    party.settle()
    ladder = bob.machine._groups._ladder
    # From who is no member any more.
    ladder._wanted(wish.account, wish.device, wish.encode(), party.server.now)
    # From a device of alice's that bob has not heard of: her list is read again.
    newer = replace(wish, account=alice.machine.account_id, device=bytes(16))
    ladder._wanted(newer.account, newer.device, newer.encode(), party.server.now)
    party.settle()
    assert chat_of(bob, party).epoch == epoch + 1
    assert "wish.refused" not in bob.machine.counters


def test_a_wish_grows_old_where_nobody_can_fulfil_it() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    committing = bob.machine._groups._committing
    chat = chat_of(bob, party)
    committing.wished(chat, wish_of(party, carol))
    party.server.key_packages[carol.machine.device_id] = []
    alice.disconnect()
    carol.disconnect()
    party.settle(3)
    assert bob.machine.counters["device.left_out"] == 1
    party.server.now += GOOD_FOR
    party.settle(3)
    assert bob.machine.counters["device.left_out"] == 1
    assert chat.leaf_of(carol.machine.device_id) is not None
    assert party.view(bob).state is GroupState.ACTIVE


def test_a_device_has_one_wish_at_a_time() -> None:
    party = Party("alice", "bob")
    alice, _ = party.devices
    ladder, chat = alice.machine._groups._ladder, chat_of(alice, party)
    began = party.server.now
    first = ladder._wish(chat, began, began)
    assert ladder._wish(chat, began, began + WISH_EVERY - 1) == first
    later = ReaddWish.decode(ladder._wish(chat, began, began + WISH_EVERY))
    assert later.at == began + WISH_EVERY
    # The clock went back: it is now.
    assert ReaddWish.decode(ladder._wish(chat, began, began - 5)).at == began - 5
