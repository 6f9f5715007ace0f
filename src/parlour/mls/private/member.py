"""What a member keeps of a group from message to message.

The epoch is immutable; this holder says which one is current, and what is under way beside it.

Spec: RFC 9420 §9.2 (deletion), §14 (sequencing), §15.3 (late messages).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from parlour.errors import Code, UsageError
from parlour.mls.private.epoch import Epoch, PastEpoch
from parlour.mls.private.events import PendingCommit
from parlour.mls.private.limits import MAX_PAST_EPOCHS, PAST_EPOCH_AGE
from parlour.mls.private.processing import OwnUpdate
from parlour.mls.private.psk import PskStore
from parlour.mls.private.secret_tree import SecretTree
from parlour.mls.public.policy import Policy
from parlour.mls.public.proposals import ReInit
from parlour.mls.public.rules import Rule, require
from parlour.mls.public.state import ProposalStore


@dataclass(slots=True)
class Member:
    """The current epoch with its message keys, late ones, and what waits for a commit.

    `psks` belongs to the application; the resumption keys of this group are put into it.
    """

    epoch: Epoch
    secret_tree: SecretTree
    policy: Policy
    psks: PskStore = field(default_factory=PskStore)
    past: tuple[PastEpoch, ...] = ()
    proposals: ProposalStore = field(default_factory=ProposalStore)
    updates: dict[bytes, OwnUpdate] = field(default_factory=dict, repr=False)
    pending: PendingCommit | None = None
    reinit: ReInit | None = None
    removed: bool = False

    def __post_init__(self) -> None:
        self._remember_resumption()

    def _remember_resumption(self) -> None:
        context = self.epoch.context
        psk = self.epoch.secrets.resumption_psk
        self.psks.add_resumption(context.group_id, context.epoch, psk)

    def check_active(self) -> None:
        """That we are a member, of a group that goes on."""
        if self.removed:
            raise UsageError(Code.USAGE_STATE, "this client was removed from the group")
        # V1238 §12.4.2: "If the Commit included a ReInit proposal, the client MUST NOT use the
        # group to send messages anymore."
        require(self.reinit is None, Rule.GROUP_CLOSED)

    def advance(
        self, epoch: Epoch | None, secret_tree: SecretTree | None, reinit: ReInit | None, now: int
    ) -> None:
        """Go on to the next epoch; without one we were removed."""
        self.secret_tree.retire(self.epoch.leaf_index)
        old = PastEpoch(
            self.epoch.context,
            self.epoch.tree,
            self.epoch.secrets.sender_data_secret,
            self.secret_tree,
            now,
        )
        self.past = (*self.past, old)
        self.expire(now)
        self.proposals, self.updates, self.pending = ProposalStore(), {}, None
        if epoch is None or secret_tree is None:
            self.removed = True
            return
        self.epoch, self.secret_tree, self.reinit = epoch, secret_tree, reinit
        self._remember_resumption()

    def fresh(self, now: int) -> tuple[PastEpoch, ...]:
        """The past epochs that are neither too many nor too old."""
        fresh = (past for past in self.past if now - past.ended_at <= PAST_EPOCH_AGE)
        return tuple(fresh)[-MAX_PAST_EPOCHS:]

    def expire(self, now: int) -> None:
        """Drop the others."""
        self.past = self.fresh(now)
