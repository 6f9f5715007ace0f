"""Every primitive that takes a stranger's bytes: keys, signatures, ciphertexts, certificates.

The first byte chooses the function. What it takes is either the sound seed or a value that nobody
promised to refuse (a foreign public key); nothing that was sealed or signed is taken in two forms.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random as Seeded
from typing import Final

from parlour.primitives import agreement, certificates, kem, signature
from parlour.primitives.aead import Aead, AesGcm, ChaChaPoly
from parlour.primitives.hpke import AeadId, KdfId, KemId, Psk, Suite
from parlour.primitives.hpke.kem import KEMS
from parlour.primitives.xwing import XWingPrivateKey, XWingPublicKey

Function = Callable[[bytes], object]

_RANDOM: Final = Seeded(7).randbytes
_NONCE: Final = bytes(12)
_INFO: Final = b"parlour/1 fuzz info"
_PSK: Final = Psk(bytes(32), b"fuzz")
_FUNCTIONS: Final[list[tuple[Function, bytes]]] = []


def _add(function: Function, seed: bytes) -> None:
    _FUNCTIONS.append((function, seed))


def _only(expected: bytes, value: bytes, what: bytes, seed: bytes) -> None:
    """What opened is what was sealed, from the very bytes that were sealed."""
    assert (value, what) == (expected, seed)


def _add_agreement(private: type[agreement.AgreementPrivateKey]) -> None:
    mine, theirs = private.generate(_RANDOM), private.generate(_RANDOM)

    def exchange(data: bytes) -> None:
        key = type(mine.public_key)(data)
        assert key.to_bytes() == data
        mine.exchange(key)

    def decode_private(data: bytes) -> None:
        assert private(data).to_bytes() == data

    _add(exchange, theirs.public_key.to_bytes())
    _add(decode_private, mine.to_bytes())


def _add_signature(private: type[signature.SignaturePrivateKey]) -> None:
    key = private.generate(_RANDOM)
    public = key.public_key
    signed = key.sign(b"message")
    point = len(public.to_bytes())

    def verify(data: bytes) -> None:
        public.verify(data, b"message")
        # (r, n - s) is as good as (r, s) in ECDSA; in EdDSA there is one signature.
        assert data == signed or data[:1] == b"\x30"

    def verify_under_any_key(data: bytes) -> None:
        type(public)(data[:point]).verify(data[point:], b"message")

    _add(verify, signed)
    _add(verify_under_any_key, public.to_bytes() + signed)


def _add_aead(aead: Aead) -> None:
    sealed = aead.seal(_NONCE, b"plaintext", b"data")
    _add(lambda data: _only(b"plaintext", aead.open(_NONCE, data, b"data"), data, sealed), sealed)


def _add_kem(private: type[kem.MlKemPrivateKey] | type[XWingPrivateKey]) -> None:
    key = private.generate(_RANDOM)
    public: type[kem.MlKemPublicKey] | type[XWingPublicKey] = type(key.public_key)
    ciphertext, secret = key.public_key.encapsulate()

    def encapsulate(data: bytes) -> None:
        given = public(data)
        assert given.to_bytes() == data
        given.encapsulate()

    def decapsulate(data: bytes) -> None:
        assert (key.decapsulate(data) == secret) == (data == ciphertext)

    _add(encapsulate, key.public_key.to_bytes())
    _add(decapsulate, ciphertext)


def _add_hpke(kem_id: KemId) -> None:
    suite = Suite(kem_id, KdfId.HKDF_SHA256, AeadId.AES_128_GCM)
    key = suite.kem.generate_key_pair(_RANDOM)
    encapsulated, ciphertext = suite.seal(
        key.public_key, b"text", info=_INFO, psk=_PSK, random=_RANDOM
    )
    size = suite.kem.encapsulated_size

    def open_(data: bytes) -> None:
        suite.open(key, data[:size], data[size:], info=_INFO, psk=_PSK)
        assert data == encapsulated + ciphertext

    _add(open_, encapsulated + ciphertext)
    _add(suite.kem.decode_private_key, key.to_bytes())


def _certificate(data: bytes) -> None:
    certificate = certificates.Certificate(data)
    assert len(certificate.spki_pin) == certificates.PIN_SIZE
    _ = certificate.names, certificate.not_before, certificate.not_after
    assert certificates.Certificate.from_pem(certificate.to_pem()) == certificate


def _add_certificates() -> None:
    key = signature.EcdsaP256PrivateKey.generate(_RANDOM)
    made = certificates.Certificate.self_signed(
        key, names=["localhost", "::1"], now=1_900_000_000, valid_for=86_400, random=_RANDOM
    )
    _add(_certificate, made.to_bytes())
    _add(certificates.Certificate.from_pem, made.to_pem())
    _add(certificates.private_key_from_pem, certificates.private_key_to_pem(key))


for _agreement in (
    agreement.X25519PrivateKey,
    agreement.X448PrivateKey,
    agreement.P256PrivateKey,
    agreement.P384PrivateKey,
    agreement.P521PrivateKey,
):
    _add_agreement(_agreement)
for _signature in (
    signature.Ed25519PrivateKey,
    signature.Ed448PrivateKey,
    signature.EcdsaP256PrivateKey,
    signature.EcdsaP384PrivateKey,
    signature.EcdsaP521PrivateKey,
):
    _add_signature(_signature)
for _aead in (AesGcm(bytes(16)), AesGcm(bytes(32)), ChaChaPoly(bytes(32))):
    _add_aead(_aead)
for _kem in (kem.MlKem768PrivateKey, kem.MlKem1024PrivateKey, XWingPrivateKey):
    _add_kem(_kem)
for _kem_id in KEMS:
    _add_hpke(_kem_id)
_add_certificates()

SEEDS: Final = [bytes((index,)) + seed for index, (_, seed) in enumerate(_FUNCTIONS)]


def target(data: bytes) -> None:
    if data:
        _FUNCTIONS[data[0] % len(_FUNCTIONS)][0](data[1:])
