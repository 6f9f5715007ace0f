"""Who this server is: what registrations and logins are bound to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """The server's name, the pin of its TLS key, and the pin of the key that comes after it."""

    name: str
    pin: bytes
    next_pin: bytes | None
    registration: str
