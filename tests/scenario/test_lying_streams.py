"""A server that tells of false streams and pages: each lie is named, and makes no loop."""

from __future__ import annotations

from msgspec.structs import replace

from parlour.conversation.events import ServerMisbehaved
from parlour.errors import Code
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer
from parlour.wire.envelope import Envelope
from parlour.wire.kinds import Kind
from parlour.wire.push import PushStream
from parlour.wire.streams import CaughtUp, Entry, StreamInfo
from tests.scenario.lies import behave, lie
from tests.scenario.people import blocks, heard, meet_again, strangers, two


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
        envelope=Envelope(1, 2, b"", b"body"),
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
