"""A group as bytes, for sealed storage, and back.

A record has a version and two parts. The first changes once per epoch and is public: context and
tree. The second is secret and small, changes with each message, and says its version too. An
application may keep them apart (`dump_public`, `dump_private`), so that a message of a large group
costs a small write.

Trees of past and pending epochs are kept as differences from the current one.
"""

from __future__ import annotations

from typing import Final

from parlour.codec import Reader, Writer, decode
from parlour.errors import Code, DecodeError, StorageError
from parlour.mls.private.epoch import PastEpoch
from parlour.mls.private.group import Group
from parlour.mls.private.limits import MAX_PAST_EPOCHS
from parlour.mls.private.member import Member
from parlour.mls.private.pieces import (
    FIRST_VERSION,
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
from parlour.mls.private.psk import PskStore
from parlour.mls.private.secret_tree import SecretTree
from parlour.mls.private.secrets import (
    SenderDataSecret,
)
from parlour.mls.public.group_context import GroupContext
from parlour.mls.public.limits import MAX_PENDING_PROPOSALS
from parlour.mls.public.policy import Policy
from parlour.mls.public.state import ProposalStore, PublicState
from parlour.mls.public.suites import find_suite
from parlour.mls.public.tree.extension import encode_tree, read_tree
from parlour.mls.public.tree.ratchet_tree import RatchetTree

VERSION: Final = 2


def dump_group(group: Group) -> bytes:
    """The whole record."""
    return Writer().uint8(VERSION).opaque(dump_public(group)).opaque(dump_private(group)).data()


def load_group(data: bytes, policy: Policy, psks: PskStore | None = None) -> Group:
    """The group of a record; policy and pre-shared keys are the application's own to keep."""

    def read(reader: Reader) -> Group:
        version = reader.uint8()
        if version not in (FIRST_VERSION, VERSION):
            raise DecodeError(Code.DECODE_VERSION, "record of a group")
        public, private = reader.opaque(), reader.opaque()
        if version == FIRST_VERSION:
            private = bytes([FIRST_VERSION]) + private
        return load_parts(public, private, policy, psks)

    return decode(data, read)


# --- The public part ---


def dump_public(group: Group) -> bytes:
    """Context, transcript and tree of the current epoch."""
    return _public(group.member.public)


def _public(state: PublicState) -> bytes:
    writer = Writer().opaque(state.group_context.encoded).opaque(state.interim_transcript_hash)
    tree = encode_tree(state.tree)
    return writer.opaque(tree).data()


def _read_public(reader: Reader) -> PublicState:
    context = decode(reader.opaque(), GroupContext.read)
    interim = reader.opaque()
    suite = find_suite(context.cipher_suite)
    return PublicState(suite, context, read_tree(suite, reader.opaque()), interim)


# --- The secret part ---


def dump_private(group: Group) -> bytes:
    """Secrets, message keys, and everything that is pending."""
    member = group.member
    writer = Writer().uint8(VERSION).opaque(_binding(member.public))
    write_state(writer, member.state)
    member.secret_tree.write(writer)
    current = member.public.tree
    writer.vector(member.past, lambda w, past: _write_past(w, past, current))
    writer.vector(member.proposals, write_sent)
    writer.vector(sorted(member.updates.items()), write_update)
    writer.optional(member.pending, lambda w, pending: write_pending(w, pending, current))
    write_reinit(writer, member.reinit)
    return writer.uint8(member.removed).data()


def load_parts(
    public: bytes,
    private: bytes,
    policy: Policy,
    psks: PskStore | None = None,
) -> Group:
    """The group of the two parts, which have to be of the same epoch."""
    state = decode(public, _read_public)
    return decode(private, lambda reader: _read_private(reader, state, policy, psks))


def _read_private(
    reader: Reader, state: PublicState, policy: Policy, psks: PskStore | None
) -> Group:
    suite, tree = state.suite, state.tree
    version = reader.uint8()
    if version not in (FIRST_VERSION, VERSION):
        raise DecodeError(Code.DECODE_VERSION, "secret part of a group")
    if reader.opaque() != _binding(state):
        raise StorageError(Code.STORE_BROKEN, "the parts of a group are of different epochs")
    current = read_state(reader, state)
    member = Member(current, SecretTree.read(suite, reader), policy, psks or PskStore())
    member.past = tuple(reader.vector(lambda r: _read_past(r, tree), MAX_PAST_EPOCHS))
    sent = reader.vector(read_sent, MAX_PENDING_PROPOSALS)
    member.proposals = ProposalStore({s.reference: s for s in sent if s.reference is not None})
    member.updates = dict(reader.vector(lambda r: read_update(r, suite), MAX_PENDING_PROPOSALS))
    member.pending = reader.optional(lambda r: read_pending(r, tree, version))
    member.reinit = read_reinit(reader)
    member.removed = bool(reader.uint8())
    return Group(member)


def _binding(state: PublicState) -> bytes:
    """What ties the secret part to the public one: the tree and the transcript are in it."""
    return state.suite.hash(state.group_context.encoded)


# --- Past epochs ---


def _write_past(writer: Writer, past: PastEpoch, current: RatchetTree) -> None:
    writer.opaque(past.context.encoded).opaque(past.sender_data_secret.reveal())
    writer.uint64(past.ended_at)
    past.secret_tree.write(writer)
    # Late messages need the senders alone.
    write_delta(writer, past.tree, current, 2)


def _read_past(reader: Reader, current: RatchetTree) -> PastEpoch:
    context = decode(reader.opaque(), GroupContext.read)
    secret = SenderDataSecret(reader.opaque())
    ended_at = reader.uint64()
    secret_tree = SecretTree.read(current.suite, reader)
    return PastEpoch(context, read_delta(reader, current, 2), secret, secret_tree, ended_at)
