"""Whose a leaf of a group is: the certificate that stands in its credential.

A leaf signs with a key of its own, certified by its device (`roster.LeafCertificate`), whose key
stands on the account's signed list. A certificate that runs out marks an idle device.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final

from parlour.double_ratchet.identity import DeviceIdentity
from parlour.errors import Code, DecodeError, ParlourError, SecurityStop
from parlour.mls.public.credentials import BasicCredential, Credential
from parlour.roster import LeafCertificate
from parlour.roster.certificate import is_genuine

# Seconds. How long a device that is linked, or the first of its account, may be silent in a group
# before any member may take it out.
LINKED_LIFETIME: Final = 45 * 86_400
PRIMARY_LIFETIME: Final = 180 * 86_400
# Seconds by which the clock of who made a certificate may be ahead of ours: as much as a key
# package is dated back.
MAX_AHEAD: Final = 3_600


# Certificates of a large group are met again with each epoch, and decoded once.
_CACHED: Final = 8192


@functools.lru_cache(maxsize=_CACHED)
def _decoded(identity: bytes) -> LeafCertificate:
    return LeafCertificate.decode(identity)


def certificate_of(credential: Credential) -> LeafCertificate:
    """The certificate in a leaf's credential, which nobody has verified yet, or `DecodeError`."""
    if not isinstance(credential, BasicCredential):
        raise DecodeError(Code.DECODE_MALFORMED, "a leaf without a certificate")
    return _decoded(credential.identity)


def check_certificate(
    credential: Credential, signature_key: bytes, device: DeviceIdentity, now: int
) -> LeafCertificate:
    """That a leaf with this key is that device's, at `now` (seconds); raises what is wrong."""
    certificate = certificate_of(credential)
    named = (certificate.account, certificate.device, certificate.leaf_key)
    if named != (device.account_id, device.device_id, signature_key):
        raise SecurityStop(Code.KEY_PACKAGE_INVALID, "certified for another leaf")
    if not certificate.issued_at - MAX_AHEAD <= now < certificate.expires_at:
        raise SecurityStop(Code.KEY_PACKAGE_EXPIRED, "certificate")
    if not is_genuine(certificate.encode(), device.signature_key.to_bytes()):
        raise SecurityStop(Code.ROSTER_INVALID, "a certificate that its device has not signed")
    return certificate


class OfDevices:
    """Who is who among leaves: half of a `mls.CredentialValidator`."""

    __slots__ = ()

    def succeeds(self, old: Credential, new: Credential) -> bool:
        """Whether both are of one device of one account; its key, `accepts` decides about."""
        return self.identity(old) == self.identity(new)

    def identity(self, credential: Credential) -> bytes:
        """Account and device."""
        try:
            certificate = certificate_of(credential)
        except ParlourError:
            return credential.encode()
        return certificate.account + certificate.device


@dataclass(frozen=True, slots=True)
class OneDevice(OfDevices):
    """Takes leaves of one device alone. `now` is in seconds."""

    device: DeviceIdentity
    now: int

    def accepts(self, credential: Credential, signature_key: bytes) -> bool:
        """Whether the leaf with that key is the device's."""
        try:
            check_certificate(credential, signature_key, self.device, self.now)
        except ParlourError:
            return False
        return True
