"""Becoming a member by a Welcome.

Spec: RFC 9420 §12.4.3.1, §11.2, §11.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from parlour.mls.private.epoch import Epoch
from parlour.mls.private.key_schedule import confirmation_tag
from parlour.mls.private.psk import PskStore
from parlour.mls.private.secret_tree import SecretTree
from parlour.mls.private.secrets import PathSecret
from parlour.mls.private.treekem import derive_path
from parlour.mls.private.welcoming import OpenedWelcome
from parlour.mls.public.credentials import CredentialValidator
from parlour.mls.public.joining import check_supported, open_group_info
from parlour.mls.public.policy import Policy
from parlour.mls.public.proposals import ReInit
from parlour.mls.public.psk_id import ResumptionPskId
from parlour.mls.public.rules import Rule, RuleBroken, require
from parlour.mls.public.sharing import SharedStages
from parlour.mls.public.state import PublicState
from parlour.mls.public.tree import math
from parlour.mls.public.tree.ratchet_tree import RatchetTree
from parlour.mls.public.types import MLS10, LeafIndex, NodeIndex, ResumptionPskUsage
from parlour.mls.public.validation.signatures import Run
from parlour.primitives.hpke import HpkePrivateKey


@dataclass(frozen=True, slots=True)
class Origin:
    """The group that a new one replaces or branches from, as its member knows it."""

    state: PublicState
    reinit: ReInit | None = None


@dataclass(frozen=True, slots=True)
class WelcomeJoin:
    """How a Welcome is taken.

    `ratchet_tree` is the tree if it does not travel in the Welcome. `groups` are the groups that
    the client is in, by id; of those that the new one may continue, their origins. `shared` is what
    members in one process share, if they do.
    """

    policy: Policy
    psks: PskStore = field(default_factory=PskStore)
    ratchet_tree: bytes | RatchetTree | None = None
    groups: Mapping[bytes, Origin | None] = field(default_factory=dict)
    shared: SharedStages | None = None


def join_by_welcome(
    opened: OpenedWelcome, join: WelcomeJoin, now: int, run: Run = map
) -> tuple[Epoch, SecretTree]:
    """Verify everything that a Welcome says, and make the epoch that it leads into."""
    group_info, bundle = opened.group_info, opened.bundle
    context = group_info.group_context
    # V1252 §12.4.3: "New members MUST verify that `group_id` is unique among the groups they are
    # currently participating in."
    require(context.group_id not in join.groups, Rule.GROUP_ID_UNIQUE)
    check_supported(context, bundle.identity.capabilities)
    state = open_group_info(group_info, now, join.policy, join.ratchet_tree, run, join.shared)
    leaf_index = _find_leaf(state.tree, opened)
    keys = {NodeIndex(2 * leaf_index): bundle.leaf_key}
    if opened.secrets.path_secret is not None:
        keys |= _path_keys(state.tree, leaf_index, group_info.signer, opened.secrets.path_secret)
    secrets, encryption = opened.schedule.epoch(context)
    tag = confirmation_tag(state.suite, secrets.confirmation_key, context)
    # V1264 §12.4.3.1: "Verify the confirmation tag in the GroupInfo using the derived confirmation
    # key and the `confirmed_transcript_hash` from the GroupInfo."
    genuine = state.suite.equal(tag, group_info.confirmation_tag)
    require(genuine, Rule.WELCOME_CONFIRMATION_TAG)
    if opened.link is not None:
        origin = join.groups.get(opened.link.psk_group_id)
        check_link(opened.link, state, origin, join.policy.credentials)
    epoch = Epoch(state, secrets, leaf_index, bundle.identity, keys, tag)
    return epoch, SecretTree(state.suite, state.tree.leaf_count, encryption)


def _find_leaf(tree: RatchetTree, opened: OpenedWelcome) -> LeafIndex:
    own = opened.bundle.key_package.leaf_node
    leaf_index = tree.index.signature_keys.get(own.signature_key)
    # V1262 §12.4.3.1: "Identify a leaf whose LeafNode is identical to the one in the KeyPackage. If
    # no such field exists, return an error."
    if leaf_index is None or tree.leaf(leaf_index) != own:
        raise RuleBroken(Rule.WELCOME_LEAF_PRESENT)
    return LeafIndex(leaf_index)


def _path_keys(
    tree: RatchetTree, own: LeafIndex, signer: LeafIndex, secret: PathSecret
) -> dict[NodeIndex, HpkePrivateKey]:
    """The keys from the lowest node above us and the committer up to the root."""
    ancestor = math.common_ancestor(2 * own, 2 * signer)
    above = [ancestor, *math.direct_path(ancestor, tree.leaf_count)]
    filled = [(node, parent) for node in above if (parent := tree.parent(node)) is not None]
    nodes, _ = derive_path(tree.suite, secret, len(filled))
    keys = {}
    for (position, parent), node in zip(filled, nodes, strict=True):
        # V1263 §12.4.3.1: "The private key MUST be the private key that corresponds to the public
        # key in the node."
        same = node.key.public_key.to_bytes() == parent.encryption_key
        require(same, Rule.WELCOME_PATH_KEYS)
        keys[position] = node.key
    return keys


def check_link(
    link: ResumptionPskId,
    state: PublicState,
    origin: Origin | None,
    credentials: CredentialValidator,
) -> None:
    """That a group which claims to continue another does (§11.2, §11.3)."""
    context = state.group_context
    # V1103 §12.4.3.1: "If a PreSharedKeyID was used that has type `resumption` with usage `reinit`
    # or `branch`, verify that the `epoch` field in the GroupInfo is equal to 1."
    require(context.epoch == 1, Rule.REINIT_EPOCH)
    old = None if origin is None else origin.state.group_context
    known = old is not None and link.psk_group_id == old.group_id
    if link.usage is ResumptionPskUsage.REINIT:
        # The old group ended with the epoch whose key is named; one that branches may have gone on.
        ended = known and old is not None and link.psk_epoch == old.epoch
        reinit = origin.reinit if origin is not None and ended else None
        # V1102 §12.4.3.1: "verify that the last Commit to the referenced group contains a ReInit
        # proposal and that the `group_id`, `version`, `cipher_suite`, and
        # `group_context.extensions` fields of the GroupInfo match the ReInit proposal"
        matches = reinit is not None and (
            (reinit.group_id, reinit.version, reinit.cipher_suite, reinit.extensions)
            == (context.group_id, MLS10, context.cipher_suite, context.extensions)
        )
        require(matches, Rule.REINIT_MATCHES)
        # V1104 §12.4.3.1: "Additionally, verify that all the members of the old group are also
        # members of the new group, according to the application."
        former = set() if origin is None else _identities(origin.state, credentials)
        require(former <= _identities(state, credentials), Rule.REINIT_MEMBERS)
        return
    # V1105 §12.4.3.1: "For usage `branch`, verify that the `version` and `cipher_suite` of the new
    # group match those of the old group"
    matches = old is not None and known and old.cipher_suite == context.cipher_suite
    require(matches, Rule.BRANCH_MATCHES)
    # V1106 §12.4.3.1: "and that the members of the new group compose a subset of the members of the
    # old group, according to the application"
    former = set() if origin is None else _identities(origin.state, credentials)
    require(_identities(state, credentials) <= former, Rule.BRANCH_MEMBERS)


def _identities(state: PublicState, credentials: CredentialValidator) -> set[bytes]:
    return {credentials.identity(leaf.credential) for _, leaf in state.tree.members()}
