"""What a list of proposals does to a group: a committer and its recipients share it.

Spec: RFC 9420 §12.2, §12.3.
"""

from __future__ import annotations

from dataclasses import dataclass

from parlour.mls.public.capabilities import Support
from parlour.mls.public.extensions import Extensions
from parlour.mls.public.group_context import GroupContext
from parlour.mls.public.key_package import KeyPackage
from parlour.mls.public.leaf_node import LeafNode
from parlour.mls.public.policy import Policy
from parlour.mls.public.proposals import (
    WITHOUT_PATH,
    Add,
    ExternalInit,
    GroupContextExtensions,
    OtherProposal,
    PreSharedKey,
    ReInit,
    Remove,
    Update,
)
from parlour.mls.public.psk_id import PreSharedKeyId
from parlour.mls.public.rules import Rule, require
from parlour.mls.public.state import PublicState, SentProposal
from parlour.mls.public.tree.draft import TreeDraft
from parlour.mls.public.types import LeafIndex, ResumptionPskUsage
from parlour.mls.public.validation.leaf_nodes import LeafValidator, check_credential_types
from parlour.mls.public.validation.proposal_list import check_external, check_regular


@dataclass(frozen=True, slots=True)
class Changes:
    """What a list of proposals does. `committer` is None in an external commit."""

    proposals: tuple[SentProposal, ...]
    committer: LeafIndex | None
    extensions: Extensions
    added: tuple[tuple[LeafIndex, KeyPackage], ...] = ()
    updated: tuple[LeafIndex, ...] = ()
    removed: tuple[LeafIndex, ...] = ()
    psks: tuple[PreSharedKeyId, ...] = ()
    external_init: ExternalInit | None = None
    reinit: ReInit | None = None

    @property
    def path_required(self) -> bool:
        """Whether the commit has to have a path (§12.4)."""
        kinds = [sent.proposal.proposal_type for sent in self.proposals]
        return not kinds or any(kind not in WITHOUT_PATH for kind in kinds)

    @property
    def added_positions(self) -> frozenset[int]:
        """The nodes of new members, to whom a path is not encrypted (§7.5)."""
        return frozenset(2 * leaf_index for leaf_index, _ in self.added)

    @property
    def new_leaves(self) -> list[LeafNode]:
        """The leaf nodes that came by Add and Update."""
        found = [key_package.leaf_node for _, key_package in self.added]
        return found + [
            s.proposal.leaf_node for s in self.proposals if isinstance(s.proposal, Update)
        ]


def apply_proposals(
    state: PublicState,
    validator: LeafValidator,
    committer: LeafIndex | None,
    proposals: tuple[SentProposal, ...],
    *,
    link: ResumptionPskUsage | None = None,
) -> tuple[TreeDraft, Changes]:
    """Validate a list and apply it to a draft of the tree, in the order of §12.3."""
    if committer is None:
        check_external(validator, state.tree, proposals)
    else:
        check_regular(validator, state.tree, committer, proposals, link=link)
    draft = TreeDraft(state.tree)
    updated: list[LeafIndex] = []
    removed: list[LeafIndex] = []
    for sent in proposals:
        if isinstance(sent.proposal, Update) and sent.sender.leaf_index is not None:
            draft.update_leaf(sent.sender.leaf_index, sent.proposal.leaf_node)
            updated.append(sent.sender.leaf_index)
    for sent in proposals:
        if isinstance(sent.proposal, Remove):
            draft.remove_leaf(sent.proposal.removed)
            removed.append(sent.proposal.removed)
    draft.truncate()
    added = tuple(
        (draft.add_leaf(sent.proposal.key_package.leaf_node), sent.proposal.key_package)
        for sent in proposals
        if isinstance(sent.proposal, Add)
    )
    kinds = [sent.proposal for sent in proposals]
    return draft, Changes(
        proposals,
        committer,
        next_extensions(state.group_context, proposals),
        added,
        tuple(updated),
        tuple(removed),
        tuple(p.psk for p in kinds if isinstance(p, PreSharedKey)),
        next((p for p in kinds if isinstance(p, ExternalInit)), None),
        next((p for p in kinds if isinstance(p, ReInit)), None),
    )


def next_extensions(context: GroupContext, proposals: tuple[SentProposal, ...]) -> Extensions:
    """The extensions of the next epoch, by which the other proposals are judged (§12.3)."""
    for sent in proposals:
        if isinstance(sent.proposal, GroupContextExtensions):
            return sent.proposal.extensions
    return context.extensions


def check_support(support: Support, changes: Changes, validator: LeafValidator) -> None:
    """That all members of the new tree support what the group asks for, and each other."""
    if any(isinstance(sent.proposal, GroupContextExtensions) for sent in changes.proposals):
        required = validator.required
        # V1101 §12.1.7: "A GroupContextExtensions proposal is invalid if it includes a
        # `required_capabilities` extension and some members of the group do not support some of the
        # required capabilities"
        supported = required is None or support.meets(required)
        require(supported, Rule.REQUIRED_CAPABILITIES_SUPPORTED)
        # V1302 §13.4: "an extension in use by the group MUST be supported by all members of the
        # group"
        supported = all(map(support.extension, changes.extensions.types))
        require(supported, Rule.GROUP_EXTENSIONS_SUPPORTED)
    _check_other_proposals(support, changes)
    check_credential_types(support, changes.new_leaves)


def _check_other_proposals(support: Support, changes: Changes) -> None:
    """That all who process the commit understand it: the new tree without those it adds."""
    kinds = [sent.proposal for sent in changes.proposals]
    others = {p.proposal_type for p in kinds if isinstance(p, OtherProposal)}
    if not others:
        return
    support = support.copy()
    for _, key_package in changes.added:
        leaf = key_package.leaf_node
        support.count(leaf.capabilities, leaf.credential.credential_type, -1)
    # V1215 §12.2: "It contains a Proposal with a non-default proposal type that is not supported by
    # some members of the group that will process the Commit"
    require(all(map(support.proposal, others)), Rule.PROPOSAL_SUPPORTED)


def make_validator(
    state: PublicState,
    policy: Policy,
    now: int,
    proposals: tuple[SentProposal, ...] = (),
    *,
    sending: bool = False,
) -> LeafValidator:
    """A validator for the group after these proposals; `sending` for messages of our own."""
    context = state.group_context
    extensions = next_extensions(context, proposals)
    return LeafValidator(state.suite, policy, now, context.group_id, extensions, sending=sending)
