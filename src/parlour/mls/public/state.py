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
from parlour.mls.public.limits import (
    MAX_PENDING_PER_SENDER,
    MAX_PENDING_PROPOSALS,
    MAX_PENDING_SIZE,
    MAX_PENDING_SIZE_PER_SENDER,
)
from parlour.mls.public.proposals import Proposal, encode_proposal
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
    """The proposals of one epoch, by reference, in the order in which they came. Immutable.

    How many there are, and of how many bytes, is bounded for each sender and for all together: so
    no sender takes from the others the room for theirs.
    """

    __slots__ = ("_loads", "_proposals")

    def __init__(self, proposals: dict[bytes, SentProposal] | None = None) -> None:
        self._proposals = proposals or {}
        # How many, and of how many bytes: of each sender, and (None) of all.
        self._loads: dict[Sender | None, tuple[int, int]] = {}
        for sent in self._proposals.values():
            self._count(sent)

    def with_(self, reference: bytes, sent: SentProposal) -> ProposalStore:
        """This store and one more, if it came for the first time."""
        if reference in self._proposals:
            return self
        store = ProposalStore()
        store._proposals = {**self._proposals, reference: sent}
        store._loads = self._loads.copy()
        store._count(sent)
        count, size = store._loads[None]
        if count > MAX_PENDING_PROPOSALS or size > MAX_PENDING_SIZE:
            raise LimitError(Code.LIMIT_COUNT, "too many proposals in one epoch")
        count, size = store._loads[sent.sender]
        if count > MAX_PENDING_PER_SENDER or size > MAX_PENDING_SIZE_PER_SENDER:
            raise LimitError(Code.LIMIT_COUNT, "too many proposals of one sender")
        return store

    def _count(self, sent: SentProposal) -> None:
        size = len(encode_proposal(sent.proposal))
        for who in (None, sent.sender):
            known = self._loads.get(who, (0, 0))
            self._loads[who] = (known[0] + 1, known[1] + size)

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
