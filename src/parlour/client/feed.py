"""What happens, for every loop over `Client.events`: the machine's events and the connection's."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from parlour.conversation.events import Event, MessageReceived
from parlour.errors import Code

# What waits for one reader, or for the first one.
MAX_EVENTS: Final = 1000


class ConnectionCode(StrEnum):
    """Stable codes of the connection's events, beside `EventCode`."""

    UP = "connection.up"
    DOWN = "connection.down"


@dataclass(frozen=True, slots=True)
class Connected:
    """The server is connected, and what had waited there is being read."""

    code = ConnectionCode.UP


@dataclass(frozen=True, slots=True)
class Disconnected:
    """There is no connection, for `reason`. `final` when it is not tried again by itself."""

    code = ConnectionCode.DOWN
    reason: Code
    final: bool


ClientEvent: TypeAlias = Event | Connected | Disconnected
Key: TypeAlias = tuple[bytes, bytes, bytes]


class Reader:
    """One reader's events, in order. Bounded: see `behind`."""

    def __init__(self) -> None:
        self.behind = True
        """Whether there may be messages in the store that are not here: look there first."""
        self._events: deque[ClientEvent] = deque()
        self._filled = asyncio.Event()

    def put(self, event: ClientEvent) -> None:
        """Add an event. When there are too many, the oldest goes; a message stays in the store."""
        if len(self._events) >= MAX_EVENTS:
            self.behind |= isinstance(self._events.popleft(), MessageReceived)
        self._events.append(event)
        self.wake()

    def take(self) -> ClientEvent | None:
        """The next event, or None."""
        return self._events.popleft() if self._events else None

    @property
    def is_empty(self) -> bool:
        """Whether no event waits."""
        return not self._events

    def caught_up(self, keys: Collection[Key], *, more: bool) -> None:
        """A page with these messages was read from the store: as events they would be there twice.

        What is written after the page was read comes as an event. `more` when there is another
        page to read.
        """
        self.behind = more
        self._events = deque(
            event
            for event in self._events
            if not (isinstance(event, MessageReceived) and event.message.key in keys)
        )

    def wake(self) -> None:
        """Look again, whether or not there is an event."""
        self._filled.set()

    async def wait(self) -> None:
        """Until there is an event, or a reason to look."""
        if not self._events:
            await self._filled.wait()
        self._filled.clear()


class Feed:
    """Gives every event to every reader."""

    def __init__(self) -> None:
        self._readers: list[Reader] = []
        self._early: deque[ClientEvent] = deque(maxlen=MAX_EVENTS)

    def open(self) -> Reader:
        """A new reader; the first one also gets what happened before."""
        reader = Reader()
        while self._early:
            reader.put(self._early.popleft())
        self._readers.append(reader)
        return reader

    def close(self, reader: Reader) -> None:
        """That reader is done."""
        self._readers.remove(reader)

    def put(self, event: ClientEvent) -> None:
        """Something happened. Messages that nobody reads now wait in the store."""
        if not self._readers and not isinstance(event, MessageReceived):
            self._early.append(event)
        for reader in self._readers:
            reader.put(event)

    def wake(self) -> None:
        """Let every reader look again."""
        for reader in self._readers:
            reader.wake()
