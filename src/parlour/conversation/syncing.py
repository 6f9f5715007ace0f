"""The self conversation: what our devices tell each other, and how it is taken in.

It is a pairwise one or a group on MLS (`groups.direct`), which makes no difference here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Final, TypeVar

from msgspec import structs

from parlour.conversation import content as contents
from parlour.conversation.contact import Contact, Verification
from parlour.conversation.decided import NEVER, counts, following, is_believable
from parlour.conversation.directory import Directory, Expected
from parlour.conversation.events import (
    DeviceAhead,
    KeyChanged,
    NamesDiffer,
    ReadElsewhere,
    SettingChanged,
    StandingChanged,
)
from parlour.conversation.numbers import settled
from parlour.conversation.own_list import OwnList
from parlour.conversation.profiles import Profiles
from parlour.conversation.records import Conversation, Setting
from parlour.conversation.sending import Sending
from parlour.conversation.standing import Standing
from parlour.conversation.state import Memory
from parlour.conversation.sync import (
    MAX_SETTING,
    MAX_SETTING_KEY,
    MAX_SETTINGS,
    ContactSync,
    Forgotten,
    GroupSync,
    OwnListSync,
    OwnProfileSync,
    ReadUpTo,
    SettingSync,
    Sync,
    SyncRequest,
)
from parlour.conversation.told_lists import ToldLists
from parlour.errors import Code, DecodeError, LimitError

# Accounts that other devices told of and whose lists are still to be read.
MAX_PENDING: Final = 5000
# Milliseconds between two times that our other devices are asked for everything. What is asked for
# makes entries that a server may hide again: without a pause, there would be no end. It doubles.
ASK_EVERY: Final = 60_000
LONGEST_PAUSE: Final = 3_600_000


class Syncing:
    """Speaks and listens in the self conversation.

    `on_standing`, `on_forgotten` and `on_unstopped` do what follows from a decision that was made
    on another device.
    """

    def __init__(
        self, memory: Memory, directory: Directory, sending: Sending, profiles: Profiles
    ) -> None:
        self._memory = memory
        self._directory = directory
        self._sending = sending
        self._profiles = profiles
        self._own_list = OwnList(memory, directory, sending)
        self.told_lists = ToldLists(memory, directory)
        # Whose clocks were told of, and which names.
        self._ahead: set[bytes] = set()
        self._asked_at: int | None = None
        self._pause = ASK_EVERY
        self._misnamed: set[tuple[bytes, str]] = set()
        self.on_standing: Callable[[Contact], None] = lambda contact: None
        self.on_forgotten: Callable[[bytes, int], None] = lambda account_id, at: None
        self.on_group: Callable[[GroupSync, int], None] = lambda *_: None
        # Something goes to our other devices; set by the groups, which compare epochs with it.
        self.on_told: Callable[[int], None] = lambda now: None
        self.groups: Callable[[], Iterable[GroupSync]] = tuple
        self.on_unstopped: Callable[[bytes, int], None] = lambda account_id, now: None

    # --- What happens here ---------------------------------------------------------------

    def tell(self, sync: Sync, now: int) -> None:
        """Tell our other devices, if there are any."""
        self._sending.send_silently(self._memory.account_id, sync, now)
        self.on_told(now)

    def tell_contact(self, contact: Contact, now: int) -> None:
        """Tell how we stand to an account, and whether we have verified it."""
        self.tell(self._contact_sync(contact), now)

    def mark_read(self, account_id: bytes, seq: int, now: int) -> None:
        """A person has seen the conversation with an account up to `seq`."""
        conversation = self._memory.conversations.get(account_id)
        if conversation is None or not _read_here(conversation) < seq <= conversation.received:
            return
        conversation.read = seq
        self._memory.put_conversation(conversation)
        self._drop_older(account_id)
        # A number behind a gap may be the server's invention, and would mark all as read for good.
        self.tell(ReadUpTo(account_id, min(seq, settled(conversation))), now)

    def _drop_older(self, account_id: bytes) -> None:
        """What was still to be told of an earlier position is of no use any more."""
        waiting = self._memory.queues.get(self._memory.account_id, {}).get(b"", {})
        for outgoing in list(waiting.values()):
            if outgoing.sealed:
                continue
            said = contents.decode(outgoing.content)
            if isinstance(said, ReadUpTo) and said.account_id == account_id:
                self._memory.delete_outgoing(outgoing.message_id)

    def set_setting(self, key: str, value: str, now: int) -> None:
        """Change a setting on all devices; raises `LimitError`."""
        settings = self._memory.settings
        if not 0 < len(key) <= MAX_SETTING_KEY or len(value) > MAX_SETTING:
            raise LimitError(Code.LIMIT_SIZE, f"{MAX_SETTING_KEY} and {MAX_SETTING} characters")
        if key not in settings and len(settings) >= MAX_SETTINGS:
            raise LimitError(Code.LIMIT_COUNT, f"at most {MAX_SETTINGS} settings")
        at = following(now, settings[key].at) if key in settings else now
        self._memory.put_setting(key, Setting(value, at))
        self.tell(SettingSync(key, value, at), now)

    def ask(self, now: int) -> None:
        """Ask our other devices for everything: something was lost, or nobody handed it over."""
        again = (
            self._asked_at is not None and self._asked_at <= now < self._asked_at + 2 * self._pause
        )
        self._pause = min(2 * self._pause, LONGEST_PAUSE) if again else ASK_EVERY
        self._asked_at = now
        self.tell(SyncRequest(), now)

    def may_ask(self, now: int) -> bool:
        """Whether they were not asked just now. A clock that went back is no reason to wait."""
        return self._asked_at is None or not self._asked_at <= now < self._asked_at + self._pause

    def next_ask(self) -> int | None:
        """When they may be asked again, in milliseconds."""
        return None if self._asked_at is None else self._asked_at + self._pause

    def begin(self, now: int) -> None:
        """Ask once, on a device that began without an older one's snapshot."""
        if not self._memory.asked_for_sync and not self._memory.own.first:
            self._memory.put_asked_for_sync()
            self.ask(now)

    # --- Everything ----------------------------------------------------------------------

    def everything(self) -> Iterator[Sync]:
        """All that a new device needs to know, but how far conversations were read."""
        own = self._memory.profiles.get(self._memory.account_id)
        # What the server does not have yet is told when it does.
        if own is not None and own.announcement is not None and not own.unsent:
            yield OwnProfileSync(own.announcement)
        for key, setting in self._memory.settings.items():
            yield SettingSync(key, setting.value, setting.at)
        for contact in self._memory.contacts.values():
            decided = contact.standing is not Standing.STRANGER or contact.verified_at
            if decided and contact.account_id != self._memory.account_id:
                yield self._contact_sync(contact)
        yield from self.groups()

    def _contact_sync(self, contact: Contact) -> ContactSync:
        state, profile = contact.state, self._memory.profiles.get(contact.account_id)
        verified = contact.verification is Verification.VERIFIED
        return ContactSync(
            account_id=contact.account_id,
            name=contact.name,
            account_key=state.account_key.to_bytes(),
            list_number=state.number,
            list_hash=state.head_hash,
            standing=contact.standing,
            standing_at=contact.standing_at,
            verified_key=state.account_key.to_bytes() if verified else b"",
            verified_at=contact.verified_at,
            profile=None if profile is None else profile.announcement,
        )

    # --- What comes in -------------------------------------------------------------------

    def take(self, sync: Sync, sender: bytes, now: int) -> None:
        """Take what another device of ours says, `sender`.

        What it dates too far ahead is passed over, and told of once.
        """
        if not is_believable(_latest(sync), now):
            if sender not in self._ahead:
                self._ahead.add(sender)
                self._memory.events.append(DeviceAhead(sender))
            return
        match sync:
            case ContactSync():
                self._take_contact(sync, now)
            case Forgotten():
                self._take_forgotten(sync, now)
            case ReadUpTo(account_id=account_id, seq=seq):
                self._take_read(account_id, seq)
            case SettingSync():
                self._take_setting(sync, now)
            case OwnProfileSync():
                self._profiles.synced(sync.profile, now)
            case OwnListSync():
                self._own_list.take(sync, sender)
            case GroupSync():
                self.on_group(sync, now)
            case _:
                self._take_request(sync, now)

    def _take_request(self, _request: SyncRequest, now: int) -> None:
        self._own_list.answer(now)
        for item in self.everything():
            self.tell(item, now)
        for conversation in self._memory.conversations.values():
            read = min(conversation.read, conversation.received)
            if read:
                self.tell(ReadUpTo(conversation.peer, read), now)

    def _take_read(self, account_id: bytes, seq: int) -> None:
        conversation = self._memory.conversations.get(account_id)
        if conversation is not None and conversation.read < seq:
            conversation.read = seq
            self._memory.put_conversation(conversation)
            self._memory.events.append(ReadElsewhere(account_id, seq))

    def _take_setting(self, sync: SettingSync, now: int) -> None:
        known = self._memory.settings.get(sync.key)
        if known is None and len(self._memory.settings) >= MAX_SETTINGS:
            return
        if counts(sync.at, NEVER if known is None else known.at, now):
            self._memory.put_setting(sync.key, Setting(sync.value, sync.at))
            self._memory.events.append(SettingChanged(sync.key, sync.value))

    def _take_forgotten(self, sync: Forgotten, now: int) -> None:
        if sync.account_id == self._memory.account_id:
            return
        contact = self._memory.contacts.get(sync.account_id)
        if contact is None:
            if counts(sync.at, _latest(self._pending(sync.account_id)), now):
                self._keep_pending(sync.account_id, sync)
        elif counts(sync.at, max(contact.standing_at, contact.verified_at), now):
            self.on_forgotten(sync.account_id, sync.at)
            self._memory.events.append(
                StandingChanged(contact.account_id, contact.name, Standing.STRANGER)
            )

    def _take_contact(self, sync: ContactSync, now: int) -> None:
        if sync.account_id == self._memory.account_id:
            return
        contact = self._memory.contacts.get(sync.account_id)
        if self._is_named_otherwise(sync):
            self._tell_names(sync, "" if contact is None else contact.name)
            return
        self._directory.expect(sync.account_id, _expected(sync))
        if contact is not None:
            self._apply(contact, sync, now)
            return
        if counts(_latest(sync), _latest(self._pending(sync.account_id)), now):
            self._keep_pending(sync.account_id, sync)
            self._directory.want(sync.account_id)

    def _is_named_otherwise(self, sync: ContactSync) -> bool:
        """Whether that account has another name here, or that name another account.

        A name is for good, and people write to names. So the server has told one of our devices a
        wrong one, or that device lies: somebody who has it could give one person's name, and that
        they were verified, to another. Nothing is taken of what it says there.
        """
        return any(
            (contact.account_id == sync.account_id) is not (contact.name == sync.name)
            for contact in self._memory.contacts.values()
        )

    def _tell_names(self, sync: ContactSync, name: str) -> None:
        if (sync.account_id, sync.name) not in self._misnamed:
            self._misnamed.add((sync.account_id, sync.name))
            self._memory.events.append(NamesDiffer(sync.account_id, name, sync.name))

    # --- Accounts that are not known here yet --------------------------------------------

    def _pending(self, account_id: bytes) -> ContactSync | Forgotten | None:
        try:
            said = contents.decode(self._memory.syncs.get(account_id, b""))
        except DecodeError:
            # Nobody is kept from anything by what can't be read.
            return None
        return said if isinstance(said, ContactSync | Forgotten) else None

    def _keep_pending(self, account_id: bytes, sync: ContactSync | Forgotten) -> None:
        if account_id in self._memory.syncs or len(self._memory.syncs) < MAX_PENDING:
            self._memory.put_sync(account_id, contents.encode(sync))

    def connected(self) -> None:
        """Read the lists of the accounts that other devices told of."""
        self._own_list.connected()
        self.told_lists.connected()
        for account_id in self._memory.syncs:
            pending = self._pending(account_id)
            if isinstance(pending, ContactSync):
                self._directory.expect(account_id, _expected(pending))
                self._directory.want(account_id)

    def settled(self, account_id: bytes, now: int) -> None:
        """The device list of an account was read: take in what was said of it before."""
        if account_id == self._memory.account_id:
            self._own_list.settled(now)
            return
        self.told_lists.settled(account_id)
        contact = self._memory.contacts.get(account_id)
        pending = self._pending(account_id)
        if contact is None or pending is None:
            return
        pending = dated(pending, now)
        if isinstance(pending, ContactSync):
            self._memory.delete_sync(account_id)
            if self._is_named_otherwise(pending):
                self._tell_names(pending, contact.name)
            else:
                self._apply(contact, pending, now)
        elif counts(pending.at, contact.standing_at, now):
            # Whatever was decided before it was forgotten does not come back.
            met = replace(contact, standing_at=pending.at, verified_at=pending.at)
            self._memory.put_contact(met)

    # --- One contact ---------------------------------------------------------------------

    def _apply(self, contact: Contact, sync: ContactSync, now: int) -> None:
        if sync.profile is not None:
            self._profiles.told(contact.account_id, sync.profile)
        undecided = contact.standing is Standing.STRANGER and not contact.standing_at
        if counts(sync.standing_at, NEVER if undecided else contact.standing_at, now):
            after = replace(contact, standing=sync.standing, standing_at=sync.standing_at)
            self._memory.put_contact(after)
            if after.standing is not contact.standing:
                self.on_standing(after)
            contact = after
        later = counts(sync.verified_at, contact.verified_at, now)
        if later or self._is_other_key(contact, sync):
            self._apply_verification(contact, sync, now)

    def _is_other_key(self, contact: Contact, sync: ContactSync) -> bool:
        shown = {contact.head.account_key.to_bytes(), contact.key_to_verify().to_bytes()}
        return sync.account_key not in shown and not contact.contradicted

    def _apply_verification(self, contact: Contact, sync: ContactSync, now: int) -> None:
        after = _verified_like(contact, sync)
        self._memory.put_contact(after)
        if after.contradicted and not contact.contradicted:
            self._memory.events.append(KeyChanged(contact.account_id, contact.name, stopped=True))
        elif self._is_other_key(contact, sync):
            self._memory.events.append(KeyChanged(contact.account_id, contact.name, stopped=False))
        elif contact.stopped and not after.stopped:
            self.on_unstopped(contact.account_id, now)


def _verified_like(contact: Contact, sync: ContactSync) -> Contact:
    """The contact with what another device of ours says of its key."""
    current = contact.key_to_verify().to_bytes()
    at = sync.verified_at
    if sync.verified_key == current:
        return contact.verified(at)
    if sync.verified_key and sync.verified_key != contact.head.account_key.to_bytes():
        return contact.contradicted_by(sync.verified_key, at)
    if not sync.verified_key and sync.account_key == current and contact.stopped:
        return contact.accepted(at)
    return replace(contact, verified_at=max(at, contact.verified_at))


def _expected(sync: ContactSync) -> Expected:
    return Expected(sync.account_key, sync.list_number, sync.list_hash)


S = TypeVar("S", bound=Sync)


def dated(said: S, now: int) -> S:
    """What was handed over by whom we trust: from now, where its clock was too far ahead."""
    ahead = {
        name: now
        for name in ("at", "standing_at", "verified_at")
        if not is_believable(getattr(said, name, NEVER), now)
    }
    return structs.replace(said, **ahead)


def _latest(said: Sync | None) -> int:
    """When the last of what it says was decided, if anything."""
    match said:
        case ContactSync(standing_at=standing_at, verified_at=verified_at):
            return max(standing_at, verified_at)
        case Forgotten(at=at) | SettingSync(at=at) | GroupSync(at=at):
            return at
        case _:
            return NEVER


def _read_here(conversation: Conversation) -> int:
    """How far a conversation was read, if that is no further than it was received.

    Another device may be ahead of us for a moment. But what nobody can have read must not keep a
    person from saying what they have.
    """
    return 0 if conversation.read > conversation.received else conversation.read
