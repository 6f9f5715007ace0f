"""PyPI X3DH and DoubleRatchet against ours.

X3DH: the shared secret, in both roles. DoubleRatchet: its state machine with our key derivations
and our AEAD plugged in speaks with our ratchet over our wire format, both ways, with losses and
late messages; so the order of steps, counters and skipped keys is compared, not the labels.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

import pytest

from parlour.double_ratchet import (
    DeviceIdentity,
    LocalDevice,
    Prekey,
    PrekeyBundle,
    PrekeyKind,
    Suite,
    agreement,
    labels,
)
from parlour.double_ratchet.headers import Header
from parlour.double_ratchet.kdf import derive_seal, step_chain, step_root
from parlour.double_ratchet.messages import (
    FirstHeader,
    decode_message,
    encode_message,
    encode_prefix,
)
from parlour.double_ratchet.prekey_store import PrekeySecrets
from parlour.double_ratchet.ratchet import Ratchet
from parlour.primitives.agreement import X25519PrivateKey, X25519PublicKey
from tests.pairs import NOW, seeded

doubleratchet = pytest.importorskip("doubleratchet", reason="PyPI DoubleRatchet is absent")
x3dh = pytest.importorskip("x3dh", reason="PyPI X3DH is absent")
xeddsa = pytest.importorskip("xeddsa", reason="PyPI XEdDSA is absent")
curve = pytest.importorskip("doubleratchet.recommended.diffie_hellman_ratchet_curve25519")

BINDING = bytes(range(32))
LABEL = b"interop x3dh"


def on_own_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test of the peer's coroutines, which wait for nothing, on a loop of its own."""

    @wraps(test)
    def run(*arguments: Any, **options: Any) -> None:
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(test(*arguments, **options))
        finally:
            loop.close()

    return run


# --- X3DH ---


class State(x3dh.BaseState):  # type: ignore[misc, name-defined]
    @staticmethod
    def _encode_public_key(key_format: Any, pub: bytes) -> bytes:
        return pub


def peer_state() -> Any:
    state = State.create(x3dh.IdentityKeyFormat.CURVE_25519, x3dh.HashFunction.SHA_256, LABEL)
    state.generate_pre_keys(1)
    return state


def prekey(kind: PrekeyKind, public_key: bytes) -> Prekey:
    return Prekey(kind, 1, 0, public_key, 0, b"", bytes(64))


@on_own_loop
async def test_x3dh_initiated_by_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "X3DH_SECRET", LABEL)
    ours = LocalDevice.generate(bytes(16), seeded("ours"))
    theirs = peer_state()
    (one_time,) = theirs.bundle.pre_keys
    other = LocalDevice.generate(bytes(16), seeded("other")).identity
    identity = DeviceIdentity(
        other.account_id,
        other.device_id,
        other.signature_key,
        X25519PublicKey(theirs.bundle.identity_key),
        has_kem=False,
    )
    bundle = PrekeyBundle(
        identity,
        prekey(PrekeyKind.X25519_SIGNED, theirs.bundle.signed_pre_key),
        prekey(PrekeyKind.X25519_ONE_TIME, one_time),
        None,
    )
    agreed = agreement.initiate(ours, bundle, header_encryption=False, random=os.urandom)
    secret, _, _ = await theirs.get_shared_secret_passive(
        x3dh.Header(
            ours.identity.identity_key.to_bytes(),
            agreed.header.ephemeral_key,
            theirs.bundle.signed_pre_key,
            one_time,
        )
    )
    assert agreed.secret == secret


@on_own_loop
async def test_x3dh_initiated_by_the_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "X3DH_SECRET", LABEL)
    ours = LocalDevice.generate(bytes(16), seeded("ours"))
    signed, one_time = (X25519PrivateKey.generate() for _ in range(2))
    public = signed.public_key.to_bytes()
    # XEdDSA fixes the sign of the Ed25519 key to 0, and the signing key with it.
    key = xeddsa.priv_force_sign(ours.identity_key.to_bytes(), False)
    signature = xeddsa.ed25519_priv_sign(key, public)
    theirs = peer_state()
    secret, _, header = await theirs.get_shared_secret_active(
        x3dh.Bundle(
            ours.identity.identity_key.to_bytes(),
            public,
            signature,
            frozenset((one_time.public_key.to_bytes(),)),
        )
    )
    other = LocalDevice.generate(bytes(16), seeded("other")).identity
    identity = DeviceIdentity(
        other.account_id,
        other.device_id,
        other.signature_key,
        X25519PublicKey(header.identity_key),
        has_kem=False,
    )
    first = FirstHeader(header.ephemeral_key, 1, 1, None)
    secrets = PrekeySecrets(first, b"", signed, one_time, None)
    assert agreement.respond(ours, identity, Suite.X3DH, secrets).secret == secret


# --- Double Ratchet ---


class RootChain(doubleratchet.KDF):  # type: ignore[misc, name-defined]
    @staticmethod
    async def derive(key: bytes, data: bytes, length: int) -> bytes:
        return step_root(key, data, length)


class MessageChain(doubleratchet.KDF):  # type: ignore[misc, name-defined]
    @staticmethod
    async def derive(key: bytes, data: bytes, length: int) -> bytes:
        assert length == 64
        return b"".join(step_chain(key))


class Aead(doubleratchet.AEAD):  # type: ignore[misc, name-defined]
    @staticmethod
    async def encrypt(plaintext: bytes, key: bytes, associated_data: bytes) -> bytes:
        salt = os.urandom(16)
        cipher, nonce = derive_seal(key, salt, labels.MESSAGE_SEAL)
        return salt + cipher.seal(nonce, plaintext, associated_data + salt)

    @staticmethod
    async def decrypt(ciphertext: bytes, key: bytes, associated_data: bytes) -> bytes:
        salt, rest = ciphertext[:16], ciphertext[16:]
        cipher, nonce = derive_seal(key, salt, labels.MESSAGE_SEAL)
        return cipher.open(nonce, rest, associated_data + salt)


def to_header(header: Any) -> bytes:
    return Header(
        header.ratchet_pub, header.previous_sending_chain_length, header.sending_chain_length
    ).to_bytes()


class PeerRatchet(doubleratchet.DoubleRatchet):  # type: ignore[misc, name-defined]
    @staticmethod
    def _build_associated_data(associated_data: bytes, header: Any) -> bytes:
        return associated_data + encode_prefix(Suite.X3DH, None, to_header(header), b"")


CONFIGURATION: dict[str, Any] = {
    "diffie_hellman_ratchet_class": curve.DiffieHellmanRatchet,
    "root_chain_kdf": RootChain,
    "message_chain_kdf": MessageChain,
    "message_chain_constant": b"",
    "dos_protection_threshold": 100,
    "max_num_skipped_message_keys": 100,
    "aead": Aead,
}


def to_wire(message: Any) -> bytes:
    salt, ciphertext = message.ciphertext[:16], message.ciphertext[16:]
    prefix = encode_prefix(Suite.X3DH, None, to_header(message.header), salt)
    return encode_message(prefix, ciphertext)


def from_wire(data: bytes) -> Any:
    message = decode_message(data)
    header = Header.from_bytes(message.header)
    return doubleratchet.EncryptedMessage(
        doubleratchet.Header(header.ratchet_key, header.previous_chain_length, header.number),
        message.salt + message.ciphertext,
    )


class Ours:
    def __init__(self, ratchet: Ratchet) -> None:
        self.ratchet = ratchet

    async def send(self, text: bytes) -> bytes:
        return self.ratchet.encrypt([(text, b"")], Suite.X3DH, None, BINDING, os.urandom)[0]

    async def read(self, data: bytes) -> bytes:
        opened = self.ratchet.open(decode_message(data), BINDING, b"", NOW)
        self.ratchet.commit(opened, NOW)
        return opened.plaintext


class Theirs:
    def __init__(self, ratchet: Any) -> None:
        self.ratchet = ratchet

    async def send(self, text: bytes) -> bytes:
        return to_wire(await self.ratchet.encrypt_message(text, BINDING))

    async def read(self, data: bytes) -> bytes:
        return bytes(await self.ratchet.decrypt_message(from_wire(data), BINDING))


async def start(*, we_initiate: bool) -> tuple[Ours, Theirs]:
    secret = os.urandom(32)
    signed = X25519PrivateKey.generate()
    if we_initiate:
        ours = Ours(Ratchet.initiate(secret, signed.public_key))
        ratchet, text = await PeerRatchet.decrypt_initial_message(
            shared_secret=secret,
            own_ratchet_priv=signed.to_bytes(),
            message=from_wire(await ours.send(b"first")),
            associated_data=BINDING,
            **CONFIGURATION,
        )
        assert text == b"first"
        return ours, Theirs(ratchet)
    ratchet, message = await PeerRatchet.encrypt_initial_message(
        shared_secret=secret,
        recipient_ratchet_pub=signed.public_key.to_bytes(),
        message=b"first",
        associated_data=BINDING,
        **CONFIGURATION,
    )
    ours = Ours(Ratchet.respond(secret, signed))
    assert await ours.read(to_wire(message)) == b"first"
    return ours, Theirs(ratchet)


@pytest.mark.parametrize("we_initiate", [True, False])
@pytest.mark.parametrize("seed", range(5))
@on_own_loop
async def test_ratchets_speak_with_each_other(we_initiate: bool, seed: int) -> None:
    ours, theirs = await start(we_initiate=we_initiate)
    choose = random.Random(seed)
    late: list[tuple[Ours | Theirs, bytes, bytes]] = []
    for turn in range(30):
        sender, receiver = (ours, theirs) if choose.random() < 0.5 else (theirs, ours)
        for place in range(choose.randrange(1, 4)):
            text = b"%d.%d" % (turn, place)
            message = await sender.send(text)
            if choose.random() < 0.25:
                late.append((receiver, message, text))
            else:
                assert await receiver.read(message) == text
    choose.shuffle(late)
    assert late
    for receiver, message, text in late:
        assert await receiver.read(message) == text
