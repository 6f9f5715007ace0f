"""X-Wing: both ends agree, each half is checked."""

import pytest

from parlour.errors import AuthenticationError, Code
from parlour.primitives.agreement import X25519PrivateKey
from parlour.primitives.hashes import sha256
from parlour.primitives.xwing import (
    XWING_CIPHERTEXT_SIZE,
    XWING_PUBLIC_KEY_SIZE,
    XWING_SECRET_SIZE,
    XWING_SEED_SIZE,
    XWingPrivateKey,
    XWingPublicKey,
)


def test_both_ends_agree() -> None:
    key = XWingPrivateKey.generate()
    ciphertext, secret = XWingPublicKey(key.public_key.to_bytes()).encapsulate()
    assert len(key.to_bytes()) == XWING_SEED_SIZE == 32
    assert len(key.public_key.to_bytes()) == XWING_PUBLIC_KEY_SIZE == 1216
    assert len(ciphertext) == XWING_CIPHERTEXT_SIZE == 1120
    assert len(secret) == XWING_SECRET_SIZE == 32
    assert key.decapsulate(ciphertext) == secret
    assert XWingPrivateKey(key.to_bytes()).decapsulate(ciphertext) == secret


def test_the_first_published_seed() -> None:
    key = XWingPrivateKey(
        bytes.fromhex("7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26")
    )
    assert sha256(key.public_key.to_bytes()).hex() == (
        "2e816deebcd76c5c80d0cd2d174478871658e8e2ff42bc9d4a6e486372e856bb"
    )


def test_the_given_randomness_makes_the_x25519_half() -> None:
    key = XWingPrivateKey.generate()
    ciphertext, _ = key.public_key.encapsulate(lambda size: b"e" * size)
    assert ciphertext[1088:] == X25519PrivateKey(b"e" * 32).public_key.to_bytes()


def test_both_halves_reach_the_secret() -> None:
    key = XWingPrivateKey.generate()
    ciphertext, secret = key.public_key.encapsulate()
    for index in (0, 1087, 1088, 1118):
        forged = bytearray(ciphertext)
        forged[index] ^= 1
        assert key.decapsulate(bytes(forged)) != secret


def test_what_is_refused() -> None:
    key = XWingPrivateKey.generate()
    public = key.public_key.to_bytes()
    ciphertext, _ = key.public_key.encapsulate()
    for size in (0, 31, 33, 64):
        with pytest.raises(AuthenticationError):
            XWingPrivateKey(bytes(size))
    for data in (b"", public[:-1], public + b"\x00", b"\xff\xff" + public[2:]):
        with pytest.raises(AuthenticationError) as caught:
            XWingPublicKey(data)
        assert caught.value.code == Code.CRYPTO_KEY
    for data in (b"", ciphertext[:-1], ciphertext + b"\x00", ciphertext[:1088] + bytes(32)):
        with pytest.raises(AuthenticationError) as caught:
            key.decapsulate(data)
        assert caught.value.code == Code.CRYPTO_KEY
    with pytest.raises(AuthenticationError):
        XWingPublicKey(public[:1184] + bytes(32))


def test_keys_are_values() -> None:
    key = XWingPrivateKey.generate(lambda size: b"s" * size)
    assert key.to_bytes() == b"s" * 32
    assert key.public_key == XWingPublicKey(key.public_key.to_bytes())
    assert len({key.public_key, XWingPrivateKey(b"s" * 32).public_key}) == 1
    assert key.public_key != XWingPrivateKey.generate().public_key
    assert key.public_key != key.public_key.to_bytes()
    assert repr(key) == "XWingPrivateKey([secret])"
    assert repr(key.public_key) == f"XWingPublicKey({key.public_key.to_bytes()[:8].hex()}…)"
