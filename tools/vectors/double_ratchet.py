"""Whole pairwise sessions, with all inputs and every message, for `tools.make_vectors`."""

from __future__ import annotations

import hashlib
from typing import Any, Final
from unittest.mock import patch

from parlour.double_ratchet import (
    LocalDevice,
    PeerSessions,
    PrekeyBundle,
    PrekeyStore,
    kdf,
    ratchet,
)
from parlour.primitives.aead import AesGcm
from parlour.primitives.kem import MlKem1024PublicKey

NOW: Final = 1_800_000_000
DESCRIPTION: Final = (
    "Pairwise sessions of Parlour, version 1. All byte strings are hex. `random` lists the draws "
    "of an operation in order. A step is one message: `message_key` is the output of KDF_CK, the "
    "message what travels. Steps of a session are taken in order; `read_at` says after which step "
    "the receiver reads the message (late messages use a skipped key). `secret` is SK, followed "
    "by the two header keys where headers are encrypted."
)
# Who sends, and after which step the other reads it.
STEPS: Final = (
    ("alice", 0),
    ("alice", 3),
    ("alice", 2),
    ("bob", 3),
    ("bob", 6),
    ("alice", 5),
    ("bob", 6),
    ("alice", 7),
)


class Draws:
    """Randomness from a seed, which remembers what it gave."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._count = 0
        self._taken: list[str] = []

    def __call__(self, size: int) -> bytes:
        """The next `size` bytes."""
        self._count += 1
        value = hashlib.shake_256(f"{self._seed} {self._count}".encode()).digest(size)
        self._taken.append(value.hex())
        return value

    def taken(self) -> list[str]:
        """What was drawn since the last call."""
        taken, self._taken = self._taken, []
        return taken


def make(present: Any) -> Any:
    """The file, with the KEM's values of the file that is there."""
    kems = {session["name"]: session["kem"] for session in (present or {}).get("sessions", [])}
    sessions = [
        _session(
            f"{'pqxdh' if kem else 'x3dh'}{' header encryption' if hidden else ''}",
            kems,
            kem=kem,
            header_encryption=hidden,
        )
        for kem in (True, False)
        for hidden in (False, True)
    ]
    return {"version": 1, "description": DESCRIPTION, "now": NOW, "sessions": sessions}


def _session(name: str, kems: dict[str, Any], *, kem: bool, header_encryption: bool) -> Any:
    draws = Draws(name)
    alice = LocalDevice.generate(draws(16), draws)
    bob = LocalDevice.generate(draws(16), draws, has_kem=kem)
    stores = {"alice": PrekeyStore(alice), "bob": PrekeyStore(bob)}
    for store in stores.values():
        store.maintain(NOW, draws)
    bundle = _bundle(bob, stores["bob"], draws)
    draws.taken()
    ends = {
        "alice": PeerSessions(alice, bob.identity, header_encryption=header_encryption),
        "bob": PeerSessions(bob, alice.identity),
    }
    value: dict[str, Any] = {
        "name": name,
        "alice": _device(alice, stores["alice"]),
        "bob": _device(bob, stores["bob"]),
        "bundle": bundle.to_bytes().hex(),
    }
    recorded = kems.get(name)

    def encapsulate(key: MlKem1024PublicKey) -> tuple[bytes, bytes]:
        nonlocal recorded
        if recorded is None:
            ciphertext, shared = key.encapsulate()
            recorded = {"ciphertext": ciphertext.hex(), "shared_secret": shared.hex()}
        return bytes.fromhex(recorded["ciphertext"]), bytes.fromhex(recorded["shared_secret"])

    ends["alice"].initiate(bundle, NOW, draws, encapsulate=encapsulate)
    session = ends["alice"]._sessions[0]
    value["kem"] = recorded
    value["initiate"] = {
        "random": draws.taken(),
        "suite": session.suite,
        "session_id": session.session_id.hex(),
        "binding": session.binding.hex(),
        "secret": (
            session.ratchet.root_key
            + session.ratchet.next_sending_header_key
            + session.ratchet.next_receiving_header_key
        ).hex(),
    }
    value["steps"] = _steps(ends, stores, draws)
    return value


def _bundle(bob: LocalDevice, store: PrekeyStore, draws: Draws) -> PrekeyBundle:
    """A bundle with one-time prekeys, of which the store keeps no others."""
    store.maintain(NOW, draws, one_time_left=0, one_time_kem_left=0)
    for keys in (store._one_time, store._one_time_kem):
        for id_ in list(keys.secrets)[1:]:
            keys.erase(id_)
    upload = store.publish()
    store.mark_published(upload)
    one_time_kem = upload.one_time_kem[0] if upload.one_time_kem else None
    return PrekeyBundle(bob.identity, upload.signed_prekey, upload.one_time[0], one_time_kem)


def _device(device: LocalDevice, store: PrekeyStore) -> dict[str, Any]:
    return {
        "account_id": device.identity.account_id.hex(),
        "device_id": device.identity.device_id.hex(),
        "signature_key": device.signature_key.to_bytes().hex(),
        "identity_key": device.identity_key.to_bytes().hex(),
        "has_kem": device.identity.has_kem,
        "prekey_store": store.to_bytes().hex(),
    }


def _steps(
    ends: dict[str, PeerSessions], stores: dict[str, PrekeyStore], draws: Draws
) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = []
    for place, (sender, read_at) in enumerate(STEPS):
        plaintext, associated_data = b"message %d" % place, b"data %d" % place
        message = ends[sender].encrypt(plaintext, associated_data, NOW + place, draws)
        steps.append(
            {
                "sender": sender,
                "plaintext": plaintext.hex(),
                "associated_data": associated_data.hex(),
                "random": draws.taken(),
                "message": message.hex(),
                "read_at": read_at,
            }
        )
        for step in steps:
            if step["read_at"] == place:
                receiver = "bob" if step["sender"] == "alice" else "alice"
                step["message_key"] = _read(ends[receiver], stores[receiver], step).hex()
    return steps


def _read(end: PeerSessions, store: PrekeyStore, step: dict[str, Any]) -> bytes:
    """Read the message of a step; its message key."""
    keys: list[bytes] = []

    def derive_seal(key: bytes, salt: bytes, label: bytes) -> tuple[AesGcm, bytes]:
        keys.append(key)
        return kdf.derive_seal(key, salt, label)

    message, data = bytes.fromhex(step["message"]), bytes.fromhex(step["associated_data"])
    with patch.object(ratchet, "derive_seal", derive_seal):
        plaintext = end.decrypt(message, data, store, NOW, bytes).plaintext
    if plaintext.hex() != step["plaintext"]:
        raise RuntimeError("a vector that does not read itself")
    return keys[-1]
