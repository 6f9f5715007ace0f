"""What members of a group in one process need not find out each for itself.

A program may run many members of one group: a test of a thousand of them, a service for the
devices of one owner. What is public and true for all is computed once then, and kept once: decoded
messages, trees, signatures that verified, what a commit leads to. Each member still asks its own
application who is who, compares which proposals it knows, and does all that takes a secret:
membership tags, path secrets, the key schedule, confirmation tags.

Nobody shares anything unless somebody passes one of these around, among members that may know of
each other in which groups they are.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeAlias, TypeVar, cast
from weakref import WeakKeyDictionary

from parlour.mls.public.commit import Commit
from parlour.mls.public.framing.authentication import VerifiedContent
from parlour.mls.public.framing.messages import MessageBody, PublicMessage, decode_message
from parlour.mls.public.group_context import GroupContext
from parlour.mls.public.policy import LifetimeCheck, Policy
from parlour.mls.public.staging import StagedPublic, examine_commit
from parlour.mls.public.state import ProposalStore, PublicState
from parlour.mls.public.tree.branches import encode_branch
from parlour.mls.public.tree.ratchet_tree import RatchetTree
from parlour.mls.public.validation.leaf_nodes import Decision, make_decisions
from parlour.mls.public.validation.signatures import Run, SignatureMemo

# A state holds arrays of 24 bytes for each node, and shares the nodes with those before it.
_MAX_STATES: Final = 32
# Commits of up to some hundred kilobytes; members that are further apart than so many do not share.
_MAX_MESSAGES: Final = 32
# At the end of a message stand its tags: no two begin to be compared whose last bytes differ.
_TAIL: Final = 64

K = TypeVar("K")
V = TypeVar("V")

_Rules: TypeAlias = tuple[object, ...]


class _Recent(Generic[K, V]):
    """The newest entries of a table."""

    __slots__ = ("_entries", "_limit")

    def __init__(self, limit: int) -> None:
        self._entries: OrderedDict[K, V] = OrderedDict()
        self._limit = limit

    def find(self, key: K) -> V | None:
        return self._entries.get(key)

    def keep(self, key: K, value: V) -> None:
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._limit:
            self._entries.popitem(last=False)


@dataclass(frozen=True, slots=True)
class _Stage:
    """A commit that was valid for the first who read it, and what each application has to decide.

    It keeps what it is found by, so that no other object comes to stand at the same address.
    """

    message: PublicMessage
    base: PublicState
    verified: VerifiedContent
    staged: StagedPublic
    decisions: tuple[Decision, ...]


class SharedStages:
    """Passed to the members of one process, by `Group.share` and to those that join."""

    __slots__ = ("_branches", "_messages", "_stages", "_states", "signatures")

    def __init__(self) -> None:
        self._messages: _Recent[bytes, tuple[bytes, MessageBody]] = _Recent(_MAX_MESSAGES)
        self._stages: _Recent[tuple[int, int, _Rules], _Stage] = _Recent(_MAX_MESSAGES)
        self._states: _Recent[tuple[bytes, bytes, _Rules], PublicState] = _Recent(_MAX_STATES)
        self._branches: WeakKeyDictionary[RatchetTree, dict[bytes, bytes | None]]
        self._branches = WeakKeyDictionary()
        self.signatures = SignatureMemo()

    def decode(self, data: bytes) -> MessageBody:
        """Decode a message, or find that it is the same as one of the last."""
        tail = data[-_TAIL:]
        known = self._messages.find(tail)
        if known is not None and known[0] == data:
            return known[1]
        message = decode_message(data)
        if isinstance(message, PublicMessage):
            self._messages.keep(tail, (data, message))
        return message

    # --- States ---

    def find_state(
        self, context: GroupContext, interim: bytes, policy: Policy
    ) -> PublicState | None:
        """The state of this epoch, if a member that goes by the same rules has verified it."""
        rules = _rules_of(policy)
        return None if rules is None else self._states.find((context.encoded, interim, rules))

    def keep_state(self, state: PublicState, policy: Policy) -> PublicState:
        """One object for all who are in this epoch: of a state that a member has verified."""
        rules = _rules_of(policy)
        if rules is None:
            return state
        key = (state.group_context.encoded, state.interim_transcript_hash, rules)
        known = self._states.find(key)
        if known is None:
            self._states.keep(key, state)
        return known or state

    def encode_branches(
        self, tree: RatchetTree, names: AbstractSet[bytes]
    ) -> dict[bytes, bytes | None]:
        """Parts of a tree for the stores of all members: encoded once, and kept once in memory."""
        known = self._branches.setdefault(tree, {})
        for name in names:
            if name not in known:
                known[name] = encode_branch(tree, name)
        return {name: known[name] for name in names}

    # --- Commits ---

    def find_commit(
        self, message: PublicMessage, base: PublicState, store: ProposalStore, policy: Policy
    ) -> StagedPublic | None:
        """What a commit leads to, if another member in the same state has found out.

        What this member's application has to say, or that it misses a proposal, raises as ever.
        """
        stage = self._stages.find((id(message), id(base), _rules_of(policy) or ()))
        if stage is None:
            return None
        content = stage.verified.content
        store.resolve(cast(Commit, content.body), content.sender)
        make_decisions(stage.decisions, policy.credentials)
        return stage.staged

    def stage_commit(
        self,
        message: PublicMessage,
        base: PublicState,
        verified: VerifiedContent,
        store: ProposalStore,
        now: int,
        policy: Policy,
        run: Run = map,
    ) -> StagedPublic:
        """`stage_commit`, for this member and for those after it."""
        staged, validator = examine_commit(base, verified, store, now, policy)
        validator.finish(run)
        rules = _rules_of(policy)
        if rules is not None:
            staged = replace(staged, state=self.keep_state(staged.state, policy))
            stage = _Stage(message, base, verified, staged, tuple(validator.decisions))
            self._stages.keep((id(message), id(base), rules), stage)
        return staged


def _rules_of(policy: Policy) -> _Rules | None:
    """What of a policy decides whether a message is valid; None if that depends on the time."""
    if policy.lifetimes is not LifetimeCheck.NEVER:
        return None
    return (
        policy.max_lifetime,
        policy.listed_suites,
        policy.external_commits,
        policy.resync,
        policy.new_member_proposals,
    )
