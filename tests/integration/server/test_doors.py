"""Every operation that needs a token, on each door, against everybody who has none that is good."""

from __future__ import annotations

import itertools

import pytest
from websockets.exceptions import InvalidStatus

from parlour.errors import Code, ParlourError
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.server import Server
from parlour.server.caller import Caller
from parlour.server.http.app import REST_DOORS
from parlour.server.hub import CLOSE_REFUSED
from parlour.server.socket.session import LIVE_DOORS, LOGIN_DOORS
from parlour.wire.frames import decode_body, encode_body
from parlour.wire.kinds import OPERATIONS, Door, Kind
from parlour.wire.login import RevokeSession, Sessions
from parlour.wire.server import ErrorBody, Nothing

from .people import Person, open_socket, raw_post, register, rest, rest_client, rest_error
from .requests import GUARDED, NAMES_A_STREAM, ON_REST, sample

GARBAGE = "plt_" + "A" * 43


async def removed_device(alice: Person) -> Person:
    """A device of Alice's that was logged in when she removed it."""
    gone = await alice.second_device()
    await alice.change_list(alice.next_list())
    return gone


async def test_rest_refuses_all_who_have_no_good_token(server: Server) -> None:
    alice, bea = await register(server, "alice", "bea")
    stream = (await alice.talk_to(bea)).stream
    revoked = (await alice.log_in()).token
    await alice.rest(Kind.LOG_OUT, Nothing(), Nothing, token=revoked)
    removed = (await removed_device(alice)).token
    refused = {
        None: (401, Code.TOKEN_MISSING),
        "short": (401, Code.TOKEN_INVALID),
        GARBAGE: (401, Code.TOKEN_INVALID),
        alice.token[:-1]: (401, Code.TOKEN_INVALID),
        revoked: (401, Code.TOKEN_REVOKED),
        removed: (403, Code.DEVICE_REMOVED),
    }
    async with rest_client(server) as client:
        for kind in ON_REST:
            body = encode_body(sample(kind, alice, stream))
            for token, (status, code) in refused.items():
                answer = await rest(server, kind, body, token, client=client)
                assert (answer.status_code, rest_error(answer).code) == (status, code), kind


async def test_rest_takes_a_good_token(server: Server) -> None:
    """The requests of the test above are refused for their tokens alone."""
    alice, bea = await register(server, "alice", "bea")
    stream = (await alice.talk_to(bea)).stream
    named_wrong = {
        Kind.REVOKE_SESSION: Code.USAGE_INVALID,
        Kind.CREATE_CONVERSATION: Code.ACCOUNT_UNKNOWN,
        Kind.LINK_TAKE: Code.LINK_EXPIRED,
        Kind.LINK_ANSWER: Code.LINK_EXPIRED,
        Kind.REVOKE_INVITE: Code.USAGE_INVALID,
        Kind.CREATE_GROUP: Code.DECODE_TRUNCATED,
        Kind.HANDSHAKE: Code.DECODE_MALFORMED,
        Kind.READ_GROUP: Code.GROUP_UNKNOWN,
        Kind.RESTART_GROUP: Code.DECODE_MALFORMED,
    }
    for kind in [each for each in ON_REST if each is not Kind.LOG_OUT]:
        answer = await rest(server, kind, encode_body(sample(kind, alice, stream)), alice.token)
        if kind in named_wrong:
            assert rest_error(answer).code == named_wrong[kind]
        else:
            assert answer.status_code == 200, kind


async def test_the_live_socket_refuses_all_who_have_no_good_token(server: Server) -> None:
    (alice,) = await register(server, "alice")
    revoked = (await alice.log_in()).token
    await alice.rest(Kind.LOG_OUT, Nothing(), Nothing, token=revoked)
    removed = (await removed_device(alice)).token
    for token, status, code in (
        (None, 401, Code.TOKEN_MISSING),
        (GARBAGE, 401, Code.TOKEN_INVALID),
        (revoked, 401, Code.TOKEN_REVOKED),
        (removed, 403, Code.DEVICE_REMOVED),
    ):
        with pytest.raises(InvalidStatus) as refusal:
            async with open_socket(server, "/v1/live", token):
                pass
        response = refusal.value.response
        assert response.status_code == status
        assert decode_body(bytes(response.body or b""), ErrorBody).code == code


async def test_an_open_door_refuses_a_token_that_ended_meanwhile(server: Server) -> None:
    """Both doors ask the dispatcher, and it asks again for every request."""
    (alice,) = await register(server, "alice")
    grant = await server.core.sessions.authenticate(alice.token)
    await alice.rest(Kind.LOG_OUT, Nothing(), Nothing)
    callers = (
        (Caller("address"), Code.TOKEN_MISSING),
        (Caller("address", grant=grant), Code.TOKEN_REVOKED),
    )
    for kind, (caller, code) in itertools.product(GUARDED, callers):
        body = encode_body(sample(kind, alice, alice.inbox))
        with pytest.raises(ParlourError) as refusal:
            await server.core.dispatcher.answer(kind, body, caller, LIVE_DOORS)
        assert refusal.value.code == code


async def test_each_operation_is_served_by_its_own_door_only(server: Server) -> None:
    (alice,) = await register(server, "alice")
    caller = Caller("address", grant=await server.core.sessions.authenticate(alice.token))
    for kind, operation in OPERATIONS.items():
        for doors in (REST_DOORS, LIVE_DOORS, LOGIN_DOORS):
            if operation.door in doors:
                continue
            with pytest.raises(ParlourError) as refusal:
                await server.core.dispatcher.answer(kind, b"", caller, doors)
            assert refusal.value.code == Code.STREAM_FORBIDDEN
        if operation.door not in REST_DOORS:
            answer = await raw_post(server, f"/v1/{operation.name}", b"")
            assert answer.status_code == 404
    assert {Door.PUBLIC, Door.TOKEN, Door.LIVE} == LIVE_DOORS
    assert {Door.PUBLIC, Door.LOGIN} == LOGIN_DOORS


async def test_who_is_not_a_member_finds_no_stream(server: Server) -> None:
    alice, bea, stranger = await register(server, "alice", "bea", "stranger")
    conversation = (await alice.talk_to(bea)).stream
    streams = (conversation, alice.inbox, bytes(16))
    for kind, stream in itertools.product(NAMES_A_STREAM, streams):
        request = sample(kind, stranger, stream)
        expected = (
            Code.STREAM_FORBIDDEN
            if kind is Kind.APPEND and stream == alice.inbox
            else Code.STREAM_UNKNOWN
        )
        if kind in ON_REST:
            answer = await rest(server, kind, encode_body(request), stranger.token)
            assert rest_error(answer).code == expected
        async with open_socket(server, "/v1/live", stranger.token) as socket:
            with pytest.raises(ParlourError) as refusal:
                await socket.ask(kind, request, Nothing)
            assert refusal.value.code == expected


@pytest.mark.parametrize("kind", [Kind.READ, Kind.CATCH_UP, Kind.ACKNOWLEDGE])
async def test_another_device_of_the_account_does_not_read_an_inbox(
    server: Server, kind: Kind
) -> None:
    (alice,) = await register(server, "alice")
    tablet = await alice.second_device()
    answer = await rest(server, kind, encode_body(sample(kind, tablet, alice.inbox)), tablet.token)
    assert rest_error(answer).code == Code.STREAM_UNKNOWN


async def test_sessions_are_listed_and_ended_by_their_own_account_only(server: Server) -> None:
    alice, bea = await register(server, "alice", "bea")
    second = await alice.log_in()
    sessions = (await alice.rest(Kind.SESSIONS, Nothing(), Sessions)).sessions
    assert [each.current for each in sessions] == [True, False]
    with pytest.raises(ParlourError) as refusal:
        await bea.rest(Kind.REVOKE_SESSION, RevokeSession(sessions[1].handle), Nothing)
    assert refusal.value.code == Code.USAGE_INVALID
    await alice.rest(Kind.SESSIONS, Nothing(), Sessions, token=second.token)
    await alice.rest(Kind.REVOKE_SESSION, RevokeSession(sessions[1].handle), Nothing)
    with pytest.raises(ParlourError) as refusal:
        await alice.rest(Kind.SESSIONS, Nothing(), Sessions, token=second.token)
    assert refusal.value.code == Code.TOKEN_REVOKED


async def test_ending_a_session_closes_its_socket(server: Server) -> None:
    (alice,) = await register(server, "alice")
    async with alice.live() as socket:
        await alice.rest(Kind.LOG_OUT, Nothing(), Nothing)
        assert await socket.closed() == CLOSE_REFUSED
        assert socket.loose_errors[0].code == Code.TOKEN_REVOKED


async def test_ending_a_session_closes_sockets_that_get_no_pushes(server: Server) -> None:
    (alice,) = await register(server, "alice")
    async with open_socket(server, "/v1/live", alice.token) as socket:
        await alice.rest(Kind.LOG_OUT, Nothing(), Nothing)
        assert await socket.closed() == CLOSE_REFUSED


async def test_removing_a_device_closes_its_socket(server: Server) -> None:
    (alice,) = await register(server, "alice")
    tablet = await alice.second_device()
    async with tablet.live() as at_tablet:
        await alice.change_list(alice.next_list())
        await at_tablet.closed()
        assert at_tablet.loose_errors[0].code == Code.DEVICE_REMOVED


async def test_a_device_that_was_removed_does_not_log_in(server: Server) -> None:
    (alice,) = await register(server, "alice")
    gone = await removed_device(alice)
    with pytest.raises(ParlourError) as refusal:
        await gone.log_in()
    assert refusal.value.code == Code.DEVICE_REMOVED
    stranger = Ed25519PrivateKey.generate()
    with pytest.raises(ParlourError) as refusal:
        await alice.log_in(device_key=stranger)
    assert refusal.value.code == Code.LOGIN_BINDING
