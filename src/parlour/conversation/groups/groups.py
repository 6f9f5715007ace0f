"""All groups of this device: what they are made of, and what is done for each in which order."""

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
from parlour.conversation.groups.answers import GROUP, Answers
from parlour.conversation.groups.arriving import Arriving
from parlour.conversation.groups.by_links import ByLinks
from parlour.conversation.groups.chat import Chat
from parlour.conversation.groups.committing import Committing
from parlour.conversation.groups.comparing import Comparing
from parlour.conversation.groups.confirming import Confirming
from parlour.conversation.groups.direct import Direct
from parlour.conversation.groups.following import Following
from parlour.conversation.groups.founding import Founding
from parlour.conversation.groups.joining import Joining
from parlour.conversation.groups.ladder import Ladder
from parlour.conversation.groups.lists import Lists, Wanting
from parlour.conversation.groups.memory import GroupMemory
from parlour.conversation.groups.messages import ASK_FOR_DETAILS, Messages
from parlour.conversation.groups.plan import Planning
from parlour.conversation.groups.progress import GroupProgress, progress_of
from parlour.conversation.groups.records import (
    Acceptance,
    GroupState,
    Sent,
    Want,
)
from parlour.conversation.groups.renewing import Renewing
from parlour.conversation.groups.restarting import Restarting
from parlour.conversation.groups.streams import Streams
from parlour.conversation.groups.unlisted import Unlisted
from parlour.conversation.groups.view import GroupName, GroupView, name_of, view_of
from parlour.conversation.groups.wishes import Wishes
from parlour.conversation.histories import Histories
from parlour.conversation.key_package_targets import KeyPackageTargets
from parlour.conversation.key_packages import KeyPackages
from parlour.conversation.pending import Key
from parlour.conversation.people import People
from parlour.conversation.records import Held
from parlour.conversation.repair import Repairing
from parlour.conversation.requests import ServerRequest
from parlour.conversation.sending import Sending
from parlour.conversation.state import Memory
from parlour.conversation.sync import OwnListSync
from parlour.conversation.syncing import Syncing
from parlour.double_ratchet.identity import DeviceIdentity
from parlour.errors import (
    ParlourError,
)
from parlour.wire.frames import decode_body as decode_request
from parlour.wire.groups import CreateGroup, Handshake, RestartGroup
from parlour.wire.kinds import Kind
from parlour.wire.streams import StreamInfo

GROUP_KINDS: Final = frozenset({"group", "family", "channel"})
# A group in which something can't be done is left alone so long, in milliseconds.
REST: Final = 60_000
# The pause between two questions for a group's name is doubled so often: to an hour.
MAX_DOUBLINGS: Final = 7
# A device that nobody has added asks for it after so long, in milliseconds.
ASK_TO_JOIN: Final = 60_000
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
        self._syncing = syncing
        lists = self._lists = Lists(memory, directory)
        planning, renewing = Planning(memory, lists), Renewing(memory)
        self._renewing = renewing
        self._unlisted = Unlisted(memory, lists)
        self._messages = Messages(
            memory, lists, planning, sending, repairing, histories, people, delivery
        )
        founding = Founding(memory, key_packages, targets)
        joining = self._joining = Joining(memory, lists, key_packages, renewing)
        committing = self._committing = Committing(
            memory, lists, self._unlisted, key_packages, targets, planning, renewing
        )
        restarting = Restarting(memory, lists, key_packages, self._messages)
        ladder = self._ladder = Ladder(
            memory, lists, sending, joining, committing, self._messages, restarting
        )
        following = self._following = Following(
            memory, lists, joining, self._messages, ladder, restarting, renewing
        )
        self._confirming = Confirming(memory, sending)
        self._comparing = Comparing(memory, sending, self._confirming)
        self._direct = Direct(memory, directory, sending, founding)
        self.wishes = Wishes(memory, sending, syncing, renewing, founding, following)
        self.streams = Streams(memory, self._direct, joining, following)
        self.by_links = ByLinks(memory, lists, joining, self.streams, self.wishes)
        self.arriving = Arriving(
            memory,
            self._direct,
            joining,
            following,
            ladder,
            self._confirming,
            self.wishes,
            self.streams,
        )
        self.answers = Answers(
            memory,
            directory,
            self.streams,
            self.arriving,
            self._direct,
            founding,
            joining,
            self.by_links,
            committing,
            following,
            self._messages,
            ladder,
        )
        self._confirming.some_devices = ladder.some_devices
        self._comparing.on_forked = ladder.doubt
        syncing.on_told = lambda now: self.spoke(memory.account_id, now)
        ladder.on_astray = self.wishes.tell_gone
        self._messages.lets_speak = self._unlisted.lets_speak
        self._messages.is_left_out = committing.is_left_out

    # --- Conversations of two, and of our own devices ------------------------------------

    def check_direct(self, peer: bytes) -> None:
        """Raise if a conversation with an account can't be founded as the person wants it."""
        self._direct.check(peer)

    def found_direct(self, peer: bytes, now: int) -> bool:
        """Whether a new conversation with an account is one on MLS; then it is founded."""
        return self._direct.found(peer, now)

    def puts_off(self, info: StreamInfo) -> bool:
        """Whether a stream of two waits until it is known what became of the former one."""
        return self._direct.puts_off(info)

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
        """The group that a conversation of two is; under our own id that of our devices."""
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
        """Whether somebody may have a message of ours again: who was there when it was said.

        Now, or before they came again.
        """
        chat = self._groups.chats.get(group)
        contact = self._memory.contacts.get(requester.account_id)
        if chat is None or contact is None or contact.identity(requester.device_id) is None:
            return False
        # Behind another key than the one under which it was in, there may be somebody else.
        account, roster = requester.account_id, chat.roster
        key = self._lists.account_key(account)
        if roster is not None and account in chat.since:
            if not roster.state.admits(account, key):
                return False
            if self._messages.may_resend(chat, chat.since[account], message):
                return True
        return any(
            former.key == key
            and (message.seq or 0) < former.went
            and self._messages.may_resend(chat, former.came, message)
            for former in chat.record.former.get(account, ())
        )

    # --- Streams and entries -------------------------------------------------------------

    def connected(self, now: int) -> None:
        """What the server said before this connection may be out of date."""
        self._lists.connected()
        accounts: set[bytes] = set()
        for chat in self._groups.chats.values():
            chat.taken, chat.leave_asked = b"", None
            self._unlisted.connected(chat)
            is_whole = chat.has_state and chat.roster is not None
            if chat.record.state is GroupState.ACTIVE and not is_whole:
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
            if chat.is_active or (chat.is_direct and chat.record.state is not GroupState.FOUNDING):
                self._ladder.compare(chat)
            elif chat.is_left:
                # Numbers are given again.
                chat.record.followed_seq = 0
                self._groups.put(chat)
                if chat.record.acceptance is Acceptance.DECLINED and not chat.is_direct:
                    # It may have lost that we went.
                    self._ladder.compare(chat)

    # --- Controls ------------------------------------------------------------------------

    def controlled(self, by: DeviceIdentity, control: Content, now: int) -> bool:
        """Take a control message of another device, if it is about groups, or our own list."""
        if isinstance(control, OwnListSync):
            if by.account_id == self._memory.account_id:
                self._syncing.take(control, by.device_id, now)
        elif isinstance(control, ReaddWanted):
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

    def act(self, now: int, *, behind: bool) -> None:
        """Do what is due in each group. What comes of it leaves with the next requests.

        With those of `Sending`, too: members are asked over pairwise sessions.
        """
        for chat in self._groups.chats.values():
            self._drop_lost(chat)
            self.streams.follow_own(chat)
        self.by_links.go_on(now)
        for chat in list(self._groups.chats.values()):
            self._following.let_go(chat)
            chat.acted_at = now
            if now >= chat.rests_until and not self._direct.is_hushed(chat):
                self._do_what_is_due(chat, now, behind=behind)

    def requests(self, now: int, is_paused: Callable[[Key, int], bool]) -> list[ServerRequest]:
        """Everything that has to be asked for the groups."""
        needs: list[ServerRequest] = []
        for chat in self._groups.chats.values():
            pending = chat.record.pending
            if pending is not None and not chat.is_taken:
                kind, body = _REQUESTS[pending.what]
                request = decode_request(pending.request, body)
                needs.append(ServerRequest((GROUP, chat.id), kind, request))
            if not self._direct.is_hushed(chat):
                needs += self._messages.requests(chat, now, is_paused)
        return [*needs, *self._joining.requests(), *self._ladder.requests()]

    def can_be_added(self, device_id: bytes) -> None:
        """A device of our account has key packages by now, where it had none.

        The server says so. If that is not true, some are asked for in vain once more.
        """
        own = self._memory.contacts[self._memory.account_id]
        if own.identity(device_id) is not None:
            for chat in self._groups.chats.values():
                self._committing.try_again(chat, device_id)

    def _do_what_is_due(self, chat: Chat, now: int, *, behind: bool) -> None:
        """Whatever is wrong with one group stays in it: the others go on."""
        try:
            self._ladder.climb(chat, now)
            if not behind:
                trouble = chat.record.trouble
                self._act(chat, now)
                if chat.record.trouble is not trouble:
                    # Its first rung is due now: nothing else would come to it.
                    self._ladder.climb(chat, now)
        except Wanting as wanting:
            self._lists.want(wanting.accounts)
        except ParlourError as problem:
            chat.rests_until = now + REST
            self._committing.failed(chat, problem, now)

    def _act(self, chat: Chat, now: int) -> None:
        if chat.is_left:
            return
        self.arriving.act(chat, now)
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
                self.arriving.next_timeout(chat),
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
