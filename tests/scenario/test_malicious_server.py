"""A server that lies: each lie is named, nothing goes to a wrong key, and honesty mends it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec import Struct
from msgspec.structs import replace

from parlour.conversation.contact import Verification
from parlour.conversation.content import Text
from parlour.conversation.events import (
    ContactAdded,
    DeviceLeftOut,
    HistoryMismatch,
    KeyChanged,
    KeyReturned,
    MessageMissing,
    MessageReceived,
    MessageUnreadable,
    RequestReceived,
    SendingBlocked,
    ServerMisbehaved,
    ServerRestored,
)
from parlour.conversation.genesis import between
from parlour.conversation.reasons import Reason
from parlour.errors import Code, ParlourError, error
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer
from parlour.wire.directory import DeviceListPage
from parlour.wire.kinds import Kind
from parlour.wire.prekeys import Bundles
from parlour.wire.push import PushEntry, PushStream
from parlour.wire.server import Nothing
from parlour.wire.streams import Appended, CaughtUp, CreateConversation, Entry, Read, StreamInfo
from tests.scenario.people import blocks, heard, meet_again, strangers, two

Change = Callable[[Any], Struct]


def lie(server: MemoryServer, kind: Kind, change: Change, to: MemoryDevice | None = None) -> None:
    """Change the answers to requests of one kind."""

    def answer(device_id: bytes, asked: Kind, body: Struct, honest: Struct) -> Struct:
        meant = to is None or to.machine.device_id == device_id
        return change(honest) if asked is kind and meant else honest

    server.answer = answer


def behave(server: MemoryServer) -> None:
    server.answer = lambda device_id, kind, body, answer: answer
    server.deliver = lambda entry, device_id: [entry]


def deliver(server: MemoryServer, change: Callable[[Entry], list[Entry]], to: MemoryDevice) -> None:
    """Change the entries that one device gets."""
    server.deliver = lambda entry, device_id: (
        change(entry) if device_id == to.machine.device_id else [entry]
    )


# --- Prekeys -----------------------------------------------------------------------------


def _bundle(**fields: Any) -> Change:
    def change(answer: Bundles) -> Bundles:
        return Bundles([replace(bundle, **fields) for bundle in answer.bundles])

    return change


def test_a_bundle_without_its_kem_prekey_is_a_downgrade() -> None:
    server, alice, bob = strangers()
    lie(server, Kind.FETCH_BUNDLES, _bundle(kem=None))
    alice.say("bob", "hello")
    assert blocks(alice) == [Code.PREKEY_DOWNGRADE]
    alice.wait(70_000)
    assert blocks(alice) == [Code.PREKEY_DOWNGRADE]  # told once
    assert not any(stream.entries for stream in server.streams.values())
    behave(server)
    meet_again(alice, bob)
    assert bob.texts() == ["hello"]


def test_a_prekey_of_somebody_else_is_refused() -> None:
    server, alice, bob = strangers()
    mallory = MemoryDevice(server, "mallory")
    stolen = server.prekeys[mallory.machine.device_id]
    lie(server, Kind.FETCH_BUNDLES, _bundle(signed=stolen[0]))
    alice.say("bob", "hello")
    assert blocks(alice) == [Code.CRYPTO_SIGNATURE]
    lie(server, Kind.FETCH_BUNDLES, _bundle(signed=replace(stolen[0], data=b"?")))
    alice.connect()
    assert blocks(alice) == [Code.CRYPTO_SIGNATURE, Code.SERVER_MISBEHAVED]
    behave(server)
    meet_again(alice, bob)
    assert bob.texts() == ["hello"]


def test_a_bundle_of_a_device_that_is_not_listed_is_refused() -> None:
    server, alice, bob = strangers()
    lie(server, Kind.FETCH_BUNDLES, _bundle(device_id=bytes(16)))
    alice.say("bob", "hello")
    assert blocks(alice) == [Code.SERVER_MISBEHAVED]
    assert [event.what for event in heard(alice, ServerMisbehaved)] == ["bundles"]
    behave(server)
    meet_again(alice, bob)
    assert bob.texts() == ["hello"]


def test_no_bundle_is_asked_for_again_with_pauses() -> None:
    server, alice, bob = strangers()
    asked = 0

    def none(answer: Bundles) -> Bundles:
        nonlocal asked
        asked += 1
        return Bundles([])

    lie(server, Kind.FETCH_BUNDLES, none)
    alice.say("bob", "hello")
    assert asked == 1
    assert blocks(alice) == [Code.PREKEY_NONE]
    behave(server)
    alice.wait(60_000)
    bob.pull()
    assert bob.texts() == ["hello"]


def test_a_one_time_prekey_that_was_given_out_twice_is_mended() -> None:
    server, alice, bob = strangers()
    carol = MemoryDevice(server, "carol")
    carol.connect()
    kept: list[Bundles] = []

    def same(answer: Bundles) -> Bundles:
        kept.append(answer)
        return kept[0]

    lie(server, Kind.FETCH_BUNDLES, same)
    alice.say("bob", "from alice")
    carol.say("bob", "from carol")
    behave(server)
    bob.pull()
    assert len(bob.texts()) == 1
    assert [event.reason for event in heard(bob, MessageUnreadable)] == [Reason.PREKEY_USED]
    for asked in (alice, carol):
        asked.pull()  # one of them is asked, and sends it again
    bob.pull()
    assert sorted(bob.texts()) == ["from alice", "from carol"]
    carol.say("bob", "more")
    bob.pull()
    assert bob.texts()[-1] == "more"
    assert heard(bob, MessageMissing) == []


def test_the_hidden_prekeys_of_one_device_do_not_stop_the_others() -> None:
    server, alice, bob = strangers()
    tablet = MemoryDevice(server, "bob", seed="tablet", beside=bob)
    tablet.connect()
    hidden = tablet.machine.device_id
    lie(
        server,
        Kind.FETCH_BUNDLES,
        lambda answer: Bundles([b for b in answer.bundles if b.device_id != hidden]),
        to=alice,
    )
    alice.say("bob", "hello")
    bob.pull()
    assert bob.texts() == ["hello"]
    assert [event.device_id for event in heard(alice, DeviceLeftOut)] == [hidden]
    tablet.pull()
    assert [event.reason for event in heard(tablet, MessageUnreadable)] == [Reason.NO_PART]
    behave(server)
    alice.pull()
    alice.wait(3_600_000)
    tablet.pull()
    assert tablet.texts() == ["hello"]


# --- Device lists ------------------------------------------------------------------------


def _entries(count: int) -> Change:
    return lambda page: replace(page, entries=page.entries[:count], more=False)


def test_a_list_that_goes_back_stops_sending_until_it_is_whole() -> None:
    server, alice, bob = two()
    MemoryDevice(server, "bob", seed="tablet", beside=bob)
    alice.connect()
    alice.say("bob", "both of you")
    account = server.accounts[bob.machine.account_id]
    whole, account.entries = account.entries, account.entries[:1]
    alice.connect()
    alice.say("bob", "not now")
    assert blocks(alice) == [Code.DEVICE_LIST_ROLLBACK]
    account.entries = whole
    meet_again(alice, bob)
    assert bob.texts() == ["hello", "both of you", "not now"]


def test_a_list_that_lost_all_entries_stops_sending() -> None:
    server, alice, bob = two()
    lie(server, Kind.READ_DEVICE_LIST, _entries(0), to=alice)
    alice.connect()
    alice.say("bob", "not now")
    assert set(blocks(alice)) == {Code.DEVICE_LIST_ROLLBACK}
    behave(server)
    meet_again(alice, bob)
    assert bob.texts() == ["hello", "not now"]


def test_a_forked_list_stops_sending() -> None:
    server, alice, bob = two()
    account = server.accounts[bob.machine.account_id]
    before = list(account.entries)
    MemoryDevice(server, "bob", seed="one", beside=bob)
    alice.connect()
    alice.say("bob", "one")
    account.entries[:] = before
    MemoryDevice(server, "bob", seed="other", beside=bob)
    alice.connect()
    alice.say("bob", "not now")
    assert Code.DEVICE_LIST_INVALID in blocks(alice)
    assert len(server.streams[alice.machine.positions()[-1].stream].entries) == 3


@pytest.mark.parametrize("others", [Nothing(), StreamInfo(bytes(16), "direct", [], b"", 0)])
def test_an_answer_of_the_wrong_kind_is_named_and_not_asked_for_in_a_loop(others: Struct) -> None:
    for kind in (Kind.READ_DEVICE_LIST, Kind.FETCH_BUNDLES, Kind.APPEND, Kind.CREATE_CONVERSATION):
        server, alice, bob = strangers()
        lie(server, kind, lambda _: others, to=alice)
        alice.connect()
        alice.say("bob", "hello")
        assert heard(alice, ServerMisbehaved)
        assert Code.SERVER_MISBEHAVED in blocks(alice)
        behave(server)
        meet_again(alice, bob)
        assert bob.texts() == ["hello"]


def test_answers_about_another_account_or_message_are_refused() -> None:
    server, alice, bob = strangers()
    carol = MemoryDevice(server, "carol")
    alice.meet("bob")
    lie(
        server,
        Kind.READ_DEVICE_LIST,
        lambda page: replace(page, account_id=carol.machine.account_id),
    )
    alice.connect()
    alice.say("bob", "hello")
    assert set(blocks(alice)) == {Code.DEVICE_LIST_INVALID}
    lie(server, Kind.APPEND, lambda answer: replace(answer, client_id=bytes(16)))
    alice.connect()
    assert [event.what for event in heard(alice, ServerMisbehaved)] == ["append"]
    behave(server)
    meet_again(alice, bob)
    assert bob.texts() == ["hello"]


def test_a_look_up_that_finds_somebody_else_is_refused() -> None:
    server, alice, bob = two()
    carol = MemoryDevice(server, "carol")
    page = server.request(alice.machine.device_id, Kind.READ_DEVICE_LIST, _read(bob))
    assert isinstance(page, DeviceListPage)
    for name, given in (
        ("carol", page),  # Bob's account for Carol's name
        ("carol", replace(page, name="carol")),  # the same, and it claims to be hers
        ("bob", _read_page(server, carol, "bob")),  # Carol's account by Bob's name
    ):
        with pytest.raises(ParlourError) as caught:
            alice.machine.found(given, server.now, name)
        assert caught.value.code is Code.SERVER_MISBEHAVED
    assert alice.meet("carol") == carol.machine.account_id


def _read(device: MemoryDevice) -> Struct:
    from parlour.wire.directory import ReadDeviceList

    return ReadDeviceList(device.machine.account_id, 0)


def _read_page(server: MemoryServer, device: MemoryDevice, name: str) -> DeviceListPage:
    page = server.request(device.machine.device_id, Kind.READ_DEVICE_LIST, _read(device))
    assert isinstance(page, DeviceListPage)
    return replace(page, name=name)


# --- Account keys ------------------------------------------------------------------------


def _impostor(server: MemoryServer, of: MemoryDevice) -> MemoryDevice:
    """Whom a server makes up in somebody's place: another account key under the same id."""
    account = server.accounts[of.machine.account_id]
    fresh = MemoryServer()
    fresh.now = server.now
    twin = MemoryDevice(fresh, of.name, seed="twin", account_id=of.machine.account_id)
    account.entries[:] = fresh.accounts[of.machine.account_id].entries
    server.streams.update(fresh.streams)
    server.prekeys.update(fresh.prekeys)
    twin.server = server
    return twin


def test_an_unverified_account_with_another_key_is_shown() -> None:
    server, alice, bob = two()
    _impostor(server, bob)
    alice.connect()
    alice.say("bob", "who are you?")
    assert [event.stopped for event in heard(alice, KeyChanged)] == [False]


def test_a_verified_account_with_another_key_stops_sending_and_reading() -> None:
    server, alice, bob = two()
    alice.machine.verify(bob.machine.account_id, server.now)
    honest = list(server.accounts[bob.machine.account_id].entries)
    alice.machine.send(bob.machine.account_id, alice.content("secret"), server.now)
    twin = _impostor(server, bob)
    alice.connect()
    assert [event.stopped for event in heard(alice, KeyChanged)] == [True]
    assert blocks(alice) == [Code.ACCOUNT_KEY_CHANGED]
    with pytest.raises(ParlourError) as caught:
        alice.say("bob", "more")
    assert caught.value.code is Code.ACCOUNT_KEY_CHANGED
    twin.connect()
    twin.say("alice", "it is me")
    alice.pull()
    assert [event.reason for event in heard(alice, MessageUnreadable)] == [Reason.KEY_CHANGED]
    assert alice.texts() == ["hello to you"]
    twin.pull()
    assert twin.texts() == []  # nothing went to the wrong key

    # The server behaves: the key that was verified is shown again, and all goes on.
    server.accounts[bob.machine.account_id].entries[:] = honest
    meet_again(alice, bob)
    assert heard(alice, KeyReturned)
    assert bob.texts() == ["hello", "secret"]
    assert alice.machine.contacts[bob.machine.account_id].verification is Verification.VERIFIED


@pytest.mark.parametrize("decide", ["verify", "accept"])
def test_what_was_held_is_read_when_a_person_accepts_the_new_key(decide: str) -> None:
    server, alice, bob = two()
    bob_id = bob.machine.account_id
    alice.machine.verify(bob_id, server.now)
    twin = _impostor(server, bob)  # this time it is Bob, who lost everything
    alice.connect()
    alice.machine.handle_timeout(server.now)
    twin.connect()
    twin.say("alice", "one")
    twin.say("alice", "two")
    alice.pull()
    alice.restart()
    alice.connect()
    with pytest.raises(ParlourError) as caught:
        alice.machine.verify(bob_id, server.now, key=bob.account_key.public_key)
    assert caught.value.code is Code.ACCOUNT_KEY_CHANGED
    key = alice.machine.contacts[bob_id].key_to_verify()
    getattr(alice.machine, decide)(bob_id, server.now, key=key)
    alice.settle()
    assert alice.texts() == ["hello to you", "one", "two"]
    alice.say("bob", "there you are")
    twin.pull()
    assert twin.texts() == ["there you are"]


def test_another_key_of_our_own_account_is_never_taken() -> None:
    """Else a server would get a copy of all we say, as a device of ours."""
    server, alice, bob = two()
    own = alice.machine.account_id
    twin = MemoryDevice(MemoryServer(), "alice", seed="twin", account_id=own)
    made_up = twin.server.accounts[own].entries
    lie(
        server,
        Kind.READ_DEVICE_LIST,
        lambda page: replace(page, entries=made_up) if page.account_id == own else page,
        to=alice,
    )
    alice.connect()
    alice.say("bob", "secret")
    assert heard(alice, KeyChanged) == []
    assert Code.ACCOUNT_KEY_CHANGED in blocks(alice)
    behave(server)
    meet_again(alice, bob)
    assert bob.texts() == ["hello", "secret"]


# --- Names -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "bob \u2713",
        "b\u043eb",
        "bob\x1b[2J",
        "you",
        "Bob",
        "bob@other",
        "bob\u200b",
        "-rf",
        "b" * 33,
    ],
)
def test_a_name_that_no_account_can_have_is_kept_nowhere(name: str) -> None:
    server, alice, _ = strangers()
    alice.welcoming = False
    eve = MemoryDevice(server, name)
    eve.connect()
    eve.say("alice", "hi")
    alice.pull()
    assert heard(alice, RequestReceived) == []
    assert heard(alice, ContactAdded) == []
    assert [event.what for event in heard(alice, ServerMisbehaved)] == ["device-list"]
    with pytest.raises(ParlourError) as caught:
        alice.meet(name)
    assert caught.value.code is Code.SERVER_MISBEHAVED
    assert eve.machine.account_id not in alice.machine.contacts
    # A server that comes round to a name that can be is believed.
    server.accounts[eve.machine.account_id].name = "eve"
    meet_again(alice)
    assert [event.name for event in heard(alice, RequestReceived)] == ["eve"]


# --- Entries -----------------------------------------------------------------------------


def test_a_dropped_entry_is_missed() -> None:
    server, alice, bob = two()
    for number in range(3):
        alice.say("bob", f"{number}")
    dropped = len(server.streams[bob.machine.positions()[-1].stream].entries) - 1
    deliver(server, lambda entry: [] if entry.seq == dropped else [entry], to=bob)
    bob.connect()
    assert bob.texts() == ["hello", "0", "2"]
    missing = heard(bob, MessageMissing)
    assert [event.counters for event in missing] == [(3,)]
    assert missing[0].sender_device == alice.machine.device_id
    bob.say("alice", "did you say something?")
    alice.say("bob", "yes")
    bob.pull()
    assert len(heard(bob, MessageMissing)) == 1  # told once


def test_a_gap_that_can_not_be_read_is_tried_on_the_next_connection() -> None:
    server, alice, bob = two()
    alice.say("bob", "1")
    stream = bob.machine.positions()[-1].stream
    dropped = len(server.streams[stream].entries)
    alice.say("bob", "2")
    deliver(server, lambda entry: [] if entry.seq == dropped else [entry], to=bob)
    refused: list[Read] = []
    request = server.request

    def refuse(device_id: bytes, kind: Kind, body: Struct) -> Struct:
        if isinstance(body, Read) and device_id == bob.machine.device_id:
            refused.append(body)
            raise error(Code.STREAM_UNKNOWN)
        return request(device_id, kind, body)

    server.request = refuse  # type: ignore[method-assign]
    bob.connect()
    for _ in range(10):
        bob.wait(60_000)
    assert len(refused) == 1
    assert bob.texts() == ["hello", "2"]
    behave(server)
    server.deliver = lambda entry, device_id: [entry]
    server.request = request  # type: ignore[method-assign]
    bob.connect()
    assert bob.texts() == ["hello", "1", "2"]


def test_a_server_that_is_not_told_how_far_we_read_wakes_nobody_each_second() -> None:
    server, alice, bob = two()
    request = server.request

    def refuse(device_id: bytes, kind: Kind, body: Struct) -> Struct:
        if kind is Kind.ACKNOWLEDGE:
            raise error(Code.INTERNAL_BUG)
        return request(device_id, kind, body)

    server.request = refuse  # type: ignore[method-assign]
    alice.say("bob", "hello")
    bob.pull()
    until, wakes = server.now + 600_000, 0
    while (at := bob.machine.next_timeout()) is not None and at < until:
        bob.wait(max(at - server.now, 1))
        wakes += 1
    assert 0 < wakes < 40
    assert bob.texts() == ["hello", "hello"]


def test_mixed_up_and_repeated_entries_are_read_once_in_order() -> None:
    server, alice, bob = two()
    bob.disconnect()
    for number in range(5):
        alice.say("bob", f"{number}")

    bob.online = True
    started = server.live_start(bob.machine.device_id, bob.machine.positions())
    bob.machine.connected(
        replace(started, entries=[*reversed(started.entries), *started.entries]), server.now
    )
    bob.settle()
    assert bob.texts() == ["hello", *map(str, range(5))]
    assert len(heard(bob, MessageReceived)) == 6
    assert heard(bob, MessageMissing) == []


def test_entries_given_new_numbers_are_not_read_twice() -> None:
    server, _, bob = two()
    stream = server.streams[bob.machine.positions()[-1].stream]
    for entry in [stored.entry for stored in stream.entries]:
        part = stream.entries[entry.seq - 1].parts.get(bob.machine.device_id)
        again = replace(entry, seq=len(stream.entries) + entry.seq, part=part)
        bob.machine.pushed(PushEntry(again), server.now)
    bob.settle()
    assert bob.texts() == ["hello"]
    assert len(heard(bob, MessageReceived)) == 1
    assert heard(bob, MessageUnreadable) == []


def test_two_histories_for_two_people_are_noticed() -> None:
    server, alice, bob = two()
    alice.say("bob", "one")
    stream = server.streams[bob.machine.positions()[-1].stream]
    hidden = stream.entries.pop()
    bob.pull()
    bob.say("alice", "another history")  # takes the number that Alice's message has for her
    entry = replace(
        stream.entries[-1].entry,
        seq=hidden.entry.seq + 1,
        part=stream.entries[-1].parts[alice.machine.device_id],
    )
    alice.machine.pushed(PushEntry(entry), server.now)
    alice.settle()
    alice.say("bob", "what?")
    bob.pull()
    mismatches = heard(bob, HistoryMismatch) + heard(bob, MessageMissing)
    assert mismatches
    assert "one" not in bob.texts()


def _flip(data: bytes, at: int = -1) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def _body(entry: Entry) -> Entry:
    return replace(entry, envelope=replace(entry.envelope, body=_flip(entry.envelope.body)))


_TAMPERED: dict[str, tuple[Callable[[Entry], Entry], Reason]] = {
    "body": (_body, Reason.TAMPERED),
    "part": (lambda e: replace(e, part=_flip(e.part or b"")), Reason.TAMPERED),
    "id": (lambda e: replace(e, client_id=_flip(e.client_id)), Reason.TAMPERED),
    "no part": (lambda e: replace(e, part=None), Reason.NO_PART),
    "garbage": (lambda e: replace(e, part=bytes(80)), Reason.NEWER_FORMAT),
    "sender": (lambda e: replace(e, sender_account=bytes(16)), Reason.UNKNOWN_DEVICE),
    "device": (lambda e: replace(e, sender_device=bytes(16)), Reason.UNKNOWN_DEVICE),
    "format": (
        lambda e: replace(e, envelope=replace(e.envelope, format=9)),
        Reason.NEWER_FORMAT,
    ),
    "suite": (
        lambda e: replace(e, envelope=replace(e.envelope, suite=0x100)),
        Reason.NEWER_FORMAT,
    ),
}


@pytest.mark.parametrize("what", _TAMPERED)
def test_a_tampered_entry_is_named(what: str) -> None:
    change, reason = _TAMPERED[what]
    server, alice, bob = two()
    alice.say("bob", "before")
    bob.pull()
    alice.say("bob", "tampered")
    alice.say("bob", "fine")
    deliver(server, lambda e: [change(e)] if e.seq == 4 else [e], to=bob)
    bob.pull()
    behave(server)
    assert bob.texts() == ["hello", "before", "fine"]  # one bad entry does not stop the next
    assert [event.reason for event in heard(bob, MessageUnreadable)] == [reason]
    alice.pull()
    bob.pull()
    resent = what in ("body", "part", "no part")
    assert bob.texts() == ["hello", "before", *(["tampered"] if resent else []), "fine"]
    restarts = len(heard(bob, MessageUnreadable))
    bob.restart()
    bob.connect()
    assert len(heard(bob, MessageUnreadable)) == restarts


def test_an_entry_of_one_conversation_is_not_read_in_another() -> None:
    server, alice, bob = two()
    carol = MemoryDevice(server, "carol")
    carol.connect()
    alice.say("carol", "for carol")
    carol.say("bob", "hello bob")
    bob.pull()
    stream = next(position.stream for position in bob.machine.positions()[1:] if position.seq == 2)
    target = server.streams[stream]
    stored = target.entries[0]
    moved = replace(
        stored.entry,
        stream=next(p.stream for p in bob.machine.positions()[1:] if p.stream != stream),
        seq=2,
        part=stored.parts[bob.machine.device_id],
    )
    bob.machine.pushed(PushEntry(moved), server.now)
    bob.settle()
    assert [event.reason for event in heard(bob, MessageUnreadable)] == [Reason.UNKNOWN_DEVICE]
    assert alice.texts() == ["hello to you"]


def test_an_own_entry_that_is_not_what_we_sent_is_noticed() -> None:
    server, alice, bob = two()

    def lost(step: str) -> None:
        if step == "after request":
            raise error(Code.NETWORK_TIMEOUT)

    bob_id = bob.machine.account_id
    alice.machine.send(bob_id, alice.content("mine"), server.now)
    alice.fault = lost
    alice.settle()
    alice.fault = lambda step: None
    deliver(server, lambda entry: [_body(entry)], to=alice)
    alice.connect()
    assert [event.sender_device for event in heard(alice, HistoryMismatch)] == [
        alice.machine.device_id
    ]


# --- Streams and pages -------------------------------------------------------------------


def test_a_weaker_genesis_is_refused_and_stops_nothing_else() -> None:
    server, alice, bob = strangers()
    carol = MemoryDevice(server, "carol")
    carol.connect()
    lie(server, Kind.CREATE_CONVERSATION, lambda info: replace(info, genesis=b"weak"), to=alice)
    alice.say("bob", "hello")
    assert blocks(alice) == [Code.CONVERSATION_GENESIS]
    behave(server)
    # The same from a peer: a stream with what is no genesis, full of entries.
    mine = sorted((alice.machine.account_id, carol.machine.account_id))
    info = StreamInfo(b"w" * 16, "direct", mine, b"weak", 0)
    server.streams[info.stream] = type(next(iter(server.streams.values())))(info)
    entry = Entry(
        stream=info.stream,
        seq=1,
        sender_account=carol.machine.account_id,
        sender_device=carol.machine.device_id,
        client_id=bytes(16),
        stored_at=server.now,
        expires_at=None,
        envelope=msgspec.convert([1, 2, b"", b"body"], _envelope()),
        part=b"part",
    )
    stored = server.streams[info.stream].entries
    from parlour.testing.memory_server import _Stored

    stored += [_Stored(replace(entry, seq=n), {}) for n in range(1, 1200)]
    meet_again(alice, bob)
    assert Code.CONVERSATION_GENESIS in blocks(alice)
    assert bob.texts() == ["hello"]
    bob.say("alice", "hello to you")
    alice.pull()
    assert alice.texts() == ["hello to you"]


def _envelope() -> Any:
    from parlour.wire.envelope import Envelope

    return Envelope


def test_a_second_stream_and_one_of_another_kind_are_refused() -> None:
    server, alice, bob = two()
    known = server.streams[alice.machine.positions()[-1].stream].info
    for wrong in (
        replace(known, stream=b"2" * 16),
        replace(known, stream=b"3" * 16, members=[alice.machine.account_id]),
        replace(known, genesis=b""),
    ):
        alice.machine.pushed(PushStream(wrong), server.now)
    alice.settle()
    assert set(blocks(alice)) == {Code.SERVER_MISBEHAVED, Code.CONVERSATION_GENESIS}
    alice.say("bob", "goes on")
    bob.pull()
    assert bob.texts() == ["hello", "goes on"]


def _moved(server: MemoryServer, alice: MemoryDevice) -> StreamInfo:
    """The conversation is in another stream: who was shown the former one was shown it alone."""
    known = server.streams.pop(alice.machine.positions()[-1].stream)
    known.info = replace(known.info, stream=b"2" * 16, last=0)
    known.entries.clear()
    server.streams[known.info.stream] = known
    return known.info


def test_who_was_shown_a_stream_alone_goes_on_in_that_of_the_others() -> None:
    server, alice, bob = two()
    info = _moved(server, alice)
    for device in (alice, bob):
        device.machine.pushed(PushStream(info), server.now)
        device.settle()
        assert [event.what for event in heard(device, ServerMisbehaved)] == ["stream"]
        device.machine.pushed(PushStream(info), server.now)
    alice.say("bob", "goes on")
    bob.connect()
    assert bob.texts() == ["hello", "goes on"]
    bob.say("alice", "so it does")
    alice.pull()
    assert alice.texts() == ["hello to you", "so it does"]


def test_a_stream_of_before_is_lost_once() -> None:
    server, alice, bob = two()
    stream = alice.machine.positions()[-1].stream
    info = _moved(server, alice)
    alice.machine.pushed(PushStream(info), server.now)
    alice.settle()
    alice.connect()
    known = alice.machine._memory.conversations[bob.machine.account_id]
    assert known.stream == info.stream
    assert not alice.machine._sending.is_lost(bob.machine.account_id, stream)
    assert known.stream == info.stream


def test_a_stream_that_is_gone_is_made_again() -> None:
    server, alice, bob = two()
    del server.streams[alice.machine.positions()[-1].stream]
    alice.say("bob", "goes on")
    assert [event.what for event in heard(alice, ServerMisbehaved)] == ["stream"]
    alice.wait(60_000)
    bob.connect()
    assert bob.texts() == ["hello", "goes on"]


def test_a_stream_for_another_peer_is_no_answer() -> None:
    server, alice, bob = strangers()
    carol = MemoryDevice(server, "carol")
    carol.connect()
    carol.say("alice", "first")
    other = next(s.info for s in server.streams.values() if s.info.kind == "direct")
    lie(server, Kind.CREATE_CONVERSATION, lambda info: other, to=alice)
    alice.say("bob", "hello")
    assert blocks(alice) == [Code.SERVER_MISBEHAVED]
    behave(server)
    meet_again(alice, bob)
    assert bob.texts() == ["hello"]


def test_pages_without_end_are_asked_for_with_pauses() -> None:
    server, alice, bob = two()
    asked = 0

    def endless(page: CaughtUp) -> CaughtUp:
        nonlocal asked
        asked += 1
        return replace(page, entries=[], more=True)

    lie(server, Kind.CATCH_UP, endless, to=bob)
    alice.say("bob", "one")
    bob.machine.connected(
        replace(server.live_start(bob.machine.device_id, []), entries=[], more=True), server.now
    )
    bob.settle()
    assert asked == 1
    assert [event.what for event in heard(bob, ServerMisbehaved)] == ["catch-up"]
    behave(server)
    bob.wait(60_000)
    assert bob.texts() == ["hello", "one"]


def test_entries_of_an_undescribed_stream_are_no_loop() -> None:
    server, alice, bob = strangers()
    alice.say("bob", "hello")
    lie(server, Kind.CATCH_UP, lambda page: replace(page, streams=[]), to=bob)
    bob.pull()
    assert bob.texts() == []
    assert [event.what for event in heard(bob, ServerMisbehaved)] == ["catch-up"]
    behave(server)
    bob.wait(60_000)
    assert bob.texts() == ["hello"]


def test_false_counts_of_prekeys_cost_one_upload_each() -> None:
    server, alice, _ = two()
    uploads = 0

    def count(answer: Struct) -> Struct:
        nonlocal uploads
        uploads += 1
        return answer

    lie(server, Kind.PUBLISH_PREKEYS, count, to=alice)
    for _ in range(15):
        started = server.live_start(alice.machine.device_id, alice.machine.positions())
        alice.machine.connected(replace(started, prekeys_left=0), server.now)
        alice.settle()
    assert uploads == 15
    largest = len(max(alice.store.records["prekeys"].values()))  # type: ignore[index]
    assert largest < 200_000


# --- Backups and time --------------------------------------------------------------------


def test_a_restored_backup_repeats_numbers_and_loses_nothing_that_it_has() -> None:
    server, alice, bob = two()
    stream = server.streams[bob.machine.positions()[-1].stream]
    backup = len(stream.entries)
    alice.say("bob", "after the backup")
    bob.pull()
    for stored in stream.entries[backup:]:
        del stream.by_client_id[stored.entry.sender_device, stored.entry.client_id]
    del stream.entries[backup:]
    server.incarnation = b"i" * 16
    alice.connect()
    alice.say("bob", "the same number")
    alice.say("bob", "and one more")
    bob.connect()
    assert heard(bob, ServerRestored)
    assert bob.texts() == ["hello", "after the backup", "the same number", "and one more"]
    assert heard(bob, MessageUnreadable) == []
    assert heard(bob, MessageMissing) == []
    assert len(heard(bob, MessageReceived)) == 4


@pytest.mark.parametrize("other", [False, True], ids=["the same stream", "another stream"])
def test_a_conversation_that_is_younger_than_the_backup_is_made_again(other: bool) -> None:
    server, alice, bob = two()
    alice.disconnect()
    waiting = alice.machine.send(bob.machine.account_id, Text("waits"), server.now)
    stream = alice.machine.positions()[-1].stream
    del server.streams[stream]
    server.incarnation = b"i" * 16
    if other:
        # Somebody who did not know of it was first.
        genesis = between(alice.machine.account_id, bob.machine.account_id)
        body = CreateConversation(b"o" * 16, "direct", list(genesis.members), genesis.encode())
        server.request(bob.machine.device_id, Kind.CREATE_CONVERSATION, body)
    alice.connect()
    bob.connect()
    bob.say("alice", "once more")
    alice.pull()
    assert server.streams.keys() >= {b"o" * 16 if other else stream}
    assert [m.seq for m in alice.store.messages.values() if m.message_id == waiting] == [1]
    assert bob.texts()[-1] == "waits"
    assert alice.texts()[-1] == "once more"


def test_what_is_new_after_a_restore_is_asked_for_again_though_its_number_is_not() -> None:
    server, alice, bob = two()
    stream = server.streams[bob.machine.positions()[-1].stream]
    backup = len(stream.entries)
    server.now += 1000
    alice.say("bob", "after the backup")
    bob.pull()
    for stored in stream.entries[backup:]:
        del stream.by_client_id[stored.entry.sender_device, stored.entry.client_id]
    del stream.entries[backup:]
    server.incarnation = b"i" * 16
    alice.connect()
    bob.connect()
    server.now += 1000
    alice.say("bob", "the same number")
    number = len(stream.entries)
    deliver(server, lambda e: [replace(e, part=None)] if e.seq == number else [e], to=bob)
    bob.pull()
    alice.pull()
    bob.pull()
    assert [event.reason for event in heard(bob, MessageUnreadable)] == [Reason.NO_PART]
    assert bob.texts()[-1] == "the same number"


def test_what_is_held_is_not_asked_for_again_after_a_restore() -> None:
    server, alice, bob = two()
    alice.say("bob", "lost part")
    deliver(server, lambda e: [replace(e, part=None)] if e.seq == 3 else [e], to=bob)
    bob.pull()
    server.incarnation = b"i" * 16
    bob.connect()
    assert len(heard(bob, MessageUnreadable)) == 1
    alice.connect()
    bob.pull()
    assert bob.texts() == ["hello", "lost part"]


def test_the_server_refuses_parts_for_ever() -> None:
    server, alice, bob = two()
    appends = 0

    def refuse(answer: Appended) -> Appended:
        nonlocal appends
        appends += 1
        raise error(Code.STREAM_PARTS)

    lie(server, Kind.APPEND, refuse, to=alice)
    alice.say("bob", "hello?")
    assert appends == 2  # once more at once, then with pauses
    assert blocks(alice) == [Code.STREAM_PARTS]
    behave(server)
    alice.wait(60_000)
    bob.pull()
    assert bob.texts() == ["hello", "hello?"]
    assert heard(bob, HistoryMismatch) == []
    bob.say("alice", "I am here")
    alice.pull()
    alice.say("bob", "fine")
    bob.pull()
    assert heard(bob, HistoryMismatch) == heard(alice, HistoryMismatch) == []


def test_what_waits_behind_a_refused_message_stays_behind_it() -> None:
    server, alice, bob = two()
    first = True

    def limit(answer: Appended) -> Appended:
        nonlocal first
        if first:
            first = False
            for stream in server.streams.values():
                stream.entries[:] = [
                    s for s in stream.entries if s.entry.client_id != answer.client_id
                ]
                stream.by_client_id.pop((alice.machine.device_id, answer.client_id), None)
            limited = error(Code.LIMIT_RATE)
            limited.retry_after = 5_000
            raise limited
        return answer

    lie(server, Kind.APPEND, limit, to=alice)
    alice.say("bob", "one")
    alice.say("bob", "two")
    bob.pull()
    assert bob.texts() == ["hello"]
    alice.wait(4_000)
    bob.pull()
    assert bob.texts() == ["hello"]  # the server asked for five seconds
    alice.wait(2_000)
    bob.pull()
    assert bob.texts() == ["hello", "one", "two"]
    assert heard(bob, MessageMissing) == []
    assert heard(alice, SendingBlocked) == []
