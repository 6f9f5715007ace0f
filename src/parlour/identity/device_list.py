"""The signed, numbered, hash-chained list of an account's devices.

Each entry states the whole list as it is from then on. Entry 0 names the account key; every entry
is signed by it and holds the hash of the entry before. A client remembers number and hash of the
last entry that it saw (`DeviceListState`) and accepts only what follows it, so that a server can
neither add a device, nor hide one, nor go back.

An entry may demand that new devices are **approved**: the next one that adds a device, changes the
recovery key or drops the demand must then carry the signature of a device that was on the list, or
of the recovery key. So who has a password and an account secret, and with them the account key,
still adds no device unseen. Removing needs no approval: a lost phone must not be able to refuse.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from parlour.errors import AuthenticationError, Code, LimitError, ParlourError, SecurityStop
from parlour.identity.device import MAX_SEALED_NAME, Device, device_id_of
from parlour.identity.device_list_entry import (
    MAX_APPROVALS,
    MAX_DEVICES,
    Approval,
    DeviceListEntry,
)
from parlour.primitives.signature import Ed25519PrivateKey, Ed25519PublicKey

__all__ = [
    "KEEP",
    "MAX_APPROVALS",
    "MAX_DEVICES",
    "MAX_SEALED_NAME",
    "Approval",
    "Device",
    "DeviceListEntry",
    "DeviceListState",
    "device_id_of",
    "first_entry",
    "next_entry",
]


@dataclass(frozen=True, slots=True)
class DeviceListState:
    """The verified head of a device list: what a client or server remembers of an account."""

    account_id: bytes
    account_key: Ed25519PublicKey
    number: int
    head_hash: bytes
    devices: tuple[Device, ...]
    recovery_key: Ed25519PublicKey | None = None
    needs_approval: bool = False

    def device(self, device_id: bytes) -> Device | None:
        """The device of that id, if it is on the list now."""
        return next((device for device in self.devices if device.device_id == device_id), None)

    @classmethod
    def after(cls, entry: DeviceListEntry) -> DeviceListState:
        """The state after an entry that was verified before, when it was stored."""
        return cls(
            account_id=entry.account_id,
            account_key=entry.account_key,
            number=entry.number,
            head_hash=entry.hash(),
            devices=entry.devices,
            recovery_key=entry.recovery_key,
            needs_approval=entry.needs_approval,
        )

    @classmethod
    def begin(cls, account_id: bytes, entry: DeviceListEntry) -> DeviceListState:
        """Verify entry 0 of an account that was not known before."""
        if entry.number != 0 or entry.previous_hash or entry.approvals:
            raise SecurityStop(Code.DEVICE_LIST_INVALID, "the list does not start at entry 0")
        return cls._accept(account_id, entry)

    def extend(self, entry: DeviceListEntry) -> DeviceListState:
        """Verify the entry that follows this state."""
        if entry.account_key != self.account_key:
            raise SecurityStop(Code.ACCOUNT_KEY_CHANGED)
        if entry.number <= self.number:
            raise SecurityStop(Code.DEVICE_LIST_ROLLBACK, f"entry {entry.number}")
        if entry.number != self.number + 1 or entry.previous_hash != self.head_hash:
            raise SecurityStop(Code.DEVICE_LIST_INVALID, "the entry does not follow the last one")
        following = self._accept(self.account_id, entry)
        self._check_kept(entry)
        self._check_approvals(entry)
        return following

    def wants_approval(self, entry: DeviceListEntry) -> bool:
        """Whether an entry after this state needs the approval of an old device."""
        return self.needs_approval and (
            not entry.needs_approval
            or entry.recovery_key != self.recovery_key
            or any(self.device(device.device_id) is None for device in entry.devices)
        )

    def _check_kept(self, entry: DeviceListEntry) -> None:
        """A device that stays is the same device: another key to agree with would be a new one."""
        for device in entry.devices:
            known = self.device(device.device_id)
            if known is not None and known.identity_key != device.identity_key:
                raise SecurityStop(Code.DEVICE_LIST_INVALID, "a device with another key")

    def _check_approvals(self, entry: DeviceListEntry) -> None:
        """Every approval given must hold, and one be there where one is demanded."""
        approvers = {device.device_id: device.signature_key for device in self.devices}
        if self.recovery_key is not None:
            approvers[device_id_of(self.recovery_key)] = self.recovery_key
        for approval in entry.approvals:
            key = approvers.get(approval.approver)
            if key is None:
                raise SecurityStop(Code.DEVICE_LIST_APPROVAL, "by a stranger")
            try:
                entry.verify_approval(approval, key)
            except AuthenticationError as error:
                raise SecurityStop(Code.DEVICE_LIST_APPROVAL, "signature") from error
        if not entry.approvals and self.wants_approval(entry):
            raise SecurityStop(Code.DEVICE_LIST_APPROVAL)

    @classmethod
    def _accept(cls, account_id: bytes, entry: DeviceListEntry) -> DeviceListState:
        if entry.account_id != account_id:
            raise SecurityStop(Code.DEVICE_LIST_INVALID, "the entry is of another account")
        try:
            entry.verify_signature()
        except ParlourError as error:
            raise SecurityStop(Code.DEVICE_LIST_INVALID, "signature") from error
        ids = {device.device_id for device in entry.devices}
        if not ids or len(ids) != len(entry.devices):
            raise SecurityStop(Code.DEVICE_LIST_INVALID, "no device, or one twice")
        return cls.after(entry)


class _Keep(Enum):
    """That something stays as it was."""

    KEEP = 0


KEEP: Final = _Keep.KEEP


def first_entry(
    account_id: bytes,
    account_key: Ed25519PrivateKey,
    device: Device,
    now: int,
    *,
    recovery_key: Ed25519PublicKey | None = None,
    needs_approval: bool = False,
) -> DeviceListEntry:
    """Make and sign entry 0 with one device. `now` in seconds."""
    entry = DeviceListEntry(
        account_id,
        account_key.public_key,
        0,
        b"",
        now,
        (device,),
        recovery_key=recovery_key,
        needs_approval=needs_approval,
    )
    return entry.sign(account_key)


def next_entry(
    state: DeviceListState,
    account_key: Ed25519PrivateKey,
    devices: tuple[Device, ...],
    now: int,
    *,
    recovery_key: Ed25519PublicKey | _Keep | None = KEEP,
    needs_approval: bool | None = None,
) -> DeviceListEntry:
    """Make and sign the entry after `state` with the whole new list. `now` in seconds.

    Recovery key and demand for approval stay as they are unless given. The caller lets an old
    device `approve` the entry where `state.wants_approval` it. Raises `LimitError` for more than
    `MAX_DEVICES`: nobody would accept the entry.
    """
    if len(devices) > MAX_DEVICES:
        raise LimitError(Code.LIMIT_COUNT, f"at most {MAX_DEVICES} devices")
    entry = DeviceListEntry(
        state.account_id,
        account_key.public_key,
        state.number + 1,
        state.head_hash,
        now,
        devices,
        recovery_key=state.recovery_key if isinstance(recovery_key, _Keep) else recovery_key,
        needs_approval=state.needs_approval if needs_approval is None else needs_approval,
    )
    return entry.sign(account_key)
