"""Vaults: how they are read, and replaced together with the password.

A stolen token replaces neither: record and vaults are signed by the account key, which only who
opens the vault has.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from parlour.wire.body import Body
from parlour.wire.login import DeviceListEntryBytes, OpaqueBytes, Signature, VaultBytes

VaultNumber = Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)]
"""How often an account's vaults were replaced."""


class StoredVaults(Body, array_like=True, frozen=True):
    """The vaults of the account as they are now. `recovery_vault` needs a recovery key."""

    number: VaultNumber
    vault: VaultBytes
    recovery_vault: VaultBytes | None


class NewVaults(Body, array_like=True, frozen=True):
    """Both vaults of an account, in place of those with the number before.

    `signature` is the account key's over number and both vaults (`identity.proofs.vaults`). Of two
    devices that replace them at the same time, one gets ``vault.conflict``.
    """

    number: VaultNumber
    vault: VaultBytes
    recovery_vault: VaultBytes | None
    signature: Signature


class PasswordStart(Body, array_like=True, frozen=True):
    """Begin to change the password: an OPAQUE registration. The server keeps nothing of it."""

    request: OpaqueBytes


class PasswordFinish(Body, array_like=True, frozen=True):
    """Change the password, in one durable step.

    `device_list_entry` is there when devices leave in the same step, as after a theft.
    `end_sessions` ends every session but this one.
    """

    upload: OpaqueBytes
    record_signature: Signature
    vaults: NewVaults
    end_sessions: bool
    device_list_entry: DeviceListEntryBytes | None = None
