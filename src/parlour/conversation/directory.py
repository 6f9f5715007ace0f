"""Device lists as the machine learns them: first contact, growth, rollback, changed keys.

A list is read again from the last entry that we know, once per connection and whenever the server
says that it grew. The first entry of the answer must be the one that we know: a server that goes
back, forks or shortens a list is found out by that. The key of our own account never changes: we
know it from ourselves, and a server that shows another one is not believed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import filterfalse, islice
from typing import Final

from msgspec import Struct

from parlour.conversation.contact import Contact, formers
from parlour.conversation.events import (
    ContactAdded,
    DevicesChanged,
    KeyChanged,
    KeyReturned,
    SendingBlocked,
)
from parlour.conversation.requests import ServerRequest
from parlour.conversation.state import Memory
from parlour.errors import (
    Code,
    LimitError,
    NotFoundError,
    ParlourError,
    SecurityStop,
    TransportError,
    UsageError,
    error,
)
from parlour.identity.device_list import DeviceListEntry, DeviceListState
from parlour.login.names import new_account_name
from parlour.primitives.signature import Ed25519PublicKey
from parlour.wire.directory import DeviceListPage, ReadDeviceList
from parlour.wire.groups import (
    MAX_BATCH,
    DeviceListPages,
    KnownList,
    ListHead,
    ListHeads,
    ReadDeviceLists,
    ReadListHeads,
)
from parlour.wire.kinds import Kind
from parlour.wire.limits import MAX_PUSHED_LISTS

DEVICE_LIST: Final = "device-list"
DEVICE_LISTS: Final = "device-lists"
LIST_HEADS: Final = "list-heads"
# More than so many lists are asked for together: that is a group, not a few people.
MAX_SINGLE: Final = 8
# Lists that wait for the commit behind them: those of a few commits.
MAX_OFFERED: Final = 4 * MAX_PUSHED_LISTS
# A list this long has changed daily for 27 years; it keeps a server from making us read for ever.
MAX_ENTRIES: Final = 10_000


@dataclass(slots=True)
class _Reading:
    """A whole list that is being read from entry 0, page by page, and verified as it comes."""

    state: DeviceListState | None = None
    latest: DeviceListEntry | None = None
    former: tuple[bytes, ...] = ()

    @property
    def next_number(self) -> int:
        """The number of the entry that comes next."""
        return 0 if self.state is None else self.state.number + 1

    def take(self, account_id: bytes, entry: DeviceListEntry) -> None:
        """Verify one more entry, or raise `SecurityStop`."""
        if self.state is None:
            self.state = DeviceListState.begin(account_id, entry)
        else:
            self.state = self.state.extend(entry)
        if self.latest is not None:
            self.former = formers(self.former, self.latest, entry)
        self.latest = entry


@dataclass(frozen=True, slots=True)
class Expected:
    """An entry of a device list that another device of ours was shown, or the account tells of."""

    account_key: bytes
    number: int
    digest: bytes


class Directory:
    """Keeps the contacts' device lists current."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._current: set[bytes] = set()
        self._wanted: set[bytes] = set()
        self._readings: dict[bytes, _Reading] = {}
        # Lists that are asked for one by one, with pauses: what came of them in a batch was wrong.
        self._alone: set[bytes] = set()
        # Whose head the server gave is another one than ours: the list is to be read.
        self._moved: set[bytes] = set()
        # Accounts that nobody looked for: they came with a group.
        self._aside: set[bytes] = set()
        # Whole lists that the server pushed with commits, until somebody wants one of them.
        self._offered: dict[bytes, DeviceListPage] = {}
        # What was shown elsewhere, by account.
        self._expected: dict[bytes, Expected] = {}

    # --- Needs ---------------------------------------------------------------------------

    def connected(self) -> None:
        """What the server said before this connection may be out of date.

        Our own list is read at once, as a device that is new on it is news to its owner; so are
        those of accounts whose key changed, as it may be the known one again.
        """
        self._current.clear()
        self._alone.clear()
        self._moved.clear()
        self._offered.clear()
        self.want(self._memory.account_id)
        for contact in self._memory.contacts.values():
            if contact.stopped:
                self.want(contact.account_id)

    def want(self, account_id: bytes) -> None:
        """Read the list of an account again, or for the first time."""
        self._wanted.add(account_id)
        self._aside.discard(account_id)

    def want_aside(self, account_ids: Iterable[bytes]) -> None:
        """Read the lists of accounts that came with a group: nobody is told of new ones by that."""
        for account_id in account_ids:
            if account_id not in self._wanted and account_id not in self._memory.contacts:
                self._aside.add(account_id)
            self._wanted.add(account_id)

    def all_current(self, account_ids: Iterable[bytes]) -> bool:
        """Whether all these were read on this connection; if not, they are wanted (`aside`)."""
        return not self.unread(account_ids)

    def unread(self, account_ids: Iterable[bytes]) -> set[bytes]:
        """Those that were not read on this connection; they are wanted (`aside`)."""
        # As sets: it is asked before each message to a large group.
        asked = set(account_ids)
        missing = (asked - self._current) | (asked & self._wanted)
        self.want_aside(missing)
        return missing

    def goes_on(self, account_id: bytes) -> bool:
        """Whether a device, not the server, has shown that a list is longer than we know it."""
        contact, expected = self._memory.contacts.get(account_id), self._expected.get(account_id)
        return expected is not None and (contact is None or contact.head.number < expected.number)

    def expect(self, account_id: bytes, expected: Expected) -> None:
        """Somebody was shown this entry: a server that hides it from us is lying."""
        known = self._expected.get(account_id)
        if known is None or known.number < expected.number:
            self._expected[account_id] = expected
        contact = self._memory.contacts.get(account_id)
        if contact is not None and contact.head.number < expected.number:
            self.want(account_id)

    def expect_entry(self, entry: DeviceListEntry) -> None:
        """The same of an entry that was shown in full; the list is read at once."""
        key = entry.account_key.to_bytes()
        self.expect(entry.account_id, Expected(key, entry.number, entry.hash()))
        self.want(entry.account_id)

    def _check_expected(self, entry: DeviceListEntry, *, last: bool) -> None:
        """Compare what we are shown with what was shown elsewhere."""
        expected = self._expected.get(entry.account_id)
        if expected is None or entry.account_key.to_bytes() != expected.account_key:
            # Another key is another matter, and told as such (`syncing`).
            return
        if entry.number == expected.number and entry.hash() != expected.digest:
            raise SecurityStop(Code.DEVICE_LIST_INVALID, "another one was shown elsewhere")
        if last and entry.number < expected.number:
            raise SecurityStop(Code.DEVICE_LIST_ROLLBACK, "a newer one was shown elsewhere")

    def forget(self, account_id: bytes) -> None:
        """Nothing is known of an account any more."""
        self._expected.pop(account_id, None)
        self._readings.pop(account_id, None)
        self._current.discard(account_id)
        self._wanted.discard(account_id)
        self._aside.discard(account_id)
        self._offered.pop(account_id, None)

    def is_read(self, account_id: bytes) -> bool:
        """Whether the whole list was read on this connection, and nothing says that it grew."""
        return account_id in self._current and account_id not in self._wanted

    def is_current(self, account_id: bytes) -> bool:
        """Whether the list was read on this connection; if not, it is wanted from now on."""
        if self.is_read(account_id):
            return True
        self.want(account_id)
        return False

    def grown(self, account_id: bytes, number: int) -> None:
        """The server says that the list of an account has grown to `number`."""
        self._offered.pop(account_id, None)
        contact = self._memory.contacts.get(account_id)
        if contact is not None and number > contact.head.number:
            self.want(account_id)

    def offer(self, pages: Iterable[DeviceListPage]) -> None:
        """Keep whole lists that nobody has asked for yet; of many, the last ones."""
        for page in pages:
            self._offered.pop(page.account_id, None)
            self._offered[page.account_id] = page
        while len(self._offered) > MAX_OFFERED:
            del self._offered[next(iter(self._offered))]

    def take_offered(self) -> list[DeviceListPage]:
        """The offered lists that are wanted: to be taken like answers, and then `only_offered`."""
        wanted = sorted(self._offered.keys() & self._wanted)
        for account_id in wanted:
            self._first(account_id)
        return [self._offered.pop(account_id) for account_id in wanted]

    def only_offered(self, account_id: bytes) -> None:
        """A list that was offered is good for judging what came with it, and for nothing else.

        It may have grown while it was on its way, and nobody told us yet, because we had nothing
        to do with that account. Whoever encrypts to it compares it with the server's first.
        """
        self._current.discard(account_id)

    def requests(self) -> list[ServerRequest]:
        """One request for each list that is wanted; of many, one batch at a time."""
        together = sorted(self._wanted - self._alone)
        if len(together) <= MAX_SINGLE:
            return [self._request(account_id) for account_id in sorted(self._wanted)]
        requests = [self._request(account_id) for account_id in sorted(self._wanted & self._alone)]
        known = list(islice(filter(self._is_settled, together), MAX_BATCH))
        if known:
            heads = ReadListHeads(account_ids=known)
            requests.append(ServerRequest((LIST_HEADS, b""), Kind.READ_LIST_HEADS, heads))
        unread = list(islice(filterfalse(self._is_settled, together), MAX_BATCH))
        if unread:
            lists = [KnownList(each, self._first(each)) for each in unread]
            batch = ReadDeviceLists(lists=lists)
            requests.append(ServerRequest((DEVICE_LISTS, b""), Kind.READ_DEVICE_LISTS, batch))
        return requests

    def _is_settled(self, account_id: bytes) -> bool:
        """Whether the list is known, and nothing says that it is another one by now."""
        unsettled = account_id in self._readings or account_id in self._moved
        return account_id in self._memory.contacts and not unsettled

    def _request(self, account_id: bytes) -> ServerRequest:
        body = ReadDeviceList(account_id=account_id, first=self._first(account_id))
        return ServerRequest((DEVICE_LIST, account_id), Kind.READ_DEVICE_LIST, body)

    def _first(self, account_id: bytes) -> int:
        """The number of the entry from which on a list is read."""
        reading = self._readings.get(account_id)
        contact = self._memory.contacts.get(account_id)
        if reading is not None:
            return reading.next_number
        if contact is not None:
            return contact.head.number
        self._readings[account_id] = _Reading()
        return 0

    # --- Answers -------------------------------------------------------------------------

    def found(self, page: DeviceListPage, name: str | None) -> bytes:
        """Take the answer to a look-up by name; return the account's id.

        An account that is known already keeps its list: what the server says anew of it is
        compared by `answered`, like everything else. It keeps its name, too: a server that gives
        the account of one person for the name of another is refused.
        """
        if name is not None and page.name != name:
            raise error(Code.SERVER_MISBEHAVED, "another account was found")
        known = self._memory.contacts.get(page.account_id)
        if known is not None:
            if known.name != page.name:
                raise error(Code.SERVER_MISBEHAVED, "an account that has another name")
            self.want(page.account_id)
            self._meet(known)
        else:
            self._aside.discard(page.account_id)
            self._readings[page.account_id] = _Reading()
            self.answered(page.account_id, page)
        return page.account_id

    def _meet(self, contact: Contact) -> None:
        """Somebody looked for an account that came with a group."""
        if contact.is_met:
            return
        self._memory.put_contact(replace(contact, aside=False))
        self._memory.events.append(ContactAdded(contact.account_id, contact.name))

    def answered_heads(self, asked: ReadListHeads, answer: ListHeads) -> list[bytes]:
        """Take how far lists go; return the accounts whose lists are current by that.

        A server that gives our own head says what it says by a list that ends with it, and is held
        to it in the same way. Where it gives another one, or none, the list is read.
        """
        heads = {head.account_id: head for head in answer.heads}
        if not heads.keys() <= set(asked.account_ids):
            raise error(Code.SERVER_MISBEHAVED, "heads of lists that nobody asked for")
        current = []
        for account_id in asked.account_ids:
            contact = self._memory.contacts.get(account_id)
            if contact is None or not self._is_settled(account_id):
                # Forgotten meanwhile, or being read from its beginning.
                continue
            head = ListHead(account_id, contact.head.number, contact.head.hash())
            if heads.get(account_id) != head:
                self._moved.add(account_id)
                self._wanted.add(account_id)
            elif self._agrees(contact):
                current.append(account_id)
        return current

    def _agrees(self, contact: Contact) -> bool:
        """Take it that a list ends with what we know of it, unless more was shown elsewhere."""
        try:
            self._continue(contact, [contact.head], more=False)
        except SecurityStop:
            # To be found out by the list itself, and told as such.
            self._moved.add(contact.account_id)
            self._wanted.add(contact.account_id)
            return False
        return True

    def answered_lists(
        self, asked: ReadDeviceLists, answer: DeviceListPages
    ) -> tuple[list[bytes], dict[bytes, ParlourError]]:
        """Take many pages; return the accounts whose lists are current, and what was wrong.

        One bad list keeps nobody from the others; it is asked for alone from now on.
        """
        ids = [known.account_id for known in asked.lists]
        answered = [page.account_id for page in answer.pages]
        if not answered or answered != ids[: len(answered)]:
            raise error(Code.SERVER_MISBEHAVED, "lists that nobody asked for")
        current, wrong = [], {}
        for page in answer.pages:
            try:
                self._take_one_of_many(page)
            except ParlourError as problem:
                self._alone.add(page.account_id)
                wrong[page.account_id] = problem
            else:
                if self.is_read(page.account_id):
                    current.append(page.account_id)
        return current, wrong

    def failed(self, asked: Struct | None, problem: ParlourError) -> None:
        """A request failed: what was asked for in a batch is asked for one by one.

        Not for a lost connection or too many requests, which have nothing to do with it.
        """
        if isinstance(problem, TransportError | LimitError):
            return
        match asked:
            case ReadListHeads(account_ids=account_ids):
                self._alone.update(account_ids)
            case ReadDeviceLists(lists=lists):
                self._alone.update(known.account_id for known in lists)
            case _:
                pass  # alone already, or about something else

    def _take_one_of_many(self, page: DeviceListPage) -> None:
        reading = self._readings.get(page.account_id)
        begun = reading is not None and reading.latest is not None
        if not (page.entries or begun or page.account_id in self._memory.contacts):
            # Nothing is known of such an account, so nothing that is known is gone.
            self._readings.pop(page.account_id, None)
            self._wanted.discard(page.account_id)
            raise error(Code.ACCOUNT_UNKNOWN)
        self.answered(page.account_id, page)

    def answered(self, account_id: bytes, page: DeviceListPage) -> None:
        """Take a page; raise `SecurityStop` when the server shows what can't be."""
        try:
            self._take(account_id, page)
        except ParlourError:
            # Whoever wants to send asks for it anew; until then nothing goes by the old list.
            self._readings.pop(account_id, None)
            self._wanted.discard(account_id)
            self._current.discard(account_id)
            self._moved.discard(account_id)
            raise

    def _take(self, account_id: bytes, page: DeviceListPage) -> None:
        if page.account_id != account_id:
            raise SecurityStop(Code.DEVICE_LIST_INVALID, "the answer is of another account")
        entries = [DeviceListEntry.decode(data) for data in page.entries]
        reading = self._readings.get(account_id)
        contact = self._memory.contacts.get(account_id)
        if reading is not None:
            self._read_on(reading, account_id, entries, page)
        elif contact is not None:
            self._continue(contact, entries, more=page.more)

    def _read_on(
        self,
        reading: _Reading,
        account_id: bytes,
        entries: list[DeviceListEntry],
        page: DeviceListPage,
    ) -> None:
        """Read a list from its beginning."""
        # A look-up by name and a reading may cross: what was verified already is passed over.
        new = [entry for entry in entries if entry.number >= reading.next_number]
        if page.more and not new:
            raise SecurityStop(Code.DEVICE_LIST_INVALID, "an empty page that goes on")
        for entry in new:
            reading.take(account_id, entry)
            self._check_expected(entry, last=False)
        latest = reading.latest
        if latest is None:
            raise SecurityStop(Code.DEVICE_LIST_INVALID, "no entry")
        if reading.next_number > MAX_ENTRIES:
            raise SecurityStop(Code.DEVICE_LIST_INVALID, "a list without end")
        if page.more:
            self._wanted.add(account_id)
            return
        self._check_expected(latest, last=True)
        del self._readings[account_id]
        known = self._memory.contacts.get(account_id)
        if known is None:
            self._begin(latest, reading, page.name)
        else:
            self._settle(known, latest)
        self._done(account_id)

    def _continue(self, contact: Contact, entries: list[DeviceListEntry], *, more: bool) -> None:
        """Read on from the entry that we know, which must come first."""
        head = contact.head
        while entries and entries[0].number < head.number and _same_key(entries[0], head):
            # The answer was on its way while another one brought us further.
            entries = entries[1:]
        if not entries and head.number == 0:
            raise SecurityStop(Code.DEVICE_LIST_ROLLBACK, "the known entry is gone")
        if not entries or not _same_key(entries[0], head):
            # Gone back, or another key, whose list is shorter: to be read from its own beginning.
            self._readings[contact.account_id] = _Reading()
            self._wanted.add(contact.account_id)
            return
        if entries[0] != contact.head:
            raise SecurityStop(Code.DEVICE_LIST_INVALID, "the list was forked")
        if contact.stopped:
            contact = contact.withdrawn()
            self._memory.put_contact(contact)
            self._memory.events.append(KeyReturned(contact.account_id, contact.name))
        grown = contact
        for entry in entries[1:]:
            grown = grown.extended(entry)
            self._check_expected(entry, last=False)
        if not more:
            self._check_expected(grown.head, last=True)
        if grown is not contact:
            self._keep(contact, grown)
        if more and (grown is contact or grown.head.number > MAX_ENTRIES):
            raise SecurityStop(Code.DEVICE_LIST_INVALID, "a list without end")
        if more:
            self._wanted.add(contact.account_id)
        else:
            self._done(contact.account_id)

    def _done(self, account_id: bytes) -> None:
        self._current.add(account_id)
        self._wanted.discard(account_id)
        self._moved.discard(account_id)
        self._alone.discard(account_id)

    def _begin(self, latest: DeviceListEntry, reading: _Reading, name: str) -> None:
        """Keep an account that was not known before."""
        if not _is_name(name):
            raise error(Code.SERVER_MISBEHAVED, "a name that no account can have")
        if self._memory.named(name) is not None:
            raise error(Code.SERVER_MISBEHAVED, "two accounts of one name")
        aside = latest.account_id in self._aside
        contact = Contact(name=name, head=latest, aside=aside, former=reading.former)
        self._aside.discard(contact.account_id)
        self._memory.put_contact(contact)
        if not aside:
            self._memory.events.append(ContactAdded(contact.account_id, contact.name))

    def _settle(self, known: Contact, latest: DeviceListEntry) -> None:
        """Compare a list that was read from its beginning with what we know."""
        if _same_key(latest, known.head):
            if latest == known.head:
                return
            if latest.number < known.head.number:
                raise SecurityStop(Code.DEVICE_LIST_ROLLBACK, f"entry {latest.number} is the last")
            raise SecurityStop(Code.DEVICE_LIST_INVALID, "the list was forked")
        if known.account_id == self._memory.account_id:
            # Taking it would send a copy of all that we say to devices that are not ours.
            raise SecurityStop(Code.ACCOUNT_KEY_CHANGED, "that of our own account, by the server")
        if latest == known.offered:
            return
        changed = known.with_changed_key(latest)
        self._keep(known, changed)
        self._memory.events.append(KeyChanged(known.account_id, known.name, changed.stopped))
        if changed.stopped:
            self._memory.events.append(SendingBlocked(known.account_id, Code.ACCOUNT_KEY_CHANGED))

    # --- What a person decides -----------------------------------------------------------

    def verify(self, account_id: bytes, now: int, key: Ed25519PublicKey | None) -> None:
        """A person compared the safety number, of `key` if it is given."""
        contact = self._contact_with(account_id, key)
        self._keep(contact, contact.verified(now))

    def accept(self, account_id: bytes, now: int, key: Ed25519PublicKey | None) -> None:
        """A person goes on with a changed key, that is `key` if it is given."""
        contact = self._contact_with(account_id, key)
        self._keep(contact, contact.accepted(now))

    def _contact_with(self, account_id: bytes, key: Ed25519PublicKey | None) -> Contact:
        contact = self._memory.contacts.get(account_id)
        if contact is None:
            raise NotFoundError(Code.ACCOUNT_UNKNOWN)
        if key is not None and key != contact.key_to_verify():
            raise error(Code.ACCOUNT_KEY_CHANGED, "once more, while a person compared")
        return contact

    def _keep(self, before: Contact, after: Contact) -> None:
        """Write a contact, and forget the sessions of devices that left."""
        self._memory.put_contact(after)
        # A device that shows other keys under its old id counts as one that left and one that came.
        old, new = before.identities(), after.identities()
        removed = sorted(identity.device_id for identity in old if identity not in new)
        added = sorted(identity.device_id for identity in new if identity not in old)
        for device_id in removed:
            self._memory.delete_sessions(device_id)
        if (removed or added) and after.is_met:
            self._memory.events.append(
                DevicesChanged(after.account_id, after.name, tuple(added), tuple(removed))
            )


def _is_name(name: str) -> bool:
    """Whether an account can have that name.

    Names stand beside what people say. One with a sign that marks the verified, with a letter of
    another alphabet that looks alike, or that of the person in front of the program, would pass
    its owner off as somebody else.
    """
    try:
        return new_account_name(name) == name
    except UsageError:
        return False


def _same_key(one: DeviceListEntry, other: DeviceListEntry) -> bool:
    return one.account_key == other.account_key
