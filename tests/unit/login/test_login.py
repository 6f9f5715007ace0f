"""A login that succeeds, and each way in which one does not."""

from collections.abc import Callable
from typing import Any

import pytest

from parlour.errors import AccessError, Code, DecodeError, PeerError, UsageError
from parlour.login import (
    ClientLogin,
    ClientRegistration,
    LoginContext,
    OpaqueServer,
    Registration,
    Stretched,
    registration_transcript,
)
from parlour.login.server import ATTEMPT_SECONDS
from tests.unit.login.story import (
    CONTEXT,
    NOW,
    PASSWORD,
    WRONG,
    log_in,
    new_server,
    register,
)


def refusal(call: Callable[..., object], *arguments: Any, **named: Any) -> Code:
    with pytest.raises(AccessError) as caught:
        call(*arguments, **named)
    return caught.value.code


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


def test_both_sides_end_with_the_same_key(server: OpaqueServer, record: bytes) -> None:
    login = log_in(server, record)
    accepted = login.finish()
    assert accepted.session_key == login.proof.session_key
    assert accepted.transcript == login.proof.transcript
    login.proof.confirm(accepted.confirmation)


def test_messages_have_the_sizes_of_the_rfc(server: OpaqueServer) -> None:
    state, request = ClientRegistration.start(PASSWORD)
    response = server.register(request, "anna")
    registration = state.finish(response)
    record = server.finish_registration(registration.upload)
    assert [len(each) for each in (request, response, registration.upload, record)] == [
        32,
        64,
        192,
        193,
    ]
    assert record == b"\x01" + registration.upload
    login, ke1 = ClientLogin.start(PASSWORD)
    ke2, _ = server.begin(ke1, "anna", record, now=NOW)
    proof = login.finish(ke2, context=CONTEXT)
    assert [len(each) for each in (ke1, ke2, proof.ke3, proof.binding)] == [96, 320, 64, 32]


def test_the_registrations_transcript_is_known_to_both_sides(server: OpaqueServer) -> None:
    state, request = ClientRegistration.start(PASSWORD)
    response = server.register(request, "anna")
    registration = state.finish(response)
    assert registration.transcript == registration_transcript(
        request, response, registration.upload
    )


def test_the_export_key_is_the_same_at_each_login(
    server: OpaqueServer, registered: tuple[Registration, bytes]
) -> None:
    registration, record = registered
    first, second = log_in(server, record), log_in(server, record)
    assert first.proof.export_key == second.proof.export_key == registration.export_key
    assert first.proof.session_key != second.proof.session_key


def test_the_export_key_changes_with_the_password(server: OpaqueServer) -> None:
    old, new = register(server, PASSWORD)[0], register(server, WRONG)[0]
    assert old.export_key != new.export_key


def test_a_wrong_password_and_an_unknown_user_are_refused_alike(
    server: OpaqueServer, record: bytes
) -> None:
    refusals = []
    for password, known in ((WRONG, record), (PASSWORD, None), (WRONG, None)):
        with pytest.raises(AccessError) as caught:
            log_in(server, known, password)
        refusals.append((caught.value.code, caught.value.detail, caught.value.__cause__))
    assert refusals == [(Code.LOGIN_FAILED, "", None)] * 3


def test_the_record_of_one_user_does_not_serve_another(server: OpaqueServer) -> None:
    _, record = register(server, user="bea")
    assert refusal(log_in, server, record) is Code.LOGIN_FAILED


def test_a_record_of_another_server_does_not_serve(record: bytes) -> None:
    assert refusal(log_in, new_server(), record) is Code.LOGIN_FAILED


@pytest.mark.parametrize(
    "context",
    [
        {"server_name": "example.com"},
        {"device_id": b"e" * 16},
        {"channel_pin": b"q" * 32},
        {"user": "bea"},
    ],
)
def test_a_login_bound_elsewhere_is_refused(
    server: OpaqueServer, record: bytes, context: dict[str, Any]
) -> None:
    assert refusal(log_in(server, record, **context).finish) is Code.LOGIN_BINDING


def test_the_context_names_the_user_of_the_attempt(server: OpaqueServer, record: bytes) -> None:
    # Both sides agree on a context of "bea", but it was anna's password.
    login = log_in(server, record, user="bea")
    context = LoginContext("example.org", "bea", CONTEXT.device_id, CONTEXT.channel_pin)
    assert refusal(login.finish, context=context) is Code.LOGIN_BINDING


def test_the_binding_of_another_transcript_is_refused(server: OpaqueServer, record: bytes) -> None:
    login, other = log_in(server, record), log_in(server, record)
    assert refusal(login.finish, binding=other.proof.binding) is Code.LOGIN_BINDING


@pytest.mark.parametrize("binding", [b"", bytes(32), bytes(33)])
def test_a_binding_that_is_none_is_refused(
    server: OpaqueServer, record: bytes, binding: bytes
) -> None:
    assert refusal(log_in(server, record).finish, binding=binding) is Code.LOGIN_BINDING


def test_the_clients_tag_does_not_serve_as_the_servers(server: OpaqueServer, record: bytes) -> None:
    proof = log_in(server, record).proof
    assert refusal(proof.confirm, proof.binding) is Code.LOGIN_BINDING
    assert refusal(proof.confirm, b"") is Code.LOGIN_BINDING


@pytest.mark.parametrize(
    "ke3", [bytes(64), b"", bytes(63), bytes(65)], ids=["zeros", "none", "short", "long"]
)
def test_a_false_ke3_is_refused(server: OpaqueServer, record: bytes, ke3: bytes) -> None:
    assert refusal(log_in(server, record).finish, ke3=ke3) is Code.LOGIN_FAILED


def test_ke3_with_a_tail_is_refused(server: OpaqueServer, record: bytes) -> None:
    login = log_in(server, record)
    assert refusal(login.finish, ke3=login.proof.ke3 + b"\x00") is Code.LOGIN_FAILED


def test_ke3_of_another_login_is_refused(server: OpaqueServer, record: bytes) -> None:
    old, login = log_in(server, record), log_in(server, record)
    old.finish()
    replayed = {"ke3": old.proof.ke3, "binding": old.proof.binding}
    assert refusal(login.finish, **replayed) is Code.LOGIN_FAILED


def test_an_attempt_ends_once_when_it_succeeds(server: OpaqueServer, record: bytes) -> None:
    login = log_in(server, record)
    login.finish()
    assert refusal(login.finish) is Code.LOGIN_FAILED


def test_an_attempt_ends_once_when_it_fails(server: OpaqueServer, record: bytes) -> None:
    login = log_in(server, record)
    refusal(login.finish, ke3=bytes(64))
    assert refusal(login.finish) is Code.LOGIN_FAILED


def test_an_attempt_lives_a_minute(server: OpaqueServer, record: bytes) -> None:
    log_in(server, record).finish(now=NOW + ATTEMPT_SECONDS)
    late = log_in(server, record)
    assert refusal(late.finish, now=NOW + ATTEMPT_SECONDS + 1) is Code.LOGIN_EXPIRED
    assert refusal(late.finish, now=NOW) is Code.LOGIN_FAILED
    back = log_in(server, record)
    assert refusal(back.finish, now=NOW - 1) is Code.LOGIN_EXPIRED


def test_an_attempt_does_not_show_whether_it_is_a_decoy(
    server: OpaqueServer, record: bytes
) -> None:
    _, ke1 = ClientLogin.start(PASSWORD)
    shown = {repr(server.begin(ke1, "anna", known, now=NOW)[1]) for known in (record, None)}
    assert shown == {"LoginAttempt(user='anna')"}


@pytest.mark.parametrize("at", range(0, 320, 13))
def test_a_changed_ke2_is_refused(server: OpaqueServer, record: bytes, at: int) -> None:
    state, ke1 = ClientLogin.start(PASSWORD)
    ke2, _ = server.begin(ke1, "anna", record, now=NOW)
    # A changed point may be none any more; then it does not parse.
    with pytest.raises((AccessError, DecodeError)):
        state.finish(flip(ke2, at), context=CONTEXT)


@pytest.mark.parametrize("at", [32, 63])
def test_a_changed_nonce_in_ke1_is_refused(server: OpaqueServer, record: bytes, at: int) -> None:
    state, ke1 = ClientLogin.start(PASSWORD)
    ke2, _ = server.begin(flip(ke1, at), "anna", record, now=NOW)
    assert refusal(state.finish, ke2, context=CONTEXT) is Code.LOGIN_FAILED


def test_a_server_that_reflects_the_blinded_password_is_refused(server: OpaqueServer) -> None:
    registration, request = ClientRegistration.start(PASSWORD)
    response = server.register(request, "anna")
    with pytest.raises(PeerError) as caught:
        registration.finish(request + response[32:])
    assert caught.value.code is Code.SERVER_MISBEHAVED
    state, ke1 = ClientLogin.start(PASSWORD)
    ke2, _ = server.begin(ke1, "anna", None, now=NOW)
    assert refusal(state.finish, ke1[:32] + ke2[32:], context=CONTEXT) is Code.LOGIN_FAILED


def test_client_states_end_once(server: OpaqueServer, record: bytes) -> None:
    state, ke1 = ClientLogin.start(PASSWORD)
    ke2, _ = server.begin(ke1, "anna", record, now=NOW)
    state.finish(ke2, context=CONTEXT)
    with pytest.raises(UsageError) as caught:
        state.finish(ke2, context=CONTEXT)
    assert caught.value.code is Code.USAGE_STATE
    registration, request = ClientRegistration.start(PASSWORD)
    response = server.register(request, "anna")
    registration.finish(response)
    with pytest.raises(UsageError) as caught:
        registration.finish(response)
    assert caught.value.code is Code.USAGE_STATE


def test_what_does_not_parse_changes_no_state(server: OpaqueServer, record: bytes) -> None:
    state, ke1 = ClientLogin.start(PASSWORD)
    ke2, _ = server.begin(ke1, "anna", record, now=NOW)
    registration, request = ClientRegistration.start(PASSWORD)
    response = server.register(request, "anna")
    for data, code in (
        (b"", Code.DECODE_TRUNCATED),
        (ke2[:-1], Code.DECODE_TRUNCATED),
        (ke2 + b"\x00", Code.DECODE_TRAILING),
        (bytes(32) + ke2[32:], Code.DECODE_MALFORMED),
        (b"\xff" * 320, Code.DECODE_MALFORMED),
    ):
        with pytest.raises(DecodeError) as caught:
            state.finish(data, context=CONTEXT)
        assert caught.value.code is code
    for data in (b"", response[:-1], response + b"\x00", bytes(64), response[:32] + bytes(32)):
        with pytest.raises(DecodeError):
            registration.finish(data)
    state.finish(ke2, context=CONTEXT)
    registration.finish(response)


@pytest.mark.parametrize("password", [Stretched(bytes(32)), Stretched(b"\xff" * 32)])
def test_every_stretched_value_is_a_password(server: OpaqueServer, password: Stretched) -> None:
    _, record = register(server, password)
    log_in(server, record, password).finish()


def test_secrets_do_not_show(server: OpaqueServer, registered: tuple[Registration, bytes]) -> None:
    proof = log_in(server, registered[1]).proof
    for secret in (registered[0].export_key, proof.export_key, proof.session_key):
        for shown in (repr(proof), repr(registered[0])):
            assert repr(secret.reveal()) not in shown
            assert secret.reveal().hex() not in shown
    assert repr(proof._server_tag) not in repr(proof)
