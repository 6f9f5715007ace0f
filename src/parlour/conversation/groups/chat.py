"""One group in memory: its record, its roster, its MLS state, and who stands at which leaf."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, Self, cast

import msgspec

from parlour.conversation.groups import labels
from parlour.conversation.groups.credentials import LeafOwner, owner_of
from parlour.conversation.groups.records import (
    EpochTag,
    Former,
    GroupRecord,
    GroupState,
    Late,
    RosterRecord,
    Waiting,
)
from parlour.conversation.groups.sharing import SharedGroups
from parlour.errors import Code, ParlourError, StorageError
from parlour.mls.private.group import Group
from parlour.mls.private.records import GroupRecords
from parlour.mls.public.changes import Changes
from parlour.mls.public.leaf_node import LeafNode
from parlour.mls.public.policy import Policy
from parlour.mls.public.sharing import SharedStages
from parlour.mls.public.types import LeafIndex
from parlour.primitives.hashes import sha256
from parlour.roster.entry import RosterEntry
from parlour.roster.genesis import Genesis
from parlour.roster.naming import NAME_SALT_SIZE, name_commitment
from parlour.roster.readding import MAX_WISH_AGE, ReaddWish
from parlour.roster.roster import Roster
from parlour.roster.state import RosterState
from parlour.wire.streams import StreamKind

if TYPE_CHECKING:
    from parlour.conversation.groups.branches import Branch

# Epochs that are remembered for comparing with what others saw: a day of a busy group.
MAX_TAGS: Final = 64
TAG_SIZE: Final = 16
# Entries of the roster that are kept: changes of people between two backups of a server.
MAX_RECENT: Final = 64
EPOCH_TAG_SIZE: Final = 8
# Accounts that went and are remembered: what they could not read then, they may still ask for.
MAX_FORMER: Final = 64
# Times that one of them was in.
MAX_TIMES: Final = 8
# Messages of ours that got their number after the end of their epoch, as far as remembered.
MAX_LATE: Final = 64
# After so many questions in vain (`confirming`), what is said waits no longer.
ASKS: Final = 4
# Ids of messages that are remembered, in memory: more than an epoch sees between two renewals. What
# was read before a restart is not opened again either, as its key is gone.
MAX_READ: Final = 4_096


class Chat:
    """One group. `group` is its MLS state, if this device has one; read when first needed."""

    def __init__(
        self, record: GroupRecord, policy: Policy, shared: SharedGroups | None = None
    ) -> None:
        self.record = record
        self.policy = policy
        self.shared = shared
        self.genesis = Genesis.decode(record.genesis)
        self.waiting: list[Waiting] = []
        # In memory only: when our turn comes (ms) for what anybody could do, by its name; and when
        # to do what only we can.
        self.due: dict[str, int] = {}
        self.timers: dict[str, int] = {}
        # Before this our own keys are not renewed (ms), though it may be time.
        self.renews_after = 0
        # Messages that were read, newest last: none is taken twice.
        self.read: OrderedDict[bytes, None] = OrderedDict()
        # When to ask for the group's name (ms), and how often that was done in vain.
        self.details_at: int | None = None
        self.details_asked = 0
        # What we wish for to be added again is newer than this (ms).
        self.wishes_from = 0
        # Who asked for the group's name, and when; when our turn comes to say it (ms).
        self.described: dict[bytes, int] = {}
        self.describe_at: int | None = None
        # Something could not be done here: nothing is tried before this (ms).
        self.rests_until = 0
        # When what is due was done last (ms).
        self.acted_at = 0
        # When the stream was read again on a hint (ms).
        self.reread_at = -(1 << 62)
        # How often members were asked whether this is their group, and when to ask again (ms).
        self.confirm_asked = self.confirm_at = 0
        self.joining_since: int | None = None
        # When devices were last added to the group that we wait to be added to (ms).
        self.welcomed_at = 0
        self.stalled = False
        # The generation and epoch in which we asked to be taken out, on this connection: a server
        # that was put back may have lost that.
        self.leave_asked: tuple[int, int] | None = None
        # Accounts whose lists were not read on this connection, and since when (ms); when that has
        # been long enough; and what of it was told: their ids, and whether we are silent by it.
        self.unlisted: dict[bytes, int] = {}
        self.unlisted_at: int | None = None
        self.told_unlisted: tuple[tuple[bytes, ...], bool] = ((), False)
        # The request that the server has taken, as it says now; its entry is to come.
        self.taken = b""
        # In which situation there was nothing to commit.
        self.content_in: tuple[object, ...] = ()
        # Commits of ours in a row that lost, and that were refused.
        self.losses = self.attempts = 0
        # Where we were when the server last said that others are further on: generation, epoch and
        # the number of the last entry.
        self.lost_at: tuple[int, int, int] | None = None
        self.joining_roster: Roster | None = None
        # Whether the server's state is asked for to compare it with ours.
        self.compares = False
        # The same, as something says that there is another epoch of a number of ours.
        self.doubted = False
        # What we begin the group again with, and by which roster; and the server's branch, if its
        # roster leads another way than ours.
        self.restarting: Group | None = None
        self.restarting_roster: Roster | None = None
        self.branch: Branch | None = None
        # The newest roster entry that the server has, where its data is older than ours.
        self.behind_number = 1 << 62
        self.welcome_problem: ParlourError | None = None
        self._roster: Roster | None = None
        self._roster_record: RosterRecord | None = None
        self.since: dict[bytes, int] = {}
        self.recent: list[bytes] = []
        self._records: GroupRecords | None = None
        self._stored: dict[bytes, bytes] = {}
        # Records of a former MLS group, still to be deleted.
        self._gone: set[bytes] = set()
        self._owners: dict[LeafIndex, LeafOwner] | None = None
        self._leaves: dict[bytes, LeafIndex] = {}
        self._by_account: dict[bytes, set[LeafIndex]] = {}
        # Accounts whose leaves, or place on the roster, have changed; None for all.
        self._touched: set[bytes] | None = None

    @classmethod
    def load(
        cls,
        record: GroupRecord,
        policy: Policy,
        roster: RosterRecord | None,
        stored: dict[bytes, bytes],
        shared: SharedGroups | None = None,
    ) -> Self:
        """The group of its records."""
        chat = cls(record, policy, shared)
        chat._roster_record = roster
        if roster is not None:
            chat.since, chat.recent = dict(roster.since), list(roster.recent)
        chat._stored = stored
        return chat

    def __repr__(self) -> str:
        return f"Chat({self.id.hex()}, {self.record.state.value})"

    # --- What it is ----------------------------------------------------------------------

    @property
    def id(self) -> bytes:
        """The group's id: that of its stream."""
        return self.record.group

    @property
    def conversation(self) -> bytes:
        """Where what is said stands: with the other account of two, else under the group's id."""
        return self.record.peer or self.record.group

    @property
    def is_direct(self) -> bool:
        """Whether nobody needs to know that it is a group: that of two, or of our own devices."""
        return bool(self.record.peer)

    @property
    def stream_kind(self) -> StreamKind:
        """What the server calls it."""
        return self.genesis.kind.name.lower()  # type: ignore[return-value]

    def was_read(self, device_id: bytes, message_id: bytes) -> bool:
        """Whether a message of a device was read before."""
        return device_id + message_id in self.read

    def note_read(self, device_id: bytes, message_id: bytes) -> None:
        """Remember that a message of a device was read."""
        self.read[device_id + message_id] = None
        while len(self.read) > MAX_READ:
            self.read.popitem(last=False)

    @property
    def is_taken(self) -> bool:
        """Whether the server says that it has what is pending."""
        pending = self.record.pending
        return pending is not None and pending.client_id == self.taken

    @property
    def mls_id(self) -> bytes:
        """The id of the MLS group of the current generation."""
        return mls_group_id(self.id, self.record.generation)

    @property
    def is_active(self) -> bool:
        """Whether this device follows the group."""
        return self.record.state is GroupState.ACTIVE and self.group is not None

    @property
    def is_left(self) -> bool:
        """Whether this device is out of it: it went, was put out, or never came in."""
        return self.record.state is GroupState.LEFT

    @property
    def is_alone(self) -> bool:
        """Whether nobody else is on the roster."""
        return self.roster is not None and len(self.roster.state.members) == 1

    @property
    def waits_for_word(self) -> bool:
        """Whether what is said waits until a member has confirmed the group (`confirming`)."""
        return self.record.unconfirmed and self.confirm_asked <= ASKS

    @property
    def has_state(self) -> bool:
        """Whether there is an MLS state, read already or not."""
        return self._records is not None or bool(self._stored)

    @property
    def group(self) -> Group | None:
        """The MLS state."""
        if self._records is None and self._stored:
            self._records = GroupRecords.load(self._stored, self.policy)
            self._records.group.share(self._stages)
            self._stored = {}
        return None if self._records is None else self._records.group

    @group.setter
    def group(self, group: Group | None) -> None:
        self._gone |= set(self._stored) if self._records is None else self._records.keys
        self._records = None if group is None else GroupRecords(group)
        if group is not None:
            group.share(self._stages)
        self._stored = {}
        self._owners = None

    @property
    def _stages(self) -> SharedStages | None:
        return None if self.shared is None else self.shared.stages

    def take_changes(self) -> dict[bytes, bytes | None]:
        """What to write of the MLS state since the last call, by key; None deletes."""
        changes: dict[bytes, bytes | None] = dict.fromkeys(self._gone)
        self._gone = set()
        if self._records is not None:
            changes.update(self._records.take_changes())
        return changes

    @property
    def epoch(self) -> int:
        """The epoch that this device is in; 0 without any."""
        return 0 if self.group is None else self.group.epoch

    def live(self) -> Group:
        """The MLS state of a group that is followed."""
        if self.group is None:
            raise StorageError(Code.STORE_BROKEN, "a group without its state")
        return self.group

    # --- The roster ----------------------------------------------------------------------

    @property
    def roster(self) -> Roster | None:
        """The roster of the current epoch."""
        if self._roster is None and self._roster_record is not None:
            kept, self._roster_record = self._roster_record, None
            self._roster = Roster(
                self.genesis, RosterState.decode(kept.state), RosterEntry.decode(kept.head)
            )
        return self._roster

    @roster.setter
    def roster(self, roster: Roster | None) -> None:
        before = self.roster
        if before is None or roster is None:
            self._touched = None
        elif before.head_hash != roster.head_hash:
            self.touch(before.state.differing(roster.state))
            self.touch(roster.state.differing(before.state))
        self._roster, self._roster_record = roster, None
        if roster is not None and roster.number >= self.record.roster_number:
            self.record.roster_number = roster.number
            self.record.roster_head = roster.head_hash

    def roster_record(self) -> bytes:
        """What is kept of it."""
        roster = self.known_roster()
        return msgspec.msgpack.encode(
            RosterRecord(roster.state.encode(), roster.head.encode(), self.since, self.recent)
        )

    def remember_entries(self, entries: Sequence[bytes]) -> None:
        """Keep roster entries that a commit brought."""
        self.recent = [*self.recent, *entries][-MAX_RECENT:]

    def known_roster(self) -> Roster:
        """The roster of a group that is followed."""
        if self.roster is None:
            raise StorageError(Code.STORE_BROKEN, "a group without its roster")
        return self.roster

    @property
    def is_named(self) -> bool:
        """Whether the name is known that the roster speaks of."""
        commitment = None if self.roster is None else self.roster.state.name_commitment
        if commitment is None:
            return True
        record = self.record
        known = len(record.salt) == NAME_SALT_SIZE and bool(record.name)
        return known and name_commitment(record.salt, record.name) == commitment

    @property
    def accounts(self) -> list[bytes]:
        """Everybody on the roster."""
        return [] if self.roster is None else list(self.roster.state.members)

    def takes_wish(self, wish: ReaddWish) -> bool:
        """Whether we may fulfil a wish to be added again, as far as we have seen what was.

        One from before we came, or began the group again, may have been fulfilled unseen. Whoever
        has lost its state does not know that the group began again, and may wish all the same.
        """
        record = self.record
        return wish.at > max(record.joined_at, record.wishes.get(wish.device, 0))

    def note_wishes(self, wishes: Iterable[bytes], now: int) -> None:
        """Remember which wishes to be added again were fulfilled, as long as they are good."""
        after = dict(self.record.wishes)
        for wish in map(ReaddWish.decode, wishes):
            after[wish.device] = wish.at
        kept = now - MAX_WISH_AGE
        self.record.wishes = {device: at for device, at in after.items() if at >= kept}

    def note_former(self, accounts: Iterable[bytes], seq: int) -> None:
        """Remember that these went with the entry of that number, and since when they were here.

        Also the times before: what was said then is theirs, however often they came and went.
        """
        former, members = dict(self.record.former), self.known_roster().state.members
        for account in sorted(accounts):
            times = former.pop(account, ())
            member = members.get(account)
            if member is not None:
                time = Former(self.since[account], seq, member.key)
                former[account] = (*times, time)[-MAX_TIMES:]
        self.record.former = dict(list(former.items())[-MAX_FORMER:])

    def note_late(self, message_id: bytes, late: Late) -> None:
        """Remember a message of ours that got its number after its epoch was over."""
        kept = {**self.record.late, message_id: late}
        while len(kept) > MAX_LATE:
            oldest = kept.pop(next(iter(kept)))
            self.record.late_until = max(self.record.late_until, oldest.seq)
        self.record.late = kept

    # --- The leaves ----------------------------------------------------------------------

    @property
    def owners(self) -> dict[LeafIndex, LeafOwner]:
        """Whose each leaf is."""
        if self._owners is None:
            members = self.group.members if self.group is not None else []
            self._owners = {index: owner_of(leaf) for index, leaf in members}
            self._leaves, self._by_account, self._touched = {}, {}, None
            for index, owner in self._owners.items():
                self._index(index, owner)
        return self._owners

    def _index(self, index: LeafIndex, owner: LeafOwner) -> None:
        self._leaves[owner.device_id] = index
        self._by_account.setdefault(owner.account_id, set()).add(index)

    def leaf_of(self, device_id: bytes) -> LeafIndex | None:
        """The leaf of a device."""
        _ = self.owners
        return self._leaves.get(device_id)

    def leaves_of(self, account_id: bytes) -> list[LeafIndex]:
        """The leaves of an account."""
        _ = self.owners
        return sorted(self._by_account.get(account_id, ()))

    def touch(self, accounts: Iterable[bytes]) -> None:
        """Something about these accounts has changed."""
        if self._touched is not None:
            self._touched.update(accounts)

    def take_touched(self) -> set[bytes] | None:
        """The accounts about which something has changed since the last call; None for all."""
        _ = self.owners
        touched, self._touched = self._touched, set()
        return touched

    def devices(self) -> Iterator[LeafOwner]:
        """Every device that has a leaf, from the left."""
        return iter(self.owners.values())

    def moved(self, changes: Changes, committer: LeafIndex) -> None:
        """A commit was merged: look at the leaves that it changed."""
        if self._owners is None:
            return
        tree = self.live().member.public.tree
        changed = {*changes.updated, committer, *(index for index, _ in changes.added)}
        self.note_gone(
            self._owners[index].device_id for index in changes.removed if index in self._owners
        )
        for index in (*changes.removed, *changed):
            former = self._owners.pop(index, None)
            if former is not None:
                others = self._by_account[former.account_id]
                others.discard(index)
                self.touch([former.account_id])
                self._leaves.pop(former.device_id, None)
                # A member may have added the device once more, under another key of its own.
                self._leaves.update((self._owners[each].device_id, each) for each in others)
        for index in changed:
            owner = self._owners[index] = owner_of(cast(LeafNode, tree.leaf(index)))
            self._index(index, owner)
            self.touch([owner.account_id])

    def left_with(self, device_id: bytes) -> int:
        """The number of the entry that took a device's leaf, as far as remembered; else 0."""
        return self.record.gone.get(device_id, 0)

    def note_gone(self, devices: Iterable[bytes]) -> None:
        """Remember that the last commit took the leaves of these devices."""
        gone = {**self.record.gone, **dict.fromkeys(devices, self.record.followed_seq)}
        self.record.gone = dict(list(gone.items())[-MAX_FORMER:])

    def rank(self, *, of: bytes, preferring: bytes = b"") -> int:
        """The place of a device among those that may act: devices of one account go first."""
        order = sorted(
            self.owners.items(), key=lambda each: (each[1].account_id != preferring, each[0])
        )
        return next((n for n, (_, owner) in enumerate(order) if owner.device_id == of), len(order))

    # --- Epochs --------------------------------------------------------------------------

    def epoch_tag(self) -> bytes:
        """What each message of this epoch carries in clear, 8 bytes."""
        return self.live().export(labels.EPOCH_TAG, b"", EPOCH_TAG_SIZE)

    def note_epoch(self) -> None:
        """Remember which epoch of that number this is."""
        group = self.live()
        tag = sha256(group.epoch_authenticator.reveal())[:TAG_SIZE]
        self.record.highest = max(self.record.highest, (self.record.generation, group.epoch))
        noted = EpochTag(self.record.generation, group.epoch, tag, self.record.followed_seq)
        self.record.tags = [*self.record.tags, noted][-MAX_TAGS:]

    def tag_of(self, generation: int, epoch: int) -> bytes | None:
        """What tells that epoch apart, if it is remembered.

        The newest one of that number: who came back may have been in another one before.
        """
        for noted in reversed(self.record.tags):
            if (noted.generation, noted.epoch) == (generation, epoch):
                return noted.tag
        return None


def mls_group_id(stream: bytes, generation: int) -> bytes:
    """The MLS group id of a generation of a stream, 20 bytes."""
    return stream + generation.to_bytes(4)
