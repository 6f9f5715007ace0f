"""Who a device is: its ids and its two long-term keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from parlour.codec import Writer
from parlour.errors import AuthenticationError, Code, UsageError
from parlour.primitives.agreement import X25519PrivateKey, X25519PublicKey
from parlour.primitives.hashes import equal, sha256
from parlour.primitives.random import Random
from parlour.primitives.signature import Ed25519PrivateKey, Ed25519PublicKey

ID_SIZE: Final = 16


def device_id_of(signature_key: Ed25519PublicKey) -> bytes:
    """The id of the device with that key: the first 16 bytes of its SHA-256."""
    return sha256(signature_key.to_bytes())[:ID_SIZE]


@dataclass(frozen=True, slots=True)
class DeviceIdentity:
    """What everybody knows of a device, from its account's signed device list.

    `has_kem` says that the device publishes ML-KEM-1024 prekeys: a bundle without one is then a
    downgrade. The two keys are apart, so that no key both signs and agrees (PQXDH §4).

    ::

        struct {
            opaque account_id[16];
            opaque device_id[16];
            opaque signature_key[32];
            opaque identity_key[32];
        } BoundIdentity;
    """

    account_id: bytes
    device_id: bytes
    signature_key: Ed25519PublicKey
    identity_key: X25519PublicKey
    has_kem: bool

    def __post_init__(self) -> None:
        if len(self.account_id) != ID_SIZE:
            raise UsageError(Code.USAGE_INVALID, "an account id has 16 bytes")
        if not equal(self.device_id, device_id_of(self.signature_key)):
            raise AuthenticationError(Code.CRYPTO_KEY, "the device id is not its key's")

    def write_bound(self, writer: Writer) -> None:
        """Write `BoundIdentity`, which goes into the associated data of every message."""
        writer.fixed(self.account_id, ID_SIZE).fixed(self.device_id, ID_SIZE)
        writer.fixed(self.signature_key.to_bytes(), 32).fixed(self.identity_key.to_bytes(), 32)


@dataclass(frozen=True, slots=True)
class LocalDevice:
    """This device: its identity with the private halves."""

    identity: DeviceIdentity
    signature_key: Ed25519PrivateKey
    identity_key: X25519PrivateKey

    def __post_init__(self) -> None:
        if (
            self.signature_key.public_key != self.identity.signature_key
            or self.identity_key.public_key != self.identity.identity_key
        ):
            raise UsageError(Code.USAGE_INVALID, "the private keys are not the identity's")

    @classmethod
    def generate(cls, account_id: bytes, random: Random, *, has_kem: bool = True) -> Self:
        """Make the keys of a new device of `account_id`."""
        signature_key = Ed25519PrivateKey.generate(random)
        identity_key = X25519PrivateKey.generate(random)
        identity = DeviceIdentity(
            account_id=account_id,
            device_id=device_id_of(signature_key.public_key),
            signature_key=signature_key.public_key,
            identity_key=identity_key.public_key,
            has_kem=has_kem,
        )
        return cls(identity, signature_key, identity_key)
