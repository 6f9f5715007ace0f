"""Messages of others: decoded, verified, staged. What fails leaves the member as it was.

Spec: RFC 9420 §6, §12.1, §12.4.2, §15.3.
"""

from __future__ import annotations

from typing import cast

from parlour.errors import Code, DecodeError, PeerError
from parlour.mls.private.epoch import Epoch
from parlour.mls.private.events import ApplicationMessage, Received, ReceivedProposal
from parlour.mls.private.member import Member
from parlour.mls.private.processing import process_commit
from parlour.mls.private.protection import (
    Unprotected,
    check_membership,
    unprotect_private,
)
from parlour.mls.private.ratchets import MessageKey
from parlour.mls.private.secret_tree import SecretTree
from parlour.mls.private.secrets import SenderDataSecret
from parlour.mls.public.framing.authentication import VerifiedContent, check_epoch
from parlour.mls.public.framing.content import FramedContent, Sender
from parlour.mls.public.framing.messages import (
    MessageBody,
    PrivateMessage,
    PublicMessage,
    encode_message,
)
from parlour.mls.public.group import verify_proposal
from parlour.mls.public.group_context import GroupContext
from parlour.mls.public.leaf_node import LeafNode
from parlour.mls.public.rules import Rule, RuleBroken, require
from parlour.mls.public.sharing import SharedStages
from parlour.mls.public.staging import stage_commit
from parlour.mls.public.tree.ratchet_tree import RatchetTree
from parlour.mls.public.types import ContentType
from parlour.mls.public.validation.signatures import Run


def receive_message(member: Member, message: MessageBody, now: int, run: Run) -> Received:
    """What a message of this group says. Only an application message or a proposal changes us."""
    if isinstance(message, PublicMessage):
        return _receive_public(member, message, now, run)
    if isinstance(message, PrivateMessage):
        return _receive_private(member, message, now, run)
    raise DecodeError(Code.DECODE_MALFORMED, "not a message to a group")


def _echo(member: Member, message: PublicMessage | PrivateMessage) -> bool:
    """Whether the delivery service sent our own pending commit back to us."""
    return member.pending is not None and encode_message(message) == member.pending.commit


def _receive_public(member: Member, message: PublicMessage, now: int, run: Run) -> Received:
    member.check_active()
    if _echo(member, message) and member.pending is not None:
        return member.pending
    epoch = member.epoch
    # Which group and epoch it is for comes first: the tag of another epoch would never verify.
    check_epoch(epoch.context, message.content.group_id, message.content.epoch)
    check_membership(epoch.suite, epoch.secrets.membership_key, epoch.context, message)
    _refuse_own_commit(epoch, message.content)
    shared, base, sent = member.shared, epoch.public, member.proposals
    if shared is not None:
        known = shared.find_commit(message, base, sent, member.policy)
        if known is not None:
            return process_commit(epoch, known, member.psks, member.updates)
    verified = VerifiedContent.verify(epoch.suite, epoch.context, epoch.tree, message.authenticated)
    if shared is None or verified.content.content_type is not ContentType.COMMIT:
        return _handshake(member, verified, now, run, None)
    staged = shared.stage_commit(message, base, verified, sent, now, member.policy, run)
    return process_commit(epoch, staged, member.psks, member.updates)


def _receive_private(member: Member, message: PrivateMessage, now: int, run: Run) -> Received:
    if _echo(member, message) and member.pending is not None:
        return member.pending
    if message.content_type is ContentType.APPLICATION:
        return receive_application(member, message, now)
    member.check_active()
    epoch = member.epoch
    check_epoch(epoch.context, message.group_id, message.epoch)
    unprotected, verified = _open(
        epoch.secrets.sender_data_secret,
        member.secret_tree,
        epoch.context,
        epoch.tree,
        message,
        member.shared,
    )
    _refuse_own_commit(epoch, verified.content)
    return _handshake(member, verified, now, run, unprotected.key)


def _refuse_own_commit(epoch: Epoch, content: FramedContent) -> None:
    if content.content_type is ContentType.COMMIT and content.sender == Sender.member(
        epoch.leaf_index
    ):
        raise PeerError(Code.MLS_EPOCH, "a commit of our own that is not pending")


def receive_application(member: Member, message: PrivateMessage, now: int) -> ApplicationMessage:
    """What a member said, in this epoch or in one that is still kept."""
    context, tree, secret, keys = _epoch_of(member, message, now)
    unprotected, verified = _open(secret, keys, context, tree, message, member.shared)
    keys.accept(unprotected.key)
    member.expire(now)
    content = verified.content
    # A member's, or it would not have verified; and the content type says what the body is.
    leaf = cast(LeafNode, tree.leaf(content.sender.index))
    data = cast(bytes, content.body)
    return ApplicationMessage(
        unprotected.key.leaf_index,
        leaf,
        content.epoch,
        data,
        content.authenticated_data,
    )


def _epoch_of(
    member: Member, message: PrivateMessage, now: int
) -> tuple[GroupContext, RatchetTree, SenderDataSecret, SecretTree]:
    """The epoch of an application message: the current one, or one that is still kept."""
    current, known = member.state, member.public.group_context.epoch
    if isinstance(current, Epoch) and message.epoch == known:
        require(message.group_id == current.context.group_id, Rule.GROUP_ID)
        secret = current.secrets.sender_data_secret
        return current.context, current.tree, secret, member.secret_tree
    for past in member.fresh(now):
        if (past.context.group_id, past.context.epoch) == (message.group_id, message.epoch):
            return past.context, past.tree, past.sender_data_secret, past.secret_tree
    raise RuleBroken(Rule.EPOCH, f"no keys are kept of {message.epoch}; the last one is {known}")


def _open(
    secret: SenderDataSecret,
    keys: SecretTree,
    context: GroupContext,
    tree: RatchetTree,
    message: PrivateMessage,
    shared: SharedStages | None,
) -> tuple[Unprotected, VerifiedContent]:
    unprotected = unprotect_private(tree.suite, secret, keys, tree, message)
    verified = VerifiedContent.verify(
        tree.suite,
        context,
        tree,
        unprotected.authenticated,
        None if shared is None else shared.signatures,
    )
    return unprotected, verified


def _handshake(
    member: Member, verified: VerifiedContent, now: int, run: Run, key: MessageKey | None
) -> Received:
    epoch = member.epoch
    if verified.content.content_type is ContentType.COMMIT:
        staged = stage_commit(epoch.public, verified, member.proposals, now, member.policy, run)
        used = None if key is None else key.leaf_index
        return process_commit(epoch, staged, member.psks, member.updates, used)
    reference, sent = verify_proposal(epoch.public, verified, now, member.policy, run)
    member.proposals = member.proposals.with_(reference, sent)
    if key is not None:
        member.secret_tree.accept(key)
    data = verified.content.authenticated_data
    return ReceivedProposal(reference, sent.proposal, verified.sender, data)
