"""A group as its member's application holds it.

Spec: RFC 9420 §11, §12, §15.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self

from parlour.errors import Code, DecodeError, UsageError
from parlour.mls.private.committing import (
    DEFAULT_OPTIONS,
    CommitOptions,
    NewCommit,
    Setting,
)
from parlour.mls.private.epoch import Epoch, NextEpoch, first_epoch
from parlour.mls.private.events import ApplicationMessage, PendingCommit, Received
from parlour.mls.private.external import ExternalJoin, join_by_commit
from parlour.mls.private.identity import Identity, KeyPackageBundle
from parlour.mls.private.joining import Origin, WelcomeJoin, join_by_welcome
from parlour.mls.private.member import Member
from parlour.mls.private.processing import StagedCommit
from parlour.mls.private.psk import PskStore, with_fresh_nonce
from parlour.mls.private.receiving import receive_application, receive_message
from parlour.mls.private.secrets import EpochAuthenticator
from parlour.mls.private.selection import make_best_commit
from parlour.mls.private.sending import make_update, protect, send_application, send_proposal
from parlour.mls.private.welcoming import make_welcome, open_welcome
from parlour.mls.public.changes import make_validator
from parlour.mls.public.extensions import NO_EXTENSIONS, Extensions
from parlour.mls.public.framing.messages import (
    GroupInfoMessage,
    MessageBody,
    PrivateMessage,
    PublicMessage,
    decode_message,
    encode_message,
)
from parlour.mls.public.group_context import GroupContext
from parlour.mls.public.group_info import GroupInfo
from parlour.mls.public.key_package import KeyPackage
from parlour.mls.public.leaf_node import LeafNode
from parlour.mls.public.limits import MAX_GROUP_ID
from parlour.mls.public.policy import Policy
from parlour.mls.public.proposals import Add, Proposal, Remove
from parlour.mls.public.sharing import SharedStages
from parlour.mls.public.state import SentProposal
from parlour.mls.public.tree.extension import encode_tree
from parlour.mls.public.types import ContentType, LeafIndex, WireFormat
from parlour.mls.public.validation.proposals import check_group_extensions
from parlour.mls.public.validation.signatures import Run
from parlour.mls.public.validation.tree import check_tree
from parlour.mls.public.welcome import Welcome
from parlour.primitives.random import Random, system_random


def _group_info(commit: NewCommit, wanted: bool) -> bytes | None:
    if not wanted:
        return None
    return encode_message(GroupInfoMessage(commit.epoch.group_info(ratchet_tree=False)))


def _welcome(commit: NewCommit, options: CommitOptions, random: Random) -> Welcome:
    # The GroupInfo may be large; nothing of it is kept here.
    return make_welcome(
        commit,
        commit.epoch.group_info(
            ratchet_tree=options.ratchet_tree, external_pub=options.external_pub
        ).encoded,
        random,
    )


class Group:
    """One group, as one member sees it.

    Times are seconds since the epoch. `run` may be the `map` of an executor: it verifies many
    signatures at once. Store `dump_group(group)` before a message leaves.
    """

    __slots__ = ("_member",)

    def __init__(self, member: Member) -> None:
        self._member = member

    # --- Beginnings ---

    @classmethod
    def create(
        cls,
        identity: Identity,
        group_id: bytes,
        now: int,
        *,
        policy: Policy,
        extensions: Extensions = NO_EXTENSIONS,
        psks: PskStore | None = None,
        random: Random = system_random,
    ) -> Self:
        """A group of its creator alone (§11), which has to be valid as any other."""
        if len(group_id) > MAX_GROUP_ID:
            raise UsageError(Code.USAGE_INVALID, f"a group_id of more than {MAX_GROUP_ID} bytes")
        epoch, tree = first_epoch(identity, group_id, extensions, now, random)
        validator = make_validator(epoch.public, policy, now, sending=True)
        check_group_extensions(validator, extensions)
        check_tree(epoch.tree, validator)
        return cls(Member(epoch, tree, policy, psks or PskStore()))

    @classmethod
    def join(
        cls,
        welcome: bytes | Welcome,
        bundles: Iterable[KeyPackageBundle],
        now: int,
        join: WelcomeJoin,
        *,
        run: Run = map,
    ) -> tuple[Self, KeyPackageBundle]:
        """Join by a Welcome to one of `bundles`: the group, and the bundle that was used.

        Erase that bundle, and keep the group, before anything else is done: whoever comes by its
        keys reads the Welcome again (§16.8). One that is a last resort is to be replaced.
        """
        message = decode_message(welcome) if isinstance(welcome, bytes) else welcome
        if not isinstance(message, Welcome):
            raise DecodeError(Code.DECODE_MALFORMED, "not a Welcome")
        opened = open_welcome(message, tuple(bundles), join.psks)
        epoch, tree = join_by_welcome(opened, join, now, run)
        group = cls(Member(epoch, tree, join.policy, join.psks))
        group.share(join.shared)
        return group, opened.bundle

    @classmethod
    def join_external(
        cls,
        group_info: bytes | GroupInfo,
        identity: Identity,
        now: int,
        join: ExternalJoin,
        *,
        run: Run = map,
        random: Random = system_random,
    ) -> PendingJoin:
        """Join by a commit of our own, which is sent, and confirmed when it has won.

        If another commit wins, throw it away and begin again with a newer GroupInfo.
        """
        if isinstance(group_info, bytes):
            message = decode_message(group_info)
            if not isinstance(message, GroupInfoMessage):
                raise DecodeError(Code.DECODE_MALFORMED, "not a GroupInfo")
            group_info = message.group_info
        new = join_by_commit(group_info, identity, join, Setting(now, random, run))
        commit = PublicMessage(new.authenticated.content, new.authenticated.auth)
        info = _group_info(new, join.group_info)
        after = NextEpoch(new.epoch, new.secret_tree)
        return PendingJoin(encode_message(commit), new.epoch.context, after, join, info)

    # --- What it is ---

    @property
    def member(self) -> Member:
        """What is kept, for `storage`."""
        return self._member

    @property
    def current(self) -> Epoch:
        """The current epoch, of an active group. Keep it only as long as you need its secrets."""
        return self._member.epoch

    @property
    def group_id(self) -> bytes:
        """The group's id."""
        return self._member.public.group_context.group_id

    @property
    def epoch(self) -> int:
        """The number of the current epoch."""
        return self._member.public.group_context.epoch

    @property
    def own_leaf(self) -> LeafIndex:
        """Where we stand in the tree."""
        return self._member.state.leaf_index

    @property
    def members(self) -> list[tuple[LeafIndex, LeafNode]]:
        """All members, from the left."""
        return list(self._member.public.tree.members())

    def tree(self) -> bytes:
        """The ratchet tree, encoded as it travels beside a GroupInfo (§12.4.3.3)."""
        return encode_tree(self._member.public.tree)

    @property
    def extensions(self) -> Extensions:
        """The group's extensions."""
        return self._member.public.group_context.extensions

    @property
    def epoch_authenticator(self) -> EpochAuthenticator:
        """Equal for all who see the group alike (§8.7), also when a ReInit has ended it."""
        return self._member.state.epoch_authenticator or self.current.epoch_authenticator

    @property
    def is_active(self) -> bool:
        """Whether we are a member, of a group that goes on."""
        return not self._member.removed and self._member.reinit is None

    @property
    def pending(self) -> PendingCommit | None:
        """Our own commit, if one waits to be accepted."""
        return self._member.pending

    @property
    def proposals(self) -> list[SentProposal]:
        """The proposals that wait for a commit."""
        return list(self._member.proposals)

    def as_origin(self) -> Origin:
        """This group, for the checks of one that replaces it or branches from it."""
        return Origin(self._member.public, self._member.reinit)

    def export(self, label: bytes, context: bytes, length: int) -> bytes:
        """MLS-Exporter (§8.5)."""
        self._member.check_active()
        return self.current.export(label, context, length)

    def group_info(
        self,
        *,
        ratchet_tree: bool = True,
        external_pub: bool = True,
        extensions: Extensions = NO_EXTENSIONS,
    ) -> bytes:
        """A GroupInfo as an MLSMessage: by its `external_pub` others can join (§12.4.3.2)."""
        self._member.check_active()
        info = self.current.group_info(
            ratchet_tree=ratchet_tree, external_pub=external_pub, extensions=extensions
        )
        return encode_message(GroupInfoMessage(info))

    # --- Messages ---

    def encrypt(
        self,
        data: bytes,
        authenticated_data: bytes = b"",
        *,
        pad_to: int = 1,
        random: Random = system_random,
    ) -> bytes:
        """A private message; padded with zeros so that content and signature fill `pad_to`."""
        return send_application(self._member, data, authenticated_data, pad_to, random)

    def precompute(self, keys: int) -> None:
        """Make the keys of the next `keys` messages of ours now, in idle time."""
        self._member.secret_tree.precompute(self.own_leaf, keys)

    def receive(self, message: bytes | MessageBody, now: int, run: Run = map) -> Received:
        """Verify a message to this group. A commit is staged: look at it, then `merge` it."""
        if isinstance(message, bytes):
            shared = self._member.shared
            message = decode_message(message) if shared is None else shared.decode(message)
        return receive_message(self._member, message, now, run)

    def process(self, message: bytes | MessageBody, now: int, run: Run = map) -> Received:
        """`receive`, and `merge` if it is a commit: for who has no say in what others commit."""
        received = self.receive(message, now, run)
        if isinstance(received, StagedCommit | PendingCommit):
            self.merge(received, now)
        return received

    def decrypt(self, message: bytes, now: int) -> ApplicationMessage:
        """`receive` for who expects application data and nothing else."""
        body = decode_message(message)
        if isinstance(body, PrivateMessage) and body.content_type is ContentType.APPLICATION:
            return receive_application(self._member, body, now)
        raise DecodeError(Code.DECODE_MALFORMED, "not application data")

    # --- Proposals ---

    def propose(
        self,
        proposal: Proposal,
        now: int,
        *,
        authenticated_data: bytes = b"",
        wire_format: WireFormat = WireFormat.PUBLIC_MESSAGE,
        random: Random = system_random,
    ) -> bytes:
        """Ask for a change; somebody has to commit it. A key is proposed under a fresh nonce."""
        proposal = with_fresh_nonce(proposal, self._member.public.suite, random)
        return send_proposal(self._member, proposal, authenticated_data, wire_format, now, random)

    def propose_update(
        self,
        now: int,
        identity: Identity | None = None,
        *,
        wire_format: WireFormat = WireFormat.PUBLIC_MESSAGE,
        random: Random = system_random,
    ) -> bytes:
        """Ask for a fresh leaf of ours, perhaps with another signature key or credential."""
        self._member.check_active()
        update, own = make_update(self._member, identity, random)
        message = self.propose(update, now, wire_format=wire_format, random=random)
        self._member.updates[update.leaf_node.encryption_key] = own
        return message

    # --- Commits ---

    def commit(
        self,
        now: int,
        *,
        adds: Iterable[KeyPackage] = (),
        removes: Iterable[LeafIndex] = (),
        proposals: Sequence[Proposal] = (),
        options: CommitOptions = DEFAULT_OPTIONS,
        run: Run = map,
        random: Random = system_random,
    ) -> PendingCommit:
        """Commit changes of our own, and what others proposed, as far as a commit can cover it.

        Without arguments it refreshes our keys, and whatever others proposed goes with it: look at
        `proposals` first, and at `left_out` of the result. What we ask for ourselves is covered or
        raises; keys are injected under fresh nonces. The group stays as it is until the result is
        merged.
        """
        member = self._member
        member.check_active()
        if member.pending is not None:
            raise UsageError(Code.USAGE_STATE, "a commit is pending; merge or clear it first")
        if options.link is not None and self.epoch > 0:
            raise UsageError(Code.USAGE_STATE, "only the first commit of a group continues another")
        injected = [with_fresh_nonce(p, self.current.suite, random) for p in proposals]
        new, left_out = make_best_commit(
            self.current,
            member.policy,
            member.psks,
            member.proposals,
            (*map(Add, adds), *map(Remove, removes), *injected),
            options,
            Setting(now, random, run),
        )
        welcome = None
        if new.changes.added:
            welcome = encode_message(_welcome(new, options, random))
        commit = protect(member, new.authenticated, 0, random)
        after = NextEpoch(new.epoch, new.secret_tree)
        info = _group_info(new, options.group_info)
        member.pending = PendingCommit(commit, welcome, new.changes, after, left_out, info)
        return member.pending

    def merge(self, staged: StagedCommit | PendingCommit, now: int) -> None:
        """Go on to the epoch that a commit leads to; its secrets are in the group alone then."""
        member = self._member
        member.check_active()
        if isinstance(staged, PendingCommit):
            if staged is not member.pending:
                raise UsageError(Code.USAGE_STATE, "the commit is not pending any more")
            member.advance(staged.next, staged.changes, now)
            return
        staged.public.check_base(member.public)
        member.advance(staged.next, staged.public.changes, now, staged.used)

    def clear_pending(self) -> None:
        """Give up our own commit: another one won."""
        self._member.clear_pending()

    def share(self, shared: SharedStages | None) -> None:
        """Share what is public with other members in this process; see `SharedStages`."""
        self._member.share(shared)

    def expire(self, now: int) -> None:
        """Drop what is kept for late messages and has become too old."""
        self._member.expire(now)

    def __repr__(self) -> str:
        return f"Group({self.group_id.hex()}, epoch={self.epoch}, leaf={self.own_leaf})"


class PendingJoin:
    """A commit by which we join, as long as nobody knows whether it wins.

    `commit` is an MLSMessage, and so is `group_info`, for who joins after us. There is no group
    before the commit has won: what is encrypted for an epoch that never comes is lost, and a resync
    that fails leaves the former leaf in place.
    """

    __slots__ = ("_context", "_join", "_next", "commit", "group_info")

    def __init__(
        self,
        commit: bytes,
        context: GroupContext,
        after: NextEpoch,
        join: ExternalJoin,
        group_info: bytes | None,
    ) -> None:
        self.commit = commit
        self.group_info = group_info
        self._context = context
        self._next = after
        self._join = join

    def confirm(self, winner: bytes) -> Group:
        """The group, once the delivery service has taken `winner`; a `UsageError` if not ours.

        It is given once: two groups with the same message keys would use each of them twice.
        """
        if winner != self.commit:
            raise UsageError(Code.USAGE_STATE, "another commit won; join again")
        group = Group(Member(*self._next.take(), self._join.policy, self._join.psks))
        group.share(self._join.shared)
        return group

    def __repr__(self) -> str:
        return f"PendingJoin({self._context.group_id.hex()}, epoch={self._context.epoch})"
