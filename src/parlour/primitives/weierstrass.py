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
    """One curve: its name, the bytes of a scalar and the bits that the first of them may have."""

    name: str
    library: ec.EllipticCurve
    scalar_size: int
    top_mask: int = 0xFF

    @property
    def order(self) -> int:
        """The order n of the base point (SP 800-186 §3.2.1)."""
        return self.library.group_order

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


P256: Final = Curve("P-256", ec.SECP256R1(), scalar_size=32)
P384: Final = Curve("P-384", ec.SECP384R1(), scalar_size=48)
P521: Final = Curve("P-521", ec.SECP521R1(), scalar_size=66, top_mask=0x01)
