"""Registration and login against a fake server that holds real OPAQUE records."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace as changed
from websockets.asyncio.server import ServerConnection

from parlour.client import login, workers
from parlour.client.keys import SessionToken
from parlour.client.login import LoginResult, NewAccount, NewDevice, Registered, Target
from parlour.client.new_device import make_device
from parlour.errors import AccessError, Code, ParlourError
from parlour.identity import proofs
from parlour.identity.device_list import DeviceListEntry, DeviceListState
from parlour.identity.invite import InviteSecret
from parlour.identity.vault import open_vault
from parlour.login import (
    LoginContext,
    OpaqueServer,
    Stretched,
    generate_setup,
    registration_transcript,
)
from parlour.primitives.hashes import sha256
from parlour.primitives.random import system_random
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.wire.frames import encode_frame
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
from parlour.wire.prekeys import Prekey
from parlour.wire.server import ErrorBody, Nothing, ServerInfo
from tests.integration.client.fakes import FakeServer, Identity, answer, next_request, running

NOW = 1_800_000_000
SERVER = "chat.example"
PASSWORD = "canary horse battery staple"
INVITE = InviteSecret(b"i" * 16)
TOKEN = "plt_" + "t" * 43
INFO = ServerInfo(SERVER, [1], "fake", b"n" * 16, NOW * 1000, "invite")
PREKEY = Prekey("signed", 1, NOW + 1, b"public")

Lie = Callable[[Struct], Struct]


def honest(body: Struct) -> Struct:
    return body


@dataclass
class Accounts:
    """The server's side: it verifies all that a server verifies. `lie` changes what it says."""

    pin: bytes
    opaque: OpaqueServer
    info: ServerInfo = INFO
    lie: Lie = honest
    record: bytes = b""
    finish: RegisterFinish | None = None
    device_id: bytes = b""
    log: list[str] = field(default_factory=list)

    async def serve(self, socket: ServerConnection) -> None:
        talk: list[Any] = []
        while True:
            frame, body = await next_request(socket)
            self.log.append(Kind(frame.kind).name)
            try:
                said = self.lie(self.respond(body, talk))
            except ParlourError as error:
                refusal = ErrorBody(error.code.value, "", "")
                await socket.send(encode_frame(Kind.ERROR, frame.request_id, refusal))
            else:
                await answer(socket, frame.request_id, said)

    def respond(self, body: Struct, talk: list[Any]) -> Struct:
        match body:
            case Nothing():
                return self.info
            case RegisterStart():
                if body.invite != INVITE.reveal():
                    raise AccessError(Code.INVITE_INVALID)
                talk[:] = [body, self.opaque.register(body.request, body.name)]
                return RegisterChallenge(talk[1])
            case RegisterFinish():
                return self.make(body, *talk)
            case LoginStart():
                known = self.record if body.name == "anna" else None
                ke2, attempt = self.opaque.begin(body.ke1, body.name, known, now=NOW)
                talk[:] = [attempt]
                return LoginChallenge(ke2)
            case LoginFinish():
                return self.check(body, talk[0])
            case _:
                raise AssertionError(body)

    def make(self, body: RegisterFinish, start: RegisterStart, response: bytes) -> LoggedIn:
        entry = DeviceListEntry.decode(body.device_list_entry)
        state = DeviceListState.begin(body.account_id, entry)
        (device,) = state.devices
        self.record = self.opaque.finish_registration(body.upload)
        state.account_key.verify(
            body.record_signature,
            proofs.login_record(
                server=SERVER,
                name=start.name,
                account_id=body.account_id,
                record_version=self.record[0],
                upload=body.upload,
            ),
        )
        device.signature_key.verify(
            body.device_proof,
            proofs.registration(
                server=SERVER,
                pin=self.pin,
                name=start.name,
                account_id=body.account_id,
                transcript=registration_transcript(start.request, response, body.upload),
            ),
        )
        self.finish, self.device_id = body, device.device_id
        return LoggedIn(TOKEN, body.account_id, device.device_id, b"b" * 16, bytes(32), body.vault)

    def check(self, body: LoginFinish, attempt: Any) -> LoggedIn:
        assert self.finish is not None
        context = LoginContext(SERVER, "anna", body.device_id, self.pin)
        accepted = self.opaque.finish(attempt, body.ke3, body.binding, context, now=NOW)
        entry = DeviceListEntry.decode(self.finish.device_list_entry)
        state = DeviceListState.begin(self.finish.account_id, entry)
        device = state.device(body.device_id)
        if device is None:
            raise AccessError(Code.DEVICE_REMOVED)
        device.signature_key.verify(
            body.device_proof,
            proofs.login(
                server=SERVER,
                pin=self.pin,
                name="anna",
                device_id=body.device_id,
                transcript=accepted.transcript,
            ),
        )
        return LoggedIn(
            TOKEN,
            self.finish.account_id,
            body.device_id,
            b"b" * 16,
            accepted.confirmation,
            self.finish.vault,
        )


@pytest.fixture(scope="module")
def opaque() -> OpaqueServer:
    return OpaqueServer(generate_setup(system_random), b"k" * 32)


@pytest.fixture
def accounts(identity: Identity, opaque: OpaqueServer) -> Accounts:
    return Accounts(identity.pin, opaque)


@pytest.fixture
def device() -> NewDevice:
    made = make_device(b"a" * 16, NOW)
    return NewDevice(replace(made, uploaded=[PREKEY]))


@pytest.fixture(autouse=True)
def stretching(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The threads in which passwords were stretched; cheaper than the real thing."""
    threads: list[int] = []

    def stretch(password: str, *, server: str, user: str) -> Stretched:
        threads.append(threading.get_ident())
        return Stretched(sha256(f"{password}|{server}|{user}".encode()))

    monkeypatch.setattr(login, "stretch", stretch)
    return threads


def target(server: FakeServer, name: str | None = SERVER) -> Target:
    return Target(server.address, server.trust, name)


async def forget(account: NewAccount) -> None:
    pass


async def sign_up(server: FakeServer, device: NewDevice, **options: Any) -> Registered:
    arguments: dict[str, Any] = {
        "name": "Anna",
        "password": PASSWORD,
        "device": device,
        "keep": forget,
        "now": NOW,
        "invite": INVITE,
    }
    arguments.update(options)
    return await login.register(arguments.pop("target", target(server)), **arguments)


async def sign_in(server: FakeServer, device: NewDevice, **options: Any) -> LoginResult:
    arguments: dict[str, Any] = {
        "name": "anna",
        "password": PASSWORD,
        "device_key": device.device.local.signature_key,
        "now": NOW,
    }
    arguments.update(options)
    return await login.log_in(arguments.pop("target", target(server)), **arguments)


async def test_an_account_is_made_and_its_device_logs_in(
    identity: Identity, accounts: Accounts, device: NewDevice, stretching: list[int]
) -> None:
    kept: list[NewAccount] = []

    async def keep(account: NewAccount) -> None:
        # On disk before the server has it.
        assert "REGISTER_FINISH" not in accounts.log
        kept.append(account)

    async with running(identity, accounts.serve) as server:
        made = await sign_up(server, device, keep=keep)
        back = await sign_in(server, device, account_id=made.account.account_id)
    assert kept == [made.account]
    account = made.account
    assert (account.server, account.channel_pin, account.name) == (INFO, identity.pin, "anna")
    assert account.account_id == b"a" * 16
    assert account.device_id == device.device.device_id == back.device_id
    assert made.token == back.token == SessionToken(TOKEN.encode())
    assert made.inbox == back.inbox == b"b" * 16
    assert accounts.finish is not None
    assert accounts.finish.prekeys == [PREKEY]
    state = DeviceListState.begin(account.account_id, account.device_list_entry)
    assert state.account_key == account.account_key
    # The vault comes back, and opens with the password and the account's secret together.
    content = open_vault(
        back.vault,
        account_id=account.account_id,
        export_key=back.export_key.reveal(),
        secret=account.account_secret,
    )
    assert content.account_key.public_key == account.account_key
    assert stretching
    assert threading.get_ident() not in stretching


async def test_nothing_secret_is_shown(
    identity: Identity, accounts: Accounts, device: NewDevice
) -> None:
    async with running(identity, accounts.serve) as server:
        made = await sign_up(server, device)
        back = await sign_in(server, device)
        with pytest.raises(ParlourError) as caught:
            await sign_in(server, device, password=PASSWORD + "!")
    shown = f"{made!r} {back!r} {device!r} {caught.value!r} {caught.value}"
    for secret in (
        made.account.account_secret.reveal(),
        back.export_key.reveal(),
        device.device.local.signature_key.to_bytes(),
        made.account.vault,
        TOKEN.encode(),
        b"canary",
    ):
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"password": "wrong"}, Code.LOGIN_FAILED),
        ({"name": "nobody"}, Code.LOGIN_FAILED),
        ({"name": "no name!"}, Code.USAGE_INVALID),
        ({"device_key": Ed25519PrivateKey(b"x" * 32)}, Code.DEVICE_REMOVED),
        ({"account_id": b"x" * 16}, Code.SERVER_MISBEHAVED),
        ({"now": NOW + 901}, Code.SERVER_CLOCK),
        ({"now": NOW - 901}, Code.SERVER_CLOCK),
    ],
)
async def test_a_login_that_fails_says_why(
    identity: Identity,
    accounts: Accounts,
    device: NewDevice,
    options: dict[str, Any],
    code: Code,
) -> None:
    async with running(identity, accounts.serve) as server:
        await sign_up(server, device)
        with pytest.raises(ParlourError) as caught:
            await sign_in(server, device, **options)
    assert caught.value.code is code


async def test_an_invite_that_is_not_good_is_named_and_nothing_kept(
    identity: Identity, accounts: Accounts, device: NewDevice
) -> None:
    kept: list[NewAccount] = []

    async def keep(account: NewAccount) -> None:
        kept.append(account)

    async with running(identity, accounts.serve) as server:
        for invite in (None, InviteSecret(b"j" * 16)):
            with pytest.raises(AccessError) as caught:
                await sign_up(server, device, invite=invite, keep=keep)
            assert caught.value.code is Code.INVITE_INVALID
    assert kept == []


async def test_what_is_not_kept_is_not_registered(
    identity: Identity, accounts: Accounts, device: NewDevice
) -> None:
    async def fail(account: NewAccount) -> None:
        raise OSError("disk")

    async with running(identity, accounts.serve) as server:
        with pytest.raises(OSError, match="disk"):
            await sign_up(server, device, keep=fail)
    assert accounts.finish is None


@pytest.mark.parametrize(
    ("info", "code"),
    [
        ({"name": "other.example"}, Code.SERVER_NAME),
        ({"name": "no name!"}, Code.SERVER_MISBEHAVED),
        ({"wire_versions": [2, 3]}, Code.SERVER_VERSION),
        ({"time": 0}, Code.SERVER_CLOCK),
    ],
)
async def test_another_server_gets_no_password(
    identity: Identity,
    accounts: Accounts,
    device: NewDevice,
    info: dict[str, Any],
    code: Code,
    stretching: list[int],
) -> None:
    accounts.info = changed(INFO, **info)
    async with running(identity, accounts.serve) as server:
        for attempt in (sign_up, sign_in):
            with pytest.raises(ParlourError) as caught:
                await attempt(server, device)
            assert caught.value.code is code
    assert stretching == []
    assert set(accounts.log) == {"SERVER_INFO"}


async def test_the_name_is_believed_where_none_is_known(
    identity: Identity, accounts: Accounts, device: NewDevice
) -> None:
    async with running(identity, accounts.serve) as server:
        made = await sign_up(server, device, target=target(server, None))
    assert made.account.server.name == SERVER


async def test_a_login_relayed_over_another_channel_is_refused(
    identity: Identity, impostor: Identity, accounts: Accounts, device: NewDevice
) -> None:
    """Somebody whose key we trust passes every message on to the server whose key is another."""
    async with running(identity, accounts.serve) as server:
        await sign_up(server, device)
    async with running(impostor, accounts.serve) as relay:
        with pytest.raises(AccessError) as caught:
            await sign_in(relay, device)
    assert caught.value.code is Code.LOGIN_BINDING


def lying(**fields: Any) -> Lie:
    return lambda body: changed(body, **fields) if isinstance(body, LoggedIn) else body


@pytest.mark.parametrize(
    ("lie", "code"),
    [
        (lying(confirmation=bytes(32)), Code.LOGIN_BINDING),
        (lying(device_id=b"x" * 16), Code.SERVER_MISBEHAVED),
        (lying(token="t" * 40 + "\r\nX: y"), Code.SERVER_MISBEHAVED),
    ],
)
async def test_a_server_that_lies_at_the_end_of_a_login_is_found_out(
    identity: Identity, accounts: Accounts, device: NewDevice, lie: Lie, code: Code
) -> None:
    async with running(identity, accounts.serve) as server:
        await sign_up(server, device)
        accounts.lie = lie
        with pytest.raises(ParlourError) as caught:
            await sign_in(server, device)
    assert caught.value.code is code


@pytest.mark.parametrize("field_name", ["account_id", "device_id"])
async def test_a_server_that_registers_somebody_else_is_found_out(
    identity: Identity, accounts: Accounts, device: NewDevice, field_name: str
) -> None:
    accounts.lie = lying(**{field_name: b"x" * 16})
    async with running(identity, accounts.serve) as server:
        with pytest.raises(ParlourError) as caught:
            await sign_up(server, device)
    assert caught.value.code is Code.SERVER_MISBEHAVED


async def test_a_tampered_challenge_ends_the_login(
    identity: Identity, accounts: Accounts, device: NewDevice
) -> None:
    def tamper(body: Struct) -> Struct:
        if isinstance(body, LoginChallenge):
            return LoginChallenge(body.ke2[:-1] + bytes([body.ke2[-1] ^ 1]))
        return body

    async with running(identity, accounts.serve) as server:
        await sign_up(server, device)
        accounts.lie = tamper
        with pytest.raises(AccessError) as caught:
            await sign_in(server, device)
    assert caught.value.code is Code.LOGIN_FAILED


async def test_slow_calls_are_bounded() -> None:
    gate, running_now, most = threading.Event(), 0, 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal running_now, most
        with lock:
            running_now += 1
            most = max(most, running_now)
        gate.wait()
        with lock:
            running_now -= 1

    tasks = [asyncio.ensure_future(workers.run_slow(work)) for _ in range(6)]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*tasks)
    assert 1 <= most <= workers.SLOW_THREADS
