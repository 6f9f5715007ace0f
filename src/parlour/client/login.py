"""Register an account and log a device in, each over one connection to the login socket.

Both are bound to what this side sees: the key of the TLS channel, the server's name, the account,
the device, and every OPAQUE message (`login`, `identity.proofs`). What is slow, the stretching of
the password above all, runs in worker threads.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from parlour.client.address import Address
from parlour.client.connection import LOGIN_PATH, Connection
from parlour.client.keys import SessionToken
from parlour.client.new_device import MadeDevice
from parlour.client.tls import Trust
from parlour.client.vaults import seal_both, sign_record
from parlour.client.workers import run_slow
from parlour.errors import Code, PeerError, SecurityStop, TransportError, UsageError, error
from parlour.identity import proofs
from parlour.identity.device_list import DeviceListEntry, device_id_of, first_entry
from parlour.identity.invite import InviteSecret
from parlour.identity.passphrase import Passphrase
from parlour.identity.recovery import RecoveryKey
from parlour.identity.vault import AccountSecret, ArchiveKey, VaultContent
from parlour.login import (
    ClientLogin,
    ClientRegistration,
    ExportKey,
    LoginContext,
    LoginProof,
    Registration,
    Stretched,
    account_name,
    server_name,
    stretch,
)
from parlour.primitives.random import system_random
from parlour.primitives.signature import Ed25519PrivateKey, Ed25519PublicKey
from parlour.wire.frames import WIRE_VERSION
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
from parlour.wire.server import Nothing, ServerInfo

# Prekeys and device lists carry times: with a clock further off, others would refuse them.
MAX_CLOCK_DIFFERENCE: Final = 15 * 60


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account before the server has it: what must be on disk before it does.

    The account's private key is in `vault` alone, which opens with the password and
    `account_secret` together.
    """

    server: ServerInfo
    channel_pin: bytes
    name: str
    account_id: bytes
    device_id: bytes
    account_key: Ed25519PublicKey
    account_secret: AccountSecret
    device_list_entry: DeviceListEntry
    vault: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Registered:
    """An account that the server has, and this device logged in to it."""

    account: NewAccount
    token: SessionToken
    inbox: bytes


@dataclass(frozen=True, slots=True)
class LoginResult:
    """A device logged in. `vault` opens with `export_key` and the account's secret."""

    server: ServerInfo
    channel_pin: bytes
    name: str
    account_id: bytes
    device_id: bytes
    token: SessionToken
    inbox: bytes
    export_key: ExportKey
    vault: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Target:
    """A server: where it is, how it is known, and the name that an invite or a home knows it by."""

    address: Address
    trust: Trust
    name: str | None = None


@dataclass(frozen=True, slots=True)
class NewDevice:
    """An account's first device, and what its owner calls it.

    The account's id, 16 random bytes, is chosen with the device because sessions are bound to both.
    """

    device: MadeDevice
    name: str = ""


@dataclass(frozen=True, slots=True)
class Channel:
    """What every flow is bound to, besides account and device: this server, over this channel."""

    info: ServerInfo
    server: str
    pin: bytes
    name: str


Keep = Callable[[NewAccount], Awaitable[None]]
"""Writes a new account to disk; called before the server is told to make it."""


async def register(
    target: Target,
    *,
    name: str,
    password: str | Passphrase,
    device: NewDevice,
    keep: Keep,
    now: int,
    invite: InviteSecret | None = None,
    recovery: RecoveryKey | None = None,
) -> Registered:
    """Make an account with its first device. `now` in seconds.

    With a recovery key, its public half stands in the device list, and its copy of the vault goes
    to the server with the account. A `Passphrase` carries the vault alone.

    Raises `SERVER_PIN`, `SERVER_NAME`, `SERVER_CLOCK`, `INVITE_REQUIRED`, `INVITE_INVALID`,
    `ACCOUNT_EXISTS`, `PASSPHRASE_REFUSED`, `USAGE_INVALID` for a name or password without canonical
    form, and `TransportError`. When the connection is lost after `keep`, the account may exist:
    `log_in` tells. `keep` has a minute: after that the server wants the registration from its
    beginning.
    """
    name = account_name(name)
    lone = isinstance(password, Passphrase)
    text = password.reveal() if isinstance(password, Passphrase) else password
    async with await Connection.open(target.address, LOGIN_PATH, target.trust) as connection:
        channel = await greet(connection, target, name, now)
        if lone and not channel.info.lone_vaults:
            raise error(Code.PASSPHRASE_REFUSED)
        registration = await _opaque_registration(connection, channel, text, invite)
        keys = _Keys.generate(recovery, lone=lone)
        account, finish = await run_slow(_make_account, channel, registration, device, keys)
        await keep(account)
        answer = await connection.ask(Kind.REGISTER_FINISH, finish, LoggedIn)
    check_ids(answer, account.account_id, account.device_id)
    return Registered(account, SessionToken.from_text(answer.token), answer.inbox)


async def log_in(
    target: Target,
    *,
    name: str,
    password: str,
    device_key: Ed25519PrivateKey,
    now: int,
    account_id: bytes | None = None,
) -> LoginResult:
    """Log a device in that is on the account's list. `now` in seconds.

    `account_id`, where it is known, must be the same. Raises `LOGIN_FAILED` for a wrong name or
    password, `LOGIN_BINDING` where server, device or channel are not the same on
    both sides, `DEVICE_REMOVED`, `SERVER_PIN`, `SERVER_NAME`, `SERVER_CLOCK`, `TransportError`.
    """
    name = account_name(name)
    device_id = device_id_of(device_key.public_key)
    async with await Connection.open(target.address, LOGIN_PATH, target.trust) as connection:
        channel = await greet(connection, target, name, now)
        proof = await prove_password(connection, channel, password, device_id)
        signed = proofs.login(
            server=channel.server,
            pin=channel.pin,
            name=name,
            device_id=device_id,
            transcript=proof.transcript,
        )
        finish = LoginFinish(proof.ke3, proof.binding, device_id, device_key.sign(signed))
        answer = await connection.ask(Kind.LOGIN_FINISH, finish, LoggedIn)
    # Only who holds the OPAQUE record could answer so: a token of anybody else is worth nothing.
    proof.confirm(answer.confirmation)
    check_ids(answer, answer.account_id if account_id is None else account_id, device_id)
    return LoginResult(
        server=channel.info,
        channel_pin=channel.pin,
        name=name,
        account_id=answer.account_id,
        device_id=device_id,
        token=SessionToken.from_text(answer.token),
        inbox=answer.inbox,
        export_key=proof.export_key,
        vault=answer.vault,
    )


async def greet(connection: Connection, target: Target, name: str, now: int) -> Channel:
    """Ask who the server is, and check what can be checked before a password is used."""
    info = await connection.ask(Kind.SERVER_INFO, Nothing(), ServerInfo)
    try:
        server = server_name(info.name)
    except UsageError:
        raise PeerError(Code.SERVER_MISBEHAVED, "a name that no server has") from None
    if target.name is not None and server != server_name(target.name):
        raise SecurityStop(Code.SERVER_NAME)
    if WIRE_VERSION not in info.wire_versions:
        raise TransportError(Code.SERVER_VERSION)
    difference = abs(info.time // 1000 - now)
    if difference > MAX_CLOCK_DIFFERENCE:
        raise TransportError(Code.SERVER_CLOCK, f"by {difference} seconds")
    return Channel(info, server, connection.channel_pin, name)


async def prove_password(
    connection: Connection, channel: Channel, password: str, device_id: bytes
) -> LoginProof:
    """Go through the first two messages of OPAQUE; what follows is for the caller to send."""
    stretched = await stretched_for(channel.server, channel.name, password)
    state, ke1 = await run_slow(ClientLogin.start, stretched)
    start = LoginStart(channel.name, ke1)
    challenge = await connection.ask(Kind.LOGIN_START, start, LoginChallenge)
    context = LoginContext(channel.server, channel.name, device_id, channel.pin)
    return await run_slow(state.finish, challenge.ke2, context=context)


async def stretched_for(server: str, name: str, password: str) -> Stretched:
    """The password as OPAQUE takes it, for this server and account."""
    return await run_slow(stretch, password, server=server, user=name)


async def _opaque_registration(
    connection: Connection, channel: Channel, password: str, invite: InviteSecret | None
) -> Registration:
    state, request = await run_slow(
        ClientRegistration.start, await stretched_for(channel.server, channel.name, password)
    )
    start = RegisterStart(channel.name, None if invite is None else invite.reveal(), request)
    challenge = await connection.ask(Kind.REGISTER_START, start, RegisterChallenge)
    return await run_slow(state.finish, challenge.response)


@dataclass(frozen=True, slots=True)
class _Keys:
    """The keys of an account that is being made."""

    content: VaultContent = field(repr=False)
    secret: AccountSecret
    recovery: Ed25519PublicKey | None
    lone: bool

    @classmethod
    def generate(cls, recovery: RecoveryKey | None, *, lone: bool) -> _Keys:
        content = VaultContent(
            Ed25519PrivateKey.generate(),
            ArchiveKey.generate(system_random),
            None if recovery is None else recovery.vault_key(),
        )
        proof_key = None if recovery is None else recovery.proof_key().public_key
        return cls(content, AccountSecret.generate(system_random), proof_key, lone)


def _make_account(
    channel: Channel, registration: Registration, new: NewDevice, keys: _Keys
) -> tuple[NewAccount, RegisterFinish]:
    """Make everything that the server checks before it takes an account."""
    account_key = keys.content.account_key
    account_id = new.device.local.identity.account_id
    listed = new.device.listed(keys.secret, new.name)
    vault, copy = seal_both(
        keys.content,
        keys.secret,
        account_id=account_id,
        export_key=registration.export_key,
        lone=keys.lone,
    )
    account = NewAccount(
        server=channel.info,
        channel_pin=channel.pin,
        name=channel.name,
        account_id=account_id,
        device_id=listed.device_id,
        account_key=account_key.public_key,
        account_secret=keys.secret,
        device_list_entry=first_entry(
            account_id, account_key, listed, new.device.made_at, recovery_key=keys.recovery
        ),
        vault=vault,
    )
    proof = proofs.registration(
        server=channel.server,
        pin=channel.pin,
        name=channel.name,
        account_id=account_id,
        transcript=registration.transcript,
    )
    return account, RegisterFinish(
        account_id=account_id,
        upload=registration.upload,
        record_signature=sign_record(
            account_key,
            server=channel.server,
            name=channel.name,
            account_id=account_id,
            upload=registration.upload,
        ),
        device_list_entry=account.device_list_entry.encode(),
        device_proof=new.device.local.signature_key.sign(proof),
        vault=vault,
        prekeys=new.device.uploaded,
        recovery_vault=copy,
    )


def check_ids(answer: LoggedIn, account_id: bytes, device_id: bytes) -> None:
    """Return if a server logged in who asked for it."""
    if answer.account_id != account_id or answer.device_id != device_id:
        raise PeerError(Code.SERVER_MISBEHAVED, "logged in as somebody else")
