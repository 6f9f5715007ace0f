"""The recovery key: 128 random bits on paper that bring an account back when all else is gone.

It is printed once, at registration. Two things come of it and of nothing else: an Ed25519 key that
proves to the server that its owner is there, whose public half stands in the signed device list,
and the key of the second copy of the vault (`recovery_vault`). The server never sees either secret.

As text it is seven groups of four characters of Crockford's base32, without the letters that look
like digits. The last two characters are a check over GF(32) of distance 3: any two wrong or
swapped characters are noticed, and of a single wrong one the group is named.

::

    RecoveryKey.generate().to_text()   # "4R1C-…" of 28 characters
"""

from __future__ import annotations

from typing import Final

from parlour.errors import Code, UsageError
from parlour.identity import labels
from parlour.identity.vault import RecoveryVaultKey
from parlour.primitives.kdf import hkdf
from parlour.primitives.secret import Secret
from parlour.primitives.signature import ED25519_KEY_SIZE, Ed25519PrivateKey

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
GROUP: Final = 4
_BITS: Final = 5
# 128 bits in 26 characters leave two bits; other values than 0 are for a later version.
_DATA: Final = 26
_SPARE_BITS: Final = _DATA * _BITS - 128
LENGTH: Final = _DATA + 2
# Longer than a key with a blank after each character: more is no key and is not looked at.
_MAX_TEXT: Final = 256

_VALUES: Final = {character: value for value, character in enumerate(ALPHABET)} | {
    "O": 0,
    "I": 1,
    "L": 1,
}
# x^5 + x^2 + 1, primitive over GF(2), as the field's modulus; 2 is then a generator.
_MODULUS: Final = 0b100101
_FIELD: Final = 32
_GENERATOR: Final = 2


class RecoveryKey(Secret):
    """128 random bits. Write it down; nobody can make it again."""

    __slots__ = ()
    SIZE = 16

    def to_text(self) -> str:
        """The key as it is printed: seven groups of four characters."""
        number = int.from_bytes(self.reveal()) << _SPARE_BITS
        shifts = range(_BITS * (_DATA - 1), -1, -_BITS)
        symbols = [number >> shift & (_FIELD - 1) for shift in shifts]
        text = "".join(ALPHABET[symbol] for symbol in (*symbols, *_check(symbols)))
        return "-".join(text[at : at + GROUP] for at in range(0, LENGTH, GROUP))

    @classmethod
    def from_text(cls, text: str) -> RecoveryKey:
        """Read a key as a person types it: in any case, O for 0, I and L for 1, any grouping.

        Raises `UsageError` (``recovery.mistyped``), whose detail never shows what was typed.
        """
        symbols = _symbols(text)
        if _check(symbols[:_DATA]) != symbols[_DATA:]:
            raise UsageError(Code.RECOVERY_MISTYPED, _where(symbols))
        number = 0
        for symbol in symbols[:_DATA]:
            number = number << _BITS | symbol
        if number & ((1 << _SPARE_BITS) - 1):
            raise UsageError(Code.RECOVERY_MISTYPED, "a key of a later version; update")
        return cls((number >> _SPARE_BITS).to_bytes(cls.SIZE))

    def proof_key(self) -> Ed25519PrivateKey:
        """What proves to a server, and to other devices, that the owner of the paper is there."""
        return Ed25519PrivateKey(self._derive(labels.RECOVERY_PROOF_KEY, ED25519_KEY_SIZE))

    def vault_key(self) -> RecoveryVaultKey:
        """What the second copy of the vault is sealed under."""
        return RecoveryVaultKey(self._derive(labels.RECOVERY_VAULT_KEY, RecoveryVaultKey.SIZE))

    def _derive(self, label: bytes, size: int) -> bytes:
        return hkdf(self.reveal(), salt=b"", info=label, length=size)


def _symbols(text: str) -> list[int]:
    """The 28 values that were typed; hyphens, dashes, dots and blanks are only grouping."""
    if len(text) > _MAX_TEXT:
        raise UsageError(Code.RECOVERY_MISTYPED, f"a key has {LENGTH} characters")
    typed = "".join(text.upper().translate(_GROUPING).split())
    unknown = [at for at, character in enumerate(typed) if character not in _VALUES]
    if unknown:
        raise UsageError(Code.RECOVERY_MISTYPED, f"group {unknown[0] // GROUP + 1}")
    if len(typed) != LENGTH:
        raise UsageError(Code.RECOVERY_MISTYPED, f"{len(typed)} characters instead of {LENGTH}")
    return [_VALUES[character] for character in typed]


_GROUPING: Final = str.maketrans(dict.fromkeys("-–—_.:", None))


def _check(data: list[int]) -> list[int]:
    """The two check symbols: the remainder of `data`, as a polynomial, by (x - 1)(x - 2).

    Two roots that follow each other make a Reed-Solomon code of distance 3 up to 31 characters.
    """
    high = low = 0
    for symbol in data:
        feedback = symbol ^ high
        high, low = low ^ _times(1 ^ _GENERATOR, feedback), _times(_GENERATOR, feedback)
    return [high, low]


def _where(symbols: list[int]) -> str:
    """Name the group of the wrong character, if a single wrong one explains it."""
    at_one = at_two = 0
    for symbol in symbols:
        at_one, at_two = at_one ^ symbol, _times(at_two, _GENERATOR) ^ symbol
    error = at_one
    for at in range(LENGTH - 1, -1, -1):
        if at_one and error == at_two:
            return f"look at group {at // GROUP + 1}"
        error = _times(error, _GENERATOR)
    return "more than one character is wrong"


def _times(left: int, right: int) -> int:
    """Multiply in GF(32)."""
    product = 0
    while right:
        if right & 1:
            product ^= left
        left <<= 1
        if left & _FIELD:
            left ^= _MODULUS
        right >>= 1
    return product
