"""What is done, by itself, about a message that can't be read.

Each has a reason, a repair and a deadline (`reasons.TREATMENTS`). For most, the device asks the
sender's device for the message again, over a session that is set up anew if the old one is broken.
Both sides bound what the other can make them do.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from parlour.conversation.changes import Message, MessageState, PutMessage
from parlour.conversation.content import ResendRequest, Resent
from parlour.conversation.directory import Directory
from parlour.conversation.events import MessageUnreadable
from parlour.conversation.people import MAX_REQUESTED
from parlour.conversation.reasons import TREATMENTS, Reason, Repair
from parlour.conversation.records import Conversation, Held, SenderCount
from parlour.conversation.requests import LoadMessage
from parlour.conversation.sending import Sending
from parlour.conversation.state import Memory, held_key
from parlour.double_ratchet.identity import DeviceIdentity
from parlour.wire.streams import Entry

LOAD: Final = "load"
# How often, and how far apart in milliseconds, a device asks for one message.
MAX_ASKED: Final = 3
ASK_AGAIN: Final = 24 * 3_600_000
# How often one message is sent again to one device.
MAX_RESENT: Final = 3
_MAX_REMEMBERED: Final = 1000
# Held entries are kept on disk; a server that invents entries can't fill it.
MAX_HELD: Final = 5000
MAX_HELD_BYTES: Final = 40 << 20
# Of that room one account gets a share, and so do all whom nobody has accepted together: nobody
# ends the repairs of others by what can't be read.
_SHARES: Final = 5
# After a reset of the sessions with a device, in milliseconds, the next has to wait.
RESET_PAUSE: Final = 3_600_000

# Where the server's answer was lost, a message is queued here and read there.
_OURS: Final = (MessageState.SENT, MessageState.QUEUED, MessageState.SILENT)

# A device that uses a key twice was put back to an older state, with all its sessions.
_BROKEN_SESSION: Final = (Reason.NO_SESSION, Reason.PREKEY_USED, Reason.REPEATED)


class Repairing:
    """Keeps what can't be read, asks for it again, and answers others who ask."""

    def __init__(self, memory: Memory, directory: Directory, sending: Sending) -> None:
        self._memory = memory
        self._directory = directory
        self._sending = sending
        # Whether something that our devices told each other can't be had any more.
        self.lost_sync = False
        # Who may have a message of a group once more: `groups` decides.
        self.may_resend: Callable[[bytes, DeviceIdentity, Message], bool] = lambda *_: False
        self._reset_at: dict[bytes, int] = {}
        self._resent: OrderedDict[tuple[bytes, bytes], int] = OrderedDict()
        self._loading: dict[bytes, tuple[bytes, list[DeviceIdentity]]] = {}

    # --- Our unreadable messages ---------------------------------------------------------

    def unreadable(
        self, entry: Entry, conversation: Conversation, reason: Reason, now: int
    ) -> None:
        """Show an entry as unreadable, keep it if it can be repaired, and begin to repair it."""
        treatment = TREATMENTS[reason]
        quiet = not self._hears(entry, conversation.peer)
        keeps = treatment.repair is not Repair.NONE and self._has_room(entry, conversation, quiet)
        until = now + treatment.deadline if keeps else now
        if not quiet:
            self._begin(entry, conversation.peer, reason, until, keeps=keeps)
        # What repeats a key repeats a number, too: it stands for no number that is missing.
        counted = reason is not Reason.REPEATED and self._count_unread(entry, conversation)
        if not keeps:
            conversation.unkept += quiet
            return
        held = Held(
            entry=entry,
            conversation=conversation.peer,
            reason=reason.value,
            until=until,
            counted=counted,
            quiet=quiet,
        )
        if treatment.repair is Repair.DIRECTORY:
            self._directory.want(entry.sender_account)
        elif treatment.repair is Repair.RESEND and not quiet:
            self._ask(held, now)
        self._memory.put_held(held)

    def _hears(self, entry: Entry, conversation: bytes) -> bool:
        """Whether anything may come of an entry.

        Asking a stranger for a message would say that we are there, and have not blocked them.
        """
        own = entry.sender_account == self._memory.account_id
        return own or self._memory.hears(conversation)

    def _has_room(self, entry: Entry, conversation: Conversation, quiet: bool) -> bool:
        """Whether one more entry can be held, without taking the room of others."""
        held = [(each.entry, each.quiet) for each in self._memory.held.values()]
        mine = [each for each, _ in held if each.sender_account == entry.sender_account]
        if quiet and len(mine) + conversation.requested >= MAX_REQUESTED:
            return False
        shared = [each for each, is_quiet in held if is_quiet] if quiet else mine
        return _fits(entry, [each for each, _ in held], 1) and _fits(entry, shared, _SHARES)

    def resume(self, now: int) -> None:
        """Show what was held of those who are accepted by now, and begin to repair it."""
        for held in list(self._memory.held.values()):
            if held.quiet and self._hears(held.entry, held.conversation):
                held.quiet = False
                reason = Reason(held.reason)
                self._begin(held.entry, held.conversation, reason, held.until, keeps=True)
                if TREATMENTS[reason].repair is Repair.RESEND and now < held.until:
                    self._ask(held, now)
                self._memory.put_held(held)

    def _count_unread(self, entry: Entry, conversation: Conversation) -> bool:
        """Count an entry of a device that we know; others' names are the server's invention."""
        if self._memory.identity_of(entry) is None:
            return False
        conversation.senders.setdefault(entry.sender_device, SenderCount()).unread += 1
        return True

    def repeated(self, entry: Entry, conversation: Conversation) -> None:
        """Write down that an entry used a key that was used before.

        Where it is a copy of a message that was read, the store keeps that one.
        """
        own = conversation.peer == self._memory.account_id
        if not own and self._hears(entry, conversation.peer):
            self._show(entry, conversation.peer, Reason.REPEATED)

    def _begin(
        self, entry: Entry, conversation: bytes, reason: Reason, until: int, *, keeps: bool
    ) -> None:
        """Tell of an entry that can't be read, unless it is most likely over within a moment."""
        if reason is Reason.REPEATED:
            # It was read, and nobody misses it, or its device makes it anew when it is asked.
            if conversation != self._memory.account_id:
                self._show(entry, conversation, reason)
        elif TREATMENTS[reason].repair is not Repair.DIRECTORY or not keeps:
            self._tell(entry, conversation, reason, until)

    def _tell(self, entry: Entry, conversation: bytes, reason: Reason, until: int) -> None:
        """Show an entry as unreadable. What our devices tell each other is not for people."""
        if conversation == self._memory.account_id:
            self.lost_sync |= TREATMENTS[reason].repair is Repair.NONE
            return
        message = self._show(entry, conversation, reason)
        self._memory.events.append(MessageUnreadable(message, reason, until))

    def _show(self, entry: Entry, conversation: bytes, reason: Reason) -> Message:
        message = Message(
            conversation=conversation,
            message_id=entry.client_id,
            sender_account=entry.sender_account,
            sender_device=entry.sender_device,
            seq=entry.seq,
            sent_at=entry.stored_at,
            stored_at=entry.stored_at,
            state=MessageState.UNREADABLE,
            content=b"",
            reason=reason.value,
        )
        self._memory.changes.append(PutMessage(message))
        return message

    def _ask(self, held: Held, now: int) -> None:
        """Ask the sender's device for a message again."""
        entry = held.entry
        held.asked += 1
        identity = self._memory.identity_of(entry)
        if identity is None:
            return
        if Reason(held.reason) in _BROKEN_SESSION:
            self._reset(identity, now)
        own = self._memory.account_id
        # The sender knows a conversation of two by the other account's id.
        shared = entry.sender_account == own or held.conversation in self._memory.groups.chats
        known_as = held.conversation if shared else own
        request = ResendRequest(
            conversation=known_as, message_id=entry.client_id, reason=held.reason
        )
        peer = self._inbox_peer(held.conversation, entry.sender_account)
        self._sending.send_to_inbox(peer, entry.sender_device, request, now)

    def _inbox_peer(self, conversation: bytes, account_id: bytes) -> bytes:
        """With whom control messages about a conversation are exchanged: of a group, anybody."""
        return account_id if conversation in self._memory.groups.chats else conversation

    def _reset(self, identity: DeviceIdentity, now: int) -> None:
        last = self._reset_at.get(identity.device_id)
        if last is not None and last <= now < last + RESET_PAUSE:
            return
        self._reset_at[identity.device_id] = now
        self._memory.sessions(identity).reset()
        self._memory.put_sessions(identity)

    def waiting_for(self, sender: DeviceIdentity, message_id: bytes) -> Held | None:
        """The held entry that a resent message belongs to.

        The server says from whom an entry is. Account and device have to be those of the session:
        with a device of its own under another account, it would let one person speak as another.
        """
        by = (sender.account_id, sender.device_id, message_id)
        for held in self._memory.held.values():
            entry = held.entry
            asked = TREATMENTS[Reason(held.reason)].repair is Repair.RESEND
            if asked and by == (entry.sender_account, entry.sender_device, entry.client_id):
                return held
        return None

    def came(self, held: Held) -> None:
        """It came once more, and is not held any longer, however often the server gave it.

        It stays in the count of unread ones: which number it has is not known.
        """
        for other in list(self._memory.held.values()):
            if _same_message(other, held):
                self._memory.delete_held(held_key(other.entry))

    def release(self, held: Held) -> None:
        """Stop holding an entry: it is about to be read."""
        self._memory.delete_held(held_key(held.entry))
        if held.counted:
            conversation = self._memory.conversations[held.conversation]
            conversation.senders[held.entry.sender_device].unread -= 1

    def ask_directory(self, held: Held) -> bool:
        """Whether the directory is asked once more for the device that made a held entry.

        The list that was just read may be older than the entry.
        """
        if held.asked:
            return False
        held.asked += 1
        self._memory.put_held(held)
        self._directory.want(held.entry.sender_account)
        return True

    # --- Time ----------------------------------------------------------------------------

    def next_timeout(self) -> int | None:
        """When something held is due, in milliseconds."""
        return min((self._due(held) for held in self._memory.held.values()), default=None)

    def _due(self, held: Held) -> int:
        treatment = TREATMENTS[Reason(held.reason)]
        asks = treatment.repair is Repair.RESEND and not held.quiet
        if asks and held.asked < MAX_ASKED:
            began = held.until - treatment.deadline
            return min(held.until, began + ASK_AGAIN * max(held.asked, 1))
        return held.until

    def handle_timeout(self, now: int) -> None:
        """Ask again for what did not come, and give up what is past its deadline."""
        for key, held in list(self._memory.held.items()):
            if self._due(held) > now:
                continue
            if held.until <= now:
                self._give_up(key, held, now)
            else:
                self._ask(held, now)
                self._memory.put_held(held)

    def _give_up(self, key: bytes, held: Held, now: int) -> None:
        self._memory.delete_held(key)
        if held.quiet:
            conversation = self._memory.conversations[held.conversation]
            conversation.unkept += 1
            self._memory.put_conversation(conversation)
        else:
            self._tell(held.entry, held.conversation, Reason.LOST, now)

    # --- Others' unreadable messages -----------------------------------------------------

    def asked(self, requester: DeviceIdentity, request: ResendRequest) -> None:
        """Another device asks for a message of ours; look it up, within bounds."""
        own = self._memory.account_id
        group = request.conversation in self._memory.groups.chats
        if not group and requester.account_id not in (own, request.conversation):
            return
        times = self._resent.get((requester.device_id, request.message_id), 0)
        if times >= MAX_RESENT or len(self._loading) >= _MAX_REMEMBERED:
            return
        conversation, devices = self._loading.setdefault(
            request.message_id, (request.conversation, [])
        )
        if conversation == request.conversation and requester not in devices:
            devices.append(requester)

    def requests(self) -> list[LoadMessage]:
        """Messages to look up in the store."""
        return [
            LoadMessage((LOAD, message_id), conversation, message_id)
            for message_id, (conversation, _) in self._loading.items()
        ]

    def loaded(self, message_id: bytes, message: Message | None, now: int) -> None:
        """Send a message of ours again to the devices that asked, if it is one."""
        conversation, devices = self._loading.pop(message_id, (b"", []))
        if message is None or message.state not in _OURS:
            return
        if message.conversation != conversation:
            return
        content = Resent(message_id=message_id, sent_at=message.sent_at, content=message.content)
        group = conversation in self._memory.groups.chats
        for device in devices:
            if group and not self.may_resend(conversation, device, message):
                continue
            key = (device.device_id, message_id)
            self._resent[key] = self._resent.pop(key, 0) + 1
            while len(self._resent) > _MAX_REMEMBERED:
                self._resent.popitem(last=False)
            peer = self._inbox_peer(conversation, device.account_id)
            self._sending.send_to_inbox(peer, device.device_id, content, now)


def _same_message(one: Held, other: Held) -> bool:
    """Whether two entries claim to be one message (`Message.key`)."""
    first, second = one.entry, other.entry
    return (one.conversation, first.sender_device, first.client_id) == (
        other.conversation,
        second.sender_device,
        second.client_id,
    )


def _fits(entry: Entry, others: Sequence[Entry], shares: int) -> bool:
    """Whether an entry has room beside others, in one of so many equal shares of all room."""
    size = sum(map(_size, others)) + _size(entry)
    return len(others) < MAX_HELD // shares and size <= MAX_HELD_BYTES // shares


def _size(entry: Entry) -> int:
    return len(entry.envelope.body) + len(entry.part or b"")
