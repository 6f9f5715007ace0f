"""The key derivation functions of X3DH, PQXDH and the Double Ratchet.

Each takes its label as an argument with our own as the default, so that a test can check the
algorithm against values that others publish under theirs.
"""

from __future__ import annotations

from hmac import digest as hmac_digest
from typing import Final

from parlour.double_ratchet import labels
from parlour.primitives.aead import NONCE_SIZE, AesGcm
from parlour.primitives.kdf import hkdf

KEY_SIZE: Final = 32
SALT_SIZE: Final = 16
_SEAL_SIZE: Final = 32 + NONCE_SIZE
# X3DH §2.2: F keeps the input apart from any encoding of a curve point or of an XEdDSA hash.
_F: Final = b"\xff" * 32
_ZERO_SALT: Final = bytes(32)


def agreed_secret(secrets: bytes, label: bytes, length: int = KEY_SIZE) -> bytes:
    """SK of X3DH and PQXDH from the concatenated DH outputs and the KEM's secret.

    Spec: X3DH §2.2, PQXDH §2.2.
    """
    return hkdf(_F + secrets, salt=_ZERO_SALT, info=label, length=length)


def step_root(
    root_key: bytes, shared: bytes, length: int = 2 * KEY_SIZE, label: bytes = labels.ROOT_STEP
) -> bytes:
    """KDF_RK and KDF_RK_HE: the next root key, a chain key and, at 96 bytes, a header key.

    Spec: Double Ratchet §5.2, §4.2.
    """
    return hkdf(shared, salt=root_key, info=label, length=length)


def step_chain(
    chain_key: bytes,
    chain_label: bytes = labels.CHAIN_KEY,
    message_label: bytes = labels.MESSAGE_KEY,
) -> tuple[bytes, bytes]:
    """KDF_CK: `(next chain key, message key)` of 32 bytes each.

    Spec: Double Ratchet §5.2. This is the hottest function of the package.
    """
    return (
        hmac_digest(chain_key, chain_label, "sha256"),
        hmac_digest(chain_key, message_label, "sha256"),
    )


def derive_seal(key: bytes, salt: bytes, label: bytes) -> tuple[AesGcm, bytes]:
    """The AES-256-GCM key and nonce for one use of `key`, made unique by `salt` (16 bytes).

    The salt is random and travels in the clear: a device that goes on from an old copy of its
    state uses the same message key again, and must not use the same pair of key and nonce.
    """
    material = hkdf(key, salt=salt, info=label, length=_SEAL_SIZE)
    return AesGcm(material[:32]), material[32:]
