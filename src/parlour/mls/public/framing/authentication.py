"""Who signed a message, and whether they did.

Spec: RFC 9420 §6.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final, Self, assert_never

from parlour.errors import AuthenticationError
from parlour.mls.public.commit import Commit
from parlour.mls.public.framing.content import AuthenticatedContent, FramedContent, Sender
from parlour.mls.public.group_context import GroupContext, external_senders
from parlour.mls.public.proposals import BY_EXTERNAL_SENDER, Add
from parlour.mls.public.rules import Rule, RuleBroken, require
from parlour.mls.public.suites import CipherSuite
from parlour.mls.public.tree.ratchet_tree import RatchetTree
from parlour.mls.public.types import MLS10, ContentType, SenderType, WireFormat
from parlour.mls.public.validation.signatures import SignatureMemo
from parlour.primitives.signature import SignaturePrivateKey, SignaturePublicKey

_LABEL: Final = b"FramedContentTBS"
_VERSION: Final = MLS10.to_bytes(2)
_IN_CONTEXT: Final = (SenderType.MEMBER, SenderType.NEW_MEMBER_COMMIT)


def content_tbs(
    wire_format: WireFormat, content: FramedContent, context: GroupContext
) -> tuple[bytes, ...]:
    """FramedContentTBS, in pieces: the senders that know the GroupContext are bound to it."""
    head = _VERSION + wire_format.to_bytes(2)
    if content.sender.sender_type in _IN_CONTEXT:
        return head, content.encoded, context.encoded
    return head, content.encoded


def sign_content(
    suite: CipherSuite,
    key: SignaturePrivateKey,
    wire_format: WireFormat,
    content: FramedContent,
    context: GroupContext,
) -> bytes:
    """Sign content as its sender."""
    return suite.sign_with_label(key, _LABEL, *content_tbs(wire_format, content, context))


def check_epoch(context: GroupContext, group_id: bytes, epoch: int) -> None:
    """That a message is for this epoch of this group, before any of its tags is looked at."""
    # V0613 §8.1: "The `group_id` field is constant."
    require(group_id == context.group_id, Rule.GROUP_ID)
    # V0614 §12.4.2: "Verify that the `epoch` field of the enclosing FramedContent is equal to the
    # `epoch` field of the current GroupContext object."
    require(epoch == context.epoch, Rule.EPOCH, f"{epoch}, not {context.epoch}")


@dataclass(frozen=True, slots=True)
class VerifiedContent:
    """Content whose sender was found and whose signature verified; `verify` alone makes it."""

    authenticated: AuthenticatedContent

    @property
    def content(self) -> FramedContent:
        """The content itself."""
        return self.authenticated.content

    @property
    def sender(self) -> Sender:
        """Who sent it."""
        return self.authenticated.content.sender

    @classmethod
    def verify(
        cls,
        suite: CipherSuite,
        context: GroupContext,
        tree: RatchetTree,
        authenticated: AuthenticatedContent,
        memo: SignatureMemo | None = None,
    ) -> Self:
        """Verify content of the epoch that `context` and `tree` describe."""
        content = authenticated.content
        check_epoch(context, content.group_id, content.epoch)
        # V0609 §6: "Applications MUST use PrivateMessage to encrypt application messages"
        private = authenticated.wire_format is WireFormat.PRIVATE_MESSAGE
        application = content.content_type is ContentType.APPLICATION
        require(private or not application, Rule.APPLICATION_IS_PRIVATE)
        key = _signer(suite, context, tree, content)
        # V0607 §6.1: "Recipients of an MLSMessage MUST verify the signature with the key depending
        # on the `sender_type` of the sender as described above."
        tbs = content_tbs(authenticated.wire_format, content, context)
        signature = authenticated.auth.signature
        verify = suite.verify_with_label if memo is None else partial(memo.verify_with_label, suite)
        verified = verify(key, _LABEL, signature, *tbs)
        require(verified, Rule.CONTENT_SIGNATURE)
        return cls(authenticated)


def _signer(
    suite: CipherSuite, context: GroupContext, tree: RatchetTree, content: FramedContent
) -> SignaturePublicKey:
    """The key of the sender, and that this sender may say this kind of thing at all."""
    body, kind = content.body, content.content_type
    try:
        match content.sender.sender_type:
            case SenderType.MEMBER:
                leaf = tree.leaf(content.sender.index)
                # V0606 §6.1: "The signature key contained in the LeafNode at the index indicated by
                # `leaf_index` in the ratchet tree."
                if leaf is None:
                    raise RuleBroken(Rule.SENDER_IS_MEMBER)
                return leaf.verifying_key(suite)
            case SenderType.EXTERNAL:
                return _external_signer(suite, context, content)
            case SenderType.NEW_MEMBER_COMMIT:
                # V0604 §6.1: "`new_member_commit`: The signature key in the LeafNode in the
                # Commit's path" "The `content_type` of the message MUST be `commit`."
                if not isinstance(body, Commit):
                    raise RuleBroken(Rule.NEW_MEMBER_COMMIT_CONTENT)
                # V1236 §12.4.3.2: "External Commits MUST contain a `path` field"
                if body.path is None:
                    raise RuleBroken(Rule.EXTERNAL_COMMIT_PATH)
                return body.path.leaf_node.verifying_key(suite)
            case SenderType.NEW_MEMBER_PROPOSAL:
                # V0605 §6.1: "The `content_type` of the message MUST be `proposal` and the
                # `proposal_type` of the Proposal MUST be `add`."
                if not isinstance(body, Add) or kind is not ContentType.PROPOSAL:
                    raise RuleBroken(Rule.NEW_MEMBER_PROPOSAL_CONTENT)
                return body.key_package.leaf_node.verifying_key(suite)
            case unknown:
                assert_never(unknown)
    except AuthenticationError as error:
        # V0721 §10: "the `leaf_node` field MUST be valid for the cipher suite, including both the
        # `encryption_key` and `signature_key` fields"
        raise RuleBroken(Rule.LEAF_KEY_VALID) from error


def _external_signer(
    suite: CipherSuite, context: GroupContext, content: FramedContent
) -> SignaturePublicKey:
    # V0602 §6.1: "The `content_type` of the message MUST be `proposal` and the `proposal_type` MUST
    # be a value that is allowed for external senders."
    require(content.content_type is ContentType.PROPOSAL, Rule.EXTERNAL_SENDER_CONTENT)
    kind = getattr(content.body, "proposal_type", None)
    # V0603 §12.1.8: "Messages from `external` senders containing proposal types other than the
    # above MUST be rejected as malformed."
    require(kind in BY_EXTERNAL_SENDER, Rule.EXTERNAL_SENDER_PROPOSAL)
    senders = external_senders(context.extensions)
    # V0601 §12.1.8: "The `external` SenderType requires that signers are pre-provisioned to the
    # clients within a group and can only be used if the `external_senders` extension is present in
    # the group's GroupContext."
    require(content.sender.index < len(senders), Rule.EXTERNAL_SENDER_KNOWN)
    return suite.decode_verifying_key(senders[content.sender.index].signature_key)
