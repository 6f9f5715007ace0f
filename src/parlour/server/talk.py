"""What one connection to the login socket has begun; it ends with the connection.

Each step takes out what the step before left, before it waits for anything: so none runs twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from parlour.login import LoginAttempt


@dataclass(frozen=True, slots=True)
class Registration:
    """A registration between its legs."""

    name: str
    invite: bytes | None
    request: bytes
    response: bytes
    started: int


@dataclass(frozen=True, slots=True)
class RecoveryChallenge:
    """What the owner of a recovery key is to sign."""

    name: str
    nonce: bytes
    started: int


@dataclass(frozen=True, slots=True)
class RecoveredAccount:
    """An account whose recovery key was proved on this connection."""

    account_id: bytes
    name: str
    started: int


@dataclass(frozen=True, slots=True)
class Reset:
    """A new password between its legs."""

    account: RecoveredAccount
    request: bytes
    response: bytes


@dataclass(frozen=True, slots=True)
class Joining:
    """An account whose passphrase was proved here, for a device that is to be added."""

    account_id: bytes
    name: str
    device_id: bytes
    transcript: bytes
    started: int


@dataclass(slots=True)
class LoginTalk:
    """The state of one connection. `address` is the day's name of its address."""

    address: str
    registration: Registration | None = field(default=None, repr=False)
    attempt: LoginAttempt | None = field(default=None, repr=False)
    challenge: RecoveryChallenge | None = field(default=None, repr=False)
    recovered: RecoveredAccount | None = field(default=None, repr=False)
    reset: Reset | None = field(default=None, repr=False)
    joining: Joining | None = field(default=None, repr=False)
