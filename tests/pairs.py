"""Two devices and a server that hands out prekeys, for the tests of pairwise sessions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from parlour.double_ratchet import (
    DeviceIdentity,
    LocalDevice,
    PeerSessions,
    PrekeyBundle,
    PrekeyStore,
)
from parlour.errors import Code, ParlourError

NOW = 1_800_000_000


def seeded(seed: str) -> Callable[[int], bytes]:
    """Reproducible randomness."""
    counter = 0

    def random(size: int) -> bytes:
        nonlocal counter
        counter += 1
        return hashlib.shake_256(f"{seed}/{counter}".encode()).digest(size)

    return random


def refused(code: Code, call: Callable[..., object], *arguments: object) -> None:
    """The call must raise the error of that code."""
    with pytest.raises(ParlourError) as caught:
        call(*arguments)
    assert caught.value.code is code


class Device:
    """A device with its prekeys, and what the server still has of them."""

    def __init__(self, name: str, *, has_kem: bool = True, batch: bool = True) -> None:
        self.random = seeded(name)
        account_id = hashlib.sha256(name.encode()).digest()[:16]
        self.local = LocalDevice.generate(account_id, self.random, has_kem=has_kem)
        self.prekeys = PrekeyStore(self.local)
        left = 0 if batch else None
        self.prekeys.maintain(NOW, self.random, one_time_left=left, one_time_kem_left=left)
        self.upload()

    def upload(self) -> None:
        """Publish to the server."""
        upload = self.prekeys.publish()
        self.prekeys.mark_published(upload)
        self.signed, self.last_resort = upload.signed_prekey, upload.last_resort
        self.one_time, self.one_time_kem = list(upload.one_time), list(upload.one_time_kem)

    @property
    def identity(self) -> DeviceIdentity:
        return self.local.identity

    def bundle(self) -> PrekeyBundle:
        """What the server gives next."""
        return PrekeyBundle(
            self.identity,
            self.signed,
            self.one_time.pop(0) if self.one_time else None,
            self.one_time_kem.pop(0) if self.one_time_kem else self.last_resort,
        )

    def sessions(self, peer: Device, *, header_encryption: bool = False) -> PeerSessions:
        return PeerSessions(self.local, peer.identity, header_encryption=header_encryption)


class End:
    """One end of a conversation of two devices."""

    def __init__(self, device: Device, peer: Device, *, header_encryption: bool = False) -> None:
        self.device = device
        self.peer = peer
        self.sessions = device.sessions(peer, header_encryption=header_encryption)

    def initiate(self, now: int = NOW) -> None:
        self.sessions.initiate(self.peer.bundle(), now, self.device.random)

    def send(self, plaintext: bytes, associated_data: bytes = b"", now: int = NOW) -> bytes:
        return self.sessions.encrypt(plaintext, associated_data, now, self.device.random)

    def read(self, message: bytes, associated_data: bytes = b"", now: int = NOW) -> bytes:
        decrypted = self.sessions.decrypt(
            message, associated_data, self.device.prekeys, now, self.device.random
        )
        return decrypted.plaintext

    def state(self) -> tuple[bytes, bytes]:
        return self.sessions.to_bytes(), self.device.prekeys.to_bytes()

    def reload(self) -> None:
        """Restart the program: only what is stored stays."""
        self.restore(self.state())

    def restore(self, state: tuple[bytes, bytes]) -> None:
        local = self.device.local
        self.sessions = PeerSessions.from_bytes(state[0], local, self.peer.identity)
        self.device.prekeys = PrekeyStore.from_bytes(state[1], local)


def pair(
    *, has_kem: bool = True, header_encryption: bool = False, batch: bool = True
) -> tuple[End, End]:
    """Two devices that do not know each other's prekeys yet."""
    ada = Device("ada", has_kem=has_kem, batch=batch)
    bea = Device("bea", has_kem=has_kem, batch=batch)
    return (
        End(ada, bea, header_encryption=header_encryption),
        End(bea, ada, header_encryption=header_encryption),
    )


def started(
    *, has_kem: bool = True, header_encryption: bool = False, batch: bool = True
) -> tuple[End, End]:
    """Two devices that have exchanged a message each."""
    ada, bea = pair(has_kem=has_kem, header_encryption=header_encryption, batch=batch)
    ada.initiate()
    bea.read(ada.send(b"first"))
    ada.read(bea.send(b"answer"))
    return ada, bea
