"""The least that an operation can cost: fixed lists of calls of bare primitives.

Each call names the section that asks for it. The calls go to the library itself, past our own
wrappers, with inputs made beforehand; nothing is encoded, looked up or checked.
"""

from __future__ import annotations

import hmac
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM1024PrivateKey, MLKEM1024PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


@dataclass(frozen=True, slots=True)
class Call:
    """One call: what it is, which section asks for it, how often."""

    what: str
    section: str
    run: Callable[[], object]
    times: int = 1


@dataclass(frozen=True, slots=True)
class Floor:
    """All calls of an operation."""

    op: str
    n: int
    calls: tuple[Call, ...]

    def time(self, count: int) -> list[float]:
        """Run the calls `count` times; microseconds each."""
        runs = [call.run for call in self.calls for _ in range(call.times)] * self.n
        samples = []
        for _ in range(count):
            start = time.perf_counter_ns()
            for run in runs:
                run()
            samples.append((time.perf_counter_ns() - start) / 1_000)
        return samples


def _hmac() -> bytes:
    return hmac.digest(_KEY, _LABEL, "sha256")


def _key_pair() -> bytes:
    return X25519PrivateKey.generate().public_key().public_bytes_raw()


_KEY = bytes(range(32))
_LABEL = b"parlour/1 double-ratchet something"
_NONCE, _AD, _TEXT = bytes(12), bytes(100), bytes(256)
_PAIR = X25519PrivateKey.generate()
_PUBLIC = X25519PrivateKey.generate().public_key()
_PUBLIC_BYTES = _PUBLIC.public_bytes_raw()
_KEM = MLKEM1024PrivateKey.generate()
_KEM_PUBLIC = _KEM.public_key()
_KEM_BYTES = _KEM_PUBLIC.public_bytes_raw()
_KEM_CIPHERTEXT = _KEM_PUBLIC.encapsulate()[1]
_SIGNER = Ed25519PrivateKey.generate()
_SIGNATURE = _SIGNER.sign(_KEY)
_VERIFIER = _SIGNER.public_key()
_SEALED = AESGCM(_KEY).encrypt(_NONCE, _TEXT, _AD)


def _parse() -> object:
    return X25519PublicKey.from_public_bytes(_PUBLIC_BYTES)


# One message key: KDF_CK is two HMACs; HKDF to 44 bytes is one to extract and two to expand.
_CHAIN = (
    Call("HMAC-SHA256: KDF_CK", "Double Ratchet §5.2", _hmac, 2),
    Call("HMAC-SHA256: HKDF of key and nonce", "RFC 5869 §2, 44 bytes", _hmac, 3),
)
_SEAL = (
    *_CHAIN,
    Call("random salt", "design: salted message keys", lambda: os.urandom(16)),
    Call("AES-256-GCM", "SP 800-38D", lambda: AESGCM(_KEY).encrypt(_NONCE, _TEXT, _AD)),
)
_OPEN = (
    *_CHAIN,
    Call("AES-256-GCM", "SP 800-38D", lambda: AESGCM(_KEY).decrypt(_NONCE, _SEALED, _AD)),
)
_ROOT = Call("HMAC-SHA256: KDF_RK", "Double Ratchet §5.2, RFC 5869 §2, 64 bytes", _hmac, 3)
_DH = Call("X25519", "Double Ratchet §3.5 DHRatchet", lambda: _PAIR.exchange(_PUBLIC))
_SENDING_TURN = (Call("key pair", "Double Ratchet §3.5 DHRatchet", _key_pair), _DH, _ROOT)
_RECEIVING_TURN = (Call("public key", "Double Ratchet §3.5 DHRatchet", _parse), _DH, _ROOT)

FLOORS: tuple[Floor, ...] = (
    Floor(
        "initiate",
        1,
        (
            Call(
                "Ed25519 verify: one signature for all prekeys",
                "PQXDH §3.3",
                lambda: _VERIFIER.verify(_SIGNATURE, _KEY),
            ),
            Call("ephemeral key pair", "PQXDH §3.3", _key_pair),
            Call("public keys: signed and one-time prekey", "PQXDH §3.3", _parse, 2),
            Call("X25519: DH1 to DH4", "PQXDH §3.3", lambda: _PAIR.exchange(_PUBLIC), 4),
            Call(
                "ML-KEM-1024 public key",
                "FIPS 203 §7.2",
                lambda: MLKEM1024PublicKey.from_public_bytes(_KEM_BYTES),
            ),
            Call("ML-KEM-1024 encapsulate", "PQXDH §3.3", _KEM_PUBLIC.encapsulate),
            Call("HMAC-SHA256: HKDF of SK", "PQXDH §2.2", _hmac, 2),
            *_SENDING_TURN,
            *_SEAL,
        ),
    ),
    Floor(
        "respond",
        1,
        (
            Call("public key: ephemeral key", "PQXDH §3.4", _parse),
            Call("X25519: DH1 to DH4", "PQXDH §3.4", lambda: _PAIR.exchange(_PUBLIC), 4),
            Call(
                "ML-KEM-1024 decapsulate", "PQXDH §3.4", lambda: _KEM.decapsulate(_KEM_CIPHERTEXT)
            ),
            Call("HMAC-SHA256: HKDF of SK", "PQXDH §2.2", _hmac, 2),
            *_RECEIVING_TURN,
            *_OPEN,
        ),
    ),
    Floor("round", 1, (*_SENDING_TURN, *_SEAL, *_RECEIVING_TURN, *_OPEN)),
    Floor("encrypt", 1, _SEAL),
    Floor("decrypt", 1, _OPEN),
    Floor("fan-out", 100, _SEAL),
    Floor("batch", 100, _SEAL),
)
