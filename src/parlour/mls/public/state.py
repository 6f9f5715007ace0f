"""What is public of an epoch, and the proposals that were sent in it.

Spec: RFC 9420 §8.1, §12.1, §12.4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from parlour.errors import Code, LimitError
from parlour.mls.public.commit import Commit, ProposalRef
from parlour.mls.public.framing.content import Sender
from parlour.mls.public.group_context import GroupContext
from parlour.mls.public.limits import MAX_PENDING_PROPOSALS
from parlour.mls.public.proposals import Proposal
from parlour.mls.public.rules import Rule, RuleBroken
from parlour.mls.public.suites import CipherSuite
from parlour.mls.public.tree.ratchet_tree import RatchetTree


@dataclass(frozen=True, slots=True)
class PublicState:
    """One epoch without its secrets. `group_context.tree_hash` is the tree's."""

    suite: CipherSuite
    group_context: GroupContext
    tree: RatchetTree
    interim_transcript_hash: bytes


@dataclass(frozen=True, slots=True)
class SentProposal:
    """A verified proposal with its sender; with a reference if it came by a message of its own."""

    proposal: Proposal
    sender: Sender
    reference: bytes | None = None


class ProposalStore:
    """The proposals of one epoch, by reference, in the order in which they came. Immutable."""

    __slots__ = ("_proposals",)

    def __init__(self, proposals: dict[bytes, SentProposal] | None = None) -> None:
        self._proposals = proposals or {}

    def with_(self, reference: bytes, sent: SentProposal) -> ProposalStore:
        """This store and one more."""
        if reference not in self._proposals and len(self._proposals) >= MAX_PENDING_PROPOSALS:
            raise LimitError(Code.LIMIT_COUNT, "too many proposals in one epoch")
        return ProposalStore({**self._proposals, reference: sent})

    def resolve(self, commit: Commit, committer: Sender) -> tuple[SentProposal, ...]:
        """The proposals that a commit covers, in its order."""
        return tuple(self._find(item, committer) for item in commit.proposals)

    def _find(self, item: Proposal | ProposalRef, committer: Sender) -> SentProposal:
        if not isinstance(item, ProposalRef):
            return SentProposal(item, committer)
        # V1221 §12.4: "Proposals sent by reference are specified by including the hash of the
        # AuthenticatedContent object in which the proposal was sent"
        if item.reference not in self._proposals:
            raise RuleBroken(Rule.PROPOSAL_KNOWN)
        return self._proposals[item.reference]

    def __iter__(self) -> Iterator[SentProposal]:
        return iter(self._proposals.values())

    def __len__(self) -> int:
        return len(self._proposals)
