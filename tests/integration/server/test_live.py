"""The live socket: tickets, order, catching up, slow readers, one connection per device."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack

import pytest
from websockets.exceptions import InvalidStatus

from parlour.errors import Code, ParlourError, StorageError
from parlour.server import Server
from parlour.server.hub import CLOSE_POLICY, CLOSE_REPLACED, CLOSE_RESTART, MAX_SOCKETS
from parlour.server.socket import outgoing
from parlour.wire.frames import WIRE_VERSION, encode_frame
from parlour.wire.kinds import Kind
from parlour.wire.limits import MAX_FRAME
from parlour.wire.login import Sessions
from parlour.wire.prekeys import Bundles, FetchBundles, PrekeyCounts
from parlour.wire.server import Nothing
from parlour.wire.streams import (
    Appended,
    CatchUp,
    CaughtUp,
    LiveStart,
    LiveStarted,
    Page,
    Position,
    Read,
)

from .people import Socket, decode_answer, message, open_socket, register


async def next_entry(socket: Socket) -> tuple[int, bytes]:
    """The next pushed entry; other pushes are passed over."""
    while True:
        kind, push = await socket.next_push()
        if kind is Kind.PUSH_ENTRY:
            return push.entry.seq, push.entry.envelope.body


async def test_a_ticket_lets_one_copy_of_a_device_on(server: Server) -> None:
    (alice,) = await register(server, "alice")

    async def start(ticket: bytes | None, following: bytes) -> LiveStarted:
        async with open_socket(server, "/v1/live", alice.token) as socket:
            request = LiveStart(ticket, following, [])
            return await socket.ask(Kind.LIVE_START, request, LiveStarted)

    first, second = os.urandom(16), os.urandom(16)
    await start(None, first)
    await start(None, first)  # the answer got lost
    await start(first, second)
    for copied in (None, first, os.urandom(16)):
        with pytest.raises(ParlourError) as refusal:
            await start(copied, os.urandom(16))
        assert refusal.value.code == Code.DEVICE_COPIED
    await start(second, os.urandom(16))


async def test_a_copy_does_not_disturb_the_device(server: Server) -> None:
    alice, bea = await register(server, "alice", "bea")
    info = await alice.talk_to(bea)
    async with bea.live() as at_bea:
        async with open_socket(server, "/v1/live", bea.token) as copy:
            with pytest.raises(ParlourError):
                await copy.ask(Kind.LIVE_START, LiveStart(None, os.urandom(16), []), LiveStarted)
        await alice.say(info.stream, b"still here")
        assert await next_entry(at_bea) == (1, b"still here")


async def test_a_newer_connection_closes_the_older(server: Server) -> None:
    (alice,) = await register(server, "alice")
    async with alice.live() as older, alice.live() as newer:
        assert await older.closed() == CLOSE_REPLACED
        info = await newer.ask(Kind.COUNT_PREKEYS, Nothing(), Nothing)
        assert info is not None


async def test_sockets_of_a_device_are_bounded(server: Server) -> None:
    (alice,) = await register(server, "alice")
    async with AsyncExitStack() as sockets:
        for _ in range(MAX_SOCKETS):
            await sockets.enter_async_context(open_socket(server, "/v1/live", alice.token))
        with pytest.raises(InvalidStatus):
            async with open_socket(server, "/v1/live", alice.token):
                pass
    async with alice.live():
        pass


async def test_starting_gives_what_was_missed(server: Server) -> None:
    alice, bea = await register(server, "alice", "bea")
    info = await alice.talk_to(bea)
    for number in range(5):
        await alice.say(info.stream, b"%d" % number, bea)
    async with open_socket(server, "/v1/live", bea.token) as socket:
        started = await bea.begin(socket, positions=[Position(info.stream, 2)])
        assert [each.envelope.body for each in started.entries] == [b"2", b"3", b"4"]
        assert all(each.part == b"for bea" for each in started.entries)
        assert [each.kind for each in started.streams] == ["inbox"]
        assert started.incarnation == server.core.store.incarnation
        assert started.prekeys_left == 2


async def test_nothing_falls_between_catching_up_and_pushes(server: Server) -> None:
    """Entries that are appended while a device connects come in its page or as pushes."""
    alice, bea = await register(server, "alice", "bea")
    info = await alice.talk_to(bea)
    async with alice.live() as at_alice:
        sent = [
            at_alice.send(Kind.APPEND, message(info.stream, b"%d" % number))
            for number in range(100)
        ]
        async with open_socket(server, "/v1/live", bea.token) as at_bea:
            started = await bea.begin(at_bea)
            seen = {each.seq for each in started.entries}
            await asyncio.gather(*sent)
            while seen != set(range(1, 101)):
                seq, _ = await next_entry(at_bea)
                seen.add(seq)


async def test_pushes_wait_for_the_first_page(server: Server) -> None:
    """A push that overtook the page would look like a gap."""
    alice, bea = await register(server, "alice", "bea")
    info = await alice.talk_to(bea)
    async with alice.live() as at_alice, open_socket(server, "/v1/live", bea.token) as at_bea:
        starting = at_bea.send(Kind.LIVE_START, LiveStart(None, os.urandom(16), []))
        answers = [at_alice.send(Kind.APPEND, message(info.stream, b"%d" % n)) for n in range(50)]
        started = decode_answer(await starting, LiveStarted)
        assert at_bea.kinds[0] == Kind.OK
        await asyncio.gather(*answers)
        last = started.entries[-1].seq if started.entries else 0
        while last < 50:
            seq, _ = await next_entry(at_bea)
            assert seq <= last + 1
            last = max(last, seq)


async def test_appends_of_one_connection_keep_their_order(server: Server) -> None:
    alice, bea = await register(server, "alice", "bea")
    info = await alice.talk_to(bea)
    async with alice.live() as at_alice, bea.live() as at_bea:
        answers = [
            at_alice.send(Kind.APPEND, message(info.stream, b"%d" % number))
            for number in range(300)
        ]
        numbers = [decode_answer(await each, Appended).seq for each in answers]
        assert numbers == list(range(1, 301))
        pushed = [await next_entry(at_bea) for _ in range(300)]
        assert pushed == [(number, b"%d" % (number - 1)) for number in range(1, 301)]


async def test_they_keep_it_in_the_moment_in_which_a_day_begins(server: Server) -> None:
    """Then it is written down, once, that the token of the connection was used."""
    alice, bea = await register(server, "alice", "bea")
    info = await alice.talk_to(bea)
    async with alice.live() as at_alice:
        sessions = server.core.sessions
        now = sessions._clock() + 24 * 3_600_000
        sessions._clock = lambda: now
        answers = [
            at_alice.send(Kind.APPEND, message(info.stream, b"%d" % number)) for number in range(20)
        ]
        numbers = [decode_answer(await each, Appended).seq for each in answers]
        assert numbers == list(range(1, 21))
        listed = await at_alice.ask(Kind.SESSIONS, Nothing(), Sessions)
    assert [each.last_used for each in listed.sessions] == [now - now % (24 * 3_600_000)]


async def test_that_it_was_used_is_written_with_the_next_use_where_the_disk_was_full(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    (alice,) = await register(server, "alice")
    sessions, tokens = server.core.sessions, server.core.store.tokens
    now = sessions._clock() + 24 * 3_600_000
    sessions._clock = lambda: now
    today = now - now % (24 * 3_600_000)

    async def full(*_: object, **__: object) -> None:
        raise StorageError(Code.STORE_FULL)

    async def last_used() -> int:
        listed = await alice.rest(Kind.SESSIONS, Nothing(), Sessions)
        return listed.sessions[0].last_used

    with monkeypatch.context() as patch:
        patch.setattr(type(tokens), "touch", full)
        assert await last_used() < today
    await alice.rest(Kind.COUNT_PREKEYS, Nothing(), PrekeyCounts)
    assert await last_used() == today


async def test_an_append_is_pushed_although_its_sender_has_gone(server: Server) -> None:
    alice, bea = await register(server, "alice", "bea")
    info = await alice.talk_to(bea)
    async with bea.live() as at_bea:
        async with alice.live() as at_alice:
            last = message(info.stream, b"last words")
            await at_alice.connection.send(encode_frame(Kind.APPEND, 1, last))
        assert await next_entry(at_bea) == (1, b"last words")


async def test_another_device_gets_what_its_sibling_says(server: Server) -> None:
    alice, bea = await register(server, "alice", "bea")
    info = await alice.talk_to(bea)
    async with alice.live() as at_phone:
        tablet = await alice.second_device()
        assert (await at_phone.next_push())[0] is Kind.PUSH_DEVICE_LIST
        async with tablet.live() as at_tablet:
            await alice.say(info.stream, b"hello", bea, tablet)
            _, push = await at_tablet.next_push()
            assert push.entry.part == b"for alice"
            assert push.entry.sender_device == alice.device_id


async def test_a_changed_device_list_is_told_to_contacts(server: Server) -> None:
    alice, bea, stranger = await register(server, "alice", "bea", "stranger")
    await alice.talk_to(bea)
    async with bea.live() as at_bea, stranger.live() as at_stranger:
        await alice.second_device()
        kind, push = await at_bea.next_push()
        assert kind is Kind.PUSH_DEVICE_LIST
        assert (push.account_id, push.number) == (alice.account_id, 1)
        await at_stranger.ask(Kind.COUNT_PREKEYS, Nothing(), Nothing)
        assert at_stranger.pushes.empty()


async def test_an_inbox_entry_goes_to_its_device_alone(server: Server) -> None:
    alice, bea = await register(server, "alice", "bea")
    await alice.talk_to(bea)
    tablet = await alice.second_device()
    async with alice.live() as at_phone, tablet.live() as at_tablet:
        await bea.say(alice.inbox, b"to the phone", alice)
        assert await next_entry(at_phone) == (1, b"to the phone")
        await at_tablet.ask(Kind.COUNT_PREKEYS, Nothing(), Nothing)
        assert at_tablet.pushes.empty()


async def test_few_prekeys_are_told_to_their_device(server: Server) -> None:
    alice, bea = await register(server, "alice", "bea")
    async with alice.live() as at_alice:
        request = FetchBundles(alice.account_id, [alice.device_id])
        fetched = await bea.rest(Kind.FETCH_BUNDLES, request, Bundles)
        assert len(fetched.bundles) == 1
        kind, push = await at_alice.next_push()
        assert kind is Kind.PUSH_PREKEYS_LOW
        assert (push.counts.one_time, push.counts.one_time_kem) == (1, 1)


async def test_a_slow_reader_loses_pushes_and_is_told(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing, "MAX_PUSHES", 20)
    monkeypatch.setattr(outgoing, "MAX_PUSH_BYTES", 1 << 20)
    alice, bea = await register(server, "alice", "bea")
    info = await alice.talk_to(bea)
    body = b"x" * 100_000
    async with alice.live() as at_alice, bea.live() as at_bea:
        at_bea.connection.transport.pause_reading()
        for _ in range(100):
            sent = message(info.stream, body)
            decode_answer(await at_alice.send(Kind.APPEND, sent), Appended)
        at_bea.connection.transport.resume_reading()
        last = 0
        while (push := await at_bea.next_push())[0] is not Kind.PUSH_RESYNC:
            assert push[1].entry.seq == last + 1
            last = push[1].entry.seq
        assert last < 100
        # It catches up, and hears what is new again.
        seen = last
        while True:
            request = CatchUp([Position(info.stream, seen), Position(bea.inbox, 0)])
            caught = await at_bea.ask(Kind.CATCH_UP, request, CaughtUp)
            assert [each.seq for each in caught.entries][:1] == [seen + 1]
            seen = caught.entries[-1].seq
            if not caught.more:
                break
        assert seen == 100
        await alice.say(info.stream, b"new")
        assert await next_entry(at_bea) == (101, b"new")


async def test_who_takes_nothing_in_is_closed(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bea = await register(server, "alice", "bea")
    info = await alice.talk_to(bea)
    for _ in range(4):
        await alice.say(info.stream, b"x" * 1_000_000)
    grant = await server.core.sessions.authenticate(bea.token)
    async with bea.live() as at_bea:
        session = server.core.hub.of_device(grant.account_id, grant.device_id)
        session._outgoing._send_seconds = 0.05  # type: ignore[union-attr]
        at_bea.connection.transport.pause_reading()
        for request_id in range(100, 120):
            request = encode_frame(Kind.READ, request_id, Read(info.stream, 0, 10))
            await at_bea.connection.send(request)
        await server.core.hub.empty()
        at_bea.connection.transport.abort()


@pytest.mark.parametrize("path", ["/v1/live", "/v1/login"])
@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", Code.DECODE_MALFORMED),
        (b"\xc1", Code.DECODE_MALFORMED),
        (b"\x94\x01\x42", Code.DECODE_MALFORMED),
        (encode_frame(Kind.SESSIONS, 0, Nothing()), Code.DECODE_MALFORMED),
        (b"\x94" + bytes([WIRE_VERSION + 1]) + b"\x20\x01\x90", Code.DECODE_VERSION),
        ("text", Code.DECODE_MALFORMED),
    ],
)
async def test_what_is_not_a_frame_ends_the_connection(
    server: Server, path: str, data: bytes | str, code: Code
) -> None:
    (alice,) = await register(server, "alice")
    async with open_socket(server, path, alice.token) as socket:
        await socket.connection.send(data)
        assert await socket.closed() == CLOSE_POLICY
        assert [each.code for each in socket.loose_errors] == [code]


async def test_an_oversized_frame_ends_the_connection(server: Server) -> None:
    (alice,) = await register(server, "alice")
    async with open_socket(server, "/v1/live", alice.token) as socket:
        await socket.connection.send(bytes(MAX_FRAME + 1))
        assert await socket.closed() == 1009


async def test_a_body_that_does_not_fit_is_refused_and_the_socket_goes_on(
    server: Server,
) -> None:
    (alice,) = await register(server, "alice")
    async with alice.live() as socket:
        for kind, body in (
            (Kind.READ, Nothing()),
            (Kind.APPEND, Position(bytes(16), 0)),
            (Kind.ACKNOWLEDGE, CatchUp([])),
        ):
            with pytest.raises(ParlourError) as refusal:
                await socket.ask(kind, body, Nothing)
            assert refusal.value.code == Code.DECODE_MALFORMED
        frame = encode_frame(0x7F, 77, Nothing())
        answer = asyncio.get_running_loop().create_future()
        socket._answers[77] = answer
        await socket.connection.send(frame)
        with pytest.raises(ParlourError) as refusal:
            decode_answer(await answer, Nothing)
        assert refusal.value.code == Code.DECODE_MALFORMED
        page = await socket.ask(Kind.READ, Read(alice.inbox, 0, 1), Page)
        assert page.entries == []


async def test_a_server_that_stops_says_when_to_come_back(server: Server) -> None:
    (alice,) = await register(server, "alice")
    async with alice.live() as socket:
        stopping = asyncio.create_task(server.stop())
        kind, push = await socket.next_push()
        assert kind is Kind.PUSH_DRAIN
        assert 0 <= push.retry_after <= 5000
        assert await socket.closed() == CLOSE_RESTART
        await stopping
