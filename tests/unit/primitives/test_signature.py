"""Signatures against the values that RFCs print, and what is refused."""

import pytest

from parlour.errors import AuthenticationError, Code
from parlour.primitives.signature import (
    EcdsaP256PrivateKey,
    EcdsaP256PublicKey,
    EcdsaP384PrivateKey,
    EcdsaP384PublicKey,
    EcdsaP521PrivateKey,
    EcdsaP521PublicKey,
    Ed448PrivateKey,
    Ed448PublicKey,
    Ed25519PrivateKey,
    Ed25519PublicKey,
    SignaturePrivateKey,
    SignaturePublicKey,
)

SCHEMES: list[tuple[type[SignaturePrivateKey], type[SignaturePublicKey], int, int]] = [
    (Ed25519PrivateKey, Ed25519PublicKey, 32, 32),
    (Ed448PrivateKey, Ed448PublicKey, 57, 57),
    (EcdsaP256PrivateKey, EcdsaP256PublicKey, 32, 65),
    (EcdsaP384PrivateKey, EcdsaP384PublicKey, 48, 97),
    (EcdsaP521PrivateKey, EcdsaP521PublicKey, 66, 133),
]


@pytest.mark.parametrize(
    ("seed", "public", "message", "signature"),
    [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
    ],
)
def test_ed25519_of_rfc_8032_7_1(seed: str, public: str, message: str, signature: str) -> None:
    key = Ed25519PrivateKey(bytes.fromhex(seed))
    assert key.public_key.to_bytes().hex() == public
    assert key.sign(bytes.fromhex(message)).hex() == signature
    key.public_key.verify(bytes.fromhex(signature), bytes.fromhex(message))


def test_ed448_of_rfc_8032_7_4() -> None:
    key = Ed448PrivateKey(
        bytes.fromhex(
            "6c82a562cb808d10d632be89c8513ebf6c929f34ddfa8c9f63c9960ef6e348a3"
            "528c8a3fcc2f044e39a3fc5b94492f8f032e7549a20098f95b"
        )
    )
    assert key.public_key.to_bytes().hex() == (
        "5fd7449b59b461fd2ce787ec616ad46a1da1342485a70e1f8a0ea75d80e96778"
        "edf124769b46c7061bd6783df1e50f6cd1fa1abeafe8256180"
    )
    signature = key.sign(b"")
    assert signature.hex() == (
        "533a37f6bbe457251f023c0d88f976ae2dfb504a843e34d2074fd823d41a591f"
        "2b233f034f628281f2fd7a22ddd47d7828c59bd0a21bfd3980ff0d2028d4b18a"
        "9df63e006c5d1c2d345b925d8dc00b4104852db99ac5c7cdda8530a113a0f4db"
        "b61149f05a7363268c71d95808ff2e652600"
    )
    key.public_key.verify(signature, b"")


def test_ecdsa_p256_of_rfc_6979_a_2_5() -> None:
    key = EcdsaP256PrivateKey(
        bytes.fromhex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721")
    )
    signature = key.sign(b"sample")
    assert signature.hex() == (
        "3046"
        "022100efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
        "022100f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
    )
    key.public_key.verify(signature, b"sample")


@pytest.mark.parametrize(("private", "public", "private_size", "public_size"), SCHEMES)
def test_what_was_signed_verifies_and_nothing_else(
    private: type[SignaturePrivateKey],
    public: type[SignaturePublicKey],
    private_size: int,
    public_size: int,
) -> None:
    key, other = private.generate(), private.generate()
    signature = key.sign(b"message")
    assert key.sign(b"message") == signature
    public(key.public_key.to_bytes()).verify(signature, b"message")
    for verifier, candidate, message in (
        (other.public_key, signature, b"message"),
        (key.public_key, signature, b"massage"),
        (key.public_key, signature[:-1], b"message"),
        (key.public_key, signature + b"\x00", b"message"),
        (key.public_key, signature[:-1] + bytes((signature[-1] ^ 1,)), b"message"),
        (key.public_key, b"", b"message"),
        (key.public_key, bytes(len(signature)), b"message"),
    ):
        with pytest.raises(AuthenticationError) as caught:
            verifier.verify(candidate, message)
        assert caught.value.code == Code.CRYPTO_SIGNATURE


@pytest.mark.parametrize(("private", "public", "private_size", "public_size"), SCHEMES)
def test_keys_are_values(
    private: type[SignaturePrivateKey],
    public: type[SignaturePublicKey],
    private_size: int,
    public_size: int,
) -> None:
    key = private.generate(lambda size: bytes(size - 1) + b"\x07")
    again = private(key.to_bytes())
    assert key.to_bytes() == bytes(private_size - 1) + b"\x07"
    assert len(key.public_key.to_bytes()) == public_size
    assert key.public_key == again.public_key == public(key.public_key.to_bytes())
    assert len({key.public_key, again.public_key}) == 1
    assert key.public_key != private.generate().public_key
    assert key.public_key != key.public_key.to_bytes()
    assert key.to_bytes().hex() not in repr(key)
    assert key.public_key.to_bytes().hex() in repr(key)
    assert key.public_key.to_bytes().hex() in repr(key.public_key)


@pytest.mark.parametrize(("private", "public", "private_size", "public_size"), SCHEMES)
def test_sizes(
    private: type[SignaturePrivateKey],
    public: type[SignaturePublicKey],
    private_size: int,
    public_size: int,
) -> None:
    for size in (0, 1, private_size - 1, private_size + 1):
        with pytest.raises(AuthenticationError) as caught:
            private(b"\x01" * size)
        assert caught.value.code == Code.CRYPTO_KEY
    for size in (0, 1, public_size - 1, public_size + 1):
        with pytest.raises(AuthenticationError) as caught:
            public(b"\x04" * size)
        assert caught.value.code == Code.CRYPTO_KEY


def test_the_same_scalar_is_another_key_for_another_use() -> None:
    # ECDH and ECDSA keys have separate classes, so that none is used for both by accident.
    key = EcdsaP256PrivateKey.generate()
    assert not hasattr(key, "exchange")


def test_ed25519_refuses_keys_of_small_order() -> None:
    # Under the neutral element R = S·B verifies for every message, S = 0 for instance.
    neutral = b"\x01" + bytes(31)
    for data in (neutral, bytes(32), b"\xec" + b"\xff" * 30 + b"\x7f", b"\xee" + b"\xff" * 31):
        with pytest.raises(AuthenticationError) as caught:
            Ed25519PublicKey(data)
        assert caught.value.code == Code.CRYPTO_KEY
    Ed25519PublicKey(b"\x02" + bytes(31))
