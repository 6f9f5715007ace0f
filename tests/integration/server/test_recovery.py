"""A recovery key on paper and a new password: the house fire, the forgotten password, a thief."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest

from parlour.errors import Code, ParlourError
from parlour.identity import proofs
from parlour.identity.device_list import DeviceListEntry, next_entry
from parlour.identity.recovery import RecoveryKey
from parlour.login import ClientRegistration, Stretched
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.server import Config, Server
from parlour.server.hub import CLOSE_REFUSED
from parlour.wire.directory import AppendDeviceList
from parlour.wire.kinds import Kind
from parlour.wire.login import LoggedIn, RegisterChallenge, Sessions
from parlour.wire.prekeys import Bundles, FetchBundles
from parlour.wire.recovery import (
    RecoverChallenge,
    Recovered,
    RecoverFinish,
    RecoverStart,
    ResetFinish,
    ResetStart,
)
from parlour.wire.server import Nothing
from parlour.wire.vaults import NewVaults, StoredVaults

from .people import NOW, Person, Socket, open_socket, prekeys, register

PAPER = RecoveryKey(bytes(range(16)))
COPY = b"second copy"


async def refusal_of(awaitable: Any) -> Code:
    with pytest.raises(ParlourError) as refusal:
        await awaitable
    return refusal.value.code


async def with_paper(person: Person, *, needs_approval: bool = False) -> Person:
    """Give an account a recovery key."""
    entry = next_entry(
        person.list_state,
        person.account_key,
        (person.device,),
        NOW,
        recovery_key=PAPER.proof_key().public_key,
        needs_approval=needs_approval,
    )
    append = AppendDeviceList(entry.encode(), None, person.new_vaults(recovery=COPY))
    await person.rest(Kind.APPEND_DEVICE_LIST, append, Nothing)
    person.list_state = person.list_state.extend(entry)
    return person


async def recover(
    socket: Socket, person: Person, key: RecoveryKey = PAPER, **fields: Any
) -> Recovered:
    challenge = await socket.ask(Kind.RECOVER_START, RecoverStart(person.name), RecoverChallenge)
    signed = proofs.recovery(
        **(
            {
                "server": person.server.core.identity.name,
                "pin": person.server.pin,
                "name": person.name,
                "nonce": challenge.nonce,
            }
            | fields
        )
    )
    signature = key.proof_key().sign(signed)
    return await socket.ask(Kind.RECOVER_FINISH, RecoverFinish(signature), Recovered)


async def reset(
    socket: Socket, person: Person, device_key: Ed25519PrivateKey, **fields: Any
) -> LoggedIn:
    """Set a new password for who was recovered on this socket."""
    state, request = ClientRegistration.start(person.password)
    challenge = await socket.ask(Kind.RESET_START, ResetStart(request), RegisterChallenge)
    registration = state.finish(challenge.response)
    device_id = person.make_device(device_key).device_id
    proof = proofs.reset(
        server=person.server.core.identity.name,
        pin=person.server.pin,
        name=person.name,
        device_id=device_id,
        transcript=registration.transcript,
    )
    values: dict[str, Any] = {
        "upload": registration.upload,
        "record_signature": person.signed_upload(registration.upload),
        "vaults": person.new_vaults(2, recovery=COPY),
        "device_id": device_id,
        "device_proof": device_key.sign(proof),
        "device_list_entry": None,
        "prekeys": [],
        "end_sessions": False,
    }
    return await socket.ask(Kind.RESET_FINISH, ResetFinish(**(values | fields)), LoggedIn)


async def test_a_drill_gives_the_vault_and_changes_nothing(server: Server) -> None:
    (alice,) = await register(server, "alice")
    await with_paper(alice)
    async with open_socket(server, "/v1/login") as socket:
        recovered = await recover(socket, alice)
    assert recovered.account_id == alice.account_id
    assert (recovered.recovery_vault, recovered.vault_number) == (COPY, 1)
    head = DeviceListEntry.decode(recovered.device_list_entry)
    assert head.hash() == alice.list_state.head_hash
    await alice.log_in()
    await alice.rest(Kind.SESSIONS, Nothing(), Sessions)


async def test_a_registration_may_bring_its_recovery_key(server: Server) -> None:
    alice = Person(server, "alice")
    entry = replace(alice.list_entry, recovery_key=PAPER.proof_key().public_key)
    alice.list_entry = entry.sign(alice.account_key)
    assert await refusal_of(alice.register()) == Code.USAGE_INVALID
    alice.recovery_vault = COPY
    await alice.register()
    async with open_socket(server, "/v1/login") as socket:
        assert (await recover(socket, alice)).recovery_vault == COPY


async def test_a_forgotten_password_is_replaced_on_the_device_that_is_left(
    server: Server,
) -> None:
    (alice,) = await register(server, "alice")
    await with_paper(alice)
    old_password = alice.password
    alice.password = Stretched(os.urandom(32))
    async with open_socket(server, "/v1/login") as socket:
        await recover(socket, alice)
        logged_in = await reset(socket, alice, alice.device_key)
    assert (logged_in.device_id, logged_in.inbox) == (alice.device_id, alice.inbox)
    assert logged_in.vault == b"next vault"
    await alice.rest(Kind.SESSIONS, Nothing(), Sessions)
    await alice.rest(Kind.SESSIONS, Nothing(), Sessions, token=logged_in.token)
    assert await refusal_of(alice.log_in(password=old_password)) == Code.LOGIN_FAILED
    await alice.log_in()


async def test_after_a_house_fire_a_new_device_takes_the_place_of_all(server: Server) -> None:
    alice, bea = await register(server, "alice", "bea")
    await alice.talk_to(bea)
    await with_paper(alice, needs_approval=True)
    alice.password = Stretched(os.urandom(32))
    new_key = Ed25519PrivateKey.generate()
    device = alice.make_device(new_key)
    entry = alice.next_list(device).approve(PAPER.proof_key())
    async with alice.live() as at_old, bea.live() as at_bea:
        async with open_socket(server, "/v1/login") as socket:
            await recover(socket, alice)
            logged_in = await reset(
                socket,
                alice,
                new_key,
                device_id=device.device_id,
                device_list_entry=entry.encode(),
                prekeys=prekeys(3),
                end_sessions=True,
            )
        assert await at_old.closed() == CLOSE_REFUSED
        assert at_old.loose_errors[0].code == Code.DEVICE_REMOVED
        kind, push = await at_bea.next_push()
        assert (kind, push.account_id) == (Kind.PUSH_DEVICE_LIST, alice.account_id)
        assert push.number == entry.number
    request = FetchBundles(alice.account_id, [device.device_id])
    assert len((await bea.rest(Kind.FETCH_BUNDLES, request, Bundles)).bundles) == 1
    vaults = await alice.rest(Kind.READ_VAULT, Nothing(), StoredVaults, token=logged_in.token)
    assert vaults == StoredVaults(2, b"next vault", COPY)


async def test_nobody_learns_which_names_have_a_recovery_key(server: Server) -> None:
    alice, bea = await register(server, "alice", "bea")
    await with_paper(alice)
    nobody = Person(server, "nobody")
    wrong = RecoveryKey(bytes(16))
    async with open_socket(server, "/v1/login") as socket:
        for person, key in ((alice, wrong), (bea, PAPER), (nobody, PAPER)):
            assert await refusal_of(recover(socket, person, key)) == Code.RECOVERY_FAILED


@pytest.mark.parametrize(
    "fields",
    [{"server": "other.example"}, {"pin": bytes(32)}, {"name": "bea"}, {"nonce": bytes(32)}],
    ids=lambda fields: next(iter(fields)),
)
async def test_a_proof_is_for_one_server_channel_name_and_time(
    server: Server, fields: dict[str, Any]
) -> None:
    (alice,) = await register(server, "alice")
    await with_paper(alice)
    async with open_socket(server, "/v1/login") as socket:
        assert await refusal_of(recover(socket, alice, **fields)) == Code.RECOVERY_FAILED


async def test_a_recovery_vault_that_is_missing_recovers_nothing(server: Server) -> None:
    """As after a mistake of an operator: the list names a key, and the vault is gone."""
    (alice,) = await register(server, "alice")
    await with_paper(alice)
    store: Any = server.core.store
    await store.database.write(
        lambda connection: connection.execute("UPDATE accounts SET recovery_vault = NULL")
    )
    async with open_socket(server, "/v1/login") as socket:
        assert await refusal_of(recover(socket, alice)) == Code.RECOVERY_FAILED


async def test_steps_come_in_order_once_and_on_one_connection(server: Server) -> None:
    (alice,) = await register(server, "alice")
    await with_paper(alice)
    finish, start = RecoverFinish(bytes(64)), ResetStart(bytes(32))
    async with open_socket(server, "/v1/login") as socket:
        assert await refusal_of(socket.ask(Kind.RECOVER_FINISH, finish, Recovered)) == (
            Code.USAGE_STATE
        )
        reset_start = socket.ask(Kind.RESET_START, start, RegisterChallenge)
        assert await refusal_of(reset_start) == Code.USAGE_STATE
        async with open_socket(server, "/v1/login") as other:
            await recover(other, alice)
        assert await refusal_of(reset(socket, alice, alice.device_key)) == Code.USAGE_STATE
        await recover(socket, alice)
        await reset(socket, alice, alice.device_key)
        again = ResetFinish(
            b"x", bytes(64), alice.new_vaults(3), bytes(16), bytes(64), None, [], False
        )
        assert await refusal_of(socket.ask(Kind.RESET_FINISH, again, LoggedIn)) == (
            Code.USAGE_STATE
        )


async def test_a_reset_that_does_not_verify_changes_nothing(server: Server) -> None:
    alice, bea = await register(server, "alice", "bea")
    await with_paper(alice, needs_approval=True)
    new_key = Ed25519PrivateKey.generate()
    new_device = alice.make_device(new_key)
    unapproved = alice.next_list(new_device)
    no_recovery = next_entry(
        alice.list_state, alice.account_key, (alice.device,), NOW, recovery_key=None
    ).approve(alice.device_key)
    for fields, code in (
        ({"record_signature": bytes(64)}, Code.CRYPTO_SIGNATURE),
        ({"vaults": alice.new_vaults(3, recovery=COPY)}, Code.VAULT_CONFLICT),
        ({"vaults": alice.new_vaults(1, recovery=COPY)}, Code.VAULT_CONFLICT),
        ({"vaults": bea.new_vaults(2, recovery=COPY)}, Code.CRYPTO_SIGNATURE),
        ({"vaults": alice.new_vaults(2)}, Code.USAGE_INVALID),
        ({"vaults": NewVaults(2, b"x", COPY, bytes(64))}, Code.CRYPTO_SIGNATURE),
        ({"device_proof": bytes(64)}, Code.LOGIN_BINDING),
        ({"device_id": bea.device_id}, Code.LOGIN_BINDING),
        ({"device_list_entry": unapproved.encode()}, Code.DEVICE_LIST_APPROVAL),
        ({"device_list_entry": no_recovery.encode()}, Code.USAGE_INVALID),
        (
            {"device_list_entry": alice.next_list().encode(), "prekeys": prekeys(1)},
            Code.USAGE_INVALID,
        ),
        ({"upload": bytes(192)}, Code.LOGIN_BINDING),
    ):
        async with open_socket(server, "/v1/login") as socket:
            await recover(socket, alice)
            attempt = reset(socket, alice, alice.device_key, **fields)
            assert await refusal_of(attempt) == code, fields
    await alice.log_in()
    vaults = await alice.rest(Kind.READ_VAULT, Nothing(), StoredVaults)
    assert vaults.number == 1


async def test_a_recovery_that_takes_too_long_is_over(config: Config) -> None:
    now = [NOW * 1000]
    async with Server(config, clock=lambda: now[0]) as server:
        (alice,) = await register(server, "alice")
        await with_paper(alice)
        async with open_socket(server, "/v1/login") as socket:
            await socket.ask(Kind.RECOVER_START, RecoverStart("alice"), RecoverChallenge)
            now[0] += 60_001
            late = socket.ask(Kind.RECOVER_FINISH, RecoverFinish(bytes(64)), Recovered)
            assert await refusal_of(late) == Code.LOGIN_EXPIRED
            await recover(socket, alice)
            now[0] += 60_001
            assert await refusal_of(reset(socket, alice, alice.device_key)) == (Code.LOGIN_EXPIRED)


async def test_trying_recovery_keys_at_one_name_is_slowed_down(config: Config) -> None:
    async with Server(replace(config, limits=1.0)) as server:
        (alice,) = await register(server, "alice")
        async with open_socket(server, "/v1/login") as socket:
            codes = [await refusal_of(recover(socket, alice)) for _ in range(11)]
    assert codes == [Code.RECOVERY_FAILED] * 10 + [Code.LIMIT_RATE]


async def test_a_second_recovery_key_replaces_the_first(server: Server) -> None:
    (alice,) = await register(server, "alice")
    await with_paper(alice)
    second = RecoveryKey(bytes(16))
    entry = next_entry(
        alice.list_state,
        alice.account_key,
        (alice.device,),
        NOW,
        recovery_key=second.proof_key().public_key,
    )
    bare = AppendDeviceList(entry.encode())
    assert await refusal_of(alice.rest(Kind.APPEND_DEVICE_LIST, bare, Nothing)) == (
        Code.USAGE_INVALID
    )
    whole = AppendDeviceList(entry.encode(), None, alice.new_vaults(2, recovery=b"third"))
    await alice.rest(Kind.APPEND_DEVICE_LIST, whole, Nothing)
    async with open_socket(server, "/v1/login") as socket:
        assert await refusal_of(recover(socket, alice)) == Code.RECOVERY_FAILED
        assert (await recover(socket, alice, second)).recovery_vault == b"third"
