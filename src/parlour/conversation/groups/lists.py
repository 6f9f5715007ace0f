"""What device lists say about the leaves of a group."""

from __future__ import annotations

from collections.abc import Iterable

from parlour.conversation.directory import Directory
from parlour.conversation.groups.credentials import LeafOwner, owner_of
from parlour.conversation.state import Memory
from parlour.mls.public.leaf_node import LeafNode
from parlour.primitives.signature import Ed25519PublicKey
from parlour.roster.changes import NO_KEY
from parlour.roster.state import RosterState


class Wanting(Exception):
    """The device lists of these accounts have to be read first."""

    def __init__(self, accounts: set[bytes]) -> None:
        super().__init__(f"{len(accounts)} device lists")
        self.accounts = accounts


class Lists:
    """Looks devices up, and asks for lists that are missing or too old."""

    def __init__(self, memory: Memory, directory: Directory) -> None:
        self._memory = memory
        self._directory = directory
        # What a list did not say when it was last read, and was read again for.
        self._again: set[tuple[bytes, ...]] = set()

    def connected(self) -> None:
        """What was read before this connection may be out of date."""
        self._again.clear()

    def _read_again(self, account_id: bytes, *why: bytes) -> None:
        """Raise `Wanting` once: a list that was just read may be older than what came now."""
        if not self._directory.is_current(account_id):
            raise Wanting({account_id})
        if (account_id, *why) not in self._again:
            self._again.add((account_id, *why))
            self._directory.want_aside([account_id])
            raise Wanting({account_id})

    def find_key(self, account_id: bytes, device_id: bytes) -> Ed25519PublicKey | None:
        """The key of a device that is, or once was, on its account's list.

        Once was: what it signed while it was there is read by whoever comes back later. Raises
        `Wanting` if the list may have grown since we read it.
        """
        contact = self._memory.contacts.get(account_id)
        key = None if contact is None else contact.device_key(device_id)
        if key is None:
            self._read_again(account_id, device_id)
        return key

    def find_leaf_keys(self, leaves: Iterable[LeafNode]) -> None:
        """Raise `Wanting` unless the lists that name the devices of these leaves are here.

        For all that are missing at once: one after the other, a commit that brings in a thousand
        people would wait for a thousand answers.
        """
        missing: set[bytes] = set()
        for leaf in leaves:
            owner = owner_of(leaf)
            try:
                self.find_key(owner.account_id, owner.device_id)
            except Wanting as wanting:
                missing |= wanting.accounts
        if missing:
            raise Wanting(missing)

    def account_key(self, account_id: bytes) -> bytes:
        """The account key that an account shows, as far as we know; of a stranger, no key.

        Also one that waits for a person here: who is in a group, all decide alike.
        """
        contact = self._memory.contacts.get(account_id)
        return NO_KEY if contact is None else contact.shown.account_key.to_bytes()

    def is_listed(self, owner: LeafOwner, state: RosterState) -> bool:
        """Whether a device is on the list as we know it now, under the roster's account key."""
        contact = self._memory.contacts.get(owner.account_id)
        devices = () if contact is None else contact.shown.devices
        listed = any(device.device_id == owner.device_id for device in devices)
        return listed and state.admits(owner.account_id, self.account_key(owner.account_id))

    def is_admitted(self, owner: LeafOwner, state: RosterState) -> bool:
        """Whether a device is, or once was, listed under the account key that the roster names.

        Raises `Wanting` once before it says no.
        """
        contact = self._memory.contacts.get(owner.account_id)
        keys = [] if contact is None else contact.account_keys_of(owner.device_id)
        if any(state.admits(owner.account_id, key) for key in keys):
            return True
        self._read_again(owner.account_id, owner.device_id, b"key")
        return False

    def all_known(self, accounts: list[bytes]) -> None:
        """Raise `Wanting` for those whose lists were never read."""
        missing = {account for account in accounts if account not in self._memory.contacts}
        if missing:
            raise Wanting(missing)

    def unread(self, accounts: Iterable[bytes]) -> set[bytes]:
        """Those whose lists were not compared with the server's on this connection; now wanted."""
        return self._directory.unread(accounts)

    def goes_on(self, account_id: bytes) -> bool:
        """Whether somebody has shown us that a list goes on behind what we know of it."""
        return self._directory.goes_on(account_id)

    def has_left(self, owner: LeafOwner, state: RosterState) -> bool:
        """Whether a device has left its account's list, or the list shows another account key.

        Raises `Wanting` once before it says no.
        """
        if self.is_listed(owner, state):
            self._read_again(owner.account_id, owner.device_id, b"left")
        return not self.is_listed(owner, state)

    def want(self, accounts: set[bytes]) -> None:
        """Read these lists."""
        self._directory.want_aside(accounts)
