"""The pieces of which records of groups are made, encoded and decoded."""

from __future__ import annotations

from typing import Final

from parlour.codec import Reader, Writer, decode
from parlour.errors import Code, DecodeError
from parlour.mls.private.epoch import Epoch, LastEpoch, NextEpoch
from parlour.mls.private.events import PendingCommit
from parlour.mls.private.identity import Identity
from parlour.mls.private.key_schedule import EpochSecrets
from parlour.mls.private.processing import OwnUpdate
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
from parlour.mls.public.limits import MAX_NODES, MAX_PROPOSALS
from parlour.mls.public.proposals import (
    Add,
    ExternalInit,
    PreSharedKey,
    ReInit,
    encode_proposal,
    read_proposal,
)
from parlour.mls.public.state import PublicState, SentProposal
from parlour.mls.public.suites import CipherSuite
from parlour.mls.public.tree.nodes import Node, ParentNode
from parlour.mls.public.tree.ratchet_tree import RatchetTree
from parlour.mls.public.types import LeafIndex, NodeIndex

# Records of the first version had no GroupInfo beside a pending commit, and their secret part did
# not say its version.
FIRST_VERSION: Final = 1
_GOES_ON: Final = 0
_ENDED: Final = 1


# --- Epochs ---


def write_state(writer: Writer, state: Epoch | LastEpoch) -> None:
    """The epoch, or what is left of the last."""
    if isinstance(state, Epoch):
        write_own(writer.uint8(_GOES_ON), state)
        return
    writer.uint8(_ENDED).uint32(state.leaf_index)
    writer.optional(state.resumption_psk, lambda w, psk: w.opaque(psk.reveal()))
    writer.optional(state.epoch_authenticator, lambda w, secret: w.opaque(secret.reveal()))


def read_state(reader: Reader, state: PublicState) -> Epoch | LastEpoch:
    """What `write_state` wrote, of the public `state`."""
    if reader.uint8() == _GOES_ON:
        return read_own(reader, state)
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


def write_own(writer: Writer, epoch: Epoch) -> None:
    """The secrets of an epoch, and what is ours in it."""
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


def read_own(reader: Reader, state: PublicState) -> Epoch:
    """What `write_own` wrote, of the public `state`."""
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


def write_delta(writer: Writer, tree: RatchetTree, base: RatchetTree, step: int) -> None:
    """The nodes at every `step`th position that are others than those of `base`."""
    width = 2 * tree.leaf_count - 1
    found = sorted(p for p in tree.differences(base) if p % step == 0 and p < width)
    writer.uint32(tree.leaf_count)
    writer.vector([(position, tree.node(position)) for position in found], _write_node)


def _write_node(writer: Writer, entry: tuple[int, Node]) -> None:
    position, node = entry
    writer.uint32(position)
    writer.optional(None if node is None else node.encoded, Writer.opaque)


def read_delta(reader: Reader, base: RatchetTree, step: int) -> RatchetTree:
    """The tree that `write_delta` wrote, beside the same `base`; of its leaves alone by step 2."""
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
    make = RatchetTree.of_nodes if step == 1 else RatchetTree.of_leaves
    return make(base.suite, nodes)


def _read_changed(reader: Reader) -> tuple[int, bytes | None]:
    return reader.uint32(), reader.optional(Reader.opaque)


# --- What is pending ---


def write_reinit(writer: Writer, reinit: ReInit | None) -> None:
    """The ReInit that ended the group, if one did."""
    writer.optional(reinit, lambda w, proposal: w.opaque(encode_proposal(proposal)))


def read_reinit(reader: Reader) -> ReInit | None:
    """What `write_reinit` wrote."""
    proposal = reader.optional(lambda r: decode(r.opaque(), read_proposal))
    return proposal if isinstance(proposal, ReInit) else None


def write_sent(writer: Writer, sent: SentProposal) -> None:
    """A proposal that waits for a commit."""
    writer.opaque(encode_proposal(sent.proposal)).opaque(sent.sender.encode())
    writer.optional(sent.reference, Writer.opaque)


def read_sent(reader: Reader) -> SentProposal:
    """What `write_sent` wrote."""
    proposal = decode(reader.opaque(), read_proposal)
    sender = decode(reader.opaque(), Sender.read)
    return SentProposal(proposal, sender, reader.optional(Reader.opaque))


def write_update(writer: Writer, entry: tuple[bytes, OwnUpdate]) -> None:
    """The keys of an Update that we proposed, under its public key."""
    public, update = entry
    writer.opaque(public).opaque(update.leaf_key.to_bytes())
    _write_identity(writer, update.identity)


def read_update(reader: Reader, suite: CipherSuite) -> tuple[bytes, OwnUpdate]:
    """What `write_update` wrote."""
    public = reader.opaque()
    leaf_key = suite.hpke.kem.decode_private_key(reader.opaque())
    return public, OwnUpdate(leaf_key, _read_identity(reader, suite))


def write_pending(writer: Writer, pending: PendingCommit, current: RatchetTree) -> None:
    """A commit of our own; its tree as a difference from the current one."""
    writer.opaque(pending.commit).optional(pending.welcome, Writer.opaque)
    writer.optional(pending.group_info, Writer.opaque)
    epoch, secret_tree = pending.next.look()
    state = epoch.public
    writer.opaque(state.group_context.encoded).opaque(state.interim_transcript_hash)
    write_delta(writer, state.tree, current, 1)
    write_own(writer, epoch)
    secret_tree.write(writer)
    changes = pending.changes
    writer.vector(changes.proposals, write_sent)
    for leaves in ([i for i, _ in changes.added], changes.updated, changes.removed):
        writer.vector(leaves, Writer.uint32)


def read_pending(reader: Reader, current: RatchetTree, version: int) -> PendingCommit:
    """What `write_pending` wrote, in some version of it."""
    commit, welcome = reader.opaque(), reader.optional(Reader.opaque)
    info = None if version == FIRST_VERSION else reader.optional(Reader.opaque)
    context = decode(reader.opaque(), GroupContext.read)
    interim = reader.opaque()
    tree = read_delta(reader, current, 1)
    epoch = read_own(reader, PublicState(current.suite, context, tree, interim))
    secret_tree = SecretTree.read(current.suite, reader)
    proposals = tuple(reader.vector(read_sent, MAX_PROPOSALS))
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
