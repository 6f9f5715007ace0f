"""The secret tree and the ratchets at its leaves: one key for each message.

Nothing is derived before it is needed. `find` computes a key on the side; `accept` makes the
change, when the message under the key has proved genuine.

Spec: RFC 9420 §9, §9.1, §9.2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from heapq import heapify, heapreplace
from itertools import islice
from typing import Final, Self, TypeVar

from parlour.codec import Reader, Writer, decode
from parlour.errors import Code, LimitError, UsageError, error
from parlour.mls.private.limits import (
    MAX_GENERATION,
    MAX_JUMP,
    MAX_PRECOMPUTED,
    MAX_SKIPPED,
    MAX_SKIPPED_IN_EPOCH,
)
from parlour.mls.private.ratchets import (
    APPLICATION,
    HANDSHAKE,
    LABELS,
    MessageKey,
    Ratchet,
    SendingKey,
    read_key,
    read_ratchet,
    write_key,
)
from parlour.mls.private.secrets import EncryptionSecret
from parlour.mls.public.suites import AEAD_NONCE_SIZE, CipherSuite
from parlour.mls.public.tree import math
from parlour.mls.public.types import LeafIndex

# A record in parts holds 16 leaves with the nodes below their common ancestor in one: to write it
# takes 10 µs, and there are a hundred of them in a group of 1,500.
_BRANCH_LEVELS: Final = 4
_BRANCH_WIDTH: Final = 2 << _BRANCH_LEVELS
_TOP: Final = b"top"
_AHEAD: Final = b"ahead"
_BRANCH: Final = b"b"
_SKIPPED: Final = b"s"

T = TypeVar("T")


def _is_top(node: int) -> bool:
    """Whether a node is an ancestor of 16 leaves or more."""
    return node % (_BRANCH_WIDTH // 2) == _BRANCH_WIDTH // 2 - 1


def _branch_of(node: int) -> bytes:
    return _BRANCH + (node // _BRANCH_WIDTH).to_bytes(4)


def _skipped_of(place: tuple[int, int]) -> bytes:
    return _SKIPPED + place[0].to_bytes(4) + place[1].to_bytes(1)


class SecretTree:
    """The message keys of one epoch."""

    __slots__ = (
        "_changed",
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
        self._kinds: tuple[int, ...] = (HANDSHAKE, APPLICATION)
        # Of all ratchets together.
        self._skipped = 0
        self._version = 0
        # Parts of the record that are not what they were when they were last asked for.
        self._changed: set[bytes] = set()

    def retire(self, own: LeafIndex, *others: LeafIndex) -> None:
        """The epoch is over: keep what opens the others' late application messages, no more.

        Nothing is sent in it again, and no handshake message of it is read, so a thief of the state
        shall find the keys of neither. Of `others` too the secrets that lead to both are gone.
        Where we sent nothing there is nothing to read, and no key is made to be thrown away.
        """
        used = [own] if self._has_ratchet(own) else []
        for leaf_index in (*used, *others):
            if (leaf_index, APPLICATION) not in self._ratchets:
                self._apply(self._expand(leaf_index), leaf_index)
        self._kinds = (APPLICATION,)
        if self._prepared:
            self._prepared.clear()
            self._changed.add(_AHEAD)
        kept = {}
        for place, ratchet in self._ratchets.items():
            self._changed.add(_branch_of(2 * place[0]))
            if place[0] != own and place[1] == APPLICATION:
                kept[place] = ratchet
            elif ratchet.skipped:
                self._changed.add(_skipped_of(place))
        self._ratchets = kept
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
            lambda w, sending: write_key(w, sending.generation, sending.key, sending.nonce),
        )

    def _write_ratchet(self, writer: Writer, place: tuple[int, int]) -> None:
        ratchet = self._ratchets[place]
        writer.uint32(place[0]).uint8(place[1]).opaque(ratchet.secret).uint64(ratchet.generation)
        writer.vector(
            sorted(ratchet.skipped.items()),
            lambda w, entry: write_key(w, entry[0], *entry[1]),
        )

    @classmethod
    def read(cls, suite: CipherSuite, reader: Reader) -> Self:
        """Read what `write` wrote."""
        leaf_count = reader.uint32()
        tree = cls(suite, leaf_count, None)
        if reader.uint8():
            tree._kinds = (APPLICATION,)
        tree._nodes = dict(reader.vector(lambda r: (r.uint32(), r.opaque()), 2 * leaf_count))
        tree._ratchets = dict(reader.vector(read_ratchet, 2 * leaf_count))
        tree._skipped = tree._count_skipped()
        for generation, key, nonce in reader.vector(read_key):
            tree._prepared.append(SendingKey(generation, suite.cipher(key), nonce, key))
        return tree

    # --- Storage in parts ---

    def take_changed(self) -> set[bytes]:
        """The names of the parts that changed since the last call."""
        changed, self._changed = self._changed, set()
        return changed

    def parts(self) -> set[bytes]:
        """The names of all parts that there are."""
        names = {_AHEAD} if self._prepared else set()
        names |= {_TOP if _is_top(node) else _branch_of(node) for node in self._nodes}
        for place, ratchet in self._ratchets.items():
            names.add(_branch_of(2 * place[0]))
            if ratchet.skipped:
                names.add(_skipped_of(place))
        return names

    def part(self, name: bytes) -> bytes | None:
        """One of them, encoded; None if there is nothing in it any more."""
        writer = Writer()
        if name == _AHEAD:
            for sending in self._prepared:
                write_key(writer, sending.generation, sending.key, sending.nonce)
        elif name == _TOP:
            self._write_nodes(writer, range(_BRANCH_WIDTH // 2 - 1, 2 * self._leaf_count, 16))
        elif name[:1] == _SKIPPED:
            ratchet = self._ratchets.get((int.from_bytes(name[1:5]), name[5]))
            for generation, keys in () if ratchet is None else sorted(ratchet.skipped.items()):
                write_key(writer, generation, *keys)
        else:
            self._write_branch(writer, int.from_bytes(name[1:]))
        return writer.data() or None

    def _write_nodes(self, writer: Writer, positions: Iterable[int]) -> None:
        for node in positions:
            if node in self._nodes:
                writer.uint32(node).opaque(self._nodes[node])

    def _write_branch(self, writer: Writer, branch: int) -> None:
        first = branch * _BRANCH_WIDTH
        inner = Writer()
        self._write_nodes(inner, range(first, first + _BRANCH_WIDTH // 2 - 1))
        self._write_nodes(inner, range(first + _BRANCH_WIDTH // 2, first + _BRANCH_WIDTH - 1))
        nodes, ratchets = inner.data(), Writer()
        for leaf in range(first // 2, (first + _BRANCH_WIDTH) // 2):
            for kind in (HANDSHAKE, APPLICATION):
                ratchet = self._ratchets.get((leaf, kind))
                if ratchet is not None:
                    ratchets.uint32(leaf).uint8(kind)
                    ratchets.opaque(ratchet.secret).uint64(ratchet.generation)
        encoded = ratchets.data()
        if nodes or encoded:
            writer.opaque(nodes).opaque(encoded)

    @classmethod
    def of_parts(
        cls, suite: CipherSuite, leaf_count: int, parts: Mapping[bytes, bytes], *, retired: bool
    ) -> Self:
        """Put one together; of an epoch that is over, if it is `retired`."""
        tree = cls(suite, leaf_count, None)
        if retired:
            tree._kinds = (APPLICATION,)
        for name, data in parts.items():
            if name == _TOP:
                tree._nodes.update(_all_of(data, _read_node))
            elif name == _AHEAD:
                for generation, key, nonce in _all_of(data, read_key):
                    tree._prepared.append(SendingKey(generation, suite.cipher(key), nonce, key))
            elif name[:1] == _BRANCH:
                nodes, ratchets = decode(data, lambda r: (r.opaque(), r.opaque()))
                tree._nodes.update(_all_of(nodes, _read_node))
                tree._ratchets.update(_all_of(ratchets, _read_head))
        for name, data in parts.items():
            if name[:1] == _SKIPPED:
                ratchet = tree._ratchets.get((int.from_bytes(name[1:5]), name[-1]))
                if ratchet is None:
                    raise error(Code.STORE_BROKEN, "keys of no ratchet")
                for generation, key, nonce in _all_of(data, read_key):
                    ratchet.skipped[generation] = (key, nonce)
        tree._skipped = tree._count_skipped()
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
            if ratchet.skipped.pop(used.generation, None) is not None:
                self._skipped -= 1
                self._changed.add(_skipped_of(place))
            return
        passed = [entry for entry in used.skipped if entry[0] >= ratchet.generation]
        ratchet.secret, ratchet.generation = used.secret, used.generation + 1
        self._changed.add(_branch_of(2 * used.leaf_index))
        if not passed:
            return
        ratchet.skipped.update(passed)
        self._skipped += len(passed)
        self._changed.add(_skipped_of(place))
        self._drop_oldest(place, len(ratchet.skipped) - MAX_SKIPPED)
        self._drop_from_fullest(self._skipped - MAX_SKIPPED_IN_EPOCH)

    def _drop_oldest(self, place: tuple[int, int], count: int) -> None:
        if count > 0:
            ratchet = self._ratchets[place]
            self._changed.add(_skipped_of(place))
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
            self._drop_oldest(place, some)

    # --- Sending ---

    def next_key(self, leaf_index: LeafIndex, kind: int) -> SendingKey:
        """The next key of our own, which is thereby used."""
        if kind == APPLICATION and self._prepared:
            self._changed.add(_AHEAD)
            return self._prepared.pop(0)
        return self._make_key(leaf_index, kind)

    def precompute(self, leaf_index: LeafIndex, keys: int) -> None:
        """Have `keys` keys for application messages ready, at most `MAX_PRECOMPUTED`."""
        if keys > MAX_PRECOMPUTED:
            raise UsageError(Code.USAGE_INVALID, f"at most {MAX_PRECOMPUTED} keys are made ahead")
        while len(self._prepared) < keys:
            self._changed.add(_AHEAD)
            self._prepared.append(self._make_key(leaf_index, APPLICATION))

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
        self._changed.add(_branch_of(2 * leaf_index))
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
        for node in reversed(path[1 : known + 1]):
            children = self.suite.derive_children(found.pop(node))
            found[math.left(node)], found[math.right(node)] = children
        return found

    def _apply(self, expansion: dict[int, bytes], leaf_index: LeafIndex) -> None:
        """Take over an expansion: ancestors go, siblings stay, the leaf becomes its ratchets."""
        self._version += 1
        leaf = 2 * leaf_index
        changed = self._changed
        changed.add(_branch_of(leaf))
        for node in (leaf, *math.direct_path(leaf, self._leaf_count)):
            if self._nodes.pop(node, None) is not None and _is_top(node):
                changed.add(_TOP)
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
        return self.suite.expand_with_label(expansion[2 * leaf_index], LABELS[kind], b"", size)

    def _keys(self, secret: bytes, generation: int) -> tuple[bytes, bytes]:
        suite = self.suite
        key = suite.derive_tree_secret(secret, b"key", generation, suite.key_size)
        return key, suite.derive_tree_secret(secret, b"nonce", generation, AEAD_NONCE_SIZE)

    def _step(self, secret: bytes, generation: int) -> bytes:
        return self.suite.derive_tree_secret(secret, b"secret", generation, self.suite.hash_size)

    def _has_ratchet(self, leaf_index: LeafIndex) -> bool:
        return any((leaf_index, kind) in self._ratchets for kind in self._kinds)

    def __repr__(self) -> str:
        return f"SecretTree({self._leaf_count} leaves, [secret])"


def _read_node(reader: Reader) -> tuple[int, bytes]:
    return reader.uint32(), reader.opaque()


def _read_head(reader: Reader) -> tuple[tuple[int, int], Ratchet]:
    """A ratchet without the keys that were skipped."""
    place = (reader.uint32(), reader.uint8())
    return place, Ratchet(reader.opaque(), reader.uint64())


def _all_of(data: bytes, read: Callable[[Reader], T]) -> Iterator[T]:
    """Everything that stands one after the other."""
    reader = Reader(data)
    while not reader.at_end:
        yield read(reader)
