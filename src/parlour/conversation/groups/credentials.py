"""Who a leaf is: the certificate in its credential, and the device list that names its device.

Wherever a leaf appears, its device has to have signed for its key. Whether that device is still on
its account's list is decided apart (`authorising`), because a tree may hold one that has left its
list a moment ago.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final

from parlour.errors import Code, DecodeError, ParlourError
from parlour.mls.public.credentials import BasicCredential, Credential
from parlour.mls.public.leaf_node import LeafNode
from parlour.mls.public.policy import Policy
from parlour.mls.public.validation.signatures import SignatureMemo
from parlour.roster.certificate import LeafCertificate, is_genuine
from parlour.roster.device_signature import FindKey

# Certificates of a large group are met again with each epoch, and decoded once.
_CACHED: Final = 8192


@dataclass(frozen=True, slots=True)
class LeafOwner:
    """Whose leaf it is, and until when (seconds) its certificate is good."""

    account_id: bytes
    device_id: bytes
    expires_at: int


@functools.lru_cache(maxsize=_CACHED)
def _decoded(identity: bytes) -> LeafCertificate:
    return LeafCertificate.decode(identity)


def certificate_of(leaf: LeafNode) -> LeafCertificate:
    """What a leaf says of itself; MLS has verified it by `Certificates`, or it is not in a tree."""
    if not isinstance(leaf.credential, BasicCredential):
        raise DecodeError(Code.DECODE_MALFORMED, "a leaf without a certificate")
    return _decoded(leaf.credential.identity)


def owner_of(leaf: LeafNode) -> LeafOwner:
    """Whose leaf it is."""
    found = certificate_of(leaf)
    return LeafOwner(found.account, found.device, found.expires_at)


class Certificates:
    """The Authentication Service of RFC 9420 §5.3.1: a device certifies its leaf keys.

    `find_key` gives the key of a device that is, or was, on its account's list. Whether it still
    is, is decided apart (`authorising`).
    """

    def __init__(self, find_key: FindKey) -> None:
        self._find_key = find_key

    def accepts(self, credential: Credential, signature_key: bytes) -> bool:
        """Whether the device that the credential names has signed for this key."""
        if not isinstance(credential, BasicCredential):
            return False
        try:
            found = _decoded(credential.identity)
        except ParlourError:
            return False
        key = self._find_key(found.account, found.device)
        if key is None:
            return False
        return found.leaf_key == signature_key and is_genuine(credential.identity, key.to_bytes())

    def succeeds(self, old: Credential, new: Credential) -> bool:
        """Whether both are of one device of one account."""
        return self.identity(old) == self.identity(new)

    def identity(self, credential: Credential) -> bytes:
        """Account and device."""
        if isinstance(credential, BasicCredential):
            try:
                found = _decoded(credential.identity)
            except ParlourError:
                return credential.encode()
            return found.account + found.device
        return credential.encode()


def policy_of(find_key: FindKey) -> Policy:
    """What MLS itself decides by. Who may do what is decided by the roster (`authorising`)."""
    return Policy(Certificates(find_key), external_commits=True, resync=True, memo=SignatureMemo())
