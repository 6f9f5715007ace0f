"""Coming into groups by links, from the asking to the commit."""

from __future__ import annotations

from parlour.conversation.decided import following
from parlour.conversation.events import GroupRefused
from parlour.conversation.groups.chat import Chat
from parlour.conversation.groups.joining import Joining
from parlour.conversation.groups.lists import Lists, Wanting
from parlour.conversation.groups.memory import GroupMemory
from parlour.conversation.groups.records import Acceptance, GroupState
from parlour.conversation.groups.streams import Streams
from parlour.conversation.groups.wishes import Wishes
from parlour.conversation.policies import check_floor
from parlour.conversation.state import Memory
from parlour.errors import (
    Code,
    ParlourError,
    TransportError,
    error,
)
from parlour.roster.genesis import Genesis
from parlour.roster.links import JoinLink
from parlour.wire.groups import GroupState as PublicState
from parlour.wire.groups import LinkPass


class ByLinks:
    """Follows the links that a person was given."""

    def __init__(
        self,
        memory: Memory,
        lists: Lists,
        joining: Joining,
        streams: Streams,
        wishes: Wishes,
    ) -> None:
        self._memory = memory
        self._groups: GroupMemory = memory.groups
        self._lists = lists
        self._joining = joining
        self._streams = streams
        self._wishes = wishes
        for chat in self._groups.chats.values():
            if chat.record.link_text and chat.record.state is GroupState.JOINING:
                memory.linked[chat.id] = JoinLink.from_text(chat.record.link_text)

    def join(self, link: JoinLink, now: int) -> bytes:
        """Come in by a link; return the group's id. `GroupJoined` or `GroupRefused` follows."""
        known = self._groups.chats.get(link.stream)
        if known is not None and not known.is_left:
            return link.stream
        self._memory.linked[link.stream] = link
        self._joining.ask(link.stream, self._pass(link))
        return link.stream

    def _pass(self, link: JoinLink) -> LinkPass:
        signature = link.sign_pass(self._memory.account_id, self._memory.device_id)
        return LinkPass(link.link_id, signature)

    def go_on(self, now: int) -> None:
        """Come in where a link let us read the group."""
        for stream, link in list(self._memory.linked.items()):
            state, failure = self._joining.answer(stream), self._joining.failure(stream)
            chat = self._groups.chats.get(stream)
            if chat is not None and chat.record.joined_seq and not chat.is_left:
                del self._memory.linked[stream]
            elif failure is not None and not isinstance(failure, TransportError):
                self.give_up(stream, failure.code)
            elif chat is not None and chat.record.pending is not None:
                pass
            elif state is not None:
                self._join_by_link(link, state, now)
            elif not self._joining.is_asked(stream):
                # After a restart, or when somebody else was quicker.
                self._joining.ask(stream, self._pass(link))

    def _join_by_link(self, link: JoinLink, state: PublicState, now: int) -> None:
        try:
            chat = self._met_by_link(link, state, now)
            self._joining.commit_by_link(chat, state, link, now)
            if link.stream not in self._memory.linked:
                # Our account is in already. If all its devices had left, one with a leaf comes
                # back by this, and brings us in.
                self._wishes.tell_decision(chat, now)
        except Wanting as wanting:
            self._lists.want(wanting.accounts)
        except ParlourError as problem:
            self.give_up(link.stream, problem.code)

    def _met_by_link(self, link: JoinLink, state: PublicState, now: int) -> Chat:
        """The group of a link, which names its founding; raises if that is another one."""
        genesis = Genesis.decode(state.genesis)
        if genesis.stream != link.stream or genesis.hash() != link.genesis_hash:
            raise error(Code.CONVERSATION_GENESIS, "another group than the link's")
        check_floor(genesis)
        chat = self._groups.chats.get(link.stream)
        if chat is None:
            chat = self._streams.meet(link.stream, state.genesis)
        elif chat.is_left:
            self._streams.come_back(chat)
        record = chat.record
        if not record.link_text:
            # Whoever follows a link has said yes by that.
            record.acceptance = Acceptance.ACCEPTED
            record.decided_at = following(now, record.decided_at)
        record.link, record.link_text = link.link_id, link.to_text()
        self._groups.put(chat)
        return chat

    def give_up(self, stream: bytes, reason: Code) -> None:
        """A link does not let us in."""
        del self._memory.linked[stream]
        self._joining.done(stream)
        chat = self._groups.chats.get(stream)
        if chat is not None:
            chat.record.state = GroupState.LEFT
            chat.record.pending = None
            chat.record.link_text = ""
            self._groups.put(chat)
        self._memory.events.append(GroupRefused(stream, "join", reason))
