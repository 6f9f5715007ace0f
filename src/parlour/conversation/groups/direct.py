"""Conversations of two on MLS: a group of kind DIRECT, of which nobody sees that it is one.

What is said stands with the other account, and is heard as that account is (`standing`). Which of
both kinds a conversation is, who founds it decides for good; the other follows, whatever they would
have chosen themselves. The server keeps one stream per pair, so whoever comes second gets the first
one's, and what waits goes there.

What our own devices tell each other goes the same way, as a group of kind SELF: the other account
is our own.
"""

from __future__ import annotations

from typing import Final

from parlour.conversation.directory import Directory
from parlour.conversation.genesis import is_pairwise
from parlour.conversation.groups.chat import Chat
from parlour.conversation.groups.founding import Founding
from parlour.conversation.groups.memory import GroupMemory
from parlour.conversation.groups.records import GroupRecord, GroupState
from parlour.conversation.numbers import start_over
from parlour.conversation.policies import Policy, Suite
from parlour.conversation.presets import built, chosen
from parlour.conversation.records import Conversation
from parlour.conversation.sending import Sending, other_member
from parlour.conversation.standing import Standing
from parlour.conversation.state import Memory
from parlour.errors import Code, ParlourError, error
from parlour.roster.genesis import Genesis, Kind
from parlour.wire.streams import StreamInfo

# A founding that the server refused is tried again, made anew, after so long (ms).
FOUND_AGAIN: Final = 60_000


class Direct:
    """Founds and follows them."""

    def __init__(
        self, memory: Memory, directory: Directory, sending: Sending, founding: Founding
    ) -> None:
        self._memory = memory
        self._groups: GroupMemory = memory.groups
        self._directory = directory
        self._sending = sending
        self._founding = founding
        # When a founding may be tried again, by account (ms).
        self._again: dict[bytes, int] = {}
        # Streams that the server names beside those that it may have lost.
        self._named: dict[bytes, StreamInfo] = {}

    # --- Founding ------------------------------------------------------------------------

    def _kind(self, peer: bytes) -> Kind:
        return Kind.SELF if peer == self._memory.account_id else Kind.DIRECT

    def _policy(self, kind: Kind) -> Policy:
        """What the person wants of a new conversation; raises what can't be had."""
        return built(chosen(self._memory.settings), kind)

    def check(self, peer: bytes) -> None:
        """Raise `UsageError` if a new conversation with an account can't be what is wanted."""
        conversation = self._memory.conversations.get(peer)
        begun = conversation is not None and conversation.genesis
        if not begun and self._groups.of(peer) is None:
            self._policy(self._kind(peer))

    def found(self, peer: bytes, now: int) -> bool:
        """Whether a new conversation with an account is one on MLS; it is made when it can be."""
        conversation = self._memory.conversations[peer]
        if conversation.genesis:
            # Of a pairwise one a server may have lost the stream, and it is made again.
            return not is_pairwise(conversation.genesis)
        kind = self._kind(peer)
        try:
            policy = self._policy(kind)
        except ParlourError as problem:
            # The setting came from a newer program of ours: nothing weaker is made.
            self._sending.blocked(peer, problem.code)
            return True
        if policy.suite is not Suite.MLS:
            return False
        everybody = sorted({self._memory.account_id, peer})
        ready = self._directory.all_current(everybody)
        if self._again.get(peer, 0) > now:
            return True
        # Where lists are still to come, it goes on when they do: that is no time to wait for.
        self._again.pop(peer, None)
        if ready:
            suite = self._founding.choose_suite(everybody, policy)
            self._founding.begin(kind, "", everybody, suite, now, policy)
        return True

    def refused(self, chat: Chat, problem: ParlourError, now: int) -> None:
        """The server does not take what we founded: what waits goes on waiting."""
        peer = chat.record.peer
        self._groups.drop(chat)
        self._again[peer] = now + FOUND_AGAIN
        self._sending.blocked(peer, problem.code)

    def next_timeout(self) -> int | None:
        """When to found again (ms)."""
        waiting = (
            at
            for peer, at in self._again.items()
            if peer in self._memory.queues and self._groups.of(peer) is None
        )
        return min(waiting, default=None)

    # --- Streams -------------------------------------------------------------------------

    def named(self, chat: Chat) -> None:
        """The server has the stream: what we founded has begun, or it is named once more."""
        if chat.record.state is GroupState.FOUNDING:
            self._founding.founded(chat)
        self._begin(chat)

    def meet(self, info: StreamInfo, genesis: Genesis) -> None:
        """Follow what somebody else has founded, us among them; raises what is wrong with it."""
        own = self._memory.account_id
        peer = other_member(info, own)
        if genesis.creator_account not in (own, peer):
            raise error(Code.CONVERSATION_GENESIS, "founded by somebody else")
        known = self._groups.of(peer)
        if known is not None:
            if known.record.state is not GroupState.FOUNDING:
                self._sending.doubt(peer)
                raise error(Code.SERVER_MISBEHAVED, "a second stream for one conversation")
            # The other, or another device of ours, was first.
            self._groups.drop(known)
        self._check_genesis(peer, info)
        record = GroupRecord(
            group=info.stream, genesis=info.genesis, state=GroupState.JOINING, peer=peer
        )
        chat = Chat(record, self._groups.policy)
        self._groups.put(chat)
        self._begin(chat, late=True)
        self._directory.want(peer)

    def _check_genesis(self, peer: bytes, info: StreamInfo) -> None:
        """Raise where a conversation that is known is another one, and is not lost.

        Of one that the server has lost, who founds the next one decides anew.
        """
        conversation = self._memory.conversations.get(peer)
        if conversation is None or conversation.genesis in (b"", info.genesis):
            return
        if conversation.stream or not conversation.former:
            self._sending.doubt(peer)
            raise error(Code.CONVERSATION_GENESIS, "another one than before")
        conversation.seen_before = 0
        self._sending.unseal_all(peer)

    def puts_off(self, info: StreamInfo) -> bool:
        """Whether a stream waits until the server has said whether it still has the one we know.

        The other may have found out before us that it is lost, and founded one of either kind.
        """
        if info.kind not in (Kind.DIRECT.name.lower(), Kind.SELF.name.lower()):
            return False
        peer = other_member(info, self._memory.account_id)
        known = self._groups.of(peer)
        if known is None or known.id == info.stream or not self.is_compared(known):
            return False
        self._named[peer] = info
        return True

    def is_compared(self, chat: Chat) -> bool:
        """Whether the server's data is from a backup, and it has not said where this group is."""
        return chat.is_direct and chat.compares

    def lost(self, chat: Chat) -> StreamInfo | None:
        """The server does not know it any more; return the stream that it names instead, if any.

        Whatever is in its place is signed by a device of one of both, and agreed on anew: who can
        pretend to have lost it gains nothing.
        """
        peer = chat.record.peer
        self._groups.drop(chat)
        conversation = self._memory.conversations[peer]
        start_over(conversation)
        conversation.stream = conversation.former = conversation.genesis = b""
        # Nothing of the next one was seen.
        conversation.seen_before = 0
        conversation.late = True
        self._memory.refused.clear()
        self._memory.put_conversation(conversation)
        return self._named.pop(peer, None)

    def _begin(self, chat: Chat, *, late: bool = False) -> None:
        conversation = self._memory.conversations.get(chat.record.peer)
        if conversation is None:
            conversation = Conversation(peer=chat.record.peer)
        self._again.pop(chat.record.peer, None)
        conversation.late |= late
        conversation.stream = chat.id
        conversation.former = b""
        conversation.genesis = chat.record.genesis
        self._memory.put_conversation(conversation)

    # --- People --------------------------------------------------------------------------

    def is_stopped(self, chat: Chat) -> bool:
        """Whether a changed key waits for a person: nothing is read until then."""
        contact = self._memory.contacts.get(chat.record.peer)
        return contact is not None and contact.stopped

    def is_hushed(self, chat: Chat) -> bool:
        """Whether nothing goes out: to whom nobody has accepted, not even that we are there.

        Our own devices need nobody's yes.
        """
        if not chat.is_direct or chat.record.peer == self._memory.account_id:
            return False
        contact = self._memory.contacts.get(chat.record.peer)
        accepted = contact is not None and contact.standing is Standing.ACCEPTED
        return not accepted or self.is_stopped(chat)
