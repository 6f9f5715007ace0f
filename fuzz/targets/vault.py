"""Vaults of all three kinds as a server hands them out: only what was sealed opens."""

from __future__ import annotations

from typing import Final

from parlour.errors import ParlourError
from parlour.identity.recovery_vault import Recovered, open_recovery_vault, seal_recovery_vault
from parlour.identity.vault import (
    AccountSecret,
    ArchiveKey,
    RecoveryVaultKey,
    VaultContent,
    open_lone_vault,
    open_vault,
    seal_lone_vault,
    seal_vault,
)
from parlour.primitives.signature import Ed25519PrivateKey

_ACCOUNT_ID: Final = bytes(16)
_EXPORT_KEY: Final = bytes(64)
_SECRET: Final = AccountSecret(bytes(16))
_CONTENT: Final = VaultContent(Ed25519PrivateKey(bytes(32)), ArchiveKey(bytes(32)))

_PAPER: Final = RecoveryVaultKey(bytes(32))

SEEDS: Final = [
    seal_vault(
        _CONTENT, account_id=_ACCOUNT_ID, export_key=_EXPORT_KEY, secret=_SECRET, random=bytes
    ),
    seal_lone_vault(
        _CONTENT, account_id=_ACCOUNT_ID, export_key=_EXPORT_KEY, secret=_SECRET, random=bytes
    ),
    seal_recovery_vault(
        Recovered(_CONTENT, _SECRET), account_id=_ACCOUNT_ID, key=_PAPER, random=bytes
    ),
]


def _open(data: bytes) -> object:
    return open_vault(data, account_id=_ACCOUNT_ID, export_key=_EXPORT_KEY, secret=_SECRET)


def _open_lone(data: bytes) -> object:
    return open_lone_vault(data, account_id=_ACCOUNT_ID, export_key=_EXPORT_KEY)


def _open_recovery(data: bytes) -> object:
    return open_recovery_vault(data, account_id=_ACCOUNT_ID, key=_PAPER)


def target(data: bytes) -> None:
    for number, opens in enumerate((_open, _open_lone, _open_recovery)):
        try:
            opens(data)
        except ParlourError:
            continue
        assert data == SEEDS[number]
