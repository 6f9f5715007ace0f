"""Who a leaf is: the certificate in its credential, and the device list that names its device.

Wherever a leaf appears, its device has to have signed for its key. Whether that device is still on
its account's list is decided apart (`authorising`), because a tree may hold one that has left its
list a moment ago.
"""

from __future__ import annotations

from dataclasses import dataclass

from parlour.conversation.leaf_certificates import OfDevices, certificate_of
from parlour.errors import ParlourError
from parlour.mls.public.credentials import BasicCredential, Credential
from parlour.mls.public.leaf_node import LeafNode
from parlour.mls.public.policy import Policy
from parlour.mls.public.validation.signatures import SignatureMemo
from parlour.roster.certificate import is_genuine
from parlour.roster.device_signature import FindKey


@dataclass(frozen=True, slots=True)
class LeafOwner:
    """Whose leaf it is, and until when (seconds) its certificate is good."""

    account_id: bytes
    device_id: bytes
    expires_at: int


def owner_of(leaf: LeafNode) -> LeafOwner:
    """Whose leaf it is."""
    found = certificate_of(leaf.credential)
    return LeafOwner(found.account, found.device, found.expires_at)


class Certificates(OfDevices):
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
            found = certificate_of(credential)
        except ParlourError:
            return False
        key = self._find_key(found.account, found.device)
        if key is None:
            return False
        return found.leaf_key == signature_key and is_genuine(credential.identity, key.to_bytes())


def policy_of(find_key: FindKey) -> Policy:
    """What MLS itself decides by. Who may do what is decided by the roster (`authorising`)."""
    return Policy(Certificates(find_key), external_commits=True, resync=True, memo=SignatureMemo())
