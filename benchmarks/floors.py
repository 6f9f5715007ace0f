"""The least that an operation can cost: fixed lists of calls of bare primitives.

Each call names the section that asks for it. The calls go to the library itself, past our own
wrappers, with inputs made beforehand; nothing is encoded, looked up or checked.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM1024PrivateKey, MLKEM1024PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite


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


# --- Groups: RFC 9420 with suite 1 ---
#
# Of a group of `n` members, the tree of which was made by one commit (fresh) or has all inner nodes
# filled (warm). Number 0 commits, the last member processes: they have the root alone in common.

_HPKE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)
_INFO = bytes(32)
_HPKE_KEY = X25519PrivateKey.generate()
_HPKE_TO_US = _HPKE.encrypt(_KEY, _HPKE_KEY.public_key(), _INFO)
_PRIVATE_BYTES = bytes(range(32))
_VERIFIER_BYTES = _VERIFIER.public_bytes_raw()
# A leaf of the benchmark in a tree and in an Add: what grows with the group.
_LEAF_SIZE = 225
_ADD_SIZE = 331
# A sealed path secret: KEM output, ciphertext, and their lengths.
_SEALED_SIZE = 83


def _sign(size: int) -> Callable[[], object]:
    message = bytes(size)
    return lambda: _SIGNER.sign(message)


def _verify(size: int) -> Callable[[], object]:
    message = bytes(size)
    signature = _SIGNER.sign(message)
    return lambda: _VERIFIER.verify(signature, message)


def _sha256(size: int = 200) -> Callable[[], object]:
    message = bytes(size)
    return lambda: hashlib.sha256(message).digest()


def _derived_pair() -> bytes:
    return X25519PrivateKey.from_private_bytes(_PRIVATE_BYTES).public_key().public_bytes_raw()


def _seal_gcm(size: int) -> Callable[[], object]:
    plaintext = bytes(size)
    return lambda: AESGCM(_KEY[:16]).encrypt(_NONCE, plaintext, b"")


def _open_gcm(size: int) -> Callable[[], object]:
    sealed = AESGCM(_KEY[:16]).encrypt(_NONCE, bytes(size), b"")
    return lambda: AESGCM(_KEY[:16]).decrypt(_NONCE, sealed, b"")


def _hmac_of(size: int) -> Callable[[], object]:
    message = bytes(size)
    return lambda: hmac.digest(_KEY, message, "sha256")


def _parse_signature_key() -> object:
    return Ed25519PublicKey.from_public_bytes(_VERIFIER_BYTES)


def _epoch(size: int = 500) -> tuple[Call, ...]:
    """What every commit of `size` bytes costs both sides."""
    return (
        Call("hashes of the transcript", "RFC 9420 §8.2", _sha256(size)),
        Call("interim hash of the transcript", "RFC 9420 §8.2", _sha256()),
        Call("HMAC: extract, joiner, extract, epoch", "RFC 9420 §8", _hmac, 4),
        Call("HMAC: nine secrets of the epoch", "RFC 9420 §8 table 4", _hmac, 9),
        Call("HMAC: confirmation tag", "RFC 9420 §6.1", _hmac),
        Call("HMAC: membership tag", "RFC 9420 §6.2", _hmac_of(size)),
    )


def _tree_hashes(count: int) -> Call:
    return Call("tree hashes", "RFC 9420 §7.8", _sha256(), count)


def _key_packages(count: int) -> tuple[Call, ...]:
    return (
        Call("public keys: init_key, encryption_key", "RFC 9420 §10.1", _parse, 2 * count),
        Call("signature key", "RFC 9420 §10.1", _parse_signature_key, count),
        Call("verify KeyPackage and LeafNode", "RFC 9420 §7.3, §10.1", _verify(250), 2 * count),
    )


def _welcome(added: int, members: int) -> tuple[Call, ...]:
    size = _LEAF_SIZE * members
    return (
        Call("sign GroupInfo, which holds the tree", "RFC 9420 §12.4.3", _sign(size)),
        Call("HMAC: welcome secret, key, nonce", "RFC 9420 §12.4.3.1", _hmac, 3),
        Call("AES-GCM of GroupInfo", "RFC 9420 §12.4.3.1", _seal_gcm(size)),
        Call("HPKE: hash of the info, which holds it", "RFC 9180 §5.1", _hmac_of(size)),
        Call("KeyPackageRef", "RFC 9420 §5.2", _sha256(_ADD_SIZE), added),
        _seals(added),
    )


def _seals(count: int) -> Call:
    return Call(
        "HPKE seal", "RFC 9420 §7.6, §12.4.3.1", lambda: _HPKE.encrypt(_KEY, _PUBLIC, _INFO), count
    )


def _path(depth: int, seals: int) -> tuple[Call, ...]:
    return (
        Call("leaf key pair", "RFC 9420 §7.5", _key_pair),
        Call("HMAC: path_secret, node_secret", "RFC 9420 §7.4", _hmac, 2 * depth),
        Call("HMAC: DeriveKeyPair", "RFC 9180 §7.1.3", _hmac, 2 * depth),
        Call("X25519 key pair", "RFC 9180 §7.1.3", _derived_pair, depth),
        Call("parent hashes", "RFC 9420 §7.9", _sha256(), depth),
        _tree_hashes(depth + 1),
        Call("sign LeafNode", "RFC 9420 §7.2", _sign(200)),
        Call("sign FramedContent", "RFC 9420 §6.1", _sign(_SEALED_SIZE * seals + 500)),
        _seals(seals),
    )


def _followed_path(depth: int, size: int) -> tuple[Call, ...]:
    return (
        Call("verify FramedContent", "RFC 9420 §6.1", _verify(size)),
        Call("signature key, leaf key", "RFC 9420 §7.3", _parse_signature_key),
        Call("public keys of leaf and path", "RFC 9420 §7.5", _parse, depth + 1),
        Call("verify LeafNode", "RFC 9420 §7.3", _verify(200)),
        Call("parent hashes", "RFC 9420 §7.9.2", _sha256(), depth),
        _tree_hashes(depth + 1),
        Call("HPKE open", "RFC 9420 §7.5", lambda: _HPKE.decrypt(_HPKE_TO_US, _HPKE_KEY, _INFO)),
        Call("HMAC: node_secret, path_secret, DeriveKeyPair", "RFC 9420 §7.4", _hmac, 4),
        Call("X25519 key pair of the root", "RFC 9420 §7.5", _derived_pair),
    )


_MESSAGE_KEYS = (
    Call("HMAC: key, nonce, next secret", "RFC 9420 §9.1", _hmac, 3),
    Call("HMAC: sender data key and nonce", "RFC 9420 §6.3.2", _hmac, 2),
)


def group_floors(n: int) -> tuple[Floor, ...]:
    """The floor of each operation on a group of `n`, of at least two."""
    depth = (n - 1).bit_length()
    tree, adds = _LEAF_SIZE * n, _ADD_SIZE * n
    fresh = _SEALED_SIZE * n + 500
    content = Call("sign FramedContent", "RFC 9420 §6.1", _sign(adds))
    creation = (
        Call("leaf key pair", "RFC 9420 §11", _key_pair),
        Call("sign LeafNode", "RFC 9420 §7.2", _sign(200)),
        Call("HMAC: nine secrets of the first epoch", "RFC 9420 §11", _hmac, 10),
        *_key_packages(n - 1),
        content,
        _tree_hashes(2 * n),
        *_epoch(adds),
        *_welcome(n - 1, n),
    )
    joining = (
        Call("HPKE: hash of the info", "RFC 9180 §5.1", _hmac_of(tree)),
        Call(
            "HPKE open", "RFC 9420 §12.4.3.1", lambda: _HPKE.decrypt(_HPKE_TO_US, _HPKE_KEY, _INFO)
        ),
        Call("HMAC: member, welcome, key, nonce, epoch", "RFC 9420 §8", _hmac, 5),
        Call("AES-GCM of GroupInfo", "RFC 9420 §12.4.3.1", _open_gcm(tree)),
        Call("verify GroupInfo, which holds the tree", "RFC 9420 §12.4.3.1", _verify(tree)),
        Call("signature keys", "RFC 9420 §7.3", _parse_signature_key, n),
        Call("encryption keys", "RFC 9420 §7.3", _parse, n),
        Call("verify LeafNode", "RFC 9420 §12.4.3.1", _verify(200), n),
        _tree_hashes(2 * n - 1),
        Call("HMAC: nine secrets, confirmation tag", "RFC 9420 §8", _hmac, 10),
        Call("interim hash of the transcript", "RFC 9420 §8.2", _sha256()),
    )
    one = (*_key_packages(1), _tree_hashes(depth + 1), *_epoch())
    calls: dict[str, tuple[Call, ...]] = {
        "create": creation,
        "join": joining,
        "add": (*one, Call("sign FramedContent", "RFC 9420 §6.1", _sign(600)), *_welcome(1, n)),
        "process_add": (*one, Call("verify FramedContent", "RFC 9420 §6.1", _verify(600))),
        "update_fresh": (*_path(depth, n - 1), *_epoch(fresh)),
        "update_warm": (*_path(depth, depth), *_epoch(_SEALED_SIZE * depth + 500)),
        "process_update_warm": (*_followed_path(depth, 1500), *_epoch(1500)),
        "remove": (*_path(depth, max(n - 2, 0)), *_epoch(fresh)),
        "process_remove": (*_followed_path(depth, fresh), *_epoch(fresh)),
        "encrypt": (
            Call("sign FramedContent", "RFC 9420 §6.1", _sign(600)),
            *_MESSAGE_KEYS,
            Call("reuse guard", "RFC 9420 §6.3.1", lambda: os.urandom(4)),
            Call("AES-GCM of the content", "RFC 9420 §6.3.1", _seal_gcm(330)),
            Call("AES-GCM of the sender data", "RFC 9420 §6.3.2", _seal_gcm(12)),
        ),
        "decrypt": (
            *_MESSAGE_KEYS,
            Call("AES-GCM of the sender data", "RFC 9420 §6.3.2", _open_gcm(12)),
            Call("AES-GCM of the content", "RFC 9420 §6.3.1", _open_gcm(330)),
            Call("verify FramedContent", "RFC 9420 §6.1", _verify(600)),
        ),
    }
    return tuple(Floor(op, 1, listed) for op, listed in calls.items())
