"""What the machine tells whoever uses it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from parlour.conversation.changes import Message
from parlour.conversation.content import Content
from parlour.conversation.reasons import Reason
from parlour.conversation.standing import Standing
from parlour.errors import Code


class EventCode(StrEnum):
    """Stable codes of events, as ``--json`` shows them."""

    MESSAGE_RECEIVED = "message.received"
    MESSAGE_SENT = "message.sent"
    MESSAGE_UNSENT = "message.unsent"
    MESSAGE_UNREADABLE = "message.unreadable"
    MESSAGE_MISSING = "message.missing"
    MESSAGES_SKIPPED = "message.skipped"
    HISTORY_MISMATCH = "history.mismatch"
    CONTACT_ADDED = "contact.added"
    KEY_CHANGED = "contact.key_changed"
    KEY_RETURNED = "contact.key_returned"
    DEVICES_CHANGED = "contact.devices_changed"
    SENDING_BLOCKED = "sending.blocked"
    DEVICE_LEFT_OUT = "sending.device_left_out"
    KEY_PACKAGE_REFUSED = "group.key_package_refused"
    REQUEST_RECEIVED = "contact.request"
    REQUEST_FULL = "contact.request_full"
    STANDING_CHANGED = "contact.standing"
    PROFILE_CHANGED = "profile.changed"
    READ_ELSEWHERE = "message.read_elsewhere"
    SETTING_CHANGED = "setting.changed"
    DEVICE_AHEAD = "device.clock_ahead"
    NAMES_DIFFER = "contact.names_differ"
    GROUP_JOINED = "group.joined"
    GROUP_CHANGED = "group.changed"
    GROUP_LEFT = "group.left"
    GROUP_REFUSED = "group.refused"
    GROUP_REPAIRING = "group.repairing"
    GROUP_REPAIRED = "group.repaired"
    GROUP_RESTARTED = "group.restarted"
    GROUP_FORKED = "group.forked"
    GROUP_UNCONFIRMED = "group.unconfirmed"
    GROUP_LIST_UNREAD = "group.list_unread"
    GROUP_DEVICE = "group.device"
    COMMIT_REFUSED = "group.commit_refused"
    SERVER_RESTORED = "server.restored"
    SERVER_MISBEHAVED = "server.misbehaved"


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A message was read for the first time."""

    code = EventCode.MESSAGE_RECEIVED
    message: Message
    content: Content


@dataclass(frozen=True, slots=True)
class MessageSent:
    """A message of ours has its number: the server holds it durably."""

    code = EventCode.MESSAGE_SENT
    message: Message


@dataclass(frozen=True, slots=True)
class MessageUnsent:
    """A message of ours will not be sent: there is nobody to say it to. Its text is kept."""

    code = EventCode.MESSAGE_UNSENT
    message: Message
    reason: Code


@dataclass(frozen=True, slots=True)
class MessageUnreadable:
    """A message can't be read. `until` (milliseconds) is the deadline of the automatic repair."""

    code = EventCode.MESSAGE_UNREADABLE
    message: Message
    reason: Reason
    until: int


@dataclass(frozen=True, slots=True)
class MessageMissing:
    """A device said more than arrived here: `counters` of its messages did not come."""

    code = EventCode.MESSAGE_MISSING
    conversation: bytes
    sender_device: bytes
    counters: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MessagesSkipped:
    """The server left out what has a number between `after` and `before`; it is asked again.

    For our own account, it is what our devices, and devices that could not read, tell this one.
    """

    code = EventCode.MESSAGES_SKIPPED
    conversation: bytes
    after: int
    before: int


@dataclass(frozen=True, slots=True)
class HistoryMismatch:
    """A sender saw another entry at `seq` than we did: the server shows different histories."""

    code = EventCode.HISTORY_MISMATCH
    conversation: bytes
    sender_device: bytes
    seq: int


@dataclass(frozen=True, slots=True)
class ContactAdded:
    """An account is known for the first time."""

    code = EventCode.CONTACT_ADDED
    account_id: bytes
    name: str


@dataclass(frozen=True, slots=True)
class KeyChanged:
    """An account's key is not the one we knew. `stopped` when it was verified before."""

    code = EventCode.KEY_CHANGED
    account_id: bytes
    name: str
    stopped: bool


@dataclass(frozen=True, slots=True)
class KeyReturned:
    """A verified account shows its verified key again; what was stopped goes on with that one."""

    code = EventCode.KEY_RETURNED
    account_id: bytes
    name: str


@dataclass(frozen=True, slots=True)
class DevicesChanged:
    """An account's devices changed; ours too, which may be news to its owner."""

    code = EventCode.DEVICES_CHANGED
    account_id: bytes
    name: str
    added: tuple[bytes, ...]
    removed: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class SendingBlocked:
    """What is queued for this conversation does not go out until somebody acts on `reason`."""

    code = EventCode.SENDING_BLOCKED
    conversation: bytes
    reason: Code


@dataclass(frozen=True, slots=True)
class DeviceLeftOut:
    """The server has no prekeys for a device that we never wrote to: messages go out without it.

    When it is back it asks for them. A server that hides the prekeys of a device shows by this.
    """

    code = EventCode.DEVICE_LEFT_OUT
    account_id: bytes
    device_id: bytes


@dataclass(frozen=True, slots=True)
class KeyPackageRefused:
    """Twice the server gave a key package of a device that is not good: it is not added to groups.

    The server may be trying to read along, or that device's program is broken.
    """

    code = EventCode.KEY_PACKAGE_REFUSED
    account_id: bytes
    device_id: bytes
    reason: Code


@dataclass(frozen=True, slots=True)
class RequestReceived:
    """A stranger wrote. What they wrote is shown when a person accepts; until then their name."""

    code = EventCode.REQUEST_RECEIVED
    account_id: bytes
    name: str


@dataclass(frozen=True, slots=True)
class RequestFull:
    """A stranger wrote more than is kept before somebody accepts, or what could not be read.

    `count` messages are gone.
    """

    code = EventCode.REQUEST_FULL
    account_id: bytes
    name: str
    count: int


@dataclass(frozen=True, slots=True)
class StandingChanged:
    """A person decided about an account, on another device of ours."""

    code = EventCode.STANDING_CHANGED
    account_id: bytes
    name: str
    standing: Standing


@dataclass(frozen=True, slots=True)
class ProfileChanged:
    """The profile of an account is another one now, or known for the first time; ours, too."""

    code = EventCode.PROFILE_CHANGED
    account_id: bytes


@dataclass(frozen=True, slots=True)
class ReadElsewhere:
    """Another device of ours showed the conversation with an account up to `seq`."""

    code = EventCode.READ_ELSEWHERE
    account_id: bytes
    seq: int


@dataclass(frozen=True, slots=True)
class SettingChanged:
    """Another device of ours changed a setting."""

    code = EventCode.SETTING_CHANGED
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class DeviceAhead:
    """Another device of ours dates what was decided there too far ahead; it is not taken here.

    Its clock is wrong, or somebody has it who wants to have the last word. Told once for each.
    """

    code = EventCode.DEVICE_AHEAD
    device_id: bytes


@dataclass(frozen=True, slots=True)
class NamesDiffer:
    """Another device of ours calls an account `said`, which is `name` here or belongs to another.

    `name` is empty where the account is not known here. Nothing that device says of the account is
    taken. The server has told one of them a wrong name, or somebody has that device. Told once.
    """

    code = EventCode.NAMES_DIFFER
    account_id: bytes
    name: str
    said: str


@dataclass(frozen=True, slots=True)
class ServerMisbehaved:
    """The server broke the protocol in `what`; it is tried again with pauses."""

    code = EventCode.SERVER_MISBEHAVED
    what: str
    reason: Code


@dataclass(frozen=True, slots=True)
class ServerRestored:
    """The server's data is from a backup: what it said in between may come again or be gone."""

    code = EventCode.SERVER_RESTORED


class GroupChange(StrEnum):
    """What became of the people of a group, or of its name."""

    ADDED = "added"
    REMOVED = "removed"
    LEFT = "left"
    JOINED_BY_LINK = "joined_by_link"
    ROLE = "role"
    RENAMED = "renamed"
    LINK_OPENED = "link_opened"
    LINK_CLOSED = "link_closed"


@dataclass(frozen=True, slots=True)
class GroupJoined:
    """This device is in a group now. `invited` when it waits for the person's yes.

    Not `confirmed` when it came by a link: then only the server says who is in it, until a member
    has (`GroupRepaired`), or nobody is there to say so (`GroupUnconfirmed`). Nor when its Welcome
    was spoiled, and it had to let itself in; then `inviter` is empty.
    """

    code = EventCode.GROUP_JOINED
    group: bytes
    name: str = field(repr=False)
    inviter: bytes
    invited: bool
    confirmed: bool = True


@dataclass(frozen=True, slots=True)
class GroupChanged:
    """Somebody changed who is in a group, or its name: `by` an account, about `account`.

    `by` is empty for what happened while this device had lost its way: it sees what has changed by
    the signed roster to which it came back, and not who did it, nor whether who went left or was
    put out.
    """

    code = EventCode.GROUP_CHANGED
    group: bytes
    by: bytes
    change: GroupChange
    account: bytes
    role: int = 0
    name: str = field(default="", repr=False)


class DeviceChange(StrEnum):
    """What became of a device whose account is in a group and stays in it."""

    RETURNED = "returned"
    """It came in by a commit of its own: it had lost its way, or a server helps a thief."""
    READDED = "readded"
    """Somebody took it out and in again, as devices ask for that have lost their way."""
    EXPIRED = "expired"
    """It was put out because it had not renewed its keys in time."""


@dataclass(frozen=True, slots=True)
class GroupDevice:
    """A device of `account` came back into a group, or was put out, `by` an account."""

    code = EventCode.GROUP_DEVICE
    group: bytes
    by: bytes
    change: DeviceChange
    account: bytes
    device: bytes


@dataclass(frozen=True, slots=True)
class GroupLeft:
    """We are in a group no more, by our own leave or taken out `by` an account.

    `by` is empty where nobody has signed for it: the server says that there is no such group for
    us, and no member has let us in again.
    """

    code = EventCode.GROUP_LEFT
    group: bytes
    name: str = field(repr=False)
    by: bytes


@dataclass(frozen=True, slots=True)
class GroupRefused:
    """What the person wanted of a group can't be: `want` says what, `reason` why."""

    code = EventCode.GROUP_REFUSED
    group: bytes
    want: str
    reason: Code


@dataclass(frozen=True, slots=True)
class GroupRepairing:
    """This device lost its way in a group, and finds it again by itself: `step` says how."""

    code = EventCode.GROUP_REPAIRING
    group: bytes
    reason: str
    step: str


@dataclass(frozen=True, slots=True)
class GroupRepaired:
    """It follows the group again. `confirmed` when a member says that it is the same one."""

    code = EventCode.GROUP_REPAIRED
    group: bytes
    confirmed: bool


@dataclass(frozen=True, slots=True)
class GroupRestarted:
    """A group that was broken in private begins again, `by` an admin, without `without`.

    `needless` when nothing was wrong with it as far as this device knows.
    """

    code = EventCode.GROUP_RESTARTED
    group: bytes
    by: bytes
    without: tuple[bytes, ...]
    needless: bool = False


@dataclass(frozen=True, slots=True)
class GroupForked:
    """Another device is in another epoch of the same number: the server keeps us apart."""

    code = EventCode.GROUP_FORKED
    group: bytes
    epoch: int
    sender_device: bytes


@dataclass(frozen=True, slots=True)
class GroupUnconfirmed:
    """Nobody has said that the group we came into is the one they are in.

    What waited for that goes out. The server may be showing this device a group of its own.
    """

    code = EventCode.GROUP_UNCONFIRMED
    group: bytes


@dataclass(frozen=True, slots=True)
class GroupListUnread:
    """The server does not give the device lists of these accounts (64 at most are named).

    What is said goes by what was known of them; or `waits`, where somebody has shown that a list
    goes on: a device may have left it.
    """

    code = EventCode.GROUP_LIST_UNREAD
    group: bytes
    accounts: tuple[bytes, ...]
    waits: bool


@dataclass(frozen=True, slots=True)
class CommitRefused:
    """A commit won an epoch that this device does not accept, by the device of an account."""

    code = EventCode.COMMIT_REFUSED
    group: bytes
    seq: int
    by: bytes
    reason: Code
    detail: str


Event: TypeAlias = (
    MessageReceived
    | MessageSent
    | MessageUnsent
    | MessageUnreadable
    | MessageMissing
    | MessagesSkipped
    | HistoryMismatch
    | ContactAdded
    | KeyChanged
    | KeyReturned
    | DevicesChanged
    | SendingBlocked
    | DeviceLeftOut
    | KeyPackageRefused
    | RequestReceived
    | RequestFull
    | StandingChanged
    | ProfileChanged
    | ReadElsewhere
    | SettingChanged
    | DeviceAhead
    | NamesDiffer
    | GroupJoined
    | GroupChanged
    | GroupLeft
    | GroupRefused
    | GroupRepairing
    | GroupRepaired
    | GroupRestarted
    | GroupForked
    | GroupUnconfirmed
    | GroupListUnread
    | GroupDevice
    | CommitRefused
    | ServerRestored
    | ServerMisbehaved
)
