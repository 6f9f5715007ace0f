"""Signatures of devices: under a label, by a key that its id names."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from parlour.codec import Writer
from parlour.errors import AuthenticationError, Code, SecurityStop, UsageError
from parlour.primitives.hashes import equal, sha256
from parlour.primitives.signature import Ed25519PrivateKey, Ed25519PublicKey
from parlour.roster.limits import ID_SIZE

FindKey: TypeAlias = Callable[[bytes, bytes], Ed25519PublicKey | None]
"""Of account and device, the key on the account's signed list; None for one that is not known."""


def nobody_known(_account: bytes, _device: bytes) -> Ed25519PublicKey | None:
    """The `FindKey` of who knows nobody."""
    return None


def device_id_of(key: Ed25519PublicKey) -> bytes:
    """A device's id: the first 16 bytes of SHA-256 of its Ed25519 key."""
    return sha256(key.to_bytes())[:ID_SIZE]


def sign(label: bytes, content: bytes, device: bytes, key: Ed25519PrivateKey) -> bytes:
    """The signature of `device`, 64 bytes; raises `UsageError` if the key is another device's."""
    if device_id_of(key.public_key) != device:
        raise UsageError(Code.USAGE_INVALID, "the key of another device")
    return sign_by_key(label, content, key)


def sign_by_key(label: bytes, content: bytes, key: Ed25519PrivateKey) -> bytes:
    """The signature of a key that is no device's, 64 bytes."""
    return key.sign(_to_be_signed(label, content))


def verify(
    label: bytes, content: bytes, device: bytes, key: Ed25519PublicKey | None, signature: bytes
) -> None:
    """Return if `device`, whose key this is, has signed `content`; else raise `SecurityStop`."""
    if key is None:
        raise SecurityStop(Code.ROSTER_INVALID, "signed by a device that is not known")
    if not equal(device_id_of(key), device):
        raise SecurityStop(Code.ROSTER_INVALID, "the key of another device")
    verify_by_key(label, content, key, signature)


def verify_by_key(label: bytes, content: bytes, key: Ed25519PublicKey, signature: bytes) -> None:
    """Return if `key` has signed `content`, else raise `SecurityStop`."""
    try:
        key.verify(signature, _to_be_signed(label, content))
    except AuthenticationError as error:
        raise SecurityStop(Code.ROSTER_INVALID, "a signature does not verify") from error


def _to_be_signed(label: bytes, content: bytes) -> bytes:
    return Writer().opaque(label).opaque(content).data()
