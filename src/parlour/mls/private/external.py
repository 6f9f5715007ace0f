"""Joining by one's own commit, and proposals from outside.

Spec: RFC 9420 §12.4.3.2, §12.1.8.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from parlour.mls.private.committing import NewCommit, Setting, make_external_commit
from parlour.mls.private.identity import Identity, KeyPackageBundle
from parlour.mls.private.key_schedule import seal_init_secret
from parlour.mls.private.psk import PskStore, fresh_psk_id, with_fresh_nonce
from parlour.mls.public.framing.authentication import sign_content
from parlour.mls.public.framing.content import (
    NEW_MEMBER_COMMIT,
    NEW_MEMBER_PROPOSAL,
    AuthData,
    AuthenticatedContent,
    FramedContent,
    Sender,
)
from parlour.mls.public.framing.messages import PublicMessage, encode_message
from parlour.mls.public.group_context import GroupContext, external_pub
from parlour.mls.public.group_info import GroupInfo
from parlour.mls.public.joining import check_supported, open_group_info
from parlour.mls.public.policy import Policy
from parlour.mls.public.proposals import Add, ExternalInit, PreSharedKey, Proposal, Remove
from parlour.mls.public.psk_id import PreSharedKeyId
from parlour.mls.public.rules import Rule, RuleBroken, require
from parlour.mls.public.sharing import SharedStages
from parlour.mls.public.state import SentProposal
from parlour.mls.public.suites import CipherSuite, find_suite
from parlour.mls.public.types import LeafIndex, SenderType, WireFormat
from parlour.primitives.random import Random, system_random
from parlour.primitives.signature import SignaturePrivateKey


@dataclass(frozen=True, slots=True)
class ExternalJoin:
    """How somebody joins: `resync` is the former leaf that the commit removes.

    `groups` are the ids of those that the client is in; of one that it comes back to, it is not.
    `group_info` makes one of the epoch that the commit begins, for who joins after us. `shared` is
    what members in one process share, if they do.
    """

    policy: Policy
    psks: PskStore = field(default_factory=PskStore)
    psk_ids: tuple[PreSharedKeyId, ...] = ()
    resync: LeafIndex | None = None
    ratchet_tree: bytes | None = None
    authenticated_data: bytes = b""
    groups: Collection[bytes] = ()
    group_info: bool = False
    shared: SharedStages | None = None


def join_by_commit(
    group_info: GroupInfo, identity: Identity, join: ExternalJoin, setting: Setting
) -> NewCommit:
    """Verify a GroupInfo, and make the commit that adds us."""
    policy = join.policy
    # V1252 §12.4.3: "New members MUST verify that `group_id` is unique among the groups they are
    # currently participating in."
    require(group_info.group_context.group_id not in join.groups, Rule.GROUP_ID_UNIQUE)
    check_supported(group_info.group_context, identity.capabilities)
    state = open_group_info(
        group_info, setting.now, policy, join.ratchet_tree, setting.run, join.shared
    )
    key = external_pub(group_info.extensions)
    # V1267 §12.4.3.2: "to join a group via an external Commit, a new member needs a GroupInfo with
    # an `external_pub` extension present in its `extensions` field"
    if key is None:
        raise RuleBroken(Rule.EXTERNAL_PUB_PRESENT)
    kem_output, init_secret = seal_init_secret(state.suite, key, setting.random)
    proposals: list[Proposal] = [ExternalInit(kem_output)]
    if join.resync is not None:
        proposals.append(Remove(join.resync))
    for psk_id in join.psk_ids:
        proposals.append(PreSharedKey(fresh_psk_id(psk_id, state.suite, setting.random)))
    sent = tuple(SentProposal(proposal, NEW_MEMBER_COMMIT) for proposal in proposals)
    return make_external_commit(
        state, init_secret, identity, policy, join.psks, sent, join.authenticated_data, setting
    )


def _propose(
    suite: CipherSuite,
    key: SignaturePrivateKey,
    context: GroupContext,
    sender: Sender,
    proposal: Proposal,
    now: int,
    authenticated_data: bytes,
) -> bytes:
    if isinstance(proposal, Add):
        lifetime = proposal.key_package.leaf_node.content.lifetime
        # §7.3 wants it of all that is sent, and here is no group whose validator would ask.
        good = lifetime is not None and lifetime.covers(now)
        require(good, Rule.LEAF_LIFETIME)
    content = FramedContent.of(
        context.group_id, context.epoch, sender, authenticated_data, proposal
    )
    signature = sign_content(suite, key, WireFormat.PUBLIC_MESSAGE, content, context)
    message = AuthenticatedContent(WireFormat.PUBLIC_MESSAGE, content, AuthData(signature))
    return encode_message(PublicMessage(message.content, message.auth))


def propose_as_external_sender(
    context: GroupContext,
    key: SignaturePrivateKey,
    index: int,
    proposal: Proposal,
    now: int,
    authenticated_data: bytes = b"",
    random: Random = system_random,
) -> bytes:
    """A proposal by entry `index` of the group's `external_senders`."""
    sender = Sender(SenderType.EXTERNAL, index)
    suite = find_suite(context.cipher_suite)
    proposal = with_fresh_nonce(proposal, suite, random)
    return _propose(suite, key, context, sender, proposal, now, authenticated_data)


def propose_to_join(
    context: GroupContext, bundle: KeyPackageBundle, now: int, authenticated_data: bytes = b""
) -> bytes:
    """An Add of ourselves, for a member to commit."""
    return _propose(
        bundle.identity.suite,
        bundle.identity.signer,
        context,
        NEW_MEMBER_PROPOSAL,
        Add(bundle.key_package),
        now,
        authenticated_data,
    )
