"""What the server keeps and answers: records, decoys, its own secrets, garbage."""

from collections import Counter
from collections.abc import Callable
from random import Random as Seeded

import pytest

from parlour.errors import AccessError, Code, DecodeError, UsageError
from parlour.login import ClientLogin, ClientRegistration, OpaqueServer, generate_setup
from parlour.login.setup import decoy_public_key
from tests.unit.login.story import CONTEXT, DECOY_KEY, NOW, PASSWORD, log_in, new_server


def decoy_record(server: OpaqueServer, user: str) -> bytes:
    return server._decoy_record(user)


def test_a_decoy_has_the_shape_of_a_record(server: OpaqueServer, record: bytes) -> None:
    decoy = decoy_record(server, "nobody")
    assert len(decoy) == len(record)
    assert decoy[0] == record[0] == 1
    _, ke1 = ClientLogin.start(PASSWORD)
    answers = [server.begin(ke1, "anna", known, now=NOW)[0] for known in (record, None, decoy)]
    assert [len(answer) for answer in answers] == [320] * 3


def test_a_decoy_depends_on_key_and_name_alone() -> None:
    setup = generate_setup(Seeded(1).randbytes)
    one, again = OpaqueServer(setup, DECOY_KEY), OpaqueServer(setup, DECOY_KEY)
    other = OpaqueServer(setup, b"o" * 32)
    decoys = [decoy_record(one, "nobody"), decoy_record(again, "nobody")]
    assert decoys[0] == decoys[1]
    assert decoys[0] != decoy_record(one, "nobody2")
    assert decoys[0] != decoy_record(other, "nobody")


def test_the_blinded_password_is_answered_alike_before_and_after_registration(
    server: OpaqueServer, record: bytes
) -> None:
    # The OPRF's key depends on the name only, so registering does not show in this part.
    _, ke1 = ClientLogin.start(PASSWORD)
    answers = {server.begin(ke1, "anna", known, now=NOW)[0][:32] for known in (record, None)}
    assert len(answers) == 1
    assert server.begin(ke1, "bea", record, now=NOW)[0][:32] not in answers


def test_nothing_else_of_an_answer_repeats(server: OpaqueServer, record: bytes) -> None:
    # If a decoy's answer repeated where a record's does not, or had a fixed byte, it would show.
    _, ke1 = ClientLogin.start(PASSWORD)
    for known in (record, None):
        answers = [server.begin(ke1, "anna", known, now=NOW)[0][32:] for _ in range(24)]
        for column in zip(*answers, strict=True):
            # 24 random bytes hold one value 12 times with a chance below 2^-66.
            assert Counter(column).most_common(1)[0][1] < 12


def test_nobody_logs_in_as_a_decoy(server: OpaqueServer) -> None:
    _, ke1 = ClientLogin.start(PASSWORD)
    _, attempt = server.begin(ke1, "anna", None, now=NOW)
    with pytest.raises(AccessError) as caught:
        server.finish(attempt, bytes(64), bytes(32), CONTEXT, now=NOW)
    assert caught.value.code is Code.LOGIN_FAILED


def test_nobody_logs_in_even_with_the_keys_of_a_decoy(
    server: OpaqueServer, record: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OpaqueServer, "_decoy_record", lambda *_: record)
    login = log_in(server, None)
    with pytest.raises(AccessError) as caught:
        login.finish()
    assert caught.value.code is Code.LOGIN_FAILED


def test_each_setup_has_a_decoy_key_of_its_own() -> None:
    keys = {decoy_public_key(generate_setup(Seeded(seed).randbytes)) for seed in range(4)}
    assert len(keys) == 4


@pytest.mark.parametrize(
    ("record_of", "code"),
    [
        (lambda _: b"", Code.DECODE_TRUNCATED),
        (lambda _: b"\x00" * 193, Code.DECODE_VERSION),
        (lambda record: b"\x02" + record[1:], Code.DECODE_VERSION),
        (lambda record: b"\x02" + record, Code.DECODE_VERSION),
        (lambda record: record[:-1], Code.DECODE_TRUNCATED),
        (lambda record: record + b"\x00", Code.DECODE_TRAILING),
        (lambda record: b"\x01" + b"\xff" * 32 + record[33:], Code.DECODE_MALFORMED),
        (lambda record: b"\x01" + bytes(32) + record[33:], Code.DECODE_MALFORMED),
    ],
)
def test_a_damaged_or_unknown_record_is_refused(
    server: OpaqueServer, record: bytes, record_of: Callable[[bytes], bytes], code: Code
) -> None:
    _, ke1 = ClientLogin.start(PASSWORD)
    with pytest.raises(DecodeError) as caught:
        server.begin(ke1, "anna", record_of(record), now=NOW)
    assert caught.value.code is code


def test_malformed_messages_are_refused(server: OpaqueServer, record: bytes) -> None:
    _, ke1 = ClientLogin.start(PASSWORD)
    _, request = ClientRegistration.start(PASSWORD)
    upload = record[1:]
    for data in (b"", ke1[:-1], ke1 + b"\x00", bytes(96), ke1[:64] + bytes(32), b"\xff" * 96):
        with pytest.raises(DecodeError):
            server.begin(data, "anna", record, now=NOW)
    for data in (b"", request[:-1], request + b"\x00", bytes(32), b"\xff" * 32):
        with pytest.raises(DecodeError):
            server.register(data, "anna")
    for data in (b"", upload[:-1], upload + b"\x00", bytes(32) + upload[32:], b"\xff" * 192):
        with pytest.raises(DecodeError):
            server.finish_registration(data)


def test_names_are_made_canonical(server: OpaqueServer) -> None:
    _, request = ClientRegistration.start(PASSWORD)
    assert server.register(request, "Anna") == server.register(request, "anna")
    _, ke1 = ClientLogin.start(PASSWORD)
    assert server.begin(ke1, "ANNA", None, now=NOW)[1].user == "anna"
    with pytest.raises(UsageError):
        server.register(request, "no such name")
    with pytest.raises(UsageError):
        server.begin(ke1, "../etc", None, now=NOW)


def test_a_setup_comes_from_the_given_randomness_alone() -> None:
    one, same, other = (generate_setup(Seeded(seed).randbytes) for seed in (1, 1, 2))
    assert one == same
    assert one != other
    assert len(one) == 128


def test_a_setup_outlives_a_restart(server: OpaqueServer) -> None:
    setup = generate_setup(Seeded(3).randbytes)
    _, request = ClientRegistration.start(PASSWORD)
    answers = {OpaqueServer(setup, DECOY_KEY).register(request, "anna") for _ in range(2)}
    assert len(answers) == 1
    assert new_server().register(request, "anna") not in answers


@pytest.mark.parametrize(
    "setup",
    [b"", bytes(127), bytes(128), b"\xff" * 128, generate_setup(Seeded(4).randbytes) + b"\x00"],
)
def test_what_is_no_setup_is_refused(setup: bytes) -> None:
    with pytest.raises(UsageError) as caught:
        OpaqueServer(setup, DECOY_KEY)
    assert caught.value.code is Code.USAGE_CONFIG


def test_a_decoy_key_has_32_bytes() -> None:
    with pytest.raises(UsageError):
        OpaqueServer(generate_setup(Seeded(5).randbytes), b"")


@pytest.mark.parametrize(("device_id", "pin"), [(bytes(15), bytes(32)), (bytes(16), bytes(31))])
def test_a_context_is_complete(device_id: bytes, pin: bytes) -> None:
    with pytest.raises(UsageError):
        type(CONTEXT)("example.org", "anna", device_id, pin)
