import pytest

from parlour.errors import InternalError
from parlour.primitives import words
from parlour.primitives.words import spell, word_list


def test_bits_are_spelled_from_the_first_one_on() -> None:
    listed = word_list()
    assert spell(bytes(2), 1) == (listed[0],)
    assert spell(b"\xff" * 3, 2) == (listed[2047], listed[2047])
    assert spell(bytes.fromhex("002008"), 2) == (listed[1], listed[2])
    # 256 bits and their checksum are the 24 words of BIP-39; 253 of them are the first 23.
    assert spell(b"\x7f" * 32, 23) == spell(b"\x7f" * 32 + b"x", 24)[:23]


def test_the_words_of_bip39() -> None:
    # From the vectors that were published with the standard: entropy, then its checksum's bits.
    assert " ".join(spell(b"\x7f" * 16 + b"\x80", 12)) == (
        "legal winner thank year wave sausage worth useful legal winner thank yellow"
    )


def test_another_list_of_words_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "_LIST_HASH", bytes(32))
    word_list.cache_clear()
    with pytest.raises(InternalError):
        word_list()
    word_list.cache_clear()
