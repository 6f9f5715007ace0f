"""Hybrid public key encryption (RFC 9180), also over ML-KEM and X-Wing (draft-ietf-hpke-pq).

Layout: `labels` (the KDF), `kem`, `context` (many messages, export), `suite` (what callers use).
"""

from parlour.primitives.hpke.context import RecipientContext, SenderContext
from parlour.primitives.hpke.kem import HpkePrivateKey, HpkePublicKey, Kem, KemId
from parlour.primitives.hpke.suite import PSK_MIN_SIZE, AeadId, InfoHash, KdfId, Psk, Suite

__all__ = [
    "PSK_MIN_SIZE",
    "AeadId",
    "HpkePrivateKey",
    "HpkePublicKey",
    "InfoHash",
    "KdfId",
    "Kem",
    "KemId",
    "Psk",
    "RecipientContext",
    "SenderContext",
    "Suite",
]
