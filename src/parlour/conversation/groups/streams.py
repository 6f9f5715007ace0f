"""Which group a stream is, from the server's naming it to its naming it no more."""

from __future__ import annotations

from parlour.conversation import content as contents
from parlour.conversation.groups.chat import MAX_TIMES, Chat
from parlour.conversation.groups.direct import Direct
from parlour.conversation.groups.following import Following
from parlour.conversation.groups.joining import Joining
from parlour.conversation.groups.memory import GroupMemory
from parlour.conversation.groups.records import NOWHERE, Acceptance, GroupRecord, GroupState
from parlour.conversation.policies import check_floor
from parlour.conversation.records import Conversation
from parlour.conversation.state import Memory
from parlour.conversation.sync import GroupSync
from parlour.errors import Code, ParlourError, SecurityStop, error
from parlour.roster.genesis import Genesis
from parlour.roster.roles import FIXED_KINDS
from parlour.roster.state import RosterState
from parlour.wire.groups import GroupState as PublicState
from parlour.wire.streams import StreamInfo


class Streams:
    """Takes up groups, and drops those that the server has no more."""

    def __init__(
        self, memory: Memory, direct: Direct, joining: Joining, following: Following
    ) -> None:
        self._memory = memory
        self._groups: GroupMemory = memory.groups
        self._direct = direct
        self._joining = joining
        self._following = following

    def learn(self, info: StreamInfo) -> None:
        """A stream of a group that we may read, and from where on."""
        self._take_up(info)
        conversation = self._memory.conversation_of_stream(info.stream)
        if conversation is not None:
            conversation.first = info.first
            self._memory.put_conversation(conversation)

    def _take_up(self, info: StreamInfo) -> None:
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
        if genesis.kind in FIXED_KINDS:
            self._direct.meet(info, genesis)
            return
        self.meet(info.stream, info.genesis)

    def meet(self, stream: bytes, genesis: bytes) -> Chat:
        """Take up a group that we do not know yet."""
        record = GroupRecord(group=stream, genesis=genesis, state=GroupState.JOINING)
        if stream in self._memory.linked:
            record.link = self._memory.linked[stream].link_id
        chat = Chat(record, self._groups.policy, self._groups.shared)
        self._groups.put(chat)
        self._memory.put_conversation(
            Conversation(peer=stream, stream=stream, genesis=genesis, late=True)
        )
        return chat

    def come_back(self, chat: Chat) -> None:
        """We were in it, left, and are brought in again."""
        record = chat.record
        chat.group = chat.roster = None
        record.state = GroupState.JOINING
        record.acceptance = Acceptance.INVITED
        if record.joined_epoch != NOWHERE:
            # What was said then may still be missing here.
            time = (record.joined_epoch, max(record.joined_epoch, record.highest))
            record.times = [*record.times, time][-MAX_TIMES:]
        record.joined_seq, record.joined_epoch, record.is_newcomer = 0, NOWHERE, False
        record.link = b""
        record.shut_out = False
        record.pending = record.trouble = None
        chat.since, chat.recent = {}, []
        chat.timers.clear()
        chat.due.clear()
        self._groups.put(chat)
        self._attach(chat, anew=True)

    def follow_own(self, chat: Chat) -> None:
        """Come back where we left, the person has said yes on another device, and we belong to it.

        Who left as the last one is still on the roster, and this device has a leaf there perhaps:
        nobody adds it then.
        """
        kept = self._memory.syncs.get(chat.id)
        said = None if kept is None else contents.decode(kept)
        named = self._memory.conversations[chat.conversation].stream and not chat.record.letting_go
        if not isinstance(said, GroupSync) or not named or not chat.is_left:
            return
        self._memory.delete_sync(chat.id)
        self.come_back(chat)
        chat.record.acceptance, chat.record.decided_at = Acceptance.ACCEPTED, said.at
        self._groups.put(chat)

    def _let_in(self, chat: Chat) -> None:
        """The server had said that there is no such group for us, and names it again."""
        decided = chat.record.acceptance
        self.come_back(chat)
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

    def put_back(self, chat: Chat, state: PublicState) -> None:
        """The server was put back; if it has lost that the person left, come back to leave again.

        Nobody who is there may have seen it, and what they say would go to us still.
        """
        members = RosterState.decode(state.roster_state).members
        if self._memory.account_id not in members:
            return
        record, decided_at = chat.record, chat.record.decided_at
        self.come_back(chat)
        record.acceptance, record.decided_at = Acceptance.DECLINED, decided_at
        # Where it is now lies behind what we saw; nothing is said there but that we go.
        record.highest, record.roster_number, record.roster_head = NOWHERE, 0, b""
        self._groups.put(chat)

    def is_outside(self, group: bytes) -> bool:
        """Whether we left a group, so that what comes next of it is the first for us."""
        return self._groups.chats[group].is_left

    def shut_out(self, chat: Chat) -> None:
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
