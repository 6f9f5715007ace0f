"""The machine: one mutation, then drain.

Whoever drives it (`client/`, or a test) calls one method, then takes out, in this order:

1. `changes()`: write all of them in one transaction. Only then
2. `outgoing(now)`: requests for the server and the store; asking may encrypt, so write `changes()`
   again before a request leaves;
3. `next_event()` until there is none.

Answers come back through `answered`, `failed`, `loaded` and `loaded_hash`; time through
`next_timeout` and `handle_timeout`. All times are milliseconds since the epoch. The machine may be
dropped at any moment: what was written is where it goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from parlour.conversation import content as contents
from parlour.conversation.beginning import encode_snapshot
from parlour.conversation.bundles import BUNDLES, Bundling
from parlour.conversation.changes import Change, Message
from parlour.conversation.contact import Contact
from parlour.conversation.content import Content
from parlour.conversation.delivery import Delivery
from parlour.conversation.directory import DEVICE_LIST, DEVICE_LISTS, LIST_HEADS, Directory
from parlour.conversation.events import Event, ServerRestored
from parlour.conversation.gaps import GAP, Gaps
from parlour.conversation.genesis import is_pairwise
from parlour.conversation.groups.chat import Chat
from parlour.conversation.groups.groups import GROUP_KINDS, Groups
from parlour.conversation.groups.joining import READ_GROUP
from parlour.conversation.groups.ladder import REREAD
from parlour.conversation.groups.progress import GroupProgress
from parlour.conversation.groups.sharing import SharedGroups
from parlour.conversation.groups.view import GroupName, GroupView
from parlour.conversation.histories import LOAD_HASH
from parlour.conversation.key_package_targets import KeyPackageTargets
from parlour.conversation.key_packages import (
    COUNT_KEY_PACKAGES,
    PUBLISH_KEY_PACKAGES,
    SUPPLY,
    KeyPackages,
)
from parlour.conversation.pending import Pending
from parlour.conversation.people import People, check_setting
from parlour.conversation.presets import built, chosen
from parlour.conversation.profiles import PROFILE, SET_PROFILE, Profiles
from parlour.conversation.reasons import Reason
from parlour.conversation.receiving import Receiving
from parlour.conversation.records import KnownProfile, Records
from parlour.conversation.repair import LOAD, Repairing
from parlour.conversation.requests import Request, ServerRequest
from parlour.conversation.sending import APPEND, CAME_BACK, CREATE, KNOWN, Sending
from parlour.conversation.standing import Act
from parlour.conversation.state import Memory
from parlour.conversation.sync import ContactSync, OwnProfileSync, SettingSync
from parlour.conversation.syncing import Syncing, dated
from parlour.conversation.upkeep import ACKNOWLEDGE, CATCH_UP, PUBLISH, Upkeep
from parlour.errors import Code, ParlourError, TransportError, error
from parlour.primitives.random import Random, system_random
from parlour.primitives.signature import Ed25519PublicKey
from parlour.roster.genesis import Kind as GroupKind
from parlour.roster.links import JoinLink
from parlour.roster.roles import Role
from parlour.wire.directory import DeviceListPage, ReadDeviceList
from parlour.wire.groups import (
    DeviceListPages,
    FetchKeyPackages,
    FoundKeyPackages,
    KeyPackageCounts,
    ListHeads,
    PublishKeyPackages,
    ReadDeviceLists,
    ReadListHeads,
)
from parlour.wire.kinds import Kind
from parlour.wire.prekeys import Bundles, FetchBundles, PrekeyCounts
from parlour.wire.profiles import SealedProfile
from parlour.wire.push import (
    PushDeviceList,
    PushDrain,
    PushEntry,
    PushKeyPackages,
    PushKeyPackagesLow,
    PushPrekeysLow,
    PushResync,
    PushStream,
)
from parlour.wire.server import Nothing
from parlour.wire.streams import (
    Acknowledge,
    Append,
    Appended,
    CatchUp,
    CaughtUp,
    Entry,
    LiveStarted,
    Page,
    Position,
    Read,
    StreamInfo,
)

# What the server refuses when our device lists are out of date.
_REFRESH_ON: Final = (Code.STREAM_PARTS, Code.DEVICE_UNKNOWN)

# What is asked in order to read.
_READING: Final = frozenset(
    {CATCH_UP, GAP, DEVICE_LIST, DEVICE_LISTS, LIST_HEADS, LOAD_HASH, READ_GROUP, REREAD}
)


class Machine:
    """Everything a client knows and decides, without I/O."""

    def __init__(
        self,
        records: Records,
        now: int,
        *,
        random: Random = system_random,
        supply: Mapping[int, int] = SUPPLY,
        shared: SharedGroups | None = None,
    ) -> None:
        """`supply` is how many key packages of each suite a server is to have of this device.

        `shared` is what machines of one process share of the groups that they are in together.
        """
        self._memory = Memory(records, now, random=random, shared=shared)
        self._directory = Directory(self._memory)
        self._bundling = Bundling(self._memory)
        self._sending = Sending(self._memory, self._directory, self._bundling)
        self._repairing = Repairing(self._memory, self._directory, self._sending)
        self._profiles = Profiles(self._memory, self._sending)
        self._syncing = Syncing(self._memory, self._directory, self._sending, self._profiles)
        self._people = People(self._memory, self._directory, self._profiles, self._syncing)
        delivery = Delivery(self._memory, self._people, self._profiles, self._syncing)
        self._receiving = Receiving(
            self._memory,
            self._directory,
            self._sending,
            self._repairing,
            self._people,
            delivery,
        )
        self._syncing.on_unstopped = self._read_on
        self._upkeep = Upkeep(self._memory)
        self._key_packages = KeyPackages(self._memory, supply)
        self._key_package_targets = KeyPackageTargets(self._memory)
        self._groups = Groups(
            self._memory,
            self._directory,
            self._sending,
            self._repairing,
            self._receiving.histories,
            self._syncing,
            self._key_packages,
            self._key_package_targets,
            self._people,
            delivery,
        )
        self._groups.answers.on_stream = self._learn
        self._sending.founds_group = self._groups.found_direct
        self._receiving.on_group = self._groups.arriving.take
        self._groups.answers.on_winner = lambda entry, now, paged: self._receiving.receive(
            entry, now, paged=paged
        )
        self._receiving.groups_have_room = self._groups.arriving.has_room
        self._receiving.outside_of_group = self._groups.streams.is_outside
        self._receiving.controls.on_other = self._groups.controlled
        self._receiving.controls.on_resent = self._groups.resent
        self._repairing.may_resend = self._groups.may_resend
        self._gaps = Gaps(self._memory)
        self._pending = Pending(random)
        self._online = False
        # A newer program may read what an older one kept.
        self._receiving.retry({Reason.NEWER_FORMAT}, None, now)
        self._receiving.want_directory()
        self._upkeep.maintain(now)
        self._key_packages.maintain(now)
        self._syncing.begin(now)

    # --- What people do ------------------------------------------------------------------

    def send(self, peer: bytes, content: Content, now: int) -> bytes:
        """Say something to an account; return the message's id. It goes out when it can.

        Whoever asked to be heard is accepted by it; raises `CONTACT_BLOCKED`.
        """
        self._sending.check(peer, content)
        self._groups.check_direct(peer)
        self._people.writes_to(peer, now)
        self._groups.spoke(peer, now)
        return self._sending.send(peer, content, now)

    def send_to(self, conversation: bytes, content: Content, now: int) -> bytes:
        """Say something in a group; return the message's id. `send` is for one account."""
        return self._groups.wishes.send(conversation, content, now)

    def verify(self, account_id: bytes, now: int, key: Ed25519PublicKey | None = None) -> None:
        """A person compared the safety number with that account.

        `key` is the account key that it was made of (`Contact.key_to_verify`): if the server
        showed yet another one meanwhile, `SecurityStop` is raised.
        """
        self._directory.verify(account_id, now, key)
        self._decided_on_key(account_id, now)

    def accept(self, account_id: bytes, now: int, key: Ed25519PublicKey | None = None) -> None:
        """A person goes on with a changed key without comparing. `key` as for `verify`."""
        self._directory.accept(account_id, now, key)
        self._decided_on_key(account_id, now)

    def _decided_on_key(self, account_id: bytes, now: int) -> None:
        self._syncing.tell_contact(self._memory.contacts[account_id], now)
        self._read_on(account_id, now)

    def _read_on(self, account_id: bytes, now: int) -> None:
        """Nothing stops an account any more."""
        self._receiving.retry({Reason.KEY_CHANGED}, account_id, now)
        self._groups.arriving.retry(now)

    def accept_request(self, account_id: bytes, now: int) -> None:
        """Let an account be heard, and show what it has said."""
        self._people.decide(account_id, Act.ACCEPT, now)

    def decline(self, account_id: bytes, now: int) -> None:
        """Say no to a request: what was said is deleted; they may ask again after a day."""
        self._people.decide(account_id, Act.DECLINE, now)

    def block(self, account_id: bytes, now: int) -> None:
        """Hear nothing more of an account, on all our devices; it is not told."""
        self._people.decide(account_id, Act.BLOCK, now)

    def unblock(self, account_id: bytes, now: int) -> None:
        """Let a blocked account ask again."""
        self._people.decide(account_id, Act.UNBLOCK, now)

    def forget(self, account_id: bytes, now: int) -> None:
        """Delete everything about an account, with what was said and that it was verified."""
        self._people.forget(account_id, now)

    def mark_read(self, account_id: bytes, seq: int, now: int) -> None:
        """A person has seen the conversation with an account up to number `seq`."""
        self._syncing.mark_read(account_id, seq, now)

    def mark_all_read(self, account_id: bytes, now: int) -> None:
        """A person has seen the conversation with an account as far as it is here."""
        conversation = self._memory.conversations.get(account_id)
        if conversation is not None:
            self._syncing.mark_read(account_id, conversation.received, now)

    def set_setting(self, key: str, value: str, now: int) -> None:
        """Change a setting, on all our devices; raises `UsageError` and `LimitError`."""
        check_setting(key, value)
        self._syncing.set_setting(key, value, now)

    def set_profile(self, name: str, status: str = "", picture: bytes = b"") -> None:
        """Have another profile, for all contacts; raises `LimitError` for one too large."""
        self._profiles.set_own(name, status, picture)

    # --- Groups --------------------------------------------------------------------------

    def create_group(
        self,
        kind: GroupKind,
        name: str,
        members: Sequence[bytes],
        now: int,
        *,
        suite: int | None = None,
        preset: str | None = None,
    ) -> bytes:
        """Found a group with these accounts; return its id. All that follows happens by itself.

        `suite` is an MLS cipher suite; without it, X-Wing where all devices have KEMs. `preset`
        says what the group is (`presets`), the person's own by default; raises
        `UsageError` for what is not built, `LimitError`.
        """
        policy = built(preset or chosen(self._memory.settings), kind)
        return self._groups.wishes.create(kind, name, members, now, suite=suite, policy=policy)

    def group_add(
        self, group: bytes, accounts: Sequence[bytes], now: int, role: Role = Role.MEMBER
    ) -> None:
        """Bring accounts into a group; raises what stands in the way, as all of these do."""
        self._groups.wishes.add(group, accounts, role, now)

    def group_remove(self, group: bytes, accounts: Sequence[bytes], now: int) -> None:
        """Put accounts out of a group."""
        self._groups.wishes.remove(group, accounts, now)

    def group_leave(self, group: bytes, now: int) -> None:
        """Go from a group; what was said in it stays here."""
        self._groups.wishes.leave(group, now)

    def group_set_role(self, group: bytes, account_id: bytes, role: Role, now: int) -> None:
        """Give somebody in a group another role."""
        self._groups.wishes.set_role(group, account_id, role, now)

    def group_rename(self, group: bytes, name: str, now: int) -> None:
        """Give a group another name."""
        self._groups.wishes.rename(group, name, now)

    def group_refresh(self, group: bytes, now: int) -> None:
        """Renew this device's keys in a group, as happens by itself from time to time."""
        self._groups.wishes.refresh(group, now)

    def group_open_link(
        self, link: JoinLink, now: int, *, role: Role, uses: int, expires_at: int
    ) -> None:
        """Let whoever has the link come into its group, until `expires_at` (ms)."""
        self._groups.wishes.open_link(link, now, role=role, uses=uses, expires_at=expires_at)

    def group_close_link(self, group: bytes, link_id: bytes, now: int) -> None:
        """Let nobody come in by a link any more."""
        self._groups.wishes.close_link(group, link_id, now)

    def join_by_link(self, link: JoinLink, now: int) -> bytes:
        """Come into a group by a link; return its id. `GroupJoined` or `GroupRefused` follows."""
        return self._groups.by_links.join(link, now)

    def accept_group(self, group: bytes, now: int) -> None:
        """Say yes to being in a group, to which a stranger has added us."""
        self._groups.wishes.accept(group, now)

    def decline_group(self, group: bytes, now: int) -> None:
        """Say no to it, and go."""
        self._groups.wishes.decline(group, now)

    @property
    def groups(self) -> dict[bytes, GroupView]:
        """All groups that this device is in, or was, by id."""
        return self._groups.views()

    def group(self, group: bytes) -> GroupView:
        """One of them; raises `GROUP_UNKNOWN`."""
        return self._groups.view(group)

    @property
    def group_names(self) -> dict[bytes, GroupName]:
        """What they are called, by id: quickly, however large they are."""
        return self._groups.names()

    def has_group(self, conversation: bytes) -> bool:
        """Whether a conversation is a group that is known here."""
        return self._groups.is_group(conversation)

    def direct_group(self, account_id: bytes) -> GroupView | None:
        """The group that the conversation with an account is; None if it is a pairwise one.

        Under our own id, that of our devices.
        """
        return self._groups.direct_view(account_id)

    def group_coming(self, group: bytes) -> set[bytes]:
        """The accounts that are wanted in a group by this device, and are not in it yet."""
        return self._groups.coming(group)

    def group_progress(self, group: bytes, now: int) -> GroupProgress:
        """How far what is wanted of a group has come."""
        return self._groups.progress(group, now)

    @property
    def counters(self) -> dict[str, int]:
        """How often what has happened on this device; without content."""
        return dict(self._memory.counters.counts)

    @property
    def counted_since(self) -> int:
        """The day on which counting began, in days since the epoch."""
        return self._memory.counters.since

    # --- What is known -------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """What a new device of the account begins with (`first_changes`), for linking it."""
        memory = self._memory
        # A new device comes into groups by being added there.
        pairs = [c for c in memory.conversations.values() if c.peer not in memory.groups.chats]
        conversations = sorted(pairs, key=lambda each: -each.last_seq)
        syncs = list(self._syncing.everything())
        return encode_snapshot(memory.device_id, memory.incarnation, syncs, conversations)

    def known(self) -> list[bytes]:
        """All that one device of a person tells another, as encoded content; for a backup."""
        return [contents.encode(sync) for sync in self._syncing.everything()]

    def take_known(self, items: Sequence[bytes], now: int) -> None:
        """Take in what `known` gave, as if another device of ours had said it.

        Of each thing the later decision counts, and our other devices hear of it, too. What a
        newer program wrote is passed over; `DecodeError` for what is malformed.
        """
        for said in [contents.decode(item) for item in items]:
            if isinstance(said, ContactSync | SettingSync | OwnProfileSync):
                known = dated(said, now)
                self._syncing.take(known, self.device_id, now)
                self._syncing.tell(known, now)

    @property
    def settings(self) -> dict[str, str]:
        """The person's settings, the same on all devices."""
        return {key: setting.value for key, setting in self._memory.settings.items()}

    def profile(self, account_id: bytes) -> KnownProfile | None:
        """What is known of a profile; ours under our own id. None before anything was read."""
        known = self._memory.profiles.get(account_id)
        return known if known is not None and known.version else None

    def read_up_to(self, account_id: bytes) -> int:
        """How far the person has read the conversation with an account, on whichever device."""
        conversation = self._memory.conversations.get(account_id)
        return 0 if conversation is None else conversation.read

    @property
    def account_id(self) -> bytes:
        """Our account."""
        return self._memory.account_id

    @property
    def device_id(self) -> bytes:
        """This device."""
        return self._memory.device_id

    @property
    def contacts(self) -> dict[bytes, Contact]:
        """All accounts that we know, by id, ours among them."""
        return dict(self._memory.contacts)

    def contact_named(self, name: str) -> Contact | None:
        """The account that we know by that name."""
        return self._memory.named(name)

    @property
    def waiting(self) -> int:
        """How many messages have no sequence number yet."""
        outbox = self._memory.outbox.values()
        return sum(1 for outgoing in outbox if not (outgoing.inbox or outgoing.silent))

    @property
    def telling(self) -> bool:
        """Whether something is still to leave that is no message: decisions, a profile."""
        own = self._memory.profiles.get(self._memory.account_id)
        silent = any(outgoing.silent for outgoing in self._memory.outbox.values())
        return silent or (own is not None and own.unsent)

    @property
    def can_be_added(self) -> bool:
        """Whether the server has keys by which others can add this device to groups."""
        return self._online and self._key_packages.is_published

    @property
    def caught_up(self) -> bool:
        """Whether all that the server had for us was taken in, with what reading it needs."""
        return self._online and not (self._pending.wants(_READING) or self._groups.waits)

    # --- The connection ------------------------------------------------------------------

    def connected(self, started: LiveStarted, now: int) -> None:
        """A live connection began; `started` is its first page."""
        self._online = True
        self._upkeep.connected()
        self._directory.connected()
        self._syncing.connected()
        self._profiles.connected()
        self._sending.connected()
        self._bundling.connected()
        self._key_packages.connected()
        self._key_package_targets.maintain(now)
        self._groups.connected(now)
        self._receiving.want_directory()
        self._pending.clear()
        self._receiving.behind = False
        self._gaps.connected(now)
        entries: Sequence[Entry] = started.entries
        if self._memory.incarnation not in (b"", started.incarnation):
            self._upkeep.restored()
            self._receiving.histories.restored()
            self._groups.restored()
            self._memory.events.append(ServerRestored())
            # What our other devices told each other may be gone, before this one has read it.
            self._repairing.lost_sync = True
            # They follow on numbers of the data before: everything is read from its beginning.
            entries = ()
            self._receiving.behind = True
        if self._memory.incarnation != started.incarnation:
            self._memory.put_incarnation(started.incarnation)
        self._receiving.described(started.streams, self.positions())
        self._take_page(started.streams, entries, more=started.more, now=now)
        self._upkeep.prekeys_left(started.prekeys_left, now)

    def disconnected(self) -> None:
        """The connection ended: what was under way is asked again on the next one."""
        self._online = False
        self._pending.clear()

    def positions(self) -> list[Position]:
        """Where to read on, for `LiveStart`."""
        return self._upkeep.positions()

    def pushed(self, push: Struct, now: int) -> None:
        """Take a push. One that breaks the rules raises; nothing is lost by it."""
        match push:
            case PushEntry(entry=entry, lists=lists):
                self._directory.offer(lists)
                self._receiving.receive(entry, now, paged=False)
                self._take_offered_lists(now)
            case PushStream(stream=info):
                self._learn_stream(info, now)
            case PushResync():
                self._receiving.left()
            case PushDeviceList(account_id=account_id, number=number):
                self._directory.grown(account_id, number)
            case PushPrekeysLow(counts=counts):
                self._upkeep.counted(counts, now)
            case PushKeyPackagesLow(counts=counts):
                self._key_packages.counted(counts.counts, now)
            case PushKeyPackages(device_id=device_id):
                self._groups.can_be_added(device_id)
            case PushDrain() | _:
                pass

    def receive(self, entry: Entry, now: int, *, paged: bool = True) -> None:
        """Take one entry of a page, or with `paged=False` a pushed one."""
        self._receiving.receive(entry, now, paged=paged)

    # --- Drain ---------------------------------------------------------------------------

    def changes(self) -> list[Change]:
        """What to write, in one transaction, before anything else happens."""
        return self._memory.take_changes()

    def outgoing(self, now: int) -> list[Request]:
        """Requests that are due and not under way. Write `changes()` before they leave."""
        self._resync(now)
        if self._online:
            # First, as what they say to single devices leaves with what is said between two.
            self._groups.act(now, behind=self._receiving.behind)
            if self._memory.groups.take_behind():
                self._receiving.left()
        needs: list[Request] = [
            *self._repairing.requests(),
            *self._receiving.histories.requests(),
            *self._sending.lookups(),
        ]
        if self._online:
            needs += self._sending.requests(now, self._pending.is_paused)
            needs += self._groups.requests(now, self._pending.is_paused)
            needs += self._directory.requests()
            needs += self._profiles.requests()
            needs += self._gaps.requests()
            needs += self._upkeep.requests(now, behind=self._receiving.behind)
            needs += self._key_package_targets.requests()
            needs += self._key_packages.requests(now)
        due = self._pending.take(needs, now)
        if any(request.key[0] == CATCH_UP for request in due):
            self._receiving.has_left = False
        return due

    def next_event(self) -> Event | None:
        """The next thing to tell whoever uses this."""
        return self._memory.events.popleft() if self._memory.events else None

    # --- Answers -------------------------------------------------------------------------

    def answered(self, request: ServerRequest, answer: Struct, now: int) -> None:
        """Take the server's answer to a request."""
        what, about = request.key
        try:
            self._take_answer(what, about, request.body, answer, now)
        except ParlourError as problem:
            self.failed(request, problem, now)
        else:
            if what == DEVICE_LIST and not self._directory.is_read(about):
                # Else each bad answer to the next question would be the first one.
                self._pending.goes_on(request.key)
            else:
                self._pending.done(request.key)
            self._upkeep.answered_well(what)

    def _take_answer(self, what: str, about: bytes, body: Struct, answer: Struct, now: int) -> None:
        match answer:
            case Appended(client_id=client_id, seq=seq, stored_at=stored_at) if (
                what == APPEND and client_id == about
            ):
                self._sending.mark_sent(about, seq, stored_at)
            case StreamInfo() if what == CREATE and about in answer.members:
                self._learn(answer, now)
            case Bundles() if what == BUNDLES and isinstance(body, FetchBundles):
                self._bundling.answered(about, body.device_ids, answer, now)
                self._sending.unblocked(about)
            case DeviceListPage() if what == DEVICE_LIST:
                self._take_device_list(about, answer, now)
            case CaughtUp() if what == CATCH_UP and isinstance(body, CatchUp):
                self._take_caught_up(body, answer, now)
            case Page() if what == GAP and isinstance(body, Read):
                for entry in self._gaps.wanted(body, answer):
                    self._receiving.receive(entry, now, paged=True)
                self._gaps.asked(body)
            case Page() if what == KNOWN:
                self._sending.is_known(about)
            case _ if self._groups.answers.answered(what, about, body, answer, now):
                pass
            case _:
                self._take_answer_of_upkeep(what, about, body, answer, now)

    def _take_answer_of_upkeep(
        self, what: str, about: bytes, body: Struct, answer: Struct, now: int
    ) -> None:
        match answer:
            case SealedProfile() if what == PROFILE:
                self._profiles.answered(about, answer)
            case Nothing() if what == SET_PROFILE:
                self._profiles.stored(int.from_bytes(about), now)
            case PrekeyCounts() if what == PUBLISH:
                self._upkeep.published()
            case Nothing() if what == ACKNOWLEDGE and isinstance(body, Acknowledge):
                self._upkeep.acknowledged(body)
            case _:
                self._take_answer_for_groups(what, body, answer, now)

    def _take_answer_for_groups(self, what: str, body: Struct, answer: Struct, now: int) -> None:
        match body, answer:
            case ReadDeviceLists(), DeviceListPages():
                current, wrong = self._directory.answered_lists(body, answer)
                self._many_lists_are_read(current, wrong, now)
            case ReadListHeads(), ListHeads():
                current = self._directory.answered_heads(body, answer)
                self._many_lists_are_read(current, {}, now)
            case FetchKeyPackages(), FoundKeyPackages():
                self._key_package_targets.answered(body, answer, now)
            case Nothing(), KeyPackageCounts(counts=counts) if what == COUNT_KEY_PACKAGES:
                self._key_packages.counted(counts, now)
            case PublishKeyPackages(), KeyPackageCounts():
                self._key_packages.published()
            case _:
                raise error(Code.SERVER_MISBEHAVED, f"{what}: {type(answer).__name__}")

    def _take_device_list(self, account_id: bytes, page: DeviceListPage, now: int) -> None:
        self._read_device_list(account_id, page, now)
        self._groups.arriving.retry(now)

    def _read_device_list(self, account_id: bytes, page: DeviceListPage, now: int) -> None:
        self._directory.answered(account_id, page)
        if self._directory.is_read(account_id):
            self._list_is_read(account_id, now)

    def _take_offered_lists(self, now: int) -> None:
        """Take lists that came before they were wanted as if they were answers.

        One that is wrong counts for nothing: the list is asked for, and then the server is held to
        what it says.
        """
        taken = []
        for page in self._directory.take_offered():
            try:
                self._read_device_list(page.account_id, page, now)
            except ParlourError:
                self._directory.want_aside([page.account_id])
            else:
                taken.append(page.account_id)
        if taken:
            # Once for all of them: a commit that waits for many lists is large itself.
            self._groups.arriving.retry(now)
        for account_id in taken:
            self._directory.only_offered(account_id)

    def _many_lists_are_read(
        self, current: Sequence[bytes], wrong: Mapping[bytes, ParlourError], now: int
    ) -> None:
        """A batch of lists was read; one bad list keeps nobody from the others."""
        for account_id in current:
            self._list_is_read(account_id, now)
        for account_id, problem in wrong.items():
            self._list_failed(account_id, problem, now)
        self._groups.arriving.retry(now)

    def _list_failed(self, account_id: bytes, problem: ParlourError, now: int) -> None:
        """A list of a batch is not taken: as if it had been asked for alone."""
        body = ReadDeviceList(account_id=account_id, first=0)
        self.failed(
            ServerRequest((DEVICE_LIST, account_id), Kind.READ_DEVICE_LIST, body), problem, now
        )

    def _list_is_read(self, account_id: bytes, now: int) -> None:
        """A list was read as far as it goes: what waited for that goes on."""
        self._syncing.settled(account_id, now)
        self._sending.unblocked(account_id)
        reasons = {Reason.DEVICE_LIST}
        if not self._memory.contacts[account_id].stopped:
            reasons.add(Reason.KEY_CHANGED)
        self._receiving.retry(reasons, account_id, now)

    def _take_caught_up(self, asked: CatchUp, page: CaughtUp, now: int) -> None:
        before = self._upkeep.positions()
        self._receiving.described(page.streams, asked.positions)
        self._receiving.behind = False
        self._take_page(page.streams, page.entries, more=page.more, now=now)
        if self._receiving.behind and self._upkeep.positions() == before:
            # Asking again at once would go on for ever.
            raise error(Code.SERVER_MISBEHAVED, "a page that brings nothing and goes on")
        # What was pushed while the page was on its way may be later than it.
        self._receiving.behind |= self._receiving.has_left

    def found(self, page: DeviceListPage, now: int, name: str | None = None) -> bytes:
        """Take the answer to a look-up by name; return the account's id.

        `name` is the one that was asked for: an answer about another one is refused.
        """
        account_id = self._directory.found(page, name)
        self._syncing.settled(account_id, now)
        # Entries may wait for this very list, whose request is no longer needed: their turn comes
        # with the answer to the next one.
        self._receiving.want_directory()
        return account_id

    def failed(self, request: Request, problem: ParlourError, now: int) -> None:
        """A request failed; it is asked again later, or what depends on it is told."""
        what, about = request.key
        self._pending.failed(request.key, now, retry_after=getattr(problem, "retry_after", None))
        if what == ACKNOWLEDGE:
            self._upkeep.not_acknowledged()
        body = request.body if isinstance(request, ServerRequest) else None
        if problem.code is Code.STREAM_UNKNOWN and self._lost_stream(what, about, body, now):
            return
        if what == PROFILE and not isinstance(problem, TransportError):
            self._profiles.failed(about)
        if problem.code in (Code.SERVER_MISBEHAVED, Code.PROFILE_ROLLBACK):
            self._upkeep.misbehaved(what, problem.code)
        if what in (COUNT_KEY_PACKAGES, PUBLISH_KEY_PACKAGES):
            self._key_packages.failed(problem)
        self._groups.answers.failed(what, about, problem, now)
        self._directory.failed(
            request.body if isinstance(request, ServerRequest) else None, problem
        )
        chat = self._group_of(about) if what == APPEND else None
        if chat is not None:
            self._groups.answers.not_taken(chat, problem, now)
        elif what == APPEND and problem.code in _REFRESH_ON:
            if self._sending.unseal(about):
                self._pending.done(request.key)
            else:
                self._sending.refused(about, problem.code)
        elif what == APPEND:
            self._sending.refused(about, problem.code)
        elif what in (BUNDLES, DEVICE_LIST, CREATE):
            if problem.code in _REFRESH_ON:
                self._directory.want(about)
            self._sending.blocked(about, problem.code)

    def _lost_stream(self, what: str, about: bytes, body: Struct | None, now: int) -> bool:
        """Whether the server has no more what we append to, or asked for; then we start over."""
        lost, answers = False, self._groups.answers
        match body:
            case Read() if what == GAP:
                # We were put out of it; it is tried again on another connection.
                self._gaps.asked(body)
            case CatchUp():
                # It does not say which. What was refused is named again, and refused again.
                self._memory.refused.clear()
                self._sending.doubt_all()
            case Read(stream=stream) if what == KNOWN:
                self._sending.is_known(about)
                self._upkeep.is_unknown(stream)
                lost = answers.is_lost(stream, now) or self._sending.is_lost(about, stream)
            case Append(stream=stream) if about in self._memory.outbox:
                peer = self._memory.outbox[about].conversation
                lost = answers.is_lost(stream, now) or self._sending.is_lost(peer, stream)
            case _:
                pass
        self._receiving.behind |= lost
        return lost

    def _group_of(self, message_id: bytes) -> Chat | None:
        """The group that a message of ours is for, if it is for one."""
        outgoing = self._memory.outbox.get(message_id)
        if outgoing is None or outgoing.inbox:
            return None
        return self._memory.groups.of(outgoing.conversation)

    def loaded(self, message_id: bytes, message: Message | None, now: int) -> None:
        """Take the store's answer to `LoadMessage`."""
        self._pending.done((LOAD, message_id))
        self._pending.done((CAME_BACK, message_id))
        self._repairing.loaded(message_id, message, now)
        self._sending.loaded(message_id, message)

    def loaded_hash(self, stream: bytes, seq: int, digest: bytes | None) -> None:
        """Take the store's answer to `LoadHash`."""
        self._pending.done((LOAD_HASH, stream + seq.to_bytes(8)))
        self._receiving.histories.loaded_hash(stream, seq, digest)

    def mark_sent(self, message_id: bytes, seq: int, stored_at: int) -> None:
        """A message of ours has its number, by whatever way that was learnt."""
        self._sending.mark_sent(message_id, seq, stored_at)

    # --- Time ----------------------------------------------------------------------------

    def next_timeout(self) -> int | None:
        """When to call `handle_timeout`, in milliseconds since the epoch."""
        times = (
            self._pending.next_timeout(),
            self._repairing.next_timeout(),
            self._upkeep.next_timeout(online=self._online),
            self._groups.next_timeout() if self._online else None,
            self._syncing.next_ask() if self._misses_sync else None,
        )
        return min((time for time in times if time is not None), default=None)

    def handle_timeout(self, now: int) -> None:
        """Do what is due. A clock that jumped makes it early or late, never twice."""
        self._repairing.handle_timeout(now)
        self._upkeep.maintain(now)
        self._key_packages.maintain(now)
        self._key_package_targets.maintain(now)

    def _resync(self, now: int) -> None:
        """Ask for what can be had by now: of those who were accepted, and of our other devices."""
        self._repairing.resume(now)
        if self._misses_sync and self._syncing.may_ask(now):
            self._repairing.lost_sync, self._receiving.histories.gaps = False, 0
            self._syncing.ask(now)

    @property
    def _misses_sync(self) -> bool:
        """Whether something that our other devices told this one is gone."""
        return self._repairing.lost_sync or bool(self._receiving.histories.gaps)

    def precompute(self, keys: int, now: int) -> None:
        """Derive message keys ahead, in idle time; in memory only."""
        for sessions in self._memory.open_sessions():
            sessions.precompute(keys, now // 1000, self._memory.random)

    # --- Pages ---------------------------------------------------------------------------

    def _take_page(
        self, streams: Sequence[StreamInfo], entries: Sequence[Entry], *, more: bool, now: int
    ) -> None:
        for info in streams:
            self._learn_stream(info, now)
        # Whoever mixes a page up must not make us pass over the half of it.
        for entry in sorted(entries, key=lambda entry: entry.seq):
            self._receiving.receive(entry, now, paged=True)
        if more:
            self._receiving.behind = True

    def _learn_stream(self, info: StreamInfo, now: int) -> None:
        if info.kind == "inbox":
            return
        try:
            self._learn(info, now)
        except ParlourError as problem:
            if self._memory.conversation_of_stream(info.stream) is None:
                self._memory.refuse(info.stream)
            self._sending.blocked(info.stream, problem.code)

    def _learn(self, info: StreamInfo, now: int) -> None:
        """Take part in a stream, as what its genesis says; raises what is wrong with it."""
        if self._groups.puts_off(info):
            return
        on_mls = info.kind in GROUP_KINDS or not is_pairwise(info.genesis)
        if on_mls or self._groups.is_group(info.stream):
            self._groups.streams.learn(info)
        else:
            self._sending.learn_stream(info)
