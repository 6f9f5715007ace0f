"""Values of libsignal's own tests, under its labels: X3DH, the chain key, message keys."""

from __future__ import annotations

from typing import Any

import pytest

from parlour.double_ratchet import (
    DeviceIdentity,
    LocalDevice,
    Suite,
    agreement,
    device_id_of,
    labels,
)
from parlour.double_ratchet.kdf import step_chain
from parlour.double_ratchet.messages import FirstHeader
from parlour.double_ratchet.prekey_store import PrekeySecrets
from parlour.primitives.agreement import X25519PrivateKey
from parlour.primitives.kdf import hkdf
from parlour.primitives.signature import Ed25519PrivateKey
from tests.conftest import load_vector

VALUES: dict[str, dict[str, Any]] = load_vector("signal/libsignal_values.json")


def device(identity_key: bytes) -> LocalDevice:
    """A device with that X25519 key; libsignal has no separate signature key."""
    signature_key = Ed25519PrivateKey(identity_key)
    private = X25519PrivateKey(identity_key)
    identity = DeviceIdentity(
        bytes(16),
        device_id_of(signature_key.public_key),
        signature_key.public_key,
        private.public_key,
        has_kem=False,
    )
    return LocalDevice(identity, signature_key, private)


def test_x3dh_gives_the_root_and_chain_key(monkeypatch: pytest.MonkeyPatch) -> None:
    values = VALUES["x3dh_v3_no_one_time_prekey"]
    keys = {name: bytes.fromhex(value) for name, value in values.items() if name != "note"}
    monkeypatch.setattr(labels, "X3DH_SECRET", b"WhisperText")
    # libsignal takes 64 bytes of one HKDF; a session with encrypted headers takes 96 of it.
    suite = Suite.X3DH_HEADER_ENCRYPTION
    alice, bob = device(keys["aliceIdentityPrivate"]), device(keys["bobIdentityPrivate"])
    signed = X25519PrivateKey(keys["bobSignedPreKeyPrivate"])
    # The values hold no private half of Alice's base key, so they check Bob's side; that Alice's
    # agrees with it is a unit test.
    header = FirstHeader(keys["aliceBasePublic"][1:], 1, None, None)
    secrets = PrekeySecrets(header, b"", signed, None, None)
    received = agreement.respond(bob, alice.identity, suite, secrets)
    assert received.secret[:32] == keys["root_key_recomputed"]
    assert received.secret[32:64] == keys["receiverAndSenderChain"]


def test_chain_key_and_message_keys() -> None:
    values = VALUES["chain_key_v3"]
    next_chain_key, message_key = step_chain(bytes.fromhex(values["seed"]), b"\x02", b"\x01")
    keys = hkdf(message_key, salt=bytes(32), info=b"WhisperMessageKeys", length=80)
    assert next_chain_key.hex() == values["next_chain_key"]
    assert keys[:32].hex() == values["message_key_cipher"]
    assert keys[32:64].hex() == values["message_key_mac"]
    assert keys[64:].hex() == values["message_key_iv"]
