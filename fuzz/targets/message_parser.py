"""Pairwise messages, prekeys, bundles, and sessions that read what they are given."""

from __future__ import annotations

import hashlib

from parlour.double_ratchet import LocalDevice, PeerSessions, Prekey, PrekeyBundle, PrekeyStore
from parlour.double_ratchet.messages import decode_message
from parlour.errors import ParlourError

NOW = 1_800_000_000


def _seeded(name: str) -> list[bytes]:
    """A first message, an answer, a message within the session, prekeys and both states."""
    count = 0

    def random(size: int) -> bytes:
        nonlocal count
        count += 1
        return hashlib.shake_256(b"%s %d" % (name.encode(), count)).digest(size)

    ada = LocalDevice.generate(bytes(16), random)
    bea = LocalDevice.generate(b"b" * 16, random)
    stores = PrekeyStore(ada), PrekeyStore(bea)
    for store in stores:
        store.maintain(NOW, random)
    upload = stores[1].publish()
    bundle = PrekeyBundle(bea.identity, upload.signed_prekey, None, upload.last_resort)
    seeds = [bundle.to_bytes(), upload.signed_prekey.to_bytes()]
    for header_encryption in (False, True):
        left = PeerSessions(ada, bea.identity, header_encryption=header_encryption)
        right = PeerSessions(bea, ada.identity)
        left.initiate(bundle, NOW, random)
        first = left.encrypt(b"x", b"", NOW, random)
        right.decrypt(first, b"", stores[1], NOW, random)
        answer = right.encrypt(b"y", b"", NOW, random)
        left.decrypt(answer, b"", stores[0], NOW, random)
        seeds += [first, answer, left.encrypt(b"z", b"", NOW, random)]
    _ENDS.append((right, stores[1], bea, ada))
    return [*seeds, right.to_bytes(), stores[1].to_bytes()]


_ENDS: list[tuple[PeerSessions, PrekeyStore, LocalDevice, LocalDevice]] = []
SEEDS: list[bytes] = _seeded("seeds")


def target(data: bytes) -> None:
    """A value or a `ParlourError`; and what is refused changes neither sessions nor prekeys."""
    sessions, prekeys, bea, ada = _ENDS[0]
    for decode in (
        decode_message,
        Prekey.from_bytes,
        lambda value: PrekeyBundle.from_bytes(value, bea.identity).verify(NOW),
        lambda value: PeerSessions.from_bytes(value, bea, ada.identity).to_bytes(),
        lambda value: PrekeyStore.from_bytes(value, bea).to_bytes(),
    ):
        try:
            decode(data)
        except ParlourError:
            continue
    before = sessions.to_bytes(), prekeys.to_bytes()
    again = PeerSessions.from_bytes(before[0], bea, ada.identity)
    store = PrekeyStore.from_bytes(before[1], bea)
    try:
        again.decrypt(data, b"", store, NOW, bytes)
    except ParlourError:
        if (again.to_bytes(), store.to_bytes()) != before:
            raise RuntimeError("a refused message changed the state") from None
