"""Who knows all that was said, and compares it with what was heard.

Every message that a device has written down, or that its server has given a number, is owed to
every device that was on the list of either account when the number was given, and still is at the
end. Each is delivered exactly once to the person, and those of one device in the order of their
numbers, unless it was said before why not. What may be missing, and why, stands in `Excuse`.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from parlour.client.feed import ClientEvent
from parlour.conversation.changes import Message
from parlour.conversation.events import (
    GroupJoined,
    GroupLeft,
    GroupRefused,
    GroupRepairing,
    HistoryMismatch,
    MessageMissing,
    MessageReceived,
    MessageSent,
    MessagesSkipped,
    MessageUnreadable,
    RequestFull,
    SendingBlocked,
    ServerMisbehaved,
)
from parlour.testing.simulation.chronicle import Epoch

if TYPE_CHECKING:
    from parlour.testing.simulation.node import Node

Key = tuple[bytes, bytes, bytes]
_SHOWN_PROBLEMS: Final = 20


class Excuse(StrEnum):
    """Why a message that was owed may be missing at the end, each counted by itself."""

    RESTORED = "restored"
    """The server's disk was put back to a state before it: the server had answered for it, so that
    its sender does not keep it in the outbox, and nobody who has read it sends it on."""
    REMOVED = "removed"
    """Its sender was taken off its account's list: whoever reads the list first reads no more of
    it, and nobody answers who asks for a message again."""
    LIE = "lie"
    """The server lied, and the device was told so (`message.missing`, `history.mismatch`), or shows
    an invention in its place, of which it says that it can't be read. Or the server threw away the
    history in which it was said, and its sender's device was told (`server.misbehaved`)."""
    LEAVING = "leaving"
    """The person on that device, or on another one of theirs, had said that they leave the group:
    nothing of it is shown any more."""
    ORPHANED = "orphaned"
    """All devices that had the keys of its group were taken off their lists before they let others
    in: nobody can, and what was said waits with its sender, which tells so (`group.repairing`)."""
    OVER = "over"
    """It was said in a group that its sender's account left, or was put out of, before the message
    had a number: nobody may read it any more. The sender was told so (`group.left`)."""
    OUTSIDE = "outside"
    """Its device was told before that its person is out of the group, and the server was put back
    to a state in which they were not: they stay out (decision 0051), and have no keys any more."""
    BLOCKED = "blocked"
    """The server lied and takes nothing any more; the sender was told so, and still has it."""


@dataclass(slots=True)
class Said:
    """One message, as its sender's device wrote it down."""

    label: str
    device_id: bytes
    account_id: bytes
    peer: bytes
    message_id: bytes
    text: str
    is_group: bool = False
    """Then `peer` is the group."""


@dataclass(slots=True)
class Numbered:
    """An entry to which the server gave a number. `owed` are devices."""

    stream: bytes
    seq: int
    stored_at: int
    owed: frozenset[bytes]
    timeline: int
    members: frozenset[bytes]
    """Devices of the accounts that were in the stream."""
    epoch: Epoch | None = None


@dataclass(slots=True)
class Heard:
    """What one device's person has seen, over all its processes."""

    delivered: dict[Key, Message] = field(default_factory=dict)
    marked: set[Key] = field(default_factory=set)
    unreadable: dict[Key, str] = field(default_factory=dict)
    names: Counter[str] = field(default_factory=Counter)
    """How often each code was told."""
    missing_from: set[bytes] = field(default_factory=set)
    """Sending devices of which something is missing, as it was told."""
    doubted: set[bytes] = field(default_factory=set)
    """Conversations whose history was called into question."""
    left: set[bytes] = field(default_factory=set)
    """Groups in which it is no more, or was not for a while."""
    outside: dict[bytes, list[tuple[float, float]]] = field(default_factory=dict)
    """The times (milliseconds) in which it was out of groups, as it was told."""
    refused: set[tuple[bytes, str]] = field(default_factory=set)
    """What could not be in groups, as it was told."""
    last: dict[tuple[bytes, bytes, int], int] = field(default_factory=dict)
    """The number of the last message delivered, by conversation, sending device and timeline."""

    def went(self, group: bytes, at: int) -> None:
        """It was told that its person is out of a group."""
        times = self.outside.setdefault(group, [])
        if not times or times[-1][1] < math.inf:
            times.append((at, math.inf))

    def came(self, group: bytes, at: int) -> None:
        """It was told that its person is in a group."""
        times = self.outside.get(group)
        if times:
            times[-1] = (times[-1][0], min(times[-1][1], at))

    def was_outside(self, group: bytes, at: int) -> bool:
        """Whether it took its person for being out of a group at that time."""
        return any(began < at < ended for began, ended in self.outside.get(group, ()))


class Oracle:
    """Collects while a run goes on; `judge` at the end."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.messages: dict[bytes, Said] = {}
        self.numbered: dict[bytes, list[Numbered]] = {}
        self.discarded: set[int] = set()
        """Timelines of the server's disk that are gone."""
        self.heard: dict[str, Heard] = defaultdict(Heard)
        self.intents: dict[str, Said] = {}
        self.sent: Counter[bytes] = Counter()
        self.on_note: Callable[[str, str, str], None] = lambda who, what, detail: None

    def linked(self, label: str, by: str) -> None:
        """A device was linked: its person knows what the one beside it has told."""
        self.heard[label].doubted |= self.heard[by].doubted
        self.heard[label].missing_from |= self.heard[by].missing_from

    def problem(self, text: str) -> None:
        """Something is not as it must be."""
        if len(self.problems) < _SHOWN_PROBLEMS:
            self.problems.append(text)

    # --- While it goes on ----------------------------------------------------------------

    def intends(self, node: Node, peer: bytes, text: str, *, is_group: bool = False) -> None:
        """A person is about to say something; it is not known yet under which id."""
        account = node.engine.machine.account_id
        self.intents[text] = Said(node.label, node.device_id, account, peer, b"", text, is_group)

    def said(self, message_id: bytes, text: str) -> None:
        """It is on the device's disk."""
        said = self.intents.pop(text)
        self.on_note(said.label, "said", text)
        said.message_id = message_id
        self.messages[message_id] = said

    def written(self, message: Message, text: str) -> None:
        """A message of which the device did not live to tell lies on its disk."""
        intent = self.intents.pop(text, None)
        if intent is not None:
            intent.message_id = message.message_id
            self.messages[message.message_id] = intent

    def entry(self, client_id: bytes, numbered: Numbered) -> None:
        """The server gave a number."""
        self.numbered.setdefault(client_id, []).append(numbered)

    def delivered(self, node: Node, message: Message, text: str) -> None:
        """A message is shown to a person."""
        heard = self.heard[node.label]
        self.on_note(node.label, "delivered", f"{text} {message.seq}")
        if message.key in heard.delivered:
            if message.key in heard.marked:
                self.problem(f"{node.label} was shown {text!r} twice")
            return
        heard.delivered[message.key] = message
        self._check_content(node, message, text)
        self._check_order(node, heard, message, text)

    def _check_content(self, node: Node, message: Message, text: str) -> None:
        said = self.messages.get(message.message_id) or self.intents.get(text)
        if said is None or said.text != text or said.device_id != message.sender_device:
            self.problem(f"{node.label} was shown {text!r}, which nobody said so")

    def _check_order(self, node: Node, heard: Heard, message: Message, text: str) -> None:
        """Those of one device come in the order of their numbers, but for what was repaired."""
        numbered = self._entry_of(message)
        if numbered is None or message.key in heard.unreadable:
            return
        place = (message.conversation, message.sender_device, numbered.timeline)
        before = heard.last.get(place, 0)
        if numbered.seq > before:
            heard.last[place] = numbered.seq
        elif not self._was_named(heard, message):
            self.problem(f"{node.label} was shown {text!r} ({numbered.seq}) after {before}")

    def _was_named(self, heard: Heard, message: Message) -> bool:
        """Whether it was said that something is missing, before it came after all."""
        names = heard.names
        skipped = names["message.skipped"] or names["server.restored"]
        return bool(skipped) or message.sender_device in heard.missing_from

    def _entry_of(self, message: Message) -> Numbered | None:
        entries = self.numbered.get(message.message_id, [])
        return next((each for each in entries if each.seq == message.seq), None)

    def marked(self, node: Node, messages: list[Message]) -> None:
        """The program has noted that these were shown."""
        self.heard[node.label].marked.update(message.key for message in messages)

    def event(self, node: Node, event: ClientEvent) -> None:
        """A program was told of something."""
        heard = self.heard[node.label]
        heard.names[event.code.value] += 1
        match event:
            case MessageReceived():
                return
            case MessageUnreadable(message=message, reason=reason):
                heard.unreadable[message.key] = reason.value
                self.on_note(node.label, event.code.value, f"{message.seq} {reason.value}")
                return
            case MessageMissing(sender_device=device):
                heard.missing_from.add(device)
            case (
                MessagesSkipped(conversation=conversation)
                | HistoryMismatch(conversation=conversation)
                | RequestFull(account_id=conversation)
            ):
                heard.doubted.add(conversation)
            case MessageSent(message=message):
                self.sent[message.message_id] += 1
            case SendingBlocked(reason=reason):
                heard.names[reason.value] += 1
                self.on_note(node.label, event.code.value, reason.value)
                return
            case GroupLeft(group=group):
                heard.left.add(group)
                heard.went(group, node.world.loop.now())
            case GroupJoined(group=group):
                heard.came(group, node.world.loop.now())
            case GroupRefused(group=group, want=want, reason=reason):
                heard.refused.add((group, want))
                self.on_note(node.label, event.code.value, f"{want} {reason.value}")
                return
            case GroupRepairing(group=group, reason=why, step=step):
                heard.doubted.add(group)
                self.on_note(node.label, event.code.value, f"{why} {step}")
                return
            case ServerMisbehaved(what=what, reason=reason):
                heard.names[reason.value] += 1
                self.on_note(node.label, event.code.value, what)
                return
            case _:
                pass
        self.on_note(node.label, event.code.value, "")
