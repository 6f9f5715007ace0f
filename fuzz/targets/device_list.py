"""Entries of device lists: what decodes is encoded to the same bytes; nothing forged is taken."""

from __future__ import annotations

from typing import Final

from parlour.errors import ParlourError
from parlour.identity.device_list import (
    Device,
    DeviceListEntry,
    DeviceListState,
    first_entry,
    next_entry,
)
from parlour.primitives.agreement import X25519PrivateKey
from parlour.primitives.signature import Ed25519PrivateKey

_ACCOUNT_ID: Final = bytes(16)
_ACCOUNT_KEY: Final = Ed25519PrivateKey(b"\x01" * 32)
_DEVICES: Final = tuple(
    Device(
        Ed25519PrivateKey(bytes((n,)) * 32).public_key,
        X25519PrivateKey(bytes((n,)) * 32).public_key,
        has_kem=bool(n % 2),
        added_at=n,
        sealed_name=b"sealed" * (n % 3),
    )
    for n in (2, 3, 4)
)
_FIRST: Final = first_entry(_ACCOUNT_ID, _ACCOUNT_KEY, _DEVICES[0], 1_800_000_000)
_STATE: Final = DeviceListState.begin(_ACCOUNT_ID, _FIRST)
_NEXT: Final = next_entry(_STATE, _ACCOUNT_KEY, _DEVICES, 1_800_000_001)
_OLD_KEY: Final = Ed25519PrivateKey(b"\x02" * 32)
_GUARDED: Final = first_entry(
    _ACCOUNT_ID,
    _ACCOUNT_KEY,
    _DEVICES[0],
    1_800_000_000,
    recovery_key=_OLD_KEY.public_key,
    needs_approval=True,
)
_SIGNED: Final = (_FIRST, _NEXT, _NEXT.approve(_OLD_KEY), _GUARDED)

SEEDS: Final = [entry.encode() for entry in _SIGNED]


def target(data: bytes) -> None:
    try:
        entry = DeviceListEntry.decode(data)
    except ParlourError:
        return
    assert entry.encode() == data
    assert len(entry.hash()) == 32
    try:
        DeviceListState.begin(_ACCOUNT_ID, entry)
    except ParlourError:
        pass
    else:
        assert entry.account_key != _ACCOUNT_KEY.public_key or entry in (_FIRST, _GUARDED)
    try:
        _STATE.extend(entry)
    except ParlourError:
        return
    assert entry in (_NEXT, _NEXT.approve(_OLD_KEY))
