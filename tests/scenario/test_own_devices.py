"""One person's devices: what each of them gets, and how they come to agree."""

from __future__ import annotations

from copy import deepcopy
from typing import TypeVar

import pytest
from msgspec.structs import replace

from parlour.conversation import content as contents
from parlour.conversation.beginning import first_changes
from parlour.conversation.changes import MessageState, Namespace
from parlour.conversation.contact import Verification
from parlour.conversation.decided import MOST_AHEAD
from parlour.conversation.events import (
    DeviceAhead,
    DevicesChanged,
    Event,
    HistoryMismatch,
    KeyChanged,
    MessageMissing,
    MessageUnreadable,
    NamesDiffer,
    ProfileChanged,
    ReadElsewhere,
    RequestReceived,
    ServerMisbehaved,
    SettingChanged,
    StandingChanged,
)
from parlour.conversation.people import QUIET
from parlour.conversation.records import Conversation
from parlour.conversation.standing import Standing
from parlour.conversation.sync import (
    AnnouncedProfile,
    ContactSync,
    Forgotten,
    ProfileKeyGiven,
    ReadUpTo,
    SettingSync,
    SyncRequest,
)
from parlour.errors import Code, ParlourError
from parlour.identity.device_list import MAX_DEVICES
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer
from parlour.wire.streams import Entry
from tests.scenario.lies import behave, deliver
from tests.scenario.people import heard, strangers, two

E = TypeVar("E", bound=Event)

_TROUBLE = (MessageUnreadable, MessageMissing, HistoryMismatch, KeyChanged, ServerMisbehaved)
_HOUR = 3_600_000


def laptop_of(device: MemoryDevice, *, linked: bool = True) -> MemoryDevice:
    """A further device, connected, of which the older one knows."""
    laptop = MemoryDevice(device.server, device.name, seed="laptop", beside=device, linked=linked)
    laptop.connect()
    device.connect()
    settle(device, laptop)
    return laptop


def settle(*devices: MemoryDevice) -> None:
    for _ in range(3):
        for device in devices:
            device.pull()


def trouble(*devices: MemoryDevice) -> list[Event]:
    return [event for device in devices for event in device.events if isinstance(event, _TROUBLE)]


def three() -> tuple[MemoryServer, MemoryDevice, MemoryDevice, MemoryDevice]:
    """Alice with a phone and a laptop that it linked, and Bob; the phone has met Bob."""
    server, phone, bob = two()
    server.now += _HOUR
    laptop = laptop_of(phone)
    # The first setting founds the conversation of the devices.
    phone.machine.set_setting("language", "en", server.now)
    phone.settle()
    settle(laptop)
    bob.connect()
    laptop.events.clear()
    return server, phone, laptop, bob


def test_a_linked_device_knows_the_contacts_and_reads_on() -> None:
    _, phone, laptop, bob = three()
    contact = laptop.machine.contact_named("bob")
    assert contact is not None
    assert contact.standing is Standing.ACCEPTED
    bob.say("alice", "to both")
    phone.say("bob", "from the phone")
    laptop.say("bob", "from the laptop")
    settle(phone, laptop, bob)
    assert bob.texts()[-2:] == ["from the phone", "from the laptop"]
    assert phone.texts() == ["hello to you", "to both", "from the laptop"]
    assert laptop.texts() == ["to both", "from the phone"]
    assert trouble(phone, laptop, bob) == []


def test_every_device_has_the_same_order() -> None:
    _, phone, laptop, bob = three()
    for number in range(12):
        (phone, laptop, bob)[number % 3].say("alice" if number % 3 == 2 else "bob", str(number))
    settle(phone, laptop, bob)
    orders = [
        [
            contents.decode(message.content)
            for message in sorted(device.store.messages.values(), key=lambda each: each.seq or 0)
            if message.state in (MessageState.SENT, MessageState.RECEIVED)
        ][-12:]
        for device in (phone, laptop, bob)
    ]
    assert orders[0] == orders[1] == orders[2]


def test_read_positions_and_settings_follow() -> None:
    server, phone, laptop, bob = three()
    bob_id = bob.machine.account_id
    bob.say("alice", "read me")
    settle(phone, laptop)
    (last,) = [m.seq for m in laptop.store.messages.values() if m.seq]
    laptop.machine.mark_read(bob_id, last or 0, server.now)
    laptop.machine.mark_read(bob_id, 1, server.now)
    laptop.machine.mark_read(bob_id, 1000, server.now)
    laptop.machine.set_setting("colour", "red", server.now)
    laptop.settle()
    settle(phone)
    assert phone.machine.read_up_to(bob_id) == last
    assert [event.seq for event in heard(phone, ReadElsewhere)] == [last]
    assert phone.machine.settings == laptop.machine.settings == {"language": "en", "colour": "red"}
    assert [event.value for event in heard(phone, SettingChanged)] == ["red"]
    assert not heard(laptop, ReadElsewhere)


def test_of_read_positions_only_the_last_one_waits() -> None:
    server, phone, laptop, bob = three()
    for number in range(3):
        bob.say("alice", str(number))
    settle(phone, laptop)
    phone.disconnect()
    for seq in (3, 4, 5):
        phone.machine.mark_read(bob.machine.account_id, seq, server.now)
        phone.settle()
    assert len(phone.machine._memory.outbox) == 1
    assert not phone.machine.waiting
    assert phone.machine.telling
    assert not phone.machine.caught_up


def test_a_read_position_drops_nothing_that_is_on_its_way() -> None:
    server, phone, laptop, bob = three()
    for number in range(3):
        bob.say("alice", str(number))
    settle(phone, laptop)
    assert phone.machine.caught_up
    bob_id = bob.machine.account_id
    phone.machine.mark_read(bob_id, 3, server.now)
    phone.machine.outgoing(server.now)  # sealed, and not yet answered
    phone.machine.set_setting("colour", "red", server.now)
    phone.machine.mark_read(bob_id, 4, server.now)
    phone.machine.mark_read(bob_id, 5, server.now)
    assert len(phone.machine._memory.outbox) == 3
    phone.connect()
    settle(phone, laptop)
    assert not phone.machine.telling
    assert laptop.machine.read_up_to(bob_id) == 5
    assert laptop.machine.settings["colour"] == "red"


def test_a_linked_device_reads_on_where_the_old_one_has_only_read() -> None:
    _, alice, bob = strangers()
    alice.say("bob", "before")
    bob.pull()
    bob.machine.accept_request(alice.machine.account_id, bob.server.now)
    bob.settle()
    laptop = laptop_of(bob)
    alice.connect()
    alice.say("bob", "to both")
    settle(alice, bob, laptop)
    assert laptop.texts() == ["to both"]
    assert not trouble(bob, laptop)


def test_of_two_decisions_the_later_counts_on_all_devices() -> None:
    server, phone, laptop, bob = three()
    bob_id = bob.machine.account_id
    phone.disconnect()
    laptop.disconnect()
    phone.machine.set_setting("colour", "red", server.now)
    phone.machine.block(bob_id, server.now)
    server.now += 1000
    laptop.machine.set_setting("colour", "blue", server.now)
    laptop.machine.block(bob_id, server.now)
    laptop.machine.unblock(bob_id, server.now)
    laptop.settle()
    phone.settle()
    laptop.connect()
    phone.connect()
    settle(phone, laptop)
    for device in (phone, laptop):
        assert device.machine.settings == {"language": "en", "colour": "blue"}
        assert device.machine.contacts[bob_id].standing is Standing.STRANGER


def test_a_decision_overrides_one_of_a_clock_that_is_ahead() -> None:
    server, phone, laptop, bob = three()
    ahead = server.now + 30 * 24 * _HOUR
    phone.machine.set_setting("colour", "red", ahead)
    phone.machine.block(bob.machine.account_id, ahead)
    phone.settle()
    settle(laptop)
    laptop.machine.set_setting("colour", "blue", server.now)
    laptop.machine.unblock(bob.machine.account_id, server.now)
    laptop.settle()
    settle(phone)
    assert phone.machine.settings == {"language": "en", "colour": "blue"}
    assert phone.machine.contacts[bob.machine.account_id].standing is Standing.STRANGER


def test_who_took_a_device_does_not_have_the_last_word() -> None:
    server, phone, laptop, bob = three()
    tablet = MemoryDevice(server, "alice", seed="tablet", beside=phone, linked=True)
    tablet.connect()
    laptop.connect()
    settle(phone, laptop, tablet)
    own, bob_id = phone.machine.account_id, bob.machine.account_id
    last = server.now + MOST_AHEAD
    for at in (last, (1 << 63) - 1):
        bobs = replace(
            laptop.machine._syncing._contact_sync(laptop.machine.contacts[bob_id]), standing_at=at
        )
        for lie in (SettingSync("colour", "red", at), bobs, ReadUpTo(bob_id, at)):
            laptop.machine._sending.send_silently(own, lie, server.now)
    laptop.settle()
    settle(phone, tablet)
    phone.remove(laptop)
    phone.connect()
    assert phone.machine.settings["colour"] == "red"
    server.now += 1000
    phone.machine.set_setting("colour", "blue", server.now)
    phone.machine.block(bob_id, server.now)
    phone.settle()
    settle(tablet, phone)
    new = MemoryDevice(server, "alice", seed="new", beside=tablet, linked=True)
    new.connect()
    for device in (phone, tablet, new):
        assert device.machine.settings["colour"] == "blue"
        assert device.machine.contacts[bob_id].standing is Standing.BLOCKED
    assert len(heard(phone, DeviceAhead)) == len(heard(tablet, DeviceAhead)) == 1


def test_a_block_follows_and_shows_on_every_device() -> None:
    server, phone, laptop, bob = three()
    phone.machine.block(bob.machine.account_id, server.now)
    phone.settle()
    settle(laptop)
    assert [event.standing for event in heard(laptop, StandingChanged)][-1] is Standing.BLOCKED
    bob.say("alice", "hello?")
    settle(phone, laptop)
    assert "hello?" not in phone.texts() + laptop.texts()
    assert trouble(phone, laptop) == []


def test_forgetting_follows_and_what_was_said_before_does_not_bring_it_back() -> None:
    server, phone, laptop, bob = three()
    bob_id = bob.machine.account_id
    laptop.disconnect()
    laptop.machine.block(bob_id, server.now)
    laptop.settle()
    server.now += 1000
    phone.machine.forget(bob_id, server.now)
    phone.settle()
    laptop.connect()
    settle(phone, laptop)
    for device in (phone, laptop):
        assert bob_id not in device.machine.contacts
        assert not [m for m in device.store.messages.values() if m.conversation == bob_id]
    # And it is a stranger when it comes again.
    phone.welcoming = laptop.welcoming = False
    bob.say("alice", "me again")
    settle(phone, laptop, bob)
    settle(phone, laptop, bob)
    for device in (phone, laptop):
        assert device.machine.contacts[bob_id].standing is Standing.REQUESTED


def test_writing_on_one_device_accepts_on_the_others() -> None:
    server, phone, laptop, _ = three()
    phone.welcoming = laptop.welcoming = False
    carol = MemoryDevice(server, "carol")
    carol.connect()
    carol.say("alice", "hi, it is Carol")
    settle(phone, laptop)
    assert "hi, it is Carol" not in phone.texts() + laptop.texts()
    laptop.say("carol", "hi Carol")
    settle(phone, laptop)
    assert {"hi, it is Carol", "hi Carol"} <= set(phone.texts())
    assert "hi, it is Carol" in laptop.texts()


def test_verifying_on_one_device_holds_on_the_others() -> None:
    server, phone, laptop, bob = three()
    laptop.machine.verify(bob.machine.account_id, server.now)
    laptop.settle()
    settle(phone)
    assert phone.machine.contacts[bob.machine.account_id].verification is Verification.VERIFIED
    tablet = MemoryDevice(server, "alice", seed="tablet", beside=phone, linked=True)
    tablet.connect()
    assert tablet.machine.contacts[bob.machine.account_id].verification is Verification.VERIFIED


def test_the_profile_follows_and_is_set_from_any_device() -> None:
    server, phone, laptop, bob = three()
    own, bob_id = phone.machine.account_id, bob.machine.account_id
    phone.machine.set_profile("Alice", "on the phone", b"picture")
    phone.settle()
    settle(laptop, bob)
    assert laptop.machine.profile(own).status == "on the phone"  # type: ignore[union-attr]
    laptop.machine.set_profile("Alice", "on the laptop", b"picture")
    laptop.settle()
    settle(phone, bob)
    for device in (phone, laptop, bob):
        assert device.machine.profile(own).status == "on the laptop"  # type: ignore[union-attr]
    assert len(heard(bob, ProfileChanged)) == 2
    assert phone.machine.profile(bob_id) is None
    tablet = MemoryDevice(server, "alice", seed="tablet", beside=phone, linked=True)
    tablet.connect()
    settle(tablet)
    assert tablet.machine.profile(own).picture == b"picture"  # type: ignore[union-attr]


def test_two_devices_that_set_the_profile_at_once_come_to_one() -> None:
    _, phone, laptop, bob = three()
    own = phone.machine.account_id
    for device in (phone, laptop):
        device.disconnect()
        device.machine.set_profile("Alice", device.name + str(device is phone))
        device.settle()
    phone.connect()
    laptop.connect()
    settle(phone, laptop, bob, phone, laptop, bob)
    said = {device.machine.profile(own).status for device in (phone, laptop, bob)}  # type: ignore[union-attr]
    assert len(said) == 1


def test_a_device_that_begins_alone_asks_the_others() -> None:
    server, phone, bob = two()
    server.now += _HOUR
    phone.machine.verify(bob.machine.account_id, server.now)
    phone.machine.set_setting("colour", "red", server.now)
    phone.machine.mark_read(bob.machine.account_id, 2, server.now)
    phone.settle()
    laptop = laptop_of(phone, linked=False)
    settle(phone, laptop)
    assert laptop.machine.settings == {"colour": "red"}
    assert laptop.machine.contacts[bob.machine.account_id].verification is Verification.VERIFIED
    assert laptop.machine.read_up_to(bob.machine.account_id) == 2
    bob.connect()
    # What was said before it came is not shown as unreadable, and nothing seems to be missing.
    bob.say("alice", "now with the laptop")
    settle(phone, laptop)
    assert laptop.texts() == ["now with the laptop"]
    assert trouble(phone, laptop, bob) == []
    laptop.restart()
    laptop.connect()
    assert not laptop.machine._memory.outbox


def begun_beside_a_liar() -> tuple[MemoryServer, MemoryDevice, MemoryDevice, MemoryDevice]:
    """Bob's tablet began alone, after Alice had spoken; then two messages were hidden from it."""
    server, alice, bob = two()
    alice.say("bob", "before it came")
    server.now += _HOUR
    tablet = MemoryDevice(server, "bob", seed="tablet", beside=bob)
    alice.connect()
    bob.connect()
    for text in ("one", "two", "three"):
        alice.say("bob", text)
    stream = server.streams[of_both(alice, bob).stream]
    last = len(stream.entries)

    def hide(entry: Entry) -> list[Entry]:
        return [] if entry.stream == stream.info.stream and entry.seq < last else [entry]

    deliver(server, hide, to=tablet)
    tablet.connect()
    return server, alice, bob, tablet


def of_both(device: MemoryDevice, peer: MemoryDevice) -> Conversation:
    return device.machine._memory.conversations[peer.machine.account_id]


def test_a_new_device_notices_that_the_beginning_is_hidden_from_it() -> None:
    _, alice, _, tablet = begun_beside_a_liar()
    assert tablet.texts() == ["three"]
    (missing,) = heard(tablet, MessageMissing)
    assert (missing.sender_device, len(missing.counters)) == (alice.machine.device_id, 2)


def test_and_reads_it_once_the_server_behaves() -> None:
    server, _, _, tablet = begun_beside_a_liar()
    behave(server)
    tablet.restart()
    tablet.connect()
    assert sorted(tablet.texts()) == ["one", "three", "two"]
    assert heard(tablet, MessageUnreadable) == []


def test_what_was_said_shortly_before_is_asked_for_again() -> None:
    server, phone, bob = two()
    server.now += 60_000
    laptop = laptop_of(phone, linked=False)
    settle(phone, laptop, bob)
    laptop.wait(1000)
    settle(phone, laptop, bob)
    assert laptop.texts() == ["hello", "hello to you"]


def test_a_message_of_another_device_is_a_yes() -> None:
    server, phone, laptop, bob = three()
    carol = MemoryDevice(server, "carol")
    carol.connect()
    phone.welcoming = laptop.welcoming = False
    carol.say("alice", "hi")
    settle(phone, laptop)
    carol_id = carol.machine.account_id
    # Its decision comes after its message.
    laptop.machine._sending.send(carol_id, laptop.content("you again"), server.now)
    laptop.settle()
    settle(phone)
    assert phone.machine.contacts[carol_id].standing is Standing.ACCEPTED
    assert {"hi", "you again"} <= set(phone.texts())
    assert bob.texts() == ["hello"]


def test_a_list_that_is_shown_to_one_device_alone_is_found_out() -> None:
    server, phone, laptop, bob = three()
    bob_id = bob.machine.account_id
    tablet = MemoryDevice(server, "bob", seed="tablet", beside=bob)
    tablet.connect()
    phone.connect()
    phone.say("bob", "to both of them")
    shown = server.accounts[bob_id].entries

    def hide(device_id, kind, body, answer):  # type: ignore[no-untyped-def]
        if device_id == laptop.machine.device_id and getattr(answer, "account_id", b"") == bob_id:
            return replace(answer, entries=shown[answer.first : 1], more=False)
        return answer

    server.answer = hide
    phone.machine.verify(bob_id, server.now)
    phone.settle()
    laptop.connect()
    settle(laptop)
    laptop.say("bob", "does it arrive?")
    assert Code.DEVICE_LIST_ROLLBACK in [
        event.reason for event in laptop.events if hasattr(event, "reason")
    ]
    assert laptop.machine.waiting == 1


def test_another_key_for_one_device_alone_stops_it() -> None:
    server, phone, bob = two()
    bob_id = bob.machine.account_id
    phone.machine.verify(bob_id, server.now)
    phone.settle()
    other = MemoryDevice(MemoryServer(), "bob", seed="other", account_id=bob_id)
    laptop = MemoryDevice(server, "alice", seed="laptop", beside=phone, linked=True)
    honest = list(server.accounts[bob_id].entries)
    server.accounts[bob_id].entries = other.server.accounts[bob_id].entries
    laptop.connect()
    contact = laptop.machine.contacts[bob_id]
    assert contact.stopped
    assert [event.stopped for event in heard(laptop, KeyChanged)] == [True]
    with pytest.raises(ParlourError) as caught:
        laptop.say("bob", "hello")
    assert caught.value.code is Code.ACCOUNT_KEY_CHANGED
    # The server comes round: what was verified holds again.
    server.accounts[bob_id].entries = honest
    laptop.restart()
    laptop.connect()
    contact = laptop.machine.contacts[bob_id]
    assert not contact.stopped
    assert contact.verification is Verification.VERIFIED


def test_names_that_a_server_swaps_for_one_device_are_told() -> None:
    server, phone, bob = two()
    carol = MemoryDevice(server, "carol")
    carol.connect()
    carol.say("alice", "hi")
    phone.pull()
    phone.machine.verify(bob.machine.account_id, server.now)
    phone.settle()
    laptop = MemoryDevice(server, "alice", seed="laptop", beside=phone, linked=True)
    swapped = {bob.machine.account_id: "carol", carol.machine.account_id: "bob"}

    def swap(device_id, kind, body, answer):  # type: ignore[no-untyped-def]
        if device_id == laptop.machine.device_id and hasattr(answer, "name"):
            return replace(answer, name=swapped.get(answer.account_id, answer.name))
        return answer

    server.answer = swap
    laptop.connect()
    assert {(event.name, event.said) for event in heard(laptop, NamesDiffer)} == {
        ("carol", "bob"),
        ("bob", "carol"),
    }
    for name in ("bob", "carol"):
        contact = laptop.machine.contact_named(name)
        assert contact is not None
        assert contact.verification is Verification.UNVERIFIED
        assert contact.standing is Standing.STRANGER


def test_accepting_the_other_key_is_for_a_person() -> None:
    server, phone, bob = two()
    bob_id = bob.machine.account_id
    phone.machine.verify(bob_id, server.now)
    other = MemoryDevice(MemoryServer(), "bob", seed="other", account_id=bob_id)
    laptop = MemoryDevice(server, "alice", seed="laptop", beside=phone, linked=True)
    server.accounts[bob_id].entries = other.server.accounts[bob_id].entries
    laptop.connect()
    laptop.machine.accept(bob_id, server.now)
    laptop.settle()
    assert not laptop.machine.contacts[bob_id].stopped


def test_what_is_lost_between_devices_is_asked_for_as_a_whole() -> None:
    server, phone, laptop, _bob = three()
    stream = phone.machine._memory.conversations[phone.machine.account_id].stream
    gone: list[object] = []

    def drop(entry, device_id):  # type: ignore[no-untyped-def]
        if entry.stream == stream and device_id == laptop.machine.device_id and not gone:
            gone.append(entry)
            return []
        return [entry]

    server.deliver = drop
    phone.machine.set_setting("colour", "red", server.now)
    phone.settle()
    phone.machine.set_setting("size", "large", server.now)
    phone.settle()
    settle(laptop)
    laptop.connect()
    settle(phone, laptop)
    assert laptop.machine.settings == {"language": "en", "colour": "red", "size": "large"}


def test_a_repeated_sync_is_not_shown() -> None:
    server, phone, laptop, _bob = three()
    own = laptop.machine._memory.conversations[phone.machine.account_id]
    (first, *_) = server.entries_for(laptop.machine.device_id, own.stream, 0)
    laptop.machine._repairing.repeated(first, own)
    assert laptop.machine.changes() == []


def test_unreadable_syncs_are_not_shown_and_repaired() -> None:
    server, phone, laptop, _bob = three()

    def strip(entry, device_id):  # type: ignore[no-untyped-def]
        first = entry.stream == stream and entry.part is not None
        return [replace(entry, part=entry.part[:-1] + b"x")] if first else [entry]

    stream = phone.machine._memory.conversations[phone.machine.account_id].stream
    server.deliver = strip
    phone.machine.set_setting("colour", "red", server.now)
    phone.settle()
    settle(laptop)
    server.deliver = lambda entry, device_id: [entry]
    assert not heard(laptop, MessageUnreadable)
    assert laptop.machine.settings == {"language": "en"}
    settle(phone, laptop)
    assert laptop.machine.settings == {"language": "en", "colour": "red"}
    assert phone.machine.account_id not in {m.conversation for m in laptop.store.messages.values()}


def test_a_sync_that_can_not_be_had_any_more_leads_to_asking_for_everything() -> None:
    server, phone, laptop, _bob = three()
    stream = phone.machine._memory.conversations[phone.machine.account_id].stream

    def strip(entry, device_id):  # type: ignore[no-untyped-def]
        return [replace(entry, part=None)] if entry.stream == stream else [entry]

    server.deliver = strip
    phone.machine.set_setting("colour", "red", server.now)
    phone.settle()
    settle(laptop)
    server.deliver = lambda entry, device_id: [entry]
    phone.store.messages.clear()
    laptop.wait(8 * 24 * _HOUR)
    settle(phone, laptop)
    assert laptop.machine.settings == {"language": "en", "colour": "red"}
    assert not heard(laptop, MessageUnreadable)


def test_other_devices_are_asked_for_everything_once_a_minute() -> None:
    """What they answer with may be hidden again: asked for at once, it would go on for ever."""
    server, _phone, laptop, _bob = three()
    stream = server.streams[laptop.machine._memory.conversations[laptop.machine.account_id].stream]

    def asked() -> int:
        senders = [stored.entry.sender_device for stored in stream.entries]
        return senders.count(laptop.machine.device_id)

    def miss_something() -> None:
        laptop.machine._receiving.histories.gaps += 1
        laptop.settle()

    before = asked()
    for _ in range(5):
        miss_something()
    assert asked() == before + 1
    due = laptop.machine.next_timeout()
    assert due is not None
    assert due <= server.now + 60_000
    laptop.wait(60_000)
    assert asked() == before + 2
    miss_something()
    laptop.wait(60_000)
    assert asked() == before + 2  # the second pause is longer
    laptop.wait(60_000)
    assert asked() == before + 3
    server.now -= 30_000
    miss_something()
    assert asked() == before + 4  # a clock that went back is no reason to wait


def test_the_last_device_has_nobody_to_tell() -> None:
    server, phone, laptop, _ = three()
    phone.remove(laptop)
    phone.connect()
    phone.machine.set_setting("colour", "red", server.now)
    phone.settle()
    assert not phone.machine._memory.outbox
    assert [len(event.removed) for event in heard(phone, DevicesChanged)][-1] == 1


def test_what_waits_for_a_device_that_leaves_is_dropped() -> None:
    server, phone, laptop, _ = three()
    phone.disconnect()
    phone.machine.set_setting("colour", "red", server.now)
    phone.settle()
    assert phone.machine._memory.outbox
    phone.remove(laptop)
    phone.connect()
    phone.settle()
    assert not phone.machine._memory.outbox


def test_syncs_in_a_conversation_with_others_are_malformed() -> None:
    server, phone, _, bob = three()
    for content in (SyncRequest(), Forgotten(bytes(16), 1)):
        bob.machine._sending.send_silently(phone.machine.account_id, content, server.now)
        bob.settle()
    phone.pull()
    assert len(heard(phone, MessageUnreadable)) == 2
    assert phone.machine.contact_named("bob") is not None


def test_a_notice_of_our_own_other_device_is_for_the_peer() -> None:
    server, phone, laptop, bob = three()
    notice = ProfileKeyGiven(AnnouncedProfile(b"k" * 32, 7, b"d" * 32))
    phone.machine._sending.send_silently(bob.machine.account_id, notice, server.now)
    phone.settle()
    settle(laptop)
    assert bob.machine.account_id not in laptop.machine._memory.profiles
    assert {m.state for m in laptop.store.messages.values()} <= {MessageState.RECEIVED}


@pytest.mark.parametrize("snapshot", [b"\xc0", b"\x95\x02\xc4\x00\xc3\x90\x90"])
def test_a_damaged_snapshot_is_refused(snapshot: bytes) -> None:
    _, phone, _ = two()
    memory = phone.machine._memory
    own = memory.contacts[memory.account_id]
    with pytest.raises(ParlourError) as caught:
        first_changes(memory.own, own, memory.prekeys, snapshot)
    assert caught.value.code in (Code.DECODE_MALFORMED, Code.DECODE_VERSION)


def test_a_snapshot_takes_what_fits() -> None:
    _server, phone, _laptop, bob = three()
    assert phone.store.records[Namespace.CONTACT]
    memory = phone.machine._memory
    contact = memory.contacts[bob.machine.account_id]
    for number in range(2500):
        account_id = number.to_bytes(16)
        head = type(contact.head)(
            account_id,
            contact.head.account_key,
            0,
            b"",
            0,
            contact.head.devices,
            bytes(64),
        )
        memory.contacts[account_id] = type(contact)(
            f"somebody-{number}", head, standing=Standing.ACCEPTED, standing_at=1
        )
    snapshot = phone.machine.snapshot()
    assert len(snapshot) < 224 << 10
    changes = first_changes(memory.own, contact, memory.prekeys, snapshot)
    syncs = [change for change in changes if getattr(change, "namespace", "") == Namespace.SYNC]
    assert 500 < len(syncs) < 2500
    assert isinstance(contents.decode(syncs[0].value), ContactSync)  # type: ignore[union-attr]


def test_fifty_devices_of_one_account_all_get_it() -> None:
    server, phone, bob = two()
    others = [
        MemoryDevice(server, "alice", seed=f"{number}", beside=phone, linked=True)
        for number in range(MAX_DEVICES - 1)
    ]
    bob.connect()
    bob.say("alice", "to all fifty")
    for device in others:
        device.connect()
    phone.connect()
    others[7].say("bob", "from the eighth")
    settle(bob)
    assert bob.texts()[-1] == "from the eighth"
    for device in (phone, *others):
        device.pull()
        assert "to all fifty" in device.texts()
        assert "from the eighth" in device.texts() or device is others[7]
    assert trouble(phone, bob, *others) == []


def test_a_no_by_a_clock_that_is_ahead_is_heard_on_every_device() -> None:
    server, phone, laptop, _ = three()
    phone.welcoming = laptop.welcoming = False
    carol = MemoryDevice(server, "carol")
    carol.connect()
    carol.say("alice", "hi")
    settle(phone, laptop)
    phone.machine.decline(carol.machine.account_id, server.now + _HOUR)
    phone.settle()
    settle(laptop, phone)
    laptop.events.clear()
    carol.say("alice", "again")
    settle(laptop)
    assert not heard(laptop, RequestReceived)
    server.now += QUIET + _HOUR
    carol.say("alice", "a day later")
    settle(laptop)
    assert [event.name for event in heard(laptop, RequestReceived)] == ["carol"]


def test_a_no_of_a_clock_that_was_years_ahead_does_not_last_for_years() -> None:
    server, alice, bob = strangers()
    bob.welcoming = False
    alice.say("bob", "hi")
    bob.pull()
    bob.machine.decline(alice.machine.account_id, server.now + 30 * MOST_AHEAD)
    alice.say("bob", "again")
    bob.pull()
    assert len(heard(bob, RequestReceived)) == 2


def test_what_a_backup_has_lost_before_one_device_read_it_is_told_again() -> None:
    """The server's data is put back, and nobody says anything by which a gap would show."""
    server, alice, _ = two()
    laptop = laptop_of(alice)
    alice.pull()
    laptop.disconnect()
    saved = deepcopy(server.streams)
    alice.machine.set_setting("theme", "dark", server.now)
    alice.settle()
    server.streams = saved
    server.incarnation = bytes(15) + b"\1"
    for _ in range(3):
        for device in (alice, laptop):
            device.connect()
            device.pull()
    assert dict(laptop.machine.settings) == {"theme": "dark"}
    assert laptop.machine.waiting == alice.machine.waiting == 0
