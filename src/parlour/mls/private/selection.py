"""Which of the proposals that were sent a commit of ours covers.

Spec: RFC 9420 §12.2, §12.4 ("The sender of a Commit SHOULD include all proposals that it has
received during the current epoch that are valid").
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from parlour.errors import LimitError, ParlourError, PeerError
from parlour.mls.private.committing import CommitOptions, NewCommit, Setting, make_commit
from parlour.mls.private.epoch import Epoch
from parlour.mls.private.psk import PskStore, find_commit_psks
from parlour.mls.public.changes import apply_proposals, check_support, make_validator
from parlour.mls.public.framing.content import Sender
from parlour.mls.public.policy import Policy
from parlour.mls.public.proposals import (
    Add,
    ExternalInit,
    OtherProposal,
    PreSharedKey,
    Proposal,
    ReInit,
    Remove,
    Update,
)
from parlour.mls.public.rules import Rule, require
from parlour.mls.public.state import SentProposal
from parlour.mls.public.tree.ratchet_tree import RatchetTree
from parlour.mls.public.types import LeafIndex

FindFault = Callable[[tuple[SentProposal, ...]], ParlourError | None]
"""What is wrong with a list of proposals; None if a commit can cover it."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A proposal of somebody else that a commit of ours does not cover, and why not."""

    sent: SentProposal
    reason: str


@dataclass(frozen=True, slots=True)
class Selection:
    """What a commit covers: what was sent, then all that the committer asks for itself."""

    proposals: tuple[SentProposal, ...]
    left_out: tuple[LeftOut, ...] = ()

    def without_spoilers(self, find_fault: FindFault) -> Selection:
        """Without what others proposed and no commit can cover together with the rest.

        A proposal can be valid by itself and spoil the list: a pre-shared key that nobody has,
        extensions that not all support, a key package that expired. Left in, it would stop every
        commit of the epoch, also the one that removes its sender. What the committer asks for
        stays, and fails the commit if it has to.
        """
        kept = {n for n, item in enumerate(self.proposals) if item.reference is None}
        left_out = list(self.left_out)
        # Removes first: what else is asked for may be valid only because somebody leaves.
        sent = [n for n in range(len(self.proposals)) if n not in kept]
        removes = [n for n in sent if isinstance(self.proposals[n].proposal, Remove)]
        chunks = [[n for n in sent if n not in set(removes)], removes]
        while chunks:
            chunk = chunks.pop()
            fault = find_fault(tuple(self.proposals[n] for n in sorted(kept.union(chunk))))
            if fault is None:
                kept.update(chunk)
            elif len(chunk) == 1:
                left_out.append(LeftOut(self.proposals[chunk[0]], str(fault)))
            elif chunk:
                half = len(chunk) // 2
                chunks += [chunk[half:], chunk[:half]]
        return Selection(tuple(self.proposals[n] for n in sorted(kept)), tuple(left_out))


def make_best_commit(
    epoch: Epoch,
    policy: Policy,
    psks: PskStore,
    sent: Iterable[SentProposal],
    own: Iterable[Proposal],
    options: CommitOptions,
    setting: Setting,
) -> tuple[NewCommit, tuple[LeftOut, ...]]:
    """A commit of all our `own` proposals, and of those `sent` that it can cover."""
    sender = Sender.member(epoch.leaf_index)
    chosen = select_proposals(
        sent if options.pending else (),
        [SentProposal(proposal, sender) for proposal in own],
        epoch.leaf_index,
        epoch.tree,
        reinit=options.reinit,
        unwanted=options.unwanted,
    )
    try:
        return make_commit(epoch, policy, psks, chosen.proposals, options, setting), chosen.left_out
    except (PeerError, LimitError):
        chosen = chosen.without_spoilers(
            lambda some: _find_fault(epoch, policy, psks, some, options, setting.now)
        )
    return make_commit(epoch, policy, psks, chosen.proposals, options, setting), chosen.left_out


def _find_fault(
    epoch: Epoch,
    policy: Policy,
    psks: PskStore,
    proposals: tuple[SentProposal, ...],
    options: CommitOptions,
    now: int,
) -> ParlourError | None:
    """Why no commit can cover these proposals together; None if one can."""
    state = epoch.public
    validator = make_validator(state, policy, now, proposals, sending=True)
    try:
        draft, changes = apply_proposals(
            state, validator, epoch.leaf_index, proposals, link=options.link
        )
        find_commit_psks(state.suite, psks, changes.psks)
        check_support(draft.freeze().index.support, changes, validator)
        validator.finish()
    except (PeerError, LimitError) as error:
        return error
    return None


def select_proposals(
    sent: Iterable[SentProposal],
    own: Collection[SentProposal],
    committer: LeafIndex,
    tree: RatchetTree,
    *,
    reinit: bool = False,
    unwanted: Collection[bytes] = (),
) -> Selection:
    """Resolve conflicts between what others sent, and with what the committer adds itself.

    The committer's own come first, all of them. Of one leaf a Remove is preferred, then the most
    recent Update; the committer's Updates are left to its path. A ReInit ends the group, so it is
    covered only if `reinit` asks for it, and then alone. `unwanted` are references.
    """
    sent = tuple(sent)
    if any(isinstance(item.proposal, ReInit) for item in own):
        return _only(tuple(own), sent, "our ReInit stands alone")
    ends = [item for item in sent if isinstance(item.proposal, ReInit)]
    if reinit and ends:
        require(not own, Rule.REINIT_ALONE)
        others = [item for item in sent if item is not ends[-1]]
        return _only((ends[-1],), others, "the ReInit stands alone")
    every = [*sent, *own]
    removed = {item.proposal.removed for item in every if isinstance(item.proposal, Remove)}
    latest = {item.sender.leaf_index: item for item in sent if isinstance(item.proposal, Update)}
    taken = {_place(item) for item in own}
    chosen, left_out = [], []
    for item in sent:
        reason = "the application does not want it" if item.reference in unwanted else None
        reason = reason or _objection(item, removed, latest, committer, tree)
        if reason is None and _place(item) in taken:
            reason = "another proposal stands in its place"
        if reason is None:
            taken.add(_place(item))
            chosen.append(item)
        else:
            left_out.append(LeftOut(item, reason))
    return Selection((*chosen, *own), tuple(left_out))


def _only(
    chosen: tuple[SentProposal, ...], others: Iterable[SentProposal], reason: str
) -> Selection:
    return Selection(chosen, tuple(LeftOut(item, reason) for item in others))


def _objection(
    item: SentProposal,
    removed: set[LeafIndex],
    latest: dict[LeafIndex | None, SentProposal],
    committer: LeafIndex,
    tree: RatchetTree,
) -> str | None:
    """Why what others sent is not for this commit, as far as one can tell without trying it."""
    match item.proposal:
        case Update():
            leaf_index = item.sender.leaf_index
            if leaf_index in removed:
                return "its sender is removed"
            if leaf_index == committer:
                return "our path replaces our leaf"
            return None if latest[leaf_index] is item else "its sender sent a later one"
        case Add(key_package):
            present = tree.index.signature_keys.get(key_package.leaf_node.signature_key)
            return None if present is None or present in removed else "is a member already"
        case Remove(leaf_index):
            return "nobody commits the own removal" if leaf_index == committer else None
        case ReInit():
            return "nobody asked to end the group"
        case ExternalInit():
            return "a joiner's alone"
        case _:
            return None


def _place(item: SentProposal) -> object:
    """What there can be only one proposal for."""
    match item.proposal:
        case Add(key_package):
            return ("add", key_package.leaf_node.signature_key)
        case Remove(index):
            return ("leaf", index)
        case Update():
            return ("leaf", item.sender.leaf_index)
        case PreSharedKey(psk):
            return ("psk", psk)
        case OtherProposal():
            return ("other", item.reference, item.proposal)
        case _:
            return item.proposal.proposal_type
