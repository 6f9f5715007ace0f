"""The 2,048 words that bits are spelled in, 11 bits each.

They are those of BIP-39 in English, from the package `mnemonic`; no two begin with the same four
letters (docs/decisions/0041-passphrases.md).
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Final

from parlour.errors import Code, InternalError
from parlour.primitives.hashes import sha256

WORD_BITS: Final = 11
# SHA-256 of the list, which is part of the standard: another file would be another strength, and
# other words for the same safety number.
_LIST_HASH: Final = bytes.fromhex(
    "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda"
)


@cache
def word_list() -> tuple[str, ...]:
    """The words in their order; raises `InternalError` if it is not the list that was locked."""
    data = resources.files("mnemonic").joinpath("wordlist", "english.txt").read_bytes()
    if sha256(data) != _LIST_HASH:
        raise InternalError(Code.INTERNAL_BUG, "the list of words is another one")
    return tuple(data.decode("ascii").split())


def spell(data: bytes, count: int) -> tuple[str, ...]:
    """The first `count` times 11 bits of `data` as words."""
    number = int.from_bytes(data) >> (8 * len(data) - WORD_BITS * count)
    words = word_list()
    places = range(WORD_BITS * (count - 1), -1, -WORD_BITS)
    return tuple(words[number >> place & ((1 << WORD_BITS) - 1)] for place in places)
