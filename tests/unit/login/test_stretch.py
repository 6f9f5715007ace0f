from hashlib import sha256

import pytest

from parlour.errors import UsageError
from parlour.login import STRETCH_COST, Stretched, stretch
from parlour.login.stretch import stretch_salt
from parlour.primitives.kdf import Argon2Cost, argon2id

CHEAP = Argon2Cost(memory_kib=64, passes=1)


def cheaply(password: str, *, server: str = "example.org", user: str = "anna") -> Stretched:
    return stretch(password, server=server, user=user, cost=CHEAP)


def test_the_cost_is_the_promised_one() -> None:
    assert Argon2Cost(memory_kib=131_072, passes=3, lanes=1) == STRETCH_COST


def test_the_default_is_that_cost() -> None:
    salt = stretch_salt(server="example.org", user="anna")
    expected = argon2id(b"correct horse", salt=salt, cost=STRETCH_COST)
    assert stretch("correct horse", server="example.org", user="anna") == Stretched(expected)


def test_the_salt_names_label_server_and_user_with_their_lengths() -> None:
    fields = b"\x17parlour/1 login stretch\x0bexample.org\x04anna"
    assert stretch_salt(server="example.org", user="anna") == sha256(fields).digest()


def test_server_user_and_password_all_matter() -> None:
    values = [
        cheaply("one"),
        cheaply("two"),
        cheaply("one", server="example.com"),
        cheaply("one", user="bea"),
        # The border between the two moves: the lengths keep them apart.
        cheaply("one", server="example.orga", user="nna"),
    ]
    assert len({value.reveal() for value in values}) == len(values)


def test_spellings_of_the_same_do_not_matter() -> None:
    assert cheaply("café") == cheaply("cafe\u0301", server="EXAMPLE.org", user="Anna")


def test_names_and_passwords_without_a_canonical_form_are_refused() -> None:
    with pytest.raises(UsageError):
        cheaply("one", user="no such name")
    with pytest.raises(UsageError):
        cheaply("one", server="")
    with pytest.raises(UsageError):
        cheaply("")


def test_the_value_does_not_show_itself() -> None:
    assert repr(cheaply("one")) == "Stretched([secret])"
