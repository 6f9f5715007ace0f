import asyncio
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from parlour.client import connection as connection_module
from parlour.client import pushes
from parlour.client.connection import LIVE_PATH, Connection
from parlour.client.failures import opening_error
from parlour.client.keys import SessionToken
from parlour.errors import (
    AccessError,
    Code,
    InternalError,
    LimitError,
    ParlourError,
    PeerError,
    SecurityStop,
    TransportError,
)
from parlour.wire.envelope import Envelope
from parlour.wire.frames import encode_body, encode_frame
from parlour.wire.kinds import Kind
from parlour.wire.limits import MAX_FRAME
from parlour.wire.prekeys import FetchBundles, PrekeyCounts
from parlour.wire.push import PushDrain, PushPrekeysLow, PushResync
from parlour.wire.server import ErrorBody, Nothing, ServerInfo
from parlour.wire.streams import Append, Appended
from tests.integration.client.fakes import FakeServer, Identity, answer, next_request, running

TOKEN = SessionToken(b"canary-token-of-more-than-forty-characters")
COUNTS = PrekeyCounts(3, 4)


async def connect(server: FakeServer, **options: Any) -> Connection:
    return await Connection.open(server.address, LIVE_PATH, server.trust, TOKEN, **options)


def push(number: int) -> bytes:
    return encode_frame(Kind.PUSH_DRAIN, 0, PushDrain(number))


async def idle(socket: ServerConnection) -> None:
    await socket.wait_closed()


async def count_prekeys(connection: Connection) -> PrekeyCounts:
    return await connection.ask(Kind.COUNT_PREKEYS, Nothing(), PrekeyCounts)


async def test_a_request_carries_token_and_path_and_gets_its_answer(identity: Identity) -> None:
    async def serve(socket: ServerConnection) -> None:
        assert socket.request is not None
        assert socket.request.path == "/v1/live"
        assert socket.request.headers["Authorization"] == f"Bearer {TOKEN.text()}"
        assert "User-Agent" not in socket.request.headers
        assert "Sec-WebSocket-Extensions" not in socket.request.headers
        frame, body = await next_request(socket)
        assert (frame.kind, frame.request_id, body) == (Kind.COUNT_PREKEYS, 1, Nothing())
        await answer(socket, frame.request_id, COUNTS)
        await socket.wait_closed()

    async with running(identity, serve) as server, await connect(server) as connection:
        assert connection.channel_pin == identity.pin
        assert await connection.request(Kind.COUNT_PREKEYS, Nothing()) == COUNTS


async def test_answers_find_their_requests_in_any_order(identity: Identity) -> None:
    async def serve(socket: ServerConnection) -> None:
        frames = [(await next_request(socket))[0] for _ in range(20)]
        for frame in reversed(frames):
            await answer(socket, frame.request_id, PrekeyCounts(frame.request_id, 0))
        await socket.wait_closed()

    async with running(identity, serve) as server, await connect(server) as connection:
        found = await asyncio.gather(*(count_prekeys(connection) for _ in range(20)))
    assert [counts.one_time for counts in found] == list(range(1, 21))


async def test_an_error_keeps_its_code_and_its_time(identity: Identity) -> None:
    async def serve(socket: ServerConnection) -> None:
        for body in (
            ErrorBody("limit.rate", "forged sentence", "forged", 1500),
            ErrorBody("token.revoked", "", ""),
            ErrorBody("of.tomorrow", "", "", -5),
        ):
            frame, _ = await next_request(socket)
            await socket.send(encode_frame(Kind.ERROR, frame.request_id, body))
        await socket.wait_closed()

    async with running(identity, serve) as server, await connect(server) as connection:
        with pytest.raises(LimitError) as limit:
            await count_prekeys(connection)
        assert limit.value.code is Code.LIMIT_RATE
        assert limit.value.retry_after == 1500
        assert "forged" not in str(limit.value)
        with pytest.raises(AccessError) as access:
            await count_prekeys(connection)
        assert access.value.code is Code.TOKEN_REVOKED
        assert access.value.retry_after is None
        with pytest.raises(PeerError) as peer:
            await count_prekeys(connection)
        assert peer.value.code is Code.SERVER_MISBEHAVED
        assert peer.value.retry_after is None


async def test_a_timeout_is_named_and_its_late_answer_passed_over(identity: Identity) -> None:
    late = asyncio.Event()

    async def serve(socket: ServerConnection) -> None:
        first, _ = await next_request(socket)
        await late.wait()
        await answer(socket, first.request_id, COUNTS)
        second, _ = await next_request(socket)
        await answer(socket, second.request_id, PrekeyCounts(9, 9))
        await socket.wait_closed()

    async with running(identity, serve) as server, await connect(server, timeout=0.05) as slow:
        with pytest.raises(TransportError) as caught:
            await count_prekeys(slow)
        assert caught.value.code is Code.NETWORK_TIMEOUT
        slow._timeout = 30
        late.set()
        assert await count_prekeys(slow) == PrekeyCounts(9, 9)


async def test_a_cancelled_request_leaves_the_connection_usable(identity: Identity) -> None:
    arrived = asyncio.Event()

    async def serve(socket: ServerConnection) -> None:
        first, _ = await next_request(socket)
        arrived.set()
        second, _ = await next_request(socket)
        for frame in (first, second):
            await answer(socket, frame.request_id, COUNTS)
        await socket.wait_closed()

    async with running(identity, serve) as server, await connect(server) as connection:
        task = asyncio.ensure_future(count_prekeys(connection))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await count_prekeys(connection) == COUNTS


async def test_pushes_come_in_order_and_end_with_the_connection(identity: Identity) -> None:
    async def serve(socket: ServerConnection) -> None:
        for number in range(50):
            await socket.send(push(number))
        await socket.send(encode_frame(Kind.PUSH_PREKEYS_LOW, 0, PushPrekeysLow(COUNTS)))
        # From a newer server: passed over.
        await socket.send(encode_frame(0xBF, 0, Nothing()))

    async with running(identity, serve) as server, await connect(server) as connection:
        items = connection.pushes()
        seen = [await anext(items) for _ in range(51)]
        with pytest.raises(TransportError) as caught:
            await anext(items)
        assert caught.value.code is Code.NETWORK_CLOSED
        assert seen == [*(PushDrain(number) for number in range(50)), PushPrekeysLow(COUNTS)]
        with pytest.raises(TransportError):
            await connection.next_push()
        with pytest.raises(TransportError):
            await count_prekeys(connection)
        assert not connection.open_


async def test_closing_ends_the_pushes_quietly_and_requests_with_an_error(
    identity: Identity,
) -> None:
    arrived = asyncio.Event()

    async def serve(socket: ServerConnection) -> None:
        await next_request(socket)
        arrived.set()
        await socket.wait_closed()

    async with running(identity, serve) as server:
        connection = await connect(server)
        request = asyncio.ensure_future(count_prekeys(connection))
        await arrived.wait()
        assert "open=True" in repr(connection)
        await connection.close()
        await connection.close()
        assert [item async for item in connection.pushes()] == []
        with pytest.raises(TransportError) as caught:
            await request
        assert caught.value.code is Code.NETWORK_CLOSED
        with pytest.raises(TransportError):
            await count_prekeys(connection)


@pytest.mark.parametrize(
    "data",
    [
        "text",
        b"",
        b"\xc1",
        b"\x94\x01\xcc\xc0\x01",
        encode_frame(Kind.OK, 1, Nothing()) + b"x",
        encode_frame(Kind.OK, 1, Nothing()),
        encode_frame(Kind.OK, 99, COUNTS),
        encode_frame(Kind.OK, 0, COUNTS),
        encode_frame(Kind.ERROR, 1, Nothing()),
        encode_frame(Kind.ERROR, 99, ErrorBody("limit.rate", "", "")),
        encode_frame(Kind.PUSH_DRAIN, 1, PushDrain(1)),
        encode_frame(Kind.PUSH_DRAIN, 0, PushDrain(-1)),
        encode_frame(Kind.COUNT_PREKEYS, 1, Nothing()),
        encode_frame(0xC2, 0, Nothing()),
    ],
)
async def test_a_malformed_frame_ends_the_connection(identity: Identity, data: str | bytes) -> None:
    closed: list[int | None] = []

    async def serve(socket: ServerConnection) -> None:
        await next_request(socket)
        await socket.send(data)
        await socket.wait_closed()
        closed.append(socket.close_code)

    async with running(identity, serve) as server, await connect(server) as connection:
        with pytest.raises(PeerError) as caught:
            await count_prekeys(connection)
        assert caught.value.code is Code.SERVER_MISBEHAVED
        with pytest.raises(PeerError):
            await connection.next_push()
        with pytest.raises(PeerError):
            await count_prekeys(connection)
    assert closed == [1002]


async def test_a_frame_that_is_too_large_ends_the_connection(identity: Identity) -> None:
    async def serve(socket: ServerConnection) -> None:
        await socket.send(bytes(MAX_FRAME + 1))
        await socket.wait_closed()

    async with running(identity, serve) as server, await connect(server) as connection:
        with pytest.raises(PeerError) as caught:
            await connection.next_push()
        assert caught.value.code is Code.SERVER_MISBEHAVED


async def test_a_request_that_is_too_large_is_refused_here(identity: Identity) -> None:
    async with running(identity, idle) as server, await connect(server) as connection:
        body = Append(b"s" * 16, b"c" * 16, Envelope(1, 1, b"", bytes(MAX_FRAME)), [])
        with pytest.raises(LimitError) as caught:
            await connection.ask(Kind.APPEND, body, Appended)
        assert caught.value.code is Code.LIMIT_SIZE
        assert connection.open_


async def test_the_wrong_body_is_our_bug(identity: Identity) -> None:
    async with running(identity, idle) as server, await connect(server) as connection:
        with pytest.raises(InternalError):
            await connection.request(Kind.FETCH_BUNDLES, Nothing())
        with pytest.raises(InternalError):
            await connection.ask(
                Kind.FETCH_BUNDLES, FetchBundles(b"a" * 16, [b"d" * 16]), ServerInfo
            )


@pytest.mark.parametrize(
    ("number", "reason", "code"),
    [
        (1000, "", Code.NETWORK_CLOSED),
        (1001, "", Code.NETWORK_CLOSED),
        (1008, "token.revoked", Code.TOKEN_REVOKED),
        (1008, "some words", Code.NETWORK_CLOSED),
        (1009, "", Code.LIMIT_SIZE),
        (1011, "", Code.NETWORK_CLOSED),
        (1012, "", Code.SERVER_DRAINING),
        (1013, "", Code.SERVER_DRAINING),
        (4001, "", Code.NETWORK_CLOSED),
        (4003, "", Code.TOKEN_REVOKED),
        (4008, "", Code.NETWORK_SLOW),
    ],
)
async def test_close_codes_have_codes_of_ours(
    identity: Identity, number: int, reason: str, code: Code
) -> None:
    async def serve(socket: ServerConnection) -> None:
        await next_request(socket)
        await socket.close(number, reason)

    async with running(identity, serve) as server, await connect(server) as connection:
        with pytest.raises(ParlourError) as caught:
            await count_prekeys(connection)
        assert caught.value.code is code


async def test_an_error_of_the_whole_connection_ends_it(identity: Identity) -> None:
    async def serve(socket: ServerConnection) -> None:
        await next_request(socket)
        body = ErrorBody("server.draining", "", "", 700)
        await socket.send(encode_frame(Kind.ERROR, 0, body))
        await socket.wait_closed()

    async with running(identity, serve) as server, await connect(server) as connection:
        for _ in range(2):
            with pytest.raises(TransportError) as caught:
                await count_prekeys(connection)
            assert caught.value.code is Code.SERVER_DRAINING
            assert caught.value.retry_after == 700


async def test_a_connection_that_breaks_is_named(identity: Identity) -> None:
    async def serve(socket: ServerConnection) -> None:
        await next_request(socket)
        socket.transport.abort()

    async with running(identity, serve) as server, await connect(server) as connection:
        with pytest.raises(TransportError) as caught:
            await count_prekeys(connection)
        assert caught.value.code is Code.NETWORK_CLOSED


async def test_a_silent_server_is_noticed_by_the_heartbeat(
    identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "HEARTBEAT_INTERVAL", 0.02)
    monkeypatch.setattr(connection_module, "HEARTBEAT_TIMEOUT", 0.02)
    monkeypatch.setattr(connection_module, "CLOSE_TIMEOUT", 0.02)
    paused = asyncio.Event()

    async def serve(socket: ServerConnection) -> None:
        socket.transport.pause_reading()
        paused.set()
        await socket.wait_closed()

    async with running(identity, serve, close_timeout=0.1) as server:
        connection = await connect(server)
        await paused.wait()
        with pytest.raises(TransportError) as caught:
            await connection.next_push()
        assert caught.value.code is Code.NETWORK_TIMEOUT
        await connection.close()


def denying(status: HTTPStatus, body: bytes, **headers: str) -> Callable[..., Response]:
    def deny(socket: ServerConnection, request: Request) -> Response:
        response = socket.respond(status, "")
        response.body = body
        del response.headers["Content-Length"]
        response.headers["Content-Length"] = str(len(body))
        for name, value in headers.items():
            response.headers[name] = value
        return response

    return deny


@pytest.mark.parametrize(
    ("status", "body", "code", "retry_after"),
    [
        (401, encode_body(ErrorBody("token.revoked", "", "")), Code.TOKEN_REVOKED, None),
        (403, encode_body(ErrorBody("device.removed", "", "")), Code.DEVICE_REMOVED, None),
        (429, encode_body(ErrorBody("limit.rate", "", "", 90)), Code.LIMIT_RATE, 90),
        (401, b"no such thing", Code.TOKEN_INVALID, None),
        (403, b"", Code.TOKEN_INVALID, None),
        (429, b"", Code.LIMIT_RATE, None),
        (503, b"", Code.SERVER_DRAINING, None),
        (404, b"<html>", Code.NETWORK_UNREACHABLE, None),
    ],
)
async def test_a_refused_upgrade_has_the_servers_code(
    identity: Identity, status: int, body: bytes, code: Code, retry_after: int | None
) -> None:
    deny = denying(HTTPStatus(status), body)
    async with running(identity, idle, process_request=deny) as server:
        with pytest.raises(ParlourError) as caught:
            await connect(server)
    assert caught.value.code is code
    assert caught.value.retry_after == retry_after


async def test_a_redirect_is_not_followed(identity: Identity) -> None:
    seen: list[str] = []

    async def trap(socket: ServerConnection) -> None:
        seen.append(str(socket.request))

    async with running(identity, trap) as elsewhere:
        deny = denying(HTTPStatus.FOUND, b"", Location=f"wss://{elsewhere.address}/v1/live")
        async with running(identity, idle, process_request=deny) as server:
            with pytest.raises(TransportError) as caught:
                await connect(server)
            assert caught.value.code is Code.NETWORK_UNREACHABLE
    assert seen == []


async def test_a_server_that_switches_compression_on_is_refused(identity: Identity) -> None:
    def force(socket: ServerConnection, request: Request, response: Response) -> None:
        response.headers["Sec-WebSocket-Extensions"] = "permessage-deflate"

    async with running(identity, idle, process_response=force) as server:
        with pytest.raises(TransportError) as caught:
            await connect(server)
        assert caught.value.code is Code.NETWORK_UNREACHABLE


async def test_no_proxy_is_asked(identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "wss_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with running(identity, idle) as server, await connect(server) as connection:
        assert connection.open_


async def test_nothing_of_the_token_is_logged_or_shown(
    identity: Identity, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("websockets.client", "parlour.client.websocket"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    logging.getLogger("websockets.server").setLevel(logging.CRITICAL)
    deny = denying(HTTPStatus.UNAUTHORIZED, b"")
    async with running(identity, idle, process_request=deny) as server:
        with pytest.raises(ParlourError) as caught:
            await connect(server)
    async with running(identity, idle) as server, await connect(server) as connection:
        shown = repr(connection) + repr(TOKEN) + repr(caught.value) + repr(caught.value.__cause__)
    assert "canary" not in caplog.text
    assert "canary" not in shown


async def test_a_full_queue_slows_the_server_down(
    identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushes, "MAX_PUSHES", 4)

    async def serve(socket: ServerConnection) -> None:
        for number in range(200):
            await socket.send(push(number))
        await socket.wait_closed()

    async with running(identity, serve) as server, await connect(server) as connection:
        seen = [await connection.next_push() for _ in range(200)]
    assert seen == [PushDrain(number) for number in range(200)]


async def test_a_full_queue_does_not_stand_in_the_way_of_an_answer(
    identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushes, "MAX_PUSHES", 4)

    async def serve(socket: ServerConnection) -> None:
        for number in range(50):
            await socket.send(push(number))
        frame, _ = await next_request(socket)
        await answer(socket, frame.request_id, COUNTS)
        await socket.wait_closed()

    async with running(identity, serve) as server, await connect(server) as connection:
        assert await count_prekeys(connection) == COUNTS
        seen = [await connection.next_push() for _ in range(5)]
    assert seen == [*(PushDrain(number) for number in range(4)), PushResync()]


async def test_a_request_into_a_connection_that_just_ended_says_why(identity: Identity) -> None:
    async def serve(socket: ServerConnection) -> None:
        await socket.close(1012)

    async with running(identity, serve) as server, await connect(server) as connection:
        # The reader has not seen the end yet when the request is sent.
        await connection._socket.wait_closed()
        with pytest.raises(TransportError) as caught:
            await connection._send_and_wait(Kind.COUNT_PREKEYS, Nothing())
        assert caught.value.code is Code.SERVER_DRAINING


async def test_a_bug_in_the_reader_ends_the_connection_loudly(
    identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def serve(socket: ServerConnection) -> None:
        await socket.send(push(1))
        await socket.wait_closed()

    def fail(data: bytes) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(connection_module, "decode_frame", fail)
    async with running(identity, serve) as server, await connect(server) as connection:
        with pytest.raises(InternalError, match="ZeroDivisionError"):
            await connection.next_push()
        with pytest.raises(ZeroDivisionError):
            await connection._reader


async def test_a_server_whose_key_can_not_be_read_is_refused(
    identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "peer_pin", lambda peer: None)
    async with running(identity, idle) as server:
        with pytest.raises(SecurityStop) as caught:
            await connect(server)
    assert caught.value.code is Code.SERVER_PIN


async def test_numbers_of_requests_start_anew_and_skip_those_in_use(
    identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "_MAX_REQUEST_ID", 3)

    async def serve(socket: ServerConnection) -> None:
        first, _ = await next_request(socket)
        for expected in (2, 3, 2):
            frame, _ = await next_request(socket)
            assert frame.request_id == expected
            await answer(socket, frame.request_id, COUNTS)
        await answer(socket, first.request_id, PrekeyCounts(9, 9))
        await socket.wait_closed()

    async with running(identity, serve) as server, await connect(server) as connection:
        first = asyncio.ensure_future(count_prekeys(connection))
        await asyncio.sleep(0)
        for _ in range(3):
            assert await count_prekeys(connection) == COUNTS
        assert await first == PrekeyCounts(9, 9)


def test_an_unexpected_failure_is_our_bug() -> None:
    assert opening_error(ValueError("x")).code is Code.INTERNAL_BUG
