"""The group ristretto255 and hashing into it.

Spec: RFC 9496 (the group), RFC 9380 §5.3.1 (expand_message_xmd), RFC 9497 §4.1 (as the OPRF's
group). Elements and scalars are their encodings of 32 bytes.
"""

from __future__ import annotations

from typing import Final, NewType

import rbcl

from parlour.primitives.hashes import sha512
from parlour.primitives.random import Random

Element = NewType("Element", bytes)
Scalar = NewType("Scalar", bytes)

ELEMENT_SIZE: Final = 32
SCALAR_SIZE: Final = 32
UNIFORM_SIZE: Final = 64

_IDENTITY: Final = bytes(ELEMENT_SIZE)
_SHA512_BLOCK_SIZE: Final = 128


def decode_element(data: bytes) -> Element:
    """Check an encoding; the identity is refused (RFC 9497 §2.1). Raises `ValueError`."""
    if data == _IDENTITY or not rbcl.crypto_core_ristretto255_is_valid_point(data):
        raise ValueError("not an element of ristretto255, or its identity")
    return Element(data)


def multiply(scalar: Scalar, element: Element) -> Element:
    """Scalar multiplication."""
    return Element(bytes(rbcl.crypto_scalarmult_ristretto255(scalar, element)))


def multiply_generator(scalar: Scalar) -> Element:
    """Scalar multiplication of the generator: the public key of a private one."""
    return Element(bytes(rbcl.crypto_scalarmult_ristretto255_base(scalar)))


def invert(scalar: Scalar) -> Scalar:
    """The inverse of a scalar."""
    return Scalar(bytes(rbcl.crypto_core_ristretto255_scalar_invert(scalar)))


def reduce(uniform: bytes) -> Scalar:
    """64 bytes as a little-endian number, modulo the order."""
    return Scalar(bytes(rbcl.crypto_core_ristretto255_scalar_reduce(uniform)))


def random_scalar(random: Random) -> Scalar:
    """A scalar out of 64 random bytes."""
    return reduce(random(UNIFORM_SIZE))


def hash_to_element(message: bytes, domain: bytes) -> Element:
    """HashToGroup."""
    uniform = expand_message(message, domain)
    return Element(bytes(rbcl.crypto_core_ristretto255_from_hash(uniform)))


def hash_to_scalar(message: bytes, domain: bytes) -> Scalar:
    """HashToScalar."""
    return reduce(expand_message(message, domain))


def expand_message(message: bytes, domain: bytes) -> bytes:
    """expand_message_xmd with SHA-512 to 64 bytes, which is one block."""
    domain_prime = domain + bytes((len(domain),))
    padding = bytes(_SHA512_BLOCK_SIZE)
    first = sha512(padding + message + UNIFORM_SIZE.to_bytes(2) + b"\x00" + domain_prime)
    return sha512(first + b"\x01" + domain_prime)
