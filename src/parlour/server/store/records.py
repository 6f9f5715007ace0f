"""What goes into a store and comes out of it, where the wire has no structure for it.

All times are milliseconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from parlour.wire.groups import FoundKeyPackage, KeyPackageCount
from parlour.wire.prekeys import Prekey
from parlour.wire.vaults import NewVaults

DAY_MS: Final = 24 * 60 * 60 * 1000
# A device that stays away longer finds gaps, and is told so; a dead one stops nothing.
QUEUE_DAYS: Final = 30
# Repeats of an append are recognised this long after its ciphertext is gone.
KEEP_ROW_MS: Final = 7 * DAY_MS


class RetentionRule(StrEnum):
    """When a stream's entries go."""

    QUEUE = "queue"
    """Once every device has read them, or at an age."""
    DAYS = "days"
    """At an age."""
    FOREVER = "forever"
    """Never."""


@dataclass(frozen=True, slots=True)
class Retention:
    """A rule with its age in days (0 for `FOREVER`)."""

    rule: RetentionRule
    days: int

    @classmethod
    def queue(cls) -> Retention:
        """What streams have unless something else was agreed on."""
        return cls(RetentionRule.QUEUE, QUEUE_DAYS)


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """An account. `record` is the OPAQUE record with its version byte."""

    account_id: bytes
    name: str
    record: bytes
    vault: bytes
    recovery_vault: bytes | None = None
    vault_number: int = 0


@dataclass(frozen=True, slots=True)
class NewDevice:
    """A device that enters an account's list, with the inbox made for it."""

    device_id: bytes
    signature_key: bytes
    inbox: bytes


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token, by its hash."""

    hash: bytes
    created_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class NewAccount:
    """Everything that a registration makes, in one step. `invite` is the hash of its secret."""

    account_id: bytes
    name: str
    record: bytes
    record_signature: bytes
    vault: bytes
    list_entry: bytes
    device: NewDevice
    prekeys: list[Prekey]
    token: NewToken
    invite: bytes | None
    recovery_vault: bytes | None = None


@dataclass(frozen=True, slots=True)
class NewList:
    """A device list entry: its number, all devices from then on, first prekeys of new ones."""

    number: int
    entry: bytes
    devices: Sequence[NewDevice]
    prekeys: Mapping[bytes, Sequence[Prekey]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AccountChange:
    """What one durable step changes of an account; None leaves a thing as it is.

    `record` is the OPAQUE record and its signature. `token` logs that device in, after
    `end_sessions` has ended all others but the one with the hash `keep_session`.
    """

    record: tuple[bytes, bytes] | None = None
    vaults: NewVaults | None = None
    device_list: NewList | None = None
    end_sessions: bool = False
    keep_session: bytes | None = None
    token: tuple[bytes, NewToken] | None = None


@dataclass(frozen=True, slots=True)
class InviteRecord:
    """An invite that can still be used, by the hash of its secret."""

    hash: bytes
    uses_left: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """A device of an account."""

    device_id: bytes
    account_id: bytes
    signature_key: bytes
    active: bool
    inbox: bytes


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """A token with the state of its device."""

    hash: bytes
    account_id: bytes
    device_id: bytes
    created_at: int
    last_used: int
    expires_at: int
    revoked: bool
    active: bool


@dataclass(frozen=True, slots=True)
class ListChange:
    """What a new device list entry changed: devices that left."""

    removed: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ListPage:
    """Entries of one device list in order; `more` when it goes on. Without `name`: no account."""

    account_id: bytes
    name: str | None
    entries: list[bytes]
    more: bool


@dataclass(frozen=True, slots=True)
class ListTip:
    """The newest entry of a device list."""

    account_id: bytes
    number: int
    entry: bytes


@dataclass(frozen=True, slots=True)
class TakenKeyPackage:
    """A key package that was given out. `counts` if its device should publish more."""

    account_id: bytes
    package: FoundKeyPackage
    counts: list[KeyPackageCount] | None


@dataclass(frozen=True, slots=True)
class TakenKeyPackages:
    """What was given out, for the first `asked` devices of a request."""

    taken: list[TakenKeyPackage]
    asked: int


@dataclass(frozen=True, slots=True)
class AppendedEntry:
    """An entry's place. `members` are account ids, and `inbox_device` whose inbox it is.

    In a group `version` names the members, which are there only if the caller knew other ones.
    """

    seq: int
    stored_at: int
    repeated: bool
    members: tuple[bytes, ...]
    inbox_device: bytes | None
    version: int | None = None
