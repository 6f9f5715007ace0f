"""The story, with a check wherever it claims something."""

from __future__ import annotations

import asyncio
from typing import Any

from parlour.cli.demo.cast import SERVER_NAME, Cast
from parlour.cli.demo.processes import Process, failed
from parlour.cli.demo.stage import Stage
from parlour.cli.demo.stored import stored_message
from parlour.cli.safety import digit_lines


class Story:
    """What happens to the `cast`, as `stage` shows it."""

    def __init__(self, cast: Cast, stage: Stage) -> None:
        self._cast = cast
        self._stage = stage
        self._said = 0
        self._chats: tuple[Process, ...] = ()

    async def tell(self) -> None:
        """All of it."""
        await self._cast.start_server()
        await self.register("alice", "bob")
        await self.talk()
        await self.deliver_later()
        await self.compare()
        self.look_for_plaintext()

    # --- Steps ---------------------------------------------------------------------------

    async def register(self, *names: str) -> None:
        """Two accounts by invite."""
        self._stage.step("Two people register, by invite, on devices of their own")
        await self._cast.register(*names)
        for name in names:
            self._stage.check(f"{name}@{SERVER_NAME} has an account; the keys stayed at home.")

    async def talk(self) -> None:
        """A message each way, live."""
        self._stage.step("They talk")
        alice, bob = await asyncio.gather(
            self._cast.chat("alice", "bob"), self._cast.chat("bob", "alice")
        )
        self._stage.tell(f"alice is process {alice.pid}, bob is process {bob.pid}.")
        await self._say(alice, bob, "Hi Bob! Is this line ours alone?")
        await self._say(bob, alice, "It is. The server carries it and can't read it.")
        await bob.finish()
        self._chats = (alice,)

    async def deliver_later(self) -> None:
        """Bob is away; what is said to him waits on the server."""
        self._stage.step("Bob's device is off, and Alice goes on")
        text = "When you are back: the key is under the third flower pot."
        alice = self._chats[0]
        message_id = await self._write(alice, "bob", text)
        self._stage.tell("The server keeps it for bob. A moment later his device is on again.")
        bob = await self._cast.chat("bob", "alice")
        said = await bob.expect(code="message.received", id=message_id)
        self._take(said, "bob", text)
        await self._say(bob, alice, "Back, and read.")
        self._chats = (alice, bob)

    async def compare(self) -> None:
        """Both compute the same safety number."""
        self._stage.step("They compare safety numbers")
        numbers = [await self._number(chat) for chat in self._chats]
        if numbers[0]["digits"] != numbers[1]["digits"]:
            raise failed("the safety numbers differ")
        for line in digit_lines(numbers[0]["digits"]):
            self._stage.tell(f"    {line}")
        self._stage.check("Both devices show these digits: nobody sits between them.")
        self._stage.tell("Bob can also scan them from Alice's screen:")
        self._stage.code(bytes.fromhex(numbers[0]["scannable"]))

    async def _number(self, chat: Process) -> dict[str, Any]:
        await chat.tell("/verify")
        number = await chat.expect(code="safety_number")
        await chat.finish()
        return number

    def look_for_plaintext(self) -> None:
        """Neither texts nor passwords stand in any file of the server."""
        self._stage.step("We search the server's disk")
        self._cast.look_for_plaintext()
        self._stage.check(
            f"None of the {self._said} messages and neither password is in its files."
        )

    # --- Acts ----------------------------------------------------------------------------

    async def _say(self, author: Process, reader: Process, text: str) -> None:
        message_id = await self._write(author, reader.name, text)
        said = await reader.expect(code="message.received", id=message_id)
        self._take(said, reader.name, text)

    async def _write(self, author: Process, reader: str, text: str) -> str:
        """Send; show what the server has of it."""
        self._cast.secrets.append(text)
        self._said += 1
        await author.tell(text)
        sent = await author.expect(code="message.sent", text=text)
        message_id = str(sent["id"])
        stored = stored_message(self._cast.data, message_id)
        if not stored.body or text.encode() in stored.body + stored.parts:
            raise failed("the server has something else than ciphertext")
        self._stage.message(author.name, reader, text, stored)
        return message_id

    def _take(self, said: dict[str, Any], reader: str, text: str) -> None:
        if said["text"] != text:
            raise failed("another text arrived")
        self._stage.read(reader, str(said["text"]))
