"""Secrets do not show, mix or escape."""

import copy
import pickle

import pytest

from parlour.errors import UsageError
from parlour.primitives.secret import Secret


class RootKey(Secret):
    SIZE = 4


class ChainKey(Secret):
    SIZE = 4


class Passphrase(Secret):
    pass


def test_revealed_on_purpose_only() -> None:
    key = RootKey(b"ABCD")
    assert key.reveal() == b"ABCD"
    for shown in (repr(key), str(key), f"{key}", f"{key!r}", f"{key:>40}", f"{[key]}"):
        assert "ABCD" not in shown
        assert "41424344" not in shown
        assert "RootKey([secret])" in shown


def test_sizes_are_checked_where_a_class_names_one() -> None:
    with pytest.raises(UsageError):
        RootKey(b"ABC")
    assert Passphrase(b"any length").reveal() == b"any length"


def test_generation() -> None:
    assert RootKey.generate(lambda size: b"r" * size).reveal() == b"rrrr"
    assert RootKey.generate() != RootKey.generate()
    with pytest.raises(UsageError):
        Passphrase.generate()


def test_equal_only_within_one_role() -> None:
    assert RootKey(b"ABCD") == RootKey(b"ABCD")
    assert RootKey(b"ABCD") != RootKey(b"ABCE")
    assert RootKey(b"ABCD") != ChainKey(b"ABCD")
    assert RootKey(b"ABCD") != b"ABCD"


def test_neither_hashed_nor_pickled_nor_copied() -> None:
    key = RootKey(b"ABCD")
    with pytest.raises(TypeError):
        hash(key)
    for escape in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(UsageError):
            escape(key)
