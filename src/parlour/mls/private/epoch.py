"""One epoch as a member knows it. Immutable: a commit leads to another.

Spec: RFC 9420 §8, §11, §12.4.3.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from parlour.errors import Code, UsageError
from parlour.mls.private.identity import Identity, lifetime_from
from parlour.mls.private.key_schedule import (
    EpochSecrets,
    confirmation_tag,
    epoch_secrets,
    export,
    external_key_pair,
)
from parlour.mls.private.secret_tree import SecretTree
from parlour.mls.private.secrets import EpochAuthenticator, ResumptionPsk, SenderDataSecret
from parlour.mls.private.treekem import PrivateKeys
from parlour.mls.public.extensions import NO_EXTENSIONS, Extensions
from parlour.mls.public.group_context import GroupContext, external_pub_extension
from parlour.mls.public.group_info import GroupInfo
from parlour.mls.public.leaf_node import LeafNode
from parlour.mls.public.state import PublicState
from parlour.mls.public.suites import CipherSuite
from parlour.mls.public.transcript import interim_transcript_hash
from parlour.mls.public.tree.extension import ratchet_tree_extension
from parlour.mls.public.tree.ratchet_tree import RatchetTree
from parlour.mls.public.types import LeafIndex, LeafNodeSource, NodeIndex
from parlour.primitives.random import Random


@dataclass(frozen=True, slots=True)
class Epoch:
    """The public state, the secrets, and what is ours: the leaf, its keys, the signature key."""

    public: PublicState
    secrets: EpochSecrets
    leaf_index: LeafIndex
    identity: Identity
    keys: PrivateKeys = field(repr=False)
    confirmation_tag: bytes

    @property
    def suite(self) -> CipherSuite:
        """The group's suite."""
        return self.public.suite

    @property
    def context(self) -> GroupContext:
        """What the members agree on."""
        return self.public.group_context

    @property
    def tree(self) -> RatchetTree:
        """The members."""
        return self.public.tree

    @property
    def resumption_psk(self) -> ResumptionPsk:
        """By which later groups can be tied to this epoch (§8.6)."""
        return self.secrets.resumption_psk

    @property
    def epoch_authenticator(self) -> EpochAuthenticator:
        """Equal for all who see the group alike (§8.7)."""
        return self.secrets.epoch_authenticator

    @property
    def own_leaf(self) -> LeafNode:
        """Our leaf node."""
        leaf = self.tree.leaf(self.leaf_index)
        if leaf is None:
            raise UsageError(Code.USAGE_STATE, "not a member")
        return leaf

    def export(self, label: bytes, context: bytes, length: int) -> bytes:
        """MLS-Exporter (§8.5): a secret for the application, the same for all members."""
        return export(self.suite, self.secrets.exporter_secret, label, context, length)

    def group_info(
        self,
        *,
        ratchet_tree: bool = True,
        external_pub: bool = True,
        extensions: Extensions = NO_EXTENSIONS,
    ) -> GroupInfo:
        """This epoch for those who are not in it; with `external_pub` they can join by it."""
        if ratchet_tree:
            extensions = extensions.with_(ratchet_tree_extension(self.tree))
        if external_pub:
            key = external_key_pair(self.suite, self.secrets.external_secret).public_key
            extensions = extensions.with_(external_pub_extension(key.to_bytes()))
        return GroupInfo.sign(
            self.suite,
            self.identity.signer,
            self.context,
            extensions,
            self.confirmation_tag,
            self.leaf_index,
        )


@dataclass(frozen=True, slots=True)
class LastEpoch:
    """What is left of the epoch in which a group ended for us: what is public of it.

    After a ReInit `resumption_psk` is kept for the group that follows, and `epoch_authenticator`
    to compare the end; after our removal neither. No message can be read by them.
    """

    public: PublicState
    leaf_index: LeafIndex
    resumption_psk: ResumptionPsk | None = None
    epoch_authenticator: EpochAuthenticator | None = None


class NextEpoch:
    """The epoch that a commit leads to, and its message keys, until it is merged or given up.

    Then the group has them, or nobody: who keeps the result of a commit keeps no secret (§9.2).
    """

    __slots__ = ("_held",)

    def __init__(self, epoch: Epoch, secret_tree: SecretTree) -> None:
        self._held: tuple[Epoch, SecretTree] | None = (epoch, secret_tree)

    def look(self) -> tuple[Epoch, SecretTree]:
        """Both, as long as they are here."""
        if self._held is None:
            raise UsageError(Code.USAGE_STATE, "the commit was merged, or given up")
        return self._held

    def take(self) -> tuple[Epoch, SecretTree]:
        """Both, which are not here any more then."""
        held = self.look()
        self.forget()
        return held

    def forget(self) -> None:
        """Erase them."""
        self._held = None

    def __repr__(self) -> str:
        return "NextEpoch([secret])"


@dataclass(frozen=True, slots=True)
class PastEpoch:
    """What is kept of an epoch for messages that come late: no key but those of messages."""

    context: GroupContext
    tree: RatchetTree
    sender_data_secret: SenderDataSecret
    secret_tree: SecretTree
    ended_at: int


def first_epoch(
    identity: Identity, group_id: bytes, extensions: Extensions, now: int, random: Random
) -> tuple[Epoch, SecretTree]:
    """The group of its creator alone (§11)."""
    suite = identity.suite
    leaf_key = suite.hpke.kem.generate_key_pair(random)
    content = identity.leaf_content(
        leaf_key.public_key.to_bytes(),
        LeafNodeSource.KEY_PACKAGE,
        lifetime=lifetime_from(now),
    )
    tree = RatchetTree.of_one(suite, LeafNode.sign(suite, identity.signer, content))
    context = GroupContext(suite.id, group_id, 0, tree.tree_hash(), b"", extensions)
    secrets, encryption = epoch_secrets(suite, random(suite.hash_size))
    tag = confirmation_tag(suite, secrets.confirmation_key, context)
    public = PublicState(suite, context, tree, interim_transcript_hash(suite, b"", tag))
    epoch = Epoch(public, secrets, LeafIndex(0), identity, {NodeIndex(0): leaf_key}, tag)
    return epoch, SecretTree(suite, tree.leaf_count, encryption)
