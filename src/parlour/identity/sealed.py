"""How this package seals: one secret, a fresh salt, one key per sealing.

Whoever opens says what the box is bound to, so that a server can't hand out one account's box as
another's. An old box of the same account still opens; what must not go back carries a number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from parlour.codec import Reader, Writer, decode
from parlour.errors import Code, DecodeError
from parlour.primitives import aead
from parlour.primitives.kdf import hkdf
from parlour.primitives.random import Random

SALT_SIZE: Final = 32


@dataclass(frozen=True, slots=True)
class Box:
    """One kind of sealed thing: the labels of its key and of its data, its bound, its format.

    ::

        struct { uint8 format; opaque salt[32]; opaque sealed<V>; } Box;

    The key is HKDF-SHA256 of the secret under the salt, the cipher AES-256-GCM; label, format and
    what the box is bound to are authenticated. The salt makes each key fresh, so the fixed nonce
    is used once.
    """

    name: str
    key_label: bytes
    data_label: bytes
    max_size: int
    format: int = 1

    def seal(self, secret: bytes, plaintext: bytes, *, bound_to: bytes, random: Random) -> bytes:
        """Seal `plaintext` under a key of its own."""
        salt = random(SALT_SIZE)
        sealed = aead.seal(
            self._key(secret, salt), bytes(aead.NONCE_SIZE), plaintext, self._about(bound_to)
        )
        return Writer().uint8(self.format).fixed(salt, SALT_SIZE).opaque(sealed).data()

    def open(self, box: bytes, secret: bytes, *, bound_to: bytes) -> bytes:
        """Open what `seal` made.

        Raises `DecodeError`, ``decode.version`` for another format among them, and
        `AuthenticationError` where the secret, the data or what it is bound to is another one.
        """
        salt, sealed = decode(box, self._read)
        return aead.open_(
            self._key(secret, salt), bytes(aead.NONCE_SIZE), sealed, self._about(bound_to)
        )

    def _read(self, reader: Reader) -> tuple[bytes, bytes]:
        if reader.uint8() != self.format:
            raise DecodeError(Code.DECODE_VERSION, self.name)
        return reader.fixed(SALT_SIZE), reader.opaque(self.max_size)

    def _key(self, secret: bytes, salt: bytes) -> bytes:
        return hkdf(secret, salt=salt, info=self.key_label, length=aead.AES_256_KEY_SIZE)

    def _about(self, bound_to: bytes) -> bytes:
        return Writer().opaque(self.data_label).uint8(self.format).opaque(bound_to).data()
