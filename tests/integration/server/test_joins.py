"""Joining by a passphrase alone, by hand: order, time, and what does not verify."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from parlour.errors import Code, ParlourError
from parlour.identity import proofs
from parlour.identity.device_list import Device, next_entry
from parlour.identity.recovery import RecoveryKey
from parlour.login import ClientLogin, LoginContext, LoginProof
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.server import Config, Server
from parlour.wire.joining import Joinable, JoinFinish, JoinUnlock
from parlour.wire.kinds import Kind
from parlour.wire.login import LoggedIn, LoginChallenge, LoginStart, Sessions
from parlour.wire.server import Nothing, ServerInfo

from .people import NOW, Person, Socket, open_socket, prekeys, register

LONE = b"\x02 as far as a server sees"


@pytest.fixture
def lenient(config: Config) -> Config:
    return replace(config, lone_vaults="yes")


async def refusal_of(awaitable: Any) -> Code:
    with pytest.raises(ParlourError) as refusal:
        await awaitable
    return refusal.value.code


async def lone(server: Server, name: str = "alice") -> Person:
    """Somebody whose vault stands alone."""
    (person,) = await register(server, name)
    finish = person.new_password(vaults=person.new_vaults(vault=LONE))
    await person.rest(Kind.PASSWORD_FINISH, finish, Nothing)
    return person


class Joiner:
    """A device that wants to join somebody's account."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.key = Ed25519PrivateKey.generate()
        self.device: Device = person.make_device(self.key)

    async def unlock(self, socket: Socket, **context: Any) -> tuple[Joinable, LoginProof]:
        person, server = self.person, self.person.server
        state, ke1 = ClientLogin.start(person.password)
        start = LoginStart(person.name, ke1)
        challenge = await socket.ask(Kind.LOGIN_START, start, LoginChallenge)
        fields = {
            "server_name": server.core.identity.name,
            "user": person.name,
            "device_id": self.device.device_id,
            "channel_pin": server.pin,
        }
        proof = state.finish(challenge.ke2, context=LoginContext(**(fields | context)))
        request = JoinUnlock(proof.ke3, proof.binding, self.device.device_id)
        answer = await socket.ask(Kind.JOIN_UNLOCK, request, Joinable)
        proof.confirm(answer.confirmation)
        return answer, proof

    def finish(self, proof: LoginProof, **fields: Any) -> JoinFinish:
        signed = proofs.join(
            server=self.person.server.core.identity.name,
            pin=self.person.server.pin,
            name=self.person.name,
            device_id=self.device.device_id,
            transcript=proof.transcript,
        )
        entry = self.person.next_list(self.person.device, self.device)
        values: dict[str, Any] = {
            "device_list_entry": entry.encode(),
            "prekeys": prekeys(2),
            "device_proof": self.key.sign(signed),
        }
        return JoinFinish(**(values | fields))


async def test_a_device_joins(lenient: Config) -> None:
    async with Server(lenient) as server:
        alice = await lone(server)
        joiner = Joiner(alice)
        async with open_socket(server, "/v1/login") as socket:
            info = await socket.ask(Kind.SERVER_INFO, Nothing(), ServerInfo)
            assert info.lone_vaults
            answer, proof = await joiner.unlock(socket)
            assert (answer.vault, answer.vault_number) == (LONE, 1)
            assert answer.device_list_entry == alice.list_entry.encode()
            finish = joiner.finish(proof)
            logged_in = await socket.ask(Kind.JOIN_FINISH, finish, LoggedIn)
            again = socket.ask(Kind.JOIN_FINISH, finish, LoggedIn)
            assert await refusal_of(again) == Code.USAGE_STATE
        assert logged_in.device_id == joiner.device.device_id
        sessions = await alice.rest(Kind.SESSIONS, Nothing(), Sessions, token=logged_in.token)
        assert len(sessions.sessions) == 2


async def test_the_login_is_bound_to_the_device_that_joins(lenient: Config) -> None:
    async with Server(lenient) as server:
        joiner = Joiner(await lone(server))
        async with open_socket(server, "/v1/login") as socket:
            for context in (
                {"device_id": bytes(16)},
                {"channel_pin": bytes(32)},
                {"server_name": "other.example"},
            ):
                assert await refusal_of(joiner.unlock(socket, **context)) == Code.LOGIN_BINDING
            bare = JoinUnlock(bytes(64), bytes(32), joiner.device.device_id)
            assert await refusal_of(socket.ask(Kind.JOIN_UNLOCK, bare, Joinable)) == (
                Code.USAGE_STATE
            )


async def test_what_does_not_verify_takes_nobody_in(lenient: Config) -> None:
    async with Server(lenient) as server:
        alice = await lone(server)
        joiner = Joiner(alice)
        other = alice.make_device(Ed25519PrivateKey.generate())
        paper = next_entry(
            alice.list_state,
            alice.account_key,
            (alice.device, joiner.device),
            NOW,
            recovery_key=RecoveryKey(bytes(16)).proof_key().public_key,
        )
        stranger = Ed25519PrivateKey.generate()
        for fields, code in (
            ({"device_proof": bytes(64)}, Code.LOGIN_BINDING),
            ({"device_list_entry": alice.next_list().encode(), "prekeys": []}, Code.LOGIN_BINDING),
            (
                {"device_list_entry": alice.next_list(alice.device, other).encode()},
                Code.USAGE_INVALID,
            ),
            ({"device_list_entry": paper.encode()}, Code.USAGE_INVALID),
            ({"device_list_entry": paper.sign(stranger).encode()}, Code.DEVICE_LIST_INVALID),
            ({"device_list_entry": alice.list_entry.encode()}, Code.DEVICE_LIST_CONFLICT),
        ):
            async with open_socket(server, "/v1/login") as socket:
                _, proof = await joiner.unlock(socket)
                finish = socket.ask(Kind.JOIN_FINISH, joiner.finish(proof, **fields), LoggedIn)
                assert await refusal_of(finish) == code, fields
        sessions = await alice.rest(Kind.SESSIONS, Nothing(), Sessions)
        assert len(sessions.sessions) == 1


async def test_unlocking_counts_for_one_minute_and_one_connection(lenient: Config) -> None:
    now = [NOW * 1000]
    async with Server(lenient, clock=lambda: now[0]) as server:
        joiner = Joiner(await lone(server))
        async with open_socket(server, "/v1/login") as socket:
            _, proof = await joiner.unlock(socket)
            async with open_socket(server, "/v1/login") as other:
                elsewhere = other.ask(Kind.JOIN_FINISH, joiner.finish(proof), LoggedIn)
                assert await refusal_of(elsewhere) == Code.USAGE_STATE
            now[0] += 60_001
            late = socket.ask(Kind.JOIN_FINISH, joiner.finish(proof), LoggedIn)
            assert await refusal_of(late) == Code.LOGIN_EXPIRED


async def test_trying_passphrases_at_one_name_is_slowed_down(lenient: Config) -> None:
    async with Server(replace(lenient, limits=1.0)) as server:
        alice = await lone(server)
        joiner = Joiner(alice)
        async with open_socket(server, "/v1/login") as socket:
            start = LoginStart("alice", ClientLogin.start(alice.password)[1])
            for _ in range(10):
                await socket.ask(Kind.LOGIN_START, start, LoginChallenge)
            assert await refusal_of(joiner.unlock(socket)) == Code.LIMIT_RATE
