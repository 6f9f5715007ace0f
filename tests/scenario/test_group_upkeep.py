"""What becomes of a group by itself with time: keys are renewed, idle devices go and come."""

from __future__ import annotations

import pytest

from parlour.conversation import state
from parlour.conversation.content import Text
from parlour.conversation.groups import committing
from parlour.conversation.groups.chat import MAX_READ
from parlour.conversation.groups.records import GroupState
from parlour.conversation.groups.renewing import FIRST_AFTER, FIRST_WINDOW, PER_LEAF, Renewing
from parlour.conversation.policies import MAX_XWING_LEAVES
from parlour.conversation.presets import group_policy, policy_of
from parlour.conversation.records import Setting
from parlour.errors import Code, ParlourError
from parlour.mls.public.types import LeafIndex
from parlour.roster.genesis import Kind
from parlour.testing.device import MemoryDevice
from parlour.wire.limits import MAX_HANDSHAKE_BODY
from tests.scenario.conversations import settle, view
from tests.scenario.parties import Party, chat_of
from tests.scenario.test_direct import strangers

DAY = 24 * 3_600_000


def live(party: Party, days: int, *, hours: int = 24) -> None:
    """Let days pass for all who are online."""
    for _ in range(days * 24 // hours):
        party.server.now += hours * 3_600_000
        party.settle(2, step=1_000)


@pytest.mark.parametrize("days", [43, 46])
def test_a_linked_device_that_is_away_too_long_is_taken_out_and_comes_again(days: int) -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    tablet = party.add_device("bob", beside=bob)
    party.settle()
    party.check_together()
    tablet.disconnect()
    said = []
    for day in range(days):
        if day % 5 == 0:
            said.append(f"on day {day}")
            party.say(alice, said[-1])
        live(party, 1)
    party.settle()
    party.check_together([alice, bob, carol])
    idle = days > 45
    assert party.view(bob).leaves == (3 if idle else 4)
    assert alice.machine.counters.get("commit.refused", 0) == 0
    said.append("while you were away")
    party.say(alice, said[-1])
    # It is on its account's list all the time, and not let in again without a sign of life.
    live(party, 1)
    assert party.view(bob).leaves == (3 if idle else 4)
    tablet.connect()
    party.settle(60, step=60_000)
    party.check_together()
    assert party.view(tablet).leaves == 4
    said.append("welcome back")
    party.say(alice, said[-1])
    party.say(tablet, "thanks")
    party.settle()
    assert sorted(tablet.texts()) == sorted(said)
    assert bob.texts() == [*said, "thanks"]
    assert tablet.machine.groups[party.group].state is GroupState.ACTIVE


def test_the_first_device_of_an_account_may_be_away_longer() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    bob.disconnect()
    live(party, 170, hours=48)
    assert party.view(alice).leaves == 2
    live(party, 14, hours=48)
    assert party.view(alice).leaves == 1
    epoch = party.view(alice).epoch
    live(party, 1)
    assert party.view(alice).epoch == epoch
    bob.connect()
    party.settle(60, step=60_000)
    party.check_together()
    party.say(alice, "half a year")
    party.settle()
    assert bob.texts() == ["half a year"]


def test_keys_are_renewed_in_time_each_device_at_its_own() -> None:
    party = Party("alice", "bob", "carol")
    live(party, 1, hours=1)
    # Who has come has renewed them since; who founded it need not.
    after = [chat_of(device, party).record.refreshed_at for device in party.devices]
    assert sum(at > party.server.now - DAY for at in after[1:]) == 2
    assert not any(chat_of(device, party).record.renew_at for device in party.devices)
    live(party, 7, hours=4)
    renewed = [chat_of(device, party).record.refreshed_at for device in party.devices]
    assert len(set(renewed)) > 1
    assert all(new > old for new, old in zip(renewed, after, strict=True))
    live(party, 8, hours=4)
    again = [chat_of(device, party).record.refreshed_at for device in party.devices]
    gaps = [new - old for new, old in zip(again, renewed, strict=True)]
    assert all(gap > 3 * DAY for gap in gaps)
    party.check_together()


def test_keys_are_renewed_after_so_many_messages() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    epoch = party.view(alice).epoch
    most = policy_of("default", Kind.GROUP).update_messages
    chat_of(alice, party).record.sent_since = most - 1
    party.say(alice, "the last of many")
    alice.settle()
    party.settle(1)
    assert party.view(alice).epoch == epoch + 1
    assert chat_of(alice, party).record.sent_since == 0
    party.say(alice, "the first")
    party.settle()
    assert bob.texts() == ["the last of many", "the first"]
    assert party.view(alice).epoch == epoch + 1


def test_many_who_come_at_once_renew_their_keys_one_after_another() -> None:
    party = Party(*(f"p{n}" for n in range(12)))
    joined = party.devices[1:]
    moments = sorted(chat_of(device, party).record.renew_at for device in joined)
    assert all(moments)
    assert len(set(moments)) == len(moments)
    assert moments[-1] - moments[0] > FIRST_WINDOW // 2
    assert moments[0] > party.server.now
    assert moments[-1] <= party.server.now + FIRST_AFTER + FIRST_WINDOW
    epoch = party.view(joined[0]).epoch
    live(party, 1, hours=1)
    party.check_together()
    # Nobody had to try twice: each had its own moment.
    assert party.view(joined[0]).epoch == epoch + len(joined)
    assert sum(device.machine.counters.get("commit.lost", 0) for device in joined) <= 2


def test_the_window_grows_with_the_group() -> None:
    party = Party("alice", "bob")
    bob = party.devices[1]
    chat, now = chat_of(bob, party), party.server.now
    renewing = Renewing(bob.machine._memory)
    alone = chat.owners[LeafIndex(0)]
    chat._owners = {LeafIndex(n): alone for n in range(3_000)}
    moments = []
    for _ in range(3_000):
        renewing.came(chat, now)
        moments.append(chat.record.renew_at)
    window = 3_000 * PER_LEAF
    assert now + FIRST_AFTER <= min(moments) < max(moments) < now + FIRST_AFTER + window
    # No more than a few in any minute, where all at once would be 3,000.
    minutes = [at // 60_000 for at in moments]
    assert max(minutes.count(minute) for minute in set(minutes)) < 16


def test_who_was_away_with_all_others_does_not_act_at_once_with_them() -> None:
    party = Party("alice", "bob", "carol")
    for device in party.devices:
        device.disconnect()
    party.server.now += 8 * DAY
    for device in party.devices:
        device.connect()
    later = [chat_of(device, party).renews_after for device in party.devices]
    assert len(set(later)) == 3
    assert all(party.server.now <= at < party.server.now + 3 * PER_LEAF for at in later)
    party.settle(40)
    party.check_together()
    begun = party.server.now - DAY
    assert all(chat_of(device, party).record.refreshed_at > begun for device in party.devices)


def test_whoever_does_not_fit_into_a_commit_comes_with_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    party = Party("alice", "bob")
    alice, _ = party.devices
    others = [party.outsider(name) for name in ("carol", "dave", "erin")]
    # Room for the path of two leaves, and for two key packages.
    monkeypatch.setattr(committing, "_COMMIT_OVERHEAD", MAX_HANDSHAKE_BODY - 1_200)
    ids, epoch = [alice.meet(each.name) for each in others], party.view(alice).epoch
    alice.machine.group_add(party.group, ids, party.server.now)
    alice.settle()
    party.devices += others
    party.settle(3)
    for device in others:
        device.machine.accept_group(party.group, party.server.now)
    assert party.view(alice).epoch == epoch + 2
    party.check_together()


def test_what_is_not_needed_any_more_has_no_turn() -> None:
    """What comes instead waits its own time."""
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    laptop = party.add_device("alice", beside=alice)
    party.settle()
    alice.disconnect()
    bob.disconnect()
    tablet = MemoryDevice(party.server, "bob", seed="tablet", beside=bob, linked=True)
    chat, accounts = chat_of(carol, party), [alice.machine.account_id, bob.machine.account_id]
    carol.machine._directory.want_aside(accounts)
    carol.settle()
    assert chat.due.keys() == {"add"}
    bob.remove(tablet)
    alice.remove(laptop)
    laptop.disconnect()
    carol.machine._directory.want_aside(accounts)
    carol.settle()
    assert chat.due.keys() == {"remove"}
    party.devices.remove(laptop)
    party.reconnect()
    party.settle(8)
    party.check_together()
    assert party.view(carol).leaves == 3


def test_of_many_lists_that_change_at_once_none_is_overlooked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(state, "MAX_CONTACT_LOG", 1)
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    tablets = [
        MemoryDevice(party.server, each.name, seed="tablet", beside=each, linked=True)
        for each in (bob, carol)
    ]
    for tablet in tablets:
        tablet.connect()
    alice.machine._directory.want_aside(party.ids)
    alice.settle()
    party.devices += tablets
    party.settle()
    assert party.view(alice).leaves == 5
    party.check_together()


def test_no_more_people_and_devices_than_a_group_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    party = Party("alice", "bob", kind=Kind.FAMILY)
    alice, _ = party.devices
    party.outsider("carol")
    account = alice.meet("carol")
    chat = chat_of(alice, party)
    alice.machine.set_setting("preset", "famichat", party.server.now)
    full = dict.fromkeys([*chat.accounts, *(bytes([n]) * 16 for n in range(98))])
    with monkeypatch.context() as patch:
        patch.setattr(type(chat), "accounts", property(lambda _: list(full)))
        with pytest.raises(ParlourError) as caught:
            alice.machine.group_add(party.group, [account], party.server.now)
    assert caught.value.code is Code.GROUP_FULL
    with monkeypatch.context() as patch:
        patch.setattr("parlour.conversation.groups.wishes.max_leaves", lambda _: 2)
        with pytest.raises(ParlourError) as caught:
            alice.machine.group_add(party.group, [account], party.server.now)
    assert caught.value.code is Code.GROUP_FULL
    # A device more of somebody who is in: it stays out, and nobody else does.
    with monkeypatch.context() as patch:
        patch.setattr("parlour.conversation.groups.committing.max_leaves", lambda _: 2)
        party.add_device("bob", beside=party.devices[1])
        party.settle()
        assert party.view(alice).leaves == 2
        assert alice.machine.counters["group.full"]
    party.settle(40, step=60_000)
    assert party.view(alice).leaves == 3
    assert MAX_XWING_LEAVES > 2


def test_a_message_is_read_once_whatever_key_it_comes_under() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    message_id = alice.machine.send_to(party.group, Text("once"), party.server.now)
    outgoing = alice.machine._memory.outbox[message_id]
    alice.settle()
    party.settle(1)
    # Alice's device says it again under the same id, with another key; the server lets it pass.
    party.server.streams[party.group].by_client_id.clear()
    alice.machine._memory.put_outgoing(outgoing)
    alice.settle()
    party.settle(1)
    assert bob.texts() == ["once"]
    assert bob.machine.counters["unreadable.repeated"] == 1
    assert len(party.server.streams[party.group].entries) == 4


def test_what_is_remembered_of_messages_is_bounded() -> None:
    party = Party("alice", "bob")
    chat = chat_of(party.devices[0], party)
    for n in range(MAX_READ + 1):
        chat.note_read(bytes(16), n.to_bytes(16))
    assert chat.was_read(bytes(16), MAX_READ.to_bytes(16))
    assert len(chat.read) == MAX_READ


def test_a_group_is_looked_after_by_the_persons_preset() -> None:
    assert group_policy({}, Kind.GROUP) is policy_of("default", Kind.GROUP)
    chosen = {"preset": Setting("famichat", 1)}
    assert group_policy(chosen, Kind.CHANNEL) is policy_of("famichat", Kind.CHANNEL)
    # Of two on MLS, where the person's own preset is pairwise, or a newer program's.
    for settings in ({}, {"preset": Setting("of tomorrow", 1)}):
        assert group_policy(settings, Kind.DIRECT) is policy_of("default-mls", Kind.DIRECT)
    for preset in ("default", "default-mls", "famichat", "securecomm"):
        assert all(policy_of(preset, kind).refuses_replays for kind in Kind)


def test_two_people_renew_their_keys_too() -> None:
    server, alice, bob = strangers("default-mls", "default")
    alice.say("bob", "hello")
    settle(alice, bob)
    epoch = view(alice, bob).epoch
    for _ in range(8):
        server.now += DAY
        settle(alice, bob, rounds=2)
    assert view(alice, bob).epoch >= epoch + 3
    bob.say("alice", "after a week")
    settle(alice, bob)
    assert alice.texts() == ["after a week"]


# --- The keys that sign ----------------------------------------------------------------------


def signing_key(party: Party, of: MemoryDevice, seen_by: MemoryDevice) -> bytes:
    """The key of a device's leaf, in the tree of another one."""
    chat = chat_of(seen_by, party)
    index = chat.leaf_of(of.machine.device_id)
    assert index is not None
    leaf = chat.live().member.public.tree.leaf(index)
    assert leaf is not None
    return leaf.signature_key


def test_whoever_suspects_something_signs_with_another_key() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    before = signing_key(party, alice, bob)
    alice.machine.group_refresh(party.group, party.server.now)
    alice.settle()
    party.settle()
    after = signing_key(party, alice, bob)
    assert after != before
    party.check_together()
    party.say(alice, "it is still me")
    party.settle()
    assert bob.texts() == ["it is still me"]


def test_a_leaf_signs_with_another_key_after_ninety_days() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    live(party, 3)
    before = signing_key(party, alice, bob)
    live(party, 77)
    assert signing_key(party, alice, bob) == before
    live(party, 25)
    assert signing_key(party, alice, bob) != before
    party.check_together()
    party.say(alice, "it is still me")
    party.settle()
    assert bob.texts() == ["it is still me"]
