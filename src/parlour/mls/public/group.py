"""A group as a delivery service follows it: members, epochs, no secrets.

It refuses what is invalid in public, so that a broken commit does not win an epoch. What only
members can see (membership tags, confirmation tags, path secrets) it cannot check.

Spec: RFC 9420 §12.4.2, §16.9.
"""

from __future__ import annotations

from typing import Self

from parlour.errors import Code, DecodeError
from parlour.mls.public.changes import make_validator
from parlour.mls.public.framing.authentication import VerifiedContent
from parlour.mls.public.framing.messages import (
    GroupInfoMessage,
    MessageBody,
    PublicMessage,
    decode_message,
)
from parlour.mls.public.group_info import GroupInfo
from parlour.mls.public.joining import open_group_info
from parlour.mls.public.policy import Policy
from parlour.mls.public.rules import Rule, require
from parlour.mls.public.staging import StagedPublic, stage_commit
from parlour.mls.public.state import ProposalStore, PublicState, SentProposal
from parlour.mls.public.types import ContentType
from parlour.mls.public.validation.proposals import check_proposal
from parlour.mls.public.validation.signatures import Run


class PublicGroup:
    """One group. Immutable: `receive` and `merge` return what comes next."""

    __slots__ = ("closed", "policy", "proposals", "state")

    def __init__(
        self,
        state: PublicState,
        policy: Policy,
        proposals: ProposalStore | None = None,
        *,
        closed: bool = False,
    ) -> None:
        self.state = state
        self.policy = policy
        self.proposals = proposals or ProposalStore()
        self.closed = closed

    @classmethod
    def follow(
        cls,
        group_info: bytes | GroupInfo,
        now: int,
        policy: Policy,
        ratchet_tree: bytes | None = None,
        run: Run = map,
    ) -> Self:
        """Begin with a GroupInfo; the tree in it, or beside it."""
        if isinstance(group_info, bytes):
            message = decode_message(group_info)
            if not isinstance(message, GroupInfoMessage):
                raise DecodeError(Code.DECODE_MALFORMED, "not a GroupInfo")
            group_info = message.group_info
        return cls(open_group_info(group_info, now, policy, ratchet_tree, run), policy)

    def verify(self, message: bytes | MessageBody) -> VerifiedContent:
        """The verified content of a public message of this epoch."""
        body = decode_message(message) if isinstance(message, bytes) else message
        if not isinstance(body, PublicMessage):
            raise DecodeError(Code.DECODE_MALFORMED, "not a PublicMessage")
        # V1238 §12.4.2: "If the Commit included a ReInit proposal, the client MUST NOT use the
        # group to send messages anymore."
        require(not self.closed, Rule.GROUP_CLOSED)
        state = self.state
        return VerifiedContent.verify(
            state.suite, state.group_context, state.tree, body.authenticated
        )

    def receive(
        self, message: bytes | MessageBody, now: int, run: Run = map
    ) -> PublicGroup | StagedPublic:
        """A proposal gives the group that remembers it; a commit is staged, to be merged."""
        verified = self.verify(message)
        if verified.content.content_type is ContentType.COMMIT:
            return stage_commit(self.state, verified, self.proposals, now, self.policy, run)
        reference, sent = verify_proposal(self.state, verified, now, self.policy, run)
        store = self.proposals.with_(reference, sent)
        return PublicGroup(self.state, self.policy, store, closed=self.closed)

    def merge(self, staged: StagedPublic) -> PublicGroup:
        """The group after a commit that was staged here."""
        staged.check_base(self.state)
        return PublicGroup(staged.state, self.policy, closed=staged.changes.reinit is not None)


def verify_proposal(
    state: PublicState,
    verified: VerifiedContent,
    now: int,
    policy: Policy,
    run: Run = map,
) -> tuple[bytes, SentProposal]:
    """Validate a proposal that came in a message of its own; its reference, and itself."""
    body = verified.content.body
    if isinstance(body, bytes) or verified.content.content_type is not ContentType.PROPOSAL:
        raise DecodeError(Code.DECODE_MALFORMED, "not a proposal")
    reference = verified.authenticated.proposal_ref(state.suite)
    sent = SentProposal(body, verified.sender, reference)  # type: ignore[arg-type]
    validator = make_validator(state, policy, now)
    check_proposal(validator, state.tree, sent)
    validator.finish(run)
    return reference, sent
