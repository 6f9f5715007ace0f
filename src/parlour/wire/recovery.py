"""Getting an account back by its recovery key, on one connection to the login socket.

First the key is proved, which gives the recovery vault; that much is a drill, and changes nothing.
Then a new password is set, for a device of the account or for a new one.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from parlour.wire.body import Body
from parlour.wire.ids import AccountId, AccountName, DeviceId
from parlour.wire.limits import MAX_PREKEYS_PER_UPLOAD
from parlour.wire.login import DeviceListEntryBytes, OpaqueBytes, Signature, VaultBytes
from parlour.wire.prekeys import Prekey
from parlour.wire.vaults import NewVaults, VaultNumber


class RecoverStart(Body, array_like=True, frozen=True):
    """Ask for something to sign."""

    name: AccountName


class RecoverChallenge(Body, array_like=True, frozen=True):
    """32 random bytes, also for a name that nobody has."""

    nonce: Annotated[bytes, Meta(min_length=32, max_length=32)]


class RecoverFinish(Body, array_like=True, frozen=True):
    """The signature of the recovery key's proof key (`identity.proofs.recovery`)."""

    signature: Signature


class Recovered(Body, array_like=True, frozen=True):
    """What the recovery key opens, and the newest entry of the device list."""

    account_id: AccountId
    vault_number: VaultNumber
    recovery_vault: VaultBytes
    device_list_entry: DeviceListEntryBytes


class ResetStart(Body, array_like=True, frozen=True):
    """Begin to set a new password, after the recovery key was proved here."""

    request: OpaqueBytes


class ResetFinish(Body, array_like=True, frozen=True):
    """Set the new password and log a device in, in one durable step.

    `device_list_entry` is there when the device is new, or others leave; `prekeys` are the new
    device's. `device_proof` is the device's signature over this registration's transcript
    (`identity.proofs.reset`). `end_sessions` ends all sessions that there were.
    """

    upload: OpaqueBytes
    record_signature: Signature
    vaults: NewVaults
    device_id: DeviceId
    device_proof: Signature
    device_list_entry: DeviceListEntryBytes | None
    prekeys: Annotated[list[Prekey], Meta(max_length=MAX_PREKEYS_PER_UPLOAD)]
    end_sessions: bool
