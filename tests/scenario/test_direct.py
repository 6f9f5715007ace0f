"""Two people who talk on MLS, and see no difference."""

from __future__ import annotations

import pytest
from msgspec import Struct
from msgspec.structs import replace

from parlour.conversation.changes import Namespace
from parlour.conversation.events import RequestReceived, ServerMisbehaved
from parlour.conversation.genesis import between
from parlour.conversation.groups.committing import LEFT_OUT_FOR
from parlour.conversation.groups.direct import FOUND_AGAIN
from parlour.conversation.groups.records import GroupState
from parlour.conversation.records import Setting
from parlour.errors import Code, ParlourError, error
from parlour.roster.genesis import Genesis, History, Kind
from parlour.testing.device import Killed, MemoryDevice
from parlour.testing.memory_server import MemoryServer
from parlour.wire.groups import CreateGroup
from parlour.wire.kinds import Kind as WireKind
from parlour.wire.streams import StreamInfo
from tests.scenario.conversations import (
    ELSEWHERE,
    at_once,
    conversation,
    lose,
    named,
    settle,
    spoil_messages,
    turned,
    view,
)
from tests.scenario.lies import behave
from tests.scenario.people import blocks, heard

PRESETS = [("default", "default-mls"), ("default-mls", "default"), ("default-mls", "default-mls")]


def strangers(*presets: str) -> tuple[MemoryServer, MemoryDevice, MemoryDevice]:
    """Alice and Bob, online, with the presets they use."""
    server = MemoryServer()
    alice, bob = MemoryDevice(server, "alice"), MemoryDevice(server, "bob")
    for device, preset in zip((alice, bob), presets, strict=True):
        device.machine.set_setting("preset", preset, server.now)
        device.connect()
    return server, alice, bob


def check_on_mls(alice: MemoryDevice, bob: MemoryDevice) -> None:
    """That both follow one group of two."""
    a, b = view(alice, bob), view(bob, alice)
    assert (a.id, a.epoch, a.leaves) == (b.id, b.epoch, b.leaves)
    assert {a.state, b.state} == {GroupState.ACTIVE}
    assert not alice.machine.groups
    assert not bob.machine.groups


@pytest.mark.parametrize("other", ["default", "default-mls"])
def test_hello(other: str) -> None:
    _, alice, bob = strangers("default-mls", other)
    alice.say("bob", "hello")
    settle(alice, bob)
    assert bob.texts() == ["hello"]
    bob.say("alice", "hello to you")
    alice.say("bob", "fine")
    settle(alice, bob)
    assert alice.texts() == ["hello to you"]
    assert bob.texts() == ["hello", "fine"]
    check_on_mls(alice, bob)
    assert conversation(alice, bob).stream == conversation(bob, alice).stream
    assert not alice.machine.waiting


def test_a_pairwise_conversation_stays_what_it_is() -> None:
    server, alice, bob = strangers("default", "default-mls")
    alice.say("bob", "hello")
    settle(alice, bob)
    bob.say("alice", "hello to you")
    alice.machine.set_setting("preset", "default-mls", server.now)
    settle(alice, bob)
    alice.say("bob", "still the same")
    settle(alice, bob)
    assert alice.texts() == ["hello to you"]
    assert bob.texts() == ["hello", "still the same"]
    assert alice.machine.direct_group(bob.machine.account_id) is None
    assert bob.machine.direct_group(alice.machine.account_id) is None


@pytest.mark.parametrize("presets", PRESETS)
@pytest.mark.parametrize("first", [0, 1])
def test_both_begin_at_once(presets: tuple[str, str], first: int) -> None:
    """Whoever is first decides; what the other was about to say goes there."""
    server, alice, bob = strangers(*presets)
    devices = (alice, bob)
    for device, other in (devices, devices[::-1]):
        device.meet(other.name)
        text = device.content(f"from {device.name}")
        device.machine.send(other.machine.account_id, text, server.now)
    at_once(devices, first)
    settle(alice, bob, rounds=6)
    assert alice.texts() == ["from bob"]
    assert bob.texts() == ["from alice"]
    assert not alice.machine.waiting
    assert not bob.machine.waiting
    assert conversation(alice, bob).stream == conversation(bob, alice).stream
    on_mls = presets[first] == "default-mls"
    assert (alice.machine.direct_group(bob.machine.account_id) is not None) is on_mls
    if on_mls:
        check_on_mls(alice, bob)
    stored = [chat for device in devices for chat in device.machine._memory.groups.chats]
    assert len(set(stored)) == on_mls


@pytest.mark.parametrize("presets", PRESETS)
def test_who_is_told_of_a_stream_while_it_founds_one(presets: tuple[str, str]) -> None:
    server, alice, bob = strangers(*presets)
    alice.meet("bob")
    alice.machine.send(bob.machine.account_id, alice.content("from alice"), server.now)
    # Alice has made her request, and does not reach the server.
    asked = alice.machine.outgoing(server.now)
    alice._write()
    bob.say("alice", "from bob")
    alice.machine.disconnected()
    alice.restart()
    alice.connect()
    settle(alice, bob, rounds=6)
    assert asked
    assert alice.texts() == ["from bob"]
    assert bob.texts() == ["from alice"]
    assert (alice.machine.direct_group(bob.machine.account_id) is not None) is (
        presets[1] != "default"
    )


def test_a_stranger_asks() -> None:
    server, alice, bob = strangers("default-mls", "default-mls")
    bob.welcoming = False
    alice.say("bob", "hello")
    alice.say("bob", "are you there?")
    settle(alice, bob)
    assert [event.name for event in heard(bob, RequestReceived)] == ["alice"]
    assert bob.texts() == []
    epoch = view(alice, bob).epoch
    alice.disconnect()
    settle(bob, rounds=10)
    # To whom nobody has said yes, nothing is told by what this device does.
    sent = {stored.entry.sender_device for stored in server.streams[view(alice, bob).id].entries}
    assert sent == {alice.machine.device_id}
    bob.machine.accept_request(alice.machine.account_id, server.now)
    bob.settle()
    assert bob.texts() == ["hello", "are you there?"]
    bob.say("alice", "I am")
    alice.connect()
    settle(alice, bob)
    assert alice.texts() == ["I am"]
    assert view(alice, bob).epoch == epoch
    check_on_mls(alice, bob)


def test_a_stranger_who_is_declined_and_asks_again() -> None:
    server, alice, bob = strangers("default-mls", "default")
    bob.welcoming = False
    alice.say("bob", "hello")
    settle(alice, bob)
    bob.machine.decline(alice.machine.account_id, server.now)
    bob.settle()
    alice.say("bob", "too soon")
    settle(alice, bob)
    assert len(heard(bob, RequestReceived)) == 1
    server.now += 2 * 24 * 3_600_000
    alice.say("bob", "and now?")
    settle(alice, bob)
    assert len(heard(bob, RequestReceived)) == 2
    bob.machine.accept_request(alice.machine.account_id, server.now)
    bob.settle()
    assert bob.texts() == ["and now?"]
    bob.say("alice", "well")
    settle(alice, bob)
    assert alice.texts() == ["well"]


def test_who_is_blocked_is_not_heard() -> None:
    server, alice, bob = strangers("default-mls", "default-mls")
    alice.say("bob", "hello")
    settle(alice, bob)
    bob.machine.block(alice.machine.account_id, server.now)
    bob.settle()
    alice.say("bob", "unheard")
    settle(alice, bob)
    assert bob.texts() == ["hello"]
    bob.machine.unblock(alice.machine.account_id, server.now)
    bob.say("alice", "again")
    alice.say("bob", "heard")
    settle(alice, bob)
    assert bob.texts() == ["hello", "heard"]
    assert alice.texts() == ["again"]


def test_what_was_read_is_known_on_other_devices() -> None:
    server, alice, bob = strangers("default-mls", "default-mls")
    alice.say("bob", "hello")
    settle(alice, bob)
    tablet = MemoryDevice(server, "bob", seed="tablet", beside=bob, linked=True)
    tablet.connect()
    bob.connect()
    alice.connect()
    settle(alice, bob, tablet, rounds=6)
    check_on_mls(alice, tablet)
    assert view(alice, bob).leaves == 3
    alice.say("bob", "to both")
    settle(alice, bob, tablet)
    assert tablet.texts() == ["to both"]
    bob.machine.mark_all_read(alice.machine.account_id, server.now)
    bob.settle()
    settle(alice, bob, tablet)
    read = bob.machine.read_up_to(alice.machine.account_id)
    assert tablet.machine.read_up_to(alice.machine.account_id) == read > 0
    tablet.say("alice", "from the tablet")
    settle(alice, bob, tablet)
    assert alice.texts() == ["from the tablet"]


def test_what_is_said_waits_for_a_new_device() -> None:
    server, alice, bob = strangers("default-mls", "default-mls")
    alice.say("bob", "hello")
    settle(alice, bob)
    tablet = MemoryDevice(server, "bob", seed="tablet", beside=bob, linked=True)
    tablet.connect()
    tablet.disconnect()
    bob.disconnect()
    alice.connect()
    alice.say("bob", "to all your devices")
    tablet.connect()
    bob.connect()
    settle(alice, bob, tablet)
    assert tablet.texts() == ["to all your devices"]
    assert bob.texts() == ["hello", "to all your devices"]


def test_a_device_without_a_key_package_asks_for_what_it_missed() -> None:
    server, alice, bob = strangers("default-mls", "default-mls")
    alice.say("bob", "hello")
    settle(alice, bob)
    tablet = MemoryDevice(server, "bob", seed="tablet", beside=bob, linked=True)
    alice.connect()
    alice.say("bob", "while you have no keys")
    assert not alice.machine.waiting
    tablet.connect()
    alice.wait(2 * 3_600_000)
    settle(alice, bob, tablet, rounds=8)
    check_on_mls(alice, tablet)
    assert tablet.texts() == ["while you have no keys"]


def test_nothing_is_said_while_the_other_can_not_come() -> None:
    server = MemoryServer()
    alice, bob = MemoryDevice(server, "alice"), MemoryDevice(server, "bob")
    alice.machine.set_setting("preset", "default-mls", server.now)
    alice.connect()
    alice.say("bob", "hello")
    settle(alice)
    assert alice.machine.waiting == 1
    assert blocks(alice) == [Code.KEY_PACKAGE_NONE]
    alice.wait(3 * 3_600_000)
    bob.connect()
    alice.wait(LEFT_OUT_FOR)
    settle(alice, bob)
    assert bob.texts() == ["hello"]
    check_on_mls(alice, bob)


def test_a_changed_key_stops_it() -> None:
    server, alice, bob = strangers("default-mls", "default-mls")
    alice.say("bob", "hello")
    bob.say("alice", "hello to you")
    settle(alice, bob)
    peer = bob.machine.account_id
    alice.machine.verify(peer, server.now)
    alice.settle()
    settle(alice, bob)
    del server.accounts[peer]
    bob.disconnect()
    again = MemoryDevice(server, "bob", seed="again", account_id=peer)
    again.connect()
    alice.connect()
    assert alice.machine.contacts[peer].stopped
    with pytest.raises(ParlourError) as caught:
        alice.say("bob", "to whom?")
    assert caught.value.code is Code.ACCOUNT_KEY_CHANGED
    settle(alice, again)
    assert view(alice, bob).leaves == 2
    alice.machine.verify(peer, server.now)
    alice.say("bob", "to the new one")
    settle(alice, again, rounds=6)
    assert again.texts()[-1] == "to the new one"
    check_on_mls(alice, again)
    again.say("alice", "it is me")
    settle(alice, again)
    assert alice.texts()[-1] == "it is me"


@pytest.mark.parametrize("lost", [False, True])
def test_what_comes_while_a_changed_key_waits_is_read_after_it(lost: bool) -> None:
    server, alice, bob = spoken("default-mls", "default-mls")
    peer, group = bob.machine.account_id, view(alice, bob).id
    alice.machine.verify(peer, server.now)
    alice.settle()
    settle(alice, bob)
    bob.say("alice", "my last words")
    bob.disconnect()
    del server.accounts[peer]
    MemoryDevice(server, "bob", seed="again", account_id=peer).connect()
    alice.machine._directory.want(peer)
    alice.settle()
    assert alice.machine.contacts[peer].stopped
    alice.pull()
    assert alice.texts() == ["hello to you"]
    assert len(alice.store.records[Namespace.TURN]) == 1
    if lost:
        lose(server, group)
        alice.disconnect()
        alice.connect()
        assert alice.machine.direct_group(peer) is None
    else:
        alice.machine.verify(peer, server.now)
        alice.settle()
        assert alice.texts() == ["hello to you", "my last words"]
    assert alice.store.records[Namespace.TURN] == {}


# --- A server that misbehaves, or was restored -------------------------------------------------


def spoken(*presets: str) -> tuple[MemoryServer, MemoryDevice, MemoryDevice]:
    """Alice and Bob, who have spoken."""
    server, alice, bob = strangers(*presets)
    alice.say("bob", "hello")
    settle(alice, bob)
    bob.say("alice", "hello to you")
    settle(alice, bob)
    return server, alice, bob


@pytest.mark.parametrize("quicker", [0, 1])
def test_a_restored_server_that_has_lost_it(quicker: int) -> None:
    server, alice, bob = spoken("default-mls", "default-mls")
    former = view(alice, bob).id
    lose(server, former)
    devices = (alice, bob) if quicker == 0 else (bob, alice)
    for device in devices:
        device.disconnect()
    first, second = devices
    first.connect()
    first.say(second.name, "from the first")
    second.machine.send(first.machine.account_id, second.content("from the second"), server.now)
    second.connect()
    settle(alice, bob, rounds=8)
    check_on_mls(alice, bob)
    assert view(alice, bob).id != former
    assert second.texts().count("from the first") == 1
    assert first.texts().count("from the second") == 1
    assert not alice.machine.waiting
    assert not bob.machine.waiting


def test_a_restored_server_that_still_has_it() -> None:
    server, alice, bob = spoken("default-mls", "default-mls")
    group = view(alice, bob).id
    server.incarnation = ELSEWHERE
    alice.connect()
    bob.connect()
    settle(alice, bob)
    alice.say("bob", "as before")
    settle(alice, bob)
    assert bob.texts() == ["hello", "as before"]
    assert view(alice, bob).id == group
    assert conversation(alice, bob).stream == group


def test_another_genesis_than_before_is_refused() -> None:
    server, alice, bob = spoken("default-mls", "default-mls")
    carol = MemoryDevice(server, "carol")
    carol.connect()
    group = view(alice, bob)
    info = server.streams[group.id].info
    own, peer = alice.machine.account_id, bob.machine.account_id
    pairwise = between(own, peer).encode()
    refused = {
        "the same stream, pairwise by now": replace(info, genesis=pairwise),
        "another stream, pairwise": replace(info, stream=bytes(16), genesis=pairwise),
        "another stream with that genesis": replace(info, stream=bytes(16)),
        "what is no genesis": replace(info, stream=bytes(16), genesis=b"weak"),
        "a conversation of three": replace(info, members=[*info.members, carol.machine.account_id]),
    }
    for why, false in refused.items():
        said = named(server, alice, false)
        assert said in ([], [Code.CONVERSATION_GENESIS]), why
        assert view(alice, bob).id == conversation(alice, bob).stream == group.id
    alice.say("bob", "still the same")
    settle(bob)
    assert bob.texts()[-1] == "still the same"


def founded(by: MemoryDevice, other: bytes, **changed: object) -> StreamInfo:
    """A stream of two that a device may have founded."""
    stream = by.random(16)
    fields = {
        "kind": Kind.DIRECT,
        "suite": 1,
        "stream": stream,
        "roster_id": stream,
        "creator_account": by.machine.account_id,
        "created_at": 1,
    } | changed
    genesis = Genesis.create(by.machine._memory.local.signature_key, **fields)  # type: ignore[arg-type]
    members = sorted({by.machine.account_id, other})
    return StreamInfo(stream, genesis.kind.name.lower(), members, genesis.encode(), 0)  # type: ignore[arg-type]


def test_a_second_conversation_of_two_is_refused() -> None:
    server, alice, bob = spoken("default-mls", "default-mls")
    second = founded(bob, alice.machine.account_id)
    assert named(server, alice, second) == [Code.SERVER_MISBEHAVED]
    server, alice, bob = spoken("default", "default")
    assert named(server, alice, founded(bob, alice.machine.account_id)) == [
        Code.CONVERSATION_GENESIS
    ]
    assert alice.machine.direct_group(bob.machine.account_id) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"suite": 3},
        {"history": History.ALL},
        {"kind": Kind.SELF},
        {"creator_account": bytes(16)},
        {"stream": bytes(16)},
    ],
    ids=str,
)
def test_what_is_below_the_floor_or_of_others_is_refused(changed: dict[str, object]) -> None:
    server, alice, bob = strangers("default-mls", "default-mls")
    info = founded(bob, alice.machine.account_id, **changed)
    if "kind" in changed:
        info = replace(info, members=[alice.machine.account_id])
    assert named(server, alice, info) == [Code.CONVERSATION_GENESIS]
    assert not alice.machine._memory.groups.chats


def test_a_founding_that_is_refused_is_made_anew() -> None:
    server, alice, bob = strangers("default-mls", "default-mls")
    honest, foundings = server.answer, []

    def refuse(device_id: bytes, kind: WireKind, body: Struct, answer: Struct) -> Struct:
        if kind is WireKind.CREATE_GROUP:
            assert isinstance(body, CreateGroup)
            foundings.append(body.stream)
            server.streams.pop(body.stream, None)
            raise error(Code.GROUP_INVALID)
        return answer

    server.answer = refuse
    alice.say("bob", "hello")
    assert blocks(alice) == [Code.GROUP_INVALID]
    settle(alice)
    assert len(foundings) == 1
    assert alice.machine.next_timeout() is not None
    alice.wait(FOUND_AGAIN)
    assert len(set(foundings)) == 2
    server.answer = honest
    alice.wait(FOUND_AGAIN)
    settle(alice, bob)
    assert bob.texts() == ["hello"]
    check_on_mls(alice, bob)


def test_who_was_refused_waits_for_nothing_where_the_other_has_founded_it() -> None:
    """A time that is over and stays would wake the device fifty times a second."""
    server, alice, bob = strangers("default-mls", "default-mls")
    honest = server.answer

    def refuse(device_id: bytes, kind: WireKind, body: Struct, answer: Struct) -> Struct:
        if kind is WireKind.CREATE_GROUP and device_id == alice.machine.device_id:
            assert isinstance(body, CreateGroup)
            server.streams.pop(body.stream, None)
            raise error(Code.GROUP_INVALID)
        return answer

    server.answer = refuse
    alice.say("bob", "hello")
    bob.say("alice", "hello yourself")
    settle(alice, bob)
    server.answer = honest
    alice.say("bob", "there you are")
    settle(alice, bob)
    check_on_mls(alice, bob)
    # Something waits, and nobody can take it.
    bob.disconnect()
    server.answer = no_appends
    alice.say("bob", "one more")
    alice.wait(2 * FOUND_AGAIN)
    due = alice.machine.next_timeout()
    assert due is None or due > server.now


def no_appends(device_id: bytes, kind: WireKind, body: Struct, answer: Struct) -> Struct:
    if kind is WireKind.APPEND:
        raise error(Code.SERVER_DRAINING)
    return answer


def test_the_stream_of_somebody_else_is_not_taken_for_ours() -> None:
    server, alice, bob = strangers("default-mls", "default-mls")
    carol = MemoryDevice(server, "carol")
    carol.connect()
    other = founded(carol, alice.machine.account_id)

    def lie(device_id: bytes, kind: WireKind, body: Struct, answer: Struct) -> Struct:
        return other if kind is WireKind.CREATE_GROUP else answer

    server.answer = lie
    alice.say("bob", "hello")
    assert alice.machine.waiting == 1
    assert [event.what for event in heard(alice, ServerMisbehaved)] == ["group"]
    assert bob.texts() == []


def test_nothing_weaker_than_a_newer_program_wants() -> None:
    server, alice, bob = strangers("default", "default")
    alice.machine._memory.put_setting("preset", Setting("of tomorrow", server.now))
    alice.meet("bob")
    with pytest.raises(ParlourError) as caught:
        alice.say("bob", "hello")
    assert caught.value.code is Code.USAGE_INVALID
    # What programs tell each other waits as well.
    alice.machine.set_profile("Alice")
    alice.machine.accept_request(bob.machine.account_id, server.now)
    alice.settle()
    settle(alice)
    assert Code.USAGE_INVALID in blocks(alice)
    assert bob.machine.account_id not in {
        member
        for stream in server.streams.values()
        for member in stream.info.members
        if stream.info.kind == "direct"
    }
    with pytest.raises(ParlourError) as caught:
        alice.machine.set_setting("preset", "voicechat", server.now)
    assert caught.value.code is Code.POLICY_UNBUILT


def test_groups_are_of_the_preset_that_was_chosen() -> None:
    server, alice, bob = strangers("famichat", "default")
    group = alice.machine.create_group(Kind.GROUP, "Street", [alice.meet("bob")], server.now)
    alice.settle()
    assert alice.machine.groups[group].genesis.retention_days == 30
    alice.say("bob", "hello")
    settle(alice, bob)
    assert view(alice, bob).genesis.retention_days == 30
    with pytest.raises(ParlourError) as caught:
        alice.machine.send_to(view(alice, bob).id, alice.content("by its id"), server.now)
    assert caught.value.code is Code.GROUP_UNKNOWN


@pytest.mark.parametrize("step", ["before write", "after write", "before request", "after request"])
@pytest.mark.parametrize("nth", range(1, 12, 2))
def test_killed_at_any_step(step: str, nth: int) -> None:
    _, alice, bob = strangers("default-mls", "default-mls")
    alice.meet("bob")
    count = 0

    def kill(at: str) -> None:
        nonlocal count
        count += at == step
        if at == step and count == nth:
            raise Killed

    alice.fault = kill
    said = False
    try:
        alice.say("bob", "hello")
        said = True
        settle(alice, bob, rounds=1)
    except Killed:
        pass
    alice.fault = lambda at: None
    alice.restart()
    alice.connect()
    if not (said or alice.machine.waiting or alice.store.messages):
        alice.say("bob", "hello")
    settle(alice, bob, rounds=6)
    bob.say("alice", "well")
    settle(alice, bob, rounds=4)
    assert bob.texts() == ["hello"]
    assert alice.texts() == ["well"]
    check_on_mls(alice, bob)


def test_a_message_that_came_broken_is_asked_for_again() -> None:
    server, alice, bob = spoken("default-mls", "default-mls")
    spoil_messages(bob, turned)
    alice.say("bob", "spoilt")
    settle(alice, bob)
    behave(server)
    settle(alice, bob)
    assert bob.texts() == ["hello", "spoilt"]


def test_what_a_stranger_sent_is_a_request_though_it_can_not_be_read() -> None:
    _, alice, bob = strangers("default-mls", "default-mls")
    bob.welcoming = False
    spoil_messages(bob, lambda body: b"spoilt")
    alice.say("bob", "hello")
    settle(alice, bob)
    assert [event.name for event in heard(bob, RequestReceived)] == ["alice"]
    assert bob.texts() == []


def test_what_was_founded_by_a_device_that_is_gone_begins_again() -> None:
    """It was in there alone, so that nobody is left who could let anybody in."""
    server = MemoryServer()
    phone, bob = MemoryDevice(server, "alice"), MemoryDevice(server, "bob")
    laptop = MemoryDevice(server, "alice", seed="laptop", beside=phone)
    phone.machine.set_setting("preset", "default-mls", server.now)
    phone.connect()
    phone.say("bob", "never said")
    assert view(phone, bob).leaves == 1
    bob.connect()
    laptop.connect()
    group = view(phone, bob).id
    laptop.say("bob", "from the laptop")
    for _ in range(8):
        laptop.wait(30_000)
        bob.wait(30_000)
    # Whoever is on the list may be away.
    assert laptop.machine.counters["rejoin.refused"]
    assert view(bob, phone).generation == 0
    laptop.remove(phone)
    for device in (laptop, bob):
        device.disconnect()
        device.connect()
    for _ in range(60):
        for device in (laptop, bob):
            device.pull()
            device.wait(30_000)
    assert bob.texts() == ["from the laptop"]
    bob.say("alice", "hello to you")
    settle(laptop, bob)
    assert laptop.texts() == ["hello to you"]
    check_on_mls(laptop, bob)
    assert (view(bob, laptop).id, view(bob, laptop).generation) == (group, 1)
