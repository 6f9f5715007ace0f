"""The recovery key on paper, and the second copy of the vault that it opens."""

from itertools import combinations

import pytest

from parlour.errors import AccessError, Code, DecodeError, UsageError
from parlour.identity.recovery import ALPHABET, LENGTH, RecoveryKey
from parlour.identity.recovery_vault import Recovered, open_recovery_vault, seal_recovery_vault
from parlour.identity.vault import AccountSecret, ArchiveKey, RecoveryVaultKey, VaultContent
from parlour.primitives.hashes import sha256
from tests.accounts import ANNA, ANNAS_KEY
from tests.pairs import seeded

KEY = RecoveryKey(sha256(b"recovery key")[:16])
TEXT = KEY.to_text()
PLAIN = TEXT.replace("-", "")


def mistyped(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        RecoveryKey.from_text(text)
    assert caught.value.code is Code.RECOVERY_MISTYPED
    return caught.value.detail


def changed(at: int, by: int = 1) -> str:
    other = ALPHABET[(ALPHABET.index(PLAIN[at]) + by) % len(ALPHABET)]
    return PLAIN[:at] + other + PLAIN[at + 1 :]


def test_text_is_seven_groups_of_four() -> None:
    groups = TEXT.split("-")
    assert [len(group) for group in groups] == [4] * 7
    assert RecoveryKey.from_text(TEXT) == KEY
    assert RecoveryKey(bytes(16)).to_text() == "0000-0000-0000-0000-0000-0000-0000"


def test_known_key_has_this_text() -> None:
    """Made by hand: 0x80 and zeros begin with G; remainder of 16·x^27 by (x - 1)(x - 2)."""
    text = RecoveryKey(b"\x80" + bytes(15)).to_text()
    assert text.startswith("G000-0000-0000-0000-0000-0000-00")
    assert RecoveryKey.from_text(text).reveal() == b"\x80" + bytes(15)


@pytest.mark.parametrize("seed", range(20))
def test_every_key_is_read_again(seed: int) -> None:
    key = RecoveryKey.generate(seeded(f"key {seed}"))
    assert RecoveryKey.from_text(key.to_text()) == key


def test_people_type_as_they_like() -> None:
    loose = [
        TEXT.lower(),
        PLAIN,
        TEXT.replace("-", " "),
        TEXT.replace("-", "–"),
        f"  {TEXT}\n",
        " ".join(PLAIN),
        PLAIN.replace("0", "O").replace("1", "I"),
        PLAIN.replace("0", "o").replace("1", "l"),
    ]
    for text in loose:
        assert RecoveryKey.from_text(text) == KEY


def test_every_wrong_character_is_noticed_and_its_group_named() -> None:
    for at in range(LENGTH):
        for by in range(1, len(ALPHABET)):
            assert mistyped(changed(at, by)) == f"look at group {at // 4 + 1}"


def test_every_two_swapped_characters_are_noticed() -> None:
    for one, other in combinations(range(LENGTH), 2):
        if PLAIN[one] == PLAIN[other]:
            continue
        letters = list(PLAIN)
        letters[one], letters[other] = letters[other], letters[one]
        mistyped("".join(letters))


def test_two_wrong_characters_are_noticed() -> None:
    for one, other in combinations(range(0, LENGTH, 3), 2):
        twice = list(changed(one))
        twice[other] = changed(other, 7)[other]
        mistyped("".join(twice))


def test_what_can_not_be_a_key_is_named() -> None:
    assert mistyped(PLAIN[:-1]) == "27 characters instead of 28"
    assert mistyped("") == "0 characters instead of 28"
    assert mistyped(PLAIN[:5] + "U" + PLAIN[6:]) == "group 2"
    assert mistyped("0" * 257) == "a key has 28 characters"
    many = {mistyped(changed(0)[:-1] + ALPHABET[n]) for n in range(32)}
    assert "more than one character is wrong" in many


def test_a_key_of_a_later_version_is_not_read_as_one_of_this() -> None:
    """Of all checks, one fits a spare bit that is set; and that is not read as a key either."""
    details = [mistyped("0" * 25 + "1" + one + other) for one in ALPHABET for other in ALPHABET]
    assert details.count("a key of a later version; update") == 1


def test_details_never_show_what_was_typed() -> None:
    assert PLAIN[:4] not in mistyped(changed(9))
    assert KEY.reveal().hex() not in f"{KEY!r} {KEY}"


def test_one_key_gives_two_that_tell_nothing_of_each_other() -> None:
    assert KEY.proof_key().to_bytes() != KEY.vault_key().reveal()
    assert KEY.proof_key().to_bytes() == RecoveryKey.from_text(TEXT).proof_key().to_bytes()
    other = RecoveryKey(bytes(16))
    assert other.vault_key() != KEY.vault_key()
    assert other.proof_key().to_bytes() != KEY.proof_key().to_bytes()


# --- The second copy -----------------------------------------------------------------------

RECOVERED = Recovered(
    VaultContent(ANNAS_KEY, ArchiveKey(sha256(b"archive")), KEY.vault_key()),
    AccountSecret(b"account secret 1"),
)


def sealed() -> bytes:
    return seal_recovery_vault(
        RECOVERED, account_id=ANNA, key=KEY.vault_key(), random=seeded("recovery")
    )


def test_the_paper_brings_everything_back() -> None:
    again = open_recovery_vault(sealed(), account_id=ANNA, key=KEY.vault_key())
    assert again.content.account_key.to_bytes() == ANNAS_KEY.to_bytes()
    assert again.content.archive_key == RECOVERED.content.archive_key
    assert again.content.recovery == KEY.vault_key()
    assert again.secret == RECOVERED.secret


@pytest.mark.parametrize(
    ("account_id", "key"),
    [(ANNA, RecoveryVaultKey(bytes(32))), (bytes(16), KEY.vault_key())],
    ids=["key", "account"],
)
def test_another_key_or_account_opens_nothing(account_id: bytes, key: RecoveryVaultKey) -> None:
    with pytest.raises(AccessError) as caught:
        open_recovery_vault(sealed(), account_id=account_id, key=key)
    assert caught.value.code is Code.VAULT_CLOSED


def test_every_flipped_byte_is_refused() -> None:
    vault = sealed()
    for index in range(len(vault)):
        damaged = vault[:index] + bytes((vault[index] ^ 1,)) + vault[index + 1 :]
        with pytest.raises((AccessError, DecodeError)):
            open_recovery_vault(damaged, account_id=ANNA, key=KEY.vault_key())
