"""The delivery service of groups as a model in memory: one commit per epoch, and the tree.

It follows what is public and checks nothing: whoever is honest makes only what is allowed, and a
test may want the others to get through.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from parlour.conversation.groups.credentials import Certificates
from parlour.errors import Code, error
from parlour.mls.public.credentials import Credential
from parlour.mls.public.group import PublicGroup
from parlour.mls.public.policy import Policy
from parlour.mls.public.staging import StagedPublic
from parlour.mls.public.tree.extension import encode_tree
from parlour.roster.device_signature import FindKey
from parlour.roster.draft import Step, changed, founded
from parlour.roster.entry import RosterEntry
from parlour.roster.genesis import Genesis
from parlour.roster.restart import may_follow
from parlour.roster.roster import Roster
from parlour.wire import groups
from parlour.wire.envelope import SuiteId


class _AnyCertificate(Certificates):
    """Takes every certificate, also one that succeeds another of the same device."""

    def accepts(self, credential: Credential, signature_key: bytes) -> bool:
        """Whoever it names."""
        return True


_POLICY: Final = Policy(
    _AnyCertificate(lambda *_: None), external_commits=True, resync=True, new_member_proposals=True
)


@dataclass(slots=True)
class Followed:
    """One group: where it is, and what was so in each epoch."""

    genesis: bytes
    roster: Roster
    public: PublicGroup
    group_info: bytes
    generation: int = 0
    seq: int = 0
    epochs: dict[tuple[int, int], groups.GroupState] = field(default_factory=dict)
    commits: dict[tuple[int, int], int] = field(default_factory=dict)

    @property
    def epoch(self) -> int:
        """The current epoch."""
        return self.public.state.group_context.epoch

    @property
    def accounts(self) -> set[bytes]:
        """Everybody on the roster."""
        return set(self.roster.state.members)


class MemoryGroups:
    """The groups of a `MemoryServer`."""

    def __init__(self, find_key: FindKey) -> None:
        self.find_key = find_key
        self.groups: dict[bytes, Followed] = {}

    def create(self, body: groups.CreateGroup, now: int) -> bool:
        """Found one; whether it is new."""
        if body.stream in self.groups:
            return False
        public = PublicGroup.follow(body.group_info, now // 1000, _POLICY, body.tree)
        genesis, entry = Genesis.decode(body.genesis), RosterEntry.decode(body.roster)
        step = Step(entry.signer_account, entry.signer_device, 0, entry.at, self.find_key)
        roster = Roster(genesis, founded(genesis, entry.changes, step), entry)
        self.groups[body.stream] = Followed(body.genesis, roster, public, body.group_info)
        self._note(body.stream)
        return True

    def _note(self, stream: bytes) -> None:
        group = self.groups[stream]
        group.epochs[group.generation, group.epoch] = groups.GroupState(
            stream=stream,
            genesis=group.genesis,
            generation=group.generation,
            epoch=group.epoch,
            seq=group.seq,
            group_info=group.group_info,
            tree=encode_tree(group.public.state.tree),
            roster_state=group.roster.state.encode(),
            roster_head=group.roster.head.encode(),
        )

    def read(self, body: groups.ReadGroup) -> groups.GroupState:
        """The public state."""
        group = self.groups.get(body.stream)
        if group is None:
            raise error(Code.GROUP_UNKNOWN)
        if body.epoch is None:
            return group.epochs[group.generation, group.epoch]
        found = group.epochs.get((body.generation or 0, body.epoch))
        if found is None:
            raise error(Code.GROUP_EPOCH_GONE)
        return found

    def is_current(self, body: groups.Handshake) -> bool:
        """Whether a handshake is for the epoch that is."""
        group = self.groups[body.stream]
        return (group.generation, group.epoch) == (body.generation, body.epoch)

    def follow(self, body: groups.Handshake, seq: int, now: int) -> tuple[set[bytes], set[bytes]]:
        """Take a handshake that won; the accounts before and after it."""
        group = self.groups[body.stream]
        before = group.accounts
        if body.envelope.suite == SuiteId.MLS_PROPOSAL:
            proposal = groups.decode_body(body.envelope.body, groups.ProposalBody)
            after = group.public.receive(proposal.proposal, now // 1000)
            if isinstance(after, PublicGroup):
                group.public = after
            return before, before
        commit = groups.decode_body(body.envelope.body, groups.CommitBody)
        staged = group.public.receive(commit.commit, now // 1000)
        if not isinstance(staged, StagedPublic):
            raise error(Code.GROUP_INVALID)
        group.commits[group.generation, group.epoch] = seq
        group.public = group.public.merge(staged)
        for data in commit.roster:
            group.roster = self._extended(group.roster, data)
        group.group_info, group.seq = body.group_info, seq
        self._note(body.stream)
        return before, group.accounts

    def _extended(self, roster: Roster, data: bytes) -> Roster:
        entry = RosterEntry.decode(data)
        step = Step(
            entry.signer_account, entry.signer_device, entry.number, entry.at, self.find_key
        )
        return Roster(roster.genesis, changed(roster.state, entry.changes, step), entry)

    def restart(self, body: groups.RestartGroup, seq: int, now: int) -> bool:
        """Begin again; whether that generation may be the next one."""
        group = self.groups[body.stream]
        if not may_follow(body.generation, group.generation):
            return False
        restart = groups.decode_body(body.envelope.body, groups.RestartBody)
        for data in restart.roster:
            group.roster = self._extended(group.roster, data)
        group.generation, group.seq = body.generation, seq
        group.public = PublicGroup.follow(body.group_info, now // 1000, _POLICY, body.tree)
        group.group_info = body.group_info
        self._note(body.stream)
        return True
