"""Recovery: the key on paper is proved, the second vault handed out, a new password set.

All on one connection to the login socket. Nobody learns which names exist or have a recovery key:
every name gets a challenge, and every failure is the same one, after the same work.
"""

from __future__ import annotations

from typing import Final

from parlour.errors import AccessError, AuthenticationError, Code, UsageError
from parlour.identity import proofs
from parlour.identity.device_list import DeviceListEntry, DeviceListState
from parlour.login import OpaqueServer, account_name, registration_transcript
from parlour.primitives.hashes import SHA256_SIZE
from parlour.primitives.random import Random, system_random
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.server.accounts import AccountService
from parlour.server.clock import Clock
from parlour.server.identity import ServerIdentity
from parlour.server.limits import LOGINS_PER_NAME, LOGINS_PER_NAME_AND_ADDRESS, Limits
from parlour.server.sessions import SessionService
from parlour.server.store import AccountRecord, Store
from parlour.server.store.records import AccountChange
from parlour.server.talk import LoginTalk, RecoveredAccount, RecoveryChallenge, Reset
from parlour.wire.directory import DevicePrekeys
from parlour.wire.login import LoggedIn, RegisterChallenge
from parlour.wire.recovery import (
    RecoverChallenge,
    Recovered,
    RecoverFinish,
    RecoverStart,
    ResetFinish,
    ResetStart,
)

NONCE_SIZE: Final = 32
# As long as a login attempt lives.
STEP_MS: Final = 60_000
# Nobody has such an account; looking for it costs what looking for one that exists costs.
_NOBODY: Final = bytes(16)
# Like a registration, this one has no shared key that could confirm it.
_NO_CONFIRMATION: Final = bytes(SHA256_SIZE)


class RecoveryService:
    """Challenge and proof, then both legs of a new password."""

    def __init__(
        self,
        store: Store,
        accounts: AccountService,
        sessions: SessionService,
        limits: Limits,
        opaque: OpaqueServer,
        identity: ServerIdentity,
        clock: Clock,
        random: Random = system_random,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._sessions = sessions
        self._limits = limits
        self._opaque = opaque
        self._identity = identity
        self._clock = clock
        self._random = random
        # Whose private half is gone: signatures are checked against it where there is no key.
        self._decoy = Ed25519PrivateKey.generate(random).public_key

    async def recover_start(self, talk: LoginTalk, start: RecoverStart) -> RecoverChallenge:
        """Give something to sign."""
        name = account_name(start.name)
        nearby = f"{name} {talk.address}"
        self._limits.hit("recover name and address", LOGINS_PER_NAME_AND_ADDRESS, nearby)
        self._limits.hit("recover name", LOGINS_PER_NAME, name)
        talk.challenge = RecoveryChallenge(name, self._random(NONCE_SIZE), self._clock())
        return RecoverChallenge(talk.challenge.nonce)

    async def recover_finish(self, talk: LoginTalk, finish: RecoverFinish) -> Recovered:
        """Check the proof against the signed device list; hand out the recovery vault."""
        challenge, talk.challenge = talk.challenge, None
        if challenge is None:
            raise UsageError(Code.USAGE_STATE, "no recovery was started here")
        self._check_time(challenge.started)
        account = await self._store.accounts.by_name(challenge.name)
        head = await self._store.devices.list_head(account.account_id if account else _NOBODY)
        self._check_proof(challenge, head, finish.signature)
        if account is None or head is None or account.recovery_vault is None:
            raise AccessError(Code.RECOVERY_FAILED)
        talk.recovered = RecoveredAccount(account.account_id, account.name, self._clock())
        return Recovered(account.account_id, account.vault_number, account.recovery_vault, head)

    async def reset_start(self, talk: LoginTalk, start: ResetStart) -> RegisterChallenge:
        """Answer the OPAQUE request of the new password."""
        recovered, talk.recovered = talk.recovered, None
        if recovered is None:
            raise UsageError(Code.USAGE_STATE, "no recovery key was proved here")
        self._check_time(recovered.started)
        response = self._opaque.register(start.request, recovered.name)
        talk.reset = Reset(recovered, start.request, response)
        return RegisterChallenge(response)

    async def reset_finish(self, talk: LoginTalk, finish: ResetFinish) -> LoggedIn:
        """Verify everything, then change record, vaults and list, and log the device in."""
        reset, talk.reset = talk.reset, None
        if reset is None:
            raise UsageError(Code.USAGE_STATE, "no reset was started here")
        self._check_time(reset.account.started)
        account = await self._accounts.account(reset.account.account_id)
        change, token = await self._change(account, reset, finish)
        await self._accounts.make(account.account_id, change)
        device = await self._store.devices.find(finish.device_id)
        if device is None:
            raise AccessError(Code.DEVICE_REMOVED)
        return LoggedIn(
            token,
            account.account_id,
            device.device_id,
            device.inbox,
            _NO_CONFIRMATION,
            finish.vaults.vault,
        )

    async def _change(
        self, account: AccountRecord, reset: Reset, finish: ResetFinish
    ) -> tuple[AccountChange, str]:
        following = state = await self._accounts.state(account.account_id)
        new_list = None
        if finish.device_list_entry is not None:
            prekeys = [DevicePrekeys(finish.device_id, finish.prekeys)] if finish.prekeys else []
            following, new_list = self._accounts.check_list(
                state, finish.device_list_entry, prekeys
            )
        self._check_device(following, reset, finish)
        token, new_token = self._sessions.make()
        change = AccountChange(
            record=self._accounts.check_record(
                state, account.name, finish.upload, finish.record_signature
            ),
            vaults=self._accounts.check_vaults(following, finish.vaults),
            device_list=new_list,
            end_sessions=finish.end_sessions,
            token=(finish.device_id, new_token),
        )
        return change, token

    def _check_device(self, state: DeviceListState, reset: Reset, finish: ResetFinish) -> None:
        """The token is for a device on the list, and for who has its key."""
        device = state.device(finish.device_id)
        if device is None:
            raise AccessError(Code.LOGIN_BINDING, "not a device of the account")
        transcript = registration_transcript(reset.request, reset.response, finish.upload)
        proof = proofs.reset(
            server=self._identity.name,
            pin=self._identity.pin,
            name=reset.account.name,
            device_id=finish.device_id,
            transcript=transcript,
        )
        try:
            device.signature_key.verify(finish.device_proof, proof)
        except AuthenticationError as error:
            raise AccessError(Code.LOGIN_BINDING, "device proof") from error

    def _check_proof(
        self, challenge: RecoveryChallenge, head: bytes | None, signature: bytes
    ) -> None:
        key = DeviceListEntry.decode(head).recovery_key if head else None
        proof = proofs.recovery(
            server=self._identity.name,
            pin=self._identity.pin,
            name=challenge.name,
            nonce=challenge.nonce,
        )
        try:
            (key or self._decoy).verify(signature, proof)
        except AuthenticationError:
            raise AccessError(Code.RECOVERY_FAILED) from None

    def _check_time(self, started: int) -> None:
        if not 0 <= self._clock() - started <= STEP_MS:
            raise AccessError(Code.LOGIN_EXPIRED)
