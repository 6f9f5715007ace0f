"""The secret tree and the ratchets at its leaves: one key for each message.

Nothing is derived before it is needed. `find` computes a key on the side; `accept` makes the
change, when the message under the key has proved genuine.

Spec: RFC 9420 §9, §9.1, §9.2.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from heapq import heapify, heapreplace
from itertools import islice
from typing import Final, Self

from parlour.codec import Reader, Writer
from parlour.errors import Code, LimitError, UsageError, error
from parlour.mls.private.limits import (
    MAX_GENERATION,
    MAX_JUMP,
    MAX_PRECOMPUTED,
    MAX_SKIPPED,
    MAX_SKIPPED_IN_EPOCH,
)
from parlour.mls.private.secrets import EncryptionSecret
from parlour.mls.public.suites import AEAD_NONCE_SIZE, CipherSuite
from parlour.mls.public.tree import math
from parlour.mls.public.types import ContentType, LeafIndex
from parlour.primitives.aead import Aead

_HANDSHAKE: Final = 0
_APPLICATION: Final = 1
_LABELS: Final = (b"handshake", b"application")


def ratchet_kind(content_type: ContentType) -> int:
    """Which of a sender's two ratchets serves this content."""
    return _APPLICATION if content_type is ContentType.APPLICATION else _HANDSHAKE


@dataclass(slots=True)
class Ratchet:
    """One sender's ratchet: the secret of the next generation, and keys that were skipped.

    The oldest of these stands first: they are put in as the generation rises.
    """

    secret: bytes = field(repr=False)
    generation: int = 0
    skipped: dict[int, tuple[bytes, bytes]] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class MessageKey:
    """The key and nonce of one message, and what `accept` has to change."""

    leaf_index: LeafIndex
    kind: int
    generation: int
    key: bytes = field(repr=False)
    nonce: bytes = field(repr=False)
    expansion: dict[int, bytes] | None = field(default=None, repr=False)
    basis: int = 0
    secret: bytes | None = field(default=None, repr=False)
    skipped: tuple[tuple[int, tuple[bytes, bytes]], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class SendingKey:
    """A key of our own, ready to be used once."""

    generation: int
    cipher: Aead
    nonce: bytes = field(repr=False)
    key: bytes = field(repr=False)


def _read_key(reader: Reader) -> tuple[int, bytes, bytes]:
    return reader.uint32(), reader.opaque(), reader.opaque()


def _read_ratchet(reader: Reader) -> tuple[tuple[int, int], Ratchet]:
    place = (reader.uint32(), reader.uint8())
    ratchet = Ratchet(reader.opaque(), reader.uint64())
    for generation, key, nonce in reader.vector(_read_key):
        ratchet.skipped[generation] = (key, nonce)
    return place, ratchet


class SecretTree:
    """The message keys of one epoch."""

    __slots__ = (
        "_kinds",
        "_leaf_count",
        "_nodes",
        "_prepared",
        "_ratchets",
        "_skipped",
        "_version",
        "suite",
    )

    def __init__(self, suite: CipherSuite, leaf_count: int, root: EncryptionSecret | None) -> None:
        self.suite = suite
        self._leaf_count = leaf_count
        self._nodes: dict[int, bytes] = {}
        if root is not None:
            self._nodes[math.root(leaf_count)] = root.reveal()
        self._ratchets: dict[tuple[int, int], Ratchet] = {}
        self._prepared: list[SendingKey] = []
        self._kinds: tuple[int, ...] = (_HANDSHAKE, _APPLICATION)
        # Of all ratchets together.
        self._skipped = 0
        self._version = 0

    def retire(self, own: LeafIndex, *others: LeafIndex) -> None:
        """The epoch is over: keep what opens the others' late application messages, no more.

        Nothing is sent in it again, and no handshake message of it is read, so a thief of the state
        shall find the keys of neither. Of `others` too the secrets that lead to both are gone.
        """
        for leaf_index in (own, *others):
            if (leaf_index, _APPLICATION) not in self._ratchets:
                self._apply(self._expand(leaf_index), leaf_index)
        self._kinds = (_APPLICATION,)
        self._prepared.clear()
        self._ratchets = {
            place: ratchet
            for place, ratchet in self._ratchets.items()
            if place[0] != own and place[1] == _APPLICATION
        }
        self._skipped = self._count_skipped()

    def _count_skipped(self) -> int:
        return sum(len(ratchet.skipped) for ratchet in self._ratchets.values())

    # --- Storage ---

    def write(self, writer: Writer) -> None:
        """Put everything into a record, in a fixed order."""
        writer.uint32(self._leaf_count).uint8(len(self._kinds) == 1)
        writer.vector(
            sorted(self._nodes.items()), lambda w, entry: w.uint32(entry[0]).opaque(entry[1])
        )
        writer.vector(sorted(self._ratchets), self._write_ratchet)
        writer.vector(
            self._prepared,
            lambda w, sending: (
                w.uint32(sending.generation).opaque(sending.key).opaque(sending.nonce)
            ),
        )

    def _write_ratchet(self, writer: Writer, place: tuple[int, int]) -> None:
        ratchet = self._ratchets[place]
        writer.uint32(place[0]).uint8(place[1]).opaque(ratchet.secret).uint64(ratchet.generation)
        writer.vector(
            sorted(ratchet.skipped.items()),
            lambda w, entry: w.uint32(entry[0]).opaque(entry[1][0]).opaque(entry[1][1]),
        )

    @classmethod
    def read(cls, suite: CipherSuite, reader: Reader) -> Self:
        """Read what `write` wrote."""
        leaf_count = reader.uint32()
        tree = cls(suite, leaf_count, None)
        if reader.uint8():
            tree._kinds = (_APPLICATION,)
        tree._nodes = dict(reader.vector(lambda r: (r.uint32(), r.opaque()), 2 * leaf_count))
        tree._ratchets = dict(reader.vector(_read_ratchet, 2 * leaf_count))
        tree._skipped = tree._count_skipped()
        for generation, key, nonce in reader.vector(_read_key):
            tree._prepared.append(SendingKey(generation, suite.cipher(key), nonce, key))
        return tree

    # --- Receiving ---

    def find(self, leaf_index: LeafIndex, kind: int, generation: int) -> MessageKey:
        """The key of a sender's message; nothing is changed."""
        ratchet = self._ratchets.get((leaf_index, kind))
        expansion = None
        if ratchet is None:
            expansion = self._expand(leaf_index)
            secret = self._ratchet_secret(expansion, leaf_index, kind)
            at = 0
            skipped: dict[int, tuple[bytes, bytes]] = {}
        else:
            secret, at, skipped = ratchet.secret, ratchet.generation, ratchet.skipped
        if generation < at:
            if generation not in skipped:
                raise error(Code.SESSION_REPLAYED, f"generation {generation}")
            key, nonce = skipped[generation]
            return MessageKey(leaf_index, kind, generation, key, nonce)
        if generation - at > MAX_JUMP:
            raise LimitError(Code.SESSION_JUMP, f"from generation {at} to {generation}")
        passed = []
        while at < generation:
            passed.append((at, self._keys(secret, at)))
            secret = self._step(secret, at)
            at += 1
        key, nonce = self._keys(secret, at)
        after = self._step(secret, at)
        return MessageKey(
            leaf_index,
            kind,
            generation,
            key,
            nonce,
            expansion,
            self._version,
            after,
            tuple(passed),
        )

    def accept(self, used: MessageKey) -> None:
        """Forget a key that opened its message, and whatever it came from (§9.2)."""
        place = (used.leaf_index, used.kind)
        if used.expansion is not None and place not in self._ratchets:
            # What was found before another leaf was expanded holds secrets that are gone by now.
            current = used.basis == self._version
            expansion = used.expansion if current else self._expand(used.leaf_index)
            self._apply(expansion, used.leaf_index)
        ratchet = self._ratchets[place]
        # Two keys may have been found before the first of them was accepted.
        if used.secret is None or used.generation < ratchet.generation:
            self._skipped -= ratchet.skipped.pop(used.generation, None) is not None
            return
        passed = [entry for entry in used.skipped if entry[0] >= ratchet.generation]
        ratchet.skipped.update(passed)
        self._skipped += len(passed)
        ratchet.secret, ratchet.generation = used.secret, used.generation + 1
        self._drop_oldest(ratchet, len(ratchet.skipped) - MAX_SKIPPED)
        self._drop_from_fullest(self._skipped - MAX_SKIPPED_IN_EPOCH)

    def _drop_oldest(self, ratchet: Ratchet, count: int) -> None:
        if count > 0:
            for generation in list(islice(ratchet.skipped, count)):
                del ratchet.skipped[generation]
            self._skipped -= count

    def _drop_from_fullest(self, count: int) -> None:
        """Take from whoever has most, key by key, so that no sender costs the others theirs."""
        if count <= 0:
            return
        ratchets = self._ratchets.items()
        heap = [(-len(other.skipped), place) for place, other in ratchets if other.skipped]
        heapify(heap)
        dropped: Counter[tuple[int, int]] = Counter()
        for _ in range(count):
            size, place = heap[0]
            heapreplace(heap, (size + 1, place))
            dropped[place] += 1
        for place, some in dropped.items():
            self._drop_oldest(self._ratchets[place], some)

    # --- Sending ---

    def next_key(self, leaf_index: LeafIndex, kind: int) -> SendingKey:
        """The next key of our own, which is thereby used."""
        if kind == _APPLICATION and self._prepared:
            return self._prepared.pop(0)
        return self._make_key(leaf_index, kind)

    def precompute(self, leaf_index: LeafIndex, keys: int) -> None:
        """Have `keys` keys for application messages ready, at most `MAX_PRECOMPUTED`."""
        if keys > MAX_PRECOMPUTED:
            raise UsageError(Code.USAGE_INVALID, f"at most {MAX_PRECOMPUTED} keys are made ahead")
        while len(self._prepared) < keys:
            self._prepared.append(self._make_key(leaf_index, _APPLICATION))

    def _make_key(self, leaf_index: LeafIndex, kind: int) -> SendingKey:
        ratchet = self._ratchets.get((leaf_index, kind))
        if ratchet is None:
            self._apply(self._expand(leaf_index), leaf_index)
            ratchet = self._ratchets[leaf_index, kind]
        generation = ratchet.generation
        if generation > MAX_GENERATION:
            raise LimitError(Code.LIMIT_COUNT, "the epoch has no keys left; commit first")
        key, nonce = self._keys(ratchet.secret, generation)
        ratchet.secret = self._step(ratchet.secret, generation)
        ratchet.generation = generation + 1
        return SendingKey(generation, self.suite.cipher(key), nonce, key)

    # --- Derivation ---

    def _expand(self, leaf_index: LeafIndex) -> dict[int, bytes]:
        """The secrets on the way from the lowest known node down to a leaf, and beside it."""
        leaf = 2 * leaf_index
        path = [leaf, *math.direct_path(leaf, self._leaf_count)]
        known = next((i for i, node in enumerate(path) if node in self._nodes), None)
        if known is None:
            raise error(Code.SESSION_REPLAYED, f"leaf {leaf_index}")
        found: dict[int, bytes] = {path[known]: self._nodes[path[known]]}
        size = self.suite.hash_size
        for node in reversed(path[1 : known + 1]):
            secret = found.pop(node)
            expand = self.suite.expand_with_label
            found[math.left(node)] = expand(secret, b"tree", b"left", size)
            found[math.right(node)] = expand(secret, b"tree", b"right", size)
        return found

    def _apply(self, expansion: dict[int, bytes], leaf_index: LeafIndex) -> None:
        """Take over an expansion: ancestors go, siblings stay, the leaf becomes its ratchets."""
        self._version += 1
        leaf = 2 * leaf_index
        for node in (leaf, *math.direct_path(leaf, self._leaf_count)):
            self._nodes.pop(node, None)
        for kind in self._kinds:
            secret = self._ratchet_secret(expansion, leaf_index, kind)
            self._ratchets.setdefault((leaf_index, kind), Ratchet(secret))
        for node, secret in expansion.items():
            if node != leaf:
                self._nodes[node] = secret

    def _ratchet_secret(
        self, expansion: dict[int, bytes], leaf_index: LeafIndex, kind: int
    ) -> bytes:
        size = self.suite.hash_size
        return self.suite.expand_with_label(expansion[2 * leaf_index], _LABELS[kind], b"", size)

    def _keys(self, secret: bytes, generation: int) -> tuple[bytes, bytes]:
        suite = self.suite
        key = suite.derive_tree_secret(secret, b"key", generation, suite.key_size)
        return key, suite.derive_tree_secret(secret, b"nonce", generation, AEAD_NONCE_SIZE)

    def _step(self, secret: bytes, generation: int) -> bytes:
        return self.suite.derive_tree_secret(secret, b"secret", generation, self.suite.hash_size)

    def __repr__(self) -> str:
        return f"SecretTree({self._leaf_count} leaves, [secret])"
