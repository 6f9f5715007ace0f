"""When this device renews its own keys in a group: so often, and not everybody at once.

Each renewal is a commit that all read. Within a period each device has its own moment. Who has just
come stands in the tree with the key of a key package and shares no parent with anybody; their first
renewal mends both, soon. Of 1,500 who came by one commit, each takes a random moment in a window
that grows with the group, so that the tree is mended by and by and the commits do not race.
"""

from __future__ import annotations

from typing import Final

from parlour.conversation.groups.chat import Chat
from parlour.conversation.policies import Policy
from parlour.conversation.presets import group_policy
from parlour.conversation.state import Memory
from parlour.primitives.hashes import sha256
from parlour.primitives.random import Random

DAY: Final = 24 * 3_600_000
# Of the period of a policy, the last part over which devices are spread, in sevenths.
_SPREAD: Final = 3
# Milliseconds of the window for each device in the group: three commits a minute at most.
PER_LEAF: Final = 20_000
# Who comes renews its keys not before the first of these, and within the second in any group: what
# is under way should have settled.
FIRST_AFTER: Final = 10 * 60_000
FIRST_WINDOW: Final = 3_600_000


class Renewing:
    """Knows when it is time."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def policy(self, chat: Chat) -> Policy:
        """By what a group is looked after."""
        return group_policy(self._memory.settings, chat.genesis.kind)

    def came(self, chat: Chat, now: int) -> None:
        """We came in with a key of a key package: it is renewed at a random time."""
        window = max(FIRST_WINDOW, len(chat.owners) * PER_LEAF)
        chat.record.renew_at = now + FIRST_AFTER + _below(window, self._memory.random)

    def renewed(self, chat: Chat, now: int) -> None:
        """Our keys are new."""
        chat.record.refreshed_at, chat.record.sent_since = now, 0
        chat.record.renew_at = chat.renews_after = 0

    def connected(self, chat: Chat, now: int) -> None:
        """Whoever was away with others, when the server was, does not act at once with them."""
        if chat.is_active and self.due_at(chat) <= now:
            window = len(chat.owners) * PER_LEAF
            chat.renews_after = now + _below(window, self._memory.random)

    def due_at(self, chat: Chat) -> int:
        """When our keys have served long enough (ms)."""
        policy, record = self.policy(chat), chat.record
        at = record.refreshed_at + policy.update_days * DAY - self._place(chat, policy)
        if record.renew_at:
            at = min(at, record.renew_at)
        if record.sent_since >= policy.update_messages:
            at = 0
        return max(at, chat.renews_after)

    def _place(self, chat: Chat, policy: Policy) -> int:
        """This device's place within the period, always the same."""
        digest = sha256(chat.id + self._memory.device_id)
        return int.from_bytes(digest[:8]) % (policy.update_days * DAY * _SPREAD // 7)


def _below(limit: int, random: Random) -> int:
    return int.from_bytes(random(8)) % limit
