"""From an entry of a group's stream to the epoch after it.

Entries are taken in the order of their numbers. One that needs something first (a device list, a
tree) stops those behind it until that is here; it is never passed over. What can't be followed at
all goes to `repairing`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, cast

from msgspec import structs

from parlour.conversation.events import (
    CommitRefused,
    GroupLeft,
    GroupRefused,
)
from parlour.conversation.groups.authorising import Authorising, check_entries, stored_at
from parlour.conversation.groups.branches import elsewhere
from parlour.conversation.groups.chat import Chat
from parlour.conversation.groups.credentials import owner_of
from parlour.conversation.groups.joining import Joining
from parlour.conversation.groups.ladder import Ladder
from parlour.conversation.groups.lists import Lists, Wanting
from parlour.conversation.groups.memory import GroupMemory
from parlour.conversation.groups.messages import Messages
from parlour.conversation.groups.records import Acceptance, GroupState, Want
from parlour.conversation.groups.renewing import Renewing
from parlour.conversation.groups.restarting import Restarting
from parlour.conversation.groups.telling import change_event, device_events
from parlour.conversation.state import Memory
from parlour.errors import Code, ParlourError, error
from parlour.mls.private.events import PendingCommit, ReceivedProposal
from parlour.mls.private.processing import StagedCommit
from parlour.mls.public.commit import Commit
from parlour.mls.public.framing.messages import PublicMessage, decode_message
from parlour.mls.public.group import PublicGroup
from parlour.mls.public.leaf_node import LeafNode
from parlour.mls.public.proposals import Add, Remove
from parlour.mls.public.rules import Rule, RuleBroken
from parlour.mls.public.staging import StagedPublic
from parlour.primitives.hashes import equal
from parlour.roster.changes import (
    Left,
    decode_change,
)
from parlour.roster.entry import RosterEntry
from parlour.roster.roster import Roster
from parlour.wire.envelope import SuiteId
from parlour.wire.frames import decode_body as decode_request
from parlour.wire.groups import CommitBody, Handshake, ProposalBody, RestartBody, decode_body
from parlour.wire.streams import Entry

# The number of the entry with which somebody went who is still there when we go.
NEVER: Final = (1 << 63) - 1
# So many statements of those who want out are kept: a roster's worth is entered by one commit, and
# whoever is passed over says it again.
MAX_LEAVING: Final = 256
# What breaks by the tags of a message, which its signature does not cover (RFC 9420 §6.1): a server
# can change the one, and the other as well by the keys that any member has.
UNSIGNED: Final = frozenset({Rule.MEMBERSHIP_TAG, Rule.COMMIT_CONFIRMATION_TAG})


class Following:
    """Takes the entries of groups."""

    def __init__(
        self,
        memory: Memory,
        lists: Lists,
        joining: Joining,
        messages: Messages,
        ladder: Ladder,
        restarting: Restarting,
        renewing: Renewing,
    ) -> None:
        self._memory = memory
        self._groups: GroupMemory = memory.groups
        self._lists = lists
        self._authorising = Authorising(lists)
        self._joining = joining
        self._messages = messages
        self._ladder = ladder
        self._restarting = restarting
        self._renewing = renewing

    def handle(self, chat: Chat, entry: Entry, now: int) -> bool:
        """Take an entry whose turn it is; False if it has to wait for something."""
        if chat.is_left and not self._was_for_us(chat, entry):
            return True
        try:
            match entry.envelope.suite:
                case SuiteId.MLS_MESSAGE:
                    return self._messages.take(chat, entry, now)
                case SuiteId.MLS_COMMIT:
                    return self._commit(chat, entry, now)
                case SuiteId.MLS_PROPOSAL:
                    return self._proposal(chat, entry, now)
                case SuiteId.MLS_RESTART:
                    return self._restart(chat, entry, now)
                case _:
                    self._messages.unknown(chat, entry, now)
                    return True
        except Wanting as wanting:
            self._lists.want(wanting.accounts)
            return False

    def _was_for_us(self, chat: Chat, entry: Entry) -> bool:
        """Whether it was said while we were in the group, and came late: it is asked for again."""
        return (
            entry.envelope.suite == SuiteId.MLS_MESSAGE
            and entry.seq < chat.record.followed_seq
            and chat.record.acceptance is Acceptance.ACCEPTED
        )

    def give_up(self, chat: Chat, entry: Entry, now: int) -> None:
        """Go on without an entry whose needs were never met."""
        if entry.envelope.suite == SuiteId.MLS_MESSAGE:
            self._messages.unlisted(chat, entry, now)
            return
        self._refuse(chat, entry, error(Code.DEVICE_UNKNOWN, "no device list"), now)
        if not chat.is_active and entry.part is not None:
            self._ladder.unwelcome(chat, entry, now)

    def stumbled(self, chat: Chat, entry: Entry, problem: ParlourError, now: int) -> None:
        """Go on without an entry that can't be handled at all; it stops nothing but this group."""
        self._memory.count("group.failed")
        if entry.envelope.suite == SuiteId.MLS_MESSAGE:
            self._messages.unknown(chat, entry, now)
        else:
            self._refuse(chat, entry, problem, now)

    # --- Commits -------------------------------------------------------------------------

    def _commit(self, chat: Chat, entry: Entry, now: int) -> bool:
        record = chat.record
        try:
            body = decode_body(entry.envelope.body, CommitBody)
        except ParlourError as problem:
            self._refuse(chat, entry, problem, now)
            return True
        if body.generation < record.generation:
            return True
        if not chat.is_active:
            return self._come_in(chat, entry, body, now)
        if body.generation > record.generation:
            self._ladder.lost(chat, entry, now)
            return self._joining.offer(chat, entry, body, now)
        group = chat.live()
        try:
            message = self._public_commit(body)
            epoch = message.content.epoch
        except ParlourError as problem:
            self._refuse(chat, entry, problem, now)
            return True
        if epoch < group.epoch:
            # Won long ago, and comes again after the server's data was restored; or under a number
            # that is new to us, and in the place of one that we followed.
            if entry.seq > record.followed_seq:
                self._ladder.doubt(chat)
            return True
        if epoch > group.epoch:
            self._ladder.lost(chat, entry, now)
            return self._joining.offer(chat, entry, body, now)
        ours = self._ours(chat, entry, body)
        if ours is not None:
            sent, pending = ours
            roster = self._authorising.extended(chat, sent.roster)
            return self._merge(chat, entry, sent, roster, pending, now)
        return self._others(chat, entry, body, message, now)

    def _public_commit(self, body: CommitBody) -> PublicMessage:
        """The message of a commit; raises for anything else, which would count as received."""
        message = self._groups.decode(body.commit)
        if not isinstance(message, PublicMessage) or not isinstance(message.content.body, Commit):
            raise error(Code.GROUP_COMMIT_REFUSED, "no public commit")
        return message

    def _others(
        self, chat: Chat, entry: Entry, body: CommitBody, message: PublicMessage, now: int
    ) -> bool:
        group = chat.live()
        reading = False
        try:
            # What may have to be waited for comes before what costs something.
            self._lists.find_leaf_keys(_leaves_in(message))
            roster = self._authorising.extended(chat, body.roster)
            reading = True
            staged = cast(StagedCommit, group.receive(message, now // 1000))
            reading = False
            check_entries(message, body.roster)
            # The server says when; it makes nobody idle by a time that is far ahead of ours.
            dated = structs.replace(entry, stored_at=stored_at(entry, now))
            self._authorising.check(chat, staged.public, roster, dated, body.wishes)
        except ParlourError as problem:
            certain = reading and not _may_be_changed(problem)
            culprit = self._culprit(chat, entry, message, now) if certain else b""
            self._refuse(chat, entry, problem, now, culprit)
            return True
        return self._merge(chat, entry, body, roster, staged, now)

    def _culprit(self, chat: Chat, entry: Entry, message: PublicMessage, now: int) -> bytes:
        """Who made a commit that is right in public and can't be read in private; or nobody.

        What fails in public may have been changed by the server, which must not have us put out
        whom it likes; so may what fails by what its maker has not signed (`_may_be_changed`).
        """
        member = chat.live().member
        public = PublicGroup(member.public, member.policy, member.proposals)
        try:
            staged = public.receive(message, now // 1000)
        except ParlourError:
            return b""
        owner = owner_of(cast(StagedPublic, staged).committer_leaf)
        return owner.account_id if owner.device_id == entry.sender_device else b""

    def _ours(
        self, chat: Chat, entry: Entry, body: CommitBody
    ) -> tuple[CommitBody, PendingCommit] | None:
        """What we sent ourselves, if this is our commit: the server may have put other entries.

        Our commit binds the epoch to our entries, so everybody who follows it follows them.
        """
        pending, group = chat.record.pending, chat.live()
        if pending is None or group.pending is None:
            return None
        # Whatever the server says of its sender and its id, nobody else has made it.
        if not equal(body.commit, group.pending.commit):
            return None
        request = decode_request(pending.request, Handshake)
        sent = request.envelope.body
        named = (entry.client_id, entry.sender_device) == (
            pending.client_id,
            self._memory.device_id,
        )
        if not named or not equal(sent, entry.envelope.body):
            self._memory.count("commit.changed")
        return decode_body(sent, CommitBody), group.pending

    def _merge(
        self,
        chat: Chat,
        entry: Entry,
        body: CommitBody,
        roster: Roster,
        staged: StagedCommit | PendingCommit,
        now: int,
    ) -> bool:
        group, record = chat.live(), chat.record
        ours = isinstance(staged, PendingCommit)
        changes = staged.changes if isinstance(staged, PendingCommit) else staged.public.changes
        committer = group.own_leaf if ours else staged.public.committer  # type: ignore[union-attr]
        by_link = changes.committer is None and bool(body.roster)
        for event in device_events(chat, changes, entry, roster, self._lists, by_link=by_link):
            self._memory.tell(chat, event)
        group.merge(staged, now // 1000)
        renamed = False
        if ours:
            renamed = self._fulfil(chat)
            chat.losses = chat.attempts = 0
            self._renewing.renewed(chat, now)
        elif record.pending is not None:
            chat.losses += 1
            self._memory.count("commit.lost")
        record.pending = None
        chat.due.clear()
        record.followed_seq = entry.seq
        record.followed_at = max(record.followed_at, stored_at(entry, now))
        chat.remember_entries(body.roster)
        self._take_roster(chat, roster, entry.seq)
        self._tell(chat, entry, body)
        record.reports = {}
        if not group.is_active:
            return self._removed(chat, entry, body, now)
        chat.moved(changes, committer)
        chat.note_wishes(body.wishes, entry.stored_at)
        added = [chat.owners[index].device_id for index, _ in changes.added]
        self._ladder.readded(chat, added, now)
        chat.note_epoch()
        self._groups.put_epoch(chat)
        if body.roster:
            self._groups.put_roster(chat)
        self._messages.reseal(chat)
        self._ladder.followed(chat, now)
        if ours and (changes.added or renamed):
            self._messages.describe(chat, now)
        return True

    def _fulfil(self, chat: Chat) -> bool:
        """What our commit was for has come true; whether that is another name."""
        pending, renamed = chat.record.pending, False
        for intent_id in pending.intents if pending is not None else []:
            intent = self._groups.intents.get(intent_id)
            if intent is not None and intent.want is Want.RENAME:
                chat.record.name, chat.record.salt = intent.name, intent.salt
                renamed = True
            self._groups.fulfilled(intent_id)
        for intent in self._groups.intents_of(chat.id):
            if intent.want is Want.UPDATE:
                self._groups.fulfilled(intent.intent_id)
        return renamed

    def _take_roster(self, chat: Chat, roster: Roster, seq: int) -> None:
        if roster is chat.roster:
            return
        members = roster.state.members
        chat.note_former(chat.since.keys() - members.keys(), seq)
        chat.since = {account: chat.since.get(account, seq) for account in members}
        chat.roster = roster
        chat.record.leaving = [each for each in chat.record.leaving if _leaver(each) in members]

    def _removed(self, chat: Chat, entry: Entry, body: CommitBody, now: int) -> bool:
        """We have no leaf any more: for good, or to come again."""
        chat.group = None
        own = self._memory.account_id
        if chat.known_roster().state.members.get(own) is None:
            self.leave(chat, entry.sender_account)
            return True
        chat.record.state = GroupState.JOINING
        self._groups.put_epoch(chat)
        self._groups.put_roster(chat)
        self._messages.reseal(chat)
        return self._joining.offer(chat, entry, body, now)

    def leave(self, chat: Chat, by: bytes) -> None:
        """We are out of the group; what was said in it stays."""
        self._memory.drop_waiting(chat.id, Code.GROUP_OVER)
        for intent in self._groups.intents_of(chat.id):
            if intent.want not in (Want.LEAVE, Want.UPDATE):
                refused = GroupRefused(chat.id, intent.want.value, Code.GROUP_OVER)
                self._memory.tell(chat, refused)
        if chat.roster is not None:
            # Whoever could not read what we said may still ask for it.
            chat.note_former(chat.since.keys(), NEVER)
        self._groups.forget(chat)
        chat.record.state = GroupState.LEFT
        chat.record.pending = chat.record.trouble = None
        chat.record.letting_go = True
        # If we are let in again, we begin elsewhere.
        conversation = self._memory.conversations[chat.conversation]
        conversation.first = 0
        self._memory.put_conversation(conversation)
        self._groups.put(chat)
        self.let_go(chat)
        self._memory.tell(chat, GroupLeft(chat.id, chat.record.name, by))

    def let_go(self, chat: Chat) -> None:
        """Read the stream of a group that we left no more, once nothing is missing from before."""
        if not chat.record.letting_go:
            # One that is named again is read on: for the Welcome in it.
            return
        conversation = self._memory.conversations[chat.conversation]
        if not conversation.gaps:
            chat.record.letting_go = False
            self._groups.put(chat)
            self._memory.leave_stream(conversation)

    def _refuse(
        self, chat: Chat, entry: Entry, problem: ParlourError, now: int, culprit: bytes = b""
    ) -> None:
        """A commit won that we can't follow; `culprit` has made it, if that is certain."""
        by, why = entry.sender_account, problem.detail or ""
        refused = CommitRefused(chat.id, entry.seq, by, problem.code, why)
        self._memory.tell(chat, refused)
        self._memory.count("commit.refused")
        if chat.is_active:
            self._ladder.broken(chat, entry, problem, culprit, now)

    def _tell(self, chat: Chat, entry: Entry, body: CommitBody) -> None:
        for data in body.roster:
            roster_entry = RosterEntry.decode(data)
            by = roster_entry.signer_account
            for change in roster_entry.changes:
                told = change_event(chat.id, by, change)
                if told is not None:
                    self._memory.tell(chat, told)

    # --- Proposals -----------------------------------------------------------------------

    def _proposal(self, chat: Chat, entry: Entry, now: int) -> bool:
        if not chat.is_active or entry.sender_device == self._memory.device_id:
            return True
        try:
            body = decode_body(entry.envelope.body, ProposalBody)
            if body.generation != chat.record.generation:
                return True
            message = decode_message(body.proposal)
            if not isinstance(message, PublicMessage) or message.content.epoch != chat.epoch:
                return True
            received = chat.live().receive(message, now // 1000)
            if isinstance(received, ReceivedProposal) and isinstance(received.proposal, Remove):
                self._leaves(chat, entry, body.evidence)
        except ParlourError:
            # Nothing has changed by it; who made it sees that nothing comes of it.
            return True
        self._groups.put_state(chat)
        self._groups.put(chat)
        return True

    def _leaves(self, chat: Chat, entry: Entry, evidence: bytes) -> None:
        """Somebody wants out, and has signed for it; however often they say so, it is kept once."""
        statement, account = decode_change(evidence), entry.sender_account
        if isinstance(statement, Left) and statement.account == account:
            others = [each for each in chat.record.leaving if _leaver(each) != account]
            chat.record.leaving = [*others, evidence][:MAX_LEAVING]

    # --- Beginning again -----------------------------------------------------------------

    def _restart(self, chat: Chat, entry: Entry, now: int) -> bool:
        """Somebody began the group again; the first one of a generation counts for all.

        It may be several ahead: what the server has lost, and what we missed, nobody goes back to.
        """
        try:
            body = decode_body(entry.envelope.body, RestartBody)
        except ParlourError as problem:
            self._refuse(chat, entry, problem, now)
            return True
        if body.generation <= chat.record.generation or chat.roster is None:
            return True
        try:
            roster = self._restarting.roster_of(chat, body)
            head = elsewhere(chat, body.roster) if roster is None else None
            if head is not None:
                self._restarting.check(chat, entry, body, head.hash(), over=True)
                self._restarting.gone_over(chat, entry, body, head)
                return True
            roster = roster or self._authorising.extended(chat, body.roster)
            self._restarting.check(chat, entry, body, roster.head_hash)
        except ParlourError as problem:
            if body.generation > chat.record.generation + 1:
                # It may rest on entries of the roster that came with those between.
                self._ladder.lost(chat, entry, now)
                return True
            self._refuse(chat, entry, problem, now)
            return True
        self._restarting.taken(chat, entry, body, roster, now)
        if chat.known_roster().state.members.get(self._memory.account_id) is None:
            self.leave(chat, entry.sender_account)
        return True

    def _come_in(self, chat: Chat, entry: Entry, body: CommitBody, now: int) -> bool:
        """A commit that we can't follow: it may be our own by which we join, or welcome us."""
        if self._joining.confirm(chat, entry, body, now):
            return True
        ahead = body.generation > chat.record.generation
        if chat.has_state and chat.record.state is GroupState.REPAIRING and not ahead:
            try:
                message = self._public_commit(body)
            except ParlourError:
                return True
            if message.content.epoch < chat.epoch:
                return True
            lost_one = chat.record.trouble is not None and not chat.record.trouble.broken
            if message.content.epoch == chat.epoch and lost_one and entry.part is None:
                # What was missing: read again, or the next one after it. One that welcomes us may
                # be of another epoch of the number that we are in, and takes us in all the same.
                return self._others(chat, entry, body, message, now)
        return self._joining.offer(chat, entry, body, now)


def _may_be_changed(problem: ParlourError) -> bool:
    """Whether a commit fails by what its maker has not signed: another may have put that there."""
    return isinstance(problem, RuleBroken) and problem.rule in UNSIGNED


def _leaver(evidence: bytes) -> bytes:
    """Who goes by a statement that was kept."""
    return cast(Left, decode_change(evidence)).account


def _leaves_in(message: PublicMessage) -> Iterator[LeafNode]:
    """The leaves that a commit brings."""
    commit = cast(Commit, message.content.body)
    if commit.path is not None:
        yield commit.path.leaf_node
    for proposal in commit.proposals:
        if isinstance(proposal, Add):
            yield proposal.key_package.leaf_node
