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
from parlour.mls.private.epoch import Epoch, LastEpoch, NextEpoch, PastEpoch
from parlour.mls.private.events import PendingCommit
from parlour.mls.private.group import Group
from parlour.mls.private.identity import Identity
from parlour.mls.private.key_schedule import EpochSecrets
from parlour.mls.private.limits import MAX_PAST_EPOCHS
from parlour.mls.private.member import Member
from parlour.mls.private.processing import OwnUpdate
from parlour.mls.private.psk import PskStore
from parlour.mls.private.secret_tree import SecretTree
from parlour.mls.private.secrets import (
    ConfirmationKey,
    EpochAuthenticator,
    ExporterSecret,
    ExternalSecret,
    InitSecret,
    MembershipKey,
    ResumptionPsk,
    SenderDataSecret,
)
from parlour.mls.public.capabilities import Capabilities
from parlour.mls.public.changes import Changes
from parlour.mls.public.credentials import read_credential
from parlour.mls.public.extensions import Extensions, write_extensions
from parlour.mls.public.framing.content import Sender
from parlour.mls.public.group_context import GroupContext
from parlour.mls.public.leaf_node import LeafNode
from parlour.mls.public.limits import MAX_NODES, MAX_PENDING_PROPOSALS, MAX_PROPOSALS
from parlour.mls.public.policy import Policy
from parlour.mls.public.proposals import (
    Add,
    ExternalInit,
    PreSharedKey,
    ReInit,
    encode_proposal,
    read_proposal,
)
from parlour.mls.public.state import ProposalStore, PublicState, SentProposal
from parlour.mls.public.suites import CipherSuite, find_suite
from parlour.mls.public.tree.extension import encode_tree, read_tree
from parlour.mls.public.tree.nodes import Node, ParentNode
from parlour.mls.public.tree.ratchet_tree import RatchetTree
from parlour.mls.public.types import LeafIndex, NodeIndex

VERSION: Final = 2
# The first, whose secret part did not say its version and had no GroupInfo beside a pending commit.
_FIRST: Final = 1
_GOES_ON: Final = 0
_ENDED: Final = 1


def dump_group(group: Group) -> bytes:
    """The whole record."""
    return Writer().uint8(VERSION).opaque(dump_public(group)).opaque(dump_private(group)).data()


def load_group(data: bytes, policy: Policy, psks: PskStore | None = None) -> Group:
    """The group of a record; policy and pre-shared keys are the application's own to keep."""

    def read(reader: Reader) -> Group:
        version = reader.uint8()
        if version not in (_FIRST, VERSION):
            raise DecodeError(Code.DECODE_VERSION, "record of a group")
        public, private = reader.opaque(), reader.opaque()
        if version == _FIRST:
            private = bytes([_FIRST]) + private
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
    _write_state(writer, member.state)
    member.secret_tree.write(writer)
    current = member.public.tree
    writer.vector(member.past, lambda w, past: _write_past(w, past, current))
    writer.vector(member.proposals, _write_sent)
    writer.vector(sorted(member.updates.items()), _write_update)
    writer.optional(member.pending, lambda w, pending: _write_pending(w, pending, current))
    writer.optional(member.reinit, lambda w, reinit: w.opaque(encode_proposal(reinit)))
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
    if version not in (_FIRST, VERSION):
        raise DecodeError(Code.DECODE_VERSION, "secret part of a group")
    if reader.opaque() != _binding(state):
        raise StorageError(Code.STORE_BROKEN, "the parts of a group are of different epochs")
    current = _read_state(reader, state)
    member = Member(current, SecretTree.read(suite, reader), policy, psks or PskStore())
    member.past = tuple(reader.vector(lambda r: _read_past(r, tree), MAX_PAST_EPOCHS))
    sent = reader.vector(_read_sent, MAX_PENDING_PROPOSALS)
    member.proposals = ProposalStore({s.reference: s for s in sent if s.reference is not None})
    member.updates = dict(reader.vector(lambda r: _read_update(r, suite), MAX_PENDING_PROPOSALS))
    member.pending = reader.optional(lambda r: _read_pending(r, tree, version))
    reinit = reader.optional(lambda r: decode(r.opaque(), read_proposal))
    member.reinit = reinit if isinstance(reinit, ReInit) else None
    member.removed = bool(reader.uint8())
    return Group(member)


def _binding(state: PublicState) -> bytes:
    """What ties the secret part to the public one: the tree and the transcript are in it."""
    return state.suite.hash(state.group_context.encoded)


def _write_state(writer: Writer, state: Epoch | LastEpoch) -> None:
    if isinstance(state, Epoch):
        _write_own(writer.uint8(_GOES_ON), state)
        return
    writer.uint8(_ENDED).uint32(state.leaf_index)
    writer.optional(state.resumption_psk, lambda w, psk: w.opaque(psk.reveal()))
    writer.optional(state.epoch_authenticator, lambda w, secret: w.opaque(secret.reveal()))


def _read_state(reader: Reader, state: PublicState) -> Epoch | LastEpoch:
    if reader.uint8() == _GOES_ON:
        return _read_own(reader, state)
    leaf_index = LeafIndex(reader.uint32())
    resumption_psk = reader.optional(lambda r: ResumptionPsk(r.opaque()))
    authenticator = reader.optional(lambda r: EpochAuthenticator(r.opaque()))
    return LastEpoch(state, leaf_index, resumption_psk, authenticator)


def _write_identity(writer: Writer, identity: Identity) -> None:
    writer.opaque(identity.signer.to_bytes()).opaque(identity.credential.encode())
    writer.opaque(identity.capabilities.encode())
    write_extensions(writer, identity.extensions)


def _read_identity(reader: Reader, suite: CipherSuite) -> Identity:
    signer = suite.signing_key_type(reader.opaque())
    credential = decode(reader.opaque(), read_credential)
    capabilities = decode(reader.opaque(), Capabilities.read)
    return Identity(credential, signer, suite, capabilities, Extensions.read(reader))


def _write_own(writer: Writer, epoch: Epoch) -> None:
    secrets = epoch.secrets
    for secret in (
        secrets.init_secret,
        secrets.sender_data_secret,
        secrets.exporter_secret,
        secrets.external_secret,
        secrets.confirmation_key,
        secrets.membership_key,
        secrets.resumption_psk,
        secrets.epoch_authenticator,
    ):
        writer.opaque(secret.reveal())
    writer.uint32(epoch.leaf_index)
    _write_identity(writer, epoch.identity)
    keys = sorted((position, key.to_bytes()) for position, key in epoch.keys.items())
    writer.vector(keys, lambda w, entry: w.uint32(entry[0]).opaque(entry[1]))
    writer.opaque(epoch.confirmation_tag)


def _read_own(reader: Reader, state: PublicState) -> Epoch:
    secrets = EpochSecrets(
        InitSecret(reader.opaque()),
        SenderDataSecret(reader.opaque()),
        ExporterSecret(reader.opaque()),
        ExternalSecret(reader.opaque()),
        ConfirmationKey(reader.opaque()),
        MembershipKey(reader.opaque()),
        ResumptionPsk(reader.opaque()),
        EpochAuthenticator(reader.opaque()),
    )
    leaf_index = LeafIndex(reader.uint32())
    identity = _read_identity(reader, state.suite)
    decode_key = state.suite.hpke.kem.decode_private_key
    keys = dict(reader.vector(lambda r: (NodeIndex(r.uint32()), decode_key(r.opaque()))))
    return Epoch(state, secrets, leaf_index, identity, keys, reader.opaque())


# --- Trees beside the current one ---


def _write_delta(writer: Writer, tree: RatchetTree, base: RatchetTree, step: int) -> None:
    """The nodes at every `step`th position that are others than those of `base`."""
    width, base_width = 2 * tree.leaf_count - 1, 2 * base.leaf_count - 1
    writer.uint32(tree.leaf_count)
    changed = []
    for position in range(0, width, step):
        node = tree.node(position)
        if node != (base.node(position) if position < base_width else None):
            changed.append((position, node))
    writer.vector(changed, _write_node)


def _write_node(writer: Writer, entry: tuple[int, Node]) -> None:
    position, node = entry
    writer.uint32(position)
    writer.optional(None if node is None else node.encoded, Writer.opaque)


def _read_delta(reader: Reader, base: RatchetTree, step: int) -> RatchetTree:
    leaf_count = reader.uint32()
    base_width = 2 * base.leaf_count - 1
    nodes: list[Node] = [
        base.node(position) if position < base_width and position % step == 0 else None
        for position in range(min(2 * leaf_count - 1, MAX_NODES))
    ]
    for position, data in reader.vector(_read_changed, MAX_NODES):
        if position >= len(nodes):
            raise DecodeError(Code.DECODE_MALFORMED, "a node outside its tree")
        if data is None:
            nodes[position] = None
        elif position % 2:
            nodes[position] = decode(data, ParentNode.read)
        else:
            nodes[position] = decode(data, LeafNode.read)
    return RatchetTree.of_nodes(base.suite, nodes)


def _read_changed(reader: Reader) -> tuple[int, bytes | None]:
    return reader.uint32(), reader.optional(Reader.opaque)


def _write_past(writer: Writer, past: PastEpoch, current: RatchetTree) -> None:
    writer.opaque(past.context.encoded).opaque(past.sender_data_secret.reveal())
    writer.uint64(past.ended_at)
    past.secret_tree.write(writer)
    # Late messages need the senders alone.
    _write_delta(writer, past.tree, current, 2)


def _read_past(reader: Reader, current: RatchetTree) -> PastEpoch:
    context = decode(reader.opaque(), GroupContext.read)
    secret = SenderDataSecret(reader.opaque())
    ended_at = reader.uint64()
    secret_tree = SecretTree.read(current.suite, reader)
    return PastEpoch(context, _read_delta(reader, current, 2), secret, secret_tree, ended_at)


# --- What is pending ---


def _write_sent(writer: Writer, sent: SentProposal) -> None:
    writer.opaque(encode_proposal(sent.proposal)).opaque(sent.sender.encode())
    writer.optional(sent.reference, Writer.opaque)


def _read_sent(reader: Reader) -> SentProposal:
    proposal = decode(reader.opaque(), read_proposal)
    sender = decode(reader.opaque(), Sender.read)
    return SentProposal(proposal, sender, reader.optional(Reader.opaque))


def _write_update(writer: Writer, entry: tuple[bytes, OwnUpdate]) -> None:
    public, update = entry
    writer.opaque(public).opaque(update.leaf_key.to_bytes())
    _write_identity(writer, update.identity)


def _read_update(reader: Reader, suite: CipherSuite) -> tuple[bytes, OwnUpdate]:
    public = reader.opaque()
    leaf_key = suite.hpke.kem.decode_private_key(reader.opaque())
    return public, OwnUpdate(leaf_key, _read_identity(reader, suite))


def _write_pending(writer: Writer, pending: PendingCommit, current: RatchetTree) -> None:
    writer.opaque(pending.commit).optional(pending.welcome, Writer.opaque)
    writer.optional(pending.group_info, Writer.opaque)
    epoch, secret_tree = pending.next.look()
    state = epoch.public
    writer.opaque(state.group_context.encoded).opaque(state.interim_transcript_hash)
    _write_delta(writer, state.tree, current, 1)
    _write_own(writer, epoch)
    secret_tree.write(writer)
    changes = pending.changes
    writer.vector(changes.proposals, _write_sent)
    for leaves in ([i for i, _ in changes.added], changes.updated, changes.removed):
        writer.vector(leaves, Writer.uint32)


def _read_pending(reader: Reader, current: RatchetTree, version: int) -> PendingCommit:
    commit, welcome = reader.opaque(), reader.optional(Reader.opaque)
    info = None if version == _FIRST else reader.optional(Reader.opaque)
    context = decode(reader.opaque(), GroupContext.read)
    interim = reader.opaque()
    tree = _read_delta(reader, current, 1)
    epoch = _read_own(reader, PublicState(current.suite, context, tree, interim))
    secret_tree = SecretTree.read(current.suite, reader)
    proposals = tuple(reader.vector(_read_sent, MAX_PROPOSALS))
    added, updated, removed = (map(LeafIndex, reader.uint32s()) for _ in range(3))
    kinds = [sent.proposal for sent in proposals]
    packages = (p.key_package for p in kinds if isinstance(p, Add))
    changes = Changes(
        proposals,
        epoch.leaf_index,
        context.extensions,
        tuple(zip(added, packages, strict=True)),
        tuple(updated),
        tuple(removed),
        tuple(p.psk for p in kinds if isinstance(p, PreSharedKey)),
        next((p for p in kinds if isinstance(p, ExternalInit)), None),
        next((p for p in kinds if isinstance(p, ReInit)), None),
    )
    after = NextEpoch(epoch, secret_tree)
    return PendingCommit(commit, welcome, changes, after, group_info=info)
