"""From an entry to a message that was read, or to a reason why not.

An entry is never dropped in silence. What can't be read gets a reason (`reasons`), is shown as
such, and is handed to `repair`. Whatever an entry holds, the cursor moves past it: one bad entry
does not stop the next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from parlour.conversation.controls import Controls
from parlour.conversation.delivery import Delivery
from parlour.conversation.directory import Directory
from parlour.conversation.events import MessagesSkipped, ServerMisbehaved
from parlour.conversation.genesis import hash_of
from parlour.conversation.groups.chat import Chat
from parlour.conversation.histories import Histories
from parlour.conversation.numbers import Place, cut, is_new, may_be_known, note, settled
from parlour.conversation.opening import Opening, reason_of
from parlour.conversation.people import People
from parlour.conversation.reasons import Reason
from parlour.conversation.records import Conversation, Held
from parlour.conversation.repair import Repairing
from parlour.conversation.sending import Sending, saw
from parlour.conversation.state import Memory, held_key
from parlour.errors import Code, ParlourError
from parlour.wire.streams import Entry, Position, StreamInfo

# How far this device's clock and the server's may be apart, in milliseconds.
CLOCKS: Final = 15 * 60_000
# Why an entry that was read once may not be read again.
_READ_BEFORE: Final = (
    Reason.UNKNOWN_DEVICE,
    Reason.NO_PART,
    Reason.NO_SESSION,
    Reason.PREKEY_USED,
    Reason.TOO_OLD,
    Reason.REPEATED,
)


class Receiving:
    """Reads entries of conversations and of this device's inbox."""

    def __init__(
        self,
        memory: Memory,
        directory: Directory,
        sending: Sending,
        repairing: Repairing,
        people: People,
        delivery: Delivery,
    ) -> None:
        self._memory = memory
        self._directory = directory
        self._sending = sending
        self._repairing = repairing
        self._people = people
        self._delivery = delivery
        self._opening = Opening(memory)
        self.controls = Controls(memory, directory, self._opening, repairing, people, delivery)
        self.histories = Histories(memory)
        # Accounts of which entries are held until their device lists were read.
        self._awaited: set[bytes] = set()
        self.behind = False
        # Whether a push was left since a page was asked for, which may end before it.
        self.has_left = False
        # Entries of groups, whether one has room for more, and whether we are in it.
        self.on_group: Callable[[Entry, int], None] = lambda *_: None
        self.groups_have_room: Callable[[bytes], bool] = lambda _: True
        self.outside_of_group: Callable[[bytes], bool] = lambda _: False

    # --- Order ---------------------------------------------------------------------------

    def receive(self, entry: Entry, now: int, *, paged: bool) -> None:
        """Take one entry. `paged` when it came in a page, where trimmed numbers may be missing.

        An entry that was taken before is ignored; a pushed one further on than the next is left,
        and `behind` says that there is something to catch up with.
        """
        if entry.stream == self._memory.device_id:
            self._receive_in_inbox(entry, now, paged=paged)
            return
        conversation = self._memory.conversation_of_stream(entry.stream)
        if conversation is None:
            self._pass_over(entry)
            return
        group = self._memory.groups.of(conversation.peer)
        if group is not None and not self.groups_have_room(group.id):
            # What is before it waits for something; it is read again after that.
            self.behind = not paged or self.behind
            return
        if group is not None and (paged or entry.part is not None):
            self._begin_in_group(entry, conversation, group)
        if self._moves(conversation, entry, conversation.peer, now, paged=paged):
            self._take(entry, conversation, now)
            self._memory.put_conversation(conversation)

    def left(self) -> None:
        """Something that was pushed was not taken in: there is something to catch up with."""
        self.behind = self.has_left = True

    def _begin_in_group(self, entry: Entry, conversation: Conversation, group: Chat) -> None:
        """What was there before us is not ours: we begin with the number that the server named.

        What is left out from there on is a gap like others. If it named one too low, it is asked
        for what it does not have; if one too high, it hides what it could hide anyway. Where it
        named none, what comes first is our beginning.
        """
        is_new = conversation.late and not conversation.received
        if is_new or self.outside_of_group(group.id):
            first = min(conversation.first or entry.seq, entry.seq)
            conversation.received = max(conversation.received, first - 1)

    def _moves(self, place: Place, entry: Entry, peer: bytes, now: int, *, paged: bool) -> bool:
        """Whether an entry's turn has come; then it is noted as handled."""
        before = place.received
        if entry.seq > before + 1 and not paged:
            self.left()
            return False
        if not is_new(place, entry.seq) or not note(place, entry.seq, now):
            return False
        if before and place.received > before + 1:
            self._memory.events.append(MessagesSkipped(peer, before, entry.seq))
        return True

    def _pass_over(self, entry: Entry) -> None:
        """An entry of a stream that we refused, or were not told of yet."""
        passed = self._memory.refused.get(entry.stream)
        if passed is None:
            self.left()
        else:
            self._memory.refused[entry.stream] = max(passed, entry.seq)

    def _receive_in_inbox(self, entry: Entry, now: int, *, paged: bool) -> None:
        if self._moves(self._memory.inbox, entry, self._memory.account_id, now, paged=paged):
            self.controls.take(entry, now)
            self._memory.put_inbox()

    def described(self, infos: Sequence[StreamInfo], named: Sequence[Position]) -> None:
        """Go back where a stream ends before the position that was `named` to the server.

        Numbers are never given back. So it made up some, or its data is older than what it says;
        what comes with those numbers from now on is read.
        """
        positions = {position.stream: position.seq for position in named}
        beyond = [info for info in infos if positions.get(info.stream, 0) > info.last]
        for info in beyond:
            conversation = self._memory.conversation_of_stream(info.stream)
            if conversation is not None:
                self._cut(conversation, info.last)
            elif info.stream == self._memory.device_id:
                cut(self._memory.inbox, info.last)
                self._memory.put_inbox()
            else:
                self._memory.refused[info.stream] = info.last
        if beyond:
            self._memory.events.append(ServerMisbehaved("numbers", Code.SERVER_MISBEHAVED))

    def _cut(self, conversation: Conversation, last: int) -> None:
        # What is repeated of it is recognised as after a restore; what was in a gap is new.
        conversation.seen_before = max(conversation.seen_before, settled(conversation))
        conversation.seen_until = max(conversation.seen_until, conversation.newest)
        cut(conversation, last)
        conversation.read = min(conversation.read, last)
        if conversation.last_seq > last:
            conversation.last_seq, conversation.last_hash = 0, b""
        self._memory.put_conversation(conversation)
        group = self._memory.groups.of(conversation.peer)
        if group is not None and group.record.followed_seq > last:
            # Nobody knows which number it had: what is read again is known by its epoch.
            group.record.followed_seq = 0
            self._memory.groups.put(group)

    # --- Conversations -------------------------------------------------------------------

    def _take(self, entry: Entry, conversation: Conversation, now: int) -> None:
        digest = self.histories.note_hash(entry, conversation)
        conversation.newest = max(conversation.newest, entry.stored_at)
        if self._memory.groups.of(conversation.peer) is not None:
            self.on_group(entry, now)
            saw(conversation, entry.seq, digest)
            return
        if entry.sender_device == self._memory.device_id:
            self._sending.came_back(entry, conversation.peer, digest)
        elif held_key(entry) in self._memory.held:
            # The server's data was restored, and brings what we hold already.
            pass
        elif entry.sender_account not in (conversation.peer, self._memory.account_id):
            self._repairing.unreadable(entry, conversation, Reason.UNKNOWN_DEVICE, now)
        else:
            self._read(entry, conversation, now)
        saw(conversation, entry.seq, digest)

    def _read(
        self, entry: Entry, conversation: Conversation, now: int, held: Held | None = None
    ) -> None:
        """Read an entry of a member of the conversation, or say why not."""
        if not self._people.admits(entry.sender_account, now):
            if held is not None:
                self._repairing.release(held)
            self._people.shut_out(conversation)
            return
        identity = self._memory.identity_of(entry)
        # What we know of the sender's devices may be older than this connection. It is read anew,
        # so that a device that was removed does not stay welcome until we answer.
        self._directory.is_current(entry.sender_account)
        if identity is not None and held is None:
            self._read_before(entry, now)
        reason = self._opening.obstacle(entry, identity)
        if reason is not None or identity is None:
            self._not_read(entry, conversation, reason or Reason.DEVICE_LIST, now, held)
            return
        try:
            genesis_hash = hash_of(conversation.genesis)
            inner, content, since = self._opening.open(entry, identity, genesis_hash, now)
            self._delivery.check(content, conversation)
        except ParlourError as error:
            reason = reason_of(error)
            if reason is Reason.REPEATED and held is not None:
                # An older program opened it as far as it could.
                reason = Reason.TOO_OLD
            self._not_read(entry, conversation, reason, now, held)
            return
        if held is not None:
            self._repairing.release(held)
        self.histories.count(entry, conversation, inner.counter, since)
        self.histories.claim(conversation, entry, inner)
        self._delivery.take(entry, conversation, inner.sent_at, inner.content, content, now)

    def _not_read(
        self,
        entry: Entry,
        conversation: Conversation,
        reason: Reason,
        now: int,
        held: Held | None,
    ) -> None:
        if held is not None:
            if reason.value == held.reason:
                return
            self._repairing.release(held)
        if reason is Reason.DEVICE_LIST:
            self._awaited.add(entry.sender_account)
        again = may_be_known(conversation, entry.seq, entry.stored_at) and reason in _READ_BEFORE
        if entry.part is None and self._is_before_us(entry):
            return
        if again:
            # Most likely read long ago, by a session or from a device that is gone.
            self._repairing.repeated(entry, conversation)
        else:
            self._repairing.unreadable(entry, conversation, reason, now)
            self._ask_person(entry, conversation)

    def _ask_person(self, entry: Entry, conversation: Conversation) -> None:
        """What a stranger's device sent is a request, readable or not: it is not passed over."""
        known = self._memory.identity_of(entry) is not None
        if known and entry.sender_account == conversation.peer != self._memory.account_id:
            self._people.hides(conversation)

    def _is_before_us(self, entry: Entry) -> bool:
        """Whether an entry without a part for us was stored before this device was added.

        Both clocks may be wrong by what a login lets pass; what is near is asked for again.
        """
        added_at = self._memory.added_at - CLOCKS
        return not self._memory.own.first and entry.stored_at < added_at

    # --- Once more -----------------------------------------------------------------------

    def retry(self, reasons: set[Reason], account_id: bytes | None, now: int) -> None:
        """Read held entries again whose obstacle may be gone."""
        for held in list(self._memory.held.values()):
            if Reason(held.reason) not in reasons:
                continue
            if account_id is not None and held.entry.sender_account != account_id:
                continue
            self._retry(held, now)
        if account_id is not None:
            self.controls.retry(account_id, now)

    def _retry(self, held: Held, now: int) -> None:
        obstacle = self._opening.obstacle(held.entry, self._memory.identity_of(held.entry))
        if obstacle is Reason.DEVICE_LIST:
            if self._repairing.ask_directory(held):
                return
            # The list is current, and the device is not on it.
            obstacle = Reason.UNKNOWN_DEVICE
        if self._memory.groups.of(held.conversation) is not None:
            return
        conversation = self._memory.conversations[held.conversation]
        if obstacle is Reason.UNKNOWN_DEVICE:
            self._not_read(held.entry, conversation, obstacle, now, held)
        else:
            self._read(held.entry, conversation, now, held)
        self._memory.put_conversation(conversation)

    def _read_before(self, entry: Entry, now: int) -> None:
        """Read what a device sent before `entry` and waits for its list, which we know by now."""
        if entry.sender_account not in self._awaited:
            return
        self._awaited.discard(entry.sender_account)
        for held in list(self._memory.held.values()):
            waits = held.reason == Reason.DEVICE_LIST
            if waits and held.entry.sender_account == entry.sender_account:
                if self._memory.identity_of(held.entry) is None:
                    self._awaited.add(entry.sender_account)
                else:
                    self._retry(held, now)

    def want_directory(self) -> None:
        """Ask again for the device lists that held entries wait for."""
        for held in self._memory.held.values():
            if held.reason == Reason.DEVICE_LIST:
                self._awaited.add(held.entry.sender_account)
                self._directory.want(held.entry.sender_account)
