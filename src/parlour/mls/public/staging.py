"""Processing a commit, as far as it needs no secrets: what it leads to, and that it is valid.

Nothing here changes a state: a staged commit holds the next one beside what led to it.

Spec: RFC 9420 §7.5 (merging a path), §12.4.2 (processing a commit), §12.4.3.2 (external commits).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from parlour.errors import Code, DecodeError, UsageError
from parlour.mls.public.changes import (
    Changes,
    apply_proposals,
    check_support,
    make_validator,
)
from parlour.mls.public.commit import Commit, UpdatePath
from parlour.mls.public.credentials import Credential, CredentialValidator
from parlour.mls.public.framing.authentication import VerifiedContent
from parlour.mls.public.framing.content import Sender
from parlour.mls.public.group_context import GroupContext
from parlour.mls.public.leaf_node import LeafNode
from parlour.mls.public.policy import Policy
from parlour.mls.public.rules import Rule, require
from parlour.mls.public.state import ProposalStore, PublicState
from parlour.mls.public.transcript import confirmed_transcript_hash, interim_transcript_hash
from parlour.mls.public.tree.draft import TreeDraft
from parlour.mls.public.tree.nodes import ParentNode
from parlour.mls.public.tree.parent_hash import set_path
from parlour.mls.public.tree.ratchet_tree import PathStep
from parlour.mls.public.types import LeafIndex, LeafNodeSource, SenderType
from parlour.mls.public.validation.leaf_nodes import LeafValidator
from parlour.mls.public.validation.proposals import check_replacement
from parlour.mls.public.validation.signatures import Run
from parlour.mls.public.validation.tree import check_parent_key


@dataclass(frozen=True, slots=True)
class StagedPublic:
    """A commit that is valid in public: what it changes, and the state that it leads to.

    `base` is the context of the epoch in which it was staged; nowhere else it can be merged.
    `path_steps` and `provisional_context` are what a member needs to open its path secret.
    """

    base: GroupContext
    changes: Changes
    sender: Sender
    committer: LeafIndex
    path: UpdatePath | None
    path_steps: tuple[PathStep, ...]
    provisional_context: GroupContext
    state: PublicState
    confirmation_tag: bytes

    @property
    def committer_leaf(self) -> LeafNode:
        """The committer's leaf after the commit: nobody takes out their own (§12.2)."""
        return cast(LeafNode, self.state.tree.leaf(self.committer))

    def check_base(self, state: PublicState) -> None:
        """That a group is still in the epoch in which the commit was staged."""
        if state.group_context != self.base:
            raise UsageError(Code.USAGE_STATE, "the commit was staged in another epoch")


def stage_commit(
    state: PublicState,
    verified: VerifiedContent,
    store: ProposalStore,
    now: int,
    policy: Policy,
    run: Run = map,
) -> StagedPublic:
    """Validate a commit of the epoch `state`, and make the public state after it."""
    staged, validator = examine_commit(state, verified, store, now, policy)
    validator.finish(run)
    return staged


def examine_commit(
    state: PublicState, verified: VerifiedContent, store: ProposalStore, now: int, policy: Policy
) -> tuple[StagedPublic, LeafValidator]:
    """The same up to the validator's last word: signatures, and what the application decides."""
    commit, tag = verified.content.body, verified.authenticated.auth.confirmation_tag
    if not isinstance(commit, Commit) or tag is None:
        raise DecodeError(Code.DECODE_MALFORMED, "not a commit")
    external = verified.sender.sender_type is SenderType.NEW_MEMBER_COMMIT
    if external:
        # V1239 §12.4.3.2: "Whether existing members of the group will accept or reject an external
        # Commit follows the same rules that are applied to other handshake messages."
        require(policy.external_commits, Rule.EXTERNAL_COMMIT_ALLOWED)
    proposals = store.resolve(commit, verified.sender)
    validator = make_validator(state, policy, now, proposals)
    committer = verified.sender.leaf_index
    draft, changes = apply_proposals(state, validator, committer, proposals)
    # V1231 §12.4: "By default, the `path` field of a Commit MUST be populated." "The `path` field
    # MAY be omitted if (a) it covers at least one proposal and (b) none of the proposals covered by
    # the Commit are of "path required" types."
    require(commit.path is not None or not changes.path_required, Rule.COMMIT_PATH_REQUIRED)
    leaf_index = draft.blank_leaf() if committer is None else committer
    steps: list[PathStep] = []
    if commit.path is not None:
        check_path_leaf(state, validator, changes, commit.path.leaf_node, leaf_index)
        steps = merge_path(draft, changes, commit.path, leaf_index)
    tree = draft.freeze()
    check_support(tree.index.support, changes, validator)
    provisional = state.group_context.next(tree.tree_hash(), changes.extensions)
    confirmed = confirmed_transcript_hash(
        state.suite,
        state.interim_transcript_hash,
        verified.authenticated.wire_format,
        verified.content,
        verified.authenticated.auth.signature,
    )
    interim = interim_transcript_hash(state.suite, confirmed, tag)
    after = PublicState(state.suite, provisional.confirmed(confirmed), tree, interim)
    staged = StagedPublic(
        state.group_context,
        changes,
        verified.sender,
        leaf_index,
        commit.path,
        tuple(steps),
        provisional,
        after,
        tag,
    )
    return staged, validator


def check_path_leaf(
    state: PublicState,
    validator: LeafValidator,
    changes: Changes,
    leaf: LeafNode,
    leaf_index: LeafIndex,
) -> None:
    """The new leaf of the committer, which replaces its old one or that of a former self."""
    # V0712 §7.3: "If the LeafNode appears in the `leaf_node` value of the UpdatePath in a Commit,
    # verify that `leaf_node_source` is set to `commit`."
    require(leaf.source is LeafNodeSource.COMMIT, Rule.LEAF_SOURCE_COMMIT)
    replaced = leaf_index if changes.committer is not None else next(iter(changes.removed), None)
    old = None if replaced is None else state.tree.leaf(replaced)
    if old is not None:
        # V1232 §12.4.2: "Verify that the `encryption_key` value in the LeafNode is different from
        # the committer's current leaf node."
        require(leaf.encryption_key != old.encryption_key, Rule.COMMIT_LEAF_FRESH_KEY)
    if old is not None and changes.committer is not None:
        check_replacement(validator, old, leaf, leaf_index)
        return
    validator.check(leaf, leaf_index)
    validator.check_new(leaf)
    if old is not None:
        validator.decide(_check_former_self, old.credential, leaf.credential)


def _check_former_self(validator: CredentialValidator, old: Credential, new: Credential) -> None:
    # V1218 §12.2: "In particular, the `credential` in the LeafNode MUST present a set of
    # identifiers that is acceptable to the application for the removed participant."
    require(validator.succeeds(old, new), Rule.EXTERNAL_COMMIT_SUCCESSOR)


def merge_path(
    draft: TreeDraft, changes: Changes, path: UpdatePath, leaf_index: LeafIndex
) -> list[PathStep]:
    """Merge an UpdatePath into a tree (§7.5); the filtered direct path, as it was encrypted to."""
    steps = draft.filtered_direct_path(leaf_index)
    # V0716 §7.6: "The parent nodes are kept in the same order as the filtered direct path."
    require(len(steps) == len(path.nodes), Rule.PATH_LENGTH)
    added = changes.added_positions
    for step, node in zip(steps, path.nodes, strict=True):
        expected = step.count(added)
        # V0717 §7.6: "The length of the `encrypted_path_secret` vector MUST be equal to the length
        # of the resolution of the copath node (excluding new leaf nodes)"
        require(len(node.encrypted_path_secret) == expected, Rule.PATH_CIPHERTEXTS)
    keys = [node.encryption_key for node in path.nodes]
    every = [path.leaf_node.encryption_key, *keys]
    # V1233 §12.4.2: "Verify that none of the public keys in the UpdatePath appear in any node of
    # the new ratchet tree."
    new = len(set(every)) == len(every) and not draft.holds_any(every)
    require(new, Rule.COMMIT_PATH_KEYS_NEW)
    parent_hash = set_path(draft, leaf_index, steps, keys)
    # V0719 §7.9.2: "clients MUST recompute the expected value of `parent_hash` for the committer's
    # new leaf and verify that it matches the `parent_hash` value in the supplied `leaf_node`"
    require(path.leaf_node.parent_hash == parent_hash, Rule.PATH_PARENT_HASH)
    draft.set_node(2 * leaf_index, path.leaf_node)
    for step in steps:
        check_parent_key(draft.suite, cast(ParentNode, draft.parent(step.node)), step.node)
    return steps
