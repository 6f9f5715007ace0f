"""A GroupInfo and its tree, before the group is joined or followed.

Spec: RFC 9420 §12.4.3, §12.4.3.3.
"""

from __future__ import annotations

from parlour.errors import AuthenticationError
from parlour.mls.public.capabilities import Capabilities
from parlour.mls.public.changes import make_validator
from parlour.mls.public.group_context import GroupContext
from parlour.mls.public.group_info import GroupInfo
from parlour.mls.public.policy import Policy
from parlour.mls.public.rules import Rule, RuleBroken, require
from parlour.mls.public.sharing import SharedStages
from parlour.mls.public.state import PublicState
from parlour.mls.public.suites import CipherSuite, find_suite
from parlour.mls.public.transcript import interim_transcript_hash
from parlour.mls.public.tree.extension import read_tree
from parlour.mls.public.tree.ratchet_tree import RatchetTree
from parlour.mls.public.types import GREASE, ExtensionType
from parlour.mls.public.validation.proposals import check_group_extensions
from parlour.mls.public.validation.signatures import Run
from parlour.mls.public.validation.tree import check_tree


def open_group_info(
    group_info: GroupInfo,
    now: int,
    policy: Policy,
    ratchet_tree: bytes | RatchetTree | None = None,
    run: Run = map,
    shared: SharedStages | None = None,
) -> PublicState:
    """Verify a GroupInfo and its tree: in it, beside it, or verified by another member here."""
    suite = find_suite(group_info.group_context.cipher_suite)
    context = group_info.group_context
    interim = interim_transcript_hash(
        suite, context.confirmed_transcript_hash, group_info.confirmation_tag
    )
    known = None if shared is None else shared.find_state(context, interim, policy)
    if known is not None:
        _verify_signature(suite, group_info, known.tree)
        decide_tree(known, policy, now)
        return known
    tree = _tree_of(suite, group_info, ratchet_tree)
    # V1259 §12.4.3.1: "Verify that the tree hash of the ratchet tree matches the `tree_hash` field
    # in GroupInfo."
    require(tree.tree_hash() == context.tree_hash, Rule.TREE_HASH)
    _verify_signature(suite, group_info, tree)
    state = PublicState(suite, context, tree, interim)
    validator = make_validator(state, policy, now)
    check_group_extensions(validator, context.extensions)
    check_tree(tree, validator, run)
    return state if shared is None else shared.keep_state(state, policy)


def decide_tree(state: PublicState, policy: Policy, now: int) -> None:
    """What one application has to say of a tree that another member in its process has verified."""
    validator = make_validator(state, policy, now)
    check_group_extensions(validator, state.group_context.extensions)
    for _, leaf in state.tree.members():
        validator.check_new(leaf)
    validator.finish()


def _tree_of(
    suite: CipherSuite, group_info: GroupInfo, given: bytes | RatchetTree | None
) -> RatchetTree:
    if isinstance(given, RatchetTree):
        return given
    data = group_info.extensions.find(ExtensionType.RATCHET_TREE) if given is None else given
    # V1265 §12.4.3.1: "The client processing a Welcome message will need to have a copy of the
    # group's ratchet tree."
    if data is None:
        raise RuleBroken(Rule.TREE_PRESENT)
    return read_tree(suite, data)


def _verify_signature(suite: CipherSuite, group_info: GroupInfo, tree: RatchetTree) -> None:
    leaf = tree.leaf(group_info.signer)
    # V1253 §12.4.3: "New members also MUST verify the `signature` using the public key taken from
    # the leaf node of the ratchet tree with leaf index `signer`."
    try:
        if leaf is None:
            raise RuleBroken(Rule.GROUP_INFO_SIGNATURE)
        leaf.verifying_key(suite).verify(group_info.signature, group_info.signed_data(suite))
    except AuthenticationError as error:
        raise RuleBroken(Rule.GROUP_INFO_SIGNATURE) from error


def check_supported(context: GroupContext, capabilities: Capabilities) -> None:
    """That a joiner with these capabilities understands the group."""
    # V1251 §13.4: "A client joining a group MUST verify that it supports every extension in the
    # GroupContext for the group."
    # Our leaf lists values of GREASE, of which we know nothing (§13.5).
    types = context.extensions.types
    supported = all(capabilities.supports_extension(t) and t not in GREASE for t in types)
    require(supported, Rule.GROUP_INFO_EXTENSIONS)
