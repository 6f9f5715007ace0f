"""Cipher suites, and the labelled functions of each.

Spec: RFC 9420 §5.1, §5.2, §8, §17.1; draft-ietf-mls-pq-ciphersuites for X-Wing, under private code
points until the draft has its own.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from enum import IntEnum
from typing import Final

from parlour.codec import encode_opaque, opaque_parts
from parlour.errors import AuthenticationError, Code, DecodeError
from parlour.primitives import hashes
from parlour.primitives.aead import Aead, AesGcm, ChaChaPoly
from parlour.primitives.hashes import equal
from parlour.primitives.hpke import (
    AeadId,
    HpkePrivateKey,
    HpkePublicKey,
    InfoHash,
    KdfId,
    KemId,
    Suite,
)
from parlour.primitives.kdf import hkdf_expand, hkdf_extract
from parlour.primitives.random import Random
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

AEAD_NONCE_SIZE: Final = 12
_LABEL_PREFIX: Final = b"MLS 1.0 "
# The labels of this package are a few dozen; those of exporters are the application's.
_MAX_CACHED_LABELS: Final = 256


class CipherSuiteId(IntEnum):
    """§17.1. The last two are private: X-Wing (INTERFACES: `mls-xwing`, `mls-xwing-256`)."""

    X25519_AES128GCM_SHA256_ED25519 = 0x0001
    P256_AES128GCM_SHA256_P256 = 0x0002
    X25519_CHACHA20POLY1305_SHA256_ED25519 = 0x0003
    X448_AES256GCM_SHA512_ED448 = 0x0004
    P521_AES256GCM_SHA512_P521 = 0x0005
    X448_CHACHA20POLY1305_SHA512_ED448 = 0x0006
    P384_AES256GCM_SHA384_P384 = 0x0007
    XWING_AES128GCM_SHA256_ED25519 = 0xF001
    XWING_AES256GCM_SHA384_ED25519 = 0xF002


_HASHES: Final[dict[str, tuple[KdfId, Callable[[bytes], bytes], int]]] = {
    "sha256": (KdfId.HKDF_SHA256, hashes.sha256, 32),
    "sha384": (KdfId.HKDF_SHA384, hashes.sha384, 48),
    "sha512": (KdfId.HKDF_SHA512, hashes.sha512, 64),
}
_CIPHERS: Final[dict[AeadId, tuple[type[AesGcm] | type[ChaChaPoly], int]]] = {
    AeadId.AES_128_GCM: (AesGcm, 16),
    AeadId.AES_256_GCM: (AesGcm, 32),
    AeadId.CHACHA20_POLY1305: (ChaChaPoly, 32),
}


class CipherSuite:
    """One suite. `hash_size` is KDF.Nh, `key_size` AEAD.Nk, in bytes; nonces have 12."""

    __slots__ = (
        "_blocks",
        "_cipher",
        "_hash",
        "_hash_name",
        "_infos",
        "hash_size",
        "hpke",
        "id",
        "key_size",
        "signing_key_type",
        "verifying_key_type",
    )

    def __init__(
        self,
        suite_id: CipherSuiteId,
        kem: KemId,
        aead: AeadId,
        hash_name: str,
        signing: type[SignaturePrivateKey],
        verifying: type[SignaturePublicKey],
    ) -> None:
        kdf, self._hash, self.hash_size = _HASHES[hash_name]
        self.id = suite_id
        self.hpke = Suite(kem, kdf, aead)
        self._hash_name = hash_name
        self._cipher, self.key_size = _CIPHERS[aead]
        self.signing_key_type = signing
        self.verifying_key_type = verifying
        self._infos: dict[tuple[bytes, int], bytes] = {}
        self._blocks: dict[tuple[bytes, bytes], bytes] = {}

    # --- Hash, MAC, KDF (§5.2, §8) ---

    def hash(self, data: bytes) -> bytes:
        """The suite's hash."""
        return self._hash(data)

    def hash_pieces(self, *pieces: bytes) -> bytes:
        """The suite's hash of what may be long, in pieces that are not joined."""
        state = hashlib.new(self._hash_name)
        for piece in pieces:
            state.update(piece)
        return state.digest()

    def mac(self, key: bytes, data: bytes) -> bytes:
        """HMAC with the suite's hash."""
        return hmac.digest(key, data, self._hash_name)

    def mac_pieces(self, key: bytes, *pieces: bytes) -> bytes:
        """The same of what may be long, in pieces that are not joined."""
        state = hmac.new(key, digestmod=self._hash_name)
        for piece in pieces:
            state.update(piece)
        return state.digest()

    @staticmethod
    def equal(expected: bytes, tag: bytes) -> bool:
        """Whether two MACs are the same, in constant time."""
        return equal(expected, tag)

    def extract(self, salt: bytes, key_material: bytes) -> bytes:
        """KDF.Extract."""
        return hkdf_extract(salt, key_material, self._hash_name)

    def expand_with_label(self, secret: bytes, label: bytes, context: bytes, length: int) -> bytes:
        """ExpandWithLabel: a `KDFLabel` of length, "MLS 1.0 " and label, and context."""
        prefix = self._infos.get((label, length))
        if prefix is None:
            prefix = length.to_bytes(2) + encode_opaque(_LABEL_PREFIX + label)
            if len(self._infos) < _MAX_CACHED_LABELS:
                self._infos[label, length] = prefix
        info = prefix + encode_opaque(context)
        if length <= self.hash_size:
            return hmac.digest(secret, info + b"\x01", self._hash_name)[:length]
        return hkdf_expand(secret, info, length, self._hash_name)

    def derive_secret(self, secret: bytes, label: bytes) -> bytes:
        """DeriveSecret: of the hash's size, without context."""
        return hmac.digest(secret, self._block_info(label, b""), self._hash_name)

    def derive_children(self, secret: bytes) -> tuple[bytes, bytes]:
        """The secrets of the left and the right child of a node of the secret tree (§9)."""
        name = self._hash_name
        return (
            hmac.digest(secret, self._block_info(b"tree", b"left"), name),
            hmac.digest(secret, self._block_info(b"tree", b"right"), name),
        )

    def _block_info(self, label: bytes, context: bytes) -> bytes:
        """What HKDF-Expand hashes for one block of the hash's size."""
        info = self._blocks.get((label, context))
        if info is None:
            prefix = self.hash_size.to_bytes(2) + encode_opaque(_LABEL_PREFIX + label)
            info = prefix + encode_opaque(context) + b"\x01"
            if len(self._blocks) < _MAX_CACHED_LABELS:
                self._blocks[label, context] = info
        return info

    def derive_tree_secret(
        self, secret: bytes, label: bytes, generation: int, length: int
    ) -> bytes:
        """DeriveTreeSecret (§9.1): the context is the generation."""
        return self.expand_with_label(secret, label, generation.to_bytes(4), length)

    def ref_hash(self, label: bytes, value: bytes) -> bytes:
        """RefHash (§5.2): of label and value."""
        return self._hash(encode_opaque(label) + encode_opaque(value))

    @property
    def zero(self) -> bytes:
        """The all-zero secret of the hash's size."""
        return bytes(self.hash_size)

    # --- Signatures (§5.1.2) ---

    @staticmethod
    def sign_content(label: bytes, *content: bytes) -> bytes:
        """SignContent: what is signed."""
        return b"".join((encode_opaque(_LABEL_PREFIX + label), *opaque_parts(*content)))

    def sign_with_label(self, key: SignaturePrivateKey, label: bytes, *content: bytes) -> bytes:
        """SignWithLabel, of content in one piece or in several."""
        return key.sign(self.sign_content(label, *content))

    def verify_with_label(
        self, key: SignaturePublicKey, label: bytes, signature: bytes, *content: bytes
    ) -> bool:
        """VerifyWithLabel: whether the signature verifies."""
        try:
            key.verify(signature, self.sign_content(label, *content))
        except AuthenticationError:
            return False
        return True

    def decode_verifying_key(self, data: bytes) -> SignaturePublicKey:
        """A `SignaturePublicKey` of this suite's scheme, or `AuthenticationError`."""
        return self.verifying_key_type(data)

    # --- Public key encryption (§5.1.3) ---

    def encryption_info(self, label: bytes, context: bytes) -> InfoHash:
        """EncryptContext, hashed once for all messages under the same context."""
        return self.hpke.hash_info(encode_opaque(_LABEL_PREFIX + label), *opaque_parts(context))

    def encrypt_with_label(
        self, key: HpkePublicKey, info: InfoHash, plaintext: bytes, random: Random
    ) -> tuple[bytes, bytes]:
        """EncryptWithLabel: `(kem_output, ciphertext)`."""
        return self.hpke.seal(key, plaintext, info=info, random=random)

    def decrypt_with_label(
        self, key: HpkePrivateKey, info: InfoHash, kem_output: bytes, ciphertext: bytes
    ) -> bytes:
        """DecryptWithLabel, or `AuthenticationError`."""
        return self.hpke.open(key, kem_output, ciphertext, info=info)

    def decode_encryption_key(self, data: bytes) -> HpkePublicKey:
        """An `HPKEPublicKey` of this suite's KEM, or `AuthenticationError`."""
        return self.hpke.kem.decode_public_key(data)

    # --- Authenticated encryption ---

    def cipher(self, key: bytes) -> Aead:
        """The AEAD under one key."""
        return self._cipher(key)

    def __repr__(self) -> str:
        return f"CipherSuite({self.id.name})"


_Id = CipherSuiteId
_P256 = (EcdsaP256PrivateKey, EcdsaP256PublicKey)
_P384 = (EcdsaP384PrivateKey, EcdsaP384PublicKey)
_P521 = (EcdsaP521PrivateKey, EcdsaP521PublicKey)
_ED25519 = (Ed25519PrivateKey, Ed25519PublicKey)
_ED448 = (Ed448PrivateKey, Ed448PublicKey)
_AES_128, _AES_256, _CHACHA = AeadId.AES_128_GCM, AeadId.AES_256_GCM, AeadId.CHACHA20_POLY1305

_SUITES: Final[dict[int, CipherSuite]] = {
    suite_id: CipherSuite(suite_id, kem, aead, hash_name, *signature)
    for suite_id, kem, aead, hash_name, signature in (
        (_Id.X25519_AES128GCM_SHA256_ED25519, KemId.X25519, _AES_128, "sha256", _ED25519),
        (_Id.P256_AES128GCM_SHA256_P256, KemId.P256, _AES_128, "sha256", _P256),
        (_Id.X25519_CHACHA20POLY1305_SHA256_ED25519, KemId.X25519, _CHACHA, "sha256", _ED25519),
        (_Id.X448_AES256GCM_SHA512_ED448, KemId.X448, _AES_256, "sha512", _ED448),
        (_Id.P521_AES256GCM_SHA512_P521, KemId.P521, _AES_256, "sha512", _P521),
        (_Id.X448_CHACHA20POLY1305_SHA512_ED448, KemId.X448, _CHACHA, "sha512", _ED448),
        (_Id.P384_AES256GCM_SHA384_P384, KemId.P384, _AES_256, "sha384", _P384),
        (_Id.XWING_AES128GCM_SHA256_ED25519, KemId.X_WING, _AES_128, "sha256", _ED25519),
        (_Id.XWING_AES256GCM_SHA384_ED25519, KemId.X_WING, _AES_256, "sha384", _ED25519),
    )
}
ALL_SUITES: Final = tuple(_SUITES.values())
DEFAULT_SUITE: Final = _SUITES[_Id.X25519_AES128GCM_SHA256_ED25519]


def find_suite(suite_id: int) -> CipherSuite:
    """The suite of a code point; one that is not here is a `DecodeError`."""
    try:
        return _SUITES[suite_id]
    except KeyError:
        raise DecodeError(Code.DECODE_VERSION, f"no cipher suite {suite_id:#06x}") from None
