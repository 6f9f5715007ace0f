"""Joining an account on a new device by a generated passphrase alone (decision 0041).

It begins like a login, with `LoginStart`. What comes of the passphrase is the vault, where that is
one that stands alone; with the account key out of it, the new device puts itself on the list.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from parlour.wire.body import Body
from parlour.wire.ids import AccountId, DeviceId
from parlour.wire.limits import MAX_PREKEYS_PER_UPLOAD
from parlour.wire.login import DeviceListEntryBytes, OpaqueBytes, Signature, Tag, VaultBytes
from parlour.wire.prekeys import Prekey
from parlour.wire.vaults import VaultNumber


class JoinUnlock(Body, array_like=True, frozen=True):
    """The third OPAQUE message, bound like that of a login to the device that is to be added."""

    ke3: OpaqueBytes
    binding: Tag
    device_id: DeviceId


class Joinable(Body, array_like=True, frozen=True):
    """What the passphrase opens, and the newest entry of the device list.

    `confirmation` proves that the server finished the same login.
    """

    confirmation: Tag
    account_id: AccountId
    vault_number: VaultNumber
    vault: VaultBytes
    device_list_entry: DeviceListEntryBytes


class JoinFinish(Body, array_like=True, frozen=True):
    """Add the device to the list and log it in, in one durable step.

    `device_proof` is the new device's signature over the login's transcript
    (`identity.proofs.join`).
    """

    device_list_entry: DeviceListEntryBytes
    prekeys: Annotated[list[Prekey], Meta(max_length=MAX_PREKEYS_PER_UPLOAD)]
    device_proof: Signature
