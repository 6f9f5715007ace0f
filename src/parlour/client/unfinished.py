"""What a new device keeps of a linking that is under way, so that it can go on after a crash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec
from msgspec import Struct

from parlour.conversation.changes import Change, DeleteRecord, Namespace, PutRecord
from parlour.conversation.records import OwnDevice
from parlour.conversation.upkeep import wire_prekey
from parlour.double_ratchet.identity import LocalDevice
from parlour.double_ratchet.prekey_store import PrekeyStore
from parlour.errors import Code, StorageError
from parlour.identity.device import Device
from parlour.identity.linking import LIFETIME_SECONDS, NewDeviceLink
from parlour.primitives.random import system_random
from parlour.wire.frames import encode_body
from parlour.wire.ids import ID_SIZE

_KEY: Final = b"linking"
# Whose device it is, it learns by linking.
_NOBODY: Final = bytes(ID_SIZE)


class Unfinished(Struct, frozen=True):
    """The record. `began_at` in seconds; all but the times is secret.

    `greeting` is the other device's, once it came; `compared` when a person said yes to the code
    that it gave. `resumed` when this is not the first try.
    """

    device: OwnDevice
    prekeys: bytes
    saved: bytes
    began_at: int
    greeting: bytes = b""
    compared: bool = False
    resumed: bool = False

    def __repr__(self) -> str:
        return f"Unfinished(began_at={self.began_at})"

    def change(self) -> Change:
        """The record to write."""
        return PutRecord(Namespace.SERVER, _KEY, msgspec.msgpack.encode(self))

    @staticmethod
    def deletion() -> Change:
        """The end of the record."""
        return DeleteRecord(Namespace.SERVER, _KEY)

    @classmethod
    def load(cls, records: Mapping[Namespace, Mapping[bytes, bytes]]) -> Unfinished | None:
        """Read the record, if there is one."""
        data = records.get(Namespace.SERVER, {}).get(_KEY)
        if data is None:
            return None
        try:
            return msgspec.msgpack.decode(data, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as problem:
            raise StorageError(Code.STORE_BROKEN, "linking record") from problem

    def seconds_left(self, now: int) -> int:
        """How long the code is still good; a clock that was set back ends it."""
        return LIFETIME_SECONDS - (now - self.began_at) if now >= self.began_at else 0

    def link(self, clock: int, now: int) -> NewDeviceLink:
        """The linking as it was before any message came. `clock` does not go back."""
        return NewDeviceLink.resume(self.saved, lifetime=self.seconds_left(now), now=clock)

    def prekey_store(self) -> PrekeyStore:
        """The device's prekeys, of which none but those offered were published."""
        return PrekeyStore.from_bytes(self.prekeys, self.device.local())


@dataclass(frozen=True, slots=True)
class MadeDevice:
    """A device before anybody knows it: `listed` and `offered` are what its offer says of it."""

    own: OwnDevice
    prekeys: PrekeyStore = field(repr=False)
    listed: Device
    offered: tuple[bytes, ...] = field(repr=False)

    def begin(self, link: NewDeviceLink, now: int) -> Unfinished:
        """The record of a linking that begins now (seconds)."""
        return Unfinished(self.own, self.prekeys.to_bytes(), link.saved(), now)


def make_device(now: int) -> MadeDevice:
    """Make a device's keys and its first prekeys. `now` in seconds. Slow: `run_slow`.

    One-time prekeys are not offered: a message may use one up before this device is there, which
    publishes all of them then, that one once more among them.
    """
    local = LocalDevice.generate(_NOBODY, system_random)
    prekeys = PrekeyStore.create(local, now, system_random)
    upload = prekeys.publish()
    lasting = [upload.signed_prekey, *([upload.last_resort] if upload.last_resort else [])]
    identity = local.identity
    own = OwnDevice(
        server="",
        name="",
        account_id=_NOBODY,
        signature_key=local.signature_key.to_bytes(),
        identity_key=local.identity_key.to_bytes(),
        has_kem=identity.has_kem,
        first=False,
    )
    listed = Device(
        identity.signature_key, identity.identity_key, has_kem=identity.has_kem, added_at=now
    )
    offered = tuple(encode_body(wire_prekey(prekey)) for prekey in lasting)
    return MadeDevice(own, prekeys, listed, offered)
