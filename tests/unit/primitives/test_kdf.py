"""HKDF against RFC 5869, Argon2id against RFC 9106."""

import pytest

from parlour.errors import UsageError
from parlour.primitives.kdf import (
    Argon2Cost,
    argon2id,
    hash_size,
    hkdf,
    hkdf_expand,
    hkdf_extract,
)

A1_PRK = bytes.fromhex("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5")
A1_OKM = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
CHEAP = Argon2Cost(memory_kib=8, passes=1)


def test_rfc_5869_a_1() -> None:
    salt = bytes(range(13))
    info = bytes(range(0xF0, 0xFA))
    assert hkdf_extract(salt, b"\x0b" * 22) == A1_PRK
    assert hkdf_expand(A1_PRK, info, 42).hex() == A1_OKM
    assert hkdf(b"\x0b" * 22, salt=salt, info=info, length=42).hex() == A1_OKM
    assert hkdf_expand(A1_PRK, info, 32).hex() == A1_OKM[:64]


def test_rfc_5869_a_3_has_neither_salt_nor_info() -> None:
    assert hkdf(b"\x0b" * 22, salt=b"", info=b"", length=42).hex() == (
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    )


@pytest.mark.parametrize(("name", "size"), [("sha256", 32), ("sha384", 48), ("sha512", 64)])
def test_lengths(name: str, size: int) -> None:
    assert hash_size(name) == size
    longest = hkdf_expand(b"k" * size, b"info", 255 * size, name)
    assert len(longest) == 255 * size
    for length in (0, 1, size, size + 1):
        assert hkdf_expand(b"k" * size, b"info", length, name) == longest[:length]
    for length in (-1, -size - 1, 255 * size + 1):
        with pytest.raises(UsageError):
            hkdf_expand(b"k" * size, b"info", length, name)


def test_unknown_hashes_are_the_callers_mistake() -> None:
    for call in (
        lambda: hash_size("md5"),
        lambda: hkdf_extract(b"", b"k", "md5"),
        lambda: hkdf_expand(b"k", b"", 16, "md5"),
    ):
        with pytest.raises(UsageError):
            call()


def test_rfc_9106_5_3() -> None:
    tag = argon2id(
        b"\x01" * 32,
        salt=b"\x02" * 16,
        cost=Argon2Cost(memory_kib=32, passes=3, lanes=4),
        length=32,
        secret=b"\x03" * 8,
        associated_data=b"\x04" * 12,
    )
    assert tag.hex() == "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659"


def test_argon2id_without_secret_and_data() -> None:
    # Known from the tests of the reference implementation: m = 2^8 KiB, t = 2, p = 1.
    tag = argon2id(b"password", salt=b"somesalt", cost=Argon2Cost(memory_kib=256, passes=2))
    assert tag.hex() == "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe"


@pytest.mark.parametrize(
    ("salt", "cost", "length"),
    [
        (b"short", CHEAP, 32),
        (b"somesalt", Argon2Cost(memory_kib=8, passes=0), 32),
        (b"somesalt", Argon2Cost(memory_kib=8, passes=1, lanes=0), 32),
        (b"somesalt", Argon2Cost(memory_kib=1, passes=1), 32),
        (b"somesalt", Argon2Cost(memory_kib=-1, passes=1), 32),
        (b"somesalt", Argon2Cost(memory_kib=1 << 40, passes=1), 32),
        (b"somesalt", CHEAP, 0),
    ],
)
def test_bad_parameters_are_the_callers_mistake(salt: bytes, cost: Argon2Cost, length: int) -> None:
    with pytest.raises(UsageError):
        argon2id(b"password", salt=salt, cost=cost, length=length)
