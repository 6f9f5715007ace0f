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


def vaults(
    *, server: str, account_id: bytes, number: int, vault: bytes, recovery_vault: bytes
) -> bytes:
    """What the account key signs over new vaults: a stolen token can't replace them.

    `number` counts the account's vaults, so that an older pair is not put back.
    """
    writer = Writer().opaque(labels.VAULTS).opaque(server.encode()).opaque(account_id)
    return writer.uint32(number).opaque(vault).opaque(recovery_vault).data()


def recovery(*, server: str, pin: bytes, name: str, nonce: bytes) -> bytes:
    """What the recovery key's proof key signs. `nonce` is the server's, fresh and used once."""
    writer = Writer().opaque(labels.RECOVERY_CHALLENGE).opaque(server.encode()).opaque(pin)
    return writer.opaque(name.encode()).opaque(nonce).data()


def reset(*, server: str, pin: bytes, name: str, device_id: bytes, transcript: bytes) -> bytes:
    """What a device signs to log in by a new password. `transcript` is that registration's."""
    writer = Writer().opaque(labels.RESET_PROOF).opaque(server.encode()).opaque(pin)
    return writer.opaque(name.encode()).opaque(device_id).opaque(transcript).data()


def join(*, server: str, pin: bytes, name: str, device_id: bytes, transcript: bytes) -> bytes:
    """What a new device signs to join by a passphrase alone. `transcript` is that login's."""
    writer = Writer().opaque(labels.JOIN_PROOF).opaque(server.encode()).opaque(pin)
    return writer.opaque(name.encode()).opaque(device_id).opaque(transcript).data()


def link(*, server: str, pin: bytes, mailbox: bytes, device_id: bytes) -> bytes:
    """What a new device signs to use a mailbox: the token that comes through it is for its key."""
    writer = Writer().opaque(labels.LINK_PROOF).opaque(server.encode()).opaque(pin)
    return writer.opaque(mailbox).opaque(device_id).data()
