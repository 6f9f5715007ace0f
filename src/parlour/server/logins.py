"""Registration and login: both legs of OPAQUE, on one connection, within a minute.

Nobody without an invite learns which names exist: an unknown name gets a decoy, by the same path.
"""

from __future__ import annotations

from typing import Final

from parlour.errors import (
    AccessError,
    AuthenticationError,
    Code,
    ConflictError,
    SecurityStop,
    UsageError,
)
from parlour.identity import proofs
from parlour.identity.device_list import Device, DeviceListEntry, DeviceListState
from parlour.login import (
    LoginContext,
    OpaqueServer,
    account_name,
    new_account_name,
    registration_transcript,
)
from parlour.primitives.hashes import SHA256_SIZE, sha256
from parlour.primitives.random import Random, system_random
from parlour.primitives.signature import Ed25519PublicKey
from parlour.server.accounts import check_recovery
from parlour.server.clock import Clock
from parlour.server.identity import ServerIdentity
from parlour.server.limits import LOGINS_PER_NAME, LOGINS_PER_NAME_AND_ADDRESS, Limits
from parlour.server.sessions import SessionService
from parlour.server.store import AccountRecord, DeviceRecord, NewAccount, Store
from parlour.server.store.records import NewDevice
from parlour.server.talk import LoginTalk, Registration
from parlour.wire.login import (
    LoggedIn,
    LoginChallenge,
    LoginFinish,
    LoginStart,
    RegisterChallenge,
    RegisterFinish,
    RegisterStart,
)

# As long as a login attempt lives.
REGISTRATION_MS: Final = 60_000
# A registration has no shared key that could confirm it.
_NO_CONFIRMATION: Final = bytes(SHA256_SIZE)


class LoginService:
    """Both legs of both. `identity` and the secrets inside `opaque` never change."""

    def __init__(
        self,
        store: Store,
        sessions: SessionService,
        limits: Limits,
        opaque: OpaqueServer,
        identity: ServerIdentity,
        clock: Clock,
        random: Random = system_random,
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._limits = limits
        self._opaque = opaque
        self._identity = identity
        self._clock = clock
        self._random = random

    async def register_start(self, talk: LoginTalk, start: RegisterStart) -> RegisterChallenge:
        """Check invite and name, and answer OPAQUE's request. Nothing is stored."""
        name = new_account_name(start.name)
        invite = await self._check_invite(start.invite)
        if await self._store.accounts.by_name(name):
            raise ConflictError(Code.ACCOUNT_EXISTS)
        response = self._opaque.register(start.request, name)
        talk.registration = Registration(name, invite, start.request, response, self._clock())
        return RegisterChallenge(response)

    async def register_finish(self, talk: LoginTalk, finish: RegisterFinish) -> LoggedIn:
        """Verify everything, then make the account in one durable step."""
        registration, talk.registration = talk.registration, None
        if registration is None:
            raise UsageError(Code.USAGE_STATE, "no registration was started here")
        if not 0 <= self._clock() - registration.started <= REGISTRATION_MS:
            raise AccessError(Code.LOGIN_EXPIRED)
        record = self._opaque.finish_registration(finish.upload)
        device = self._verify_registration(registration, finish, record)
        token, new_token = self._sessions.make()
        # A device's inbox has its id, so that whoever knows the device knows where to write.
        inbox = device.device_id
        await self._store.accounts.register(
            NewAccount(
                account_id=finish.account_id,
                name=registration.name,
                record=record,
                record_signature=finish.record_signature,
                vault=finish.vault,
                list_entry=finish.device_list_entry,
                device=NewDevice(device.device_id, device.signature_key.to_bytes(), inbox),
                prekeys=finish.prekeys,
                token=new_token,
                invite=registration.invite,
                recovery_vault=finish.recovery_vault,
            ),
            now=self._clock(),
        )
        return LoggedIn(
            token, finish.account_id, device.device_id, inbox, _NO_CONFIRMATION, finish.vault
        )

    async def login_start(self, talk: LoginTalk, start: LoginStart) -> LoginChallenge:
        """Answer KE1, by a decoy for a name that nobody has."""
        name = account_name(start.name)
        nearby = f"{name} {talk.address}"
        self._limits.hit("login name and address", LOGINS_PER_NAME_AND_ADDRESS, nearby)
        self._limits.hit("login name", LOGINS_PER_NAME, name)
        account = await self._store.accounts.by_name(name)
        record = account.record if account else None
        ke2, talk.attempt = self._opaque.begin(start.ke1, name, record, now=self._seconds())
        return LoginChallenge(ke2)

    async def login_finish(self, talk: LoginTalk, finish: LoginFinish) -> LoggedIn:
        """Check password, binding and device, and give a token to that device."""
        attempt, talk.attempt = talk.attempt, None
        if attempt is None:
            raise UsageError(Code.USAGE_STATE, "no login was started here")
        identity = self._identity
        context = LoginContext(identity.name, attempt.user, finish.device_id, identity.pin)
        accepted = self._opaque.finish(
            attempt, finish.ke3, finish.binding, context, now=self._seconds()
        )
        account = await self._store.accounts.by_name(attempt.user)
        if account is None:
            raise AccessError(Code.LOGIN_FAILED)
        device = await self._find_device(account, finish.device_id)
        proof = proofs.login(
            server=identity.name,
            pin=identity.pin,
            name=account.name,
            device_id=device.device_id,
            transcript=accepted.transcript,
        )
        _verify_proof(Ed25519PublicKey(device.signature_key), finish.device_proof, proof)
        token, new_token = self._sessions.make()
        await self._store.tokens.add(device.device_id, new_token)
        return LoggedIn(
            token,
            account.account_id,
            device.device_id,
            device.inbox,
            accepted.confirmation,
            account.vault,
        )

    async def _check_invite(self, secret: bytes | None) -> bytes | None:
        """The hash of the invite to use up, or None where none is needed."""
        if self._identity.registration == "open":
            return None
        if secret is None:
            raise AccessError(Code.INVITE_REQUIRED)
        invite = sha256(secret)
        if not await self._store.invites.usable(invite, now=self._clock()):
            raise AccessError(Code.INVITE_INVALID)
        return invite

    def _verify_registration(
        self, registration: Registration, finish: RegisterFinish, record: bytes
    ) -> Device:
        """The first device, if list, record and device are signed as they must be."""
        entry = DeviceListEntry.decode(finish.device_list_entry)
        state = DeviceListState.begin(finish.account_id, entry)
        if len(state.devices) != 1:
            raise SecurityStop(Code.DEVICE_LIST_INVALID, "a new account has one device")
        check_recovery(state, finish.recovery_vault)
        (device,) = state.devices
        signed_record = proofs.login_record(
            server=self._identity.name,
            name=registration.name,
            account_id=finish.account_id,
            record_version=record[0],
            upload=finish.upload,
        )
        state.account_key.verify(finish.record_signature, signed_record)
        transcript = registration_transcript(
            registration.request, registration.response, finish.upload
        )
        proof = proofs.registration(
            server=self._identity.name,
            pin=self._identity.pin,
            name=registration.name,
            account_id=finish.account_id,
            transcript=transcript,
        )
        _verify_proof(device.signature_key, finish.device_proof, proof)
        return device

    async def _find_device(self, account: AccountRecord, device_id: bytes) -> DeviceRecord:
        device = await self._store.devices.find(device_id)
        if device is None or device.account_id != account.account_id:
            raise AccessError(Code.LOGIN_BINDING, "not a device of the account")
        if not device.active:
            raise AccessError(Code.DEVICE_REMOVED)
        return device

    def _seconds(self) -> int:
        return self._clock() // 1000


def _verify_proof(key: Ed25519PublicKey, signature: bytes, proof: bytes) -> None:
    try:
        key.verify(signature, proof)
    except AuthenticationError as error:
        raise AccessError(Code.LOGIN_BINDING, "device proof") from error
