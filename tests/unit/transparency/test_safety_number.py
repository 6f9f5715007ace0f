from collections.abc import Callable

import pytest

from parlour.errors import Code, DecodeError, SecurityStop, UsageError
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.transparency import Party, SafetyNumber, compare, safety_number
from parlour.transparency.fingerprint import digits, numeric_fingerprint
from parlour.transparency.safety_words import BITS_PER_KEY, safety_words


def party(number: int) -> Party:
    key = Ed25519PrivateKey(bytes((number,)) * 32).public_key
    return Party(bytes((number,)) * 16, key)


ANNA, BEA, EVE = party(1), party(2), party(3)
PINNED = "41315 80853 28165 11590 84663 19479 70241 55621 00783 93049 05917 51114"
PINNED_WORDS = (
    "bar rifle quick inflict adult degree absent genre "
    "company nominee rich afraid salmon crew tiger excite"
)


def test_both_sides_see_the_same_sixty_digits_in_twelve_groups() -> None:
    anna, bea = safety_number(ANNA, BEA), safety_number(BEA, ANNA)
    assert anna.digits == bea.digits
    assert len(anna.digits) == 60
    assert anna.digits.isdigit()
    assert len(anna.groups) == 12
    assert str(anna).split() == anna.groups
    assert "".join(anna.groups) == anna.digits


def test_the_digits_stay_what_they_are() -> None:
    # Made by an independent few lines of hashlib from the description; a change here tells people
    # that the keys of everybody they verified have changed.
    assert str(safety_number(ANNA, BEA)) == PINNED


def test_both_sides_see_the_same_sixteen_words() -> None:
    anna, bea = safety_number(ANNA, BEA), safety_number(BEA, ANNA)
    assert anna.words == bea.words
    assert len(anna.words) == 16
    assert BITS_PER_KEY == 88
    halves = {tuple(anna.words[:8]), tuple(anna.words[8:])}
    assert halves == {safety_words(anna.own), safety_words(anna.other)}


def test_words_are_of_one_key_each() -> None:
    # A key in between shows in its own half, whatever the other half is.
    with_bea, with_eve = safety_number(ANNA, BEA).words, safety_number(ANNA, EVE).words
    shared = set(safety_words(ANNA.fingerprint()))
    assert shared <= set(with_bea) & set(with_eve)
    assert safety_words(BEA.fingerprint()) != safety_words(EVE.fingerprint())


def test_the_words_stay_what_they_are() -> None:
    # Made by an independent few lines of hashlib from the description.
    assert " ".join(safety_number(ANNA, BEA).words) == PINNED_WORDS


def test_another_key_or_another_account_gives_another_number() -> None:
    other_key = Party(BEA.account_id, EVE.account_key)
    other_account = Party(EVE.account_id, BEA.account_key)
    numbers = {safety_number(ANNA, them).digits for them in (BEA, other_key, other_account)}
    assert len(numbers) == 3


def test_a_scanned_code_agrees_in_both_directions() -> None:
    anna, bea = safety_number(ANNA, BEA), safety_number(BEA, ANNA)
    compare(bea.scannable(), anna)
    compare(anna.scannable(), bea)


@pytest.mark.parametrize(
    "shown",
    [
        safety_number(ANNA, BEA),  # the own code, as in a mirror
        safety_number(EVE, ANNA),  # somebody else's
        safety_number(Party(BEA.account_id, EVE.account_key), ANNA),  # they have another key
        safety_number(BEA, Party(ANNA.account_id, EVE.account_key)),  # they know another of ours
    ],
)
def test_a_code_that_differs_stops(shown: SafetyNumber) -> None:
    with pytest.raises(SecurityStop) as caught:
        compare(shown.scannable(), safety_number(ANNA, BEA))
    assert caught.value.code is Code.ACCOUNT_KEY_CHANGED


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda data: b"\x02" + data[1:], Code.DECODE_VERSION),
        (lambda data: data[:-1], Code.DECODE_TRUNCATED),
        (lambda data: data + b"\x00", Code.DECODE_TRAILING),
        (lambda _: b"", Code.DECODE_TRUNCATED),
        (lambda _: b"https://example.org", Code.DECODE_VERSION),
    ],
)
def test_what_is_no_code_of_ours_is_malformed(change: Callable[[bytes], bytes], code: Code) -> None:
    shown = change(safety_number(BEA, ANNA).scannable())
    with pytest.raises(DecodeError) as caught:
        compare(shown, safety_number(ANNA, BEA))
    assert caught.value.code is code


def test_an_account_has_none_with_itself() -> None:
    with pytest.raises(UsageError):
        safety_number(ANNA, Party(ANNA.account_id, EVE.account_key))


def test_an_account_id_has_sixteen_bytes() -> None:
    with pytest.raises(UsageError):
        Party(bytes(15), ANNA.account_key)


def test_leading_zeros_are_shown() -> None:
    assert digits(bytes(30)) == "0" * 30
    assert digits((100_007).to_bytes(5) * 6) == "00007" * 6


def test_version_and_rounds_enter_the_fingerprint() -> None:
    def fingerprint(version: int, iterations: int) -> bytes:
        return numeric_fingerprint(b"key", b"id", version=version, iterations=iterations)

    assert len({fingerprint(0, 1), fingerprint(1, 1), fingerprint(0, 2)}) == 3
