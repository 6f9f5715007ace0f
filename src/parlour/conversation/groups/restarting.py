"""Beginning a group again: another generation, which is another MLS group in the same stream.

It is for a winner that nobody can follow, for a server whose data is from a backup, and for a
conversation of a fixed kind whose devices are all lost. An admin, or where none does it in an hour
any member, makes a group of its own alone, under the roster that all know, and everybody else is
added to it at once. The maker signs for it with its device key: no server begins a group again in
the name of somebody else.
"""

from __future__ import annotations

from typing import Final

from msgspec import structs

from parlour.conversation.events import GroupRestarted
from parlour.conversation.groups.authorising import stored_at
from parlour.conversation.groups.branches import branch_of, elsewhere, rules
from parlour.conversation.groups.chat import Chat, mls_group_id
from parlour.conversation.groups.founding import extensions_of
from parlour.conversation.groups.lists import Lists
from parlour.conversation.groups.memory import GroupMemory
from parlour.conversation.groups.messages import Messages
from parlour.conversation.groups.records import (
    Acceptance,
    GroupRecord,
    GroupState,
    Pending,
    Sent,
    Step,
    Trouble,
)
from parlour.conversation.key_packages import KeyPackages
from parlour.conversation.state import Memory
from parlour.errors import Code, error
from parlour.mls.private.group import Group
from parlour.primitives.hashes import equal, sha256
from parlour.roster.carrying import carried_over
from parlour.roster.changes import Removed
from parlour.roster.entry import RosterEntry
from parlour.roster.restart import MAX_GENERATION, may_follow, sign_restart, verify_restart
from parlour.roster.roles import FIXED_KINDS, Right
from parlour.roster.roster import Roster
from parlour.wire.envelope import ENVELOPE_FORMAT, Envelope, SuiteId
from parlour.wire.frames import decode_body as decode_request
from parlour.wire.frames import encode_body as encode_request
from parlour.wire.groups import GroupState as PublicState
from parlour.wire.groups import RestartBody, RestartGroup, decode_body, encode_body
from parlour.wire.ids import ID_SIZE
from parlour.wire.streams import Entry

# Why a group begins again though nobody broke it: the server's data is older than we are.
ROLLBACK: Final = "rollback"
# It is the first admin's after so long (ms), the next ones' each so much later; it is over before
# anybody gives up and comes in by a commit of its own.
RESTART_AFTER: Final = 20_000
RESTART_NEXT: Final = 15_000
# Alone with it, an admin waits so long (ms): the others may be well, and add it again.
RESTART_ALONE: Final = 180_000
# Members who rule nothing do it so much later (ms): no admin may be left who has a device, or they
# are the ones who are lost.
MEMBERS_AFTER: Final = 3_600_000
# The timer of the next one, after the server has told of another in its place.
RESTART: Final = "restart"
# Who began a group again adds everybody at once. If that does not come, it may have been killed, or
# do it to silence the group: so long (ms) after the last devices came, and at most so long after
# the beginning, others begin it once more.
ABANDONED_AFTER: Final = 4 * 60_000
ABANDONED_AT_LAST: Final = 3_600_000
# Why we are not in: nobody has added us (`ladder`).
WAITING: Final = "waiting"
# The newest roster entry of a server whose data is not older than ours.
NOT_BEHIND: Final = 1 << 62


class Restarting:
    """Begins groups again, and takes it when others do."""

    def __init__(
        self, memory: Memory, lists: Lists, key_packages: KeyPackages, messages: Messages
    ) -> None:
        self._memory = memory
        self._groups: GroupMemory = memory.groups
        self._lists = lists
        self._key_packages = key_packages
        self._messages = messages

    # --- When ----------------------------------------------------------------------------

    def due_at(self, chat: Chat, trouble: Trouble) -> int | None:
        """When it would be ours to begin the group again; never, if we may not."""
        if chat.roster is None or _is_under_way(chat, trouble):
            return None
        broken = chat.has_state and (trouble.broken or trouble.reason == ROLLBACK)
        begun_by = chat.record.begun_by
        abandoned = bool(begun_by) and trouble.reason == WAITING
        branch = branch_of(chat, trouble)
        if not (broken or abandoned or branch is not None):
            return None
        state = chat.known_roster().state
        own = self._memory.account_id
        may = [
            account
            for account in state.ordered()
            if account != trouble.culprit and state.may(account, Right.RESTART)
        ]
        if branch is not None:
            may = [each for each in may if rules(state, each) and rules(branch.state, each)]
        if own not in may or chat.record.generation == MAX_GENERATION:
            return None
        if abandoned:
            # Last of all by who left it as it is.
            may.sort(key=lambda account: account == begun_by)
        first = self._first_after(chat, trouble, abandoned=abandoned)
        if chat.genesis.kind not in FIXED_KINDS and not rules(state, own):
            if trouble.broken and not self._others(chat):
                # The others are well, as far as we know, and can add us again.
                return None
            first += MEMBERS_AFTER
        mine = self._memory.contacts[own].device_ids()
        place = mine.index(self._memory.device_id) if self._memory.device_id in mine else 0
        mine_at = trouble.began + first + RESTART_NEXT * (may.index(own) + place)
        return max(mine_at, chat.timers.get(RESTART, 0))

    def _first_after(self, chat: Chat, trouble: Trouble, *, abandoned: bool) -> int:
        """How long (ms) after the trouble began it is the first admin's turn."""
        if branch_of(chat, trouble) is not None:
            # Somebody may still remember what the server needs to go on by our roster.
            return RESTART_ALONE
        if abandoned:
            busy = min(max(chat.welcomed_at - trouble.began, 0), ABANDONED_AT_LAST)
            return min(busy + ABANDONED_AFTER, ABANDONED_AT_LAST)
        return RESTART_AFTER if self._others(chat) or not trouble.broken else RESTART_ALONE

    def _others(self, chat: Chat) -> set[bytes]:
        """Who else can't follow the commit at which we stand."""
        return chat.record.reports.keys() - {self._memory.account_id}

    def is_due(self, chat: Chat, trouble: Trouble, now: int) -> bool:
        """Whether it is."""
        at = self.due_at(chat, trouble)
        return at is not None and now >= at

    # --- Ours ----------------------------------------------------------------------------

    def begin(self, chat: Chat, trouble: Trouble, now: int) -> None:
        """Begin again: a group of ours alone, to which everybody else is added at once."""
        roster, entries = self._roster(chat, trouble, now)
        self._begin(chat, trouble, chat.record.generation + 1, roster, entries, now)

    def _begin(
        self,
        chat: Chat,
        trouble: Trouble,
        generation: int,
        roster: Roster,
        entries: list[bytes],
        now: int,
    ) -> None:
        group = Group.create(
            self._key_packages.identity(chat.genesis.suite, now // 1000),
            mls_group_id(chat.id, generation),
            now // 1000,
            policy=self._groups.policy,
            extensions=extensions_of(roster),
            random=self._memory.random,
        )
        group_info = group.group_info(ratchet_tree=False)
        digest, key = sha256(group_info), self._memory.local.signature_key
        signature = sign_restart(chat.id, generation, digest, roster.head_hash, key)
        body = RestartBody(generation, entries, trouble.reason, digest, signature)
        client_id = self._memory.random(ID_SIZE)
        request = RestartGroup(
            stream=chat.id,
            client_id=client_id,
            generation=generation,
            epoch=trouble.epoch,
            envelope=Envelope(ENVELOPE_FORMAT, SuiteId.MLS_RESTART, b"", encode_body(body)),
            group_info=group_info,
            tree=group.tree(),
        )
        chat.record.pending = Pending(
            Sent.RESTART, client_id, encode_request(request), generation, trouble.epoch
        )
        chat.restarting, chat.restarting_roster = group, roster
        self._groups.put(chat)

    def begin_alone(
        self, chat: Chat, trouble: Trouble, state: PublicState, roster: Roster, now: int
    ) -> None:
        """Begin a conversation of a fixed kind again, as there is nobody who could let us in.

        Its devices may all be lost; everybody in it has the right to begin it again. Whoever of
        them is still there is added like all others. `roster` was verified.
        """
        if chat.record.pending is not None:
            # The server may have it; another one would be that of a stranger to us.
            return
        chat.roster = roster
        self._groups.put_roster(chat)
        self._begin_after(chat, trouble, state, roster, [], now)

    def begin_over(
        self, chat: Chat, trouble: Trouble, state: PublicState, roster: Roster, now: int
    ) -> None:
        """Begin again on the server's branch, which `roster` leads to; it was verified.

        Raises what speaks against it.
        """
        entry = roster.next_entry(
            carried_over(chat.known_roster().state, roster.state),
            self._memory.account_id,
            self._memory.device_id,
            self._memory.local.signature_key,
            now,
            self._lists.find_key,
        )
        after = roster.extend(entry, self._lists.find_key)
        self._begin_after(chat, trouble, state, after, [entry.encode()], now)

    def _begin_after(
        self,
        chat: Chat,
        trouble: Trouble,
        state: PublicState,
        roster: Roster,
        entries: list[bytes],
        now: int,
    ) -> None:
        """Begin the generation after what the server shows, and after all that we know."""
        generation = max(state.generation, chat.record.generation) + 1
        if not may_follow(generation, chat.record.generation):
            raise error(Code.GROUP_WELCOME_REFUSED, "no generation can follow on it")
        at = structs.replace(trouble, epoch=state.epoch)
        self._begin(chat, at, generation, roster, entries, now)

    def _roster(self, chat: Chat, trouble: Trouble, now: int) -> tuple[Roster, list[bytes]]:
        """The roster to begin with, and the entries of it that the server does not have."""
        roster, own = chat.known_roster(), self._memory.account_id
        entries = [
            data for data in chat.recent if RosterEntry.decode(data).number > chat.behind_number
        ]
        if trouble.culprit in (own, b"") or not roster.state.may_remove(own, trouble.culprit):
            return roster, entries
        entry = roster.next_entry(
            [Removed(trouble.culprit)],
            own,
            self._memory.device_id,
            self._memory.local.signature_key,
            now,
            self._lists.find_key,
        )
        return roster.extend(entry, self._lists.find_key), [*entries, entry.encode()]

    # --- Anybody's -----------------------------------------------------------------------

    def check(
        self, chat: Chat, entry: Entry, body: RestartBody, head_hash: bytes, *, over: bool = False
    ) -> None:
        """That somebody who may has signed for this generation; raises `Wanting`.

        `head_hash` is that of the newest entry of the roster with which it begins; `over` if that
        leads another way than ours, for which an admin has to stand.
        """
        state, maker = chat.known_roster().state, entry.sender_account
        if not (rules(state, maker) if over else state.may(maker, Right.RESTART)):
            raise error(Code.GROUP_COMMIT_REFUSED, "a restart by somebody who may not")
        if not may_follow(body.generation, chat.record.generation):
            raise error(Code.GROUP_COMMIT_REFUSED, "a generation that is too far ahead")
        verify_restart(
            chat.id,
            body.generation,
            body.group_info_hash,
            head_hash,
            entry.sender_device,
            self._lists.find_key(entry.sender_account, entry.sender_device),
            body.signature,
        )

    def roster_of(self, chat: Chat, body: RestartBody) -> Roster | None:
        """The roster of a beginning that is ours: on a branch, it does not lead on from the known.

        None for the beginnings of others.
        """
        return chat.restarting_roster if _is_ours(chat, body) else None

    def taken(self, chat: Chat, entry: Entry, body: RestartBody, roster: Roster, now: int) -> None:
        """A new generation begins, ours or another admin's."""
        record = chat.record
        known = chat.known_roster()
        ours = _is_ours(chat, body)
        begun = chat.restarting if ours else None
        needless = chat.is_active and record.trouble is None and not record.reports
        self._leave_behind(chat, entry, body, ours=ours)
        chat.group = begun
        if elsewhere(chat, body.roster) is not None:
            chat.recent = list(body.roster)
            record.roster_number, record.roster_head = roster.number, roster.head_hash
        else:
            chat.remember_entries([data for data in body.roster if data not in chat.recent])
        chat.note_former(chat.since.keys() - roster.state.members.keys(), entry.seq)
        chat.since = {a: chat.since.get(a, entry.seq) for a in roster.state.members}
        chat.roster = roster
        if ours:
            record.joined_at = stored_at(entry, now)
            _came_alone(record, entry)
            chat.note_epoch()
        self._put(chat)
        without = tuple(sorted(known.state.members.keys() - roster.state.members.keys()))
        restarted = GroupRestarted(
            chat.id, entry.sender_account, without, needless=needless and not ours
        )
        self._memory.tell(chat, restarted)

    def gone_over(self, chat: Chat, entry: Entry, body: RestartBody, head: RosterEntry) -> None:
        """An admin whom we know begins again on the server's branch, with its newest entry `head`.

        Who is on that roster, who lets us in says. Ours stays, so that nobody comes back by it who
        we know is out (`Entering`).
        """
        self._leave_behind(chat, entry, body, ours=False)
        chat.group = None
        chat.record.roster_number, chat.record.roster_head = head.number, head.hash()
        self._put(chat)
        self._memory.tell(chat, GroupRestarted(chat.id, entry.sender_account, ()))

    def _leave_behind(self, chat: Chat, entry: Entry, body: RestartBody, *, ours: bool) -> None:
        """What was the group is over; what comes is the generation of `body`."""
        record = chat.record
        record.generation = body.generation
        record.pending = record.trouble = None
        record.reports = {}
        record.followed_seq = entry.seq
        chat.restarting = chat.restarting_roster = chat.branch = None
        chat.behind_number = NOT_BEHIND
        record.state = GroupState.ACTIVE if ours else GroupState.JOINING
        record.begun_by = b"" if ours else entry.sender_account

    def _put(self, chat: Chat) -> None:
        self._messages.reseal(chat)
        self._groups.put_epoch(chat)
        self._groups.put_roster(chat)
        self._memory.count("group.restarted")


def _came_alone(record: GroupRecord, entry: Entry) -> None:
    """We are in for the first time, by beginning again what nobody let us into."""
    if not record.joined_seq:
        record.joined_seq = entry.seq
        record.joined_epoch = (record.generation, 0)
        record.acceptance = Acceptance.ACCEPTED


def _is_under_way(chat: Chat, trouble: Trouble) -> bool:
    """Whether our own beginning is with the server, or another try to come back.

    The server may have let us in by that one. It may also keep the entry back, so that is not
    waited for beyond its rung.
    """
    pending = chat.record.pending
    if pending is None:
        return False
    return pending.what is Sent.RESTART or trouble.step is Step.REJOIN


def _is_ours(chat: Chat, body: RestartBody) -> bool:
    """Whether a beginning is the one that we made, under whatever id the server shows it."""
    pending = chat.record.pending
    if pending is None or pending.what is not Sent.RESTART or chat.restarting is None:
        return False
    sent = decode_request(pending.request, RestartGroup).envelope.body
    return equal(decode_body(sent, RestartBody).group_info_hash, body.group_info_hash)
