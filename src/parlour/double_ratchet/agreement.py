"""X3DH and PQXDH: one message, and both sides have a secret.

Spec: X3DH §3.3–3.4, PQXDH §3.3–3.4 (revision 2), Double Ratchet §5.1, §4.4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from parlour.codec import Writer
from parlour.double_ratchet import labels
from parlour.double_ratchet.identity import DeviceIdentity, LocalDevice
from parlour.double_ratchet.kdf import KEY_SIZE, agreed_secret
from parlour.double_ratchet.messages import VERSION, FirstHeader, KemPart, Suite
from parlour.double_ratchet.prekey_store import PrekeySecrets
from parlour.double_ratchet.prekeys import PrekeyBundle
from parlour.primitives.agreement import X25519PrivateKey, X25519PublicKey
from parlour.primitives.hashes import sha256
from parlour.primitives.kem import MlKem1024PublicKey
from parlour.primitives.random import Random

Encapsulate: TypeAlias = Callable[[MlKem1024PublicKey], tuple[bytes, bytes]]


class Agreed:
    """What an agreement gives: the secret (SK, and two header keys), and what it is bound to."""

    __slots__ = ("binding", "header", "secret", "suite")

    def __init__(self, suite: Suite, header: FirstHeader, secret: bytes, binding: bytes) -> None:
        self.suite = suite
        self.header = header
        self.secret = secret
        self.binding = binding

    def __repr__(self) -> str:
        return f"Agreed({self.suite.name}, [secret])"


def initiate(
    local: LocalDevice,
    bundle: PrekeyBundle,
    *,
    header_encryption: bool,
    random: Random,
    encapsulate: Encapsulate = MlKem1024PublicKey.encapsulate,
) -> Agreed:
    """Alice's side, with a bundle that has been verified."""
    ephemeral = X25519PrivateKey.generate(random)
    signed = bundle.signed_prekey.x25519()
    dh = [
        local.identity_key.exchange(signed),
        ephemeral.exchange(bundle.identity.identity_key),
        ephemeral.exchange(signed),
    ]
    one_time = bundle.one_time_prekey
    if one_time is not None:
        dh.append(ephemeral.exchange(one_time.x25519()))
    kem, kem_key = None, b""
    if bundle.kem_prekey is not None:
        kem_key = bundle.kem_prekey.public_key
        ciphertext, shared = encapsulate(bundle.kem_prekey.mlkem())
        kem = KemPart(bundle.kem_prekey.kind, bundle.kem_prekey.id, ciphertext)
        dh.append(shared)
    header = FirstHeader(
        ephemeral.public_key.to_bytes(),
        bundle.signed_prekey.id,
        None if one_time is None else one_time.id,
        kem,
    )
    suite = Suite.choose(has_kem=kem is not None, header_encryption=header_encryption)
    binding = bind(suite, local.identity, bundle.identity, header, kem_key)
    return Agreed(suite, header, _secret(suite, dh), binding)


def respond(
    local: LocalDevice, peer: DeviceIdentity, suite: Suite, secrets: PrekeySecrets
) -> Agreed:
    """Bob's side. Nothing is authenticated until a message verifies under the secret."""
    header = secrets.header
    ephemeral = X25519PublicKey(header.ephemeral_key)
    dh = [
        secrets.signed.exchange(peer.identity_key),
        local.identity_key.exchange(ephemeral),
        secrets.signed.exchange(ephemeral),
    ]
    if secrets.one_time is not None:
        dh.append(secrets.one_time.exchange(ephemeral))
    kem_key = b""
    if header.kem is not None and secrets.kem is not None:
        kem_key = secrets.kem.public_key.to_bytes()
        dh.append(secrets.kem.decapsulate(header.kem.ciphertext))
    binding = bind(suite, peer, local.identity, header, kem_key)
    return Agreed(suite, header, _secret(suite, dh), binding)


def _secret(suite: Suite, secrets: list[bytes]) -> bytes:
    label = labels.PQXDH_SECRET if suite.has_kem else labels.X3DH_SECRET
    length = 3 * KEY_SIZE if suite.encrypts_headers else KEY_SIZE
    return agreed_secret(b"".join(secrets), label, length)


def bind(
    suite: Suite,
    initiator: DeviceIdentity,
    responder: DeviceIdentity,
    header: FirstHeader,
    kem_key: bytes,
) -> bytes:
    """AD: the hash of all that a session's messages are bound to, 32 bytes.

    ::

        struct {
            uint8 version;
            Suite suite;
            BoundIdentity initiator, responder;
            FirstHeader header;              /* all prekey ids */
            opaque kem_key_hash<V>;          /* SHA-256 of the KEM prekey, or empty */
        } SessionBinding;

    The KEM prekey is in it against re-encapsulation to another key (PQXDH §4.12); the ids against
    a peer's key passed off as another's (X3DH §4.8).
    """
    writer = Writer().uint8(VERSION).uint8(suite)
    initiator.write_bound(writer)
    responder.write_bound(writer)
    writer.opaque(header.to_bytes()).opaque(sha256(kem_key) if kem_key else b"")
    return sha256(labels.SESSION_BINDING + writer.data())
