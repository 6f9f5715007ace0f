"""Project Wycheproof: edge cases of each primitive.

Every test counts what ran and says by name what could not: AES-192; nonces of other sizes than 96
bits; compressed points (ours are uncompressed); expanded ML-KEM keys (ours are seeds); ciphertexts
that follow from the randomness of encapsulation, which the library draws.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from parlour.errors import AuthenticationError, ParlourError, UsageError
from parlour.primitives.aead import NONCE_SIZE, Aead, AesGcm, ChaChaPoly
from parlour.primitives.agreement import (
    P256PrivateKey,
    P256PublicKey,
    X25519PrivateKey,
    X25519PublicKey,
)
from parlour.primitives.hashes import equal, hmac_sha256, hmac_sha512
from parlour.primitives.kdf import hkdf
from parlour.primitives.kem import (
    MlKem768PrivateKey,
    MlKem768PublicKey,
    MlKem1024PrivateKey,
    MlKemPrivateKey,
)
from parlour.primitives.signature import EcdsaP256PublicKey, Ed25519PublicKey
from tests.conftest import load_vector

Case = dict[str, Any]


def cases(name: str) -> Iterator[tuple[Case, Case]]:
    """Each test of a file with its group; hexadecimal strings are bytes already."""
    document = load_vector(f"wycheproof/{name}_test.json")
    count = 0
    for group in document["testGroups"]:
        for test in group["tests"]:
            count += 1
            texts = ("comment", "result")
            yield (
                group,
                {
                    key: bytes.fromhex(value)
                    if isinstance(value, str) and key not in texts
                    else value
                    for key, value in test.items()
                },
            )
    assert count == document["numberOfTests"]


def name_of(test: Case) -> str:
    return f"{test['tcId']} {test.get('comment')} {test.get('flags')}"


@pytest.mark.parametrize(
    ("name", "cipher", "expected"),
    [
        (
            "aes_gcm",
            AesGcm,
            {"valid": 79, "invalid": 54, "AES-192": 103, "nonces of other sizes": 80},
        ),
        (
            "chacha20_poly1305",
            ChaChaPoly,
            {"valid": 256, "invalid": 60, "nonces of other sizes": 9},
        ),
    ],
)
def test_aead(name: str, cipher: type[AesGcm] | type[ChaChaPoly], expected: dict[str, int]) -> None:
    count: Counter[str] = Counter()
    for group, test in cases(name):
        if group["keySize"] == 192:
            count["AES-192"] += 1
            with pytest.raises(UsageError):
                cipher(test["key"])
            continue
        aead: Aead = cipher(test["key"])
        sealed = test["ct"] + test["tag"]
        if len(test["iv"]) != NONCE_SIZE:
            count["nonces of other sizes"] += 1
            with pytest.raises(UsageError):
                aead.open(test["iv"], sealed, test["aad"])
            continue
        count[test["result"]] += 1
        if test["result"] == "valid":
            assert aead.seal(test["iv"], test["msg"], test["aad"]) == sealed, name_of(test)
            assert aead.open(test["iv"], sealed, test["aad"]) == test["msg"], name_of(test)
        else:
            with pytest.raises(AuthenticationError):
                aead.open(test["iv"], sealed, test["aad"])
    assert count == expected


def test_x25519() -> None:
    count: Counter[str] = Counter()
    for _, test in cases("x25519"):
        if "ZeroSharedSecret" in test["flags"]:
            count["refused"] += 1
            with pytest.raises(AuthenticationError):
                X25519PublicKey(test["public"])
        else:
            count["agreed"] += 1
            private, public = X25519PrivateKey(test["private"]), X25519PublicKey(test["public"])
            assert private.exchange(public) == test["shared"], name_of(test)
    assert count == {"agreed": 487, "refused": 31}


def test_ecdh_p256() -> None:
    count: Counter[str] = Counter()
    for _, test in cases("ecdh_secp256r1_ecpoint"):
        if test["result"] == "valid":
            count["agreed"] += 1
            # Some scalars are written with a sign byte, or shorter than 32 bytes.
            scalar = int.from_bytes(test["private"]).to_bytes(32)
            private = P256PrivateKey(scalar)
            assert private.exchange(P256PublicKey(test["public"])) == test["shared"], name_of(test)
        else:
            count["refused"] += 1
            with pytest.raises(AuthenticationError):
                P256PublicKey(test["public"])
        count["compressed"] += "CompressedPublic" in test["flags"]
    assert count == {"agreed": 330, "refused": 25, "compressed": 1}


def test_ecdsa_p256() -> None:
    count: Counter[str] = Counter()
    for group, test in cases("ecdsa_secp256r1_sha256"):
        key = EcdsaP256PublicKey(bytes.fromhex(group["publicKey"]["uncompressed"]))
        count[test["result"]] += 1
        if test["result"] == "valid":
            key.verify(test["sig"], test["msg"])
        else:
            with pytest.raises(AuthenticationError):
                key.verify(test["sig"], test["msg"])
    assert count == {"valid": 174, "invalid": 310}


def test_ed25519() -> None:
    count: Counter[str] = Counter()
    for group, test in cases("ed25519"):
        key = Ed25519PublicKey(bytes.fromhex(group["publicKey"]["pk"]))
        count[test["result"]] += 1
        if test["result"] == "valid":
            key.verify(test["sig"], test["msg"])
        else:
            with pytest.raises(AuthenticationError):
                key.verify(test["sig"], test["msg"])
    assert count == {"valid": 88, "invalid": 63}


@pytest.mark.parametrize(("hash_name", "valid"), [("sha256", 83), ("sha384", 80), ("sha512", 80)])
def test_hkdf(hash_name: str, valid: int) -> None:
    count: Counter[str] = Counter()
    for _, test in cases(f"hkdf_{hash_name}"):
        count[test["result"]] += 1

        def derive(test: Case = test) -> bytes:
            return hkdf(
                test["ikm"],
                salt=test["salt"],
                info=test["info"],
                length=test["size"],
                hash_name=hash_name,
            )

        if test["result"] == "valid":
            assert derive() == test["okm"], name_of(test)
        else:
            with pytest.raises(UsageError):
                derive()
    assert count == {"valid": valid, "invalid": 3}


@pytest.mark.parametrize(("name", "mac"), [("sha256", hmac_sha256), ("sha512", hmac_sha512)])
def test_hmac(name: str, mac: Any) -> None:
    count: Counter[str] = Counter()
    for group, test in cases(f"hmac_{name}"):
        count[test["result"]] += 1
        tag = mac(test["key"], test["msg"])[: group["tagSize"] // 8]
        assert equal(tag, test["tag"]) == (test["result"] == "valid"), name_of(test)
    assert count == {"valid": 66, "invalid": 108}


@pytest.mark.parametrize(
    ("name", "private"), [("mlkem_768", MlKem768PrivateKey), ("mlkem_1024", MlKem1024PrivateKey)]
)
def test_ml_kem(name: str, private: type[MlKemPrivateKey]) -> None:
    count: Counter[str] = Counter()
    for _, test in cases(name):
        count[test["result"]] += 1
        if test["result"] == "valid":
            key = private(test["seed"])
            assert key.public_key.to_bytes() == test["ek"], name_of(test)
            assert key.decapsulate(test["c"]) == test["K"], name_of(test)
        else:
            with pytest.raises(AuthenticationError):
                private(test["seed"]).decapsulate(test["c"])
    assert count == {"valid": 153, "invalid": 40}


def test_ml_kem_768_key_generation() -> None:
    count = 0
    for _, test in cases("mlkem_768_keygen_seed"):
        # `dk` is the expanded key, which we never have; its middle is the public key.
        public = MlKem768PrivateKey(test["seed"]).public_key.to_bytes()
        assert public == test["ek"] == test["dk"][1152 : 1152 + 1184], name_of(test)
        count += 1
    assert count == 100


def test_ml_kem_768_encapsulation() -> None:
    """The check of FIPS 203 §7.2. The ciphertexts themselves hang on randomness that none gives."""
    count: Counter[str] = Counter()
    for _, test in cases("mlkem_768_encaps"):
        count[test["result"]] += 1
        count["coefficient above the modulus"] += "ModulusOverflow" in test.get("flags", [])
        if test["result"] == "valid":
            ciphertext, secret = MlKem768PublicKey(test["ek"]).encapsulate()
            assert (len(ciphertext), len(secret)) == (len(test["c"]), len(test["K"]))
        else:
            with pytest.raises(AuthenticationError):
                MlKem768PublicKey(test["ek"])
    assert count == {"valid": 133, "invalid": 132, "coefficient above the modulus": 12}


def test_ml_kem_768_expanded_keys_are_not_read() -> None:
    """We keep seeds alone, so that none of the checks of an expanded key can be forgotten."""
    count = 0
    for _, test in cases("mlkem_768_semi_expanded_decaps"):
        count += 1
        with pytest.raises(ParlourError):
            MlKem768PrivateKey(test["dk"])
    assert count == 9
