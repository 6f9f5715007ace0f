import pytest

from parlour.errors import UsageError
from parlour.identity.passphrase import Passphrase
from parlour.primitives.words import word_list
from tests.pairs import seeded


def test_words_are_chosen_by_chance_alone() -> None:
    words = word_list()
    assert len(set(words)) == 2048
    assert len({word[:4] for word in words}) == 2048
    numbers = [5, 2047, 2048, 65535, 0, 1]
    given = iter(number.to_bytes(2) for number in numbers)
    made = Passphrase.generate(random=lambda size: next(given))
    assert made.reveal() == " ".join(words[number % 2048] for number in numbers)


def test_six_words_are_the_least() -> None:
    made = Passphrase.generate()
    assert len(made.reveal().split()) == 6
    assert made.bits == 66
    assert Passphrase.generate(24, random=seeded("x")).bits == 264
    for words in (5, 0, -1, 25):
        with pytest.raises(UsageError):
            Passphrase.generate(words)


def test_passphrases_differ_and_do_not_show_themselves() -> None:
    one, other = Passphrase.generate(), Passphrase.generate()
    assert one.reveal() != other.reveal()
    assert one.reveal().split()[0] not in f"{one!r} {[one]}"
