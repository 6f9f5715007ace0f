"""Open the vault for the moment in which it is needed: by a login whose session ends at once.

No device keeps the account key or OPAQUE's export key. What changes the account (its devices, its
password, its recovery key) asks for the password, opens the vault, signs, and drops all of it.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field

from parlour.client import login
from parlour.client.account import Account
from parlour.client.connection import LIVE_PATH, Connection
from parlour.client.keys import SessionToken
from parlour.conversation.records import OwnDevice
from parlour.errors import Code, ParlourError, SecurityStop
from parlour.identity.vault import (
    AccountSecret,
    ArchiveKey,
    RecoveryVaultKey,
    VaultContent,
    open_lone_vault,
    open_vault,
    stands_alone,
)
from parlour.login import ExportKey
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.wire.kinds import Kind
from parlour.wire.server import Nothing
from parlour.wire.vaults import StoredVaults


@dataclass(frozen=True, slots=True)
class Unlocked:
    """An open vault. Use it and let it go: no device keeps any of it but the secret.

    `lone` when the vault opens without the account secret, by a generated passphrase. `vaults` is
    what the server holds now; new ones have the next number.
    """

    content: VaultContent = field(repr=False)
    secret: AccountSecret
    export_key: ExportKey
    vaults: StoredVaults = field(repr=False)
    lone: bool

    @property
    def account_key(self) -> Ed25519PrivateKey:
        """What signs device lists, vaults and password records."""
        return self.content.account_key

    @property
    def archive_key(self) -> ArchiveKey:
        """What keys of archived history are wrapped under."""
        return self.content.archive_key

    @property
    def recovery(self) -> RecoveryVaultKey | None:
        """What the second copy of the vault is sealed under, where there is a recovery key."""
        return self.content.recovery


async def unlock(account: Account, own: OwnDevice, password: str) -> Unlocked:
    """Open the vault of a home's account with the password. The extra session ends at once.

    Raises `LOGIN_FAILED` for a wrong password, `VAULT_CLOSED` where the vault is not one that
    this password and this account's secret open: the server shows another one; `VAULT_ROLLBACK`
    where it is older than one that this home has seen. Also what a login raises, and
    `TransportError`.
    """
    result = await login.log_in(
        account.target,
        name=own.name,
        password=password,
        device_key=Ed25519PrivateKey(own.signature_key),
        now=int(time.time()),
        account_id=own.account_id,
    )
    vaults = await _read_and_log_out(account, result.token)
    secret = AccountSecret(account.secret)
    unlocked = open_with(result.export_key, secret, vaults, own.account_id)
    if vaults.number < account.vaults:
        raise SecurityStop(Code.VAULT_ROLLBACK, f"number {vaults.number}")
    return unlocked


async def _read_and_log_out(account: Account, token: SessionToken) -> StoredVaults:
    async with await Connection.open(account.address, LIVE_PATH, account.trust, token) as live:
        try:
            return await live.ask(Kind.READ_VAULT, Nothing(), StoredVaults)
        finally:
            # The server may close this connection before its answer has left; and a session that
            # stays for a cut in this moment is shown by `sessions`.
            with contextlib.suppress(ParlourError):
                await live.ask(Kind.LOG_OUT, Nothing(), Nothing)


def open_with(
    export_key: ExportKey, secret: AccountSecret, vaults: StoredVaults, account_id: bytes
) -> Unlocked:
    """Open the vault that a server holds with what a login gave.

    Raises `VAULT_CLOSED`, and `VAULT_ROLLBACK` where the vault has another number than the server
    says: every number was sealed inside, and an old box opens for ever.
    """
    key = export_key.reveal()
    lone = stands_alone(vaults.vault)
    if lone:
        content, secret = open_lone_vault(vaults.vault, account_id=account_id, export_key=key)
    else:
        content = open_vault(vaults.vault, account_id=account_id, export_key=key, secret=secret)
    if content.number != vaults.number:
        raise SecurityStop(Code.VAULT_ROLLBACK, f"number {content.number} as {vaults.number}")
    return Unlocked(content, secret, export_key, vaults, lone)
