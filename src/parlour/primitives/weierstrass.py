"""The curves of NIST SP 800-186 as ECDH and ECDSA share them: P-256, P-384, P-521.

Points travel uncompressed (SEC 1 §2.3.3), scalars as big-endian bytes of fixed size. One encoding
per key: compressed points, the point at infinity and shorter scalars are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from parlour.errors import AuthenticationError, Code, UsageError
from parlour.primitives.random import Random

_UNCOMPRESSED: Final = 4
# A candidate misses the range with a chance below 2^-32 for each curve, so that sound randomness
# never comes near this; a constant source would loop for ever without it.
_MAX_CANDIDATES: Final = 16


@dataclass(frozen=True, slots=True)
class Curve:
    """One curve: its name, its order, the bytes of a scalar and the bits of the first of them."""

    name: str
    library: ec.EllipticCurve
    order: int
    scalar_size: int
    top_mask: int = 0xFF

    @property
    def point_size(self) -> int:
        """Bytes of an uncompressed point."""
        return 1 + 2 * self.scalar_size

    def decode_point(self, data: bytes) -> ec.EllipticCurvePublicKey:
        """The public key of an uncompressed point, which has to lie on the curve."""
        if len(data) != self.point_size or data[0] != _UNCOMPRESSED:
            raise AuthenticationError(Code.CRYPTO_KEY, f"not an uncompressed {self.name} point")
        try:
            return ec.EllipticCurvePublicKey.from_encoded_point(self.library, data)
        except ValueError as error:
            raise AuthenticationError(Code.CRYPTO_KEY, f"not on {self.name}") from error

    def encode_point(self, key: ec.EllipticCurvePublicKey) -> bytes:
        """The uncompressed point of a public key."""
        return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def decode_scalar(self, data: bytes) -> ec.EllipticCurvePrivateKey:
        """The private key of a scalar between 1 and the order less 1."""
        if not self.is_scalar(data):
            raise AuthenticationError(Code.CRYPTO_KEY, f"not a {self.name} scalar")
        return ec.derive_private_key(int.from_bytes(data), self.library)

    def is_scalar(self, data: bytes) -> bool:
        """Whether `data` encodes a private key."""
        return len(data) == self.scalar_size and 0 < int.from_bytes(data) < self.order

    def mask(self, candidate: bytes) -> bytes:
        """Clear the bits of the first byte that the order does not have."""
        return bytes((candidate[0] & self.top_mask,)) + candidate[1:]

    def generate_scalar(self, random: Random) -> bytes:
        """A uniform scalar by rejection (FIPS 186-5 §A.2.2)."""
        for _ in range(_MAX_CANDIDATES):
            candidate = self.mask(random(self.scalar_size))
            if self.is_scalar(candidate):
                return candidate
        raise UsageError(Code.USAGE_INVALID, "the source of randomness is broken")


# The orders are those of SP 800-186 §3.2.1.
P256: Final = Curve(
    name="P-256",
    library=ec.SECP256R1(),
    order=0xFFFFFFFF_00000000_FFFFFFFF_FFFFFFFF_BCE6FAAD_A7179E84_F3B9CAC2_FC632551,
    scalar_size=32,
)
P384: Final = Curve(
    name="P-384",
    library=ec.SECP384R1(),
    order=int(
        "ffffffffffffffffffffffffffffffffffffffffffffffff"
        "c7634d81f4372ddf581a0db248b0a77aecec196accc52973",
        16,
    ),
    scalar_size=48,
)
P521: Final = Curve(
    name="P-521",
    library=ec.SECP521R1(),
    order=int(
        "1ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
        "a51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409",
        16,
    ),
    scalar_size=66,
    top_mask=0x01,
)
