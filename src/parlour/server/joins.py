"""Joining by a passphrase alone: the vault is handed out, and a new device taken in.

Where the operator allows it, and the account's vault stands alone. It begins as a login does, with
the same limits, decoys and time; who has a wrong passphrase learns what a failed login tells.
"""

from __future__ import annotations

from typing import Final

from parlour.errors import AccessError, AuthenticationError, Code, UsageError, error
from parlour.identity import proofs
from parlour.identity.device_list import DeviceListState
from parlour.identity.vault import stands_alone
from parlour.login import LoginContext, OpaqueServer
from parlour.primitives.hashes import SHA256_SIZE
from parlour.server.accounts import AccountService
from parlour.server.clock import Clock
from parlour.server.identity import ServerIdentity
from parlour.server.sessions import SessionService
from parlour.server.store import Store
from parlour.server.store.records import AccountChange
from parlour.server.talk import Joining, LoginTalk
from parlour.wire.directory import DevicePrekeys
from parlour.wire.joining import Joinable, JoinFinish, JoinUnlock
from parlour.wire.login import LoggedIn

# As long as a login attempt lives.
STEP_MS: Final = 60_000
# The step before has confirmed who is there.
_NO_CONFIRMATION: Final = bytes(SHA256_SIZE)


class JoinService:
    """Both steps after the first one, which is `LoginService.login_start`."""

    def __init__(
        self,
        store: Store,
        accounts: AccountService,
        sessions: SessionService,
        opaque: OpaqueServer,
        identity: ServerIdentity,
        clock: Clock,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._sessions = sessions
        self._opaque = opaque
        self._identity = identity
        self._clock = clock

    async def unlock(self, talk: LoginTalk, request: JoinUnlock) -> Joinable:
        """Check the passphrase; hand out the vault, if it may open by that alone."""
        attempt, talk.attempt = talk.attempt, None
        if attempt is None:
            raise UsageError(Code.USAGE_STATE, "no login was started here")
        identity = self._identity
        context = LoginContext(identity.name, attempt.user, request.device_id, identity.pin)
        accepted = self._opaque.finish(
            attempt, request.ke3, request.binding, context, now=self._clock() // 1000
        )
        account = await self._store.accounts.by_name(attempt.user)
        head = await self._store.devices.list_head(account.account_id) if account else None
        if account is None or head is None:
            raise AccessError(Code.LOGIN_FAILED)
        if not (identity.lone_vaults and stands_alone(account.vault)):
            raise AccessError(Code.PASSPHRASE_REFUSED)
        talk.joining = Joining(
            account.account_id,
            account.name,
            request.device_id,
            accepted.transcript,
            self._clock(),
        )
        return Joinable(
            accepted.confirmation, account.account_id, account.vault_number, account.vault, head
        )

    async def finish(self, talk: LoginTalk, request: JoinFinish) -> LoggedIn:
        """Verify everything, then take the device in and give it a token."""
        joining, talk.joining = talk.joining, None
        if joining is None:
            raise UsageError(Code.USAGE_STATE, "nothing was unlocked here")
        if not 0 <= self._clock() - joining.started <= STEP_MS:
            raise AccessError(Code.LOGIN_EXPIRED)
        state = await self._accounts.state(joining.account_id)
        prekeys = [DevicePrekeys(joining.device_id, request.prekeys)] if request.prekeys else []
        following, new_list = self._accounts.check_list(state, request.device_list_entry, prekeys)
        if following.recovery_key != state.recovery_key:
            raise UsageError(Code.USAGE_INVALID, "another recovery key needs new vaults")
        self._check_device(following, joining, request.device_proof)
        token, new_token = self._sessions.make()
        change = AccountChange(device_list=new_list, token=(joining.device_id, new_token))
        await self._accounts.make(joining.account_id, change)
        account = await self._accounts.account(joining.account_id)
        device = await self._store.devices.find(joining.device_id)
        if device is None:
            raise error(Code.DEVICE_REMOVED)
        return LoggedIn(
            token,
            account.account_id,
            device.device_id,
            device.inbox,
            _NO_CONFIRMATION,
            account.vault,
        )

    def _check_device(self, state: DeviceListState, joining: Joining, signature: bytes) -> None:
        """The token is for a device on the list, and for who has its key."""
        device = state.device(joining.device_id)
        if device is None:
            raise AccessError(Code.LOGIN_BINDING, "not a device of the account")
        proof = proofs.join(
            server=self._identity.name,
            pin=self._identity.pin,
            name=joining.name,
            device_id=joining.device_id,
            transcript=joining.transcript,
        )
        try:
            device.signature_key.verify(signature, proof)
        except AuthenticationError as problem:
            raise AccessError(Code.LOGIN_BINDING, "device proof") from problem
