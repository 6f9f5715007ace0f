"""Key encapsulation: ML-KEM-768 and ML-KEM-1024 (FIPS 203).

Private keys are kept as the 64-byte seed (d ‖ z) that the standard allows to be stored instead of
the expanded key. Encapsulation draws its randomness inside the library; no other can be given.
"""

from __future__ import annotations

from typing import ClassVar, Final, Self

from cryptography.hazmat.primitives.asymmetric import mlkem

from parlour.errors import AuthenticationError, Code
from parlour.primitives.random import Random, system_random

MLKEM_SEED_SIZE: Final = 64
MLKEM_SECRET_SIZE: Final = 32
MLKEM768_PUBLIC_KEY_SIZE: Final = 1184
MLKEM768_CIPHERTEXT_SIZE: Final = 1088
MLKEM1024_PUBLIC_KEY_SIZE: Final = 1568
MLKEM1024_CIPHERTEXT_SIZE: Final = 1568


class MlKemPublicKey:
    """An encapsulation key of either parameter set. Equal when class and bytes are equal."""

    __slots__ = ("_bytes", "_key")

    _LIBRARY: ClassVar[type[mlkem.MLKEM768PublicKey] | type[mlkem.MLKEM1024PublicKey]]
    _key: mlkem.MLKEM768PublicKey | mlkem.MLKEM1024PublicKey

    def __init__(self, data: bytes) -> None:
        """Check the length and that each coefficient is below q (FIPS 203 §7.2)."""
        try:
            self._key = self._LIBRARY.from_public_bytes(data)
        except ValueError as error:
            raise AuthenticationError(Code.CRYPTO_KEY, "not an ML-KEM public key") from error
        self._bytes = bytes(data)

    @classmethod
    def _from_library(cls, key: mlkem.MLKEM768PublicKey | mlkem.MLKEM1024PublicKey) -> Self:
        """Wrap a key that the library made itself: there is nothing to check."""
        public_key = cls.__new__(cls)
        public_key._key = key
        public_key._bytes = key.public_bytes_raw()
        return public_key

    def encapsulate(self) -> tuple[bytes, bytes]:
        """Make a shared secret of 32 bytes: `(ciphertext, secret)`."""
        secret, ciphertext = self._key.encapsulate()
        return ciphertext, secret

    def to_bytes(self) -> bytes:
        """The encapsulation key of FIPS 203."""
        return self._bytes

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._bytes == other._bytes

    def __hash__(self) -> int:
        return hash(self._bytes)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._bytes[:8].hex()}…)"


class MlKem768PublicKey(MlKemPublicKey):
    """An encapsulation key of 1,184 bytes."""

    __slots__ = ()
    _LIBRARY = mlkem.MLKEM768PublicKey


class MlKem1024PublicKey(MlKemPublicKey):
    """An encapsulation key of 1,568 bytes."""

    __slots__ = ()
    _LIBRARY = mlkem.MLKEM1024PublicKey


class MlKemPrivateKey:
    """A decapsulation key of either parameter set, kept as its 64-byte seed."""

    __slots__ = ("_bytes", "_key", "public_key")

    _LIBRARY: ClassVar[type[mlkem.MLKEM768PrivateKey] | type[mlkem.MLKEM1024PrivateKey]]
    _PUBLIC: ClassVar[type[MlKemPublicKey]]
    _key: mlkem.MLKEM768PrivateKey | mlkem.MLKEM1024PrivateKey
    public_key: MlKemPublicKey

    def __init__(self, seed: bytes) -> None:
        try:
            self._key = self._LIBRARY.from_seed_bytes(seed)
        except ValueError as error:
            raise AuthenticationError(Code.CRYPTO_KEY, "an ML-KEM seed has 64 bytes") from error
        self._bytes = bytes(seed)
        self.public_key = self._PUBLIC._from_library(self._key.public_key())

    @classmethod
    def generate(cls, random: Random = system_random) -> Self:
        """Make a fresh key pair."""
        return cls(random(MLKEM_SEED_SIZE))

    def decapsulate(self, ciphertext: bytes) -> bytes:
        """The shared secret of 32 bytes; a forged ciphertext gives a random one (FIPS 203 §6.3)."""
        try:
            return self._key.decapsulate(ciphertext)
        except ValueError as error:
            raise AuthenticationError(Code.CRYPTO_KEY, "not an ML-KEM ciphertext") from error

    def to_bytes(self) -> bytes:
        """The 64-byte seed, for sealed storage."""
        return self._bytes

    def __repr__(self) -> str:
        return f"{type(self).__name__}([secret])"


class MlKem768PrivateKey(MlKemPrivateKey):
    """A decapsulation key, kept as its 64-byte seed, with its public key."""

    __slots__ = ()
    _LIBRARY = mlkem.MLKEM768PrivateKey
    _PUBLIC = MlKem768PublicKey
    public_key: MlKem768PublicKey


class MlKem1024PrivateKey(MlKemPrivateKey):
    """A decapsulation key, kept as its 64-byte seed, with its public key."""

    __slots__ = ()
    _LIBRARY = mlkem.MLKEM1024PrivateKey
    _PUBLIC = MlKem1024PublicKey
    public_key: MlKem1024PublicKey
