"""Passphrases that a computer chose: six words or more, which nobody guesses.

Each word is one of 2,048 and adds 11 bits; six have 66, behind two rounds of Argon2id per guess.
People's own phrases are no substitute, so `Passphrase` is only ever generated: a vault may stand
on it alone (`vault.seal_lone_vault`). The words are those of BIP-39 in English, from the package
`mnemonic`; no two begin with the same four letters (docs/decisions/0041-passphrases.md).
"""

from __future__ import annotations

from typing import Final, Self

from parlour.errors import Code, UsageError
from parlour.primitives.random import Random, system_random
from parlour.primitives.secret import REDACTED
from parlour.primitives.words import WORD_BITS, word_list

MIN_WORDS: Final = 6
# A password has at most 1,024 characters; 24 words hold more than 256 bits.
MAX_WORDS: Final = 24


class Passphrase:
    """A generated passphrase. Shows itself only by `reveal`."""

    __slots__ = ("_words",)

    def __init__(self, words: tuple[str, ...]) -> None:
        self._words = words

    @classmethod
    def generate(cls, words: int = MIN_WORDS, *, random: Random = system_random) -> Self:
        """Choose `words` words, 6 to 24; raises `UsageError`."""
        if not MIN_WORDS <= words <= MAX_WORDS:
            raise UsageError(Code.USAGE_INVALID, f"{MIN_WORDS} to {MAX_WORDS} words")
        chosen = word_list()
        # 2^16 is a multiple of 2^11, so the remainder is uniform.
        numbers = (int.from_bytes(random(2)) % (1 << WORD_BITS) for _ in range(words))
        return cls(tuple(chosen[number] for number in numbers))

    def reveal(self) -> str:
        """The words with a blank between them, as they are typed for a password."""
        return " ".join(self._words)

    @property
    def bits(self) -> int:
        """How many bits of chance are in it."""
        return WORD_BITS * len(self._words)

    def __repr__(self) -> str:
        return f"Passphrase({REDACTED})"
