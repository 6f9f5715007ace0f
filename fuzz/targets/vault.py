"""Vaults as a server hands them out: only what was sealed opens."""

from __future__ import annotations

from typing import Final

from parlour.errors import ParlourError
from parlour.identity.vault import (
    AccountSecret,
    ArchiveKey,
    VaultContent,
    open_vault,
    seal_vault,
)
from parlour.primitives.signature import Ed25519PrivateKey

_ACCOUNT_ID: Final = bytes(16)
_EXPORT_KEY: Final = bytes(64)
_SECRET: Final = AccountSecret(bytes(16))
_CONTENT: Final = VaultContent(Ed25519PrivateKey(bytes(32)), ArchiveKey(bytes(32)))

SEEDS: Final = [
    seal_vault(
        _CONTENT, account_id=_ACCOUNT_ID, export_key=_EXPORT_KEY, secret=_SECRET, random=bytes
    )
]


def target(data: bytes) -> None:
    try:
        open_vault(data, account_id=_ACCOUNT_ID, export_key=_EXPORT_KEY, secret=_SECRET)
    except ParlourError:
        return
    assert data in SEEDS
