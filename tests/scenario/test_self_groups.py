"""One person's devices that share a group on MLS, and see no difference."""

from __future__ import annotations

import dataclasses

import pytest
from msgspec import Struct
from msgspec.structs import replace

from parlour.conversation.changes import Namespace
from parlour.conversation.events import GroupLeft, MessageUnreadable, SettingChanged
from parlour.conversation.groups.chat import Chat
from parlour.conversation.groups.entering import Door
from parlour.conversation.groups.records import GroupState
from parlour.conversation.groups.view import GroupView
from parlour.conversation.records import Setting
from parlour.conversation.sync import GroupSync, OwnListSync
from parlour.errors import Code, ParlourError, error
from parlour.identity.device_list import DeviceListEntry
from parlour.mls.public.framing.messages import PrivateMessage, decode_message
from parlour.roster.roster import Roster
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer
from parlour.wire.envelope import SuiteId
from parlour.wire.groups import GroupState as PublicState
from parlour.wire.groups import RestartGroup
from parlour.wire.kinds import Kind as WireKind
from tests.scenario.conversations import (
    ELSEWHERE,
    at_once,
    conversation,
    lose,
    named,
    spoil_messages,
    turned,
)
from tests.scenario.conversations import settle as pause
from tests.scenario.conversations import view as view_of
from tests.scenario.lies import behave
from tests.scenario.people import blocks, heard
from tests.scenario.test_own_list import hide

HOUR = 3_600_000
MINUTE = 60_000


def person(preset: str = "default-mls") -> tuple[MemoryServer, MemoryDevice]:
    """Alice's phone, online, with the preset that she uses."""
    server = MemoryServer()
    phone = MemoryDevice(server, "alice")
    phone.machine.set_setting("preset", preset, server.now)
    phone.connect()
    return server, phone


def beside(
    phone: MemoryDevice, seed: str, *others: MemoryDevice, linked: bool = True
) -> MemoryDevice:
    """A further device, which was linked or began alone; those that are online learn of it."""
    phone.server.now += HOUR
    device = MemoryDevice(phone.server, "alice", seed=seed, beside=phone, linked=linked)
    device.connect()
    for each in (phone, *others):
        each.connect()
    pause(phone, device, *others)
    return device


def say(device: MemoryDevice, value: str, key: str = "colour") -> None:
    """Change a setting."""
    device.machine.set_setting(key, value, device.server.now)
    device.settle()


def colours(*devices: MemoryDevice) -> list[str | None]:
    return [device.machine.settings.get("colour") for device in devices]


def two_devices() -> tuple[MemoryServer, MemoryDevice, MemoryDevice]:
    """Phone and laptop, which have told each other something."""
    server, phone = person()
    laptop = beside(phone, "laptop")
    say(phone, "red")
    pause(phone, laptop)
    assert colours(laptop) == ["red"]
    return server, phone, laptop


def three_devices() -> tuple[MemoryServer, MemoryDevice, MemoryDevice, MemoryDevice]:
    server, phone, laptop = two_devices()
    tablet = beside(phone, "tablet", laptop)
    return server, phone, laptop, tablet


def chat(device: MemoryDevice) -> Chat:
    found = device.machine._memory.groups.of(device.machine.account_id)
    assert found is not None
    return found


def view(device: MemoryDevice) -> GroupView:
    return view_of(device, device)


def check_on_mls(*devices: MemoryDevice) -> None:
    """That all follow one group, and nobody else has a leaf in it."""
    views = [view(device) for device in devices]
    assert len({(each.id, each.generation, each.epoch) for each in views}) == 1
    assert {each.state for each in views} == {GroupState.ACTIVE}
    ids = {device.machine.device_id for device in devices}
    for device in devices:
        assert {owner.device_id for owner in chat(device).devices()} == ids
        assert not device.machine.groups
        assert not device.machine._memory.outbox
        assert not heard(device, MessageUnreadable)
        assert not heard(device, GroupLeft)
    server = devices[0].server
    assert [stream.info.kind for stream in server.streams.values()].count("self") == 1


def lose_state(device: MemoryDevice) -> None:
    """The MLS state of the group is gone from a device's disk, and its memory."""
    kept = device.store.records[Namespace.GROUP_STATE]
    for key in [key for key in kept if key.startswith(view(device).id)]:
        del kept[key]
    device.restart()


def pass_by(minutes: int, *devices: MemoryDevice) -> None:
    """Let time pass for devices that are online."""
    for _ in range(minutes * 4):
        devices[0].server.now += MINUTE // 4
        for device in devices:
            device.pull()
            device.wait(0)


# --- What devices tell each other --------------------------------------------------------------


def test_a_device_that_is_alone_sends_nothing() -> None:
    server, phone = person()
    say(phone, "red")
    pause(phone)
    assert not server.streams.keys() - {phone.machine.device_id}
    assert phone.machine.direct_group(phone.machine.account_id) is None
    assert not phone.machine._memory.outbox


def test_settings_arrive() -> None:
    server, phone, laptop = two_devices()
    check_on_mls(phone, laptop)
    say(laptop, "blue")
    pause(phone, laptop)
    assert colours(phone, laptop) == ["blue", "blue"]
    assert [event.value for event in heard(phone, SettingChanged)] == ["blue"]
    said = [
        stored.entry
        for stored in server.streams[view(phone).id].entries
        if stored.entry.envelope.suite == SuiteId.MLS_MESSAGE
    ]
    # All that was said is in the group, and for nobody apart.
    assert {entry.sender_device for entry in said} == {
        phone.machine.device_id,
        laptop.machine.device_id,
    }
    assert all(not stored.parts for stored in server.streams[view(phone).id].entries[-1:])


def test_read_marks_and_decisions_arrive() -> None:
    server, phone, laptop = two_devices()
    bob = MemoryDevice(server, "bob")
    bob.connect()
    bob.say("alice", "hello")
    pause(phone, laptop, bob)
    assert phone.texts() == laptop.texts() == ["hello"]
    peer = bob.machine.account_id
    phone.machine.mark_all_read(peer, server.now)
    phone.machine.verify(peer, server.now)
    pause(phone, laptop)
    assert laptop.machine.read_up_to(peer) == phone.machine.read_up_to(peer) > 0
    assert laptop.machine.contacts[peer].verification is phone.machine.contacts[peer].verification
    laptop.machine.block(peer, server.now)
    pause(phone, laptop)
    assert phone.machine.contacts[peer].standing is laptop.machine.contacts[peer].standing
    check_on_mls(phone, laptop)


def test_a_linked_device_gets_everything() -> None:
    _, phone, laptop, tablet = three_devices()
    check_on_mls(phone, laptop, tablet)
    say(tablet, "green")
    pause(phone, laptop, tablet)
    assert colours(phone, laptop, tablet) == ["green"] * 3
    say(laptop, "blue")
    pause(phone, laptop, tablet)
    assert colours(phone, laptop, tablet) == ["blue"] * 3


def test_a_device_that_begins_alone_asks_once_it_is_in() -> None:
    _, phone, laptop = two_devices()
    tablet = beside(phone, "tablet", laptop, linked=False)
    pause(phone, laptop, tablet)
    assert colours(tablet) == ["red"]
    check_on_mls(phone, laptop, tablet)


def test_what_was_said_while_a_device_had_no_leaf_is_for_it() -> None:
    server, phone, laptop = two_devices()
    tablet = MemoryDevice(server, "alice", seed="tablet", beside=phone, linked=True)
    laptop.connect()
    say(laptop, "before it has keys")
    assert not laptop.machine._memory.outbox
    tablet.connect()
    phone.connect()
    laptop.wait(2 * HOUR)
    pause(phone, laptop, tablet, rounds=8)
    assert colours(tablet) == ["before it has keys"]
    check_on_mls(phone, laptop, tablet)


def test_what_came_broken_is_asked_for_again() -> None:
    server, phone, laptop = two_devices()
    spoil_messages(laptop, turned)
    say(phone, "blue")
    laptop.pull()
    assert colours(laptop) == ["red"]
    behave(server)
    pause(phone, laptop)
    assert colours(laptop) == ["blue"]
    check_on_mls(phone, laptop)
    # What devices tell each other is nobody's request, and stands nowhere.
    assert laptop.machine.contacts[laptop.machine.account_id].standing.name != "REQUESTED"


# --- Founding ------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("pairwise", [False, True])
def test_both_found_at_once(first: int, pairwise: bool) -> None:
    """Whoever is first decides; what the other was about to say goes there."""
    server, phone = person()
    laptop = beside(phone, "laptop")
    if pairwise:
        laptop.machine._memory.settings.pop("preset")
    devices = (phone, laptop)
    for device in devices:
        device.machine.set_setting(device.random(2).hex(), "said", server.now)
    at_once(devices, first)
    pause(phone, laptop, rounds=6)
    said = [
        {key for key, value in device.machine.settings.items() if value == "said"}
        for device in devices
    ]
    assert said[0] == said[1]
    assert len(said[0]) == 2
    if pairwise and first == 1:
        assert all(not device.machine._memory.groups.chats for device in devices)
    else:
        check_on_mls(phone, laptop)


def test_a_pairwise_conversation_stays_what_it_is() -> None:
    _, phone = person("default")
    laptop = beside(phone, "laptop")
    say(phone, "red")
    pause(phone, laptop)
    say(phone, "default-mls", "preset")
    pause(phone, laptop)
    say(laptop, "blue")
    pause(phone, laptop)
    tablet = beside(phone, "tablet", laptop)
    pause(phone, laptop, tablet)
    assert colours(phone, laptop, tablet) == ["blue"] * 3
    assert all(not device.machine._memory.groups.chats for device in (phone, laptop, tablet))


def test_a_server_names_no_second_one() -> None:
    server, phone, laptop = two_devices()
    info = server.streams[view(phone).id].info
    second = replace(info, stream=bytes(16))
    assert named(server, phone, second) == [Code.CONVERSATION_GENESIS]
    with_others = replace(info, members=[*info.members, bytes(16)])
    assert named(server, phone, replace(with_others, stream=bytes(16))) == []
    assert conversation(phone, phone).stream == view(phone).id
    say(phone, "blue")
    pause(laptop)
    assert colours(laptop) == ["blue"]
    check_on_mls(phone, laptop)


def test_another_kind_than_a_newer_program_wants_is_not_founded() -> None:
    server, phone = person()
    laptop = beside(phone, "laptop")
    phone.machine._memory.put_setting("preset", Setting("of tomorrow", server.now))
    say(phone, "red")
    assert Code.USAGE_INVALID in blocks(phone)
    assert colours(laptop) == [None]
    assert "self" not in [stream.info.kind for stream in server.streams.values()]


# --- Removal ------------------------------------------------------------------------------------


def test_a_removed_device_reads_no_further() -> None:
    server, phone, laptop, tablet = three_devices()
    former = chat(tablet).live()
    phone.remove(tablet)
    laptop.connect()
    say(laptop, "secret")
    pause(phone, laptop)
    assert colours(phone) == ["secret"]
    check_on_mls(phone, laptop)
    entries = server.streams[view(phone).id].entries
    bodies = [each.entry.envelope.body for each in entries if each.entry.seq > 0]
    message = decode_message(bodies[-1])
    assert isinstance(message, PrivateMessage)
    with pytest.raises(ParlourError):
        former.receive(message, server.now // 1000)


def test_the_last_one_goes_on_alone_and_lets_the_next_one_in() -> None:
    server, phone, laptop = two_devices()
    phone.remove(laptop)
    phone.connect()
    pause(phone)
    check_on_mls(phone)
    count = len(server.streams[view(phone).id].entries)
    say(phone, "unheard")
    pause(phone)
    assert len(server.streams[view(phone).id].entries) == count
    tablet = beside(phone, "tablet")
    assert colours(tablet) == ["unheard"]
    say(tablet, "blue")
    pause(phone, tablet)
    assert colours(phone) == ["blue"]
    check_on_mls(phone, tablet)


def test_a_removal_that_is_hidden_is_told_by_another_way_than_the_group() -> None:
    server, phone, laptop, tablet = three_devices()
    hide(server, phone.machine.contacts[phone.machine.account_id].head.number, laptop)
    # The laptop has lost its way in the group, and hears nothing by it.
    lose_state(laptop)
    phone.remove(tablet)
    phone.connect()
    laptop.connect()
    said = DeviceListEntry.decode(laptop.machine._memory.syncs[laptop.machine.account_id])
    assert tablet.machine.device_id not in {each.device_id for each in said.devices}
    assert Code.DEVICE_LIST_ROLLBACK in blocks(laptop)
    behave(server)
    laptop.connect()
    pass_by(5, phone, laptop)
    say(phone, "blue")
    pause(phone, laptop)
    assert colours(laptop) == ["blue"]
    check_on_mls(phone, laptop)


def test_nobody_else_tells_of_our_list() -> None:
    server, phone, laptop = two_devices()
    bob = MemoryDevice(server, "bob")
    bob.connect()
    bob.say("alice", "hello")
    pause(phone, laptop, bob)
    entry = server.accounts[phone.machine.account_id].entries[0]
    identity = bob.machine._memory.local.identity
    before = dict(phone.machine._memory.syncs)
    phone.machine._groups.controlled(identity, OwnListSync(entry), server.now)
    assert phone.machine._memory.syncs == before


# --- Getting lost --------------------------------------------------------------------------------


def test_a_device_without_its_state_comes_back() -> None:
    _, phone, laptop, tablet = three_devices()
    lose_state(laptop)
    say(phone, "blue")
    laptop.connect()
    pass_by(2, phone, laptop, tablet)
    assert colours(laptop) == ["blue"]
    say(laptop, "green")
    pause(phone, laptop, tablet)
    assert colours(phone, laptop, tablet) == ["green"] * 3
    check_on_mls(phone, laptop, tablet)


def test_a_device_without_its_state_comes_back_by_itself() -> None:
    _, phone, laptop = two_devices()
    phone.disconnect()
    lose_state(laptop)
    laptop.connect()
    pass_by(6, laptop)
    phone.connect()
    pass_by(3, phone, laptop)
    say(laptop, "green")
    pause(phone, laptop)
    assert colours(phone) == ["green"]
    check_on_mls(phone, laptop)


def test_a_copied_profile() -> None:
    """What a copy of a device did, the device itself can't do again; both get over it."""
    _, phone, laptop = two_devices()
    kept = laptop.store.copy()
    say(laptop, "blue")
    pause(phone, laptop)
    laptop.disconnect()
    laptop.store = kept
    laptop.restart()
    laptop.connect()
    assert colours(laptop) == ["red"]
    say(phone, "green")
    pass_by(3, phone, laptop)
    assert colours(phone, laptop) == ["green"] * 2
    # Under the key of "blue", which is gone; then under the next one.
    say(laptop, "white")
    say(laptop, "black")
    pass_by(3, phone, laptop)
    assert colours(phone, laptop) == ["black"] * 2
    check_on_mls(phone, laptop)


@pytest.mark.parametrize("quicker", [0, 1])
def test_a_restored_server_that_has_lost_it(quicker: int) -> None:
    server, phone, laptop = two_devices()
    former = view(phone).id
    lose(server, former)
    devices = (phone, laptop) if quicker == 0 else (laptop, phone)
    for device in devices:
        device.disconnect()
    first, second = devices
    first.connect()
    say(first, "first", "one")
    say(second, "second", "two")
    second.connect()
    pause(phone, laptop, rounds=8)
    assert view(phone).id != former
    assert phone.machine.settings == laptop.machine.settings
    check_on_mls(phone, laptop)


def test_a_restored_server_that_still_has_it() -> None:
    server, phone, laptop = two_devices()
    server.incarnation = ELSEWHERE
    phone.connect()
    laptop.connect()
    say(phone, "blue")
    pause(phone, laptop)
    assert colours(laptop) == ["blue"]
    check_on_mls(phone, laptop)


# --- Begun again by who waits in vain -------------------------------------------------------------


def forsaken() -> tuple[MemoryServer, MemoryDevice, MemoryDevice, MemoryDevice]:
    """Phone and laptop are offline; a tablet begins alone, as after a recovery."""
    server, phone, laptop = two_devices()
    for device in (phone, laptop):
        device.disconnect()
    server.now += HOUR
    tablet = MemoryDevice(server, "alice", seed="tablet", beside=phone)
    tablet.connect()
    return server, phone, laptop, tablet


def test_who_is_let_in_by_nobody_begins_again() -> None:
    server, phone, laptop, tablet = forsaken()
    pass_by(2, tablet)
    assert view(tablet).state is not GroupState.ACTIVE
    pass_by(3, tablet)
    say(tablet, "green")
    watch = MemoryDevice(server, "alice", seed="watch", beside=tablet, linked=True)
    watch.connect()
    tablet.connect()
    pause(tablet, watch)
    say(watch, "white")
    pause(tablet, watch)
    assert colours(tablet, watch) == ["white"] * 2
    assert view(tablet).generation == 1
    phone.connect()
    laptop.connect()
    pause(phone, laptop, tablet, watch, rounds=8)
    # What the phone and the laptop had said is heard by who asked for it, and the other way.
    say(phone, "grey")
    pause(phone, laptop, tablet, watch)
    assert colours(phone, laptop, tablet, watch) == ["grey"] * 4
    check_on_mls(phone, laptop, tablet, watch)


def test_two_who_are_let_in_by_nobody_begin_once() -> None:
    server, phone, laptop, tablet = forsaken()
    watch = MemoryDevice(server, "alice", seed="watch", beside=tablet)
    watch.connect()
    tablet.connect()
    pass_by(8, tablet, watch)
    say(tablet, "green")
    pause(tablet, watch)
    assert colours(watch) == ["green"]
    assert view(tablet).generation == 1
    phone.connect()
    laptop.connect()
    pause(phone, laptop, tablet, watch, rounds=8)
    check_on_mls(phone, laptop, tablet, watch)


def test_who_begins_again_and_is_killed_goes_on() -> None:
    _, phone, laptop, tablet = forsaken()
    while not chat(tablet).record.pending:
        tablet.server.now += MINUTE // 4
        tablet.machine.handle_timeout(tablet.server.now)
        requests = tablet.machine.outgoing(tablet.server.now)
        tablet._write()
        if not chat(tablet).record.pending:
            for request in requests:
                tablet._answer(request)
                tablet._write()
    tablet.restart()
    tablet.connect()
    pass_by(30, tablet)
    assert view(tablet).state is GroupState.ACTIVE
    phone.connect()
    laptop.connect()
    pause(phone, laptop, tablet, rounds=8)
    check_on_mls(phone, laptop, tablet)


def test_a_beginning_that_reaches_nobody_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    server, phone, laptop, tablet = forsaken()
    begun = set()

    def lost(device_id: bytes, body: RestartGroup) -> Struct:
        begun.add(body.client_id)
        raise error(Code.NETWORK_TIMEOUT)

    monkeypatch.setattr(server, "_restart", lost)
    pass_by(20, tablet)
    assert len(begun) == 1
    monkeypatch.undo()
    for device in (tablet, phone, laptop):
        device.connect()
    pause(phone, laptop, tablet, rounds=8)
    assert view(tablet).generation == 1
    check_on_mls(phone, laptop, tablet)


def test_a_beginning_that_the_server_keeps_back_is_got_over() -> None:
    server, phone, laptop, tablet = forsaken()

    def lose_answer(device_id: bytes, kind: WireKind, body: Struct, answer: Struct) -> Struct:
        if isinstance(body, RestartGroup):
            raise error(Code.NETWORK_TIMEOUT)
        return answer

    server.answer = lose_answer
    server.deliver = lambda entry, device_id: []
    pass_by(20, tablet)
    behave(server)
    for device in (tablet, phone, laptop):
        device.connect()
    pass_by(10, phone, laptop, tablet)
    check_on_mls(phone, laptop, tablet)


@pytest.mark.parametrize("what", ["generation", "head"])
def test_nothing_is_begun_that_a_server_makes_up(what: str) -> None:
    server, phone, laptop, tablet = forsaken()

    def lie(device_id: bytes, kind: WireKind, body: Struct, answer: Struct) -> Struct:
        if not isinstance(answer, PublicState) or device_id != tablet.machine.device_id:
            return answer
        if what == "generation":
            return replace(answer, generation=1_000)
        spoilt = answer.roster_head[:-1] + bytes([answer.roster_head[-1] ^ 1])
        return replace(answer, roster_head=spoilt)

    server.answer = lie
    pass_by(5, tablet)
    assert view(tablet).generation == 0
    assert server.groups.groups[view(tablet).id].generation == 0
    behave(server)
    phone.connect()
    laptop.connect()
    pass_by(3, phone, laptop, tablet)
    check_on_mls(phone, laptop, tablet)


@pytest.mark.parametrize("what", ["members", "signer"])
def test_nothing_is_begun_under_a_roster_that_others_made(
    monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    _, phone, laptop, tablet = forsaken()
    entering = tablet.machine._groups._joining._entering
    honest = entering.door

    def false(found: Chat, state: PublicState, *, by_link: bool = False) -> Door:
        door = honest(found, state, by_link=by_link)
        known, head = door.roster.state, door.roster.head
        if what == "members":
            (member,) = known.members.values()
            known = dataclasses.replace(known, members={**known.members, bytes(16): member})
        else:
            head = dataclasses.replace(head, signer_device=bytes(16))
        return dataclasses.replace(door, roster=Roster(door.roster.genesis, known, head))

    monkeypatch.setattr(entering, "door", false)
    pass_by(5, tablet)
    assert view(tablet).generation == 0
    assert tablet.machine.counters["rejoin.refused"]
    monkeypatch.undo()
    phone.connect()
    laptop.connect()
    pass_by(3, phone, laptop, tablet)
    check_on_mls(phone, laptop, tablet)


def test_nobody_leaves_it() -> None:
    server, phone, laptop = two_devices()
    group = view(phone).id
    with pytest.raises(ParlourError):
        phone.machine.group_leave(group, server.now)
    phone.machine._syncing.take(
        GroupSync(group, False, server.now, "", bytes(16)), laptop.machine.device_id, server.now
    )
    assert view(phone).state is GroupState.ACTIVE
    check_on_mls(phone, laptop)
