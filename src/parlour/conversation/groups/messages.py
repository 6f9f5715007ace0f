"""What is said in a group: encrypting what waits, opening what comes.

Each message carries in the clear, authenticated, a tag of its epoch and its id; inside, what a
message between two carries (`inner`). A message that can't be opened is asked for again, from the
device that made it, over the pairwise session with it (`conversation.repair`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import Final, assert_never

from msgspec import structs

from parlour.codec import Reader, Writer, decode
from parlour.conversation import content as contents
from parlour.conversation.changes import DeleteMessage, Message, MessageState, PutMessage
from parlour.conversation.content import (
    CommitBroken,
    Content,
    Control,
    DetailsWanted,
    GroupDetails,
    GroupNotice,
    Notice,
    Unknown,
)
from parlour.conversation.delivery import Delivery
from parlour.conversation.events import GroupChange, GroupChanged, MessageReceived
from parlour.conversation.groups.chat import EPOCH_TAG_SIZE, Chat
from parlour.conversation.groups.credentials import owner_of
from parlour.conversation.groups.lists import Lists
from parlour.conversation.groups.memory import GroupMemory
from parlour.conversation.groups.plan import Planning
from parlour.conversation.groups.records import NOWHERE, Acceptance, Late
from parlour.conversation.groups.turns import turn_after
from parlour.conversation.histories import Histories, hash_of
from parlour.conversation.inner import Inner
from parlour.conversation.numbers import may_be_known
from parlour.conversation.pending import Key
from parlour.conversation.people import MAX_REQUESTED, People
from parlour.conversation.presets import group_policy
from parlour.conversation.reasons import Reason
from parlour.conversation.receiving import CLOCKS
from parlour.conversation.records import Conversation, Outgoing
from parlour.conversation.repair import Repairing
from parlour.conversation.requests import ServerRequest
from parlour.conversation.sending import APPEND, WINDOW, Sending
from parlour.conversation.standing import Standing
from parlour.conversation.state import Memory, received_message
from parlour.conversation.sync import Sync
from parlour.errors import Code, DecodeError, ParlourError, SecurityStop, error
from parlour.mls.private.events import ApplicationMessage
from parlour.mls.public.framing.messages import PrivateMessage, decode_message
from parlour.roster.naming import name_commitment
from parlour.wire.envelope import ENVELOPE_FORMAT, Envelope, SuiteId
from parlour.wire.frames import decode_body, encode_body
from parlour.wire.ids import ID_SIZE
from parlour.wire.kinds import Kind
from parlour.wire.streams import Append, Entry

FORMAT: Final = 1
# Content with a number from here on is for programs (`content`).
_FOR_PROGRAMS: Final = 0x40
# How far (ms) the clock of the device that linked this one may be ahead of the server's.
LINKING: Final = 15 * 60_000
# A device that does not know the group's name asks for it after so long, in milliseconds.
ASK_FOR_DETAILS: Final = 30_000
# One device is told the name so often, however often it asks (ms).
DESCRIBE_EVERY: Final = 5 * 60_000


def encode_clear(epoch_tag: bytes, message_id: bytes) -> bytes:
    """The authenticated data of a message.

    ::

        struct { uint8 format = 1; opaque epoch_tag[8]; opaque message_id[16]; } Clear;
    """
    writer = Writer().uint8(FORMAT).fixed(epoch_tag, EPOCH_TAG_SIZE)
    return writer.fixed(message_id, ID_SIZE).data()


def _read_clear(reader: Reader) -> tuple[bytes, bytes]:
    if reader.uint8() != FORMAT:
        raise DecodeError(Code.DECODE_VERSION, "the clear of a message")
    return reader.fixed(EPOCH_TAG_SIZE), reader.fixed(ID_SIZE)


class Messages:
    """Sends and reads the messages of groups."""

    def __init__(
        self,
        memory: Memory,
        lists: Lists,
        planning: Planning,
        sending: Sending,
        repairing: Repairing,
        histories: Histories,
        people: People,
        delivery: Delivery,
    ) -> None:
        self._memory = memory
        self._groups: GroupMemory = memory.groups
        self._lists = lists
        self._planning = planning
        self._sending = sending
        self._repairing = repairing
        self._histories = histories
        self._people = people
        self._delivery = delivery
        # Somebody spoke in an epoch that we have not seen begin; set by the ladder.
        self.on_ahead: Callable[[Chat, int], None] = lambda *_: None
        # Whether lists that can't be read keep us from speaking (`unlisted`); set by the groups.
        self.lets_speak: Callable[[Chat, int], bool] = lambda *_: False
        # Whether a device is left out for want of a key package, at a time; set by the groups.
        self.is_left_out: Callable[[int, bytes, int], bool] = lambda *_: False
        # Who says of which epoch that it can't be followed; set by the ladder.
        self.on_broken: Callable[[Chat, Entry, CommitBroken, int], None] = lambda *_: None
        self._appends: dict[bytes, Append] = {}

    def _conversation(self, chat: Chat) -> Conversation:
        return self._memory.conversations[chat.conversation]

    # --- Sending -------------------------------------------------------------------------

    def send(self, chat: Chat, content: Content, now: int, *, silent: bool = False) -> bytes:
        """Queue content; return the message's id."""
        outgoing = self._sending.queue(
            chat.conversation, contents.encode(content), now, silent=silent
        )
        return outgoing.message_id

    def describe(self, chat: Chat, now: int) -> None:
        """Tell those who came the group's name."""
        if chat.record.name:
            self.send(chat, GroupDetails(chat.record.name, chat.record.salt), now, silent=True)

    def may_send(self, chat: Chat, now: int) -> bool:
        """Whether something may be encrypted now.

        Not while a leaf is there that may not read, nor while a change that was asked for waits for
        its commit: what is said would still reach whom it should not.
        """
        if not chat.is_active or chat.record.trouble is not None or chat.waiting:
            return False
        if len(chat.live().proposals) or not self.lets_speak(chat, now):
            return False
        return not self._planning.census(chat).surplus

    def _is_whole(self, chat: Chat, now: int) -> bool:
        """Whether both of two have what a message needs to be read by all their devices.

        In a group, who comes later reads what comes later. Between two people nobody comes: a
        device that is on the list should read what is said from then on.
        """
        if not chat.is_direct:
            return True
        whole = all(
            self.is_left_out(chat.genesis.suite, device_id, now)
            for devices in self._planning.census(chat).missing.values()
            for device_id in devices
        )
        peer = chat.record.peer
        if whole and not chat.leaves_of(peer):
            self._sending.blocked(peer, Code.KEY_PACKAGE_NONE)
            return False
        return whole

    def requests(
        self, chat: Chat, now: int, is_paused: Callable[[Key, int], bool]
    ) -> list[ServerRequest]:
        """What is sealed, in order; what is not is sealed first, if that may be."""
        queue = self._memory.queues.get(chat.conversation, {}).get(b"", {})
        if not queue:
            return []
        # Who wants to go says nothing more.
        goes = chat.record.acceptance is Acceptance.DECLINED
        said = (outgoing for outgoing in queue.values() if outgoing.silent or not goes)
        waiting = list(islice(said, WINDOW))
        new = [outgoing for outgoing in waiting if not outgoing.sealed]
        # In a group that nobody has confirmed, what people say waits for a while. What programs
        # say does not: the question for the group's name tells nothing.
        ready = [each for each in new if each.silent or not chat.waits_for_word]
        if ready and self.may_send(chat, now) and self._is_whole(chat, now):
            self._seal(chat, ready, now)
            new = [outgoing for outgoing in new if outgoing not in ready]
        kept = {outgoing.message_id for outgoing in new}
        needs = []
        for message_id in [each.message_id for each in waiting if each.message_id not in kept]:
            outgoing = self._memory.outbox[message_id]
            key = (APPEND, message_id)
            needs.append(ServerRequest(key, Kind.APPEND, decode_body(outgoing.sealed, Append)))
            if is_paused(key, now):
                break
        return needs

    def _seal(self, chat: Chat, ready: list[Outgoing], now: int) -> None:
        group, conversation = chat.live(), self._conversation(chat)
        tag = chat.epoch_tag()
        for outgoing in ready:
            numbered = outgoing
            if not outgoing.counter:
                conversation.sent_counter += 1
                chat.record.sent_since += 1
                numbered = structs.replace(
                    outgoing, counter=conversation.sent_counter, after=chat.record.said_in
                )
            chat.record.said_in = (chat.record.generation, chat.epoch)
            inner = Inner(
                counter=numbered.counter,
                sent_at=numbered.sent_at,
                last_seq=conversation.last_seq,
                last_hash=conversation.last_hash,
                content=numbered.content,
                after=numbered.after,
            )
            body = group.encrypt(
                inner.encode(),
                encode_clear(tag, numbered.message_id),
                random=self._memory.random,
            )
            append = Append(
                stream=chat.id,
                client_id=numbered.message_id,
                envelope=Envelope(ENVELOPE_FORMAT, SuiteId.MLS_MESSAGE, b"", body),
                parts=[],
            )
            self._memory.put_outgoing(structs.replace(numbered, sealed=encode_body(append)))
        self._memory.put_conversation(conversation)
        self._groups.put(chat)
        self._groups.put_state(chat)

    def seal_at_once(self, chat: Chat, content: Content, now: int) -> None:
        """Queue content for programs that is encrypted in the epoch we are in, whatever comes."""
        outgoing = self._sending.queue(
            chat.conversation, contents.encode(content), now, silent=True
        )
        self._seal(chat, [outgoing], now)

    def reseal(self, chat: Chat) -> None:
        """What has no number yet is encrypted anew: for the members of the epoch that began."""
        queue = self._memory.queues.get(chat.conversation, {}).get(b"", {})
        for outgoing in list(queue.values()):
            if outgoing.sealed:
                unsealed = structs.replace(outgoing, sealed=b"", resealed=True)
                self._memory.put_outgoing(unsealed)

    # --- Reading -------------------------------------------------------------------------

    def take(self, chat: Chat, entry: Entry, now: int) -> bool:
        """Take an entry with a message: it is read, or it has a reason why not.

        Raises `Wanting`.
        """
        if entry.sender_device == self._memory.device_id:
            self._sending.came_back(entry, chat.conversation, hash_of(entry))
            self._note_late(chat, entry)
            return True
        conversation = self._conversation(chat)
        if self._is_before_us(chat, entry):
            return True
        if not self._admits(chat, entry, now):
            return True
        if self._lists.find_key(entry.sender_account, entry.sender_device) is None:
            # Before anything is held: what is asked for again is shown in this account's name.
            self._unreadable(chat, entry, Reason.UNKNOWN_DEVICE, now)
            return True
        if not chat.is_active:
            self._unreadable(chat, entry, Reason.EPOCH_LOST, now)
            return True
        group = chat.live()
        try:
            received = group.receive(_decoded(chat, entry), now // 1000)
            if not isinstance(received, ApplicationMessage):
                raise DecodeError(Code.DECODE_MALFORMED, "not something that was said")
            inner = self._opened(chat, entry, received)
            content = contents.decode(inner.content)
            self._check(chat, content)
            chat.note_read(entry.sender_device, entry.client_id)
        except ParlourError as problem:
            reason = self._reason(chat, entry, problem)
            if reason is Reason.REPEATED and self._is_known(chat, entry, conversation):
                self._repairing.repeated(entry, conversation)
            else:
                self._unreadable(chat, entry, reason, now)
            if reason is Reason.EPOCH_LOST:
                self.on_ahead(chat, now)
            self._memory.count(reason.value)
            return True
        finally:
            self._groups.put_state(chat)
        # Who said something since we came has not begun with this one.
        owed = NOWHERE != chat.record.joined_epoch <= inner.after
        self._histories.count(entry, conversation, inner.counter, owed=owed)
        self._histories.claim(conversation, entry, inner)
        self._deliver(chat, entry, inner.sent_at, inner.content, content, now)
        self._memory.put_conversation(conversation)
        return True

    def _note_late(self, chat: Chat, entry: Entry) -> None:
        """Something of ours got its number after a commit that it was not encrypted for.

        Who came in by that commit was not meant by it, and does not get it from us later.
        """
        epoch = _epoch_of(chat, entry)
        if epoch is not None and epoch < (chat.record.generation, chat.epoch):
            began = next((t.seq for t in chat.record.tags if (t.generation, t.epoch) == epoch), 0)
            chat.note_late(entry.client_id, Late(began, entry.seq))
            self._groups.put(chat)

    def may_resend(self, chat: Chat, since: int, message: Message) -> bool:
        """Whether an account that came in by the entry of that number may have a message of ours.

        It was there when that was said, by the roster of the epoch that it was encrypted for.
        """
        late, seq = chat.record.late.get(message.message_id), message.seq or 0
        if late is None and seq <= chat.record.late_until:
            # It may have been one of those that are not remembered any more.
            return False
        return since <= (seq if late is None else late.began)

    def _admits(self, chat: Chat, entry: Entry, now: int) -> bool:
        """Whether what an account says is read at all."""
        if chat.is_direct:
            admitted = self._people.admits(entry.sender_account, now)
            if not admitted:
                self._people.shut_out(self._conversation(chat))
            return admitted
        contact = self._memory.contacts.get(entry.sender_account)
        return contact is None or contact.standing is not Standing.BLOCKED

    def _unreadable(self, chat: Chat, entry: Entry, reason: Reason, now: int) -> None:
        conversation = self._conversation(chat)
        self._repairing.unreadable(entry, conversation, reason, now)
        known = self._memory.identity_of(entry) is not None
        others = entry.sender_account == chat.record.peer != self._memory.account_id
        if chat.is_direct and known and others:
            # What a stranger sent is a request, readable or not.
            self._people.hides(conversation)

    def _is_before_us(self, chat: Chat, entry: Entry) -> bool:
        """Whether something was said before it could be meant for us.

        What is said while this device is on its account's list is for it, also before it has a
        leaf. Where its account came in with it, that is from that epoch on.
        """
        added_at = 0 if self._memory.own.first else self._memory.added_at
        if chat.is_direct:
            return entry.stored_at < added_at - CLOCKS
        record = chat.record
        if record.joined_epoch != NOWHERE:
            epoch = _epoch_of(chat, entry)
            if epoch is None or epoch >= record.joined_epoch:
                return False
            if record.is_newcomer:
                return not any(came <= epoch <= went for came, went in record.times)
        return entry.stored_at < added_at - LINKING

    def _opened(self, chat: Chat, entry: Entry, received: ApplicationMessage) -> Inner:
        """What is inside, if all that stands around it says the same."""
        owner = owner_of(received.leaf_node)
        if (owner.account_id, owner.device_id) != (entry.sender_account, entry.sender_device):
            raise SecurityStop(Code.GROUP_NOT_MEMBER, "sent by another device than it says")
        if chat.leaf_of(owner.device_id) is None and entry.seq >= chat.left_with(owner.device_id):
            raise SecurityStop(Code.GROUP_NOT_MEMBER, "sent by somebody who was removed")
        tag, message_id = decode(received.authenticated_data, _read_clear)
        if message_id != entry.client_id:
            raise DecodeError(Code.DECODE_MALFORMED, "a message under another id")
        if received.epoch == chat.epoch and tag != chat.epoch_tag():
            # A hint and no more: whoever is in another epoch could not have been read.
            self._memory.count("epoch.tag_differs")
        inner = Inner.decode(received.data)
        policy = group_policy(self._memory.settings, chat.genesis.kind)
        if policy.refuses_replays and chat.was_read(owner.device_id, message_id):
            raise error(Code.SESSION_REPLAYED, "a message of that id was read")
        return inner

    def _check(self, chat: Chat, content: Content) -> None:
        if chat.is_direct and not isinstance(content, GroupNotice):
            self._delivery.check(content, self._conversation(chat))
            return
        if isinstance(content, Control | Notice | Sync):
            raise DecodeError(Code.DECODE_MALFORMED, f"{type(content).__name__} in a group")

    def _reason(self, chat: Chat, entry: Entry, problem: ParlourError) -> Reason:
        if problem.code is Code.GROUP_NOT_MEMBER:
            return Reason.NOT_MEMBER
        if problem.code is Code.DECODE_VERSION:
            return Reason.NEWER_FORMAT
        if chat.was_read(entry.sender_device, entry.client_id):
            # The server gives it once more, when its keys are gone: nobody is asked for it.
            return Reason.REPEATED
        said, here = _epoch_of(chat, entry), (chat.record.generation, chat.epoch)
        if said is None:
            return Reason.MALFORMED
        if said > here:
            return Reason.EPOCH_LOST
        if said < here and problem.code is Code.MLS_EPOCH:
            return Reason.EPOCH_OVER
        return REASONS.get(problem.code, Reason.TAMPERED)

    def _is_known(self, chat: Chat, entry: Entry, conversation: Conversation) -> bool:
        """Whether a message was read, as far as that is remembered, or may have been."""
        read = chat.was_read(entry.sender_device, entry.client_id)
        return read or may_be_known(conversation, entry.seq, entry.stored_at)

    def unknown(self, chat: Chat, entry: Entry, now: int) -> None:
        """An entry of a kind that a newer program makes."""
        self._unreadable(chat, entry, Reason.NEWER_FORMAT, now)

    def unlisted(self, chat: Chat, entry: Entry, now: int) -> None:
        """A message of a device whose account's list never came."""
        self._unreadable(chat, entry, Reason.UNKNOWN_DEVICE, now)

    # --- What was said -------------------------------------------------------------------

    def resent(self, chat: Chat, entry: Entry, sent_at: int, encoded: bytes, now: int) -> bool:
        """A message that came once more, over the pairwise session; whether it belongs here."""
        try:
            content = contents.decode(encoded)
            self._check(chat, content)
        except ParlourError:
            return False
        chat.note_read(entry.sender_device, entry.client_id)
        self._deliver(chat, entry, sent_at, encoded, content, now)
        return True

    def _deliver(
        self, chat: Chat, entry: Entry, sent_at: int, encoded: bytes, content: Content, now: int
    ) -> None:
        if chat.is_direct and not isinstance(content, GroupNotice):
            conversation = self._conversation(chat)
            self._delivery.take(entry, conversation, sent_at, encoded, content, now)
            self._memory.put_conversation(conversation)
            return
        message = received_message(entry, chat.conversation, sent_at, encoded)
        if isinstance(content, GroupNotice):
            self._changes_nothing_shown(message)
            self._notice(chat, entry, content, now)
        elif isinstance(content, Unknown) and content.tag >= _FOR_PROGRAMS:
            self._changes_nothing_shown(message)
        else:
            self._show(chat, message, content)

    def _changes_nothing_shown(self, message: Message) -> None:
        # It may stand there as unreadable.
        self._memory.changes.append(DeleteMessage(message.key))

    def _show(self, chat: Chat, message: Message, content: Content) -> None:
        match chat.record.acceptance:
            case Acceptance.DECLINED:
                return
            case Acceptance.INVITED:
                conversation = self._conversation(chat)
                if conversation.requested < MAX_REQUESTED:
                    conversation.requested += 1
                    requested = replace(message, state=MessageState.REQUESTED)
                    self._memory.changes.append(PutMessage(requested))
                else:
                    conversation.unkept += 1
            case Acceptance.ACCEPTED:
                self._memory.changes.append(PutMessage(message, undelivered=True))
                self._memory.events.append(MessageReceived(message, content))
            case _:
                assert_never(chat.record.acceptance)

    def _notice(self, chat: Chat, entry: Entry, notice: GroupNotice, now: int) -> None:
        match notice:
            case GroupDetails():
                self._described(chat, entry, notice)
            case DetailsWanted():
                self._asked_for_details(chat, entry, now)
            case CommitBroken():
                self.on_broken(chat, entry, notice, now)
            case _:
                assert_never(notice)

    def _asked_for_details(self, chat: Chat, entry: Entry, now: int) -> None:
        """Answer by turns: the first at once, the next if nobody has until then."""
        last = chat.described.get(entry.sender_device)
        heard = last is not None and last <= now < last + DESCRIBE_EVERY
        if heard or chat.record.acceptance is not Acceptance.ACCEPTED or not chat.is_named:
            return
        chat.described = {
            device: at for device, at in chat.described.items() if at <= now < at + DESCRIBE_EVERY
        }
        chat.described[entry.sender_device] = now
        rank = chat.rank(of=self._memory.device_id)
        due = now + turn_after(rank, self._memory.random)
        chat.describe_at = due if chat.describe_at is None else min(due, chat.describe_at)

    def act(self, chat: Chat, now: int) -> None:
        """Say the group's name if it is our turn to."""
        if chat.describe_at is not None and chat.describe_at <= now:
            chat.describe_at = None
            self.describe(chat, now)

    def _described(self, chat: Chat, entry: Entry, details: GroupDetails) -> None:
        """Take a name that is the one in the roster."""
        commitment = name_commitment(details.salt, details.name)
        if chat.roster is None:
            # It came again before we are in: whoever is in then asks for the name.
            return
        if chat.known_roster().state.name_commitment != commitment:
            return
        chat.describe_at = None
        if (chat.record.name, chat.record.salt) == (details.name, details.salt):
            return
        chat.record.name, chat.record.salt = details.name, details.salt
        self._groups.put(chat)
        self._memory.tell(
            chat,
            GroupChanged(
                chat.id, entry.sender_account, GroupChange.RENAMED, b"", name=details.name
            ),
        )


def _decoded(chat: Chat, entry: Entry) -> PrivateMessage:
    """The message of an entry; raises where it is of another group, or generation."""
    message = decode_message(entry.envelope.body)
    if not isinstance(message, PrivateMessage) or message.group_id[:ID_SIZE] != chat.id:
        raise DecodeError(Code.DECODE_MALFORMED, "not a message of this group")
    if message.group_id != chat.mls_id:
        # On its way while somebody began the group again: its keys are gone, not its sender.
        raise error(Code.MLS_EPOCH, "of another generation")
    return message


def _epoch_of(chat: Chat, entry: Entry) -> tuple[int, int] | None:
    """The generation and epoch that a message says it is of; None for what is none of the group."""
    try:
        message = decode_message(entry.envelope.body)
    except ParlourError:
        return None
    if not isinstance(message, PrivateMessage) or message.group_id[:ID_SIZE] != chat.id:
        return None
    return int.from_bytes(message.group_id[ID_SIZE:]), message.epoch


REASONS: Final[dict[Code, Reason]] = {
    Code.SESSION_REPLAYED: Reason.REPEATED,
    Code.DECODE_MALFORMED: Reason.MALFORMED,
    Code.DECODE_TRUNCATED: Reason.MALFORMED,
    Code.DECODE_TRAILING: Reason.MALFORMED,
    Code.DECODE_OVERSIZED: Reason.MALFORMED,
}
"""Why a message of an epoch that we have could not be opened."""
