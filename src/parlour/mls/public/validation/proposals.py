"""Proposals, each for itself.

Spec: RFC 9420 §12.1.
"""

from __future__ import annotations

from typing import assert_never

from parlour.mls.public.capabilities import RequiredCapabilities
from parlour.mls.public.credentials import check_credential, check_successor
from parlour.mls.public.extensions import Extensions
from parlour.mls.public.group_context import external_senders
from parlour.mls.public.leaf_node import LeafNode
from parlour.mls.public.proposals import (
    Add,
    ExternalInit,
    GroupContextExtensions,
    OtherProposal,
    PreSharedKey,
    ReInit,
    Remove,
    Update,
)
from parlour.mls.public.psk_id import ResumptionPskId
from parlour.mls.public.rules import Rule, RuleBroken, require
from parlour.mls.public.state import SentProposal
from parlour.mls.public.tree.ratchet_tree import RatchetTree
from parlour.mls.public.types import (
    GREASE,
    MLS10,
    LeafIndex,
    LeafNodeSource,
    ResumptionPskUsage,
    SenderType,
)
from parlour.mls.public.validation.key_packages import check_key_package
from parlour.mls.public.validation.leaf_nodes import LeafValidator


def check_proposal(
    validator: LeafValidator,
    tree: RatchetTree,
    sent: SentProposal,
    *,
    signed: bool = True,
    link: ResumptionPskUsage | None = None,
) -> None:
    """What can be said of a proposal alone. `signed` False: its signatures were verified before.

    `link` allows the one PSK by which a reinitialized or branched group begins.
    """
    match sent.proposal:
        case Add(key_package):
            if sent.sender.sender_type is SenderType.NEW_MEMBER_PROPOSAL:
                # V1205 §12.1.8: "External proposals that are not authorized are considered
                # invalid."
                allowed = validator.policy.new_member_proposals
                require(allowed, Rule.EXTERNAL_PROPOSAL_AUTHORIZED)
            check_key_package(validator, key_package, signed=signed)
        case Update(leaf_node):
            _check_update(validator, tree, sent, leaf_node, signed=signed)
        case Remove(removed):
            # V1201 §12.1.3: "A Remove proposal is invalid if the `removed` field does not identify
            # a non-blank leaf node."
            require(tree.leaf(removed) is not None, Rule.REMOVE_MEMBER)
        case PreSharedKey():
            _check_psk(validator, sent.proposal, link)
        case ReInit():
            # V1204 §12.1.5: "A ReInit proposal is invalid if the `version` field is less than the
            # version for the current group."
            require(sent.proposal.version >= MLS10, Rule.REINIT_VERSION)
            if validator.policy.listed_suites:
                _check_reinit(tree, sent.proposal)
        case GroupContextExtensions(extensions):
            check_group_extensions(validator, extensions)
        case ExternalInit() | OtherProposal():
            pass
        case unknown:
            assert_never(unknown)


def _check_reinit(tree: RatchetTree, reinit: ReInit) -> None:
    """That the group which is to come is not one that somebody can't join, or nobody."""
    version, suite = reinit.version, reinit.cipher_suite
    listed = all(
        version in leaf.capabilities.versions and suite in leaf.capabilities.cipher_suites
        for _, leaf in tree.members()
    )
    # V1107 §12.4.1: "If a ReInit proposal was part of the Commit, the committer MUST create a new
    # group with the parameters specified in the ReInit proposal"
    require(listed and suite not in GREASE, Rule.REINIT_SUPPORTED)


def _check_update(
    validator: LeafValidator,
    tree: RatchetTree,
    sent: SentProposal,
    leaf_node: LeafNode,
    *,
    signed: bool,
) -> None:
    index = sent.sender.leaf_index
    old = tree.leaf(index) if index is not None else None
    # V1220 §12.1.2: "it replaces the sender's LeafNode in the tree instead of adding a new leaf to
    # the tree"
    if index is None or old is None:
        raise RuleBroken(Rule.UPDATE_BY_MEMBER)
    # V0711 §7.3: "If the LeafNode appears in an Update proposal, verify that `leaf_node_source` is
    # set to `update`"
    require(leaf_node.source is LeafNodeSource.UPDATE, Rule.LEAF_SOURCE_UPDATE)
    # V0713 §7.3: "and that `encryption_key` represents a different public key than the
    # `encryption_key` in the leaf node being replaced by the Update proposal"
    require(leaf_node.encryption_key != old.encryption_key, Rule.UPDATE_FRESH_KEY)
    check_replacement(validator, old, leaf_node, index, signed=signed)


def check_replacement(
    validator: LeafValidator,
    old: LeafNode,
    new: LeafNode,
    leaf_index: LeafIndex,
    *,
    signed: bool = True,
) -> None:
    """The leaf by which a member replaces its own, in an Update or a path (§7.3)."""
    validator.check(new, leaf_index, signed=signed)
    if (new.credential, new.signature_key) != (old.credential, old.signature_key):
        validator.check_new(new)
        validator.decide(check_successor, old.credential, new.credential)


def _check_psk(
    validator: LeafValidator, proposal: PreSharedKey, link: ResumptionPskUsage | None
) -> None:
    key = proposal.psk.key
    usage = key.usage if isinstance(key, ResumptionPskId) else None
    # V1202 §11.2: "A PreSharedKey proposal with type `resumption` and usage `reinit` MUST be
    # considered invalid."
    allowed = usage is not ResumptionPskUsage.REINIT or link is usage
    require(allowed, Rule.PSK_USAGE_REINIT)
    # V1203 §11.3: "A PreSharedKey proposal with type `resumption` and usage `branch` MUST be
    # considered invalid."
    allowed = usage is not ResumptionPskUsage.BRANCH or link is usage
    require(allowed, Rule.PSK_USAGE_BRANCH)
    # V0801 §12.1.4: "The `psk_nonce` is not of length `KDF.Nh`."
    size = validator.suite.hash_size
    require(len(proposal.psk.psk_nonce) == size, Rule.PSK_NONCE_LENGTH)


def check_group_extensions(validator: LeafValidator, extensions: Extensions) -> None:
    """What the application has to say of new extensions of a group, and that they parse."""
    RequiredCapabilities.of(extensions)
    for sender in external_senders(extensions):
        validator.decide(check_credential, sender.credential, sender.signature_key)
