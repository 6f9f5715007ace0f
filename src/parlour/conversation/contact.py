"""An account we know: its name, its devices, and how far a person has verified it.

Verification is a table of states. ``UNVERIFIED`` trusts the first key seen. ``VERIFIED`` means
that a person compared the safety number. ``CHANGED`` means that a verified account shows another
key: nothing is sent to it and nothing of the new key is read until a person accepts or verifies,
or until the key that was verified is shown again. An account is stopped in the same way when
another device of ours has verified a key that is not the one shown here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from parlour.conversation.decided import following
from parlour.conversation.standing import Act, Standing, after
from parlour.double_ratchet.identity import DeviceIdentity
from parlour.errors import Code, ParlourError, StorageError, UsageError
from parlour.identity.device_list import (
    Device,
    DeviceListEntry,
    DeviceListState,
    device_id_of,
)
from parlour.primitives.signature import ED25519_KEY_SIZE, Ed25519PublicKey

# Devices that left a list and are still known by their keys: more than anybody buys in a life.
MAX_FORMER: Final = 200


class Verification(StrEnum):
    """How far a person has verified an account's key."""

    UNVERIFIED = "unverified"
    VERIFIED = "verified"
    CHANGED = "changed"


class _Step(StrEnum):
    VERIFY = "verify"
    KEY_CHANGE = "key change"
    ACCEPT = "accept"
    WITHDRAW = "withdraw"


_TRANSITIONS: Final[dict[tuple[Verification, _Step], Verification]] = {
    (Verification.UNVERIFIED, _Step.VERIFY): Verification.VERIFIED,
    (Verification.UNVERIFIED, _Step.KEY_CHANGE): Verification.UNVERIFIED,
    (Verification.VERIFIED, _Step.VERIFY): Verification.VERIFIED,
    (Verification.VERIFIED, _Step.KEY_CHANGE): Verification.CHANGED,
    (Verification.CHANGED, _Step.VERIFY): Verification.VERIFIED,
    (Verification.CHANGED, _Step.KEY_CHANGE): Verification.CHANGED,
    (Verification.CHANGED, _Step.ACCEPT): Verification.UNVERIFIED,
    (Verification.CHANGED, _Step.WITHDRAW): Verification.VERIFIED,
}


def identity_of(account_id: bytes, device: Device) -> DeviceIdentity:
    """A device of a verified list as the pairwise protocol knows it."""
    return DeviceIdentity(
        account_id=account_id,
        device_id=device.device_id,
        signature_key=device.signature_key,
        identity_key=device.identity_key,
        has_kem=device.has_kem,
    )


def formers(
    known: tuple[bytes, ...], before: DeviceListEntry, after: DeviceListEntry
) -> tuple[bytes, ...]:
    """The keys of former devices, after one entry of a list follows another.

    Each stands behind the account key under which the device was listed. Under another account
    key, also a device that is listed again is another one.
    """
    under = before.account_key.to_bytes()
    same = under == after.account_key.to_bytes()
    here = {device.device_id for device in after.devices} if same else set()
    gone = [under + d.signature_key.to_bytes() for d in before.devices if d.device_id not in here]
    return (*known, *gone)[-MAX_FORMER:]


class _Stored(Struct, frozen=True):
    """The record in the local store. `head` is the last accepted entry; `offered` a new key's."""

    name: str
    head: bytes
    offered: bytes
    verification: Annotated[str, Meta(max_length=16)]
    verified_at: int = 0
    contradicted: bytes = b""
    standing: Annotated[str, Meta(max_length=16)] = Standing.ACCEPTED.value
    standing_at: int = 0
    aside: bool = False
    former: list[bytes] = []


@dataclass(frozen=True, slots=True)
class Contact:
    """One account. Immutable: each change returns the next one.

    `verified_at` and `standing_at` are when a person last decided, in milliseconds: of what two
    devices of one person decide, the later counts. `contradicted` is the account key that another
    device of ours has verified, where it is not the one shown here. `aside` when nobody looked for
    the account here: it came with a group. `former` are the keys of devices that were once on the
    list, each behind the account key of then (64 bytes): what they signed while they were there
    stands in the logs of groups.
    """

    name: str
    head: DeviceListEntry
    verification: Verification = Verification.UNVERIFIED
    offered: DeviceListEntry | None = None
    verified_at: int = 0
    contradicted: bytes = b""
    standing: Standing = Standing.STRANGER
    standing_at: int = 0
    aside: bool = False
    former: tuple[bytes, ...] = ()
    _identities: tuple[DeviceIdentity, ...] | None = field(
        default=None, init=False, repr=False, compare=False
    )

    @property
    def is_met(self) -> bool:
        """Whether it is one of the people that somebody knows, not only of the same group."""
        undecided = (Standing.STRANGER, Verification.UNVERIFIED)
        return not self.aside or (self.standing, self.verification) != undecided

    @property
    def account_id(self) -> bytes:
        """The account's id, 16 bytes."""
        return self.head.account_id

    @property
    def state(self) -> DeviceListState:
        """The verified device list as it is now."""
        return DeviceListState.after(self.head)

    @property
    def shown(self) -> DeviceListEntry:
        """The list that the server shows: of a key that waits for a person, if there is one."""
        return self.offered or self.head

    @property
    def stopped(self) -> bool:
        """Whether a changed key waits for a person."""
        return self.verification is Verification.CHANGED or bool(self.contradicted)

    def identities(self) -> list[DeviceIdentity]:
        """All devices, as targets of pairwise messages."""
        return list(self._known_identities())

    def _known_identities(self) -> tuple[DeviceIdentity, ...]:
        """Made once: each costs two hashes, and every message asks for all of them."""
        if self._identities is None:
            made = tuple(identity_of(self.account_id, device) for device in self.head.devices)
            object.__setattr__(self, "_identities", made)
            return made
        return self._identities

    def device_ids(self) -> list[bytes]:
        """The ids of all devices on the list."""
        return [device.device_id for device in self.head.devices]

    def identity(self, device_id: bytes) -> DeviceIdentity | None:
        """The device of that id, if it is on the list."""
        known = self._known_identities()
        return next((each for each in known if each.device_id == device_id), None)

    def device_key(self, device_id: bytes) -> Ed25519PublicKey | None:
        """The key of a device that is on the list, or on the one that is shown, or once was."""
        for entry in self._lists():
            for device in entry.devices:
                if device.device_id == device_id:
                    return device.signature_key
        for _, former in self._former_devices():
            if device_id_of(former) == device_id:
                return former
        return None

    def account_keys_of(self, device_id: bytes) -> Iterator[bytes]:
        """The account keys under which a device stands on the list, or is shown, or once stood."""
        for entry in self._lists():
            if any(device.device_id == device_id for device in entry.devices):
                yield entry.account_key.to_bytes()
        for account_key, former in self._former_devices():
            if device_id_of(former) == device_id:
                yield account_key

    def _lists(self) -> tuple[DeviceListEntry, ...]:
        return (self.head,) if self.offered is None else (self.head, self.offered)

    def _former_devices(self) -> Iterator[tuple[bytes, Ed25519PublicKey]]:
        for keys in self.former:
            yield keys[:ED25519_KEY_SIZE], Ed25519PublicKey(keys[ED25519_KEY_SIZE:])

    def extended(self, entry: DeviceListEntry) -> Contact:
        """Accept the entry that follows, or raise `SecurityStop`."""
        self.state.extend(entry)
        return replace(self, head=entry, former=formers(self.former, self.head, entry))

    def with_changed_key(self, latest: DeviceListEntry) -> Contact:
        """Take note of a list under another account key, verified from its entry 0."""
        if latest.account_key.to_bytes() == self.contradicted:
            # The server comes round to what another device of ours has verified.
            return replace(
                self,
                verification=Verification.VERIFIED,
                head=latest,
                offered=None,
                contradicted=b"",
                former=formers(self.former, self.head, latest),
            )
        verification = self._after(_Step.KEY_CHANGE)
        if verification is Verification.CHANGED:
            return replace(self, verification=verification, offered=latest)
        former = formers(self.former, self.head, latest)
        return replace(self, verification=verification, head=latest, offered=None, former=former)

    def verified(self, at: int = 0) -> Contact:
        """A person compared the safety number of the key that is current, or offered."""
        return self._settled(_Step.VERIFY, at)

    def accepted(self, at: int = 0) -> Contact:
        """A person goes on with a changed key without comparing."""
        if self.contradicted and self.verification is not Verification.CHANGED:
            return replace(
                self, verification=Verification.UNVERIFIED, contradicted=b"", verified_at=at
            )
        return self._settled(_Step.ACCEPT, at)

    def contradicted_by(self, key: bytes, at: int) -> Contact:
        """Another device of ours has verified `key`, which is not the one shown here."""
        return replace(self, contradicted=key, verified_at=at)

    def withdrawn(self) -> Contact:
        """The key that was verified is shown again: the other one is not offered any more."""
        return replace(self, verification=self._after(_Step.WITHDRAW), offered=None)

    def key_to_verify(self) -> Ed25519PublicKey:
        """The account key that a person compares now: the offered one, if there is one."""
        return self.shown.account_key

    def after(self, act: Act, at: int | None = None) -> Contact:
        """The contact after a decision at `at`; raises `UsageError` where it makes no sense.

        Without `at`, nobody decided here: it follows from what came in.
        """
        standing = after(self.standing, act)
        if standing is self.standing:
            return self
        # Later than what any device of ours has decided before, whatever its clock said.
        decided = self.standing_at if at is None else following(at, self.standing_at)
        return replace(self, standing=standing, standing_at=decided)

    def _settled(self, step: _Step, at: int) -> Contact:
        return replace(
            self,
            verification=self._after(step),
            head=self.shown,
            offered=None,
            contradicted=b"",
            former=formers(self.former, self.head, self.shown),
            verified_at=following(at, self.verified_at) if at else self.verified_at,
        )

    def _after(self, step: _Step) -> Verification:
        verification = _TRANSITIONS.get((self.verification, step))
        if verification is None:
            raise UsageError(Code.USAGE_STATE, f"{step.value} when {self.verification.value}")
        return verification

    def encode(self) -> bytes:
        """The record for the local store."""
        offered = b"" if self.offered is None else self.offered.encode()
        return msgspec.msgpack.encode(
            _Stored(
                name=self.name,
                head=self.head.encode(),
                offered=offered,
                verification=self.verification.value,
                verified_at=self.verified_at,
                contradicted=self.contradicted,
                standing=self.standing.value,
                standing_at=self.standing_at,
                aside=self.aside,
                former=list(self.former),
            )
        )

    @classmethod
    def decode(cls, data: bytes) -> Contact:
        """Read a record that `encode` made."""
        try:
            stored = msgspec.msgpack.decode(data, type=_Stored)
            return cls(
                name=stored.name,
                head=DeviceListEntry.decode(stored.head),
                verification=Verification(stored.verification),
                offered=DeviceListEntry.decode(stored.offered) if stored.offered else None,
                verified_at=stored.verified_at,
                contradicted=stored.contradicted,
                standing=Standing(stored.standing),
                standing_at=stored.standing_at,
                aside=stored.aside,
                former=tuple(stored.former),
            )
        except (msgspec.DecodeError, ValueError, ParlourError) as error:
            raise StorageError(Code.STORE_VERSION, "contact record") from error
