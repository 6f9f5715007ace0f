"""How a device that lost its way in a group finds it again, by itself (docs/trust.md).

First it reads again what the server may have left out. Then it asks members to take it out and in
again by one commit, which shows to all. Only when nobody has answered in time it comes in by a
commit of its own, in the place of its former leaf. Where a commit won that nobody can follow, the
first admin in the order of the roster begins the group again without the account that made it; and
where two talk, or one person's devices, so does who finds nobody there to let it in.
Each rung has its time; how often a device may come back by itself is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final, assert_never

from msgspec import structs

from parlour.conversation.content import CommitBroken, ReaddWanted
from parlour.conversation.events import GroupRepaired, GroupRepairing, ServerMisbehaved
from parlour.conversation.groups.authorising import check_wish
from parlour.conversation.groups.branches import BRANCH, Branch, branch_of
from parlour.conversation.groups.chat import Chat
from parlour.conversation.groups.committing import Committing
from parlour.conversation.groups.joining import Joining
from parlour.conversation.groups.lists import Lists, Wanting
from parlour.conversation.groups.memory import GroupMemory
from parlour.conversation.groups.messages import Messages
from parlour.conversation.groups.readding import Readding
from parlour.conversation.groups.records import GroupState, Step, Trouble
from parlour.conversation.groups.restarting import ROLLBACK, WAITING, Restarting
from parlour.conversation.requests import ServerRequest
from parlour.conversation.sending import Sending
from parlour.conversation.state import Memory
from parlour.double_ratchet.identity import DeviceIdentity
from parlour.errors import Code, ParlourError
from parlour.mls.public.framing.messages import GroupInfoMessage, decode_message
from parlour.roster.entry import RosterEntry
from parlour.roster.readding import ReaddWish
from parlour.wire.envelope import SuiteId
from parlour.wire.groups import GroupState as PublicState
from parlour.wire.kinds import Kind
from parlour.wire.limits import MAX_PAGE
from parlour.wire.streams import Entry, Page, Read

REREAD: Final = "reread"
# The server has another epoch of the number that we are in.
FORK: Final = "fork"
_MINUTE: Final = 60_000
# How long (ms) each rung may take before the next one is climbed.
PATIENCE: Final = {Step.FETCH: 10_000, Step.ASK: 2 * _MINUTE, Step.REJOIN: _MINUTE}
# On a mere hint, a stream is read again so often (ms).
REREAD_EVERY: Final = _MINUTE
# A device asks others so often, each time so much later, and so many of them.
ASK_EVERY: Final = 30_000
ASKED: Final = 4
# A device comes back by its own commit at most so often in a day.
MAX_REJOINS: Final = 5
DAY: Final = 24 * 60 * _MINUTE
# What is refused by these lies behind or beside what we know.
_ROLLBACKS: Final = (Code.GROUP_ROLLBACK, Code.ROSTER_ROLLBACK)
# After all that, it is tried again after so long, doubled each time: who can't be helped by those
# who are there is no load for them and for its battery. A new connection begins anew.
PAUSE: Final = 10 * _MINUTE
_MAX_DOUBLINGS: Final = 2


class Ladder:
    """Climbs, for each group that this device lost."""

    def __init__(
        self,
        memory: Memory,
        lists: Lists,
        sending: Sending,
        joining: Joining,
        committing: Committing,
        messages: Messages,
        restarting: Restarting,
    ) -> None:
        self._memory = memory
        self._groups: GroupMemory = memory.groups
        self._lists = lists
        self._sending = sending
        self._joining = joining
        self._committing = committing
        self._messages = messages
        self._restarting = restarting
        messages.on_broken = self.reported
        messages.on_ahead = self.hinted
        # Another device of ours wants to be let in where we have gone; set by the groups.
        self.on_astray: Callable[[Chat, int], None] = lambda *_: None
        # Streams to read again, from which number on.
        self._reread: dict[bytes, int] = {}
        self._readding = Readding()

    # --- Getting lost --------------------------------------------------------------------

    def lost(self, chat: Chat, entry: Entry, now: int) -> None:
        """A commit came that does not follow: one before it is missing."""
        self._begin(chat, Trouble(entry.seq, chat.epoch, "gap", now, Step.FETCH, now))

    def passed_over(self, chat: Chat, now: int) -> None:
        """A commit has won under a number that we took for handled: read it again."""
        self._begin(chat, Trouble(0, chat.epoch, "gap", now, Step.FETCH, now))
        self._reread[chat.id] = self._last_good(chat)

    def hinted(self, chat: Chat, now: int) -> None:
        """Somebody spoke in an epoch that we have not seen begin: read its commit again.

        Anybody can say so, so nothing else is done about it, and that not often.
        """
        if (
            chat.id not in self._reread
            and not chat.reread_at <= now < chat.reread_at + REREAD_EVERY
        ):
            chat.reread_at = now
            self._reread[chat.id] = self._last_good(chat)

    def broken(
        self, chat: Chat, entry: Entry, problem: ParlourError, culprit: bytes, now: int
    ) -> None:
        """A commit won that we can't follow: the others hear of it, in the epoch before it.

        `culprit` is the account that made it, where that is certain; empty otherwise.
        """
        reason = problem.code.value
        trouble = Trouble(
            entry.seq, chat.epoch + 1, reason, now, Step.ASK, now, culprit, broken=True
        )
        report = CommitBroken(
            chat.record.generation,
            chat.epoch + 1,
            entry.seq,
            problem.code.value,
            *self._wish(chat, trouble.since, now),
        )
        self._report(chat, report, now)
        self._begin(chat, trouble)

    def bereft(self, chat: Chat, now: int) -> None:
        """The keys of the group are gone from this device, or its roster: neither serves alone."""
        chat.group = None
        self._groups.put_state(chat)
        self._begin(chat, Trouble(0, 0, "state", now, Step.ASK, now))

    def uninvited(self, chat: Chat, now: int) -> None:
        """Nobody has added this device, though its account is in the group."""
        self._begin(chat, Trouble(0, 0, WAITING, now, Step.ASK, now))

    def unwelcome(self, chat: Chat, entry: Entry, now: int) -> None:
        """A Welcome came that can't be taken, so we are in the tree and have no keys."""
        chat.record.inviter = chat.record.inviter or entry.sender_account
        # Whoever added us has used up the wish that we had, if any.
        chat.wishes_from = now
        problem = chat.welcome_problem
        if problem is not None and problem.code in _ROLLBACKS:
            self.compare(chat)
        self._begin(chat, Trouble(0, chat.epoch, "welcome", now, Step.ASK, now))

    def expelled(self, chat: Chat, now: int) -> None:
        """The server does not take what we say: our leaf, or the group, is not what we think."""
        self._begin(chat, Trouble(0, chat.epoch, "not_member", now, Step.FETCH, now))

    def compared(self, chat: Chat, state: PublicState, now: int) -> None:
        """The server's data is from a backup: go on from where its group is, or begin again.

        Behind us, it has lost commits that everybody followed; then the group begins again. At the
        same epoch, it may have taken another commit in the meantime; then we have lost our way.
        """
        trouble = chat.record.trouble
        if not chat.is_active and trouble is None:
            return
        if self._is_branch(chat, state, now):
            return
        if trouble is not None and trouble.reason == BRANCH:
            # It was one, or was shown as one. Members may be asked now.
            trouble = chat.record.trouble = None
            self._begin(chat, Trouble(0, chat.epoch, FORK, now, Step.ASK, now))
        if not chat.has_state:
            return
        here = (chat.record.generation, chat.epoch)
        there = (state.generation, state.epoch)
        if there == here and _is_same(chat, state):
            if trouble is None or trouble.reason in (ROLLBACK, FORK):
                self.followed(chat, now)
        elif there < here:
            chat.behind_number = RosterEntry.decode(state.roster_head).number
            self._begin(chat, Trouble(0, state.epoch, ROLLBACK, now, Step.WAIT, now))
        elif trouble is not None and trouble.reason == ROLLBACK:
            # Others have gone on from where the server was put back to.
            chat.record.trouble = None
            self._begin(chat, Trouble(0, chat.epoch, FORK, now, Step.ASK, now))
        elif there == here:
            self._begin(chat, Trouble(0, chat.epoch, FORK, now, Step.ASK, now))

    def _is_branch(self, chat: Chat, state: PublicState, now: int) -> bool:
        """Whether the server's roster leads another way than ours: an admin of both begins again.

        Members who went on there are asked for nothing: we could not come in by what they do.
        """
        chat.branch = Branch.of(chat, state)
        trouble = chat.record.trouble
        if chat.branch is not None and (trouble is None or trouble.reason != BRANCH):
            chat.record.trouble = None
            self._begin(chat, Trouble(0, chat.epoch, BRANCH, now, Step.WAIT, now))
        return chat.branch is not None

    def compare(self, chat: Chat) -> None:
        """See where the server's group is (`compared`)."""
        chat.compares = True
        self._joining.ask(chat.id)

    def doubt(self, chat: Chat) -> None:
        """Something says that there is another epoch of a number of ours: see where the server is.

        Anybody can say so, so nothing is done but to look: if the server is in ours, that was all.
        """
        if chat.is_active and not self._joining.is_asked(chat.id):
            chat.doubted = True
            self._joining.ask(chat.id)

    def _begin(self, chat: Chat, trouble: Trouble) -> None:
        known = chat.record.trouble
        if known is not None:
            return
        chat.record.trouble = trouble
        chat.record.state = GroupState.REPAIRING
        self._committing.drop(chat)
        self._groups.put(chat)
        self._memory.count("group.lost")
        if trouble.step is Step.FETCH:
            self._reread[chat.id] = self._last_good(chat)
        self._tell(chat, trouble)

    def _last_good(self, chat: Chat) -> int:
        return chat.record.followed_seq

    def _report(self, chat: Chat, report: CommitBroken, now: int) -> None:
        """Say so in the epoch before: whoever went on still has its keys."""
        if chat.live().proposals:
            # Nobody speaks before those are committed (RFC 9420 §12.4). The rungs do not rest on
            # it; left in the queue, its number would be missing from what we say.
            self._memory.count("report.failed")
        else:
            self._messages.seal_at_once(chat, report, now)

    def _tell(self, chat: Chat, trouble: Trouble) -> None:
        self._memory.tell(chat, GroupRepairing(chat.id, trouble.reason, trouble.step.value))
        self._memory.count(f"ladder.{trouble.step.value}")

    def connected(self, chat: Chat) -> None:
        """Whoever could not help may be able to by now: try again soon, if it is a while ago.

        What was to be read again is known in memory alone.
        """
        trouble = chat.record.trouble
        if trouble is not None and trouble.step is Step.FETCH:
            self._reread[chat.id] = self._last_good(chat)
        if trouble is not None and trouble.step is Step.WAIT and trouble.rounds:
            chat.record.trouble = structs.replace(trouble, rounds=0)
            self._groups.put(chat)
        if trouble is not None and trouble.reason == BRANCH:
            self.compare(chat)

    # --- Finding the way -----------------------------------------------------------------

    def followed(self, chat: Chat, now: int) -> None:
        """A commit was merged, or we came in: what was wrong is over."""
        if chat.record.trouble is None:
            return
        chat.record.trouble = None
        chat.record.state = GroupState.ACTIVE
        self._groups.put(chat)
        self._memory.count("group.repaired")
        self._memory.tell(chat, GroupRepaired(chat.id, not chat.record.unconfirmed))

    def entered(self, chat: Chat, trouble: Trouble | None) -> None:
        """We are in by a Welcome, or by our own commit."""
        self._reread.pop(chat.id, None)
        if trouble is not None:
            self._memory.count("group.repaired")
            self._memory.tell(chat, GroupRepaired(chat.id, not chat.record.unconfirmed))

    # --- Time ----------------------------------------------------------------------------

    def climb(self, chat: Chat, now: int) -> None:
        """Do what is due on the rung we stand on."""
        trouble = self._by_clock(chat, now)
        if trouble is None:
            return
        if self._restarting.is_due(chat, trouble, now):
            self._restart(chat, trouble, now)
            return
        if now >= trouble.since + _patience(trouble):
            trouble = self._next(chat, trouble, now)
        if trouble.step is Step.ASK and now >= trouble.since + trouble.asked * ASK_EVERY:
            self._ask(chat, trouble, now)
            chat.record.trouble = structs.replace(trouble, asked=trouble.asked + 1)
            self._groups.put(chat)
        elif trouble.step is Step.REJOIN:
            self._rejoin(chat, trouble, now)

    def _restart(self, chat: Chat, trouble: Trouble, now: int) -> None:
        branch = branch_of(chat, trouble)
        if branch is None:
            self._restarting.begin(chat, trouble, now)
            return
        try:
            roster = self._joining.roster_of(chat, branch.shown)
            self._restarting.begin_over(chat, trouble, branch.shown, roster, now)
        except Wanting:
            raise
        except ParlourError:
            # What the server shows can't be gone on from: it is compared again after a while.
            self._memory.count("branch.refused")
            chat.branch = None

    def _by_clock(self, chat: Chat, now: int) -> Trouble | None:
        """What is wrong; since now, if the clock went back: or it would be waited for very long."""
        trouble = chat.record.trouble
        if trouble is not None and trouble.since > now:
            trouble = structs.replace(trouble, since=now, began=min(trouble.began, now))
            chat.record.trouble = trouble
            self._groups.put(chat)
        return trouble

    def next_timeout(self, chat: Chat) -> int | None:
        """When to climb again (ms)."""
        trouble = chat.record.trouble
        if trouble is None:
            return None
        times = [trouble.since + _patience(trouble)]
        if trouble.step is Step.ASK:
            times.append(trouble.since + trouble.asked * ASK_EVERY)
        restart = self._restarting.due_at(chat, trouble)
        if restart is not None:
            times.append(restart)
        return min(times)

    def _next(self, chat: Chat, trouble: Trouble, now: int) -> Trouble:
        recent = [at for at in chat.record.rejoined if now - DAY < at <= now]
        match trouble.step:
            case Step.FETCH:
                step = Step.ASK
            case Step.ASK:
                # The answer may be that there is no such group for us any more (`Groups.failed`).
                self._joining.ask(chat.id)
                step = Step.WAIT
                if len(recent) < MAX_REJOINS:
                    step = Step.REJOIN
                    chat.record.rejoined = [*recent, now]
                    if self._joining.is_under_way(chat):
                        # The last one was not heard of again.
                        self._joining.lost(chat)
            case Step.WAIT if trouble.reason == BRANCH:
                self.compare(chat)
                step = Step.WAIT
            case Step.WAIT:
                step = Step.ASK
            case Step.REJOIN:
                step = Step.WAIT
            case _:
                assert_never(trouble.step)
        self._reread.pop(chat.id, None)
        rounds = trouble.rounds + (trouble.step is Step.WAIT)
        after = structs.replace(trouble, step=step, since=now, asked=0, rounds=rounds)
        chat.record.trouble = after
        self._groups.put(chat)
        self._tell(chat, after)
        return after

    # --- Reading again -------------------------------------------------------------------

    def requests(self) -> list[ServerRequest]:
        """Streams to read once more."""
        return [
            ServerRequest((REREAD, stream), Kind.READ, Read(stream, after, MAX_PAGE))
            for stream, after in self._reread.items()
        ]

    def reread(self, chat: Chat, asked: Read, page: Page) -> list[Entry]:
        """The commits of a page that were not followed yet; nothing more of it is asked."""
        self._reread.pop(chat.id, None)
        commits = (SuiteId.MLS_COMMIT, SuiteId.MLS_RESTART)
        found = [e for e in page.entries if e.stream == chat.id and e.envelope.suite in commits]
        if page.more and page.entries:
            last = max(entry.seq for entry in page.entries)
            if last > asked.after:
                self._reread[chat.id] = last
        return sorted(found, key=lambda entry: entry.seq)

    def reread_failed(self, stream: bytes) -> None:
        """It can't be had."""
        self._reread.pop(stream, None)

    # --- Asking --------------------------------------------------------------------------

    def _ask(self, chat: Chat, trouble: Trouble, now: int) -> None:
        """Ask some members, others each time, to take us out and in again."""
        wanted = ReaddWanted(*self._wish(chat, max(trouble.since, chat.wishes_from), now))
        for account_id, device_id in self.some_devices(chat, ASKED, trouble.asked):
            self._sending.send_to_inbox(account_id, device_id, wanted, now)

    def _wish(self, chat: Chat, since: int, now: int) -> tuple[bytes, bytes]:
        """Our signed wish, and its key package: one for all, so that one commit uses it up.

        It is of the time when the rung was reached. The next time it is another one: who has come
        meanwhile does not fulfil what may have been fulfilled before.
        """
        at = min(since, now)
        package = self._joining.package_for_wish(chat, at, now)
        wish = ReaddWish(
            stream=chat.id,
            generation=chat.record.generation,
            epoch=chat.epoch,
            account=self._memory.account_id,
            device=self._memory.device_id,
            package=package.reference,
            at=at,
        )
        signed = wish.sign(self._memory.local.signature_key)
        return signed.encode(), package.message

    def some_devices(self, chat: Chat, count: int, turn: int) -> list[tuple[bytes, bytes]]:
        """Our own other devices first, then members', each time others."""
        own = self._memory.account_id
        mine: list[tuple[bytes, bytes]] = []
        others: list[tuple[bytes, bytes]] = []
        for account_id in dict.fromkeys([own, *(chat.accounts or [chat.record.inviter])]):
            contact = self._memory.contacts.get(account_id)
            for identity in contact.identities() if contact is not None else []:
                if identity.device_id == self._memory.device_id:
                    continue
                each = (account_id, identity.device_id)
                (mine if account_id == own else others).append(each)
        start = turn * count % len(others) if others else 0
        return [*mine[:2], *others[start : start + count]]

    def asked(self, requester: DeviceIdentity, wanted: ReaddWanted, now: int) -> None:
        """Another device asks to be added again: it is, if it may be here, and not often."""
        self._wanted(requester.account_id, requester.device_id, wanted, now)

    def _wanted(
        self,
        account_id: bytes,
        device_id: bytes,
        wanted: ReaddWanted | CommitBroken,
        now: int,
    ) -> None:
        """Take a wish, as far as others will take it in a commit of ours."""
        try:
            wish = ReaddWish.decode(wanted.wish)
            chat = self._groups.chats.get(wish.stream)
            own = (wish.account, wish.device) == (account_id, device_id)
            if chat is not None and own and account_id == self._memory.account_id:
                self.on_astray(chat, now)
            if chat is None or not chat.is_active or not own:
                return
            member = account_id in chat.known_roster().state.members
            if member and self._readding.may(chat.id, device_id, now):
                check_wish(chat, wish, now, self._lists)
                self._committing.wished(chat, wish, wanted.package, now)
        except Wanting as wanting:
            # It asks again.
            self._lists.want(wanting.accounts)
        except ParlourError:
            self._memory.count("wish.refused")

    def readded(self, chat: Chat, device_ids: Collection[bytes], now: int) -> None:
        """These devices came in."""
        self._readding.came(chat.id, device_ids, now)
        self._committing.readded(chat, device_ids)

    def reported(self, chat: Chat, entry: Entry, report: CommitBroken, now: int) -> None:
        """A member can't follow a commit that we did, or did not, follow."""
        if report.generation != chat.record.generation:
            return
        chat.record.reports = {**chat.record.reports, entry.sender_account: now}
        self._groups.put(chat)
        self._memory.count("commit.reported")
        if chat.is_active and chat.epoch >= report.epoch:
            self._wanted(entry.sender_account, entry.sender_device, report, now)

    # --- By our own commit ---------------------------------------------------------------

    def _rejoin(self, chat: Chat, trouble: Trouble, now: int) -> None:
        state = self._joining.answer(chat.id)
        if state is None or self._joining.is_under_way(chat):
            return
        try:
            roster = self._joining.forsaken(chat, state, now)
            if roster is None:
                self._joining.commit(chat, state, now)
            else:
                self._restarting.begin_alone(chat, trouble, state, roster, now)
                self._joining.done(chat.id)
        except Wanting as wanting:
            self._lists.want(wanting.accounts)
        except ParlourError as problem:
            self._memory.count("rejoin.refused")
            if problem.code in _ROLLBACKS:
                # The server shows less than we know.
                self._memory.count("group.rollback")
                self._memory.tell(chat, ServerMisbehaved("group", problem.code))
                self._is_branch(chat, state, now)
            self._joining.done(chat.id)


def _patience(trouble: Trouble) -> int:
    """How long (ms) a rung may take."""
    if trouble.step is Step.WAIT:
        return PAUSE << min(trouble.rounds, _MAX_DOUBLINGS)
    return PATIENCE[trouble.step]


def _is_same(chat: Chat, state: PublicState) -> bool:
    """Whether the server's epoch is the one that we are in."""
    try:
        message = decode_message(state.group_info)
    except ParlourError:
        return False
    context = chat.live().member.public.group_context
    return (
        isinstance(message, GroupInfoMessage)
        and message.group_info.group_context.encoded == context.encoded
    )
