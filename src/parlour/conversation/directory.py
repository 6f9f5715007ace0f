"""Device lists as the machine learns them: first contact, growth, rollback, changed keys.

A list is read again from the last entry that we know, once per connection and whenever the server
says that it grew. The first entry of the answer must be the one that we know: a server that goes
back, forks or shortens a list is found out by that.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from parlour.conversation.contact import Contact, verify_chain
from parlour.conversation.events import ContactAdded, DevicesChanged, KeyChanged, SendingBlocked
from parlour.conversation.requests import ServerRequest
from parlour.conversation.state import Memory
from parlour.errors import Code, ParlourError, SecurityStop
from parlour.identity.device_list import DeviceListEntry
from parlour.wire.directory import DeviceListPage, ReadDeviceList
from parlour.wire.kinds import Kind

DEVICE_LIST = "device-list"


@dataclass(slots=True)
class _Reading:
    """A whole list that is being read from entry 0, page by page."""

    entries: list[DeviceListEntry] = field(default_factory=list)


class Directory:
    """Keeps the contacts' device lists current."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._current: set[bytes] = set()
        self._wanted: set[bytes] = set()
        self._readings: dict[bytes, _Reading] = {}

    # --- Needs ---------------------------------------------------------------------------

    def connected(self) -> None:
        """What the server said before this connection may be out of date."""
        self._current.clear()

    def want(self, account_id: bytes) -> None:
        """Read the list of an account again, or for the first time."""
        self._wanted.add(account_id)

    def want_known(self, account_id: bytes) -> None:
        """Read the list of an account again, if it is one that we know."""
        if account_id in self._memory.contacts:
            self.want(account_id)

    def is_current(self, account_id: bytes) -> bool:
        """Whether the list was read on this connection; if not, it is wanted from now on."""
        if account_id in self._current and account_id not in self._wanted:
            return True
        self.want(account_id)
        return False

    def grown(self, account_id: bytes, number: int) -> None:
        """The server says that the list of an account has grown to `number`."""
        contact = self._memory.contacts.get(account_id)
        if contact is not None and number > contact.head.number:
            self.want(account_id)

    def requests(self) -> list[ServerRequest]:
        """One request for each list that is wanted."""
        return [self._request(account_id) for account_id in sorted(self._wanted)]

    def _request(self, account_id: bytes) -> ServerRequest:
        reading = self._readings.get(account_id)
        contact = self._memory.contacts.get(account_id)
        if contact is None and reading is None:
            reading = self._readings[account_id] = _Reading()
        if reading is not None:
            first = len(reading.entries)
        else:
            first = contact.head.number if contact is not None else 0
        body = ReadDeviceList(account_id=account_id, first=first)
        return ServerRequest((DEVICE_LIST, account_id), Kind.READ_DEVICE_LIST, body)

    # --- Answers -------------------------------------------------------------------------

    def found(self, page: DeviceListPage) -> bytes:
        """Take the answer to a look-up by name; return the account's id.

        An account that is known already keeps its list: what the server says anew of it is
        compared by `answered`, like everything else.
        """
        if page.account_id in self._memory.contacts:
            self.want(page.account_id)
        else:
            self._readings[page.account_id] = _Reading()
            self.answered(page.account_id, page)
        return page.account_id

    def answered(self, account_id: bytes, page: DeviceListPage) -> None:
        """Take a page; raise `SecurityStop` when the server shows what can't be."""
        try:
            self._take(account_id, page)
        except ParlourError:
            self._readings.pop(account_id, None)
            self._wanted.discard(account_id)
            raise

    def _take(self, account_id: bytes, page: DeviceListPage) -> None:
        if page.account_id != account_id:
            raise SecurityStop(Code.DEVICE_LIST_INVALID, "the answer is of another account")
        entries = [DeviceListEntry.decode(data) for data in page.entries]
        reading = self._readings.get(account_id)
        if reading is None:
            self._continue(self._memory.contacts[account_id], entries, page)
            return
        if page.more and not entries:
            raise SecurityStop(Code.DEVICE_LIST_INVALID, "an empty page that goes on")
        reading.entries.extend(entries)
        if page.more:
            self.want(account_id)
            return
        del self._readings[account_id]
        latest = verify_chain(account_id, reading.entries)
        self._settle(self._memory.contacts.get(account_id), latest, page.name)
        self._done(account_id)

    def _continue(
        self, contact: Contact, entries: list[DeviceListEntry], page: DeviceListPage
    ) -> None:
        """Read on from the entry that we know, which must come first."""
        if not entries:
            raise SecurityStop(Code.DEVICE_LIST_ROLLBACK, "the known entry is gone")
        if entries[0].account_key != contact.head.account_key:
            # Another key: its list has to be read and verified from its own beginning.
            self._readings[contact.account_id] = _Reading()
            self.want(contact.account_id)
            return
        if entries[0] != contact.head:
            raise SecurityStop(Code.DEVICE_LIST_INVALID, "the list was forked")
        grown = contact
        for entry in entries[1:]:
            grown = grown.extended(entry)
        if grown is not contact:
            self._keep(contact, grown)
        if page.more and grown is contact:
            raise SecurityStop(Code.DEVICE_LIST_INVALID, "an empty page that goes on")
        if page.more:
            self.want(contact.account_id)
        else:
            self._done(contact.account_id)

    def _done(self, account_id: bytes) -> None:
        self._current.add(account_id)
        self._wanted.discard(account_id)

    def _settle(self, known: Contact | None, latest: DeviceListEntry, name: str) -> None:
        if known is None:
            contact = Contact(name=name, head=latest)
            self._memory.put_contact(contact)
            self._memory.events.append(ContactAdded(contact.account_id, contact.name))
            return
        if latest.account_key == known.head.account_key:
            raise SecurityStop(Code.DEVICE_LIST_INVALID, "the list was forked")
        if latest == known.offered:
            return
        changed = known.with_changed_key(latest)
        self._keep(known, changed)
        self._memory.events.append(KeyChanged(known.account_id, known.name, changed.stopped))
        if changed.stopped:
            self._memory.events.append(SendingBlocked(known.account_id, Code.ACCOUNT_KEY_CHANGED))

    # --- What a person decides -----------------------------------------------------------

    def verify(self, account_id: bytes) -> None:
        """A person compared the safety number."""
        contact = self._memory.contacts[account_id]
        self._keep(contact, contact.verified())

    def accept(self, account_id: bytes) -> None:
        """A person goes on with a changed key."""
        contact = self._memory.contacts[account_id]
        self._keep(contact, contact.accepted())

    def _keep(self, before: Contact, after: Contact) -> None:
        """Write a contact, and forget the sessions of devices that left."""
        self._memory.put_contact(after)
        old = {device.device_id for device in before.head.devices}
        new = {device.device_id for device in after.head.devices}
        for device_id in sorted(old - new):
            self._memory.delete_sessions(device_id)
        if old != new:
            self._memory.events.append(
                DevicesChanged(
                    after.account_id, after.name, tuple(sorted(new - old)), tuple(sorted(old - new))
                )
            )
