"""How a device that lost its way in a group finds it again, by itself (docs/trust.md).

First it reads again what the server may have left out. Then it asks members to take it out and in
again by one commit, which shows to all. Only when nobody has answered in time it comes in by a
commit of its own, in the place of its former leaf. Where a commit won that nobody can follow, the
first admin in the order of the roster begins the group again without the account that made it.
Each rung has its time; how often a device may come back by itself is bounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import structs

from parlour.conversation.content import CommitBroken, EpochSeen, ReaddWanted
from parlour.conversation.events import GroupRepaired, GroupRepairing, GroupRestarted
from parlour.conversation.groups.chat import Chat, mls_group_id
from parlour.conversation.groups.committing import Committing
from parlour.conversation.groups.joining import Joining
from parlour.conversation.groups.lists import Lists, Wanting
from parlour.conversation.groups.memory import GroupMemory
from parlour.conversation.groups.messages import Messages
from parlour.conversation.groups.records import GroupState, Pending, Sent, Step, Trouble
from parlour.conversation.key_packages import KeyPackages
from parlour.conversation.requests import ServerRequest
from parlour.conversation.sending import Sending
from parlour.conversation.state import Memory
from parlour.double_ratchet.identity import DeviceIdentity
from parlour.errors import ParlourError
from parlour.mls.private.group import Group
from parlour.mls.public.extensions import Extension
from parlour.mls.public.framing.messages import GroupInfoMessage, decode_message
from parlour.roster.changes import Change, Removed
from parlour.roster.entry import RosterEntry
from parlour.roster.extension import EXTENSION_TYPE
from parlour.roster.roles import Right
from parlour.roster.roster import Roster
from parlour.wire.envelope import ENVELOPE_FORMAT, Envelope, SuiteId
from parlour.wire.frames import encode_body as encode_request
from parlour.wire.groups import GroupState as PublicState
from parlour.wire.groups import RestartBody, RestartGroup, encode_body
from parlour.wire.ids import ID_SIZE
from parlour.wire.kinds import Kind
from parlour.wire.limits import MAX_PAGE
from parlour.wire.streams import Entry, Page, Read

REREAD: Final = "reread"
# Why a group begins again though nobody broke it: the server's data is older than we are.
ROLLBACK: Final = "rollback"
_MINUTE: Final = 60_000
# How long (ms) each rung may take before the next one is climbed.
PATIENCE: Final = {Step.FETCH: 10_000, Step.ASK: 2 * _MINUTE, Step.REJOIN: _MINUTE}
# A device asks others so often, each time so much later, and so many of them.
ASK_EVERY: Final = 30_000
ASKED: Final = 4
# Beginning again is the first admin's after so long (ms), the next ones' each so much later; it
# is over before anybody gives up and comes in by a commit of its own.
RESTART_AFTER: Final = 20_000
RESTART_NEXT: Final = 15_000
# A device comes back by its own commit at most so often in a day.
MAX_REJOINS: Final = 5
DAY: Final = 24 * 60 * _MINUTE
# After all that, it is tried again after so long.
PAUSE: Final = 10 * _MINUTE
# Who answers a device that came back by its own commit.
CONFIRMING: Final = 3


class Ladder:
    """Climbs, for each group that this device lost."""

    def __init__(
        self,
        memory: Memory,
        lists: Lists,
        sending: Sending,
        key_packages: KeyPackages,
        joining: Joining,
        committing: Committing,
        messages: Messages,
    ) -> None:
        self._memory = memory
        self._groups: GroupMemory = memory.groups
        self._lists = lists
        self._sending = sending
        self._key_packages = key_packages
        self._joining = joining
        self._committing = committing
        self._messages = messages
        messages.on_broken = self.reported
        # Streams to read again, from which number on.
        self._reread: dict[bytes, int] = {}

    # --- Getting lost --------------------------------------------------------------------

    def lost(self, chat: Chat, entry: Entry, now: int) -> None:
        """A commit came that does not follow: one before it is missing."""
        self._begin(chat, Trouble(entry.seq, chat.epoch, "gap", now, Step.FETCH, now))

    def broken(self, chat: Chat, entry: Entry, problem: ParlourError, now: int) -> None:
        """A commit won that we can't follow: the others hear of it, in the epoch before it."""
        trouble = Trouble(
            entry.seq, chat.epoch + 1, problem.code.value, now, Step.ASK, now, entry.sender_account
        )
        report = CommitBroken(chat.record.generation, chat.epoch + 1, entry.seq, problem.code.value)
        self._report(chat, report, now)
        self._begin(chat, trouble)

    def bereft(self, chat: Chat, now: int) -> None:
        """The keys of the group are gone from this device."""
        self._begin(chat, Trouble(0, 0, "state", now, Step.ASK, now))

    def uninvited(self, chat: Chat, now: int) -> None:
        """Nobody has added this device, though its account is in the group."""
        self._begin(chat, Trouble(0, 0, "waiting", now, Step.ASK, now))

    def unwelcome(self, chat: Chat, entry: Entry, now: int) -> None:
        """A Welcome came that can't be taken, so we are in the tree and have no keys."""
        chat.record.inviter = chat.record.inviter or entry.sender_account
        self._begin(chat, Trouble(0, chat.epoch, "welcome", now, Step.ASK, now))

    def expelled(self, chat: Chat, now: int) -> None:
        """The server does not take what we say: our leaf, or the group, is not what we think."""
        self._begin(chat, Trouble(0, chat.epoch, "not_member", now, Step.FETCH, now))

    def compared(self, chat: Chat, state: PublicState, now: int) -> None:
        """The server's data is from a backup: go on from where its group is, or begin again.

        Behind us, it has lost commits that everybody followed; then the group begins again. At the
        same epoch, it may have taken another commit in the meantime; then we have lost our way.
        """
        if not chat.is_active:
            return
        here = (chat.record.generation, chat.epoch)
        there = (state.generation, state.epoch)
        if there < here:
            chat.behind_number = RosterEntry.decode(state.roster_head).number
            self._begin(chat, Trouble(0, state.epoch, ROLLBACK, now, Step.WAIT, now))
        elif there == here and not _is_same(chat, state):
            self._begin(chat, Trouble(0, chat.epoch, "fork", now, Step.ASK, now))

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
        try:
            self._messages.seal_at_once(chat, report, now)
        except ParlourError:
            # Nobody would read it; the rungs do not depend on it.
            self._memory.count("report.failed")

    def _tell(self, chat: Chat, trouble: Trouble) -> None:
        self._memory.tell(chat, GroupRepairing(chat.id, trouble.reason, trouble.step.value))
        self._memory.count(f"ladder.{trouble.step.value}")

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

    def entered(self, chat: Chat, trouble: Trouble | None, now: int) -> None:
        """We are in by a Welcome, or by our own commit."""
        self._reread.pop(chat.id, None)
        if trouble is None:
            return
        self._memory.count("group.repaired")
        self._memory.tell(chat, GroupRepaired(chat.id, not chat.record.unconfirmed))
        if chat.record.unconfirmed:
            self._ask_to_confirm(chat, now)

    # --- Time ----------------------------------------------------------------------------

    def climb(self, chat: Chat, now: int) -> None:
        """Do what is due on the rung we stand on."""
        trouble = chat.record.trouble
        if trouble is None:
            return
        if self._restarts(chat, trouble, now):
            self._restart(chat, trouble, now)
            return
        if now >= trouble.since + PATIENCE.get(trouble.step, PAUSE):
            trouble = self._next(chat, trouble, now)
        if trouble.step is Step.ASK and now >= trouble.since + trouble.asked * ASK_EVERY:
            self._ask(chat, now)
            chat.record.trouble = structs.replace(trouble, asked=trouble.asked + 1)
            self._groups.put(chat)
        elif trouble.step is Step.REJOIN:
            self._rejoin(chat, now)

    def next_timeout(self, chat: Chat) -> int | None:
        """When to climb again (ms)."""
        trouble = chat.record.trouble
        if trouble is None:
            return None
        times = [trouble.since + PATIENCE.get(trouble.step, PAUSE)]
        if trouble.step is Step.ASK:
            times.append(trouble.since + trouble.asked * ASK_EVERY)
        restart = self._restart_at(chat, trouble)
        if restart is not None:
            times.append(restart)
        return min(times)

    def _next(self, chat: Chat, trouble: Trouble, now: int) -> Trouble:
        recent = [at for at in chat.record.rejoined if now - DAY < at <= now]
        match trouble.step:
            case Step.FETCH:
                step = Step.ASK
            case Step.ASK if len(recent) < MAX_REJOINS:
                step = Step.REJOIN
                chat.record.rejoined = [*recent, now]
                self._joining.ask(chat.id)
            case Step.WAIT if trouble.reason != ROLLBACK:
                step = Step.ASK
            case _:
                step = Step.WAIT
        self._reread.pop(chat.id, None)
        after = structs.replace(trouble, step=step, since=now, asked=0)
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

    def _ask(self, chat: Chat, now: int) -> None:
        """Ask some members, others each time, to take us out and in again."""
        wanted = ReaddWanted(chat.id, chat.record.generation, chat.epoch)
        for account_id, device_id in self._some_devices(chat, ASKED):
            self._sending.send_to_inbox(account_id, device_id, wanted, now)

    def _some_devices(self, chat: Chat, count: int) -> list[tuple[bytes, bytes]]:
        """Our own other devices first, then members', each time others."""
        own = self._memory.account_id
        trouble = chat.record.trouble
        turn = trouble.asked if trouble is not None else 0
        mine: list[tuple[bytes, bytes]] = []
        others: list[tuple[bytes, bytes]] = []
        for account_id in {own, *(chat.accounts or [chat.record.inviter])}:
            contact = self._memory.contacts.get(account_id)
            for identity in contact.identities() if contact is not None else []:
                if identity.device_id == self._memory.device_id:
                    continue
                each = (account_id, identity.device_id)
                (mine if account_id == own else others).append(each)
        start = turn * count % len(others) if others else 0
        return [*mine[:2], *others[start : start + count]]

    def asked(self, requester: DeviceIdentity, wanted: ReaddWanted) -> None:
        """Another device asks to be added again: it is, if it may be here at all."""
        chat = self._groups.chats.get(wanted.group)
        if chat is None or not chat.is_active:
            return
        behind = (wanted.generation, wanted.epoch) <= (chat.record.generation, chat.epoch)
        member = requester.account_id in chat.known_roster().state.members
        if member and behind:
            self._committing.try_again(chat, requester.device_id)
            self._committing.readd.setdefault(chat.id, set()).add(requester.device_id)

    def readded(self, chat: Chat, device_ids: Iterable[bytes]) -> None:
        """These devices came in, as they asked to."""
        self._committing.readd.get(chat.id, set()).difference_update(device_ids)

    def reported(self, chat: Chat, entry: Entry, report: CommitBroken, now: int) -> None:
        """A member can't follow a commit that we did, or did not, follow."""
        if report.generation != chat.record.generation:
            return
        chat.record.reports = {**chat.record.reports, entry.sender_account: now}
        self._groups.put(chat)
        self._memory.count("commit.reported")
        if chat.is_active and chat.epoch >= report.epoch:
            self._committing.readd.setdefault(chat.id, set()).add(entry.sender_device)

    # --- By our own commit ---------------------------------------------------------------

    def _rejoin(self, chat: Chat, now: int) -> None:
        state = self._joining.answer(chat.id)
        if state is None or self._joining.is_under_way(chat):
            return
        if (state.generation, state.epoch) < (chat.record.generation, chat.epoch):
            # The server shows less than we know.
            self._memory.count("group.rollback")
            self._joining.done(chat.id)
            return
        try:
            chat.record.generation = state.generation
            self._joining.commit(chat, state, now)
        except Wanting as wanting:
            self._lists.want(wanting.accounts)
        except ParlourError:
            self._memory.count("rejoin.refused")
            self._joining.done(chat.id)

    def _ask_to_confirm(self, chat: Chat, now: int) -> None:
        """Ask members, over pairwise sessions, whether this is the group that they are in."""
        tag = chat.tag_of(chat.record.generation, chat.epoch)
        if tag is None:
            return
        seen = EpochSeen(chat.id, chat.record.generation, chat.epoch, tag, answer=True)
        for account_id, device_id in self._some_devices(chat, CONFIRMING):
            self._sending.send_to_inbox(account_id, device_id, seen, now)

    # --- Beginning again -----------------------------------------------------------------

    def _restart_at(self, chat: Chat, trouble: Trouble) -> int | None:
        """When it would be ours to begin the group again; never, if we may not."""
        if not (trouble.culprit or trouble.reason == ROLLBACK) or chat.roster is None:
            return None
        state = chat.known_roster().state
        own = self._memory.account_id
        admins = [
            account
            for account in state.ordered()
            if account != trouble.culprit and state.may(account, Right.RESTART)
        ]
        if own not in admins:
            return None
        devices = self._memory.contacts[own].identities()
        mine = [identity.device_id for identity in devices]
        place = mine.index(self._memory.device_id) if self._memory.device_id in mine else 0
        rank = admins.index(own)
        return trouble.began + RESTART_AFTER + RESTART_NEXT * (rank + place)

    def _restarts(self, chat: Chat, trouble: Trouble, now: int) -> bool:
        pending = chat.record.pending
        if pending is not None and pending.what is Sent.RESTART:
            return False
        at = self._restart_at(chat, trouble)
        return at is not None and now >= at

    def _restart(self, chat: Chat, trouble: Trouble, now: int) -> None:
        """Begin again: a group of ours alone, to which everybody else is added at once."""
        roster = chat.known_roster()
        entries = [
            data for data in chat.recent if RosterEntry.decode(data).number > chat.behind_number
        ]
        changes: list[Change] = []
        own = self._memory.account_id
        if trouble.culprit not in (own, b"") and roster.state.may_remove(own, trouble.culprit):
            changes.append(Removed(trouble.culprit))
            entry = roster.next_entry(
                changes,
                own,
                self._memory.device_id,
                self._memory.local.signature_key,
                now,
                self._lists.find_key,
            )
            roster = roster.extend(entry, self._lists.find_key)
            entries.append(entry.encode())
        generation = chat.record.generation + 1
        extensions = chat.live().extensions.with_(
            Extension(EXTENSION_TYPE, roster.binding.encode())
        )
        group = Group.create(
            self._key_packages.identity(chat.genesis.suite, now // 1000),
            mls_group_id(chat.id, generation),
            now // 1000,
            policy=self._groups.policy,
            extensions=extensions,
            random=self._memory.random,
        )
        body = RestartBody(generation, entries, trouble.reason)
        client_id = self._memory.random(ID_SIZE)
        request = RestartGroup(
            stream=chat.id,
            client_id=client_id,
            generation=generation,
            epoch=trouble.epoch,
            envelope=Envelope(ENVELOPE_FORMAT, SuiteId.MLS_RESTART, b"", encode_body(body)),
            group_info=group.group_info(ratchet_tree=False),
            tree=group.tree(),
        )
        chat.record.pending = Pending(
            Sent.RESTART, client_id, encode_request(request), generation, trouble.epoch
        )
        chat.restarting = group
        self._groups.put(chat)

    def restarted(self, chat: Chat, entry: Entry, roster: Roster, now: int) -> None:
        """A new generation begins, ours or another admin's."""
        pending, record = chat.record.pending, chat.record
        before = chat.known_roster().state.members.keys()
        ours = (
            pending is not None
            and pending.what is Sent.RESTART
            and pending.client_id == entry.client_id
            and chat.restarting is not None
        )
        record.generation += 1
        record.pending = record.trouble = None
        record.reports = {}
        record.followed_seq = entry.seq
        chat.group = chat.restarting if ours else None
        chat.restarting = None
        chat.roster = roster
        chat.since = {a: chat.since.get(a, entry.seq) for a in roster.state.members}
        record.state = GroupState.ACTIVE if ours else GroupState.JOINING
        if ours:
            chat.note_epoch()
        self._messages.reseal(chat)
        self._groups.put_epoch(chat)
        self._groups.put_roster(chat)
        without = tuple(sorted(before - roster.state.members.keys()))
        self._memory.count("group.restarted")
        self._memory.tell(chat, GroupRestarted(chat.id, entry.sender_account, without))

    def troubled(self) -> Iterator[Chat]:
        """The groups that are lost."""
        return (c for c in self._groups.chats.values() if c.record.trouble is not None)


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
