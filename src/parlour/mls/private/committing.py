"""Making a commit: the message, the epoch after it, and the Welcome for who is added.

Nothing here changes a state; the next epoch waits beside the message until the message has won.

Spec: RFC 9420 §12.4.1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from parlour.mls.private.epoch import Epoch
from parlour.mls.private.identity import Identity
from parlour.mls.private.key_schedule import (
    Schedule,
    confirmation_tag,
    derive_joiner_secret,
)
from parlour.mls.private.psk import PskStore, find_commit_psks
from parlour.mls.private.secret_tree import SecretTree
from parlour.mls.private.secrets import (
    CommitSecret,
    InitSecret,
    JoinerSecret,
    PathSecret,
    PskSecret,
    WelcomeSecret,
)
from parlour.mls.private.treekem import (
    PathNode,
    PrivateKeys,
    current_keys,
    derive_path,
    seal_path,
)
from parlour.mls.public.changes import (
    Changes,
    apply_proposals,
    check_support,
    make_validator,
)
from parlour.mls.public.commit import Commit, ProposalOrRef, ProposalRef, UpdatePath
from parlour.mls.public.framing.authentication import sign_content
from parlour.mls.public.framing.content import (
    NEW_MEMBER_COMMIT,
    AuthData,
    AuthenticatedContent,
    FramedContent,
    Sender,
)
from parlour.mls.public.leaf_node import LeafNode
from parlour.mls.public.policy import Policy
from parlour.mls.public.staging import check_path_leaf
from parlour.mls.public.state import PublicState, SentProposal
from parlour.mls.public.transcript import confirmed_transcript_hash, interim_transcript_hash
from parlour.mls.public.tree import math
from parlour.mls.public.tree.draft import TreeDraft
from parlour.mls.public.tree.parent_hash import set_path
from parlour.mls.public.tree.ratchet_tree import PathStep, RatchetTree
from parlour.mls.public.types import (
    LeafIndex,
    LeafNodeSource,
    NodeIndex,
    ResumptionPskUsage,
    WireFormat,
)
from parlour.mls.public.validation.leaf_nodes import LeafValidator
from parlour.mls.public.validation.signatures import Run
from parlour.primitives.hpke import HpkePrivateKey
from parlour.primitives.random import Random, system_random
from parlour.primitives.signature import SignaturePrivateKey


@dataclass(frozen=True, slots=True)
class CommitOptions:
    """How a commit is made.

    `path` refreshes our keys, so that a commit heals us whatever it covers; without it a commit of
    nothing but Adds and pre-shared keys is smaller, and what requires a path has one all the same.
    `identity` may bring a new signature key, credential or capabilities. `pending` covers what
    others proposed, but for the references in `unwanted`; what somebody proposed to end the group
    (ReInit) is covered, alone, only if `reinit` says so. `wire_format` says who
    can read the commit. `ratchet_tree` and `external_pub` go into the GroupInfo of the Welcome.
    `group_info` makes one of the next epoch besides, by which others can join when it has begun.
    `link` is for the first commit of a group that continues another.
    """

    path: bool = True
    identity: Identity | None = None
    pending: bool = True
    unwanted: frozenset[bytes] = frozenset()
    reinit: bool = False
    wire_format: WireFormat = WireFormat.PUBLIC_MESSAGE
    authenticated_data: bytes = b""
    ratchet_tree: bool = True
    external_pub: bool = False
    group_info: bool = False
    link: ResumptionPskUsage | None = None


DEFAULT_OPTIONS: Final = CommitOptions()


@dataclass(frozen=True, slots=True)
class Setting:
    """What a computation gets from outside: time, randomness, and who runs batches."""

    now: int
    random: Random = system_random
    run: Run = map


@dataclass(frozen=True, slots=True)
class NewPath:
    """An update path that was made, and what the committer keeps of it."""

    update_path: UpdatePath
    steps: tuple[PathStep, ...]
    nodes: tuple[PathNode, ...]
    leaf_key: HpkePrivateKey = field(repr=False)
    commit_secret: CommitSecret

    def keys(self, leaf_index: LeafIndex) -> dict[NodeIndex, HpkePrivateKey]:
        """The committer's private keys in the new tree."""
        found = {step.node: node.key for step, node in zip(self.steps, self.nodes, strict=True)}
        return {NodeIndex(2 * leaf_index): self.leaf_key, **found}

    def secret_for(self, committer: LeafIndex, member: LeafIndex) -> PathSecret:
        """The secret of the lowest node above both: where a new member's knowledge begins."""
        ancestor = math.common_ancestor(2 * committer, 2 * member)
        at = [step.node for step in self.steps].index(ancestor)
        return self.nodes[at].secret


@dataclass(frozen=True, slots=True)
class NewCommit:
    """A commit of our own before it has won: the signed content, and all that follows from it."""

    authenticated: AuthenticatedContent
    changes: Changes
    path: NewPath | None
    epoch: Epoch
    secret_tree: SecretTree
    joiner_secret: JoinerSecret
    welcome_secret: WelcomeSecret


@dataclass(frozen=True, slots=True)
class Committer:
    """Who commits: a member, or somebody who joins by it.

    `signer` signs the message: a member's with the key that the group knows. `identity` is what
    the new leaf says.
    """

    state: PublicState
    sender: Sender
    leaf_index: LeafIndex
    signer: SignaturePrivateKey
    identity: Identity
    init_secret: InitSecret
    keys: PrivateKeys = field(default_factory=dict, repr=False)


def make_commit(
    epoch: Epoch,
    policy: Policy,
    psks: PskStore,
    proposals: tuple[SentProposal, ...],
    options: CommitOptions,
    setting: Setting,
) -> NewCommit:
    """A member's commit; proposals that came in messages of their own go by reference."""
    state = epoch.public
    committer = Committer(
        state,
        Sender.member(epoch.leaf_index),
        epoch.leaf_index,
        epoch.identity.signer,
        options.identity or epoch.identity,
        epoch.secrets.init_secret,
        epoch.keys,
    )
    validator = make_validator(state, policy, setting.now, proposals, sending=True)
    draft, changes = apply_proposals(
        state, validator, epoch.leaf_index, proposals, link=options.link
    )
    psk_secret = find_commit_psks(state.suite, psks, changes.psks)
    path = None
    if options.path or changes.path_required or options.identity is not None:
        path, tree = _make_path(committer, draft, changes, validator, setting.random)
    else:
        tree = draft.freeze()
    check_support(tree.index.support, changes, validator)
    validator.finish(setting.run)
    return _finish(committer, tree, changes, path, psk_secret, options)


def make_external_commit(
    state: PublicState,
    init_secret: InitSecret,
    identity: Identity,
    policy: Policy,
    psks: PskStore,
    proposals: tuple[SentProposal, ...],
    authenticated_data: bytes,
    setting: Setting,
) -> NewCommit:
    """The commit by which somebody joins (§12.4.3.2)."""
    validator = make_validator(state, policy, setting.now, proposals, sending=True)
    draft, changes = apply_proposals(state, validator, None, proposals)
    committer = Committer(
        state, NEW_MEMBER_COMMIT, draft.blank_leaf(), identity.signer, identity, init_secret
    )
    psk_secret = find_commit_psks(state.suite, psks, changes.psks)
    options = CommitOptions(authenticated_data=authenticated_data)
    path, tree = _make_path(committer, draft, changes, validator, setting.random)
    check_support(tree.index.support, changes, validator)
    validator.finish(setting.run)
    return _finish(committer, tree, changes, path, psk_secret, options)


def _make_path(
    committer: Committer,
    draft: TreeDraft,
    changes: Changes,
    validator: LeafValidator,
    random: Random,
) -> tuple[NewPath, RatchetTree]:
    """Fresh keys from the leaf to the root, sealed for everybody beside the path (§7.5)."""
    suite, context = committer.state.suite, committer.state.group_context
    leaf_index, identity = committer.leaf_index, committer.identity
    identity.check_suite(suite)
    steps = tuple(draft.filtered_direct_path(leaf_index))
    leaf_key = suite.hpke.kem.generate_key_pair(random)
    first = PathSecret(random(suite.hash_size))
    nodes, commit_secret = derive_path(suite, first, len(steps))
    public = [node.key.public_key.to_bytes() for node in nodes]
    parent_hash = set_path(draft, leaf_index, list(steps), public)
    content = identity.leaf_content(
        leaf_key.public_key.to_bytes(), LeafNodeSource.COMMIT, parent_hash=parent_hash
    )
    leaf_node = LeafNode.sign(suite, identity.signer, content, context.group_id, leaf_index)
    # Others refuse what we do not check ourselves, and we alone would follow our commit.
    check_path_leaf(committer.state, validator, changes, leaf_node, leaf_index)
    draft.set_node(2 * leaf_index, leaf_node)
    tree = draft.freeze()
    provisional = context.next(tree.tree_hash(), changes.extensions)
    added = changes.added_positions
    update_path = seal_path(tree, provisional, leaf_node, steps, nodes, added, random)
    return NewPath(update_path, steps, tuple(nodes), leaf_key, commit_secret), tree


def _reference(sent: SentProposal) -> ProposalOrRef:
    return sent.proposal if sent.reference is None else ProposalRef(sent.reference)


def _finish(
    committer: Committer,
    tree: RatchetTree,
    changes: Changes,
    path: NewPath | None,
    psk_secret: PskSecret,
    options: CommitOptions,
) -> NewCommit:
    """Sign the commit, and derive the epoch that it leads to."""
    state, leaf_index = committer.state, committer.leaf_index
    suite, context = state.suite, state.group_context
    commit = Commit(
        tuple(map(_reference, changes.proposals)), None if path is None else path.update_path
    )
    content = FramedContent.of(
        context.group_id, context.epoch, committer.sender, options.authenticated_data, commit
    )
    signature = sign_content(suite, committer.signer, options.wire_format, content, context)
    confirmed = confirmed_transcript_hash(
        suite, state.interim_transcript_hash, options.wire_format, content, signature
    )
    after = context.next(tree.tree_hash(), changes.extensions).confirmed(confirmed)
    commit_secret = CommitSecret(suite.zero) if path is None else path.commit_secret
    joiner = derive_joiner_secret(suite, committer.init_secret, commit_secret, after)
    schedule = Schedule.begin(suite, joiner, psk_secret)
    secrets, encryption = schedule.epoch(after)
    tag = confirmation_tag(suite, secrets.confirmation_key, after)
    public = PublicState(suite, after, tree, interim_transcript_hash(suite, confirmed, tag))
    keys = current_keys(tree, committer.keys) if path is None else path.keys(leaf_index)
    return NewCommit(
        AuthenticatedContent(options.wire_format, content, AuthData(signature, tag)),
        changes,
        path,
        Epoch(public, secrets, leaf_index, committer.identity, keys, tag),
        SecretTree(suite, tree.leaf_count, encryption),
        joiner,
        schedule.welcome_secret,
    )
