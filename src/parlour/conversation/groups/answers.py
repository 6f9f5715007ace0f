"""What the server answers to what groups ask of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from parlour.conversation.directory import Directory
from parlour.conversation.events import GroupRefused, ServerMisbehaved
from parlour.conversation.groups.arriving import Arriving
from parlour.conversation.groups.by_links import ByLinks
from parlour.conversation.groups.chat import Chat
from parlour.conversation.groups.committing import MAX_ATTEMPTS, Committing
from parlour.conversation.groups.direct import Direct
from parlour.conversation.groups.following import Following
from parlour.conversation.groups.founding import Founding
from parlour.conversation.groups.joining import READ_GROUP, Joining
from parlour.conversation.groups.ladder import REREAD, Ladder
from parlour.conversation.groups.memory import GroupMemory
from parlour.conversation.groups.messages import Messages
from parlour.conversation.groups.records import Sent
from parlour.conversation.groups.restarting import RESTART
from parlour.conversation.groups.streams import Streams
from parlour.conversation.groups.turns import RACES, retry_after
from parlour.conversation.state import Memory
from parlour.errors import Code, ParlourError, TransportError, error
from parlour.wire.groups import GroupState as PublicState
from parlour.wire.groups import Handled
from parlour.wire.streams import Entry, Page, Read, StreamInfo

GROUP: Final = "group"
# After so many lost races in a row, some ten minutes, a server that shows the group behind us has
# lost what we know, whether it says that it was restored or not.
BEHIND: Final = 2 * RACES
_GONE: Final = (Code.STREAM_UNKNOWN, Code.GROUP_UNKNOWN)


class Answers:
    """Takes answers, and refusals."""

    def __init__(  # noqa: PLR0913, PLR0917 - whatever asks is told what was answered
        self,
        memory: Memory,
        directory: Directory,
        streams: Streams,
        arriving: Arriving,
        direct: Direct,
        founding: Founding,
        joining: Joining,
        by_links: ByLinks,
        committing: Committing,
        following: Following,
        messages: Messages,
        ladder: Ladder,
    ) -> None:
        self._memory = memory
        self._groups: GroupMemory = memory.groups
        self._directory = directory
        self._streams = streams
        self._arriving = arriving
        self._direct = direct
        self._founding = founding
        self._joining = joining
        self._by_links = by_links
        self._committing = committing
        self._following = following
        self._messages = messages
        self._ladder = ladder
        # A stream that the server names in place of the one that we found.
        self.on_stream: Callable[[StreamInfo, int], None] = lambda *_: None
        # A commit that won over ours: it, when it came, and whether it is taken out of its order.
        self.on_winner: Callable[[Entry, int, bool], None] = lambda *_: None

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
                if answer.client_id != getattr(body, "client_id", b""):
                    raise error(Code.SERVER_MISBEHAVED, "an answer about another request")
                self._handled(chat, answer, now)
            case PublicState() if what == READ_GROUP:
                self._joining.answered(about, answer)
                if chat is not None and (chat.compares or chat.doubted):
                    self._compared(chat, answer, now)
                self._arriving.retry(now)
            case Page() if what == REREAD and isinstance(body, Read) and chat is not None:
                self._take_commits(chat, self._ladder.reread(chat, body, answer), now)
            case _:
                return False
        return True

    def _take_commits(self, chat: Chat, commits: Sequence[Entry], now: int) -> None:
        """Follow those that were passed over; what has not come yet keeps its turn.

        Among it may be our removal: after that we read nothing more of what was said before it.
        """
        conversation = self._memory.conversations[chat.conversation]
        for entry in commits:
            if entry.seq > conversation.received:
                if not conversation.stream:
                    # Nobody names it any more to who was put out of it, and we may read it.
                    conversation.stream = chat.id
                    self._memory.put_conversation(conversation)
                self._groups.behind = True
                break
            if entry.seq > chat.record.followed_seq:
                self._arriving.handle(chat, entry, now)

    def _compared(self, chat: Chat, answer: PublicState, now: int) -> None:
        """Where the server's group is, after its data was put back perhaps."""
        chat.compares = chat.doubted = False
        self._joining.done(chat.id)
        if chat.is_left:
            self._streams.put_back(chat, answer)
        else:
            self._ladder.compared(chat, answer, now)

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
            self._not_begun(chat, now)
        else:
            self._committing.lost(chat, now)
            there = (answer.generation, answer.epoch)
            if chat.losses >= BEHIND and there < (chat.record.generation, chat.epoch):
                self._ladder.compare(chat)

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
        self._groups.behind |= received < answer.seq if answer.seq else here != there
        if here < there and not chat.waiting:
            numbers = [winner.seq for winner in answer.winners]
            if numbers and max(numbers) <= received:
                # Catching up would not bring them: their numbers were taken for handled ones. Below
                # the one that we followed last, that had a number that was made up.
                record = chat.record
                record.followed_seq = min(record.followed_seq, min(numbers) - 1)
                self._ladder.passed_over(chat, now)

    def failed(self, what: str, about: bytes, problem: ParlourError, now: int) -> None:
        """A request failed."""
        chat = self._groups.chats.get(about)
        if isinstance(problem, TransportError) or problem.code is Code.LIMIT_RATE:
            return
        if what == READ_GROUP:
            self._joining.failed((what, about), problem)
            if chat is not None:
                chat.doubted = False
            if chat is not None and problem.code in _GONE and self._direct.is_compared(chat):
                self._lost_direct(chat, now)
            elif chat is not None and problem.code in _GONE:
                self.is_lost(chat.id, now)
                self._streams.shut_out(chat)
            self._arriving.retry(now)
        elif what == REREAD:
            self._ladder.reread_failed(about)
        elif what == GROUP and chat is not None and problem.code is not Code.SERVER_MISBEHAVED:
            # An answer that makes no sense is no refusal: what was asked for may have been done.
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
            self._following.leave(chat, self._memory.account_id)
        elif pending.what is Sent.RESTART:
            # Where the server is by now, somebody else may have gone on from.
            self._not_begun(chat, now)
            self._ladder.compare(chat)
        elif pending.what is Sent.JOIN:
            self._joining.lost(chat)
            chat.losses += 1
            final = problem.code is Code.GROUP_LINK or chat.losses >= MAX_ATTEMPTS
            if final and chat.id in self._memory.linked:
                self._by_links.give_up(chat.id, problem.code)
        elif problem.code in (Code.STREAM_UNKNOWN, Code.GROUP_NOT_MEMBER):
            chat.record.pending = None
            self._groups.behind = True
            self._ladder.expelled(chat, now)
        else:
            self._groups.behind = True
            self._committing.refused(chat, problem, now)

    def _not_begun(self, chat: Chat, now: int) -> None:
        """The server did not take our beginning: try again later, and meanwhile other ways back."""
        chat.record.pending = chat.restarting = chat.restarting_roster = None
        chat.losses += 1
        chat.timers[RESTART] = now + retry_after(chat.losses, self._memory.random)
        self._groups.put(chat)

    def is_lost(self, stream: bytes, now: int) -> bool:
        """Whether the server has a conversation of two no more, as it says, and no backup is why.

        It has shown us what it showed nobody else, or pretends to have lost it. We are told so, and
        go on where the other is, as between two who talk pairwise.
        """
        chat = self._groups.chats.get(stream)
        if chat is None or not chat.is_direct or self._direct.is_compared(chat):
            return False
        self._memory.events.append(ServerMisbehaved("stream", Code.STREAM_UNKNOWN))
        self._lost_direct(chat, now)
        self._groups.behind = True
        return True

    def _lost_direct(self, chat: Chat, now: int) -> None:
        """The server has lost a conversation of two: the next message founds it anew."""
        self._messages.reseal(chat)
        self._joining.done(chat.id)
        named = self._direct.lost(chat)
        if named is not None:
            self.on_stream(named, now)

    def not_taken(self, chat: Chat, problem: ParlourError, now: int) -> None:
        """The server did not take a message."""
        gone = (Code.GROUP_NOT_MEMBER, Code.STREAM_UNKNOWN)
        if problem.code in gone and chat.is_active:
            self._groups.behind = True
            self._ladder.expelled(chat, now)
        else:
            self._messages.reseal(chat)
