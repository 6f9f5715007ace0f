"""All groups of this device: what comes in for them and what has to go out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from parlour.conversation.changes import Message
from parlour.conversation.content import (
    Content,
    DetailsWanted,
    EpochSeen,
    ReaddWanted,
)
from parlour.conversation.delivery import Delivery
from parlour.conversation.directory import Directory
from parlour.conversation.events import GroupLeft, GroupRefused, GroupRepairing
from parlour.conversation.groups.by_links import ByLinks
from parlour.conversation.groups.chat import Chat
from parlour.conversation.groups.committing import MAX_ATTEMPTS, Committing
from parlour.conversation.groups.comparing import Comparing
from parlour.conversation.groups.confirming import Confirming
from parlour.conversation.groups.direct import Direct
from parlour.conversation.groups.following import Following
from parlour.conversation.groups.founding import Founding
from parlour.conversation.groups.joining import READ_GROUP, Joining
from parlour.conversation.groups.ladder import REREAD, Ladder
from parlour.conversation.groups.lists import Lists, Wanting
from parlour.conversation.groups.memory import GroupMemory
from parlour.conversation.groups.messages import ASK_FOR_DETAILS, Messages
from parlour.conversation.groups.plan import Planning
from parlour.conversation.groups.progress import GroupProgress, progress_of
from parlour.conversation.groups.records import (
    NOWHERE,
    Acceptance,
    GroupRecord,
    GroupState,
    Sent,
    Want,
)
from parlour.conversation.groups.renewing import Renewing
from parlour.conversation.groups.restarting import RESTART, Restarting
from parlour.conversation.groups.turns import retry_after
from parlour.conversation.groups.unlisted import Unlisted
from parlour.conversation.groups.view import GroupName, GroupView, name_of, view_of
from parlour.conversation.groups.wishes import Wishes
from parlour.conversation.histories import Histories
from parlour.conversation.key_package_targets import KeyPackageTargets
from parlour.conversation.key_packages import KeyPackages
from parlour.conversation.pending import Key
from parlour.conversation.people import People
from parlour.conversation.policies import check_floor
from parlour.conversation.records import Conversation, Held
from parlour.conversation.repair import Repairing
from parlour.conversation.requests import ServerRequest
from parlour.conversation.sending import Sending
from parlour.conversation.state import Memory
from parlour.conversation.syncing import Syncing
from parlour.double_ratchet.identity import DeviceIdentity
from parlour.errors import (
    Code,
    ParlourError,
    SecurityStop,
    TransportError,
    error,
)
from parlour.roster.genesis import Genesis
from parlour.roster.genesis import Kind as GroupKind
from parlour.wire.frames import decode_body as decode_request
from parlour.wire.groups import CreateGroup, Handled, Handshake, RestartGroup
from parlour.wire.groups import GroupState as PublicState
from parlour.wire.kinds import Kind
from parlour.wire.streams import Entry, Page, Read, StreamInfo

GROUP: Final = "group"
GROUP_KINDS: Final = frozenset({"group", "family", "channel"})
# Entries that wait for their turn in one group; what comes beyond is left with the server.
MAX_WAITING: Final = 200
# An entry that waits for something is told of after so long (ms), and given up in the end: a server
# that keeps a device list back stops no group for ever.
TELL_STALLED: Final = 60_000
GIVE_UP_STALLED: Final = 3_600_000
# A group in which something can't be done is left alone so long, in milliseconds.
REST: Final = 60_000
# The pause between two questions for a group's name is doubled so often: to an hour.
MAX_DOUBLINGS: Final = 7
# A device that nobody has added asks for it after so long, in milliseconds.
ASK_TO_JOIN: Final = 60_000
_GONE: Final = (Code.STREAM_UNKNOWN, Code.GROUP_UNKNOWN)
_REQUESTS: Final[dict[Sent, tuple[Kind, type[Struct]]]] = {
    Sent.FOUND: (Kind.CREATE_GROUP, CreateGroup),
    Sent.COMMIT: (Kind.HANDSHAKE, Handshake),
    Sent.PROPOSAL: (Kind.HANDSHAKE, Handshake),
    Sent.JOIN: (Kind.HANDSHAKE, Handshake),
    Sent.RESTART: (Kind.RESTART_GROUP, RestartGroup),
}


class Groups:
    """The groups of one machine."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts of the machine that groups rest on
        self,
        memory: Memory,
        directory: Directory,
        sending: Sending,
        repairing: Repairing,
        histories: Histories,
        syncing: Syncing,
        key_packages: KeyPackages,
        targets: KeyPackageTargets,
        people: People,
        delivery: Delivery,
    ) -> None:
        self._memory = memory
        self._groups: GroupMemory = memory.groups
        self._targets = targets
        self._directory = directory
        lists = self._lists = Lists(memory, directory)
        planning, renewing = Planning(memory, lists), Renewing(memory)
        self._renewing = renewing
        self._unlisted = Unlisted(memory, lists)
        self._messages = Messages(
            memory, lists, planning, sending, repairing, histories, people, delivery
        )
        self._founding = Founding(memory, key_packages, targets)
        self._joining = Joining(memory, lists, key_packages, renewing)
        self._committing = Committing(
            memory, lists, self._unlisted, key_packages, targets, planning, renewing
        )
        restarting = Restarting(memory, lists, key_packages, self._messages)
        self._ladder = Ladder(
            memory,
            lists,
            sending,
            self._joining,
            self._committing,
            self._messages,
            restarting,
        )
        self._following = Following(
            memory, lists, self._joining, self._messages, self._ladder, restarting, renewing
        )
        self.wishes = Wishes(memory, sending, syncing, renewing, self._founding, self._following)
        self.by_links = ByLinks(memory, lists, self._joining, self._meet, self._come_back)
        self._confirming = Confirming(memory, sending)
        self._confirming.some_devices = self._ladder.some_devices
        self._comparing = Comparing(memory, sending, self._confirming)
        self._messages.lets_speak = self._unlisted.lets_speak
        self._messages.is_left_out = self._committing.is_left_out
        self._direct = Direct(memory, directory, sending, self._founding)
        # A stream that the server names in place of the one that we found.
        self.on_stream: Callable[[StreamInfo, int], None] = lambda *_: None
        # Whether something has to be caught up with, because an answer told of it first.
        self.behind = False
        self.on_winner: Callable[[Entry, int, bool], None] = lambda *_: None

    # --- Conversations of two ------------------------------------------------------------

    def check_direct(self, peer: bytes) -> None:
        """Raise if a conversation with an account can't be founded as the person wants it."""
        self._direct.check(peer)

    def found_direct(self, peer: bytes, now: int) -> bool:
        """Whether a new conversation with an account is one on MLS; then it is founded."""
        return self._direct.found(peer, now)

    # --- What is known -------------------------------------------------------------------

    def views(self) -> dict[bytes, GroupView]:
        """All groups."""
        return {
            group: self.view(group)
            for group, chat in self._groups.chats.items()
            if not chat.is_direct
        }

    def view(self, group: bytes) -> GroupView:
        """One group."""
        wants = tuple(intent.want for intent in self._groups.intents_of(group))
        return view_of(self.wishes.known(group), self._memory.account_id, wants)

    def names(self) -> dict[bytes, GroupName]:
        """What all groups are called; their members are not looked at."""
        return {
            group: name_of(chat) for group, chat in self._groups.chats.items() if not chat.is_direct
        }

    def direct_view(self, account_id: bytes) -> GroupView | None:
        """The group that a conversation of two is."""
        chat = self._groups.of(account_id)
        own = self._memory.account_id
        return view_of(chat, own, ()) if chat is not None and chat.is_direct else None

    def coming(self, group: bytes) -> set[bytes]:
        """Whom this device wants in a group who is not in it yet."""
        chat = self.wishes.known(group)
        wanted = (i for i in self._groups.intents_of(group) if i.want is Want.ADD)
        return {account for intent in wanted for account in intent.accounts} - set(chat.accounts)

    def progress(self, group: bytes, now: int) -> GroupProgress:
        """How far what is wanted of a group has come."""
        return progress_of(
            self.wishes.known(group),
            self._memory,
            self._directory,
            self._targets,
            self._committing,
            now,
        )

    def is_group(self, conversation: bytes) -> bool:
        """Whether a conversation is one of ours on MLS."""
        return conversation in self._groups.chats

    @property
    def waits(self) -> bool:
        """Whether something that came has not had its turn yet."""
        return any(
            chat.waiting and not self._direct.is_stopped(chat)
            for chat in self._groups.chats.values()
        )

    def may_resend(self, group: bytes, requester: DeviceIdentity, message: Message) -> bool:
        """Whether somebody may have a message of ours again: who was there when it was said."""
        chat = self._groups.chats.get(group)
        contact = self._memory.contacts.get(requester.account_id)
        if chat is None or contact is None or contact.identity(requester.device_id) is None:
            return False
        # Behind another key than the one under which it was in, there may be somebody else.
        account, roster = requester.account_id, chat.roster
        key = self._lists.account_key(account)
        if roster is not None and account in chat.since:
            admitted = roster.state.admits(account, key)
            return admitted and self._messages.may_resend(chat, chat.since[account], message)
        former = chat.record.former.get(account)
        if former is None or former.key != key or (message.seq or 0) >= former.went:
            return False
        return self._messages.may_resend(chat, former.came, message)

    # --- Streams and entries -------------------------------------------------------------

    def connected(self, now: int) -> None:
        """What the server said before this connection may be out of date."""
        self._lists.connected()
        accounts: set[bytes] = set()
        for chat in self._groups.chats.values():
            chat.taken = b""
            self._unlisted.connected(chat)
            if chat.record.state is GroupState.ACTIVE and not chat.has_state:
                self._ladder.bereft(chat, now)
            if not chat.is_left:
                self._confirming.connected(chat, now)
                self._ladder.connected(chat)
                accounts.update(chat.accounts)
                self._renewing.connected(chat, now)
                if not chat.is_named:
                    chat.details_at = chat.details_asked = 0
        self._directory.want_aside(sorted(accounts))

    def restored(self) -> None:
        """The server's data is from a backup: see where its groups are."""
        for chat in self._groups.chats.values():
            if chat.is_active:
                chat.compares = True
                self._joining.ask(chat.id)
            elif chat.is_left:
                # Numbers are given again.
                chat.record.followed_seq = 0
                self._groups.put(chat)

    def learn_stream(self, info: StreamInfo, now: int) -> None:
        """A stream of a group that we may read."""
        chat = self._groups.chats.get(info.stream)
        if chat is not None:
            if chat.record.genesis != info.genesis:
                raise error(Code.CONVERSATION_GENESIS, "another one than before")
            if chat.record.shut_out:
                self._let_in(chat)
            if chat.is_direct:
                self._direct.named(chat)
            else:
                self._attach(chat, anew=chat.is_left)
            return
        try:
            genesis = Genesis.decode(info.genesis)
        except ParlourError as problem:
            raise SecurityStop(Code.CONVERSATION_GENESIS, problem.code.value) from problem
        if genesis.stream != info.stream or genesis.kind.name.lower() != info.kind:
            raise error(Code.CONVERSATION_GENESIS, "of another stream")
        check_floor(genesis)
        if genesis.kind is GroupKind.DIRECT:
            self._direct.meet(info, genesis)
            return
        if genesis.kind is GroupKind.SELF:
            raise error(Code.CONVERSATION_GENESIS, "that of our own devices is pairwise")
        self._meet(info.stream, info.genesis)

    def _meet(self, stream: bytes, genesis: bytes) -> Chat:
        record = GroupRecord(group=stream, genesis=genesis, state=GroupState.JOINING)
        if stream in self._memory.linked:
            record.link = self._memory.linked[stream].link_id
        chat = Chat(record, self._groups.policy, self._groups.shared)
        self._groups.put(chat)
        if stream not in self._memory.conversations:
            self._memory.put_conversation(
                Conversation(peer=stream, stream=stream, genesis=genesis, late=True)
            )
        return chat

    def _come_back(self, chat: Chat) -> None:
        """We were in it, left, and are brought in again."""
        record = chat.record
        chat.group = chat.roster = None
        record.state = GroupState.JOINING
        record.acceptance = Acceptance.INVITED
        record.joined_seq, record.joined_epoch, record.is_newcomer = 0, NOWHERE, False
        record.link = b""
        record.shut_out = False
        record.pending = record.trouble = None
        chat.since, chat.recent = {}, []
        chat.timers.clear()
        chat.due.clear()
        self._groups.put(chat)
        self._attach(chat, anew=True)

    def _let_in(self, chat: Chat) -> None:
        """The server had said that there is no such group for us, and names it again."""
        decided = chat.record.acceptance
        self._come_back(chat)
        chat.record.acceptance = decided
        self._groups.put(chat)

    def _attach(self, chat: Chat, *, anew: bool) -> None:
        """The server names a group's stream again, after its data was put back, too.

        `anew` if we had left, and only a Welcome brings us back: what was said meanwhile is not
        ours, and nothing is missing by that.
        """
        conversation = self._memory.conversations[chat.id]
        if chat.record.letting_go:
            chat.record.letting_go = False
            self._groups.put(chat)
        if conversation.stream:
            return
        conversation.stream = chat.id
        if anew:
            conversation.received, conversation.gaps = chat.record.followed_seq, []
            conversation.late = True
            conversation.senders.clear()
        self._memory.put_conversation(conversation)

    def is_outside(self, group: bytes) -> bool:
        """Whether we left a group, so that what comes next of it is the first for us."""
        return self._groups.chats[group].is_left

    def has_room(self, group: bytes) -> bool:
        """Whether one more entry of a group can be taken."""
        chat = self._groups.chats.get(group)
        return chat is None or len(chat.waiting) < MAX_WAITING

    def take(self, entry: Entry, now: int) -> None:
        """Take an entry of a group, now or when its turn comes."""
        chat = self._groups.chats[entry.stream]
        if chat.waiting or not self._handle(chat, entry, now):
            self._groups.wait(chat, entry, now)

    def _handle(self, chat: Chat, entry: Entry, now: int) -> bool:
        if self._direct.is_stopped(chat):
            # Until a person has decided about the changed key.
            return False
        anew = entry.seq > chat.record.followed_seq
        if chat.is_left and anew and self._joining.is_welcome(entry):
            self._come_back(chat)
        trouble = chat.record.trouble
        joined = chat.record.joined_seq
        ours = len(chat.leaves_of(self._memory.account_id)) if chat.is_active else 0
        try:
            done = self._following.handle(chat, entry, now)
        except ParlourError as problem:
            # It would come again and again, and with it nothing else of any group.
            self._following.stumbled(chat, entry, problem, now)
            done = True
        if chat.record.joined_seq != joined:
            self._ladder.entered(chat, trouble)
            self._confirming.began(chat, now)
            chat.attempts = 0
            if not joined:
                self.wishes.came(chat, now)
            if not chat.is_named and chat.record.acceptance is not Acceptance.DECLINED:
                # Who adds somebody tells them; who comes by a link has to ask.
                chat.details_at = now if chat.record.link else now + ASK_FOR_DETAILS
        elif chat.is_active and len(chat.leaves_of(self._memory.account_id)) > ours > 0:
            self.wishes.tell_decision(chat, now)
        elif chat.welcome_problem is not None:
            chat.welcome_problem = None
            self._ladder.unwelcome(chat, entry, now)
        return done

    def retry(self, now: int) -> None:
        """Something came that entries may wait for."""
        for chat in list(self._groups.chats.values()):
            full = len(chat.waiting) >= MAX_WAITING
            while chat.waiting and self._handle(chat, (first := chat.waiting[0]).entry, now):
                self._groups.taken(chat, first)
            # What found no room is still with the server.
            self.behind |= full and len(chat.waiting) < MAX_WAITING

    def _stalled(self, chat: Chat, now: int) -> None:
        """What an entry waits for did not come: say so, and in the end go on without it."""
        first = chat.waiting[0]
        since = first.since
        if now >= since + TELL_STALLED and not chat.stalled:
            chat.stalled = True
            self._memory.count("group.stalled")
            self._memory.tell(chat, GroupRepairing(chat.id, "stalled", "fetch"))
        if now >= since + GIVE_UP_STALLED:
            self._following.give_up(chat, first.entry, now)
            self._groups.taken(chat, first)
            chat.stalled = False
            self.retry(now)

    # --- Controls ------------------------------------------------------------------------

    def controlled(self, by: DeviceIdentity, control: Content, now: int) -> bool:
        """Take a control message of another device, if it is about groups."""
        if isinstance(control, ReaddWanted):
            self._ladder.asked(by, control, now)
        elif isinstance(control, EpochSeen):
            self._comparing.heard(by, control, now)
        else:
            return False
        return True

    def resent(self, held: Held, sent_at: int, encoded: bytes, now: int) -> bool:
        """A message of a group that came once more."""
        chat = self._groups.of(held.conversation)
        return chat is not None and self._messages.resent(chat, held.entry, sent_at, encoded, now)

    def spoke(self, account_id: bytes, now: int) -> None:
        """Something goes to an account anyway: compare epochs with it."""
        self._comparing.tell(account_id, now)

    # --- Needs ---------------------------------------------------------------------------

    def requests(
        self, now: int, is_paused: Callable[[Key, int], bool], *, behind: bool
    ) -> list[ServerRequest]:
        """Everything that has to be asked for the groups."""
        needs: list[ServerRequest] = []
        for chat in self._groups.chats.values():
            self._drop_lost(chat)
        # What is made by this leaves with the requests below.
        self.by_links.go_on(now)
        for chat in list(self._groups.chats.values()):
            hushed = self._direct.is_hushed(chat)
            self._following.let_go(chat)
            chat.acted_at = now
            if not hushed and now >= chat.rests_until:
                self._do_what_is_due(chat, now, behind=behind)
            pending = chat.record.pending
            if pending is not None and not chat.is_taken:
                kind, body = _REQUESTS[pending.what]
                request = decode_request(pending.request, body)
                needs.append(ServerRequest((GROUP, chat.id), kind, request))
            if not hushed:
                needs += self._messages.requests(chat, now, is_paused)
        return [*needs, *self._joining.requests(), *self._ladder.requests()]

    def _do_what_is_due(self, chat: Chat, now: int, *, behind: bool) -> None:
        """Whatever is wrong with one group stays in it: the others go on."""
        try:
            self._ladder.climb(chat, now)
            if not behind:
                self._act(chat, now)
        except Wanting as wanting:
            self._lists.want(wanting.accounts)
        except ParlourError as problem:
            chat.rests_until = now + REST
            self._committing.failed(chat, problem, now)

    def _act(self, chat: Chat, now: int) -> None:
        if chat.is_left:
            return
        if chat.waiting:
            self._stalled(chat, now)
        else:
            chat.stalled = False
        # Not while a Welcome that has come waits for its tree.
        left_out = chat.record.state is GroupState.JOINING and not chat.waiting
        if left_out and chat.id not in self._memory.linked:
            if chat.joining_since is None:
                chat.joining_since = now
            elif now >= chat.joining_since + ASK_TO_JOIN:
                self._ladder.uninvited(chat, now)
        else:
            chat.joining_since = None
        self.wishes.go_on(chat, now)
        self._committing.begin(chat, now)
        self._confirming.act(chat, now)
        self._messages.act(chat, now)
        due = chat.details_at
        if due is not None and due <= now and chat.is_active:
            chat.details_at = None
            if not chat.is_named:
                # Again until somebody answers who is there, ever more seldom.
                chat.details_at = now + (ASK_FOR_DETAILS << min(chat.details_asked, MAX_DOUBLINGS))
                chat.details_asked += 1
                self._messages.send(chat, DetailsWanted(), now, silent=True)

    def _drop_lost(self, chat: Chat) -> None:
        """Forget a request if what it leads to is gone: after a restart, some are made anew."""
        pending = chat.record.pending
        if pending is None:
            return
        joins = pending.what is Sent.JOIN and not self._joining.is_under_way(chat)
        begins = pending.what is Sent.RESTART and chat.restarting is None
        if joins or begins:
            chat.record.pending = None
            self._groups.put(chat)

    # --- Answers -------------------------------------------------------------------------

    def answered(self, what: str, about: bytes, body: Struct, answer: Struct, now: int) -> bool:
        """Take an answer, if it is one for groups."""
        chat = self._groups.chats.get(about)
        match answer:
            case StreamInfo() if what == GROUP and chat is not None and chat.is_direct:
                # Whoever comes second gets the stream of the first.
                self.on_stream(answer, now)
                if self._groups.of(chat.record.peer) is chat and answer.stream != chat.id:
                    raise error(Code.SERVER_MISBEHAVED, "the conversation of somebody else")
            case StreamInfo() if what == GROUP and chat is not None:
                if answer.stream != about or answer.genesis != chat.record.genesis:
                    raise error(Code.SERVER_MISBEHAVED, "another group than was founded")
                self._founding.founded(chat)
            case Handled() if what == GROUP and chat is not None:
                self._handled(chat, answer, now)
            case PublicState() if what == READ_GROUP:
                self._joining.answered(about, answer)
                if chat is not None and chat.compares:
                    chat.compares = False
                    self._joining.done(about)
                    self._ladder.compared(chat, answer, now)
                self.retry(now)
            case Page() if what == REREAD and isinstance(body, Read) and chat is not None:
                for entry in self._ladder.reread(chat, body, answer):
                    if entry.seq > chat.record.followed_seq:
                        self._handle(chat, entry, now)
            case _:
                return False
        return True

    def _handled(self, chat: Chat, answer: Handled, now: int) -> None:
        pending = chat.record.pending
        if pending is None or answer.client_id != pending.client_id:
            return
        self._take_winners(chat, answer, now)
        if answer.seq:
            # The entry itself comes in its stream, after what was said before it.
            chat.taken = pending.client_id
            if pending.what is Sent.PROPOSAL:
                chat.record.pending = None
                self._groups.put(chat)
            return
        if pending.what is Sent.JOIN:
            self._joining.lost(chat)
        elif pending.what is Sent.RESTART:
            chat.record.pending = None
            chat.restarting = None
            chat.losses += 1
            chat.timers[RESTART] = now + retry_after(chat.losses, self._memory.random)
            self._groups.put(chat)
        else:
            self._committing.lost(chat, now)

    def _take_winners(self, chat: Chat, answer: Handled, now: int) -> None:
        """Go on by the commits that won, which came in place of a yes to ours.

        Each is taken where it follows on what is here; anything else is caught up with first, as
        what was said before it comes first. If the server gave nothing then, they are taken all the
        same, and what is missing before them is asked for (`gaps`).
        """
        conversation = self._memory.conversations[chat.conversation]
        there = (answer.generation, answer.epoch)
        stuck = chat.lost_at == (chat.record.generation, chat.epoch, conversation.received)
        for winner in answer.winners:
            self.on_winner(winner, now, stuck)
        here = (chat.record.generation, chat.epoch)
        received = self._memory.conversations[chat.conversation].received
        chat.lost_at = (*here, received) if here < there else None
        self.behind |= received < answer.seq if answer.seq else here != there
        if here < there and not chat.waiting:
            last = max((winner.seq for winner in answer.winners), default=0)
            if chat.record.followed_seq < last <= received:
                # Catching up would not bring it: its number was taken for one that was handled.
                self._ladder.passed_over(chat, now)

    def failed(self, what: str, about: bytes, problem: ParlourError, now: int) -> None:
        """A request failed."""
        chat = self._groups.chats.get(about)
        if isinstance(problem, TransportError) or problem.code is Code.LIMIT_RATE:
            return
        if what == READ_GROUP:
            self._joining.failed((what, about), problem)
            if chat is not None and problem.code in _GONE and self._direct.is_compared(chat):
                self._lost_direct(chat, now)
            elif chat is not None and problem.code in _GONE:
                self._shut_out(chat)
            self.retry(now)
        elif what == REREAD:
            self._ladder.reread_failed(about)
        elif what == GROUP and chat is not None:
            self._refused(chat, problem, now)

    def _refused(self, chat: Chat, problem: ParlourError, now: int) -> None:
        pending = chat.record.pending
        if pending is None:
            return
        self._memory.count(f"handshake.{problem.code.value}")
        self._directory.want_aside(chat.accounts)
        if pending.what is Sent.FOUND and chat.is_direct:
            self._direct.refused(chat, problem, now)
        elif pending.what is Sent.FOUND:
            self._memory.events.append(GroupRefused(chat.id, "create", problem.code))
            self._memory.events.append(
                GroupLeft(chat.id, chat.record.name, self._memory.account_id)
            )
            self._following.leave(chat, self._memory.account_id)
        elif pending.what is Sent.RESTART:
            # Where the server is by now, somebody else may have gone on from.
            chat.record.pending = chat.restarting = None
            self._groups.put(chat)
            chat.compares = True
            self._joining.ask(chat.id)
        elif pending.what is Sent.JOIN:
            self._joining.lost(chat)
            chat.losses += 1
            final = problem.code is Code.GROUP_LINK or chat.losses >= MAX_ATTEMPTS
            if final and chat.id in self._memory.linked:
                self.by_links.give_up(chat.id, problem.code)
        elif problem.code in (Code.STREAM_UNKNOWN, Code.GROUP_NOT_MEMBER):
            chat.record.pending = None
            self.behind = True
            self._ladder.expelled(chat, now)
        else:
            self.behind = True
            self._committing.refused(chat, problem, now)

    def _shut_out(self, chat: Chat) -> None:
        """Go, as the server has no such group for us, and no member has let us in again.

        We were put out while we could not follow, or its data is from before we came. Nobody has
        signed that: once it names the group again, we come back.
        """
        linked = chat.id in self._memory.linked
        if chat.is_direct or linked or chat.record.trouble is None or chat.is_left:
            return
        self._joining.done(chat.id)
        self._following.leave(chat, b"")
        chat.record.shut_out = True
        self._groups.put(chat)

    def _lost_direct(self, chat: Chat, now: int) -> None:
        """The server has lost a conversation of two: the next message founds it anew."""
        self._messages.reseal(chat)
        self._joining.done(chat.id)
        named = self._direct.lost(chat)
        if named is not None:
            self.on_stream(named, now)

    def not_taken(self, group: bytes, problem: ParlourError, now: int) -> None:
        """The server did not take a message."""
        chat = self._groups.of(group)
        gone = (Code.GROUP_NOT_MEMBER, Code.STREAM_UNKNOWN)
        if chat is not None and problem.code in gone and chat.is_active:
            self.behind = True
            self._ladder.expelled(chat, now)
        elif chat is not None:
            self._messages.reseal(chat)

    def take_behind(self) -> bool:
        """Whether there is something to catch up with; told once."""
        behind, self.behind = self.behind, False
        return behind

    # --- Time ----------------------------------------------------------------------------

    def next_timeout(self) -> int | None:
        """When something is due (ms)."""
        times = [
            max(time, chat.rests_until)
            for chat in self._groups.chats.values()
            for time in (
                self._ladder.next_timeout(chat),
                # What can't be done for now is not due: it would be as fast as a clock goes.
                self._committing.next_timeout(chat) if _may_act(chat) else None,
                self._confirming.next_timeout(chat),
                chat.unlisted_at if _may_act(chat) else None,
                chat.details_at if _may_act(chat) else None,
                chat.describe_at if _may_act(chat) else None,
                chat.waiting[0].since + GIVE_UP_STALLED if chat.waiting else None,
                None if chat.joining_since is None else chat.joining_since + ASK_TO_JOIN,
            )
            # What was due then and is not done waits for an answer, not for a time.
            if time is not None and time > chat.acted_at and not self._direct.is_hushed(chat)
        ]
        again = self._direct.next_timeout()
        return min(times if again is None else [*times, again], default=None)


def _may_act(chat: Chat) -> bool:
    """Whether we are in a group and follow it; what is due is done then."""
    return chat.is_active and not chat.waiting and chat.record.pending is None
