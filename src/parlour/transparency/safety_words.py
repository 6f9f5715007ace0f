"""A safety number as words, for two people who read to each other.

Eight words stand for each account's fingerprint: 88 bits, to which the rounds of the fingerprint
add some 12, as they do to the 99 bits of thirty digits. Each half is derived from its fingerprint
alone, as the digits are. One hash over both would be weaker: somebody in between, who makes up a
key for either side, would need two that agree, which takes the square root of that work.

Words and digits are two ways to compare the same keys; one of them is enough.
"""

from __future__ import annotations

from typing import Final

from parlour.primitives.hashes import sha256
from parlour.primitives.words import WORD_BITS, spell
from parlour.transparency import labels

WORDS_PER_KEY: Final = 8
BITS_PER_KEY: Final = WORD_BITS * WORDS_PER_KEY


def safety_words(fingerprint: bytes) -> tuple[str, ...]:
    """Eight words for one fingerprint."""
    return spell(sha256(labels.SAFETY_WORDS + fingerprint), WORDS_PER_KEY)
