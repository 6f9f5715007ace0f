"""A chat under way: the client's events and the person's lines, shown by a face."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final

from rich.text import Text

from parlour.cli.chat import in_groups, terminal
from parlour.cli.chat.editor import Action, Editor, Left, Redraw, Submitted
from parlour.cli.chat.faces import ChatState, Face, ScreenFace
from parlour.cli.chat.keys import KeyReader
from parlour.cli.failures import INTERRUPTED
from parlour.cli.safe_text import one_line
from parlour.cli.shown import People
from parlour.client.client import Client, Said
from parlour.client.group_names import MARK
from parlour.conversation.changes import Message, MessageState
from parlour.conversation.events import (
    DevicesChanged,
    MessageReceived,
    MessageSent,
    MessageUnreadable,
    MessageUnsent,
)
from parlour.errors import Code, ExitCode, ParlourError

# How long what was just sent may take to be shown, in seconds.
_MOMENT: Final = 1.0
# When the input ends, how long to go on trying to send what was said, in seconds.
_LAST_WORDS: Final = 30.0

HELP: Final = (
    "/verify     show the safety number\n"
    "/quit       leave, like Ctrl-D\n"
    "Alt-Enter   begin a new line in the message\n"
    "//…         say something that begins with /"
)


class ChatSession:
    """Runs until the person leaves, or the client can't go on."""

    def __init__(self, client: Client, peer: str, face: Face) -> None:
        self._client = client
        self._face = face
        group = client.groups.find(peer) if peer.startswith(MARK) else b""
        self._state = ChatState(client.name, peer, People.of(client), group)
        self._look()
        self._shown: set[tuple[bytes, MessageState]] = set()
        # How far the person has seen the conversation: the number of a message.
        self._seen = Seen()
        self._settled = asyncio.Event()
        self._settled.set()

    async def run(self, *, earlier: int) -> int:
        """Show `earlier` messages, then everything that happens. Returns the exit code."""
        self._state.online = self._client.online
        self._face.opened(self._state)
        for said in await self._client.history(self._state.peer, limit=earlier):
            self._show(said, self._state.peer)
        try:
            return await _first(self._follow(), self._listen(), self._tell_how_far())
        finally:
            self._face.closed()

    def _look(self) -> None:
        """Take over what the client knows now; a group may have another name."""
        state, client = self._state, self._client
        state.people, state.online = People.of(client), client.online
        if state.group:
            state.peer = client.groups.label(state.group)
            state.size = len(client.groups.get(state.group).members)

    # --- What happens --------------------------------------------------------------------

    async def _follow(self) -> int:
        await self._tell_of_devices()
        async for event in self._client.events():
            self._look()
            match event:
                case MessageReceived(message=message) | MessageUnreadable(message=message):
                    self._show_message(message)
                case MessageSent(message=message) | MessageUnsent(message=message):
                    self._state.waiting.pop(message.message_id, None)
                    self._show_message(message)
                    if not self._state.waiting:
                        self._settled.set()
                case DevicesChanged(account_id=account_id) if account_id == self._client.account_id:
                    await self._tell_of_devices()
                case _:
                    self._face.event(event, self._state)
        return int(ExitCode.FINE)

    async def _tell_how_far(self) -> int:
        """Tell our other devices what was seen here; many messages at once are told once."""
        told = 0
        while True:
            told = await self._seen.beyond(told)
            with contextlib.suppress(ParlourError):
                if self._state.group:
                    await self._client.groups.mark_read(self._state.group, told)
                else:
                    await self._client.people.mark_read(self._state.peer, told)

    async def _tell_of_devices(self) -> None:
        """What other devices did to our own list of them."""
        waiting = await self._client.devices.notices()
        for notice in waiting:
            self._face.own_notice(notice, self._client, self._state)
        await self._client.devices.mark_shown(waiting)

    def _show_message(self, message: Message) -> None:
        said = self._client.said(message)
        self._show(said, said.where)

    def _show(self, said: Said, peer: str) -> None:
        """Show a message once in each of its states."""
        if (said.message_id, said.state) in self._shown:
            self._face.refresh(self._state)
            return
        self._shown.add((said.message_id, said.state))
        if said.mine and said.state is MessageState.QUEUED:
            self._state.waiting[said.message_id] = said
            self._settled.clear()
        self._face.message(said, peer, self._state)
        if not said.mine and peer == self._state.peer:
            self._seen.up_to(said.seq)

    # --- What the person does ------------------------------------------------------------

    async def _listen(self) -> int:
        if isinstance(self._face, ScreenFace):
            return await self._listen_to_keys(self._face)
        self._face.refresh(self._state)
        async for line in terminal.lines():
            if line.strip() and await self._said(line):
                return int(ExitCode.FINE)
        await self._client.sent(_LAST_WORDS)
        # Sent is not yet shown: the events of it come a moment later.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_MOMENT):
                await self._settled.wait()
        return int(ExitCode.FINE)

    async def _listen_to_keys(self, face: ScreenFace) -> int:
        async for action in _actions(face.editor, lambda: face.refresh(self._state)):
            match action:
                case Submitted(text=text):
                    if await self._said(text):
                        return int(ExitCode.FINE)
                case Redraw():
                    face.redraw(self._state)
                case Left(interrupted=interrupted):
                    return INTERRUPTED if interrupted else int(ExitCode.FINE)
        return int(ExitCode.FINE)

    async def _said(self, line: str) -> bool:
        """Send a line, or do what it asks for; return whether the person leaves."""
        command = line.strip().casefold()
        if command in ("/quit", "/exit", "/q"):
            return True
        if command == "/help":
            self._notice(in_groups.HELP if self._state.group else HELP, "dim")
        elif command == "/verify" and not self._state.group:
            await self._show_safety_number()
        elif self._state.group and (
            done := await in_groups.do(self._client, self._state.group, line)
        ):
            self._look()
            self._face.group_done(done, self._state)
            return done.leaves
        elif line.startswith("/") and not line.startswith("//"):
            self._notice(f"There is no {one_line(command)}. /help shows what there is.", "")
        else:
            await self._send(line.removeprefix("/") if line.startswith("//") else line)
        return False

    def _failed(self, what: str, failure: ParlourError) -> None:
        if failure.code is Code.INTERNAL_BUG:
            raise failure
        self._notice(f"✗ {what}. {failure} {failure.remedy}", "bold red")

    async def _send(self, text: str) -> None:
        try:
            await self._client.send(self._state.peer, text)
        except ParlourError as failure:
            self._failed("Not sent", failure)
            return
        page = await self._client.history(self._state.peer, limit=20)
        for said in page:
            if said.mine and said.state is MessageState.QUEUED:
                self._show(said, self._state.peer)

    async def _show_safety_number(self) -> None:
        number = await self._client.safety_number(self._state.peer)
        self._face.safety_number(number, self._state)

    def _notice(self, text: str, style: str) -> None:
        self._face.notice(Text(text, style=style), self._state)


class Seen:
    """The number of the last message that a person has seen, and a wait for a later one."""

    def __init__(self) -> None:
        self._seq = 0
        self._grown = asyncio.Event()

    def up_to(self, seq: int | None) -> None:
        """A message was shown."""
        self._seq = max(self._seq, seq or 0)
        self._grown.set()

    async def beyond(self, seq: int) -> int:
        """Wait until more was seen than `seq`; up to where."""
        while self._seq <= seq:
            self._grown.clear()
            await self._grown.wait()
        return self._seq


async def _first(*works: Coroutine[Any, Any, int]) -> int:
    """Run all; the first that ends, or fails, ends the others."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(iter(done)).result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _actions(editor: Editor, changed: Callable[[], None]) -> AsyncIterator[Action]:
    """What the keys lead to; `changed` after each that changed the line."""
    queue: asyncio.Queue[Action] = asyncio.Queue()
    reader = KeyReader()

    def take(data: bytes) -> None:
        if not data:
            queue.put_nowait(Left(interrupted=False))
        for key in reader.feed(data):
            action = editor.take(key)
            if action is not None:
                queue.put_nowait(action)
        changed()

    loop = asyncio.get_running_loop()
    with terminal.raw_input(take):
        loop.add_signal_handler(signal.SIGWINCH, changed)
        changed()
        try:
            while True:
                yield await queue.get()
        finally:
            loop.remove_signal_handler(signal.SIGWINCH)
