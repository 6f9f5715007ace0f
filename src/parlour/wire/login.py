"""Registration and login by OPAQUE (RFC 9807), and the tokens that come of them.

All of it happens on one connection to the login socket: a registration or a login that changes
its connection between the legs is refused.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from parlour.wire.body import Body
from parlour.wire.ids import (
    AccountId,
    AccountName,
    DeviceId,
    InviteSecret,
    Milliseconds,
    StreamId,
)
from parlour.wire.limits import (
    MAX_DEVICE_LIST_ENTRY,
    MAX_OPAQUE_MESSAGE,
    MAX_PREKEYS_PER_UPLOAD,
    MAX_VAULT,
)
from parlour.wire.prekeys import Prekey

OpaqueBytes = Annotated[bytes, Meta(min_length=1, max_length=MAX_OPAQUE_MESSAGE)]
"""A message or a record of OPAQUE, as RFC 9807 encodes it."""
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]
"""An Ed25519 signature."""
Tag = Annotated[bytes, Meta(min_length=32, max_length=32)]
"""HMAC-SHA256 under a key of the login."""
Token = Annotated[str, Meta(min_length=40, max_length=64)]
"""An opaque random token. Servers store its hash only."""
VaultBytes = Annotated[bytes, Meta(max_length=MAX_VAULT)]
"""A sealed vault; no server can open it."""
DeviceListEntryBytes = Annotated[bytes, Meta(min_length=1, max_length=MAX_DEVICE_LIST_ENTRY)]
"""An encoded and signed entry of a device list (`parlour.identity.device_list`)."""


class RegisterStart(Body, array_like=True, frozen=True):
    """Ask for a name. `invite` may be missing where registration is open."""

    name: AccountName
    invite: InviteSecret | None
    request: OpaqueBytes


class RegisterChallenge(Body, array_like=True, frozen=True):
    """The server's half of the OPAQUE registration."""

    response: OpaqueBytes


class RegisterFinish(Body, array_like=True, frozen=True):
    """Everything that makes an account, in one durable step.

    `record_signature` is the account key's over the OPAQUE record, `device_list_entry` the first
    of the device list, `device_proof` the device key's signature over this registration's
    transcript.
    """

    account_id: AccountId
    upload: OpaqueBytes
    record_signature: Signature
    device_list_entry: DeviceListEntryBytes
    device_proof: Signature
    vault: VaultBytes
    prekeys: Annotated[list[Prekey], Meta(max_length=MAX_PREKEYS_PER_UPLOAD)]
    recovery_vault: VaultBytes | None = None


class LoginStart(Body, array_like=True, frozen=True):
    """The first OPAQUE message."""

    name: AccountName
    ke1: OpaqueBytes


class LoginChallenge(Body, array_like=True, frozen=True):
    """The second OPAQUE message. It looks the same for a name that nobody has."""

    ke2: OpaqueBytes


class LoginFinish(Body, array_like=True, frozen=True):
    """The third OPAQUE message, bound to server, device, channel and transcript.

    `device_proof` is the device key's signature over the transcript: a password alone gives no
    token in the name of somebody else's device.
    """

    ke3: OpaqueBytes
    binding: Tag
    device_id: DeviceId
    device_proof: Signature


class LoggedIn(Body, array_like=True, frozen=True):
    """A token for this device. `confirmation` proves that the server finished the same login."""

    token: Token
    account_id: AccountId
    device_id: DeviceId
    inbox: StreamId
    confirmation: Tag
    vault: VaultBytes


class Session(Body, array_like=True, frozen=True):
    """One login of this account: a token by its public handle, never the token itself."""

    handle: Annotated[str, Meta(min_length=16, max_length=16)]
    device_id: DeviceId
    created_at: Milliseconds
    last_used: Milliseconds
    current: bool


class Sessions(Body, array_like=True, frozen=True):
    """All logins of the account."""

    sessions: list[Session]


class RevokeSession(Body, array_like=True, frozen=True):
    """End one login, by its handle."""

    handle: Annotated[str, Meta(min_length=16, max_length=16)]


class LogOutEverywhere(Body, array_like=True, frozen=True):
    """End every session of the account; with `but_this`, all others."""

    but_this: bool
