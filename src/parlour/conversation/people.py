"""What this person decides about others: requests, blocks, forgetting; and what comes of it."""

from __future__ import annotations

from typing import Final

from parlour.conversation import content as contents
from parlour.conversation.changes import DeleteMessages, ReleaseMessages
from parlour.conversation.contact import Contact
from parlour.conversation.decided import following, is_believable
from parlour.conversation.directory import Directory
from parlour.conversation.events import (
    MessageMissing,
    RequestFull,
    RequestReceived,
    StandingChanged,
)
from parlour.conversation.presets import PRESET, check_preset
from parlour.conversation.profiles import Profiles
from parlour.conversation.records import Conversation
from parlour.conversation.standing import Act, Standing
from parlour.conversation.state import Memory
from parlour.conversation.sync import Forgotten
from parlour.conversation.syncing import Syncing
from parlour.errors import Code, NotFoundError, error

# Messages of one stranger that are kept until somebody decides: a few lines and their corrections.
MAX_REQUESTED: Final = 100
# After a no, a stranger is not heard again for a day (ms): nobody can wear us down by asking.
QUIET: Final = 24 * 3_600_000
# The setting that says who may ask: `ASK` everybody, by default, or nobody.
REQUESTS: Final = "requests"
ASK: Final = "ask"
NOBODY: Final = "nobody"


class People:
    """Keeps the standing of every account."""

    def __init__(
        self, memory: Memory, directory: Directory, profiles: Profiles, syncing: Syncing
    ) -> None:
        self._memory = memory
        self._directory = directory
        self._profiles = profiles
        self._syncing = syncing
        syncing.on_standing = self._decided_elsewhere
        syncing.on_forgotten = self.forgotten

    # --- What a person decides -----------------------------------------------------------

    def decide(self, account_id: bytes, act: Act, now: int) -> None:
        """Change a standing, tell our other devices, and do what follows from it."""
        before = self._contact(account_id)
        after = before.after(act, now)
        if after is before:
            return
        self._memory.put_contact(after)
        self._settle(after)
        if after.standing is Standing.ACCEPTED:
            self._profiles.give(account_id, now)
        elif after.standing is Standing.BLOCKED and before.standing is Standing.ACCEPTED:
            self._profiles.rotate()
        self._syncing.tell_contact(after, now)

    def forget(self, account_id: bytes, now: int) -> None:
        """Drop everything about an account; it is a stranger if it ever comes again."""
        contact = self._contact(account_id)
        decided = following(now, contact.standing_at, contact.verified_at)
        self._syncing.tell(Forgotten(account_id, decided), now)
        self.forgotten(account_id, decided)
        if contact.standing is Standing.ACCEPTED:
            # They keep the key that they had, and nobody would think of them when it is time.
            self._profiles.rotate()

    def forgotten(self, account_id: bytes, at: int) -> None:
        """Drop everything about an account that was forgotten at `at`, here or elsewhere."""
        self._memory.forget(account_id)
        self._memory.changes.append(DeleteMessages(account_id, everything=True))
        self._memory.put_sync(account_id, contents.encode(Forgotten(account_id, at)))
        conversation = self._memory.conversations.get(account_id)
        if conversation is not None:
            self._begin_late(conversation)
        self._directory.forget(account_id)

    def writes_to(self, account_id: bytes, now: int) -> None:
        """We write to an account, which is a yes; raises `CONTACT_BLOCKED`."""
        if self._contact(account_id).standing is not Standing.ACCEPTED:
            self.decide(account_id, Act.WRITE, now)

    def _contact(self, account_id: bytes) -> Contact:
        contact = self._memory.contacts.get(account_id)
        if contact is None or account_id == self._memory.account_id:
            raise NotFoundError(Code.ACCOUNT_UNKNOWN)
        return contact

    # --- What follows --------------------------------------------------------------------

    def _settle(self, after: Contact) -> None:
        """Do what follows from a decision, made here or on another device of ours."""
        account_id = after.account_id
        conversation = self._memory.conversations.get(account_id)
        match after.standing:
            case Standing.ACCEPTED:
                self._accepted(after, conversation)
            case Standing.DECLINED:
                self._declined(account_id, conversation)
            case Standing.BLOCKED:
                self._declined(account_id, conversation)
                self._memory.drop_waiting(account_id, Code.CONTACT_BLOCKED)
            case _:
                pass  # a stranger, or one who waits: nothing was decided

    def _decided_elsewhere(self, after: Contact) -> None:
        self._settle(after)
        self._memory.events.append(StandingChanged(after.account_id, after.name, after.standing))

    def _accepted(self, contact: Contact, conversation: Conversation | None) -> None:
        if conversation is None:
            # The key of our profile goes ahead of the first message.
            conversation = Conversation(peer=contact.account_id)
            self._memory.put_conversation(conversation)
        if conversation.requested:
            self._memory.changes.append(ReleaseMessages(contact.account_id))
        if conversation.unkept:
            self._memory.events.append(
                RequestFull(contact.account_id, contact.name, conversation.unkept)
            )
        conversation.requested = conversation.unkept = 0
        self._tell_missing(conversation)
        self._memory.put_conversation(conversation)

    def _tell_missing(self, conversation: Conversation) -> None:
        """Tell what did not come of a stranger, of which nothing was told until now."""
        for device_id, count in conversation.senders.items():
            if count.unexplained > count.told:
                missing = MessageMissing(conversation.peer, device_id, tuple(count.missing))
                self._memory.events.append(missing)
                count.told = count.unexplained

    def _declined(self, account_id: bytes, conversation: Conversation | None) -> None:
        self._memory.drop_held(account_id)
        if conversation is not None and conversation.requested:
            self._memory.changes.append(DeleteMessages(account_id))
            conversation.requested = conversation.unkept = 0
            self._memory.put_conversation(conversation)

    def _begin_late(self, conversation: Conversation) -> None:
        """What comes next has some number; nothing is missing before it."""
        conversation.late = True
        conversation.senders.clear()
        self._memory.put_conversation(conversation)

    # --- What comes in -------------------------------------------------------------------

    def admits(self, account_id: bytes, now: int) -> bool:
        """Whether what an account sends is read at all."""
        contact = self._memory.contacts.get(account_id)
        if contact is None or account_id == self._memory.account_id:
            return True
        match contact.standing:
            case Standing.ACCEPTED | Standing.REQUESTED:
                return True
            case Standing.BLOCKED:
                return False
            case Standing.DECLINED if _is_quiet(contact.standing_at, now):
                return False
            case _:
                # A stranger, or one whose no was long ago: they may ask, if anybody may.
                setting = self._memory.settings.get(REQUESTS)
                return setting is None or setting.value != NOBODY

    def shut_out(self, conversation: Conversation) -> None:
        """An entry of an account that is not admitted was passed over."""
        if conversation.senders or not conversation.late:
            self._begin_late(conversation)

    def hides(self, conversation: Conversation) -> bool:
        """Whether a message of the peer waits for a decision, instead of being shown.

        The first one of a stranger is a request, and says so.
        """
        contact = self._memory.contacts[conversation.peer]
        if contact.standing is Standing.ACCEPTED:
            return False
        following = contact.after(Act.WRITTEN_TO)
        if following is not contact:
            self._memory.put_contact(following)
            self._memory.events.append(RequestReceived(contact.account_id, contact.name))
        return True

    def keeps(self, conversation: Conversation) -> bool:
        """Whether there is room for one more message of a request."""
        if conversation.requested >= MAX_REQUESTED:
            conversation.unkept += 1
            return False
        conversation.requested += 1
        return True

    def spoken_elsewhere(self, account_id: bytes) -> None:
        """Another device of ours wrote to an account, which is a yes."""
        contact = self._memory.contacts.get(account_id)
        if contact is None or contact.standing in (Standing.ACCEPTED, Standing.BLOCKED):
            return
        after = contact.after(Act.WRITE)
        self._memory.put_contact(after)
        self._decided_elsewhere(after)


def _is_quiet(declined_at: int, now: int) -> bool:
    """Whether a no is still to be respected. The clock by which it was said may be ahead of ours.

    What is not to be believed was said here, by a clock that was put right: or nobody could ask for
    years.
    """
    return is_believable(declined_at, now) and now < declined_at + QUIET


def check_setting(key: str, value: str) -> None:
    """Refuse a value that a known setting can't have."""
    if key == REQUESTS and value not in (ASK, NOBODY):
        raise error(Code.USAGE_INVALID, f"{REQUESTS}: {ASK} or {NOBODY}")
    if key == PRESET:
        check_preset(value)
