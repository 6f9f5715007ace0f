"""The prekey directory."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from parlour.wire.body import Body
from parlour.wire.ids import AccountId, DeviceId
from parlour.wire.limits import MAX_DEVICES, MAX_PREKEY, MAX_PREKEYS_PER_UPLOAD

PrekeyKind = Literal["signed", "one_time", "kem_last_resort", "kem_one_time"]
"""X25519 signed and one-time prekeys, ML-KEM-1024 last-resort and one-time prekeys."""
Count = Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)]
"""How many there are."""


class Prekey(Body, array_like=True, frozen=True, gc=False):
    """One prekey: `data` holds key and signature as `double_ratchet` encodes them.

    Kind, id and expiry (in seconds) stand outside as well, because the server serves by them; a
    client believes only what is signed inside.
    """

    kind: PrekeyKind
    key_id: Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)]
    expires_at: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
    data: Annotated[bytes, Meta(min_length=1, max_length=MAX_PREKEY)]


class PublishPrekeys(Body, array_like=True, frozen=True):
    """Add prekeys of this device. A signed or last-resort one replaces the one before it."""

    prekeys: Annotated[list[Prekey], Meta(max_length=MAX_PREKEYS_PER_UPLOAD)]


class PrekeyCounts(Body, array_like=True, frozen=True):
    """How many one-time prekeys of this device are left."""

    one_time: Count
    one_time_kem: Count


class FetchBundles(Body, array_like=True, frozen=True):
    """Fetch a bundle for each of these devices of one account; consumes one-time prekeys."""

    account_id: AccountId
    device_ids: Annotated[list[DeviceId], Meta(min_length=1, max_length=MAX_DEVICES)]


class Bundle(Body, array_like=True, frozen=True):
    """The prekeys of one device. `kem` is a one-time one, or else the last-resort one."""

    device_id: DeviceId
    signed: Prekey
    one_time: Prekey | None
    kem: Prekey | None


class Bundles(Body, array_like=True, frozen=True):
    """What was found; a device that published nothing is missing."""

    bundles: list[Bundle]
