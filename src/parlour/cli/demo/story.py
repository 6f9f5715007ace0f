"""The story, with a check wherever it claims something."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, Self

from parlour.cli.demo.processes import Process, failed
from parlour.cli.demo.stage import Stage
from parlour.cli.demo.stored import appears_in, stored_message
from parlour.cli.safety import digit_lines
from parlour.client.tls import Pinned, client_context, peer_pin

_SERVER_NAME: Final = "demo.parlour"


class Story:
    """What happens, in `folder`, as `stage` shows it."""

    def __init__(self, folder: Path, stage: Stage) -> None:
        self._folder = folder
        self._stage = stage
        self._exit = AsyncExitStack()
        self._data = folder / "server"
        self._server: dict[str, Any] = {}
        self._texts: list[str] = []
        self._passwords: list[str] = []
        self._chats: tuple[Process, ...] = ()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *fault: object) -> None:
        await self._exit.aclose()

    async def tell(self) -> None:
        """All of it."""
        await self.start_server()
        await self.register("alice", "bob")
        await self.talk()
        await self.deliver_later()
        await self.compare()
        self.look_for_plaintext()

    # --- Steps ---------------------------------------------------------------------------

    async def start_server(self) -> None:
        """A server process; a connection to it with TLS 1.3, and one that tries less."""
        self._stage.step("A server starts")
        server = await self._start(
            "server", "serve", "--data", str(self._data), "--name", _SERVER_NAME,
            "--host", "127.0.0.1", "--port", "0",
        )  # fmt: skip
        said = self._server = await server.expect(code="server.started")
        self._stage.tell(f"Process {server.pid} listens on 127.0.0.1:{said['port']}.")
        pin = bytes.fromhex(said["pin"])
        version = await self._handshake(client_context(Pinned.of([pin])), pin)
        if version != "TLSv1.3":
            raise failed(f"the server speaks {version}")
        self._stage.check(f"It speaks TLS 1.3 under the pinned key {said['pin'][:16]}…")
        older = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        older.check_hostname, older.verify_mode = False, ssl.CERT_NONE
        older.maximum_version = ssl.TLSVersion.TLSv1_2
        try:
            await self._handshake(older, pin)
        except OSError:
            self._stage.check("It refuses TLS 1.2.")
        else:
            raise failed("the server takes TLS 1.2")

    async def _handshake(self, context: ssl.SSLContext, pin: bytes) -> str:
        _, writer = await asyncio.open_connection("127.0.0.1", self._server["port"], ssl=context)
        connection: ssl.SSLObject = writer.get_extra_info("ssl_object")
        shown = peer_pin(connection)
        writer.close()
        if shown != pin:
            raise failed("the server shows another key")
        return str(connection.version())

    async def register(self, *names: str) -> None:
        """Two accounts by invite, each with a home and a process of its own, at the same time."""
        self._stage.step("Two people register, by invite, on devices of their own")
        inviting = await self._start(
            "invite", "admin", "invite", "--uses", str(len(names)), "--data", str(self._data),
            "--address", f"127.0.0.1:{self._server['port']}",
        )  # fmt: skip
        invite = str((await inviting.expect())["invite"])
        await inviting.finish()
        await asyncio.gather(*(self._register(name, invite) for name in names))
        for name in names:
            self._stage.check(f"{name}@{_SERVER_NAME} has an account; the keys stayed at home.")

    async def _register(self, name: str, invite: str) -> None:
        home = self._folder / name
        home.mkdir(mode=0o700)
        password = secrets.token_urlsafe(16)
        self._passwords.append(password)
        file = home / "password"
        file.touch(mode=0o600)
        file.write_text(password + "\n")
        invited = home / "invite"
        invited.touch(mode=0o600)
        invited.write_text(invite + "\n")
        registering = await self._client(
            name, "register", name, "--invite-file", str(invited),
            "--recovery-file", str(home / "recovery-key"),
        )  # fmt: skip
        await registering.expect(account=f"{name}@{_SERVER_NAME}")
        await registering.finish()

    async def talk(self) -> None:
        """A message each way, live."""
        self._stage.step("They talk")
        alice, bob = await asyncio.gather(self._chat("alice", "bob"), self._chat("bob", "alice"))
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
        bob = await self._chat("bob", "alice")
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
        for secret in [*self._texts, *self._passwords]:
            if found := appears_in(self._data, secret):
                raise failed(f"plaintext in {', '.join(found)}")
        self._stage.check(
            f"None of the {len(self._texts)} messages and neither password is in its files."
        )

    # --- Acts ----------------------------------------------------------------------------

    async def _say(self, author: Process, reader: Process, text: str) -> None:
        message_id = await self._write(author, reader.name, text)
        said = await reader.expect(code="message.received", id=message_id)
        self._take(said, reader.name, text)

    async def _write(self, author: Process, reader: str, text: str) -> str:
        """Send; show what the server has of it."""
        self._texts.append(text)
        await author.tell(text)
        sent = await author.expect(code="message.sent", text=text)
        message_id = str(sent["id"])
        stored = stored_message(self._data, message_id)
        if not stored.body or text.encode() in stored.body + stored.parts:
            raise failed("the server has something else than ciphertext")
        self._stage.message(author.name, reader, text, stored)
        return message_id

    def _take(self, said: dict[str, Any], reader: str, text: str) -> None:
        if said["text"] != text:
            raise failed("another text arrived")
        self._stage.read(reader, str(said["text"]))

    # --- Processes -----------------------------------------------------------------------

    async def _start(self, name: str, *arguments: str, **settings: str) -> Process:
        process = await Process.start(name, self._folder, *arguments, settings=settings)
        self._exit.push_async_callback(process.stop)
        return process

    async def _client(self, name: str, *arguments: str) -> Process:
        home = self._folder / name
        return await self._start(
            name,
            *arguments,
            PARLOUR_HOME=str(home / "home"),
            PARLOUR_PASSWORD_FILE=str(home / "password"),
        )

    async def _chat(self, own: str, other: str) -> Process:
        chat = await self._client(own, "chat", other)
        await chat.expect(code="chat.opened")
        return chat
