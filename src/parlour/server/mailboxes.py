"""Mailboxes of linking, in memory: who is in one, what was left there, and when it is over.

Either side leaves two messages, and the new device its yes. A second device in the place of either
ends it for both.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from parlour.errors import AccessError, Code, LimitError, UsageError, error

# As long as both devices hold their code for good.
LIFETIME_MS: Final = 600_000
# How long a request waits for the other side before it is asked again.
WAIT_SECONDS: Final = 25.0
# New devices that show a code, behind one address: a neighbourhood's.
MAX_BY_ADDRESS: Final = 8
# Somebody who sets up all their devices in one evening; a code that was used counts to its end.
MAX_BY_ACCOUNT: Final = 16
MAX_MAILBOXES: Final = 4096
# What all messages of one side may take together: strangers can't fill the room of accounts.
MAX_BYTES: Final = 32 << 20


class Mailbox:
    """One linking. `device_key` is the new device's; `owner` account and device of the old one."""

    __slots__ = (
        "_changed",
        "answers",
        "device_key",
        "expires_at",
        "fault",
        "offers",
        "opened_by",
        "owner",
    )

    def __init__(self, opened_by: str, expires_at: int) -> None:
        self.opened_by = opened_by
        self.expires_at = expires_at
        self.device_key: bytes | None = None
        self.owner: tuple[bytes, bytes] | None = None
        self.offers: list[bytes] = []
        self.answers: list[bytes] = []
        self.fault: Code | None = None
        self._changed = asyncio.Event()

    @property
    def answered(self) -> bool:
        """Whether the new device can have all that it came for."""
        return len(self.answers) > 1

    def check(self) -> None:
        """Return if the linking goes on; raises what ended it."""
        if self.fault is not None:
            raise error(self.fault)

    def end(self, fault: Code) -> None:
        """End it for both sides."""
        self.fault = fault
        self.offers, self.answers = [], []
        self.wake()

    def wake(self) -> None:
        """Let everybody who waits look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until something is there, the linking has ended, or the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.fault is None and not ready():
                    await self._changed.wait()


class Mailboxes:
    """All mailboxes, oldest first. Each has the same lifetime, so the oldest ends first."""

    def __init__(self) -> None:
        self._boxes: OrderedDict[bytes, Mailbox] = OrderedDict()

    def find(self, mailbox: bytes, now: int) -> Mailbox:
        """The mailbox, if it is there and goes on; raises ``link.expired`` and its fault."""
        self._forget(now)
        box = self._boxes.get(mailbox)
        if box is None:
            raise AccessError(Code.LINK_EXPIRED)
        box.check()
        return box

    def open(self, mailbox: bytes, opened_by: str, limit: int, now: int) -> Mailbox:
        """The mailbox, or a new one; raises ``limit.count``, and the fault of an old one."""
        self._forget(now)
        box = self._boxes.get(mailbox)
        if box is not None:
            box.check()
            return box
        own = sum(each.opened_by == opened_by for each in self._boxes.values())
        if own >= limit or len(self._boxes) >= MAX_MAILBOXES:
            raise LimitError(Code.LIMIT_COUNT, "mailboxes")
        box = self._boxes[mailbox] = Mailbox(opened_by, now + LIFETIME_MS)
        return box

    def offer(self, box: Mailbox, number: int, message: bytes) -> None:
        """Leave a message of the new device."""
        held = sum(len(each) for other in self._boxes.values() for each in other.offers)
        _leave(box, box.offers, number, message, held)

    def answer(self, box: Mailbox, number: int, message: bytes) -> None:
        """Leave a message of the old device."""
        held = sum(len(each) for other in self._boxes.values() for each in other.answers)
        _leave(box, box.answers, number, message, held)

    def close(self) -> None:
        """Let nobody wait any longer: the server stops."""
        for box in self._boxes.values():
            box.end(Code.SERVER_DRAINING)

    def _forget(self, now: int) -> None:
        while self._boxes:
            mailbox, box = next(iter(self._boxes.items()))
            # A clock that went back ends it, too.
            if 0 < box.expires_at - now <= LIFETIME_MS:
                return
            box.end(Code.LINK_EXPIRED)
            del self._boxes[mailbox]


def _leave(box: Mailbox, messages: list[bytes], number: int, message: bytes, held: int) -> None:
    """Add a message in its turn. The same one again is fine, another one is not."""
    if messages[number : number + 1] == [message]:
        return
    if number != len(messages):
        raise UsageError(Code.USAGE_STATE, "a message out of turn")
    if held + len(message) > MAX_BYTES:
        raise LimitError(Code.LIMIT_COUNT, "messages of linking")
    messages.append(message)
    box.wake()
