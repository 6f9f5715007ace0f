"""An account we know: its name, its devices, and how far a person has verified it.

Verification is a table of states. ``UNVERIFIED`` trusts the first key seen. ``VERIFIED`` means
that a person compared the safety number. ``CHANGED`` means that a verified account shows another
key: nothing is sent to it and nothing of the new key is read until a person accepts or verifies,
or until the key that was verified is shown again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from parlour.double_ratchet.identity import DeviceIdentity
from parlour.errors import Code, ParlourError, StorageError, UsageError
from parlour.identity.device_list import Device, DeviceListEntry, DeviceListState
from parlour.primitives.signature import Ed25519PublicKey


class Verification(StrEnum):
    """How far a person has verified an account's key."""

    UNVERIFIED = "unverified"
    VERIFIED = "verified"
    CHANGED = "changed"


class _Act(StrEnum):
    VERIFY = "verify"
    KEY_CHANGE = "key change"
    ACCEPT = "accept"
    WITHDRAW = "withdraw"


_TRANSITIONS: Final[dict[tuple[Verification, _Act], Verification]] = {
    (Verification.UNVERIFIED, _Act.VERIFY): Verification.VERIFIED,
    (Verification.UNVERIFIED, _Act.KEY_CHANGE): Verification.UNVERIFIED,
    (Verification.VERIFIED, _Act.VERIFY): Verification.VERIFIED,
    (Verification.VERIFIED, _Act.KEY_CHANGE): Verification.CHANGED,
    (Verification.CHANGED, _Act.VERIFY): Verification.VERIFIED,
    (Verification.CHANGED, _Act.KEY_CHANGE): Verification.CHANGED,
    (Verification.CHANGED, _Act.ACCEPT): Verification.UNVERIFIED,
    (Verification.CHANGED, _Act.WITHDRAW): Verification.VERIFIED,
}


def identity_of(account_id: bytes, device: Device) -> DeviceIdentity:
    """A device of a verified list as the pairwise protocol knows it."""
    return DeviceIdentity(
        account_id=account_id,
        device_id=device.device_id,
        signature_key=device.signature_key,
        identity_key=device.identity_key,
        has_kem=device.has_kem,
    )


class _Stored(Struct, frozen=True):
    """The record in the local store. `head` is the last accepted entry; `offered` a new key's."""

    name: str
    head: bytes
    offered: bytes
    verification: Annotated[str, Meta(max_length=16)]


@dataclass(frozen=True, slots=True)
class Contact:
    """One account. Immutable: each change returns the next one."""

    name: str
    head: DeviceListEntry
    verification: Verification = Verification.UNVERIFIED
    offered: DeviceListEntry | None = None

    @property
    def account_id(self) -> bytes:
        """The account's id, 16 bytes."""
        return self.head.account_id

    @property
    def state(self) -> DeviceListState:
        """The verified device list as it is now."""
        return DeviceListState.after(self.head)

    @property
    def stopped(self) -> bool:
        """Whether a changed key waits for a person."""
        return self.verification is Verification.CHANGED

    def identities(self) -> list[DeviceIdentity]:
        """All devices, as targets of pairwise messages."""
        return [identity_of(self.account_id, device) for device in self.head.devices]

    def identity(self, device_id: bytes) -> DeviceIdentity | None:
        """The device of that id, if it is on the list."""
        for device in self.head.devices:
            if device.device_id == device_id:
                return identity_of(self.account_id, device)
        return None

    def extended(self, entry: DeviceListEntry) -> Contact:
        """Accept the entry that follows, or raise `SecurityStop`."""
        self.state.extend(entry)
        return replace(self, head=entry)

    def with_changed_key(self, latest: DeviceListEntry) -> Contact:
        """Take note of a list under another account key, verified from its entry 0."""
        verification = self._after(_Act.KEY_CHANGE)
        if verification is Verification.CHANGED:
            return replace(self, verification=verification, offered=latest)
        return replace(self, verification=verification, head=latest, offered=None)

    def verified(self) -> Contact:
        """A person compared the safety number of the key that is current, or offered."""
        return self._settled(_Act.VERIFY)

    def accepted(self) -> Contact:
        """A person goes on with a changed key without comparing."""
        return self._settled(_Act.ACCEPT)

    def withdrawn(self) -> Contact:
        """The key that was verified is shown again: the other one is not offered any more."""
        return replace(self, verification=self._after(_Act.WITHDRAW), offered=None)

    def key_to_verify(self) -> Ed25519PublicKey:
        """The account key that a person compares now: the offered one, if there is one."""
        return (self.offered or self.head).account_key

    def _settled(self, act: _Act) -> Contact:
        return replace(
            self, verification=self._after(act), head=self.offered or self.head, offered=None
        )

    def _after(self, act: _Act) -> Verification:
        verification = _TRANSITIONS.get((self.verification, act))
        if verification is None:
            raise UsageError(Code.USAGE_STATE, f"{act.value} when {self.verification.value}")
        return verification

    def encode(self) -> bytes:
        """The record for the local store."""
        offered = b"" if self.offered is None else self.offered.encode()
        return msgspec.msgpack.encode(
            _Stored(self.name, self.head.encode(), offered, self.verification.value)
        )

    @classmethod
    def decode(cls, data: bytes) -> Contact:
        """Read a record that `encode` made."""
        try:
            stored = msgspec.msgpack.decode(data, type=_Stored)
            return cls(
                name=stored.name,
                head=DeviceListEntry.decode(stored.head),
                verification=Verification(stored.verification),
                offered=DeviceListEntry.decode(stored.offered) if stored.offered else None,
            )
        except (msgspec.DecodeError, ValueError, ParlourError) as error:
            raise StorageError(Code.STORE_BROKEN, "contact record") from error
