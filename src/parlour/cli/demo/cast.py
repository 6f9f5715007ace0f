"""Who plays in a demo: a server process, people with accounts, and their devices."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, Self

from parlour.cli.demo.processes import Process, failed
from parlour.cli.demo.stage import Stage
from parlour.cli.demo.stored import appears_in
from parlour.client.tls import Pinned, client_context, peer_pin

SERVER_NAME: Final = "demo.parlour"


class Cast:
    """Processes that live in `folder` for as long as the block runs."""

    def __init__(self, folder: Path, stage: Stage) -> None:
        self.data = folder / "server"
        self.secrets: list[str] = []
        """What must not stand on the server's disk: passwords, and what is said."""
        self._folder = folder
        self._stage = stage
        self._exit = AsyncExitStack()
        self._server: dict[str, Any] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *fault: object) -> None:
        await self._exit.aclose()

    # --- The server ----------------------------------------------------------------------

    async def start_server(self) -> None:
        """A server process; a connection to it with TLS 1.3, and one that tries less."""
        self._stage.step("A server starts")
        server = await self._start(
            "server", "serve", "--data", str(self.data), "--name", SERVER_NAME,
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

    def look_for_plaintext(self) -> None:
        """None of the secrets stands in any file of the server."""
        for secret in self.secrets:
            if found := appears_in(self.data, secret):
                raise failed(f"plaintext in {', '.join(found)}")

    # --- People and their devices --------------------------------------------------------

    async def register(self, *names: str) -> None:
        """An account by invite for each, with a home and a process of its own, at the same time."""
        inviting = await self._start(
            "invite", "admin", "invite", "--uses", str(len(names)), "--data", str(self.data),
            "--address", f"127.0.0.1:{self._server['port']}",
        )  # fmt: skip
        invite = str((await inviting.expect())["invite"])
        await inviting.finish()
        await asyncio.gather(*(self._register(name, invite) for name in names))

    async def _register(self, name: str, invite: str) -> None:
        home = self._home(name)
        registering = await self.client(
            name, "register", name, "--invite-file", self._private(home / "invite", invite),
            "--recovery-file", str(home / "recovery-key"),
        )  # fmt: skip
        await registering.expect(account=f"{name}@{SERVER_NAME}")
        await registering.finish()

    async def link(self, old: str, new: str) -> None:
        """Make a new device, `new`, of the account of `old`: both show six digits, both say yes."""
        home = self._home(new)
        on_old = await self.client(old, "link", "--name", new)
        code = str((await on_old.expect(code="link.shown"))["text"])
        on_new = await self.client(new, "join", "--code-file", self._private(home / "code", code))
        both = (on_old, on_new)
        digits = [(await each.expect(code="link.compare"))["digits"] for each in both]
        if digits[0] != digits[1]:
            raise failed("the digits differ")
        for each in both:
            await each.tell("y")
        for each in both:
            await each.expect(code="link.done")
            await each.finish()

    async def look_in(self, device: str) -> None:
        """A device is on for a moment: it leaves keys by which it can be added to groups."""
        looking = await self.client(device, "inbox")
        await looking.finish()

    def _home(self, name: str) -> Path:
        home = self._folder / name
        home.mkdir(mode=0o700)
        password = secrets.token_urlsafe(16)
        self.secrets.append(password)
        self._private(home / "password", password)
        return home

    def _private(self, file: Path, text: str) -> str:
        file.touch(mode=0o600)
        file.write_text(text + "\n")
        return str(file)

    # --- Processes -----------------------------------------------------------------------

    async def client(self, device: str, *arguments: str) -> Process:
        """A command on somebody's device."""
        home = self._folder / device
        return await self._start(
            device,
            *arguments,
            PARLOUR_HOME=str(home / "home"),
            PARLOUR_PASSWORD_FILE=str(home / "password"),
        )

    async def chat(self, device: str, peer: str) -> Process:
        """A chat that is open."""
        chat = await self.client(device, "chat", peer)
        await chat.expect(code="chat.opened")
        return chat

    async def _start(self, name: str, *arguments: str, **settings: str) -> Process:
        process = await Process.start(name, self._folder, *arguments, settings=settings)
        self._exit.push_async_callback(process.stop)
        return process
