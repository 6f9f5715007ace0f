"""ML-KEM: both ends agree, forged input is refused or leads nowhere."""

import pytest

from parlour.errors import AuthenticationError, Code
from parlour.primitives.hashes import sha256
from parlour.primitives.kem import (
    MLKEM768_CIPHERTEXT_SIZE,
    MLKEM768_PUBLIC_KEY_SIZE,
    MLKEM1024_CIPHERTEXT_SIZE,
    MLKEM1024_PUBLIC_KEY_SIZE,
    MLKEM_SECRET_SIZE,
    MLKEM_SEED_SIZE,
    MlKem768PrivateKey,
    MlKem768PublicKey,
    MlKem1024PrivateKey,
    MlKem1024PublicKey,
    MlKemPrivateKey,
    MlKemPublicKey,
)

SETS: list[tuple[type[MlKemPrivateKey], type[MlKemPublicKey], int, int]] = [
    (
        MlKem768PrivateKey,
        MlKem768PublicKey,
        MLKEM768_PUBLIC_KEY_SIZE,
        MLKEM768_CIPHERTEXT_SIZE,
    ),
    (
        MlKem1024PrivateKey,
        MlKem1024PublicKey,
        MLKEM1024_PUBLIC_KEY_SIZE,
        MLKEM1024_CIPHERTEXT_SIZE,
    ),
]


@pytest.mark.parametrize(("private", "public", "public_size", "ciphertext_size"), SETS)
def test_both_ends_agree(
    private: type[MlKemPrivateKey],
    public: type[MlKemPublicKey],
    public_size: int,
    ciphertext_size: int,
) -> None:
    key = private.generate()
    ciphertext, secret = public(key.public_key.to_bytes()).encapsulate()
    assert len(key.public_key.to_bytes()) == public_size
    assert len(ciphertext) == ciphertext_size
    assert len(secret) == MLKEM_SECRET_SIZE
    assert key.decapsulate(ciphertext) == secret
    assert private(key.to_bytes()).decapsulate(ciphertext) == secret
    assert key.public_key.encapsulate() != key.public_key.encapsulate()


@pytest.mark.parametrize(("private", "public", "public_size", "ciphertext_size"), SETS)
def test_a_forged_ciphertext_gives_a_secret_that_nobody_shares(
    private: type[MlKemPrivateKey],
    public: type[MlKemPublicKey],
    public_size: int,
    ciphertext_size: int,
) -> None:
    key = private.generate()
    ciphertext, secret = key.public_key.encapsulate()
    forged = bytes((ciphertext[0] ^ 1,)) + ciphertext[1:]
    assert key.decapsulate(forged) != secret
    assert key.decapsulate(forged) == key.decapsulate(forged)
    for wrong in (b"", ciphertext[:-1], ciphertext + b"\x00"):
        with pytest.raises(AuthenticationError) as caught:
            key.decapsulate(wrong)
        assert caught.value.code == Code.CRYPTO_KEY


@pytest.mark.parametrize(("private", "public", "public_size", "ciphertext_size"), SETS)
def test_keys_are_checked_when_they_are_decoded(
    private: type[MlKemPrivateKey],
    public: type[MlKemPublicKey],
    public_size: int,
    ciphertext_size: int,
) -> None:
    good = private.generate().public_key.to_bytes()
    # FIPS 203 §7.2: 0xFFF is a coefficient above q = 3329.
    modulus = [b"\xff" * public_size, b"\xff\xff" + good[2:], b"\x01\x0d" + good[2:]]
    for data in (b"", good[:-1], good + b"\x00", *modulus):
        with pytest.raises(AuthenticationError) as caught:
            public(data)
        assert caught.value.code == Code.CRYPTO_KEY
    for size in (0, 32, MLKEM_SEED_SIZE - 1, MLKEM_SEED_SIZE + 1):
        with pytest.raises(AuthenticationError) as caught:
            private(bytes(size))
        assert caught.value.code == Code.CRYPTO_KEY


@pytest.mark.parametrize(("private", "public", "public_size", "ciphertext_size"), SETS)
def test_keys_are_values(
    private: type[MlKemPrivateKey],
    public: type[MlKemPublicKey],
    public_size: int,
    ciphertext_size: int,
) -> None:
    key = private.generate(lambda size: b"s" * size)
    assert key.to_bytes() == b"s" * MLKEM_SEED_SIZE
    assert key.public_key == public(key.public_key.to_bytes())
    assert len({key.public_key, private(key.to_bytes()).public_key}) == 1
    assert key.public_key != private.generate().public_key
    assert key.public_key != key.public_key.to_bytes()
    assert repr(key) == f"{private.__name__}([secret])"
    assert repr(key.public_key) == f"{public.__name__}({key.public_key.to_bytes()[:8].hex()}…)"


def test_the_key_of_a_seed_is_fixed() -> None:
    # The seed 00 01 … 3f: what stands in storage must lead to the same key for ever.
    seed = bytes(range(64))
    digests = [
        sha256(private(seed).public_key.to_bytes()).hex()
        for private in (MlKem768PrivateKey, MlKem1024PrivateKey)
    ]
    assert digests == [
        "0b7934c83125c788995e2ba6bd761e33046b3e40571be53e023309a29f398cc9",
        "c7b8fa0aa471d5ae18922d6ccad5b31e1d84f92ae723abfd13747018740a8530",
    ]
