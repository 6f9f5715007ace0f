"""Three ways to show a chat: on a screen with a foot, as lines, and as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

from rich.console import Console
from rich.text import Text

from parlour.cli.chat.editor import Editor
from parlour.cli.chat.in_groups import Done, shown
from parlour.cli.chat.screen import Screen
from parlour.cli.chat.terminal import write
from parlour.cli.group.described import counted
from parlour.cli.notices import notice_document, notice_rows
from parlour.cli.output import Output
from parlour.cli.safe_text import one_line
from parlour.cli.safety import digit_lines, word_lines
from parlour.cli.shown import (
    MARKS,
    People,
    ShownCode,
    day,
    event_document,
    event_text,
    message_document,
    message_rows,
)
from parlour.client.client import Client, ClientEvent, Connected, Disconnected, Said
from parlour.client.notices import Notice
from parlour.conversation.changes import MessageState
from parlour.conversation.contact import Verification
from parlour.transparency import SafetyNumber

_WORDS: Final = {
    Verification.VERIFIED: "verified",
    Verification.UNVERIFIED: "not verified",
    Verification.CHANGED: "KEY CHANGED",
}
# Of what waits, more would push the conversation out of sight.
_MAX_WAITING: Final = 5


@dataclass
class ChatState:
    """What a face shows beside messages and events."""

    own: str
    peer: str
    people: People
    group: bytes = b""
    """The group that is talked in, if it is one; `peer` is its name then."""
    size: int = 0
    online: bool = False
    waiting: dict[bytes, Said] = field(default_factory=dict)

    @property
    def verification(self) -> Verification:
        """How far the peer is verified."""
        return self.people.verification(self.peer)


class Face(Protocol):
    """A way to show a chat."""

    def opened(self, state: ChatState) -> None:
        """The chat begins."""

    def message(self, said: Said, peer: str, state: ChatState) -> None:
        """A message, in the state that it has now."""

    def event(self, event: ClientEvent, state: ChatState) -> None:
        """Something that is no message."""

    def notice(self, text: Text, state: ChatState) -> None:
        """Words of the program's own."""

    def group_done(self, done: Done, state: ChatState) -> None:
        """What became of a command to the group."""

    def own_notice(self, notice: Notice, client: Client, state: ChatState) -> None:
        """What another device of ours did to the list of devices."""

    def safety_number(self, number: SafetyNumber, state: ChatState) -> None:
        """The person asked for the safety number."""

    def refresh(self, state: ChatState) -> None:
        """The state may have changed."""

    def closed(self) -> None:
        """The chat ends."""


def greeting(state: ChatState) -> Text:
    """The first line."""
    if state.group:
        text = Text(f"{state.own} in {one_line(state.peer)}", style="bold")
        return text.append(f" ({counted(state.size, 'person')})  ·  /help", style="dim")
    text = Text(f"{state.own} with {state.peer}", style="bold")
    return text.append(f" ({_WORDS[state.verification]})  ·  /help", style="dim")


def compared(number: SafetyNumber, state: ChatState) -> Text:
    """The safety number, and what to do with it."""
    peer = one_line(state.peer)
    text = Text(f"Safety number with {peer}:\n")
    for line in digit_lines(number):
        text.append(f"    {line}\n", style="bold")
    text.append("The same as words:\n")
    for line in word_lines(number):
        text.append(f"    {line}\n", style="bold")
    return text.append(
        f"Compare it over another way than this chat, then leave and run: parlour verify {peer}"
    )


class JsonFace:
    """JSON lines."""

    def __init__(self) -> None:
        self._output = Output(json=True)

    def opened(self, state: ChatState) -> None:
        """See `Face`."""
        self._output.document(
            {
                "code": ShownCode.CHAT_OPENED.value,
                "account": state.own,
                "with": state.peer,
                "group": state.group.hex() or None,
                "verification": None if state.group else state.verification.value,
            }
        )

    def message(self, said: Said, peer: str, state: ChatState) -> None:
        """See `Face`."""
        self._output.document(message_document(said, peer))

    def event(self, event: ClientEvent, state: ChatState) -> None:
        """See `Face`."""
        self._output.document(event_document(event, state.people))

    def notice(self, text: Text, state: ChatState) -> None:
        """See `Face`: words are for people."""

    def group_done(self, done: Done, state: ChatState) -> None:
        """See `Face`."""
        self._output.document(done.document)

    def own_notice(self, notice: Notice, client: Client, state: ChatState) -> None:
        """See `Face`."""
        self._output.document(notice_document(notice, client))

    def safety_number(self, number: SafetyNumber, state: ChatState) -> None:
        """See `Face`."""
        self._output.document(
            {
                "code": ShownCode.SAFETY_NUMBER.value,
                "name": state.peer,
                "verification": state.verification.value,
                "digits": number.digits,
                "words": number.words,
                "scannable": number.scannable().hex(),
            }
        )

    def refresh(self, state: ChatState) -> None:
        """See `Face`: each change has its event."""

    def closed(self) -> None:
        """See `Face`."""


class LineFace:
    """Lines, for pipes, logs and simple terminals. What is said is printed again when sent."""

    def __init__(self) -> None:
        self._output = Output()
        self._day = ""

    def opened(self, state: ChatState) -> None:
        """See `Face`."""
        self._output.text(greeting(state))

    def message(self, said: Said, peer: str, state: ChatState) -> None:
        """See `Face`."""
        if said.state is MessageState.QUEUED:
            return
        for row in dated(said, self):
            self._output.text(row)
        for row in message_rows(said, state.people):
            self._output.text(addressed(row, peer, state))

    def event(self, event: ClientEvent, state: ChatState) -> None:
        """See `Face`."""
        text = event_text(event, state.people)
        if text is not None:
            self._output.text(text)

    def notice(self, text: Text, state: ChatState) -> None:
        """See `Face`."""
        self._output.text(text)

    def group_done(self, done: Done, state: ChatState) -> None:
        """See `Face`."""
        self.notice(Text(shown(done), style="bold red" if done.failed else "dim"), state)

    def own_notice(self, notice: Notice, client: Client, state: ChatState) -> None:
        """See `Face`."""
        for row in notice_rows(notice, client):
            self.notice(row, state)

    def safety_number(self, number: SafetyNumber, state: ChatState) -> None:
        """See `Face`."""
        self.notice(compared(number, state), state)

    def refresh(self, state: ChatState) -> None:
        """See `Face`: each change has its event."""

    def closed(self) -> None:
        """See `Face`."""

    def new_day(self, text: str) -> bool:
        """Whether this is another day than that of the message before."""
        changed, self._day = text != self._day, text
        return changed


class ScreenFace:
    """A terminal: messages scroll, and below them stand what waits, the state and the line."""

    def __init__(self, editor: Editor) -> None:
        self.editor = editor
        self._console = Console()
        self._screen = Screen(self._console)
        self._day = ""

    def opened(self, state: ChatState) -> None:
        """See `Face`."""
        self._draw([greeting(state)], state)

    def message(self, said: Said, peer: str, state: ChatState) -> None:
        """See `Face`. What waits stands in the foot, and moves up when it is sent."""
        if said.state is MessageState.QUEUED:
            self.refresh(state)
            return
        rows = message_rows(said, state.people, self._screen.width)
        self._draw([*dated(said, self), *(addressed(row, peer, state) for row in rows)], state)

    def event(self, event: ClientEvent, state: ChatState) -> None:
        """See `Face`."""
        # The prompt shows the connection's state.
        silent = isinstance(event, Connected | Disconnected)
        text = None if silent else event_text(event, state.people)
        self._draw([] if text is None else [text], state)

    def notice(self, text: Text, state: ChatState) -> None:
        """See `Face`."""
        self._draw([text], state)

    def group_done(self, done: Done, state: ChatState) -> None:
        """See `Face`."""
        self.notice(Text(shown(done), style="bold red" if done.failed else "dim"), state)

    def own_notice(self, notice: Notice, client: Client, state: ChatState) -> None:
        """See `Face`."""
        for row in notice_rows(notice, client):
            self.notice(row, state)

    def safety_number(self, number: SafetyNumber, state: ChatState) -> None:
        """See `Face`."""
        self.notice(compared(number, state), state)

    def refresh(self, state: ChatState) -> None:
        """See `Face`."""
        self._draw([], state)

    def redraw(self, state: ChatState) -> None:
        """Empty the screen and begin again at its top."""
        self._draw([], state, whole=True)

    def closed(self) -> None:
        """See `Face`."""
        write(self._screen.clear())

    def new_day(self, text: str) -> bool:
        """Whether this is another day than that of the message before."""
        changed, self._day = text != self._day, text
        return changed

    def _draw(self, printed: list[Text], state: ChatState, *, whole: bool = False) -> None:
        editor = self.editor
        write(
            self._screen.draw(
                printed, _foot(state), _prompt(state), editor.text, editor.cursor, whole=whole
            )
        )


def _foot(state: ChatState) -> list[Text]:
    waiting = list(state.waiting.values())
    rows = []
    for said in waiting[:_MAX_WAITING]:
        row = Text("  …    ", style="dim")
        row.append("you  ", style="bold cyan")
        rows.append(row.append(one_line(said.text), style="dim"))
    if len(waiting) > _MAX_WAITING:
        rows.append(Text(f"       and {len(waiting) - _MAX_WAITING} more wait", style="dim"))
    return rows


def _prompt(state: ChatState) -> Text:
    mark, style = (str(state.size), "dim") if state.group else MARKS[state.verification]
    prompt = Text("● " if state.online else "○ offline ", style="green" if state.online else "red")
    prompt.append(one_line(state.peer), style="bold")
    prompt.append(f" {mark}", style=style)
    return prompt.append(" › ", style="dim")


class _Dated(Protocol):
    def new_day(self, text: str) -> bool: ...


def dated(said: Said, face: _Dated) -> list[Text]:
    """The day, above the first message of it."""
    text = day(said.at)
    return [Text(f"── {text} ──", style="dim")] if face.new_day(text) else []


def addressed(row: Text, peer: str, state: ChatState) -> Text:
    """A row of another conversation says so."""
    if peer == state.peer:
        return row
    return Text.assemble((f"[with {one_line(peer)}] ", "magenta"), row)
