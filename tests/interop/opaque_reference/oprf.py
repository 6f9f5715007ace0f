"""The oblivious pseudorandom function: mode OPRF of the suite ristretto255-SHA512.

Spec: RFC 9497 §3.1 (context string), §3.2 (keys), §3.3.1 (protocol).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from parlour.primitives.hashes import sha512
from tests.interop.opaque_reference.group import (
    Element,
    Scalar,
    hash_to_element,
    hash_to_scalar,
    invert,
    multiply,
    multiply_generator,
)

_MODE: Final = b"\x00"
_CONTEXT: Final = b"OPRFV1-" + _MODE + b"-ristretto255-SHA512"
_MAX_TRIES: Final = 255
_ZERO: Final = Scalar(bytes(32))


class KeyPair(NamedTuple):
    """A private key and its public key."""

    private: Scalar
    public: Element


def with_length(data: bytes) -> bytes:
    """`data` after its length in two bytes."""
    return len(data).to_bytes(2) + data


def derive_key_pair(seed: bytes, info: bytes) -> KeyPair:
    """DeriveKeyPair."""
    for counter in range(_MAX_TRIES):
        material = seed + with_length(info) + bytes((counter,))
        private = hash_to_scalar(material, b"DeriveKeyPair" + _CONTEXT)
        if private != _ZERO:
            return KeyPair(private, multiply_generator(private))
    raise ValueError("DeriveKeyPairError")


def blind(message: bytes, blinding: Scalar) -> Element:
    """Blind, by a given scalar."""
    return multiply(blinding, hash_to_element(message, b"HashToGroup-" + _CONTEXT))


def evaluate(key: Scalar, blinded: Element) -> Element:
    """BlindEvaluate."""
    return multiply(key, blinded)


def finalize(message: bytes, blinding: Scalar, evaluated: Element) -> bytes:
    """Finalize: unblind and hash, 64 bytes."""
    unblinded = multiply(invert(blinding), evaluated)
    return sha512(with_length(message) + with_length(unblinded) + b"Finalize")
