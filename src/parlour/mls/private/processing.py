"""Processing somebody else's commit with our secrets.

Spec: RFC 9420 §12.4.2.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from parlour.mls.private.epoch import Epoch, NextEpoch
from parlour.mls.private.identity import Identity
from parlour.mls.private.key_schedule import (
    Schedule,
    confirmation_tag,
    derive_joiner_secret,
    open_init_secret,
)
from parlour.mls.private.psk import PskStore, find_commit_psks
from parlour.mls.private.secret_tree import SecretTree
from parlour.mls.private.secrets import CommitSecret, InitSecret
from parlour.mls.private.treekem import PrivateKeys, current_keys, open_path
from parlour.mls.public.rules import Rule, RuleBroken, require
from parlour.mls.public.staging import StagedPublic
from parlour.mls.public.types import LeafIndex, NodeIndex
from parlour.primitives.hpke import HpkePrivateKey


@dataclass(frozen=True, slots=True)
class OwnUpdate:
    """An Update that we proposed and that nobody committed yet: what belongs to its leaf."""

    leaf_key: HpkePrivateKey = field(repr=False)
    identity: Identity


@dataclass(frozen=True, slots=True)
class StagedCommit:
    """A valid commit that may be looked at before it is merged. `next` is None if it removes us.

    `used` is whose key for handshakes it has used up, if it was private.
    """

    public: StagedPublic
    next: NextEpoch | None
    used: LeafIndex | None = None

    @property
    def removes_us(self) -> bool:
        """Whether we are not a member afterwards."""
        return self.next is None


def process_commit(
    base: Epoch,
    staged: StagedPublic,
    psks: PskStore,
    updates: dict[bytes, OwnUpdate],
    used: LeafIndex | None = None,
) -> StagedCommit:
    """The epoch after a commit that is valid in public."""
    if base.leaf_index in staged.changes.removed:
        return StagedCommit(staged, None, used)
    suite, after = base.suite, staged.state.group_context
    identity, keys = _own_leaf(base, staged, updates)
    keys, commit_secret = _open_path(base, staged, keys)
    psk_secret = find_commit_psks(suite, psks, staged.changes.psks)
    joiner = derive_joiner_secret(suite, _init_secret(base, staged), commit_secret, after)
    secrets, encryption = Schedule.begin(suite, joiner, psk_secret).epoch(after)
    tag = confirmation_tag(suite, secrets.confirmation_key, after)
    # V1234 §12.4.2: "Use the `confirmation_key` for the new epoch to compute the confirmation tag
    # for this message, as described below, and verify that it is the same as the `confirmation_tag`
    # field in the FramedContentAuthData object."
    require(suite.equal(tag, staged.confirmation_tag), Rule.COMMIT_CONFIRMATION_TAG)
    epoch = Epoch(staged.state, secrets, base.leaf_index, identity, keys, tag)
    tree = SecretTree(suite, staged.state.tree.leaf_count, encryption)
    return StagedCommit(staged, NextEpoch(epoch, tree), used)


def _own_leaf(
    base: Epoch, staged: StagedPublic, updates: dict[bytes, OwnUpdate]
) -> tuple[Identity, PrivateKeys]:
    """Our identity and keys once the proposals are applied; an Update of ours may be among them."""
    if base.leaf_index not in staged.changes.updated:
        return base.identity, base.keys
    leaf = staged.state.tree.leaf(base.leaf_index)
    update = updates.get(b"" if leaf is None else leaf.encryption_key)
    if update is None:
        raise RuleBroken(Rule.PATH_DERIVED_KEYS, "an Update in our name whose key we do not have")
    return update.identity, {NodeIndex(2 * base.leaf_index): update.leaf_key}


def _open_path(
    base: Epoch, staged: StagedPublic, keys: PrivateKeys
) -> tuple[PrivateKeys, CommitSecret]:
    suite = base.suite
    if staged.path is None:
        return current_keys(staged.state.tree, keys), CommitSecret(suite.zero)
    opened, commit_secret = open_path(
        suite,
        staged.provisional_context,
        staged.path,
        staged.path_steps,
        staged.changes.added_positions,
        base.leaf_index,
        keys,
    )
    return current_keys(staged.state.tree, {**keys, **opened}), commit_secret


def _init_secret(base: Epoch, staged: StagedPublic) -> InitSecret:
    external = staged.changes.external_init
    if external is None:
        return base.secrets.init_secret
    secret = open_init_secret(base.suite, base.secrets.external_secret, external.kem_output)
    # V1234 §12.4.2: "Use the `confirmation_key` for the new epoch to compute the confirmation tag
    # for this message, as described below, and verify that it is the same as the `confirmation_tag`
    # field in the FramedContentAuthData object."
    if secret is None:
        raise RuleBroken(Rule.COMMIT_CONFIRMATION_TAG, "ExternalInit does not open")
    return secret
