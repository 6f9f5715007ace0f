"""The vault: the account key and the archive key, sealed for the account's owner.

The vault key is HKDF(OPAQUE export key ‖ account secret): the password alone never opens it,
because whoever holds the server's disk can test guesses of a password. The account secret is 128
random bits that only devices and the recovery key carry (docs/trust.md).

A **lone vault** opens with the export key alone and carries the account secret. It is for accounts
whose password is a generated passphrase (`passphrase`), which nobody guesses; decision 0041.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from parlour.codec import Reader, Writer, decode
from parlour.errors import AccessError, AuthenticationError, Code
from parlour.identity import labels
from parlour.identity.sealed import Box
from parlour.primitives.random import Random, system_random
from parlour.primitives.secret import Secret
from parlour.primitives.signature import ED25519_KEY_SIZE, Ed25519PrivateKey

_MAX_SEALED: Final = 4 << 10
_VAULT: Final = Box("vault", labels.VAULT_KEY, labels.VAULT_DATA, _MAX_SEALED)
_LONE_VAULT: Final = Box(
    "lone vault", labels.LONE_VAULT_KEY, labels.VAULT_DATA, _MAX_SEALED, format=2
)


class AccountSecret(Secret):
    """128 random bits that never reach a server."""

    __slots__ = ()
    SIZE = 16


class ArchiveKey(Secret):
    """What keys of archived history are wrapped under."""

    __slots__ = ()
    SIZE = 32


class RecoveryVaultKey(Secret):
    """What the second copy of the vault is sealed under; derived from the recovery key.

    The vault holds it, so that a new password reseals the second copy too, without the paper that
    the recovery key is written on. It opens nothing that the vault itself does not hold, and
    proves nothing to anybody.
    """

    __slots__ = ()
    SIZE = 32


@dataclass(frozen=True, slots=True)
class VaultContent:
    """What the vault holds. `recovery` is there where the account has a recovery key.

    `number` counts how often the account's vaults were replaced. An old box opens for ever, so a
    client that has seen a higher number takes none with a lower one.
    """

    account_key: Ed25519PrivateKey
    archive_key: ArchiveKey
    recovery: RecoveryVaultKey | None = None
    number: int = 0


def seal_vault(
    content: VaultContent,
    *,
    account_id: bytes,
    export_key: bytes,
    secret: AccountSecret,
    random: Random = system_random,
) -> bytes:
    """Seal `content` as a `Box` of format 1.

    ::

        struct {
            uint32 number;
            opaque account_key[32];
            opaque archive_key[32];
            optional<opaque[32]> recovery_vault_key;
        } VaultContent;
    """
    return _VAULT.seal(
        export_key + secret.reveal(), _encode(content), bound_to=account_id, random=random
    )


def open_vault(
    vault: bytes, *, account_id: bytes, export_key: bytes, secret: AccountSecret
) -> VaultContent:
    """Open what `seal_vault` made; a wrong password or secret raises `VAULT_CLOSED`."""
    key = export_key + secret.reveal()
    return decode(_opened(_VAULT, vault, key, account_id), _read)


def seal_lone_vault(
    content: VaultContent,
    *,
    account_id: bytes,
    export_key: bytes,
    secret: AccountSecret,
    random: Random = system_random,
) -> bytes:
    """Seal `content` and the account secret as a `Box` of format 2, under the export key alone.

    Only where the password is a `Passphrase`: everything rests on it then.

    ::

        struct { opaque account_secret[16]; VaultContent content; } LoneVaultContent;
    """
    plaintext = secret.reveal() + _encode(content)
    return _LONE_VAULT.seal(export_key, plaintext, bound_to=account_id, random=random)


def open_lone_vault(
    vault: bytes, *, account_id: bytes, export_key: bytes
) -> tuple[VaultContent, AccountSecret]:
    """Open what `seal_lone_vault` made; a wrong passphrase raises `VAULT_CLOSED`."""

    def read(reader: Reader) -> tuple[VaultContent, AccountSecret]:
        secret = AccountSecret(reader.fixed(AccountSecret.SIZE))
        return _read(reader), secret

    return decode(_opened(_LONE_VAULT, vault, export_key, account_id), read)


def stands_alone(vault: bytes) -> bool:
    """Whether a vault says that it opens without the account secret; only opening it proves it."""
    return vault[:1] == bytes((_LONE_VAULT.format,))


def _opened(box: Box, vault: bytes, key: bytes, account_id: bytes) -> bytes:
    try:
        return box.open(vault, key, bound_to=account_id)
    except AuthenticationError as error:
        raise AccessError(Code.VAULT_CLOSED) from error


def _encode(content: VaultContent) -> bytes:
    writer = Writer().uint32(content.number)
    writer.fixed(content.account_key.to_bytes(), ED25519_KEY_SIZE)
    writer.fixed(content.archive_key.reveal(), ArchiveKey.SIZE)
    writer.optional(
        content.recovery, lambda inner, key: inner.fixed(key.reveal(), RecoveryVaultKey.SIZE)
    )
    return writer.data()


def _read(reader: Reader) -> VaultContent:
    number = reader.uint32()
    return VaultContent(
        Ed25519PrivateKey(reader.fixed(ED25519_KEY_SIZE)),
        ArchiveKey(reader.fixed(ArchiveKey.SIZE)),
        reader.optional(lambda inner: RecoveryVaultKey(inner.fixed(RecoveryVaultKey.SIZE))),
        number,
    )
