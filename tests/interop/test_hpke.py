"""HPKE against the single-shot implementation of pyca/cryptography, both ways."""

from typing import Any

import pytest
from cryptography.hazmat.primitives import hpke as foreign
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, x25519

from parlour.primitives.hpke import AeadId, KdfId, KemId, Suite

INFO = b"parlour/1 test info"


def theirs(kem_id: KemId, private: bytes) -> Any:
    match kem_id:
        case KemId.X25519:
            return x25519.X25519PrivateKey.from_private_bytes(private)
        case KemId.ML_KEM_768:
            return mlkem.MLKEM768PrivateKey.from_seed_bytes(private)
        case KemId.ML_KEM_1024:
            return mlkem.MLKEM1024PrivateKey.from_seed_bytes(private)
        case KemId.P256:
            return ec.derive_private_key(int.from_bytes(private), ec.SECP256R1())
        case KemId.P384:
            return ec.derive_private_key(int.from_bytes(private), ec.SECP384R1())
        case _:
            return ec.derive_private_key(int.from_bytes(private), ec.SECP521R1())


@pytest.mark.parametrize(
    ("kem_id", "foreign_kem"),
    [
        (KemId.X25519, foreign.KEM.X25519),
        (KemId.P256, foreign.KEM.P256),
        (KemId.P384, foreign.KEM.P384),
        (KemId.P521, foreign.KEM.P521),
        (KemId.ML_KEM_768, foreign.KEM.MLKEM768),
        (KemId.ML_KEM_1024, foreign.KEM.MLKEM1024),
    ],
)
@pytest.mark.parametrize(
    ("aead_id", "foreign_aead"),
    [
        (AeadId.AES_128_GCM, foreign.AEAD.AES_128_GCM),
        (AeadId.AES_256_GCM, foreign.AEAD.AES_256_GCM),
        (AeadId.CHACHA20_POLY1305, foreign.AEAD.CHACHA20_POLY1305),
    ],
)
def test_both_ways(
    kem_id: KemId, foreign_kem: foreign.KEM, aead_id: AeadId, foreign_aead: foreign.AEAD
) -> None:
    ours = Suite(kem_id, KdfId.HKDF_SHA512, aead_id)
    other = foreign.Suite(foreign_kem, foreign.KDF.HKDF_SHA512, foreign_aead)
    key = ours.kem.generate_key_pair()
    foreign_key = theirs(kem_id, key.to_bytes())

    encapsulated, ciphertext = ours.seal(key.public_key, b"text", info=INFO)
    assert other.decrypt(encapsulated + ciphertext, foreign_key, INFO) == b"text"

    sealed = other.encrypt(b"text", foreign_key.public_key(), INFO)
    size = ours.kem.encapsulated_size
    assert ours.open(key, sealed[:size], sealed[size:], info=INFO) == b"text"
