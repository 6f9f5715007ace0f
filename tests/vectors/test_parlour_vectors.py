"""Our published vectors, `vectors/parlour-1`: they are current, and a replay gives the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from parlour.double_ratchet import LocalDevice, PeerSessions, PrekeyBundle, PrekeyStore, Suite
from parlour.double_ratchet.agreement import respond
from parlour.double_ratchet.messages import decode_message
from parlour.primitives.agreement import X25519PrivateKey
from parlour.primitives.signature import Ed25519PrivateKey
from tests.pairs import seeded
from tools import make_vectors

FILES = {
    name: json.loads((make_vectors.FOLDER / name).read_text(encoding="utf-8"))
    for name in make_vectors.MAKERS
}
SESSIONS = FILES["double_ratchet.json"]["sessions"]
EACH = pytest.mark.parametrize("session", SESSIONS, ids=[session["name"] for session in SESSIONS])


@pytest.mark.parametrize("name", make_vectors.MAKERS)
def test_files_are_current(name: str) -> None:
    present = (make_vectors.FOLDER / name).read_text(encoding="utf-8")
    assert present == make_vectors.render(name), "run `make vectors`"


def test_no_two_uses_share_a_label() -> None:
    labels = [label for package in FILES["labels.json"].values() for label in package.values()]
    assert len(set(labels)) == len(labels) > 0
    assert [label for label in labels if not label.startswith("parlour/1 ")] == []


class Player:
    """One side of a vector, made from its private keys."""

    def __init__(self, value: dict[str, Any]) -> None:
        self.value = value
        signature_key = Ed25519PrivateKey(bytes.fromhex(value["signature_key"]))
        identity_key = X25519PrivateKey(bytes.fromhex(value["identity_key"]))
        parts = iter((signature_key.to_bytes(), identity_key.to_bytes()))
        self.local = LocalDevice.generate(
            bytes.fromhex(value["account_id"]), lambda _: next(parts), has_kem=value["has_kem"]
        )
        self.prekeys = PrekeyStore.from_bytes(bytes.fromhex(value["prekey_store"]), self.local)


def draws(values: list[str]) -> Any:
    """Exactly the recorded randomness."""
    left = iter(bytes.fromhex(value) for value in values)

    def draw(size: int) -> bytes:
        value = next(left)
        assert len(value) == size
        return value

    return draw


@EACH
def test_session_replays(session: dict[str, Any]) -> None:
    now = FILES["double_ratchet.json"]["now"]
    alice, bob = Player(session["alice"]), Player(session["bob"])
    assert alice.local.identity.device_id.hex() == session["alice"]["device_id"]
    hidden = Suite(session["initiate"]["suite"]).encrypts_headers
    ends = {
        "alice": PeerSessions(alice.local, bob.local.identity, header_encryption=hidden),
        "bob": PeerSessions(bob.local, alice.local.identity),
    }
    stores = {"alice": alice.prekeys, "bob": bob.prekeys}
    bundle = PrekeyBundle.from_bytes(bytes.fromhex(session["bundle"]), bob.local.identity)
    kem = session["kem"] or {"ciphertext": "", "shared_secret": ""}
    ends["alice"].initiate(
        bundle,
        now,
        draws(session["initiate"]["random"]),
        encapsulate=lambda _: (
            bytes.fromhex(kem["ciphertext"]),
            bytes.fromhex(kem["shared_secret"]),
        ),
    )
    steps = session["steps"]
    for place, step in enumerate(steps):
        message = ends[step["sender"]].encrypt(
            bytes.fromhex(step["plaintext"]),
            bytes.fromhex(step["associated_data"]),
            now,
            draws(step["random"]),
        )
        assert message.hex() == step["message"]
        for earlier in steps[: place + 1]:
            if earlier["read_at"] == place:
                receiver = "bob" if earlier["sender"] == "alice" else "alice"
                decrypted = ends[receiver].decrypt(
                    bytes.fromhex(earlier["message"]),
                    bytes.fromhex(earlier["associated_data"]),
                    stores[receiver],
                    now,
                    seeded("none"),
                )
                assert decrypted.plaintext.hex() == earlier["plaintext"]
                assert decrypted.session_id.hex() == session["initiate"]["session_id"]


@EACH
def test_responder_agrees_on_secret_and_binding(session: dict[str, Any]) -> None:
    alice, bob = Player(session["alice"]), Player(session["bob"])
    first = decode_message(bytes.fromhex(session["steps"][0]["message"])).first
    assert first is not None
    assert first.session_id().hex() == session["initiate"]["session_id"]
    suite = Suite(session["initiate"]["suite"])
    agreed = respond(bob.local, alice.local.identity, suite, bob.prekeys.find(first))
    assert agreed.secret.hex() == session["initiate"]["secret"]
    assert agreed.binding.hex() == session["initiate"]["binding"]
