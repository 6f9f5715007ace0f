"""Who this server is: what registrations and logins are bound to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """The server's name, the pin of its TLS key, and the pin of the key that comes after it.

    `registration` and `invites` say who may register, and who may invite; `lone_vaults` whether a
    generated passphrase may open an account alone (`config`).
    """

    name: str
    pin: bytes
    next_pin: bytes | None
    registration: str
    invites: str = "members"
    lone_vaults: bool = False
