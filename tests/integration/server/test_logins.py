"""Registration and login against those who lack something."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from parlour.errors import Code, ParlourError
from parlour.identity.device_list import first_entry
from parlour.login import ClientLogin, ClientRegistration, Stretched
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.server import Config, Server, create_invite
from parlour.wire.kinds import Kind
from parlour.wire.login import (
    LoggedIn,
    LoginChallenge,
    LoginFinish,
    LoginStart,
    RegisterChallenge,
    RegisterFinish,
    RegisterStart,
)

from .people import NOW, Person, open_socket, register


async def refusal_of(awaitable: Any) -> Code:
    with pytest.raises(ParlourError) as refusal:
        await awaitable
    return refusal.value.code


async def register_with(
    person: Person, change: Callable[[RegisterFinish], RegisterFinish]
) -> LoggedIn:
    """Register with a last message that was changed."""
    async with open_socket(person.server, "/v1/login") as socket:
        state, request = ClientRegistration.start(person.password)
        start = RegisterStart(person.name, None, request)
        challenge = await socket.ask(Kind.REGISTER_START, start, RegisterChallenge)
        finish = change(person.finish_registration(state, challenge.response))
        return await socket.ask(Kind.REGISTER_FINISH, finish, LoggedIn)


def changed(finish: RegisterFinish, **fields: Any) -> RegisterFinish:
    values = {name: getattr(finish, name) for name in finish.__struct_fields__}
    return RegisterFinish(**{**values, **fields})


async def test_a_registration_that_does_not_verify_leaves_nothing(server: Server) -> None:
    alice = Person(server, "alice")
    other = Person(server, "alice")
    two = alice.next_list(alice.device, other.device)
    two_devices = replace(two, number=0, previous_hash=b"").sign(alice.account_key)
    foreign = first_entry(alice.account_id, other.account_key, alice.device, NOW)
    for fields, code in (
        ({"account_id": os.urandom(16)}, Code.DEVICE_LIST_INVALID),
        ({"record_signature": bytes(64)}, Code.CRYPTO_SIGNATURE),
        ({"device_list_entry": foreign.encode()}, Code.CRYPTO_SIGNATURE),
        ({"device_list_entry": two_devices.encode()}, Code.DEVICE_LIST_INVALID),
        ({"device_list_entry": alice.next_list().encode()}, Code.DEVICE_LIST_INVALID),
        ({"device_list_entry": b"\x00"}, Code.DECODE_TRUNCATED),
        ({"device_proof": bytes(64)}, Code.LOGIN_BINDING),
        ({"upload": bytes(10)}, Code.DECODE_TRUNCATED),
    ):
        attempt = register_with(alice, lambda finish, f=fields: changed(finish, **f))  # type: ignore[misc]
        assert await refusal_of(attempt) == code, fields
    assert await server.core.store.accounts.by_name("alice") is None
    await alice.register()


async def test_a_name_is_taken_once_whatever_its_letters(server: Server) -> None:
    await register(server, "alice")
    for name in ("alice", "ALICE"):
        assert await refusal_of(Person(server, name).register()) == Code.ACCOUNT_EXISTS
    for name in ("a b", "älice", "-a", "a@b", ".", "you"):
        assert await refusal_of(Person(server, name).register()) == Code.USAGE_INVALID


async def test_invites_are_needed_checked_and_used_up(config: Config) -> None:
    config = replace(config, registration="invite")
    async with Server(config) as server:
        assert await refusal_of(Person(server, "a").register()) == Code.INVITE_REQUIRED
        wrong = Person(server, "a").register(invite=bytes(16))
        assert await refusal_of(wrong) == Code.INVITE_INVALID
        # Made by another process while the server runs.
        invite = create_invite(config, host="127.0.0.1", port=server.port, uses=1)
        assert invite.pin == server.pin
        assert invite.server == config.name
        assert invite.secret is not None
        secret = invite.secret.reveal()
        await Person(server, "alice").register(invite=secret)
        again = Person(server, "bea").register(invite=secret)
        assert await refusal_of(again) == Code.INVITE_INVALID


async def test_an_invite_needs_a_server_that_was_started(config: Config) -> None:
    with pytest.raises(ParlourError) as refusal:
        create_invite(config, host="h", port=1)
    assert refusal.value.code == Code.USAGE_STATE
    async with Server(config):
        pass
    assert create_invite(config, host="h", port=1, ca=True).pin is None
    with pytest.raises(ParlourError) as refusal:
        create_invite(config, host="h", port=1, uses=0)
    assert refusal.value.code == Code.USAGE_INVALID


async def test_a_login_needs_password_device_and_channel(server: Server) -> None:
    alice, bea = await register(server, "alice", "bea")
    wrong = Stretched(os.urandom(32))
    assert await refusal_of(alice.log_in(password=wrong)) == Code.LOGIN_FAILED
    other_channel = alice.log_in(pin=os.urandom(32))
    assert await refusal_of(other_channel) == Code.LOGIN_BINDING
    others_device = alice.log_in(device_id=bea.device_id, device_key=bea.device_key)
    assert await refusal_of(others_device) == Code.LOGIN_BINDING
    no_device = alice.log_in(device_id=os.urandom(16))
    assert await refusal_of(no_device) == Code.LOGIN_BINDING
    other_key = alice.log_in(device_key=Ed25519PrivateKey.generate())
    assert await refusal_of(other_key) == Code.LOGIN_BINDING
    await alice.log_in()


async def test_a_name_that_nobody_has_is_answered_like_one_that_exists(server: Server) -> None:
    await register(server, "alice")
    wrong = Stretched(os.urandom(32))
    async with open_socket(server, "/v1/login") as socket:
        outcomes = {}
        for name in ("alice", "nobody"):
            _, ke1 = ClientLogin.start(wrong)
            challenge = await socket.ask(Kind.LOGIN_START, LoginStart(name, ke1), LoginChallenge)
            finish = LoginFinish(bytes(64), bytes(32), bytes(16), bytes(64))
            code = await refusal_of(socket.ask(Kind.LOGIN_FINISH, finish, LoggedIn))
            outcomes[name] = (len(challenge.ke2), code)
        assert outcomes["alice"] == outcomes["nobody"] == (320, Code.LOGIN_FAILED)


async def test_both_legs_come_on_one_connection_once(server: Server) -> None:
    (alice,) = await register(server, "alice")
    finish = LoginFinish(bytes(64), bytes(32), bytes(16), bytes(64))
    _, ke1 = ClientLogin.start(alice.password)
    async with open_socket(server, "/v1/login") as first:
        await first.ask(Kind.LOGIN_START, LoginStart("alice", ke1), LoginChallenge)
        async with open_socket(server, "/v1/login") as second:
            other = second.ask(Kind.LOGIN_FINISH, finish, LoggedIn)
            assert await refusal_of(other) == Code.USAGE_STATE
        assert await refusal_of(first.ask(Kind.LOGIN_FINISH, finish, LoggedIn)) == Code.LOGIN_FAILED
        assert await refusal_of(first.ask(Kind.LOGIN_FINISH, finish, LoggedIn)) == Code.USAGE_STATE


async def test_a_login_or_registration_that_takes_too_long_is_over(config: Config) -> None:
    now = [1_800_000_000_000]
    async with Server(config, clock=lambda: now[0]) as server:
        (alice,) = await register(server, "alice")
        bea = Person(server, "bea")

        def wait(finish: RegisterFinish) -> RegisterFinish:
            now[0] += 60_001
            return finish

        assert await refusal_of(register_with(bea, wait)) == Code.LOGIN_EXPIRED
        _, ke1 = ClientLogin.start(alice.password)
        async with open_socket(server, "/v1/login") as socket:
            await socket.ask(Kind.LOGIN_START, LoginStart("alice", ke1), LoginChallenge)
            now[0] += 61_000
            finish = LoginFinish(bytes(64), bytes(32), bytes(16), bytes(64))
            late = socket.ask(Kind.LOGIN_FINISH, finish, LoggedIn)
            assert await refusal_of(late) == Code.LOGIN_EXPIRED


async def test_a_token_lives_as_long_as_it_is_used(config: Config) -> None:
    from parlour.server.sessions import LIFETIME_MS
    from parlour.wire.login import Sessions
    from parlour.wire.server import Nothing

    now = [1_800_000_000_000]
    async with Server(config, clock=lambda: now[0]) as server:
        (alice,) = await register(server, "alice")
        for _ in range(3):
            now[0] += LIFETIME_MS - 2 * 24 * 60 * 60 * 1000
            await alice.rest(Kind.SESSIONS, Nothing(), Sessions)
        now[0] += LIFETIME_MS
        late = alice.rest(Kind.SESSIONS, Nothing(), Sessions)
        assert await refusal_of(late) == Code.TOKEN_INVALID


async def test_guessing_at_one_name_is_slowed_down(config: Config) -> None:
    async with Server(replace(config, limits=1.0)) as server:
        (alice,) = await register(server, "alice")
        wrong = Stretched(os.urandom(32))
        codes = [await refusal_of(alice.log_in(password=wrong)) for _ in range(11)]
        assert codes == [Code.LOGIN_FAILED] * 10 + [Code.LIMIT_RATE]
