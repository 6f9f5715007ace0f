"""Asking again for what the server left out of a page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from parlour.conversation.numbers import Place
from parlour.conversation.records import Gap
from parlour.conversation.requests import ServerRequest
from parlour.conversation.state import Memory
from parlour.wire.kinds import Kind
from parlour.wire.limits import MAX_PAGE
from parlour.wire.streams import Entry, Page, Read

GAP: Final = "gap"
# As long as a server keeps an entry for devices that did not read it, in milliseconds: later there
# is nothing that could still come.
GAP_KEPT: Final = 30 * 24 * 3_600_000


class Gaps:
    """Reads each gap again, once per connection, as long as the server may have what is in it."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        # What brought nothing on this connection.
        self._tried: set[tuple[bytes, Gap]] = set()

    def connected(self, now: int) -> None:
        """Try again, and give up what is gone by now."""
        self._tried.clear()
        for conversation in self._memory.conversations.values():
            if _give_up(conversation, now):
                self._memory.put_conversation(conversation)
        if _give_up(self._memory.inbox, now):
            self._memory.put_inbox()

    def requests(self) -> list[ServerRequest]:
        """The first gap of each stream that was not tried yet."""
        needs = []
        for stream, place in self._places():
            gap = next((gap for gap in place.gaps if (stream, gap) not in self._tried), None)
            if gap is not None:
                limit = min(gap.before - gap.after - 1, MAX_PAGE)
                body = Read(stream=stream, after=gap.after, limit=limit)
                needs.append(ServerRequest((GAP, stream), Kind.READ, body))
        return needs

    def wanted(self, asked: Read, page: Page) -> list[Entry]:
        """The entries of a page that lie in gaps: it moves no position on."""
        place = self._place(asked.stream)
        if place is None:
            return []
        found = [
            entry
            for entry in page.entries
            if entry.stream == asked.stream and asked.after < entry.seq <= place.received
        ]
        return sorted(found, key=lambda entry: entry.seq)

    def asked(self, asked: Read) -> None:
        """What was asked for was taken in: a gap that begins where it did has brought nothing."""
        place = self._place(asked.stream)
        gaps = [] if place is None else place.gaps
        self._tried.update((asked.stream, gap) for gap in gaps if gap.after == asked.after)

    def _places(self) -> Iterator[tuple[bytes, Place]]:
        yield self._memory.device_id, self._memory.inbox
        for conversation in self._memory.conversations.values():
            # After a restored backup one may have no stream, until the server names it again.
            if conversation.stream:
                yield conversation.stream, conversation

    def _place(self, stream: bytes) -> Place | None:
        """Where a stream is read up to; None for one that was left while the answer came."""
        return next((place for known, place in self._places() if known == stream), None)


def _give_up(place: Place, now: int) -> bool:
    kept = [gap for gap in place.gaps if now < gap.since + GAP_KEPT]
    gone = len(kept) < len(place.gaps)
    place.gaps = kept
    return gone
