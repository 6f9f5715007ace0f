"""From "say this" to an encrypted entry on its way.

What is to be said is an intent in the outbox, bound to nothing that can change. When the stream
exists, the device lists are current and there is a session with every device, all that waits is
encrypted in one batch; the ciphertext is written down with the sessions before it leaves, so that
a crash repeats a ciphertext, never a key.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from parlour.conversation import content as contents
from parlour.conversation import genesis as founding
from parlour.conversation.bundles import Bundling
from parlour.conversation.changes import Message, MessageState, PutMessage
from parlour.conversation.content import Content, Notice
from parlour.conversation.directory import Directory
from parlour.conversation.events import (
    HistoryMismatch,
    MessageSent,
    SendingBlocked,
    ServerMisbehaved,
)
from parlour.conversation.groups.records import GroupState
from parlour.conversation.numbers import start_over
from parlour.conversation.pending import Key
from parlour.conversation.records import Conversation, Outgoing
from parlour.conversation.requests import LoadMessage, ServerRequest
from parlour.conversation.sealing import Sealing
from parlour.conversation.standing import Standing
from parlour.conversation.state import Memory, queued_message
from parlour.conversation.sync import Sync
from parlour.errors import CODES, Code, NotFoundError, SecurityStop, TransportError, error
from parlour.roster.genesis import Genesis
from parlour.wire.ids import ID_SIZE
from parlour.wire.kinds import Kind
from parlour.wire.streams import CreateConversation, Entry, Read, StreamInfo

CREATE = "create"
CAME_BACK = "came-back"
KNOWN = "known"
APPEND = "append"
# How many messages of a conversation are sealed and under way at a time.
WINDOW: Final = 64
# Messages whose entries are still to come back in their streams, in memory only.
_MAX_NUMBERED: Final = 1000


@dataclass(frozen=True, slots=True)
class _Numbered:
    """A message with the number that the answer to it said, and the hash of its entry."""

    message: Message
    digest: bytes | None


class Sending:
    """The outbox, and everything that has to be there before it can go out."""

    def __init__(self, memory: Memory, directory: Directory, bundling: Bundling) -> None:
        self._memory = memory
        self._directory = directory
        self._bundling = bundling
        self._sealing = Sealing(memory)
        self._blocked: dict[bytes, Code] = {}
        self._numbered: OrderedDict[bytes, _Numbered] = OrderedDict()
        # Conversations that get another stream than they had.
        self._anew: set[bytes] = set()
        # Conversations of which the server has named a second stream.
        self._doubted: set[bytes] = set()
        # With their conversation and the number under which they came.
        self._came_back: OrderedDict[bytes, tuple[bytes, int]] = OrderedDict()
        # Whether a new conversation with an account is one on MLS: then it is founded (`groups`).
        self.founds_group: Callable[[bytes, int], bool] = lambda *_: False

    def connected(self) -> None:
        """A server that answered badly may be well by now."""
        self._blocked.clear()

    # --- Intents -------------------------------------------------------------------------

    def check(self, peer: bytes, content: Content) -> None:
        """Raise what stands in the way of saying `content` to `peer`."""
        if peer == self._memory.account_id:
            raise error(Code.USAGE_INVALID, "a conversation needs another account")
        contact = self._memory.contacts.get(peer)
        if contact is None:
            raise NotFoundError(Code.ACCOUNT_UNKNOWN)
        if contact.stopped:
            raise error(Code.ACCOUNT_KEY_CHANGED, contact.name)
        contents.encode(content)

    def send(self, peer: bytes, content: Content, now: int) -> bytes:
        """Queue content for the direct conversation with `peer`; return the message's id."""
        self.check(peer, content)
        encoded = contents.encode(content)
        self._begin(peer)
        outgoing = self.queue(peer, encoded, now)
        self.show(outgoing)
        return outgoing.message_id

    def show(self, outgoing: Outgoing) -> None:
        """Let what is queued stand in its conversation."""
        self._memory.changes.append(PutMessage(queued_message(outgoing, self._memory)))

    def send_silently(self, peer: bytes, content: Notice | Sync, now: int) -> None:
        """Queue content for programs: a notice to a contact, a sync to our other devices."""
        if peer == self._memory.account_id and not self._has_other_devices():
            return
        self._begin(peer)
        self.queue(peer, contents.encode(content), now, silent=True)

    def _has_other_devices(self) -> bool:
        return len(self._memory.contacts[self._memory.account_id].head.devices) > 1

    def _begin(self, peer: bytes) -> None:
        if peer not in self._memory.conversations:
            self._memory.put_conversation(Conversation(peer=peer))

    def send_to_inbox(self, peer: bytes, device_id: bytes, content: Content, now: int) -> None:
        """Queue control content for one device: of `peer`, or of ours.

        What waits to be said already is not said twice: a server that is down for days gets one.
        """
        encoded = contents.encode(content)
        waiting = self._memory.queues.get(peer, {}).get(device_id, {})
        if any(outgoing.content == encoded for outgoing in waiting.values()):
            return
        self._begin(peer)
        self.queue(peer, encoded, now, inbox=device_id)

    def queue(
        self, peer: bytes, content: bytes, now: int, *, inbox: bytes = b"", silent: bool = False
    ) -> Outgoing:
        """Keep encoded content until it has left."""
        outgoing = Outgoing(
            message_id=self._memory.random(ID_SIZE),
            conversation=peer,
            order=self._memory.next_order(),
            sent_at=now,
            content=content,
            inbox=inbox,
            silent=silent,
        )
        self._memory.put_outgoing(outgoing)
        return outgoing

    # --- Needs ---------------------------------------------------------------------------

    def requests(self, now: int, is_paused: Callable[[Key, int], bool]) -> list[ServerRequest]:
        """Everything that has to be asked so that the outbox empties."""
        doubted = [self._memory.conversations[peer] for peer in sorted(self._doubted)]
        needs = [self._ask_for(each) for each in doubted if _stream_of(each)]
        for peer in list(self._memory.queues):
            if peer in self._memory.groups.chats:
                continue
            contact = self._memory.contacts.get(peer)
            if contact is None:
                # We ask a device of our own for what it said to somebody whom we don't know yet.
                self._directory.want(peer)
            elif not (contact.stopped or contact.standing is Standing.BLOCKED):
                needs += self._conversation_needs(peer, now, is_paused)
        return needs

    def _ask_for(self, conversation: Conversation) -> ServerRequest:
        """Ask whether a stream is still there, of which another one is named as well."""
        body = Read(stream=_stream_of(conversation), after=conversation.received, limit=1)
        return ServerRequest((KNOWN, conversation.peer), Kind.READ, body)

    def _conversation_needs(
        self, peer: bytes, now: int, is_paused: Callable[[Key, int], bool]
    ) -> list[ServerRequest]:
        conversation = self._memory.conversations[peer]
        if peer == self._memory.account_id and not self._has_other_devices():
            # The last of them has left; there is nobody to tell.
            self._memory.drop_waiting(peer, None)
            return []
        said = b"" in self._memory.queues[peer]
        on_mls = self._memory.groups.of(peer) is not None
        if said and not (on_mls or conversation.stream):
            # To an inbox alone no stream of two is needed.
            on_mls = self.founds_group(peer, now)
            if not on_mls:
                return [self._create(conversation)]
        accounts = sorted({peer, self._memory.account_id})
        stale = [account for account in accounts if not self._directory.is_current(account)]
        if stale:
            return []
        waiting = [
            self._checked(conversation, outgoing)
            for inbox, queue in self._memory.queues[peer].items()
            if inbox or not on_mls
            for outgoing in list(islice(queue.values(), WINDOW))
        ]
        new = [outgoing for outgoing in waiting if not outgoing.sealed]
        inboxes = {outgoing.inbox for outgoing in new}
        needs = self._bundling.requests(conversation, inboxes, now)
        ready = {inbox for inbox in inboxes if self._bundling.is_ready(conversation, inbox, now)}
        sealed = [outgoing for outgoing in new if outgoing.inbox in ready]
        if not self._sealing.seal_all(conversation, sealed, now):
            # A session turned out to be too old: there is a bundle more to fetch.
            needs = self._bundling.requests(conversation, inboxes, now)
        return needs + self._appends(waiting, now, is_paused)

    def _appends(
        self, waiting: list[Outgoing], now: int, is_paused: Callable[[Key, int], bool]
    ) -> list[ServerRequest]:
        """What is sealed, in order: behind one that failed, the others of its stream wait."""
        needs = []
        paused: set[bytes] = set()
        for message_id in (outgoing.message_id for outgoing in waiting):
            outgoing = self._memory.outbox.get(message_id)
            if outgoing is None or not outgoing.sealed:
                continue
            key = (APPEND, message_id)
            if outgoing.inbox not in paused:
                needs.append(ServerRequest(key, Kind.APPEND, self._sealing.append(outgoing)))
            if is_paused(key, now):
                paused.add(outgoing.inbox)
        return needs

    def _checked(self, conversation: Conversation, outgoing: Outgoing) -> Outgoing:
        """Open up what was sealed for a device that has left since: it gets nothing any more.

        So is what was sealed for a stream that the server lost, and that is another one by now.
        """
        if outgoing.sealed:
            if self._sealing.append(outgoing).stream not in (conversation.stream, outgoing.inbox):
                return self._sealing.unsealed(outgoing)
            targets = self._memory.targets(conversation, outgoing.inbox)
            allowed = {target.device_id for target in targets}
            if any(part.device_id not in allowed for part in self._sealing.append(outgoing).parts):
                return self._sealing.unsealed(outgoing)
        return outgoing

    def _create(self, conversation: Conversation) -> ServerRequest:
        own = self._memory.account_id
        genesis = founding.between(own, conversation.peer)
        anew = conversation.peer in self._anew
        body = CreateConversation(
            stream=(b"" if anew else conversation.former) or self._memory.random(ID_SIZE),
            kind="self" if conversation.peer == own else "direct",
            members=list(genesis.members),
            genesis=genesis.encode(),
        )
        return ServerRequest((CREATE, conversation.peer), Kind.CREATE_CONVERSATION, body)

    # --- Answers -------------------------------------------------------------------------

    def learn_stream(self, info: StreamInfo) -> None:
        """Take a stream of a pairwise conversation; its genesis must be the one we would make."""
        own = self._memory.account_id
        peer = other_member(info, own)
        founding.check_between(info.genesis, own, peer)
        group = self._memory.groups.of(peer)
        if group is not None:
            if group.record.state is not GroupState.FOUNDING:
                self.doubt(peer)
                raise error(Code.CONVERSATION_GENESIS, "another kind than before")
            # The other was first, and founded one of the other kind.
            self._memory.groups.drop(group)
        conversation = self._memory.conversations.get(peer)
        if conversation is None:
            conversation = Conversation(peer=peer)
        if conversation.stream and conversation.stream != info.stream:
            self.doubt(peer)
            raise error(Code.SERVER_MISBEHAVED, "a second stream for one conversation")
        if not conversation.stream:
            if conversation.former not in (b"", info.stream):
                # Nothing of this one was seen.
                conversation.seen_before = 0
            self._anew.discard(peer)
            conversation.stream = info.stream
            conversation.former = b""
            conversation.genesis = info.genesis
            self._memory.put_conversation(conversation)

    def doubt(self, peer: bytes) -> None:
        """Ask whether the server still has the stream that we know: it named another one."""
        self._doubted.add(peer)

    def doubt_all(self) -> None:
        """Ask of each stream whether the server still has it: one of them it does not know."""
        self._doubted.update(self._memory.conversations)

    def is_known(self, peer: bytes) -> None:
        """The server has the stream that we know: the other one that it named stays refused."""
        self._doubted.discard(peer)

    def is_lost(self, peer: bytes, stream: bytes) -> bool:
        """Whether the server has a conversation's stream no more, as it says; not a group's.

        It has shown us what it showed nobody else, or pretends to have lost it. We are told so, and
        go on where the others are: what is missing by that is known from its counters.
        """
        self._doubted.discard(peer)
        conversation = self._memory.conversations[peer]
        if _stream_of(conversation) != stream or self._memory.groups.of(peer) is not None:
            return False
        start_over(conversation)
        if not founding.is_pairwise(conversation.genesis):
            # Another device of ours was in it, and has told this one.
            conversation.genesis = conversation.former = b""
        # Others may know it: under the same id, what is new would be taken for what they have read.
        self._anew.add(peer)
        self._memory.put_conversation(conversation)
        self._memory.refused.clear()
        self._memory.events.append(ServerMisbehaved("stream", Code.STREAM_UNKNOWN))
        return True

    def blocked(self, account_id: bytes, reason: Code) -> None:
        """Say once that nothing goes out to an account, and why."""
        if CODES[reason].kind is TransportError or reason is Code.LIMIT_RATE:
            # It goes on by itself; nobody has to act.
            return
        if self._blocked.get(account_id) is not reason:
            self._blocked[account_id] = reason
            self._memory.events.append(SendingBlocked(account_id, reason))

    def unblocked(self, account_id: bytes) -> None:
        """What blocked an account is over."""
        self._blocked.pop(account_id, None)

    def refused(self, message_id: bytes, reason: Code) -> None:
        """The server did not take a message; it stays queued, and whoever uses this is told."""
        outgoing = self._memory.outbox.get(message_id)
        if outgoing is not None:
            self.blocked(outgoing.conversation, reason)

    def unseal_all(self, peer: bytes) -> None:
        """What waits goes to a conversation of another kind: nobody there could read it."""
        for outgoing in list(self._memory.queues.get(peer, {}).get(b"", {}).values()):
            if outgoing.sealed:
                self._sealing.unsealed(outgoing)

    def unseal(self, message_id: bytes) -> bool:
        """Encrypt once more: the server refused the devices that a message was made for.

        Return whether that is the first time, so that there is reason to do it at once.
        """
        outgoing = self._memory.outbox.get(message_id)
        if outgoing is None:
            return True
        self._sealing.unsealed(outgoing)
        for account in (outgoing.conversation, self._memory.account_id):
            self._directory.want(account)
        return not outgoing.resealed

    def came_back(self, entry: Entry, conversation: bytes, digest: bytes) -> None:
        """A message of ours comes in its stream, with its hash: only that moves a position.

        An answer with a number far ahead would make us pass over the rest.
        """
        if entry.client_id in self._memory.outbox:
            self.mark_sent(entry.client_id, entry.seq, entry.stored_at, digest)
            return
        numbered = self._numbered.pop(entry.client_id, None)
        if numbered is None or numbered.message.seq != entry.seq:
            # Of what was sent before the last start, the store knows which number was told.
            self._came_back[entry.client_id] = (conversation, entry.seq)
            while len(self._came_back) > _MAX_NUMBERED:
                self._came_back.popitem(last=False)
        elif numbered.digest is not None and numbered.digest != digest:
            self._mismatched(numbered.message)

    def lookups(self) -> list[LoadMessage]:
        """Messages of ours that came back, to be looked up in the store."""
        return [
            LoadMessage((CAME_BACK, message_id), conversation, message_id)
            for message_id, (conversation, _) in self._came_back.items()
        ]

    def loaded(self, message_id: bytes, message: Message | None) -> None:
        """The number under which a message came back is right, whatever the answer to it said."""
        _, seq = self._came_back.pop(message_id, (b"", 0))
        if message is not None and seq and message.seq not in (None, seq):
            self._mismatched(message)
            self._memory.changes.append(PutMessage(replace(message, seq=seq)))

    def mark_sent(
        self, message_id: bytes, seq: int, stored_at: int, seen: bytes | None = None
    ) -> None:
        """A message of ours has its number. Whatever says so first counts.

        `seen` is the hash of the entry, when the entry itself was seen in the stream.
        """
        outgoing = self._memory.outbox.get(message_id)
        if outgoing is None:
            return
        digest = self._sealing.own_hash(outgoing, seq)
        self._memory.delete_outgoing(message_id)
        self._sealing.forget(message_id)
        if outgoing.inbox:
            return
        message = self._sent_message(outgoing, seq, stored_at)
        self._memory.changes.append(PutMessage(message))
        if not outgoing.silent:
            self._memory.events.append(MessageSent(message))
        self.unblocked(outgoing.conversation)
        if seen is None:
            self._numbered[message_id] = _Numbered(message, digest)
            while len(self._numbered) > _MAX_NUMBERED:
                self._numbered.popitem(last=False)
        elif digest is not None and digest != seen:
            self._mismatched(message)

    def _mismatched(self, message: Message) -> None:
        own = self._memory.device_id
        self._memory.events.append(HistoryMismatch(message.conversation, own, message.seq or 0))

    def _sent_message(self, outgoing: Outgoing, seq: int, stored_at: int) -> Message:
        return Message(
            conversation=outgoing.conversation,
            message_id=outgoing.message_id,
            sender_account=self._memory.account_id,
            sender_device=self._memory.device_id,
            seq=seq,
            sent_at=outgoing.sent_at,
            stored_at=stored_at,
            state=MessageState.SILENT if outgoing.silent else MessageState.SENT,
            content=outgoing.content,
        )


def _stream_of(conversation: Conversation) -> bytes:
    """Its stream; on MLS also where the server has not named it, and another device of ours has."""
    stream, genesis = conversation.stream, conversation.genesis
    if stream or not genesis or founding.is_pairwise(genesis):
        return stream
    return Genesis.decode(genesis).stream


def other_member(info: StreamInfo, own: bytes) -> bytes:
    """The account that a pairwise conversation is with: our own for that of our devices."""
    others = [member for member in info.members if member != own]
    expected = {"direct": 1, "self": 0}.get(info.kind)
    if expected is None:
        raise SecurityStop(Code.CONVERSATION_GENESIS, "a stream of another kind")
    if own not in info.members or len(others) != expected or len(info.members) != expected + 1:
        raise SecurityStop(Code.CONVERSATION_GENESIS, "not a conversation of two with us")
    return others[0] if others else own


def saw(conversation: Conversation, seq: int, digest: bytes) -> None:
    """Remember the newest entry seen, which the next message will name."""
    if seq > conversation.last_seq:
        conversation.last_seq = seq
        conversation.last_hash = digest
