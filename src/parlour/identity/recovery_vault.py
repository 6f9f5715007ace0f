"""The second copy of the vault, which the recovery key opens without a password or a device.

It holds the account secret as well, because who comes with the paper alone has no device that
would. It is sealed under a key that only the recovery key gives and that the vault keeps
(`vault.RecoveryVaultKey`): a server can neither open it nor make another one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from parlour.codec import Reader, Writer, decode
from parlour.errors import AccessError, AuthenticationError, Code
from parlour.identity import labels
from parlour.identity.sealed import Box
from parlour.identity.vault import AccountSecret, ArchiveKey, RecoveryVaultKey, VaultContent
from parlour.primitives.random import Random, system_random
from parlour.primitives.signature import ED25519_KEY_SIZE, Ed25519PrivateKey

_MAX_SEALED: Final = 4 << 10
_BOX: Final = Box(
    "recovery vault", labels.RECOVERY_BOX_KEY, labels.RECOVERY_VAULT_DATA, _MAX_SEALED
)


@dataclass(frozen=True, slots=True)
class Recovered:
    """All that makes an account: what the vault holds, and the account secret."""

    content: VaultContent
    secret: AccountSecret


def seal_recovery_vault(
    recovered: Recovered,
    *,
    account_id: bytes,
    key: RecoveryVaultKey,
    random: Random = system_random,
) -> bytes:
    """Seal under a key of its own.

    ::

        struct {
            uint32 number;
            opaque account_key[32];
            opaque archive_key[32];
            opaque account_secret[16];
        } RecoveryVaultContent;
    """
    plaintext = Writer().uint32(recovered.content.number)
    plaintext.fixed(recovered.content.account_key.to_bytes(), ED25519_KEY_SIZE)
    plaintext.fixed(recovered.content.archive_key.reveal(), ArchiveKey.SIZE)
    plaintext.fixed(recovered.secret.reveal(), AccountSecret.SIZE)
    return _BOX.seal(key.reveal(), plaintext.data(), bound_to=account_id, random=random)


def open_recovery_vault(vault: bytes, *, account_id: bytes, key: RecoveryVaultKey) -> Recovered:
    """Open what `seal_recovery_vault` made; another key or account raises `VAULT_CLOSED`.

    What comes out holds `key` again, ready to be sealed under a new password.
    """
    try:
        plaintext = _BOX.open(vault, key.reveal(), bound_to=account_id)
    except AuthenticationError as error:
        raise AccessError(Code.VAULT_CLOSED) from error
    recovered = decode(plaintext, _read)
    return replace(recovered, content=replace(recovered.content, recovery=key))


def _read(reader: Reader) -> Recovered:
    number = reader.uint32()
    account_key = Ed25519PrivateKey(reader.fixed(ED25519_KEY_SIZE))
    archive_key = ArchiveKey(reader.fixed(ArchiveKey.SIZE))
    secret = AccountSecret(reader.fixed(AccountSecret.SIZE))
    return Recovered(VaultContent(account_key, archive_key, number=number), secret)
