"""What a leaf shows of itself in the tree of MLS: the key it signs with, certified by its device.

A leaf signs with a key of its own, which is replaced without a change of the device list, and
whose theft tells nothing of the device's key. The certificate's end is the clock of an idle
device: who has not renewed it in time may be removed by anybody, and no server needs to be asked
when the device was last seen.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Final

from parlour.codec import Reader, Writer, decode
from parlour.errors import Code, DecodeError, ParlourError, SecurityStop, UsageError
from parlour.primitives.signature import (
    ED25519_SIGNATURE_SIZE,
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from parlour.roster import device_signature, labels
from parlour.roster.limits import ID_SIZE, MAX_CERTIFICATE_SIZE, MAX_LEAF_KEY_SIZE

FORMAT: Final = 1
# A primary device may be away for half a year (docs/trust.md); none is trusted for longer unseen.
MAX_LIFETIME: Final = 180 * 86_400
# Those of a large group are met again and again; each takes some hundred bytes.
_REMEMBERED: Final = 8_192


@dataclass(frozen=True, slots=True)
class LeafCertificate:
    """A leaf's signature key, certified by the key of its device. Times count seconds."""

    account: bytes
    device: bytes
    leaf_key: bytes
    issued_at: int
    expires_at: int
    signature: bytes = b""

    @classmethod
    def create(
        cls,
        device_key: Ed25519PrivateKey,
        *,
        account: bytes,
        leaf_key: bytes,
        issued_at: int,
        expires_at: int,
    ) -> LeafCertificate:
        """Make and sign one; raises `UsageError` for a lifetime that `verify` would refuse."""
        device = device_signature.device_id_of(device_key.public_key)
        bare = cls(account, device, leaf_key, issued_at, expires_at)
        if not bare._lasts():
            raise UsageError(Code.USAGE_INVALID, "the lifetime of a certificate")
        content = bare._content()
        signature = device_signature.sign(labels.LEAF_CERTIFICATE, content, device, device_key)
        return replace(bare, signature=signature)

    def _lasts(self) -> bool:
        return 0 < self.expires_at - self.issued_at <= MAX_LIFETIME

    def _content(self) -> bytes:
        """The structure without its signature.

        ::

            struct {
                uint8  format = 1;
                opaque account[16];
                opaque device[16];
                opaque leaf_key<V>;
                uint64 issued_at;           /* seconds */
                uint64 expires_at;          /* seconds */
            } LeafCertificateTBS;
        """
        writer = Writer().uint8(FORMAT).fixed(self.account, ID_SIZE).fixed(self.device, ID_SIZE)
        return writer.opaque(self.leaf_key).uint64(self.issued_at).uint64(self.expires_at).data()

    def encode(self) -> bytes:
        """`opaque content<V>; opaque signature[64]`: the identity of a BasicCredential."""
        writer = Writer().opaque(self._content())
        return writer.fixed(self.signature, ED25519_SIGNATURE_SIZE).data()

    @classmethod
    def decode(cls, data: bytes) -> LeafCertificate:
        """Decode without verifying anything but the form."""
        if len(data) > MAX_CERTIFICATE_SIZE:
            raise DecodeError(Code.DECODE_OVERSIZED, "the certificate of a leaf")
        content, signature = decode(
            data, lambda reader: (reader.opaque(), reader.fixed(ED25519_SIGNATURE_SIZE))
        )
        return replace(decode(content, cls._read), signature=signature)

    @classmethod
    def _read(cls, reader: Reader) -> LeafCertificate:
        if reader.uint8() != FORMAT:
            raise DecodeError(Code.DECODE_VERSION, "the certificate of a leaf")
        return cls(
            account=reader.fixed(ID_SIZE),
            device=reader.fixed(ID_SIZE),
            leaf_key=reader.opaque(MAX_LEAF_KEY_SIZE),
            issued_at=reader.uint64(),
            expires_at=reader.uint64(),
        )

    def verify(self, device_key: Ed25519PublicKey | None) -> None:
        """Return if the device whose key this is has signed it, else raise `SecurityStop`.

        Whether it has run out, `has_expired` says: a leaf that was good when it came in stays in
        the tree until somebody removes it.
        """
        if not self._lasts():
            raise SecurityStop(Code.ROSTER_INVALID, "the lifetime of a certificate")
        device_signature.verify(
            labels.LEAF_CERTIFICATE, self._content(), self.device, device_key, self.signature
        )

    def has_expired(self, now: int) -> bool:
        """Whether the device is idle at `now`, in seconds."""
        return now >= self.expires_at


@functools.lru_cache(maxsize=_REMEMBERED)
def is_genuine(encoded: bytes, device_key: bytes) -> bool:
    """Whether the device of that key has signed this certificate, which has the right form.

    The same for everybody, and found out once.
    """
    try:
        LeafCertificate.decode(encoded).verify(Ed25519PublicKey(device_key))
    except ParlourError:
        return False
    return True
