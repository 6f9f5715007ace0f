"""Parlour's pairwise sessions as the benchmark drives them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from parlour.double_ratchet import LocalDevice, PeerSessions, PrekeyBundle, PrekeyStore, labels
from parlour.double_ratchet.kdf import derive_seal, step_chain
from parlour.double_ratchet.messages import encode_message

NOW = 1_800_000_000
TEXT = bytes(256)
AD = bytes(32)
PRECOMPUTED = 100


def microseconds(start: int) -> float:
    return (time.perf_counter_ns() - start) / 1_000


class Party:
    """A device that publishes prekeys."""

    def __init__(self) -> None:
        self.local = LocalDevice.generate(os.urandom(16), os.urandom)
        self.store = PrekeyStore.create(self.local, NOW, os.urandom)
        self.bundles: list[bytes] = []

    def bundle(self) -> bytes:
        """The next bundle, as the server sends it."""
        if not self.bundles:
            self.store.maintain(NOW, os.urandom, one_time_left=0, one_time_kem_left=0)
            upload = self.store.publish()
            self.store.mark_published(upload)
            for one, kem in zip(upload.one_time, upload.one_time_kem, strict=True):
                bundle = PrekeyBundle(self.local.identity, upload.signed_prekey, one, kem)
                self.bundles.append(bundle.to_bytes())
        return self.bundles.pop()


class Ours:
    operations = frozenset(
        (
            "initiate",
            "respond",
            "round",
            "encrypt",
            "decrypt",
            "fan-out",
            "batch",
            "stage derive",
            "stage seal",
            "stage store",
        )
    )

    def __init__(self, *, precomputed: bool = False) -> None:
        self.precomputed = precomputed
        self.name = "parlour-precomputed" if precomputed else "parlour"
        if precomputed:
            self.operations = frozenset(("round", "encrypt", "decrypt", "fan-out", "batch"))
        self.ada, self.bea = Party(), Party()
        self.left, self.right = self.started()
        self.crowd = [self.started()[0] for _ in range(100)]

    def new_pair(self) -> tuple[PeerSessions, PeerSessions]:
        return (
            PeerSessions(self.ada.local, self.bea.local.identity),
            PeerSessions(self.bea.local, self.ada.local.identity),
        )

    def start(self, left: PeerSessions, data: bytes) -> bytes:
        bundle = PrekeyBundle.from_bytes(data, self.bea.local.identity)
        left.initiate(bundle, NOW, os.urandom)
        return left.encrypt(TEXT, AD, NOW, os.urandom)

    def started(self) -> tuple[PeerSessions, PeerSessions]:
        left, right = self.new_pair()
        right.decrypt(self.start(left, self.bea.bundle()), AD, self.bea.store, NOW, os.urandom)
        left.decrypt(right.encrypt(TEXT, AD, NOW, os.urandom), AD, self.ada.store, NOW, os.urandom)
        left.encrypt(TEXT, AD, NOW, os.urandom)  # the turn of the ratchet is behind it
        return left, right

    def idle(self, *ends: PeerSessions) -> None:
        if self.precomputed:
            for end in ends:
                end.precompute(PRECOMPUTED, NOW, os.urandom)

    def time(self, op: str, count: int) -> list[float]:
        run: Callable[[], float] = getattr(self, op.replace(" ", "_").replace("-", "_"))
        return [run() for _ in range(count)]

    def initiate(self) -> float:
        left, _ = self.new_pair()
        data = self.bea.bundle()
        start = time.perf_counter_ns()
        self.start(left, data)
        return microseconds(start)

    def respond(self) -> float:
        left, right = self.new_pair()
        message = self.start(left, self.bea.bundle())
        start = time.perf_counter_ns()
        right.decrypt(message, AD, self.bea.store, NOW, os.urandom)
        return microseconds(start)

    def round(self) -> float:
        # Turn it once, so that the left end holds a key of the right end that it has not used.
        message = self.left.encrypt(TEXT, AD, NOW, os.urandom)
        self.right.decrypt(message, AD, self.bea.store, NOW, os.urandom)
        self.idle(self.right)
        start = time.perf_counter_ns()
        message = self.right.encrypt(TEXT, AD, NOW, os.urandom)
        self.left.decrypt(message, AD, self.ada.store, NOW, os.urandom)
        return microseconds(start)

    def encrypt(self) -> float:
        self.right.decrypt(
            self.left.encrypt(TEXT, AD, NOW, os.urandom), AD, self.bea.store, NOW, os.urandom
        )
        self.idle(self.left)
        start = time.perf_counter_ns()
        message = self.left.encrypt(TEXT, AD, NOW, os.urandom)
        taken = microseconds(start)
        self.right.decrypt(message, AD, self.bea.store, NOW, os.urandom)
        return taken

    def decrypt(self) -> float:
        self.right.decrypt(
            self.left.encrypt(TEXT, AD, NOW, os.urandom), AD, self.bea.store, NOW, os.urandom
        )
        message = self.left.encrypt(TEXT, AD, NOW, os.urandom)
        self.idle(self.right)
        start = time.perf_counter_ns()
        self.right.decrypt(message, AD, self.bea.store, NOW, os.urandom)
        return microseconds(start)

    def fan_out(self) -> float:
        self.idle(*self.crowd)
        start = time.perf_counter_ns()
        for sessions in self.crowd:
            sessions.encrypt(TEXT, AD, NOW, os.urandom)
        return microseconds(start)

    def batch(self) -> float:
        end = self.crowd[0]
        self.idle(end)
        items = [(TEXT, AD)] * 100
        start = time.perf_counter_ns()
        end.encrypt_batch(items, NOW, os.urandom)
        return microseconds(start)

    def stage_derive(self) -> float:
        key = os.urandom(32)
        start = time.perf_counter_ns()
        _, message_key = step_chain(key)
        derive_seal(message_key, os.urandom(16), labels.MESSAGE_SEAL)
        return microseconds(start)

    def stage_seal(self) -> float:
        cipher, nonce = derive_seal(os.urandom(32), os.urandom(16), labels.MESSAGE_SEAL)
        prefix = bytes(59)
        start = time.perf_counter_ns()
        encode_message(prefix, cipher.seal(nonce, TEXT, prefix + AD))
        return microseconds(start)

    def stage_store(self) -> float:
        self.left.encrypt(TEXT, AD, NOW, os.urandom)
        start = time.perf_counter_ns()
        self.left.to_bytes()
        return microseconds(start)
