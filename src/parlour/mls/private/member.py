"""What a member keeps of a group from message to message.

The epoch is immutable; this holder says which one is current, and what is under way beside it.

Spec: RFC 9420 §9.2 (deletion), §14 (sequencing), §15.3 (late messages).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from parlour.errors import Code, UsageError
from parlour.mls.private.epoch import Epoch, LastEpoch, NextEpoch, PastEpoch
from parlour.mls.private.events import PendingCommit
from parlour.mls.private.limits import MAX_PAST_EPOCHS, PAST_EPOCH_AGE
from parlour.mls.private.processing import OwnUpdate
from parlour.mls.private.psk import PskStore
from parlour.mls.private.secret_tree import SecretTree
from parlour.mls.public.changes import Changes
from parlour.mls.public.policy import Policy
from parlour.mls.public.proposals import ReInit
from parlour.mls.public.rules import Rule, require
from parlour.mls.public.sharing import SharedStages
from parlour.mls.public.state import ProposalStore, PublicState
from parlour.mls.public.types import LeafIndex


@dataclass(slots=True)
class Member:
    """The current epoch with its message keys, late ones, and what waits for a commit.

    `state` is the epoch, or what is left of it when the group has ended for us. `psks` belongs to
    the application; the resumption keys of this group are put into it. `shared` is what members in
    one process share, if they do.
    """

    state: Epoch | LastEpoch
    secret_tree: SecretTree
    policy: Policy
    psks: PskStore = field(default_factory=PskStore)
    past: tuple[PastEpoch, ...] = ()
    proposals: ProposalStore = field(default_factory=ProposalStore)
    updates: dict[bytes, OwnUpdate] = field(default_factory=dict, repr=False)
    pending: PendingCommit | None = None
    reinit: ReInit | None = None
    removed: bool = False
    shared: SharedStages | None = None

    def __post_init__(self) -> None:
        self._remember_resumption()

    def _remember_resumption(self) -> None:
        context, psk = self.public.group_context, self.state.resumption_psk
        if psk is not None:
            self.psks.add_resumption(context.group_id, context.epoch, psk)

    def share(self, shared: SharedStages | None) -> None:
        """Share what is public with other members, from now on."""
        self.shared = shared
        if shared is not None:
            public = shared.keep_state(self.public, self.policy)
            self.state = replace(self.state, public=public)

    @property
    def public(self) -> PublicState:
        """What is public of the current epoch, or of the last."""
        return self.state.public

    @property
    def epoch(self) -> Epoch:
        """The current epoch, if the group has not ended for us."""
        if isinstance(self.state, LastEpoch):
            raise UsageError(Code.USAGE_STATE, "the group has ended for this client")
        return self.state

    def check_active(self) -> None:
        """That we are a member, of a group that goes on."""
        if self.removed:
            raise UsageError(Code.USAGE_STATE, "this client was removed from the group")
        # V1238 §12.4.2: "If the Commit included a ReInit proposal, the client MUST NOT use the
        # group to send messages anymore."
        require(self.reinit is None, Rule.GROUP_CLOSED)

    def advance(
        self,
        after: NextEpoch | None,
        changes: Changes,
        now: int,
        used: LeafIndex | None = None,
    ) -> None:
        """Go on to the next epoch; without one we were removed.

        `used` is whose key for handshakes the commit has used up, if it was private.
        """
        current = self.epoch
        entered = None if after is None else after.take()
        self.secret_tree.retire(current.leaf_index, *(() if used is None else (used,)))
        secret = current.secrets.sender_data_secret
        old = PastEpoch(current.context, current.tree, secret, self.secret_tree, now)
        self.past = (*self.past, old)
        self.expire(now)
        self.proposals, self.updates = ProposalStore(), {}
        self.clear_pending()
        if entered is None:
            self.removed = True
            self._end(LastEpoch(current.public, current.leaf_index))
            return
        self.state, self.secret_tree = entered
        self.share(self.shared)
        self.reinit = changes.reinit
        self._remember_resumption()
        if self.reinit is not None:
            last = self.state
            left = (last.resumption_psk, last.epoch_authenticator)
            self._end(LastEpoch(last.public, last.leaf_index, *left))

    def _end(self, last: LastEpoch) -> None:
        """Erase the secrets of the current epoch: there is nothing left to say in it (§12.4.2)."""
        tree = self.public.tree
        self.state = last
        self.secret_tree = SecretTree(tree.suite, tree.leaf_count, None)

    def clear_pending(self) -> None:
        """Give up our own commit, or what is left of it."""
        if self.pending is not None:
            self.pending.next.forget()
            self.pending = None

    def fresh(self, now: int) -> tuple[PastEpoch, ...]:
        """The past epochs that are neither too many nor too old.

        One that ended in the future, by a clock that was fast, ended now; if that is further away
        than an epoch is kept, nobody knows when it ended, and it is dropped.
        """
        near = [p for p in self.past if abs(now - p.ended_at) <= PAST_EPOCH_AGE]
        fresh = (p if p.ended_at <= now else replace(p, ended_at=now) for p in near)
        return tuple(fresh)[-MAX_PAST_EPOCHS:]

    def expire(self, now: int) -> None:
        """Drop the others."""
        self.past = self.fresh(now)
