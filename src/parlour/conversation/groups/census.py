"""Who should have a leaf and has none, and which leaves should go; account by account.

A group is as it should be when each device on the list of an account on the roster has a leaf, and
nobody else. In a group of thousands little of that changes at a time, so what was compared once is
compared again only when the account's list, its leaves, or its place on the roster have changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from parlour.conversation.groups.chat import Chat
from parlour.conversation.groups.lists import Lists
from parlour.conversation.state import Memory
from parlour.mls.public.types import LeafIndex

T = TypeVar("T")


class Census:
    """What of one group differs from what it should be, as far as lists are known here."""

    def __init__(self) -> None:
        self.missing: dict[bytes, list[bytes]] = {}
        """Devices without a leaf, by account."""
        self.surplus: dict[bytes, list[LeafIndex]] = {}
        """Leaves whose account is not on the roster, or shows another key than it came in under,
        or whose device is not on its list."""
        self._place: int | None = None

    def update(self, chat: Chat, memory: Memory, lists: Lists) -> None:
        """Compare what has changed since the last call."""
        changed = None if self._place is None else memory.contacts_changed_since(self._place)
        touched = chat.take_touched()
        self._place = memory.contact_changes
        if changed is None or touched is None:
            self.missing.clear()
            self.surplus.clear()
            accounts: Iterable[bytes] = {*chat.accounts, *(o.account_id for o in chat.devices())}
        else:
            accounts = touched.union(changed)
        for account in accounts:
            self._compare(chat, memory, lists, account)

    def _compare(self, chat: Chat, memory: Memory, lists: Lists, account: bytes) -> None:
        state = chat.known_roster().state
        admitted = state.admits(account, lists.account_key(account))
        leaves = chat.leaves_of(account)
        surplus = [i for i in leaves if not lists.is_listed(chat.owners[i], state)]
        _keep(self.surplus, account, surplus)
        contact = memory.contacts.get(account)
        missing: list[bytes] = []
        if admitted and contact is not None and not contact.stopped:
            here = {chat.owners[index].device_id for index in leaves}
            missing = [each for each in contact.device_ids() if each not in here]
        _keep(self.missing, account, missing)


def _keep(table: dict[bytes, list[T]], key: bytes, value: list[T]) -> None:
    if value:
        table[key] = value
    else:
        table.pop(key, None)
