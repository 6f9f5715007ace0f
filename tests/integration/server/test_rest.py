"""REST and TLS against clients that break the rules."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace

import httpx
import pytest

from parlour.errors import Code
from parlour.primitives.certificates import spki_pin
from parlour.server import Config, Server
from parlour.server.http import protocol
from parlour.wire.frames import decode_body, encode_body
from parlour.wire.kinds import Kind
from parlour.wire.limits import MAX_FRAME
from parlour.wire.server import ErrorBody, Nothing, ServerInfo
from parlour.wire.streams import Read

from .people import raw_post, register, rest, rest_client, rest_error, trust


async def test_a_server_says_who_it_is(server: Server) -> None:
    async with rest_client(server) as client:
        answer = await client.get("/v1/server")
        health = await client.get("/healthz")
    info = decode_body(answer.content, ServerInfo)
    assert (info.name, info.registration) == ("parlour.example", "open")
    assert info.next_pin == server.core.identity.next_pin != server.pin
    assert info.incarnation == server.core.store.incarnation
    assert answer.headers["content-type"] == "application/msgpack"
    assert answer.headers["cache-control"] == "no-store"
    assert not {"server", "date"} & answer.headers.keys()
    assert (health.status_code, health.text) == (200, "ok")


async def test_the_key_on_the_line_is_the_pinned_one(server: Server) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=trust(server))
    connection = writer.get_extra_info("ssl_object")
    assert connection.version() == "TLSv1.3"
    assert spki_pin(connection.getpeercert(binary_form=True)) == server.pin
    writer.close()
    await writer.wait_closed()


async def test_nothing_older_than_tls_1_3_is_spoken(server: Server) -> None:
    context = trust(server)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    # An alert or a closed connection, whichever is read first.
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        await asyncio.open_connection("127.0.0.1", server.port, ssl=context)


async def test_what_is_no_operation_is_not_found(server: Server) -> None:
    for path in ("/", "/v1", "/v1/nothing", "/v1/live-start", "/v1/login-start", "/v1/live"):
        assert (await raw_post(server, path, b"")).status_code in (404, 405)
    async with rest_client(server) as client:
        answer = await client.get("/v1/append")
    assert answer.status_code == 405
    assert decode_body(answer.content, ErrorBody).code == Code.USAGE_INVALID


async def test_bodies_that_do_not_parse_or_fit(server: Server) -> None:
    (alice,) = await register(server, "alice")
    good = encode_body(Read(alice.inbox, 0, 1))
    for body, status, code in (
        (b"", 400, Code.DECODE_MALFORMED),
        (good[:-1], 400, Code.DECODE_MALFORMED),
        (good + b"\x00", 400, Code.DECODE_MALFORMED),
        (b"\x81\xa1x\x01", 400, Code.DECODE_MALFORMED),
        (b"\x91" * 5000, 400, Code.DECODE_MALFORMED),
        (bytes(MAX_FRAME + 1), 413, Code.DECODE_OVERSIZED),
    ):
        answer = await rest(server, Kind.READ, body, alice.token)
        assert (answer.status_code, rest_error(answer).code) == (status, code)
    assert (await rest(server, Kind.READ, good, alice.token)).status_code == 200


async def test_a_body_without_a_length_is_bounded_as_well(server: Server) -> None:
    (alice,) = await register(server, "alice")

    async def endless() -> object:
        for _ in range(MAX_FRAME // 65536 + 2):
            yield bytes(65536)

    async with rest_client(server) as client:
        answer = await client.post(
            "/v1/read",
            content=endless(),  # type: ignore[arg-type]
            headers={"Authorization": f"Bearer {alice.token}"},
        )
    assert answer.status_code == 413


async def test_a_head_that_drips_or_never_ends_is_cut_off(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.2)
    for head in (b"", b"GET /healthz HT", b"GET / HTTP/1.1\r\nx: y\r\n"):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=trust(server))
        writer.write(head)
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 60)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=trust(server))
    writer.write(b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * protocol.MAX_HEAD)
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()


async def test_too_many_requests_are_refused_with_a_time(config: Config) -> None:
    async with Server(replace(config, limits=1.0)) as server:
        (alice,) = await register(server, "alice")
        async with rest_client(server) as client:
            answers = [
                await rest(
                    server, Kind.SESSIONS, encode_body(Nothing()), alice.token, client=client
                )
                for _ in range(61)
            ]
        assert {answer.status_code for answer in answers[:60]} == {200}
        assert answers[60].status_code == 429
        error = decode_body(answers[60].content, ErrorBody)
        assert error.code == Code.LIMIT_RATE
        assert error.retry_after is not None
        assert 0 < error.retry_after <= 60_000


async def test_guessing_tokens_is_slowed_down(config: Config) -> None:
    async with Server(replace(config, limits=1.0)) as server, rest_client(server) as client:
        statuses = [
            (await rest(server, Kind.SESSIONS, b"", "plt_" + "A" * 43, client=client)).status_code
            for _ in range(121)
        ]
    assert statuses == [401] * 120 + [429]


async def test_a_bug_shows_the_peer_its_code_and_nothing_else(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret detail")

    stream = io.StringIO()
    async with Server(config, log_stream=stream) as server:
        (alice,) = await register(server, "alice")
        monkeypatch.setattr(server.core.store.tokens, "of_account", broken)
        answer: httpx.Response = await rest(
            server, Kind.SESSIONS, encode_body(Nothing()), alice.token
        )
    assert answer.status_code == 500
    assert rest_error(answer).code == Code.INTERNAL_BUG
    assert b"secret detail" not in answer.content
    assert "secret detail" not in stream.getvalue()
    assert '"exception": "ZeroDivisionError"' in stream.getvalue()
    assert '"where": "test_rest.py:' in stream.getvalue()
