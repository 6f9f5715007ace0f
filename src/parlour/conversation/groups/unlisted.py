"""Going on in a group while the list of one of its accounts can't be read.

Before something is said, each list is read on this connection, as a device may have left. A server
that keeps one list back, or has lost it, would silence the group by that. It gains nothing that it
could not have by giving the list as it was: nobody can force news out of it. So after a while the
others speak, by what they know of that account, and are told whose list it is. Not where somebody
else has shown that the list goes on: then a device may have left, and it is known.
"""

from __future__ import annotations

from typing import Final

from parlour.conversation.events import GroupListUnread
from parlour.conversation.groups.chat import Chat
from parlour.conversation.groups.lists import Lists
from parlour.conversation.groups.memory import GroupMemory
from parlour.conversation.state import Memory

# How long (ms) a list is waited for, over all connections since it was missed first.
PATIENCE: Final = 2 * 60_000
# And on each connection, so that one that can be read again is.
AT_LEAST: Final = 10_000
# What is missing for so long (ms) is written down: a program that runs for a moment waits no longer
# in sum than one that stays.
KEPT_AFTER: Final = 5_000
# So many accounts are written down and named at most; a server that gives none is found out anyway.
MAX_NAMED: Final = 64


class Unlisted:
    """Decides when a list has been waited for long enough."""

    def __init__(self, memory: Memory, lists: Lists) -> None:
        self._memory = memory
        self._groups: GroupMemory = memory.groups
        self._lists = lists

    def connected(self, chat: Chat) -> None:
        """Lists are asked for anew."""
        chat.unlisted.clear()
        chat.unlisted_at = None

    def lets_speak(self, chat: Chat, now: int) -> bool:
        """Whether something may be said: every list was read, or waited for long enough."""
        missing = self._lists.unread(chat.accounts)
        if not missing:
            self._forget(chat)
            return True
        if chat.is_direct:
            # The other one's list says who reads at all; and nobody else is silenced.
            return False
        if not self.are_late(chat, missing, now):
            return False
        waits = any(self._lists.goes_on(account) for account in missing)
        named = tuple(sorted(missing)[:MAX_NAMED])
        if chat.told_unlisted != (named, waits):
            chat.told_unlisted = named, waits
            self._memory.count("group.list_unread")
            self._memory.tell(chat, GroupListUnread(chat.id, named, waits))
        return not waits

    def are_late(self, chat: Chat, missing: set[bytes], now: int) -> bool:
        """Whether all these lists were waited for long enough."""
        self._note(chat, missing, now)
        late_at = max(self._late_at(chat, account) for account in missing)
        chat.unlisted_at = late_at if now < late_at else None
        return chat.unlisted_at is None

    def _note(self, chat: Chat, missing: set[bytes], now: int) -> None:
        """Remember since when, by our own clock; one that went back begins anew."""
        missing = missing | self._lists.unread(chat.unlisted)
        chat.unlisted = {
            account: min(chat.unlisted.get(account, now), now) for account in sorted(missing)
        }
        kept = {
            account: min(chat.record.unlisted.get(account, since), since)
            for account, since in chat.unlisted.items()
            if account in chat.record.unlisted or now >= since + KEPT_AFTER
        }
        kept = dict(list(kept.items())[:MAX_NAMED])
        if kept != chat.record.unlisted:
            chat.record.unlisted = kept
            self._groups.put(chat)

    def _late_at(self, chat: Chat, account: bytes) -> int:
        here = chat.unlisted[account]
        return max(here + AT_LEAST, chat.record.unlisted.get(account, here) + PATIENCE)

    def _forget(self, chat: Chat) -> None:
        chat.told_unlisted = ((), False)
        if self._lists.unread(chat.unlisted):
            return
        chat.unlisted_at = None
        chat.unlisted.clear()
        if chat.record.unlisted:
            chat.record.unlisted = {}
            self._groups.put(chat)
