"""The envelope: what lets the right password, and nothing else, recover the client's key.

Spec: RFC 9807 §4 (envelope), §5.2 and §6.3 (what client and server do with it).
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from parlour.primitives.kdf import Argon2Cost, argon2id, hkdf_expand, hkdf_extract
from parlour.primitives.random import Random
from tests.interop.opaque_reference.group import Element
from tests.interop.opaque_reference.oprf import KeyPair, derive_key_pair, with_length

NONCE_SIZE: Final = 32
SEED_SIZE: Final = 32
KEY_SIZE: Final = 64

# What stretches the OPRF's output, 64 bytes to 64.
Stretch = Callable[[bytes], bytes]

_LIBRARY_COST: Final = Argon2Cost(memory_kib=19 * 1024, passes=2)


def identity_stretch(data: bytes) -> bytes:
    """None at all: what the RFC's vectors take."""
    return data


def library_stretch(data: bytes) -> bytes:
    """What the library takes: Argon2id over a salt of zeros."""
    return argon2id(data, salt=bytes(16), cost=_LIBRARY_COST, length=KEY_SIZE)


def expand(key: bytes, info: bytes, length: int = KEY_SIZE) -> bytes:
    """HKDF-Expand with SHA-512."""
    return hkdf_expand(key, info, length, "sha512")


def extract(material: bytes) -> bytes:
    """HKDF-Extract with SHA-512 and no salt."""
    return hkdf_extract(b"", material, "sha512")


def mac(key: bytes, data: bytes) -> bytes:
    """HMAC-SHA512."""
    return hmac.digest(key, data, "sha512")


def derive_diffie_hellman_key_pair(seed: bytes) -> KeyPair:
    """DeriveDiffieHellmanKeyPair (§6.4.1.1)."""
    return derive_key_pair(seed, b"OPAQUE-DeriveDiffieHellmanKeyPair")


def randomize_password(oprf_output: bytes, stretch: Stretch) -> bytes:
    """The randomized password: extracted from the OPRF's output, plain and stretched."""
    return extract(oprf_output + stretch(oprf_output))


def masking_key(randomized_password: bytes) -> bytes:
    """The key under which the server hides the envelope."""
    return expand(randomized_password, b"MaskingKey")


@dataclass(frozen=True, slots=True)
class Names:
    """The identities of both sides; whoever has none goes by the public key."""

    client: bytes | None = None
    server: bytes | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """What an envelope opens: the client's key pair and the export key."""

    key_pair: KeyPair
    export_key: bytes


def store(
    randomized_password: bytes, server_public_key: Element, names: Names, random: Random
) -> tuple[bytes, Opened]:
    """Store: make an envelope (96 bytes). Draws the envelope's nonce."""
    nonce = random(NONCE_SIZE)
    opened = _derive(randomized_password, nonce)
    return nonce + _tag(randomized_password, nonce, server_public_key, names, opened), opened


def recover(
    randomized_password: bytes, server_public_key: Element, envelope: bytes, names: Names
) -> Opened:
    """Recover: open an envelope. Raises `ValueError` (the RFC's EnvelopeRecoveryError)."""
    nonce, tag = envelope[:NONCE_SIZE], envelope[NONCE_SIZE:]
    opened = _derive(randomized_password, nonce)
    expected = _tag(randomized_password, nonce, server_public_key, names, opened)
    if not hmac.compare_digest(tag, expected):
        raise ValueError("EnvelopeRecoveryError")
    return opened


def _derive(randomized_password: bytes, nonce: bytes) -> Opened:
    seed = expand(randomized_password, nonce + b"PrivateKey", SEED_SIZE)
    export_key = expand(randomized_password, nonce + b"ExportKey")
    return Opened(derive_diffie_hellman_key_pair(seed), export_key)


def _tag(
    randomized_password: bytes,
    nonce: bytes,
    server_public_key: Element,
    names: Names,
    opened: Opened,
) -> bytes:
    auth_key = expand(randomized_password, nonce + b"AuthKey")
    credentials = server_public_key + with_length(names.server or server_public_key)
    credentials += with_length(names.client or opened.key_pair.public)
    return mac(auth_key, nonce + credentials)
