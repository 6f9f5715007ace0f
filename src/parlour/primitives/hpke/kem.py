"""The KEMs of HPKE: DHKEM over five curves, ML-KEM, X-Wing.

Spec: RFC 9180 §4.1 and §7.1; draft-ietf-hpke-pq §3 to §5 for the post-quantum ones.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import IntEnum
from typing import Final, TypeAlias

from parlour.errors import Code, InternalError, UsageError
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
from parlour.primitives.hashes import shake256
from parlour.primitives.hpke.labels import LabeledKdf
from parlour.primitives.kem import (
    MLKEM768_CIPHERTEXT_SIZE,
    MLKEM768_PUBLIC_KEY_SIZE,
    MLKEM1024_CIPHERTEXT_SIZE,
    MLKEM1024_PUBLIC_KEY_SIZE,
    MLKEM_SEED_SIZE,
    MlKem768PrivateKey,
    MlKem768PublicKey,
    MlKem1024PrivateKey,
    MlKem1024PublicKey,
    MlKemPrivateKey,
    MlKemPublicKey,
)
from parlour.primitives.random import Random, system_random
from parlour.primitives.weierstrass import P256, P384, P521, Curve
from parlour.primitives.xwing import (
    XWING_CIPHERTEXT_SIZE,
    XWING_PUBLIC_KEY_SIZE,
    XWING_SEED_SIZE,
    XWingPrivateKey,
    XWingPublicKey,
)

HpkePublicKey: TypeAlias = AgreementPublicKey | MlKemPublicKey | XWingPublicKey
HpkePrivateKey: TypeAlias = AgreementPrivateKey | MlKemPrivateKey | XWingPrivateKey

# RFC 9180 §7.1.3 counts candidates in one byte.
_MAX_CANDIDATES: Final = 256


class KemId(IntEnum):
    """Code points of the IANA registry "HPKE KEM Identifiers"."""

    P256 = 0x0010
    P384 = 0x0011
    P521 = 0x0012
    X25519 = 0x0020
    X448 = 0x0021
    ML_KEM_768 = 0x0041
    ML_KEM_1024 = 0x0042
    X_WING = 0x647A


class Kem(ABC):
    """One KEM: its sizes in bytes, its keys, encapsulation and decapsulation."""

    __slots__ = ("encapsulated_size", "kem_id", "private_key_size", "public_key_size")

    def __init__(self, kem_id: KemId, *, public: int, private: int, encapsulated: int) -> None:
        self.kem_id = kem_id
        self.public_key_size = public
        self.private_key_size = private
        self.encapsulated_size = encapsulated

    @abstractmethod
    def decode_public_key(self, data: bytes) -> HpkePublicKey:
        """DeserializePublicKey, with the checks of §7.1.4."""

    @abstractmethod
    def decode_private_key(self, data: bytes) -> HpkePrivateKey:
        """DeserializePrivateKey."""

    @abstractmethod
    def generate_key_pair(self, random: Random = system_random) -> HpkePrivateKey:
        """GenerateKeyPair: a private key, which knows its public one."""

    @abstractmethod
    def derive_key_pair(self, key_material: bytes) -> HpkePrivateKey:
        """DeriveKeyPair from secret bytes, at least as many as a private key has."""

    @abstractmethod
    def encapsulate(
        self, recipient: HpkePublicKey, sender: HpkePrivateKey | None, random: Random
    ) -> tuple[bytes, bytes]:
        """Encap, or AuthEncap with a sender: `(shared secret, enc)`."""

    @abstractmethod
    def decapsulate(
        self, encapsulated: bytes, recipient: HpkePrivateKey, sender: HpkePublicKey | None
    ) -> bytes:
        """Decap, or AuthDecap with a sender: the shared secret."""


def _wrong_key(kem_id: KemId) -> UsageError:
    return UsageError(Code.USAGE_INVALID, f"not a key of the KEM {kem_id.name}")


class DhKem(Kem):
    """DHKEM (§4.1) over one curve."""

    __slots__ = ("_curve", "_kdf", "_private", "_public")

    def __init__(
        self,
        kem_id: KemId,
        hash_name: str,
        private: type[AgreementPrivateKey],
        public: type[AgreementPublicKey],
        *,
        sizes: tuple[int, int],
        curve: Curve | None = None,
    ) -> None:
        super().__init__(kem_id, public=sizes[0], private=sizes[1], encapsulated=sizes[0])
        self._private = private
        self._public = public
        self._curve = curve
        self._kdf = LabeledKdf(hash_name, b"KEM" + kem_id.to_bytes(2))

    def decode_public_key(self, data: bytes) -> AgreementPublicKey:
        """DeserializePublicKey."""
        return self._public(data)

    def decode_private_key(self, data: bytes) -> AgreementPrivateKey:
        """DeserializePrivateKey."""
        return self._private(data)

    def generate_key_pair(self, random: Random = system_random) -> AgreementPrivateKey:
        """GenerateKeyPair."""
        return self._private.generate(random)

    def derive_key_pair(self, key_material: bytes) -> AgreementPrivateKey:
        """DeriveKeyPair (§7.1.3)."""
        prk = self._kdf.extract(b"", b"dkp_prk", key_material)
        if self._curve is None:
            return self._private(self._kdf.expand(prk, b"sk", b"", self.private_key_size))
        for counter in range(_MAX_CANDIDATES):
            candidate = self._curve.mask(
                self._kdf.expand(prk, b"candidate", counter.to_bytes(1), self.private_key_size)
            )
            if self._curve.is_scalar(candidate):
                return self._private(candidate)
        raise InternalError(Code.INTERNAL_BUG, "256 candidates missed the range")

    def encapsulate(
        self, recipient: HpkePublicKey, sender: HpkePrivateKey | None, random: Random
    ) -> tuple[bytes, bytes]:
        """Encap and AuthEncap."""
        if type(recipient) is not self._public:
            raise _wrong_key(self.kem_id)
        ephemeral = self._private.generate(random)
        encapsulated = ephemeral.public_key.to_bytes()
        secret = ephemeral.exchange(recipient)
        context = encapsulated + recipient.to_bytes()
        if sender is not None:
            if type(sender) is not self._private:
                raise _wrong_key(self.kem_id)
            secret += sender.exchange(recipient)
            context += sender.public_key.to_bytes()
        return self._extract_and_expand(secret, context), encapsulated

    def decapsulate(
        self, encapsulated: bytes, recipient: HpkePrivateKey, sender: HpkePublicKey | None
    ) -> bytes:
        """Decap and AuthDecap."""
        if type(recipient) is not self._private:
            raise _wrong_key(self.kem_id)
        secret = recipient.exchange(self._public(encapsulated))
        context = encapsulated + recipient.public_key.to_bytes()
        if sender is not None:
            if type(sender) is not self._public:
                raise _wrong_key(self.kem_id)
            secret += recipient.exchange(sender)
            context += sender.to_bytes()
        return self._extract_and_expand(secret, context)

    def _extract_and_expand(self, secret: bytes, context: bytes) -> bytes:
        prk = self._kdf.extract(b"", b"eae_prk", secret)
        return self._kdf.expand(prk, b"shared_secret", context, self._kdf.size)


class PqKem(Kem):
    """A KEM that is used as it is: ML-KEM and X-Wing. They cannot authenticate a sender."""

    __slots__ = ("_private", "_public")

    def __init__(
        self,
        kem_id: KemId,
        private: type[MlKemPrivateKey] | type[XWingPrivateKey],
        public: type[MlKemPublicKey] | type[XWingPublicKey],
        *,
        sizes: tuple[int, int, int],
    ) -> None:
        super().__init__(kem_id, public=sizes[0], private=sizes[1], encapsulated=sizes[2])
        self._private = private
        self._public = public

    def decode_public_key(self, data: bytes) -> MlKemPublicKey | XWingPublicKey:
        """DeserializePublicKey."""
        return self._public(data)

    def decode_private_key(self, data: bytes) -> MlKemPrivateKey | XWingPrivateKey:
        """DeserializePrivateKey: the seed."""
        return self._private(data)

    def generate_key_pair(
        self, random: Random = system_random
    ) -> MlKemPrivateKey | XWingPrivateKey:
        """GenerateKeyPair."""
        return self._private.generate(random)

    def derive_key_pair(self, key_material: bytes) -> MlKemPrivateKey | XWingPrivateKey:
        """DeriveKeyPair: SHAKE256.LabeledDerive with the label "DeriveKeyPair"."""
        label = b"DeriveKeyPair"
        return self._private(
            shake256(
                key_material
                + b"HPKE-v1KEM"
                + self.kem_id.to_bytes(2)
                + len(label).to_bytes(2)
                + label
                + self.private_key_size.to_bytes(2),
                self.private_key_size,
            )
        )

    def encapsulate(
        self, recipient: HpkePublicKey, sender: HpkePrivateKey | None, random: Random
    ) -> tuple[bytes, bytes]:
        """Encap. The ML-KEM half draws its randomness inside the library."""
        if type(recipient) is not self._public:
            raise _wrong_key(self.kem_id)
        if sender is not None:
            raise UsageError(Code.USAGE_INVALID, f"{self.kem_id.name} has no mode Auth")
        if isinstance(recipient, XWingPublicKey):
            encapsulated, secret = recipient.encapsulate(random)
        else:
            encapsulated, secret = recipient.encapsulate()
        return secret, encapsulated

    def decapsulate(
        self, encapsulated: bytes, recipient: HpkePrivateKey, sender: HpkePublicKey | None
    ) -> bytes:
        """Decap."""
        if type(recipient) is not self._private:
            raise _wrong_key(self.kem_id)
        if sender is not None:
            raise UsageError(Code.USAGE_INVALID, f"{self.kem_id.name} has no mode Auth")
        return recipient.decapsulate(encapsulated)


KEMS: Final[dict[KemId, Kem]] = {
    kem.kem_id: kem
    for kem in (
        DhKem(
            KemId.P256,
            "sha256",
            P256PrivateKey,
            P256PublicKey,
            sizes=(P256.point_size, P256.scalar_size),
            curve=P256,
        ),
        DhKem(
            KemId.P384,
            "sha384",
            P384PrivateKey,
            P384PublicKey,
            sizes=(P384.point_size, P384.scalar_size),
            curve=P384,
        ),
        DhKem(
            KemId.P521,
            "sha512",
            P521PrivateKey,
            P521PublicKey,
            sizes=(P521.point_size, P521.scalar_size),
            curve=P521,
        ),
        DhKem(KemId.X25519, "sha256", X25519PrivateKey, X25519PublicKey, sizes=(32, 32)),
        DhKem(KemId.X448, "sha512", X448PrivateKey, X448PublicKey, sizes=(56, 56)),
        PqKem(
            KemId.ML_KEM_768,
            MlKem768PrivateKey,
            MlKem768PublicKey,
            sizes=(MLKEM768_PUBLIC_KEY_SIZE, MLKEM_SEED_SIZE, MLKEM768_CIPHERTEXT_SIZE),
        ),
        PqKem(
            KemId.ML_KEM_1024,
            MlKem1024PrivateKey,
            MlKem1024PublicKey,
            sizes=(MLKEM1024_PUBLIC_KEY_SIZE, MLKEM_SEED_SIZE, MLKEM1024_CIPHERTEXT_SIZE),
        ),
        PqKem(
            KemId.X_WING,
            XWingPrivateKey,
            XWingPublicKey,
            sizes=(XWING_PUBLIC_KEY_SIZE, XWING_SEED_SIZE, XWING_CIPHERTEXT_SIZE),
        ),
    )
}
