"""How far a stream was read, without believing the server that there is nothing in between.

A page may leave numbers out: what was trimmed is gone. Whether that is so, or whether the server
hides something or makes up a number far ahead, nobody can tell. So what was passed over stays
known as a gap: it is asked for again (`gaps`), what comes late is taken, and nothing from the first
gap on is reported as read. A number that was made up costs a gap, and no message.
"""

from __future__ import annotations

from typing import Final, Protocol

from msgspec.structs import replace

from parlour.conversation.records import Conversation, Gap

# Gaps of one stream. Days of absence make one each; a server that makes more is at fault, and is
# asked for all that lies behind the last of them.
MAX_GAPS: Final = 16


class Place(Protocol):
    """What knows how far a stream was read: up to `received`, but for `gaps`, in their order."""

    received: int
    gaps: list[Gap]


def is_new(place: Place, seq: int) -> bool:
    """Whether the entry of that number was not handled yet."""
    return seq > place.received or _gap_of(place, seq) is not None


def settled(place: Place) -> int:
    """The number up to which every entry was handled."""
    return place.gaps[0].after if place.gaps else place.received


def note(place: Place, seq: int, now: int) -> bool:
    """Note that an entry that is new is handled now; `False` when that has to wait.

    What it passes over is a gap since `now`. Inside a gap it waits when there are too many: the
    gap stays as it is, and is asked for on later connections.
    """
    if seq > place.received:
        if seq > place.received + 1:
            _pass_over(place, seq, now)
        place.received = seq
        return True
    halves = [half for gap in place.gaps for half in _without(gap, seq)]
    if len(halves) > MAX_GAPS:
        return False
    place.gaps = halves
    return True


def _pass_over(place: Place, seq: int, now: int) -> None:
    if len(place.gaps) < MAX_GAPS:
        place.gaps = [*place.gaps, Gap(place.received, seq, now)]
    else:
        # What lies between the two comes twice, and is recognised.
        place.gaps = [*place.gaps[:-1], replace(place.gaps[-1], before=seq)]


def _without(gap: Gap, seq: int) -> list[Gap]:
    if not gap.after < seq < gap.before:
        return [gap]
    halves = (replace(gap, before=seq), replace(gap, after=seq))
    return [half for half in halves if half.before > half.after + 1]


def _gap_of(place: Place, seq: int) -> Gap | None:
    return next((gap for gap in place.gaps if gap.after < seq < gap.before), None)


def cut(place: Place, last: int) -> None:
    """Forget every number beyond `last`, as the server has none."""
    place.received = min(place.received, last)
    place.gaps = [
        replace(gap, before=min(gap.before, last + 1)) for gap in place.gaps if gap.after < last
    ]


def may_be_known(conversation: Conversation, seq: int, stored_at: int) -> bool:
    """Whether an entry may have been read before the server's data was restored.

    Numbers come again for what is new; what was stored later than all that was seen is new.
    """
    stored_before = not conversation.seen_until or stored_at <= conversation.seen_until
    return seq <= conversation.seen_before and stored_before


def start_over(conversation: Conversation) -> None:
    """Its stream is gone, or has other numbers by now: read all of it, when it is named again.

    What was read already is recognised by its id, and by the ratchet.
    """
    conversation.former = conversation.stream or conversation.former
    conversation.stream = b""
    conversation.seen_before = max(conversation.seen_before, settled(conversation))
    conversation.seen_until = max(conversation.seen_until, conversation.newest)
    conversation.received = 0
    conversation.gaps = []
    conversation.last_seq = 0
    conversation.last_hash = b""
