"""Accounts and devices with known keys, for the tests of identities."""

from __future__ import annotations

from parlour.identity.device_list import Device, DeviceListEntry, DeviceListState, first_entry
from parlour.primitives.agreement import X25519PrivateKey
from parlour.primitives.hashes import sha256
from parlour.primitives.signature import Ed25519PrivateKey

NOW = 1_800_000_000
ANNA = sha256(b"anna")[:16]


def signing_key(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey(sha256(f"signs {name}".encode()))


ANNAS_KEY = signing_key("anna")


def device(name: str, **changes: object) -> Device:
    """A device of this name; the same name has the same keys."""
    values: dict[str, object] = {
        "signature_key": signing_key(name).public_key,
        "identity_key": X25519PrivateKey(sha256(f"agrees {name}".encode())).public_key,
        "has_kem": True,
        "added_at": NOW,
        "sealed_name": b"sealed",
    }
    return Device(**(values | changes))  # type: ignore[arg-type]


PHONE, LAPTOP, TABLET = device("phone"), device("laptop"), device("tablet")


def first() -> DeviceListEntry:
    return first_entry(ANNA, ANNAS_KEY, PHONE, NOW)


def begun() -> DeviceListState:
    """Anna's list with her phone."""
    return DeviceListState.begin(ANNA, first())
