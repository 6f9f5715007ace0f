"""X-Wing: ML-KEM-768 and X25519 in one KEM, safe while either of them is.

Spec: draft-connolly-cfrg-xwing-kem §5. A private key is a seed of 32 bytes.
"""

from __future__ import annotations

from typing import Final, Self

from parlour.errors import AuthenticationError, Code
from parlour.primitives.agreement import X25519_SIZE, X25519PrivateKey, X25519PublicKey
from parlour.primitives.hashes import sha3_256, shake256
from parlour.primitives.kem import (
    MLKEM768_CIPHERTEXT_SIZE,
    MLKEM768_PUBLIC_KEY_SIZE,
    MLKEM_SEED_SIZE,
    MlKem768PrivateKey,
    MlKem768PublicKey,
)
from parlour.primitives.random import Random, system_random

XWING_SEED_SIZE: Final = 32
XWING_PUBLIC_KEY_SIZE: Final = MLKEM768_PUBLIC_KEY_SIZE + X25519_SIZE
XWING_CIPHERTEXT_SIZE: Final = MLKEM768_CIPHERTEXT_SIZE + X25519_SIZE
XWING_SECRET_SIZE: Final = 32

# The six ASCII characters of §5.3, which draw the fighter.
_LABEL: Final = b"\\.//^\\"


def _combine(mlkem_secret: bytes, x25519_secret: bytes, ciphertext: bytes, public: bytes) -> bytes:
    """§5.3. `ciphertext` and `public` are the X25519 halves: ML-KEM binds its own."""
    return sha3_256(mlkem_secret + x25519_secret + ciphertext + public + _LABEL)


class XWingPublicKey:
    """An encapsulation key of 1,216 bytes. Equal when the bytes are equal.

    A low-order X25519 half is refused, where the draft goes on: no honest key has one.
    """

    __slots__ = ("_bytes", "_mlkem", "_x25519")

    def __init__(self, data: bytes) -> None:
        if len(data) != XWING_PUBLIC_KEY_SIZE:
            raise AuthenticationError(Code.CRYPTO_KEY, "an X-Wing key has 1216 bytes")
        self._mlkem = MlKem768PublicKey(data[:MLKEM768_PUBLIC_KEY_SIZE])
        self._x25519 = X25519PublicKey(data[MLKEM768_PUBLIC_KEY_SIZE:])
        self._bytes = bytes(data)

    @classmethod
    def _of(cls, mlkem: MlKem768PublicKey, x25519: X25519PublicKey) -> Self:
        public_key = cls.__new__(cls)
        public_key._mlkem = mlkem
        public_key._x25519 = x25519
        public_key._bytes = mlkem.to_bytes() + x25519.to_bytes()
        return public_key

    def encapsulate(self, random: Random = system_random) -> tuple[bytes, bytes]:
        """Make a shared secret of 32 bytes: `(ciphertext, secret)`.

        `random` gives the X25519 half; the ML-KEM half draws inside the library.
        """
        ephemeral = X25519PrivateKey.generate(random)
        x25519_ciphertext = ephemeral.public_key.to_bytes()
        x25519_secret = ephemeral.exchange(self._x25519)
        mlkem_ciphertext, mlkem_secret = self._mlkem.encapsulate()
        secret = _combine(mlkem_secret, x25519_secret, x25519_ciphertext, self._x25519.to_bytes())
        return mlkem_ciphertext + x25519_ciphertext, secret

    def to_bytes(self) -> bytes:
        """The ML-KEM key, then the X25519 key."""
        return self._bytes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, XWingPublicKey) and self._bytes == other._bytes

    def __hash__(self) -> int:
        return hash(self._bytes)

    def __repr__(self) -> str:
        return f"XWingPublicKey({self._bytes[:8].hex()}…)"


class XWingPrivateKey:
    """A decapsulation key, kept as its 32-byte seed, with its public key."""

    __slots__ = ("_bytes", "_mlkem", "_x25519", "public_key")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != XWING_SEED_SIZE:
            raise AuthenticationError(Code.CRYPTO_KEY, "an X-Wing seed has 32 bytes")
        expanded = shake256(seed, MLKEM_SEED_SIZE + X25519_SIZE)
        self._mlkem = MlKem768PrivateKey(expanded[:MLKEM_SEED_SIZE])
        self._x25519 = X25519PrivateKey(expanded[MLKEM_SEED_SIZE:])
        self._bytes = bytes(seed)
        self.public_key = XWingPublicKey._of(self._mlkem.public_key, self._x25519.public_key)

    @classmethod
    def generate(cls, random: Random = system_random) -> Self:
        """Make a fresh key pair."""
        return cls(random(XWING_SEED_SIZE))

    def decapsulate(self, ciphertext: bytes) -> bytes:
        """The shared secret of 32 bytes; a forged ML-KEM half gives a random one."""
        if len(ciphertext) != XWING_CIPHERTEXT_SIZE:
            raise AuthenticationError(Code.CRYPTO_KEY, "an X-Wing ciphertext has 1120 bytes")
        x25519_ciphertext = ciphertext[MLKEM768_CIPHERTEXT_SIZE:]
        return _combine(
            self._mlkem.decapsulate(ciphertext[:MLKEM768_CIPHERTEXT_SIZE]),
            self._x25519.exchange(X25519PublicKey(x25519_ciphertext)),
            x25519_ciphertext,
            self._x25519.public_key.to_bytes(),
        )

    def to_bytes(self) -> bytes:
        """The 32-byte seed, for sealed storage."""
        return self._bytes

    def __repr__(self) -> str:
        return "XWingPrivateKey([secret])"
