"""A device that is just being made: its keys and prekeys, and what its home begins with."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from parlour.conversation.upkeep import first_upload
from parlour.double_ratchet.identity import LocalDevice
from parlour.double_ratchet.prekey_store import PrekeyStore
from parlour.identity.device_list import Device
from parlour.identity.device_name import seal_device_name
from parlour.identity.vault import AccountSecret
from parlour.primitives.random import system_random
from parlour.wire.prekeys import Prekey


@dataclass(frozen=True, slots=True)
class MadeDevice:
    """A device before anybody knows it. `uploaded` is what its prekeys say to the server."""

    local: LocalDevice = field(repr=False)
    prekeys: PrekeyStore = field(repr=False)
    uploaded: list[Prekey] = field(repr=False)
    made_at: int

    @property
    def device_id(self) -> bytes:
        """The id of 16 bytes."""
        return self.local.identity.device_id

    def of_account(self, account_id: bytes) -> MadeDevice:
        """The same device for an account that was not known when it was made."""
        identity = replace(self.local.identity, account_id=account_id)
        return replace(self, local=replace(self.local, identity=identity))

    def listed(self, secret: AccountSecret, name: str = "") -> Device:
        """Its place in the device list; `name`, if there is one, is for the account's own eyes."""
        identity = self.local.identity
        sealed = b""
        if name:
            sealed = seal_device_name(
                name, secret=secret, account_id=identity.account_id, device_id=identity.device_id
            )
        return Device(
            identity.signature_key,
            identity.identity_key,
            has_kem=identity.has_kem,
            added_at=self.made_at,
            sealed_name=sealed,
        )


def make_device(account_id: bytes, now: int) -> MadeDevice:
    """Make a device's keys and its first 200 prekeys. `now` in seconds. Slow: `run_slow`."""
    local = LocalDevice.generate(account_id, system_random)
    prekeys = PrekeyStore.create(local, now, system_random)
    upload, uploaded = first_upload(prekeys)
    prekeys.mark_published(upload)
    return MadeDevice(local, prekeys, uploaded, now)
