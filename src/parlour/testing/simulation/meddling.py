"""What a faulty server makes of its own frames, honestly or not.

Each `Meddling` looks at entries, in pushes and in pages alike, at answers, or at the order in which
frames leave. It counts what it has done, and to whom: of every lie something must be told by the
end.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from parlour.testing.simulation.wire import Look, Pair, Sent, unchanged
from parlour.wire.directory import DeviceListPage
from parlour.wire.frames import Frame, decode_body, decode_frame, encode_frame
from parlour.wire.groups import GroupState, ListHead, ListHeads
from parlour.wire.kinds import OPERATIONS, Kind
from parlour.wire.push import PushEntry, PushStream
from parlour.wire.streams import Appended, Entry

_PAGES: Final = frozenset({Kind.LIVE_START, Kind.CATCH_UP, Kind.READ})
_FAR: Final = 10_000
# Milliseconds by which frames are late that others overtake: below a request's patience.
_LATE: Final = (50, 10_000)
# The share of flipped bits that are in what one device gets alone.
_IN_PART: Final = 0.5

B = TypeVar("B", bound=Struct)


@dataclass(frozen=True, slots=True)
class Hit:
    """Something was done to a frame for a device."""

    meddling: str
    device_id: bytes
    stream: bytes
    client_id: bytes
    sender: bytes = b""


@dataclass(slots=True)
class Meddling:
    """One fault that is going on. `share` of what it could touch, it touches."""

    name: str
    share: float
    devices: frozenset[bytes]
    random: random.Random
    hits: list[Hit] = field(default_factory=list)
    kept: dict[bytes, GroupState] = field(default_factory=dict)
    heads: dict[bytes, ListHead] = field(default_factory=dict)
    """What was answered when it began, by group and by account."""
    waiting: dict[tuple[bytes, bytes], PushEntry] = field(default_factory=dict)
    """Pushes that are kept until the next one, by device and stream."""
    done: int = 0
    """How often something was done."""

    def strikes(self, device_id: bytes) -> bool:
        """Whether this one is touched."""
        return device_id in self.devices and self.random.random() < self.share

    def hit(self, device_id: bytes, entry: Entry) -> None:
        """Note what was done."""
        self.note(Hit(self.name, device_id, entry.stream, entry.client_id, entry.sender_device))

    def note(self, *hits: Hit) -> None:
        """Note what was done, at once."""
        self.hits += hits
        self.done += 1

    def late(self) -> int:
        """By how many milliseconds a frame is late."""
        is_late = self.random.random() < self.share
        return self.random.randint(*_LATE) if is_late else 0


def _hide(_meddling: Meddling, _entry: Entry) -> list[Entry]:
    return []


def _repeat(_meddling: Meddling, entry: Entry) -> list[Entry]:
    return [entry, entry]


def _tamper(meddling: Meddling, entry: Entry) -> list[Entry]:
    if entry.part is not None and meddling.random.random() < _IN_PART:
        return [replace(entry, part=_flipped(entry.part, meddling.random))]
    body = _flipped(entry.envelope.body, meddling.random)
    return [replace(entry, envelope=replace(entry.envelope, body=body))]


def _strip(_meddling: Meddling, entry: Entry) -> list[Entry]:
    return [replace(entry, part=None)]


def _count_up(_meddling: Meddling, entry: Entry) -> list[Entry]:
    return [replace(entry, seq=entry.seq + _FAR)]


def _flipped(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]


def _replay(_meddling: Meddling, entry: Entry) -> list[Entry]:
    """The same once more, as if it had been sent again."""
    again = bytes(byte ^ 1 for byte in entry.client_id)
    return [entry, replace(entry, seq=entry.seq + 1, client_id=again)]


def _wrong_tree(meddling: Meddling, answer: GroupState) -> GroupState:
    return replace(answer, tree=_flipped(answer.tree, meddling.random))


def _old_state(meddling: Meddling, answer: GroupState) -> GroupState:
    """The first state of the group that was asked for since it began."""
    return meddling.kept.setdefault(answer.stream, answer)


def _withhold(meddling: Meddling, answer: ListHeads) -> ListHeads:
    heads = [meddling.heads.setdefault(head.account_id, head) for head in answer.heads]
    return replace(answer, heads=heads)


def _misnumber(answer: Appended) -> Appended:
    return replace(answer, seq=answer.seq + _FAR)


def _shorten(answer: DeviceListPage) -> DeviceListPage:
    return replace(answer, entries=answer.entries[:1], more=False)


OF_ENTRIES: Final[dict[str, Callable[[Meddling, Entry], list[Entry]]]] = {
    "hide": _hide,
    "repeat": _repeat,
    "tamper": _tamper,
    "strip": _strip,
    "count_up": _count_up,
    "replay": _replay,
}
OF_PUSHES: Final = frozenset({"drop_pushes"})
# The order of what is sent, and of what stands in a page.
REORDER: Final = "reorder"
SHUFFLE: Final = "shuffle"
SWAP: Final = "swap"


def _lane(frame: Frame, pair: Pair) -> bytes | None:
    """A push keeps its order in its stream, each answer goes by itself; None waits for all."""
    match frame.kind:
        case Kind.PUSH_ENTRY:
            return decode_body(frame.body, PushEntry).entry.stream
        case Kind.PUSH_STREAM:
            return decode_body(frame.body, PushStream).stream.stream
        case Kind.OK | Kind.ERROR if pair.asked.get(frame.request_id) != Kind.LIVE_START:
            return b"answer" + frame.request_id.to_bytes(4)
        case Kind.PUSH_DEVICE_LIST:
            return b"lists"
        case _:
            return None


def _shuffled(meddling: Meddling, device_id: bytes, entries: list[Entry]) -> list[Entry]:
    """A page in which the numbers are right, and nothing stands in its place."""
    if not meddling.strikes(device_id):
        return entries
    shuffled = meddling.random.sample(entries, len(entries))
    meddling.done += shuffled != entries
    return shuffled


def _swapped(meddling: Meddling, device_id: bytes, entries: list[Entry]) -> list[Entry]:
    """A page in which neighbours of one stream have each other's number."""
    entries = list(entries)
    for at in range(1, len(entries)):
        first, second = entries[at - 1 : at + 1]
        follow = (first.stream, first.seq + 1) == (second.stream, second.seq)
        # What goes to a device alone is for programs: nobody would be told.
        if follow and first.stream != device_id and meddling.strikes(device_id):
            entries[at - 1 : at + 1] = _exchanged(meddling, device_id, first, second)
    return entries


def _exchanged(
    meddling: Meddling, device_id: bytes, first: Entry, second: Entry
) -> tuple[Entry, Entry]:
    meddling.hit(device_id, first)
    meddling.hit(device_id, second)
    return replace(second, seq=first.seq), replace(first, seq=second.seq)


def _pushes_swapped(meddling: Meddling, device_id: bytes, push: PushEntry) -> list[PushEntry]:
    """A push is kept until the next one of its stream, and they have each other's number."""
    place = (device_id, push.entry.stream)
    kept = meddling.waiting.pop(place, None)
    if kept is None:
        if push.entry.stream == device_id or not meddling.strikes(device_id):
            return [push]
        meddling.waiting[place] = push
        return []
    if kept.entry.seq + 1 != push.entry.seq:
        return [kept, push]
    entries = _exchanged(meddling, device_id, kept.entry, push.entry)
    return [PushEntry(entry, push.lists) for entry in entries]


OF_PAGES: Final = {SHUFFLE: _shuffled, SWAP: _swapped}
OF_ANSWERS: Final = {
    "misnumber": Kind.APPEND,
    "shorten": Kind.READ_DEVICE_LIST,
    "wrong_tree": Kind.READ_GROUP,
    "old_state": Kind.READ_GROUP,
    "withhold": Kind.READ_LIST_HEADS,
}


def _changed(meddling: Meddling, device_id: bytes, body: Struct) -> tuple[Struct, list[Hit]]:
    """What becomes of an answer, and what it is about."""
    name = meddling.name
    match body:
        case Appended():
            return _misnumber(body), [Hit(name, device_id, body.stream, body.client_id)]
        case DeviceListPage() if len(body.entries) > 1:
            return _shorten(body), [Hit(name, device_id, body.account_id, b"")]
        case GroupState():
            change = _wrong_tree if name == "wrong_tree" else _old_state
            return change(meddling, body), [Hit(name, device_id, body.stream, b"")]
        case ListHeads():
            heads = _withhold(meddling, body)
            less = [old for old, new in zip(heads.heads, body.heads, strict=True) if old != new]
            return heads, [Hit(name, device_id, head.account_id, b"") for head in less]
        case _:
            return body, []


class Meddler:
    """All that goes on at one time."""

    def __init__(self, effects: Counter[str]) -> None:
        self.active: dict[str, Meddling] = {}
        self.hits: list[Hit] = []
        self._effects = effects
        self._frames = 0

    def begin(self, meddling: Meddling) -> None:
        """Begin one, in place of one of its name."""
        self.end(meddling.name)
        self.active[meddling.name] = meddling

    def end(self, name: str) -> None:
        """End one."""
        ended = self.active.pop(name, None)
        if ended is not None:
            self.hits += ended.hits
            self._effects[name] += ended.done

    def end_all(self) -> None:
        """The server is well."""
        for name in list(self.active):
            self.end(name)

    def look(self, device_id: bytes, pair: Pair) -> Look:
        """What becomes of the frames of one connection."""

        def look(frame: bytes) -> list[Sent]:
            if not self.active:
                return unchanged(frame)
            return [
                self._turn(device_id, pair, each) for each in self._frame(device_id, pair, frame)
            ]

        return look

    def _turn(self, device_id: bytes, pair: Pair, data: bytes) -> Sent:
        """Which others a frame keeps its order with.

        An honest server promises it for the pushes of a stream, and for the first page, which comes
        before them all; a faulty one mixes up the pushes of a stream, too.
        """
        shuffle, reorder = self.active.get(SHUFFLE), self.active.get(REORDER)
        frame = decode_frame(data)
        is_push = frame.kind == Kind.PUSH_ENTRY
        if shuffle is not None and is_push and device_id in shuffle.devices:
            self._frames += 1
            return Sent(data, self._frames.to_bytes(8), shuffle.late(), SHUFFLE)
        if reorder is None or device_id not in reorder.devices:
            return Sent(data)
        lane = _lane(frame, pair)
        return Sent(data) if lane is None else Sent(data, lane, reorder.late(), REORDER)

    def _frame(self, device_id: bytes, pair: Pair, data: bytes) -> list[bytes]:
        frame = decode_frame(data)
        if frame.kind == Kind.PUSH_ENTRY:
            pushes = self._pushes(device_id, decode_body(frame.body, PushEntry))
            return [encode_frame(Kind.PUSH_ENTRY, 0, each) for each in pushes]
        if frame.kind != Kind.OK:
            return [data]
        kind = Kind(pair.asked.get(frame.request_id, 0))
        body = decode_body(frame.body, OPERATIONS[kind].response)
        changed = self._answer(device_id, kind, body)
        return [data] if changed is body else [encode_frame(Kind.OK, frame.request_id, changed)]

    def _pushes(self, device_id: bytes, push: PushEntry) -> list[PushEntry]:
        for name in OF_PUSHES & self.active.keys():
            if self.active[name].strikes(device_id):
                self.active[name].done += 1
                return []
        pushes = [PushEntry(e, push.lists) for e in self._entries(device_id, [push.entry])]
        swap = self.active.get(SWAP)
        if swap is None:
            return pushes
        return [each for push in pushes for each in _pushes_swapped(swap, device_id, push)]

    def _answer(self, device_id: bytes, kind: Kind, body: Struct) -> Struct:
        if kind in _PAGES:
            entries = self._entries(device_id, list(body.entries))  # type: ignore[attr-defined]
            for name, change in OF_PAGES.items():
                if name in self.active:
                    entries = change(self.active[name], device_id, entries)
            return replace(body, entries=entries)
        for name, meddling in self.active.items():
            if OF_ANSWERS.get(name) is kind and meddling.strikes(device_id):
                changed, hit = _changed(meddling, device_id, body)
                if changed != body:
                    meddling.note(*hit)
                    body = changed
        return body

    def _entries(self, device_id: bytes, entries: list[Entry]) -> list[Entry]:
        for name, meddling in self.active.items():
            change = OF_ENTRIES.get(name)
            if change is None:
                continue
            changed: list[Entry] = []
            for entry in entries:
                # What goes to a device alone is for programs: nobody would be told.
                if entry.stream != device_id and meddling.strikes(device_id):
                    meddling.hit(device_id, entry)
                    changed += change(meddling, entry)
                else:
                    changed.append(entry)
            entries = changed
        return entries
