"""Who is who: certificates of leaves, judged by the devices that the server knows.

The devices that a handshake names are read at once, before it is judged.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from parlour.errors import Code, DecodeError, ParlourError
from parlour.identity.device_list_entry import DeviceListEntry
from parlour.mls.public.credentials import BasicCredential, Credential
from parlour.mls.public.leaf_node import LeafNode
from parlour.mls.public.policy import LifetimeCheck, Policy
from parlour.mls.public.validation.signatures import SignatureMemo
from parlour.primitives.signature import Ed25519PublicKey
from parlour.roster import LeafCertificate, RosterState
from parlour.roster.certificate import is_genuine
from parlour.server.store.group_records import DeviceKey

# How far ahead of ours (seconds) a clock may be: a certificate from the future would keep an idle
# device in its groups.
MAX_AHEAD: Final = 86_400
# Certificates are met again when their leaf goes. Each takes about half a kilobyte.
_REMEMBERED: Final = 8192


@dataclass(frozen=True, slots=True)
class LeafOwner:
    """Whose leaf it is, and until when (seconds) its certificate is good."""

    account: bytes
    device: bytes
    expires_at: int


@functools.lru_cache(maxsize=_REMEMBERED)
def _decode(identity: bytes) -> LeafCertificate:
    return LeafCertificate.decode(identity)


def _certificate(credential: Credential) -> LeafCertificate:
    if not isinstance(credential, BasicCredential):
        raise DecodeError(Code.DECODE_MALFORMED, "a leaf without a certificate")
    return _decode(credential.identity)


def owner_of(leaf: LeafNode) -> LeafOwner:
    """Whose leaf it claims to be; raises `DecodeError`."""
    found = _certificate(leaf.credential)
    return LeafOwner(found.account, found.device, found.expires_at)


def _shown_key(list_entry: bytes) -> bytes | None:
    try:
        return DeviceListEntry.decode(list_entry).account_key.to_bytes()
    except ParlourError:
        return None


class Authority:
    """The Authentication Service (RFC 9420 §5.3.1) at one time (`now`, seconds)."""

    def __init__(
        self,
        devices: Iterable[DeviceKey],
        now: int,
        accepted: frozenset[bytes] = frozenset(),
        memo: SignatureMemo | None = None,
    ) -> None:
        self._devices = {device.device_id: device for device in devices}
        self.now = now
        self._accepted = accepted
        self._memo = memo
        self._lists = {device.account_id: device.list_entry for device in self._devices.values()}
        self._account_keys: dict[bytes, bytes | None] = {}

    def having_accepted(self, identities: Iterable[bytes]) -> Authority:
        """The same, for whom these certificates are good: they were, when they were proposed.

        A device that has left its list since is to be removed. It must not stop everybody who
        covers what it had proposed.
        """
        accepted = frozenset(identities)
        return Authority(self._devices.values(), self.now, accepted, self._memo)

    @property
    def policy(self) -> Policy:
        """What MLS decides by. Who may come from outside, `commits` decides."""
        return Policy(
            self,
            lifetimes=LifetimeCheck.ADDS,
            external_commits=True,
            resync=True,
            memo=self._memo,
        )

    def find_key(self, account: bytes, device: bytes) -> Ed25519PublicKey | None:
        """The key of a device that stands, or stood, on the account's list (`roster.FindKey`)."""
        found = self._devices.get(device)
        if found is None or found.account_id != account:
            return None
        return Ed25519PublicKey(found.signature_key)

    def is_active(self, account: bytes, device: bytes) -> bool:
        """Whether it stands on the account's list now."""
        found = self._devices.get(device)
        return found is not None and found.active and found.account_id == account

    def account_key(self, account: bytes) -> bytes | None:
        """The account key that its device list shows now; None for an account that is not known."""
        if account not in self._account_keys:
            self._account_keys[account] = _shown_key(self._lists.get(account, b""))
        return self._account_keys[account]

    def shows_its_key(self, roster: RosterState, account: bytes) -> bool:
        """Whether an account shows the key under which it came onto the roster."""
        return roster.admits(account, self.account_key(account))

    # --- CredentialValidator ---

    def accepts(self, credential: Credential, signature_key: bytes) -> bool:
        """Whether an active device has certified this key, for a time that is not over."""
        try:
            found = _certificate(credential)
            if credential.encode() in self._accepted:
                return found.leaf_key == signature_key
            if not self.is_active(found.account, found.device):
                return False
            if not is_genuine(found.encode(), self._devices[found.device].signature_key):
                return False
        except ParlourError:
            return False
        in_time = found.issued_at <= self.now + MAX_AHEAD and not found.has_expired(self.now)
        return in_time and found.leaf_key == signature_key

    def succeeds(self, old: Credential, new: Credential) -> bool:
        """Whether both are of one device of one account."""
        return self.identity(old) == self.identity(new)

    def identity(self, credential: Credential) -> bytes:
        """Account and device."""
        try:
            found = _certificate(credential)
        except ParlourError:
            return credential.encode()
        return found.account + found.device


class _Stored:
    """For what was judged before it was stored."""

    def accepts(self, credential: Credential, signature_key: bytes) -> bool:
        return True

    def succeeds(self, old: Credential, new: Credential) -> bool:
        return True

    def identity(self, credential: Credential) -> bytes:
        return credential.encode()


STORED: Final = Policy(_Stored())
"""For groups that come from our own database: nothing is judged twice."""
