"""HPKE's key schedule and what callers use of it.

Spec: RFC 9180 §5.1 (modes Base, PSK, Auth and AuthPSK), §6 (single-shot).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from parlour.errors import Code, UsageError
from parlour.primitives.aead import NONCE_SIZE, Aead, AesGcm, ChaChaPoly
from parlour.primitives.hpke.context import RecipientContext, SenderContext
from parlour.primitives.hpke.kem import KEMS, HpkePrivateKey, HpkePublicKey, KemId
from parlour.primitives.hpke.labels import LabeledKdf
from parlour.primitives.random import Random, system_random

# RFC 9180 §5.1.2 wants 32 bytes of entropy so that a PSK withstands guessing; 16 random bytes are
# beyond guessing too and can be carried in a short code. Nothing shorter, and no password.
PSK_MIN_SIZE: Final = 16


class KdfId(IntEnum):
    """Code points of the IANA registry "HPKE KDF Identifiers"."""

    HKDF_SHA256 = 1
    HKDF_SHA384 = 2
    HKDF_SHA512 = 3


class AeadId(IntEnum):
    """Code points of the IANA registry "HPKE AEAD Identifiers"."""

    AES_128_GCM = 1
    AES_256_GCM = 2
    CHACHA20_POLY1305 = 3
    EXPORT_ONLY = 0xFFFF


_HASH_NAMES: Final = {
    KdfId.HKDF_SHA256: "sha256",
    KdfId.HKDF_SHA384: "sha384",
    KdfId.HKDF_SHA512: "sha512",
}
_CIPHERS: Final[dict[AeadId, tuple[type[AesGcm] | type[ChaChaPoly], int]]] = {
    AeadId.AES_128_GCM: (AesGcm, 16),
    AeadId.AES_256_GCM: (AesGcm, 32),
    AeadId.CHACHA20_POLY1305: (ChaChaPoly, 32),
}
# §5.1: what a PSK adds to the mode, and a sender's key.
_MODE_PSK: Final = 1
_MODE_AUTH: Final = 2


@dataclass(frozen=True, slots=True)
class Psk:
    """A pre-shared key of at least 16 random bytes, and the name that both sides know it by."""

    key: bytes = field(repr=False)
    key_id: bytes

    def __post_init__(self) -> None:
        if len(self.key) < PSK_MIN_SIZE or not self.key_id:
            raise UsageError(Code.USAGE_INVALID, "a PSK has 16 bytes or more and an id")


@dataclass(frozen=True, slots=True)
class InfoHash:
    """`info_hash` (§5.1), made by `Suite.hash_info` of the suite that it is given to."""

    value: bytes


class Suite:
    """One KEM, one KDF and one AEAD. Make it once and keep it: it holds no secrets.

    The single-shot `seal` and `open` cost two operations of the KEM and nine HMACs; contexts cost
    the same once and carry many messages. In all of them `info` binds the use, and `psk` and the
    sender's key, where given, authenticate.
    """

    __slots__ = ("_cipher", "_kdf", "_key_size", "_no_psk_hash", "kem", "suite_id")

    _cipher: type[AesGcm] | type[ChaChaPoly] | None

    def __init__(self, kem_id: KemId, kdf_id: KdfId, aead_id: AeadId) -> None:
        self.kem = KEMS[kem_id]
        self.suite_id = b"HPKE" + b"".join(i.to_bytes(2) for i in (kem_id, kdf_id, aead_id))
        self._cipher, self._key_size = _CIPHERS.get(aead_id, (None, 0))
        self._kdf = LabeledKdf(_HASH_NAMES[kdf_id], self.suite_id)
        self._no_psk_hash = self._kdf.extract(b"", b"psk_id_hash", b"")

    def seal(
        self,
        recipient: HpkePublicKey,
        plaintext: bytes,
        *,
        info: bytes | InfoHash,
        associated_data: bytes = b"",
        psk: Psk | None = None,
        sender: HpkePrivateKey | None = None,
        random: Random = system_random,
    ) -> tuple[bytes, bytes]:
        """Encrypt one message to `recipient`: `(enc, ciphertext)`."""
        shared_secret, encapsulated = self.kem.encapsulate(recipient, sender, random)
        secret, context = self._mix(shared_secret, info, psk, authenticated=sender is not None)
        aead, nonce = self._aead(secret, context)
        return encapsulated, aead.seal(nonce, plaintext, associated_data)

    def open(
        self,
        recipient: HpkePrivateKey,
        encapsulated: bytes,
        ciphertext: bytes,
        *,
        info: bytes | InfoHash,
        associated_data: bytes = b"",
        psk: Psk | None = None,
        sender: HpkePublicKey | None = None,
    ) -> bytes:
        """Decrypt what `seal` made under the same `info`, data, PSK and sender, or raise."""
        shared_secret = self.kem.decapsulate(encapsulated, recipient, sender)
        secret, context = self._mix(shared_secret, info, psk, authenticated=sender is not None)
        aead, nonce = self._aead(secret, context)
        return aead.open(nonce, ciphertext, associated_data)

    def hash_info(self, *info: bytes) -> InfoHash:
        """What the key schedule needs of `info`, for many messages under one long `info`.

        It may come in pieces, which are not joined.
        """
        return InfoHash(self._kdf.extract_pieces(b"", b"info_hash", info))

    def setup_sender(
        self,
        recipient: HpkePublicKey,
        *,
        info: bytes,
        psk: Psk | None = None,
        sender: HpkePrivateKey | None = None,
        random: Random = system_random,
    ) -> tuple[bytes, SenderContext]:
        """Begin a channel to `recipient`: `(enc, context)`."""
        shared_secret, encapsulated = self.kem.encapsulate(recipient, sender, random)
        secret, context = self._mix(shared_secret, info, psk, authenticated=sender is not None)
        return encapsulated, SenderContext(self._kdf, *self._schedule(secret, context))

    def setup_recipient(
        self,
        recipient: HpkePrivateKey,
        encapsulated: bytes,
        *,
        info: bytes,
        psk: Psk | None = None,
        sender: HpkePublicKey | None = None,
    ) -> RecipientContext:
        """The other end of `setup_sender`. A wrong PSK or sender shows at the first `open`."""
        shared_secret = self.kem.decapsulate(encapsulated, recipient, sender)
        secret, context = self._mix(shared_secret, info, psk, authenticated=sender is not None)
        return RecipientContext(self._kdf, *self._schedule(secret, context))

    def _mix(
        self,
        shared_secret: bytes,
        info: bytes | InfoHash,
        psk: Psk | None,
        *,
        authenticated: bool,
    ) -> tuple[bytes, bytes]:
        """The first half of KeySchedule: `(secret, key_schedule_context)`."""
        mode = _MODE_AUTH if authenticated else 0
        if psk is None:
            psk_key, psk_id_hash = b"", self._no_psk_hash
        else:
            mode |= _MODE_PSK
            psk_key = psk.key
            psk_id_hash = self._kdf.extract(b"", b"psk_id_hash", psk.key_id)
        info_hash = (info if isinstance(info, InfoHash) else self.hash_info(info)).value
        secret = self._kdf.extract(shared_secret, b"secret", psk_key)
        return secret, mode.to_bytes(1) + psk_id_hash + info_hash

    def _aead(self, secret: bytes, context: bytes) -> tuple[Aead, bytes]:
        """The cipher under `key`, and `base_nonce`."""
        if self._cipher is None:
            raise UsageError(Code.USAGE_STATE, "the suite is for export only")
        key = self._kdf.expand(secret, b"key", context, self._key_size)
        return self._cipher(key), self._kdf.expand(secret, b"base_nonce", context, NONCE_SIZE)

    def _schedule(self, secret: bytes, context: bytes) -> tuple[Aead | None, bytes, bytes]:
        """The second half of KeySchedule: cipher, `base_nonce`, `exporter_secret`."""
        exporter_secret = self._kdf.expand(secret, b"exp", context, self._kdf.size)
        if self._cipher is None:
            return None, b"", exporter_secret
        return *self._aead(secret, context), exporter_secret
