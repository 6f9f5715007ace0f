"""The numeric fingerprint of one key: an iterated hash, and thirty digits of it.

The rounds make it dear to search for a key whose digits look like another's: thirty digits are
99 bits, and 5,200 rounds add some 12.

This is the algorithm behind Signal's safety numbers; the published example of it is a test.
"""

from __future__ import annotations

from typing import Final

from parlour.primitives.hashes import sha512

# What Signal takes, so that the two are compared like with like.
ITERATIONS: Final = 5200
FINGERPRINT_SIZE: Final = 32
DIGITS: Final = 30

_DIGITS_PER_GROUP: Final = 5
_OCTETS_PER_GROUP: Final = 5


def numeric_fingerprint(
    key: bytes, stable_id: bytes, *, version: int, iterations: int = ITERATIONS
) -> bytes:
    """The fingerprint of `key` (its type byte first) for the owner named by `stable_id`.

    H = SHA-512(version as uint16 ‖ key ‖ id ‖ key), then again and again H = SHA-512(H ‖ key),
    `iterations` hashes in all; of the last one the first 32 bytes.
    """
    digest = sha512(version.to_bytes(2) + key + stable_id + key)
    for _ in range(iterations - 1):
        digest = sha512(digest + key)
    return digest[:FINGERPRINT_SIZE]


def digits(fingerprint: bytes) -> str:
    """Thirty digits: six groups, each five octets as a number modulo 100,000."""
    return "".join(
        f"{int.from_bytes(fingerprint[at : at + _OCTETS_PER_GROUP]) % 10**_DIGITS_PER_GROUP:05}"
        for at in range(0, DIGITS * _OCTETS_PER_GROUP // _DIGITS_PER_GROUP, _OCTETS_PER_GROUP)
    )
