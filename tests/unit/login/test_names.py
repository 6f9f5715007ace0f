import unicodedata

import pytest

from parlour.errors import Code, UsageError
from parlour.login.names import account_name, new_account_name, password_bytes, server_name


@pytest.mark.parametrize(
    ("text", "name"),
    [("anna", "anna"), ("Anna.B-7_x", "anna.b-7_x"), ("7", "7"), ("a" * 32, "a" * 32)],
)
def test_an_account_name_is_lower_case_ascii(text: str, name: str) -> None:
    assert account_name(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a" * 33,
        "anna b",
        " anna",
        "anna\n",
        "anna@example.org",
        "ännä",
        "\u212aate",  # the Kelvin sign, which case-folds to "k"
        "аnna",  # a Cyrillic letter in front
        ".",
        "..",
        "-anna",
        "anna.",
        "_",
        "a/b",
        "a\x00",
    ],
)
def test_what_is_no_account_name_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        account_name(text)
    assert caught.value.code is Code.USAGE_INVALID


@pytest.mark.parametrize(
    ("text", "name"),
    [("Example.ORG", "example.org"), ("localhost:8443", "localhost:8443"), ("[::1]", "[::1]")],
)
def test_a_server_name_is_lower_case(text: str, name: str) -> None:
    assert server_name(text) == name


@pytest.mark.parametrize("text", ["", "a b", "bücher.example", "a/b", "a@b", "a" * 261, "a\n"])
def test_what_is_no_server_name_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        server_name(text)


def test_a_password_is_the_same_from_every_keyboard() -> None:
    composed, decomposed = "caf\u00e9 42", "cafe\u0301\u00a042"
    assert unicodedata.normalize("NFC", "cafe\u0301") == "caf\u00e9"
    assert password_bytes(composed) == password_bytes(decomposed) == "café 42".encode()


def test_case_and_compatibility_characters_stay_distinct() -> None:
    assert len({password_bytes(text) for text in ("pass", "Pass", "ｐass")}) == 3


@pytest.mark.parametrize(
    "password",
    ["", "a\nb", "a\x00", "\ud800", "\ue000", "\uffff", "\U0003fffd", "x" * 1025],
)
def test_what_is_no_password_is_refused(password: str) -> None:
    with pytest.raises(UsageError):
        password_bytes(password)


def test_the_longest_password_is_taken() -> None:
    assert len(password_bytes("\U0001f600" * 1024)) == 4096


def test_nobody_is_called_what_programs_call_the_person_in_front_of_them() -> None:
    assert new_account_name("Yours") == "yours"
    with pytest.raises(UsageError, match="nobody can be called you"):
        new_account_name("You")
