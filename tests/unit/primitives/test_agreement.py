"""Diffie-Hellman on five curves against the values that RFCs print, and what is refused."""

import pytest
from cryptography.hazmat.primitives.asymmetric import x448, x25519

from parlour.errors import AuthenticationError, Code, UsageError
from parlour.primitives.agreement import (
    AgreementPrivateKey,
    AgreementPublicKey,
    P256PrivateKey,
    P256PublicKey,
    P384PrivateKey,
    P384PublicKey,
    P521PrivateKey,
    P521PublicKey,
    X448PrivateKey,
    X448PublicKey,
    X25519PrivateKey,
    X25519PublicKey,
)
from parlour.primitives.weierstrass import P256, P384, P521, Curve

Classes = tuple[type[AgreementPrivateKey], type[AgreementPublicKey], int, int]

CURVES: list[Classes] = [
    (X25519PrivateKey, X25519PublicKey, 32, 32),
    (X448PrivateKey, X448PublicKey, 56, 56),
    (P256PrivateKey, P256PublicKey, 32, 65),
    (P384PrivateKey, P384PublicKey, 48, 97),
    (P521PrivateKey, P521PublicKey, 66, 133),
]
NIST = [
    (P256PrivateKey, P256PublicKey, P256),
    (P384PrivateKey, P384PublicKey, P384),
    (P521PrivateKey, P521PublicKey, P521),
]


def test_x25519_of_rfc_7748_6_1() -> None:
    bob = X25519PrivateKey(
        bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
    )
    alice = X25519PublicKey(
        bytes.fromhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
    )
    assert bob.public_key.to_bytes().hex() == (
        "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
    )
    assert bob.exchange(alice).hex() == (
        "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
    )


def test_x448_of_rfc_7748_6_2() -> None:
    bob = X448PrivateKey(
        bytes.fromhex(
            "1c306a7ac2a0e2e0990b294470cba339e6453772b075811d8fad0d1d"
            "6927c120bb5ee8972b0d3e21374c9c921b09d1b0366f10b65173992d"
        )
    )
    alice = X448PublicKey(
        bytes.fromhex(
            "9b08f7cc31b7e3e67d22d5aea121074a273bd2b83de09c63faa73d2c"
            "22c5d9bbc836647241d953d40c5b12da88120d53177f80e532c41fa0"
        )
    )
    assert bob.public_key.to_bytes().hex() == (
        "3eb7a829b0cd20f5bcfc0b599b6feccf6da4627107bdb0d4f345b430"
        "27d8b972fc3e34fb4232a13ca706dcb57aec3dae07bdc1c67bf33609"
    )
    assert bob.exchange(alice).hex() == (
        "07fff4181ac6cc95ec1c16a94a0f74d12da232ce40a77552281d282b"
        "b60c0b56fd2464c335543936521c24403085d59a449a5037514a879d"
    )


def test_p256_of_rfc_5903_8_1() -> None:
    initiator = P256PrivateKey(
        bytes.fromhex("c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433")
    )
    responder = P256PrivateKey(
        bytes.fromhex("c6ef9c5d78ae012a011164acb397ce2088685d8f06bf9be0b283ab46476bee53")
    )
    assert responder.public_key.to_bytes().hex() == (
        "04d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63"
        "56fbf3ca366cc23e8157854c13c58d6aac23f046ada30f8353e74f33039872ab"
    )
    for secret in (
        initiator.exchange(responder.public_key),
        responder.exchange(initiator.public_key),
    ):
        assert secret.hex() == "d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de"


@pytest.mark.parametrize(("private", "public", "private_size", "public_size"), CURVES)
def test_both_ends_agree(
    private: type[AgreementPrivateKey],
    public: type[AgreementPublicKey],
    private_size: int,
    public_size: int,
) -> None:
    left, right = private.generate(), private.generate()
    assert left.exchange(right.public_key) == right.exchange(left.public_key)
    assert len(left.to_bytes()) == private_size
    assert len(left.public_key.to_bytes()) == public_size
    assert private(left.to_bytes()).public_key == left.public_key
    decoded = public(left.public_key.to_bytes())
    assert right.exchange(decoded) == right.exchange(left.public_key)


@pytest.mark.parametrize(("private", "public", "private_size", "public_size"), CURVES)
def test_keys_are_values(
    private: type[AgreementPrivateKey],
    public: type[AgreementPublicKey],
    private_size: int,
    public_size: int,
) -> None:
    key = private.generate(lambda size: bytes(size - 1) + b"\x07")
    again = private.generate(lambda size: bytes(size - 1) + b"\x07")
    assert key.to_bytes() == bytes(private_size - 1) + b"\x07"
    assert key.public_key == again.public_key == public(key.public_key.to_bytes())
    assert len({key.public_key, again.public_key}) == 1
    assert key.public_key != private.generate().public_key
    assert key.public_key != key.public_key.to_bytes()
    assert key.to_bytes().hex() not in repr(key)
    assert key.public_key.to_bytes().hex() in repr(key)
    assert key.public_key.to_bytes().hex() in repr(key.public_key)


@pytest.mark.parametrize(("private", "public", "private_size", "public_size"), CURVES)
def test_sizes(
    private: type[AgreementPrivateKey],
    public: type[AgreementPublicKey],
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


def test_keys_of_another_curve_are_the_callers_mistake() -> None:
    keys = [private.generate() for private, *_ in CURVES]
    for mine in keys:
        for theirs in keys:
            if mine is not theirs:
                with pytest.raises(UsageError):
                    mine.exchange(theirs.public_key)


P25519, P448 = 2**255 - 19, 2**448 - 2**224 - 1
# The points of order 8, as the libraries list them.
EIGHT = (
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
)
SMALL_25519 = [
    *((u + high * 2**255).to_bytes(32, "little") for u in (0, 1) for high in (0, 1)),
    *((P25519 + n + high * 2**255).to_bytes(32, "little") for n in (-1, 0, 1) for high in (0, 1)),
    *map(bytes.fromhex, EIGHT),
    *(bytes.fromhex(u)[:31] + bytes([bytes.fromhex(u)[31] | 0x80]) for u in EIGHT),
]
SMALL_448 = [u.to_bytes(56, "little") for u in (0, 1, P448 - 1, P448, P448 + 1)]


@pytest.mark.parametrize("low_order", SMALL_25519, ids=bytes.hex)
def test_x25519_refuses_low_order_points(low_order: bytes) -> None:
    with pytest.raises(AuthenticationError) as caught:
        X25519PublicKey(low_order)
    assert caught.value.code == Code.CRYPTO_KEY
    # And they are what they are said to be: unchecked, such a key gives the secret zero.
    unchecked = x25519.X25519PublicKey.from_public_bytes(low_order)
    with pytest.raises(AuthenticationError):
        X25519PrivateKey.generate().exchange(X25519PublicKey._from_library(unchecked, low_order))


@pytest.mark.parametrize("low_order", SMALL_448, ids=bytes.hex)
def test_x448_refuses_low_order_points(low_order: bytes) -> None:
    with pytest.raises(AuthenticationError) as caught:
        X448PublicKey(low_order)
    assert caught.value.code == Code.CRYPTO_KEY
    unchecked = x448.X448PublicKey.from_public_bytes(low_order)
    with pytest.raises(AuthenticationError):
        X448PrivateKey.generate().exchange(X448PublicKey._from_library(unchecked, low_order))


def test_keys_beside_the_low_order_points_are_taken() -> None:
    for u in (2, 9, P25519 - 2, P25519 + 2):
        X25519PrivateKey.generate().exchange(X25519PublicKey(u.to_bytes(32, "little")))
    for u in (2, 5, P448 - 2, P448 + 2):
        X448PrivateKey.generate().exchange(X448PublicKey(u.to_bytes(56, "little")))


@pytest.mark.parametrize(("private", "public", "curve"), NIST)
def test_nist_scalars_lie_between_one_and_the_order(
    private: type[AgreementPrivateKey], public: type[AgreementPublicKey], curve: Curve
) -> None:
    size = curve.scalar_size
    assert (
        private((curve.order - 1).to_bytes(size)).public_key
        != private((1).to_bytes(size)).public_key
    )
    for scalar in (0, curve.order, curve.order + 1, (1 << (8 * size)) - 1):
        with pytest.raises(AuthenticationError):
            private(scalar.to_bytes(size))


@pytest.mark.parametrize(("private", "public", "curve"), NIST)
def test_nist_points_lie_on_the_curve_and_are_uncompressed(
    private: type[AgreementPrivateKey], public: type[AgreementPublicKey], curve: Curve
) -> None:
    point = private.generate().public_key.to_bytes()
    compressed = bytes((2 + (point[-1] & 1),)) + point[1 : 1 + curve.scalar_size]
    hybrid = bytes((6 + (point[-1] & 1),)) + point[1:]
    off_curve = point[:-1] + bytes((point[-1] ^ 1,))
    infinity = b"\x00"
    too_large = b"\x04" + b"\xff" * (2 * curve.scalar_size)
    for data in (
        compressed,
        hybrid,
        off_curve,
        infinity,
        too_large,
        b"\x04" + bytes(len(point) - 1),
    ):
        with pytest.raises(AuthenticationError):
            public(data)


@pytest.mark.parametrize(("private", "public", "curve"), NIST)
def test_nist_scalars_are_drawn_by_rejection(
    private: type[AgreementPrivateKey], public: type[AgreementPublicKey], curve: Curve
) -> None:
    size = curve.scalar_size
    good = (curve.order - 1).to_bytes(size)
    draws = iter([bytes(size), curve.order.to_bytes(size), b"\xff" * size, good])
    assert private.generate(lambda _: next(draws)).to_bytes() == good
    assert next(draws, None) is None


def test_a_broken_source_of_randomness_stops() -> None:
    with pytest.raises(UsageError):
        P256PrivateKey.generate(bytes)


def test_p521_masks_the_bits_that_its_order_lacks() -> None:
    key = P521PrivateKey.generate(lambda size: b"\xfe" + b"\x01" * (size - 1))
    assert key.to_bytes() == b"\x00" + b"\x01" * 65
