"""Messages of our own: application data, proposals, and what protects a commit.

Spec: RFC 9420 §6, §12.1, §15.
"""

from __future__ import annotations

from typing import Final

from parlour.errors import Code, UsageError
from parlour.mls.private.epoch import Epoch
from parlour.mls.private.identity import Identity
from parlour.mls.private.member import Member
from parlour.mls.private.processing import OwnUpdate
from parlour.mls.private.protection import protect_private, protect_public
from parlour.mls.public.changes import make_validator
from parlour.mls.public.framing.authentication import sign_content
from parlour.mls.public.framing.content import (
    AuthData,
    AuthenticatedContent,
    Body,
    FramedContent,
    Sender,
)
from parlour.mls.public.framing.messages import encode_message
from parlour.mls.public.leaf_node import LeafNode
from parlour.mls.public.proposals import Proposal, Update
from parlour.mls.public.rules import Rule, require
from parlour.mls.public.state import SentProposal
from parlour.mls.public.types import LeafNodeSource, WireFormat
from parlour.mls.public.validation.proposals import check_proposal
from parlour.primitives.random import Random

# Larger content travels as an attachment; this keeps one message well within AEAD limits.
MAX_APPLICATION_DATA: Final = 1 << 24
MAX_PADDING: Final = 1 << 20


def frame(
    epoch: Epoch, body: Body, authenticated_data: bytes, wire_format: WireFormat
) -> AuthenticatedContent:
    """Sign content as the member that we are."""
    context = epoch.context
    content = FramedContent.of(
        context.group_id, context.epoch, Sender.member(epoch.leaf_index), authenticated_data, body
    )
    signature = sign_content(epoch.suite, epoch.identity.signer, wire_format, content, context)
    return AuthenticatedContent(wire_format, content, AuthData(signature))


def protect(member: Member, message: AuthenticatedContent, padding: int, random: Random) -> bytes:
    """The MLSMessage of signed content, in the format that was signed."""
    epoch = member.epoch
    if message.wire_format is WireFormat.PUBLIC_MESSAGE:
        key = epoch.secrets.membership_key
        return encode_message(protect_public(epoch.suite, key, epoch.context, message))
    secret = epoch.secrets.sender_data_secret
    tree = member.secret_tree
    return encode_message(protect_private(epoch.suite, secret, tree, message, padding, random))


def send_application(
    member: Member, data: bytes, authenticated_data: bytes, pad_to: int, random: Random
) -> bytes:
    """Encrypt application data; with padding to a multiple of `pad_to` bytes."""
    member.check_active()
    if len(data) > MAX_APPLICATION_DATA or not 0 < pad_to <= MAX_PADDING:
        raise UsageError(Code.USAGE_INVALID, "too much data, or padding")
    # V1240 §12.4: "A group member that has observed one or more valid proposals within an epoch
    # MUST send a Commit message before sending application data."
    observed = bool(len(member.proposals)) and member.pending is None
    require(member.policy.send_before_commit or not observed, Rule.COMMIT_BEFORE_DATA)
    message = frame(member.epoch, data, authenticated_data, WireFormat.PRIVATE_MESSAGE)
    size = len(message.content.encoded_body) + len(message.auth.encode())
    return protect(member, message, -size % pad_to, random)


def send_proposal(
    member: Member,
    proposal: Proposal,
    authenticated_data: bytes,
    wire_format: WireFormat,
    now: int,
    random: Random,
) -> bytes:
    """Sign, validate and remember a proposal of ours; the message for the others."""
    member.check_active()
    epoch = member.epoch
    message = frame(epoch, proposal, authenticated_data, wire_format)
    reference = message.proposal_ref(epoch.suite)
    sent = SentProposal(proposal, message.content.sender, reference)
    validator = make_validator(epoch.public, member.policy, now, sending=True)
    check_proposal(validator, epoch.tree, sent)
    validator.finish()
    store = member.proposals.with_(reference, sent)
    data = protect(member, message, 0, random)
    member.proposals = store
    return data


def make_update(
    member: Member, identity: Identity | None, random: Random
) -> tuple[Update, OwnUpdate]:
    """An Update with a fresh key, and what is to be kept until somebody commits it."""
    epoch = member.epoch
    identity = identity or epoch.identity
    identity.check_suite(epoch.suite)
    leaf_key = epoch.suite.hpke.kem.generate_key_pair(random)
    public = leaf_key.public_key.to_bytes()
    leaf_node = LeafNode.sign(
        epoch.suite,
        identity.signer,
        identity.leaf_content(public, LeafNodeSource.UPDATE),
        epoch.context.group_id,
        epoch.leaf_index,
    )
    return Update(leaf_node), OwnUpdate(leaf_key, identity)
