"""What account and device keys sign when an account registers or a device logs in.

Each is one message of the TLS presentation language that begins with its own label, so that no
signature serves for anything else, and names the server, so that none serves elsewhere.
"""

from __future__ import annotations

from parlour.codec import Writer
from parlour.identity import labels


def login_record(
    *, server: str, name: str, account_id: bytes, record_version: int, upload: bytes
) -> bytes:
    """What the account key signs over an OPAQUE record: a server can't swap it for its own."""
    writer = Writer().opaque(labels.LOGIN_RECORD).opaque(server.encode()).opaque(name.encode())
    return writer.opaque(account_id).uint8(record_version).opaque(upload).data()


def registration(
    *, server: str, pin: bytes, name: str, account_id: bytes, transcript: bytes
) -> bytes:
    """What the new device's key signs. `transcript` is the hash of the OPAQUE registration."""
    writer = Writer().opaque(labels.REGISTRATION_PROOF).opaque(server.encode()).opaque(pin)
    return writer.opaque(name.encode()).opaque(account_id).opaque(transcript).data()


def login(*, server: str, pin: bytes, name: str, device_id: bytes, transcript: bytes) -> bytes:
    """What the device's key signs at login. `transcript` is the hash of the OPAQUE messages."""
    writer = Writer().opaque(labels.LOGIN_PROOF).opaque(server.encode()).opaque(pin)
    return writer.opaque(name.encode()).opaque(device_id).opaque(transcript).data()
