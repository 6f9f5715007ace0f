"""What could not be read is asked for and comes once; nobody can be made to repair for ever."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from parlour.conversation import bundles, repair
from parlour.conversation.content import ResendRequest, Resent, Text, encode
from parlour.conversation.events import (
    DeviceLeftOut,
    DevicesChanged,
    HistoryMismatch,
    MessageMissing,
    MessageReceived,
    MessageUnreadable,
    RequestFull,
)
from parlour.conversation.reasons import Reason
from parlour.errors import Code, ParlourError
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer
from parlour.wire.kinds import Kind
from parlour.wire.push import PushDeviceList
from tests.scenario.people import heard, meet_again, strangers, two

DAY = 24 * 3_600_000


def drop_parts(server: MemoryServer, to: MemoryDevice, *numbers: int) -> None:
    """Hide the parts of these conversation entries from one device."""
    device = to.machine.device_id

    def deliver(entry, device_id):  # type: ignore[no-untyped-def]
        hide = entry.seq in numbers and device_id == device and entry.stream != device
        return [replace(entry, part=None) if hide else entry]

    server.deliver = deliver


def control(sender: MemoryDevice, to: MemoryDevice, content: ResendRequest | Resent | Text) -> None:
    """Put control content in somebody's inbox, as a program that was changed would."""
    sender.machine._sending.send_to_inbox(
        to.machine.account_id, to.machine.device_id, content, sender.server.now
    )
    sender.settle()


def appended(server: MemoryServer, to: MemoryDevice) -> int:
    return len(server.streams[to.machine.device_id].entries)


def test_repaired_messages_do_not_count_as_missing() -> None:
    server, alice, bob = two()
    drop_parts(server, bob, 3, 4)
    for text in ("three", "four", "five"):
        alice.say("bob", text)
    bob.pull()
    assert bob.texts() == ["hello", "five"]
    alice.pull()
    bob.pull()
    assert bob.texts() == ["hello", "three", "four", "five"]
    alice.say("bob", "six")
    bob.pull()
    assert heard(bob, MessageMissing) == []
    unreadable = heard(bob, MessageUnreadable)
    assert [event.until - event.message.stored_at for event in unreadable] == [7 * DAY] * 2  # type: ignore[operator]


def test_it_is_asked_for_thrice_in_a_week_and_then_given_up() -> None:
    server, alice, bob = two()
    drop_parts(server, bob, 3)
    alice.say("bob", "three")
    alice.disconnect()
    bob.pull()
    asked = [appended(server, alice)]
    for _ in range(6):
        due = bob.machine.next_timeout()
        assert due is not None
        bob.wait(DAY)
        asked.append(appended(server, alice))
    assert asked == [1, 2, 3, 3, 3, 3, 3]
    bob.wait(DAY)
    assert [event.reason for event in heard(bob, MessageUnreadable)] == [
        Reason.NO_PART,
        Reason.LOST,
    ]
    assert not bob.store.records["held"]  # type: ignore[index]


def test_a_device_that_left_is_not_waited_for_in_a_loop() -> None:
    server, alice, bob = two()
    tablet = MemoryDevice(server, "alice", seed="tablet", beside=alice)
    tablet.connect()
    drop_parts(server, bob, 3)
    tablet.say("bob", "three")
    bob.pull()
    assert [event.reason for event in heard(bob, MessageUnreadable)] == [Reason.NO_PART]
    alice.remove(tablet)
    bob.connect()
    for _ in range(20):
        due = bob.machine.next_timeout()
        assert due is not None
        assert due > server.now
        bob.wait(max(due - server.now, DAY // 2))
    assert heard(bob, MessageUnreadable)[-1].reason is Reason.LOST


def test_what_a_removed_device_sends_is_not_read() -> None:
    server, alice, bob = two()
    stolen = MemoryDevice(server, "alice", seed="stolen", beside=alice)
    stolen.connect()
    stolen.say("bob", "still mine")
    bob.pull()
    alice.remove(stolen)
    bob.say("alice", "who was that?")
    before = [(e.added, e.removed) for e in heard(bob, DevicesChanged)]
    server.accounts[alice.machine.account_id].entries.append(
        server.accounts[alice.machine.account_id].entries.pop()
    )
    bob.connect()
    bob.say("alice", "only you")
    assert heard(bob, DevicesChanged)[-1].removed == (stolen.machine.device_id,)
    assert before
    stream = server.streams[bob.machine.positions()[-1].stream]
    assert stolen.machine.device_id not in stream.entries[-1].parts


def test_what_was_sealed_for_a_device_does_not_go_out_once_it_left() -> None:
    server, alice, bob = two()
    stolen = MemoryDevice(server, "bob", seed="stolen", beside=bob)
    stolen.connect()
    alice.connect()
    alice.say("bob", "both")

    def offline(step: str) -> None:
        if step == "before request":
            raise ParlourError(Code.NETWORK_CLOSED)

    alice.fault = offline
    alice.machine.send(bob.machine.account_id, Text("not for the thief"), server.now)
    alice.settle()
    bob.remove(stolen)
    alice.fault = lambda step: None
    alice.connect()
    stream = server.streams[alice.machine.positions()[-1].stream]
    assert stolen.machine.device_id not in stream.entries[-1].parts
    bob.pull()
    assert bob.texts() == ["hello", "both", "not for the thief"]
    bob.say("alice", "fine")
    alice.pull()
    assert heard(alice, HistoryMismatch) == heard(bob, HistoryMismatch) == []


def test_a_new_device_gets_what_was_sent_before_it_was_known() -> None:
    server, alice, bob = two()
    tablet = MemoryDevice(server, "bob", seed="tablet", beside=bob)
    alice.say("bob", "sent meanwhile")  # Alice does not know of the tablet yet
    tablet.connect()
    assert {event.reason for event in heard(tablet, MessageUnreadable)} == {Reason.NO_PART}
    alice.pull()
    bob.pull()
    tablet.pull()
    assert tablet.texts() == ["hello", "hello to you", "sent meanwhile"]
    assert [e.added for e in heard(bob, DevicesChanged)] == [] or heard(bob, DevicesChanged)
    bob.connect()
    assert (tablet.machine.device_id,) in [e.added for e in heard(bob, DevicesChanged)]


def test_own_devices_see_what_one_of_them_says() -> None:
    server, alice, bob = strangers()
    tablet = MemoryDevice(server, "alice", seed="tablet", beside=alice)
    tablet.connect()
    alice.connect()
    alice.say("bob", "one")
    tablet.pull()
    tablet.say("bob", "two")
    for device in (alice, bob, tablet):
        device.pull()
    assert bob.texts() == ["one", "two"]
    assert tablet.texts() == ["one"]
    assert alice.texts() == ["two"]
    drop_parts(server, tablet, 3)
    alice.say("bob", "three")
    tablet.pull()
    alice.pull()
    tablet.pull()
    assert tablet.texts() == ["one", "three"]


def test_a_list_that_is_older_than_the_entry_is_read_once_more() -> None:
    """The answer was on its way when the new device was added and wrote."""
    server, alice, bob = two()
    tablet = MemoryDevice(server, "alice", seed="tablet", beside=alice)
    tablet.connect()
    tablet.say("bob", "from the tablet")
    account = server.accounts[alice.machine.account_id]
    stale = [account.entries[0]]
    answers = 0

    def answer(device_id, kind, body, honest):  # type: ignore[no-untyped-def]
        nonlocal answers
        if kind is Kind.READ_DEVICE_LIST and body.account_id == account.account_id:
            answers += 1
            if answers == 1:
                return replace(honest, entries=stale)
        return honest

    server.answer = answer
    bob.pull()
    assert bob.texts() == ["hello", "from the tablet"]
    assert heard(bob, MessageUnreadable) == []


def test_entries_wait_for_the_list_over_a_restart() -> None:
    server, alice, bob = strangers()
    alice.say("bob", "one")

    def no_lists(device_id, kind, body, honest):  # type: ignore[no-untyped-def]
        if kind is Kind.READ_DEVICE_LIST:
            raise ParlourError(Code.NETWORK_TIMEOUT)
        return honest

    server.answer = no_lists
    bob.pull()
    assert bob.texts() == []
    server.answer = lambda device_id, kind, body, answer: answer
    bob.restart()
    bob.connect()
    assert bob.texts() == ["one"]


def test_entries_of_unknown_devices_beyond_the_bound_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(repair, "MAX_HELD", 5)
    _, alice, bob = strangers()
    for text in ("one", "two"):
        alice.say("bob", text)
    bob.pull()
    assert bob.texts() == ["one"]
    assert [event.count for event in heard(bob, RequestFull)] == [1]


def test_a_new_device_of_a_contact_beyond_the_bound_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server, alice, bob = two()
    laptop = MemoryDevice(server, "alice", seed="laptop", beside=alice, linked=True)
    laptop.connect()
    monkeypatch.setattr(repair, "MAX_HELD", 5)
    for text in ("one", "two"):
        laptop.say("bob", text)
    bob.pull()
    assert bob.texts() == ["hello", "one"]
    assert [event.reason for event in heard(bob, MessageUnreadable)] == [Reason.DEVICE_LIST]


# --- Malicious peers ---------------------------------------------------------------------


def test_nobody_gets_what_was_said_to_somebody_else() -> None:
    server, alice, bob = two()
    carol = MemoryDevice(server, "carol")
    carol.connect()
    carol.say("alice", "hello")
    alice.pull()
    secret = alice.say("bob", "secret")
    alice.say("carol", "for carol")
    before = appended(server, carol)
    for named in (carol, bob, alice):
        control(
            carol,
            alice,
            ResendRequest(named.machine.account_id, secret, Reason.NO_PART.value),
        )
    alice.pull()
    carol.pull()
    assert appended(server, carol) == before
    assert carol.texts() == ["for carol"]


def test_one_id_asked_for_by_two_goes_to_the_one_it_belongs_to() -> None:
    server, alice, bob = two()
    carol = MemoryDevice(server, "carol")
    carol.connect()
    carol.say("alice", "hello")
    alice.pull()
    secret = alice.say("bob", "secret")
    before = appended(server, carol), appended(server, bob)
    for asking in (bob, carol):
        asking.machine._sending.send_to_inbox(
            alice.machine.account_id,
            alice.machine.device_id,
            ResendRequest(asking.machine.account_id, secret, ""),
            server.now,
        )
        asking.settle()
    alice.pull()
    assert (appended(server, carol), appended(server, bob)) == (before[0], before[1] + 1)


def test_a_flood_of_requests_is_answered_thrice() -> None:
    server, alice, bob = two()
    message_id = alice.say("bob", "again and again")
    before = appended(server, bob)
    for _ in range(10):
        control(bob, alice, ResendRequest(bob.machine.account_id, message_id, ""))
        alice.pull()
    assert appended(server, bob) - before == repair.MAX_RESENT


def test_what_nobody_asked_for_changes_nothing() -> None:
    server, alice, bob = two()
    control(alice, bob, Resent(bytes(16), 0, encode(Text("never asked"))))
    control(alice, bob, Text("in the inbox"))
    bob.pull()
    assert bob.texts() == ["hello"]
    drop_parts(server, bob, 3)
    message_id = alice.say("bob", "three")
    bob.pull()
    for content in (b"?", encode(ResendRequest(bytes(16), bytes(16), ""))):
        control(alice, bob, Resent(message_id, 0, content))
    bob.pull()
    assert bob.texts() == ["hello"]
    alice.pull()  # the honest answer still comes
    bob.pull()
    assert bob.texts() == ["hello", "three"]


def test_somebody_elses_message_can_not_be_resent() -> None:
    server, alice, bob = two()
    carol = MemoryDevice(server, "carol")
    carol.connect()
    carol.say("bob", "hello")
    drop_parts(server, bob, 3)
    message_id = alice.say("bob", "three")
    bob.pull()
    control(carol, bob, Resent(message_id, 0, encode(Text("forged"))))
    bob.pull()
    assert "forged" not in bob.texts()


def test_control_content_in_a_conversation_is_malformed() -> None:
    server, alice, bob = two()
    content = ResendRequest(bytes(16), bytes(16), "")
    alice.machine.send(bob.machine.account_id, content, server.now)
    alice.settle()
    bob.pull()
    assert [event.reason for event in heard(bob, MessageUnreadable)] == [Reason.MALFORMED]
    assert len(heard(bob, MessageReceived)) == 1


def test_wrong_counters_are_harmless() -> None:
    _, alice, bob = two()
    conversation = alice.machine._memory.conversations[bob.machine.account_id]
    for counter in (7, 2, (1 << 63) - 2, 3):
        conversation.sent_counter = counter
        alice.say("bob", f"{counter}")
        bob.pull()
    assert len(bob.texts()) == 5
    assert len(heard(bob, MessageMissing)) == 2
    count = bob.machine._memory.conversations[alice.machine.account_id].senders
    assert len(count[alice.machine.device_id].missing) == 1000


def test_a_message_beyond_the_jump_gets_a_fresh_session() -> None:
    server, alice, bob = two()
    sessions = alice.machine._memory.sessions(
        alice.machine.contacts[bob.machine.account_id].identities()[0]
    )
    sessions.encrypt_batch([(b"", b"")] * 2_100, server.now // 1000, alice.random)
    alice.say("bob", "far on")
    bob.pull()
    assert [event.reason for event in heard(bob, MessageUnreadable)] == [Reason.NO_SESSION]
    alice.pull()
    bob.pull()
    assert bob.texts() == ["hello", "far on"]


def test_resets_are_rare() -> None:
    """Whoever sends what can't be read does not make us start session after session."""
    server, alice, bob = two()
    fetched = 0

    def count(device_id, kind, body, honest):  # type: ignore[no-untyped-def]
        nonlocal fetched
        fetched += kind is Kind.FETCH_BUNDLES
        return honest

    server.answer = count
    bob.machine._memory.delete_sessions(alice.machine.device_id)
    for number in range(5):
        alice.say("bob", f"lost {number}")
    bob.pull()
    assert [event.reason for event in heard(bob, MessageUnreadable)] == [Reason.NO_SESSION] * 5
    assert fetched == 1
    meet_again(alice, bob)
    assert fetched == 1
    assert bob.texts() == ["hello", *(f"lost {number}" for number in range(5))]
    assert heard(bob, MessageMissing) == []


# --- Time --------------------------------------------------------------------------------


def test_a_peer_who_was_silent_for_a_month_is_written_to_anew() -> None:
    server, alice, bob = strangers()
    alice.say("bob", "unanswered")
    server.now += 31 * DAY
    bob.connect()  # publishes fresh prekeys
    bob.disconnect()
    alice.connect()
    alice.say("bob", "are you there?")
    assert alice.machine.waiting == 0
    bob.connect()
    assert "are you there?" in bob.texts()


def test_a_device_that_was_away_for_long_is_left_out_until_it_is_back() -> None:
    server, alice, bob = strangers()
    tablet = MemoryDevice(server, "bob", seed="tablet", beside=bob)
    server.now += 91 * DAY
    bob.restart()
    bob.connect()
    alice.restart()
    alice.connect()
    alice.say("bob", "hello")
    bob.pull()
    assert bob.texts() == ["hello"]
    assert [event.device_id for event in heard(alice, DeviceLeftOut)] == [tablet.machine.device_id]
    tablet.restart()
    tablet.connect()
    alice.wait(bundles.LEFT_OUT_FOR)
    alice.pull()
    tablet.pull()
    assert tablet.texts() == ["hello"]


@pytest.mark.parametrize("jump", [400 * DAY, -400 * DAY])
def test_a_clock_that_jumps_and_comes_back(jump: int) -> None:
    server, alice, bob = two()
    server.now += jump
    for device in (alice, bob):
        device.restart()
        device.connect()
        device.wait(1)
    alice.say("bob", "in another time")
    bob.pull()
    server.now -= jump
    for device in (alice, bob):
        device.restart()
        device.connect()
        device.wait(1)
    alice.say("bob", "back")
    bob.pull()
    bob.say("alice", "welcome")
    alice.pull()
    assert bob.texts() == ["hello", "in another time", "back"]
    assert alice.texts() == ["hello to you", "welcome"]
    due = alice.machine.next_timeout()
    assert due is not None
    assert due <= server.now + DAY


def test_a_list_that_grew_is_read_when_the_server_says_so() -> None:
    server, alice, bob = two()
    MemoryDevice(server, "bob", seed="tablet", beside=bob)
    alice.machine.pushed(PushDeviceList(bob.machine.account_id, 1), server.now)
    alice.machine.pushed(PushDeviceList(bob.machine.account_id, 0), server.now)
    alice.machine.pushed(PushDeviceList(bytes(16), 1), server.now)
    alice.settle()
    assert len(heard(alice, DevicesChanged)) == 1


def test_a_rotation_that_did_not_reach_the_server_is_published_after_a_restart() -> None:
    server, alice, _ = two()
    server.now += 8 * DAY
    alice.machine.handle_timeout(server.now)  # rotates, and the process dies before it is told
    alice._write()
    before = {p.key_id for p in server.prekeys[alice.machine.device_id] if p.kind == "signed"}
    alice.restart()
    alice.connect()
    after = {p.key_id for p in server.prekeys[alice.machine.device_id] if p.kind == "signed"}
    assert before != after
