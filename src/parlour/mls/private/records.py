"""A group as small records under keys, of which each change writes few.

In one record a group of 1,500 takes half a megabyte. In parts, a message writes the ratchets of 16
leaves, and a commit the branches of the tree in which it changed something. A record is replaced,
never added to, so that what was used up is gone from the store (§9.2).

The changes of one call belong together: they are written in one transaction, or not at all.

Spec: RFC 9420 §9.2, §14.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final, Self

from parlour.codec import Reader, Writer, decode
from parlour.errors import Code, DecodeError, StorageError
from parlour.mls.private.epoch import Epoch, LastEpoch, PastEpoch
from parlour.mls.private.events import PendingCommit
from parlour.mls.private.group import Group
from parlour.mls.private.limits import MAX_PAST_EPOCHS
from parlour.mls.private.member import Member
from parlour.mls.private.pieces import (
    read_delta,
    read_pending,
    read_reinit,
    read_sent,
    read_state,
    read_update,
    write_delta,
    write_pending,
    write_reinit,
    write_sent,
    write_state,
    write_update,
)
from parlour.mls.private.processing import OwnUpdate
from parlour.mls.private.psk import PskStore
from parlour.mls.private.secret_tree import SecretTree
from parlour.mls.private.secrets import SenderDataSecret
from parlour.mls.public.group_context import GroupContext
from parlour.mls.public.limits import MAX_LEAVES, MAX_PENDING_PROPOSALS
from parlour.mls.public.policy import Policy
from parlour.mls.public.proposals import ReInit
from parlour.mls.public.sharing import SharedStages
from parlour.mls.public.state import ProposalStore, PublicState, SentProposal
from parlour.mls.public.suites import CipherSuite, find_suite
from parlour.mls.public.tree.branches import (
    branches_of,
    changed_branches,
    encode_branch,
    read_branches,
)
from parlour.mls.public.tree.ratchet_tree import RatchetTree

VERSION: Final = 1
# Which form the pieces of a pending commit have.
_PIECES: Final = 2
_HEAD: Final = b"head"
_PENDING: Final = b"pending"
_UPDATES: Final = b"updates"
_TREE: Final = b"tree"
_KEYS: Final = b"keys"
_PAST: Final = b"past"
_PROPOSAL: Final = b"proposal"
_EPOCH_SIZE: Final = 8


class GroupRecords:
    """A group, and what its store has of it by the last call of `take_changes`.

    Keys are at most 18 bytes. A new one is for a group of which nothing is stored yet. If a write
    fails, load again what the store has.
    """

    __slots__ = (
        "_changes",
        "_head",
        "_keys",
        "_past",
        "_pending",
        "_proposal_keys",
        "_proposals",
        "_secret_trees",
        "_tree",
        "_updates",
        "group",
    )

    def __init__(self, group: Group) -> None:
        self.group = group
        self._keys: set[bytes] = set()
        self._changes: dict[bytes, bytes | None] = {}
        self._head: tuple[Epoch | LastEpoch, ReInit | None, bool] | None = None
        self._tree: RatchetTree | None = None
        self._secret_trees: dict[int, SecretTree] = {}
        # Each with the tree of the epoch after it.
        self._past: dict[int, tuple[PastEpoch, RatchetTree]] = {}
        self._proposals = ProposalStore()
        self._proposal_keys: dict[bytes, bytes] = {}
        self._updates: frozenset[bytes] = frozenset()
        self._pending: PendingCommit | None = None

    @property
    def keys(self) -> frozenset[bytes]:
        """Those of all records that there are: what to delete when the group is forgotten."""
        return frozenset(self._keys)

    def take_changes(self) -> dict[bytes, bytes | None]:
        """What to write since the last call, by key; what is None is to be deleted."""
        member = self.group.member
        self._take_tree(member.public.tree, member.shared)
        self._take_secret_trees(member)
        self._take_past(member)
        self._take_waiting(member)
        head = (member.state, member.reinit, member.removed)
        old = self._head
        if old is None or old[0] is not head[0] or old[1:] != head[1:]:
            self._head = head
            self._put(_HEAD, _encode_head(member))
        changes, self._changes = self._changes, {}
        return changes

    def _put(self, key: bytes, data: bytes | None) -> None:
        if data is not None:
            self._keys.add(key)
            self._changes[key] = data
        elif key in self._keys:
            self._keys.discard(key)
            self._changes[key] = None

    def _take_tree(self, tree: RatchetTree, shared: SharedStages | None) -> None:
        old = self._tree
        if tree is old:
            return
        self._tree = tree
        names = branches_of(tree) if old is None else changed_branches(tree, old)
        if shared is not None:
            parts = shared.encode_branches(tree, names)
        else:
            parts = {name: encode_branch(tree, name) for name in names}
        for name, data in parts.items():
            self._put(_TREE + name, data)

    def _take_secret_trees(self, member: Member) -> None:
        trees = _secret_trees(member)
        gone = self._secret_trees.keys() - trees.keys()
        prefixes = tuple(_numbered(_KEYS, epoch) for epoch in gone)
        for key in [key for key in self._keys if key.startswith(prefixes)] if gone else ():
            self._put(key, None)
        for epoch, tree in trees.items():
            names = tree.take_changed()
            if self._secret_trees.get(epoch) is not tree:
                names = tree.parts()
            for name in names:
                self._put(_numbered(_KEYS, epoch) + name, tree.part(name))
        self._secret_trees = trees

    def _take_past(self, member: Member) -> None:
        """Each tree is kept as what the commit after it changed."""
        past = _past(member)
        for epoch in self._past.keys() - past.keys():
            self._put(_numbered(_PAST, epoch), None)
        for epoch, (entry, following) in past.items():
            old = self._past.get(epoch)
            if old is None or old[0] is not entry or old[1] is not following:
                self._put(_numbered(_PAST, epoch), _encode_past(entry, following))
        self._past = past

    def _take_waiting(self, member: Member) -> None:
        if member.proposals is not self._proposals:
            self._proposals = member.proposals
            self._take_proposals(member.proposals)
        updates = frozenset(member.updates)
        if updates != self._updates:
            self._updates = updates
            encoded = Writer().vector(sorted(member.updates.items()), write_update)
            self._put(_UPDATES, encoded.data() if updates else None)
        if member.pending is not self._pending:
            self._pending = member.pending
            self._put(_PENDING, _encode_pending(member))

    def _take_proposals(self, proposals: ProposalStore) -> None:
        """Each has a record of its own, numbered in the order in which they came."""
        now = {sent.reference or b"": sent for sent in proposals}
        for reference in self._proposal_keys.keys() - now.keys():
            self._put(self._proposal_keys.pop(reference), None)
        last = max(self._proposal_keys.values(), default=_PROPOSAL)
        number = int.from_bytes(last.removeprefix(_PROPOSAL))
        for reference, sent in now.items():
            if reference not in self._proposal_keys:
                number += 1
                key = self._proposal_keys[reference] = _PROPOSAL + number.to_bytes(4)
                writer = Writer()
                write_sent(writer, sent)
                self._put(key, writer.data())

    # --- Reading ---

    @classmethod
    def load(
        cls, records: Mapping[bytes, bytes], policy: Policy, psks: PskStore | None = None
    ) -> Self:
        """The group of its records; policy and pre-shared keys are the application's to keep."""
        if _HEAD not in records:
            raise StorageError(Code.STORE_BROKEN, "a group without its first record")
        parts = _Parts(records)
        keys = PskStore() if psks is None else psks
        member = decode(records[_HEAD], lambda r: _read_member(r, parts, policy, keys))
        self = cls(Group(member))
        self._keys = set(records)
        self._head = (member.state, member.reinit, member.removed)
        self._tree = member.public.tree
        self._secret_trees = _secret_trees(member)
        self._past = _past(member)
        self._proposals = member.proposals
        self._proposal_keys = parts.proposal_keys
        self._updates = frozenset(member.updates)
        self._pending = member.pending
        return self

    def __repr__(self) -> str:
        return f"GroupRecords({self.group!r}, {len(self._keys)} records)"


def _numbered(prefix: bytes, epoch: int) -> bytes:
    return prefix + epoch.to_bytes(_EPOCH_SIZE)


def _secret_trees(member: Member) -> dict[int, SecretTree]:
    """The message keys of each epoch. Of one in which the group ended for us there are none."""
    trees = {past.context.epoch: past.secret_tree for past in member.past}
    if isinstance(member.state, Epoch):
        trees[member.state.context.epoch] = member.secret_tree
    return trees


def _past(member: Member) -> dict[int, tuple[PastEpoch, RatchetTree]]:
    following = (*(past.tree for past in member.past[1:]), member.public.tree)
    pairs = zip(member.past, following, strict=False)
    return {past.context.epoch: (past, tree) for past, tree in pairs}


# --- The records ---


def _encode_head(member: Member) -> bytes:
    state = member.public
    writer = Writer().uint8(VERSION).opaque(state.group_context.encoded)
    writer.opaque(state.interim_transcript_hash).uint32(state.tree.leaf_count)
    write_state(writer, member.state)
    write_reinit(writer, member.reinit)
    return writer.uint8(member.removed).data()


def _encode_past(past: PastEpoch, following: RatchetTree) -> bytes:
    writer = Writer().opaque(past.context.encoded).opaque(past.sender_data_secret.reveal())
    writer.uint64(past.ended_at)
    # Late messages need the senders alone.
    write_delta(writer, past.tree, following, 2)
    return writer.data()


def _encode_pending(member: Member) -> bytes | None:
    if member.pending is None:
        return None
    writer = Writer()
    write_pending(writer, member.pending, member.public.tree)
    return writer.data()


class _Parts:
    """The records of a group, sorted by what they are."""

    def __init__(self, records: Mapping[bytes, bytes]) -> None:
        self.records = records
        self.tree: dict[bytes, bytes] = {}
        self.keys: dict[int, dict[bytes, bytes]] = {}
        self.past: list[bytes] = []
        self.proposals: list[SentProposal] = []
        self.proposal_keys: dict[bytes, bytes] = {}
        for key in sorted(records):
            data = records[key]
            if key.startswith(_TREE):
                self.tree[key.removeprefix(_TREE)] = data
            elif key.startswith(_KEYS):
                rest = key.removeprefix(_KEYS)
                epoch = int.from_bytes(rest[:_EPOCH_SIZE])
                self.keys.setdefault(epoch, {})[rest[_EPOCH_SIZE:]] = data
            elif key.startswith(_PAST):
                self.past.append(data)
            elif key.startswith(_PROPOSAL):
                sent = decode(data, read_sent)
                self.proposals.append(sent)
                self.proposal_keys[sent.reference or b""] = key


def _read_member(reader: Reader, parts: _Parts, policy: Policy, psks: PskStore) -> Member:
    if reader.uint8() != VERSION:
        raise DecodeError(Code.DECODE_VERSION, "records of a group")
    context = decode(reader.opaque(), GroupContext.read)
    interim, suite = reader.opaque(), find_suite(context.cipher_suite)
    tree = read_branches(suite, min(reader.uint32(), MAX_LEAVES), parts.tree)
    if tree.tree_hash() != context.tree_hash:
        raise StorageError(Code.STORE_BROKEN, "the records of a group are of different epochs")
    state = read_state(reader, PublicState(suite, context, tree, interim))
    keys = SecretTree(suite, tree.leaf_count, None)
    if isinstance(state, Epoch):
        keys = SecretTree.of_parts(
            suite, tree.leaf_count, parts.keys.get(context.epoch, {}), retired=False
        )
    member = Member(state, keys, policy, psks)
    member.reinit, member.removed = read_reinit(reader), bool(reader.uint8())
    member.past = _read_past(parts, tree)
    store = {sent.reference: sent for sent in parts.proposals if sent.reference is not None}
    member.proposals = ProposalStore(store)
    records = parts.records
    if _UPDATES in records:
        member.updates = decode(records[_UPDATES], lambda r: _read_updates(r, suite))
    if _PENDING in records:
        member.pending = decode(records[_PENDING], lambda r: read_pending(r, tree, _PIECES))
    return member


def _read_updates(reader: Reader, suite: CipherSuite) -> dict[bytes, OwnUpdate]:
    return dict(reader.vector(lambda r: read_update(r, suite), MAX_PENDING_PROPOSALS))


def _read_past(parts: _Parts, tree: RatchetTree) -> tuple[PastEpoch, ...]:
    """The last one first: the tree of each is told by that of the epoch after it."""
    found: list[PastEpoch] = []
    for data in reversed(parts.past[-MAX_PAST_EPOCHS:]):
        past = decode(data, partial(_read_past_epoch, parts=parts, following=tree))
        found.append(past)
        tree = past.tree
    return tuple(reversed(found))


def _read_past_epoch(reader: Reader, parts: _Parts, following: RatchetTree) -> PastEpoch:
    context = decode(reader.opaque(), GroupContext.read)
    secret, ended_at = SenderDataSecret(reader.opaque()), reader.uint64()
    tree = read_delta(reader, following, 2)
    names = parts.keys.get(context.epoch, {})
    keys = SecretTree.of_parts(tree.suite, tree.leaf_count, names, retired=True)
    return PastEpoch(context, tree, secret, keys, ended_at)
