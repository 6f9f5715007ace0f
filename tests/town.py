"""A server with people on it, made once and copied for each test that begins there.

Homes open with cheap stretching, and the server listens on the port that they know, whichever
copy of it is running.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

from parlour.client import home as homes
from parlour.client import login
from parlour.client.client import Client, Said
from parlour.client.home import PasswordLock
from parlour.conversation.events import MessageReceived, RequestReceived
from parlour.identity.passphrase import Passphrase
from parlour.login import stretch
from parlour.primitives.kdf import Argon2Cost
from parlour.server import Config, Server, create_invite

PASSWORD = "correct horse battery"
CHEAP = Argon2Cost(memory_kib=8, passes=1)
SERVER_NAME = "home.test"
# No test waits so long; one that would hang ends by it.
PATIENCE = 30.0


@dataclass(frozen=True)
class Town:
    folder: Path
    port: int
    lone_vaults: str = "no"

    @property
    def config(self) -> Config:
        # Tests are quicker than people.
        place = self.folder / "server", "127.0.0.1", self.port, SERVER_NAME
        return Config(*place, limits=10_000.0, lone_vaults=self.lone_vaults)

    @asynccontextmanager
    async def serving(self, **options: Any) -> AsyncIterator[Server]:
        options.setdefault("log_stream", StringIO())
        async with Server(self.config, **options) as server:
            yield server

    def home(self, name: str) -> Path:
        return self.folder / name

    def open(self, name: str, **options: Any) -> Any:
        return Client.open(self.home(name), PASSWORD, **options)

    def copy(self, folder: Path) -> Town:
        shutil.copytree(self.folder, folder)
        return Town(folder, self.port)

    async def register(
        self,
        name: str,
        *,
        invite: str | None = None,
        password: str | Passphrase = PASSWORD,
        **options: Any,
    ) -> None:
        """Register; the home opens cheaply."""
        with cheap_homes():
            invite = invite or await self.invite()
            await Client.register(self.home(name), invite, name, password, **options)

    async def invite(self, config: Config | None = None) -> str:
        invite = await asyncio.to_thread(
            create_invite, config or self.config, host="127.0.0.1", port=self.port
        )
        return invite.to_text()


@contextmanager
def cheap_homes() -> Iterator[None]:
    """Homes that are made in here open cheaply."""

    def cheap(password: str) -> PasswordLock:
        return PasswordLock(password, CHEAP)

    with patch.object(homes, "PasswordLock", cheap):
        yield


@contextmanager
def quick_passwords() -> Iterator[None]:
    """Passwords that are used in here are stretched cheaply, and only with each other."""
    with patch.object(login, "stretch", partial(stretch, cost=CHEAP)):
        yield


async def found_town(folder: Path, *names: str) -> Town:
    """Make a server's data and a registered home for each name. They know each other."""
    config = Town(folder, 0).config
    async with Server(config, log_stream=StringIO()) as server:
        town = Town(folder, server.port)
        for name in names:
            await town.register(name)
        for name in names:
            async with town.open(name) as client:
                for other in names:
                    if other != name:
                        await client.people.accept(other)
    return town


async def next_texts(client: Client, count: int) -> list[str]:
    """The texts of the next messages that come; the last one counts as handled, too."""
    found: list[str] = []
    async with asyncio.timeout(PATIENCE):
        async with aclosing(client.events()) as events:
            async for event in events:
                if isinstance(event, RequestReceived):
                    # Most tests are not about first contact.
                    await client.people.accept(event.name)
                if isinstance(event, MessageReceived):
                    found.append(client.said(event.message).text)
                if len(found) == count:
                    break
        await client.unread(limit=1)
    return found


async def history(client: Client, name: str, limit: int = 10_000) -> list[str]:
    return texts(await client.history(name, limit=limit))


def restored(data: Path, *, openly: bool = True) -> None:
    """What restoring a backup does to a server's data: they get a new name, tickets begin anew.

    Not `openly`, they keep their name, so that nobody is to notice.
    """
    [path] = data.glob("*.db")
    with sqlite3.connect(path) as connection:
        if openly:
            name = (os.urandom(16),)
            connection.execute("UPDATE meta SET value = ? WHERE key = 'incarnation'", name)
        connection.execute("UPDATE devices SET ticket = NULL")
    connection.close()


def texts(page: list[Said]) -> list[str]:
    return [said.text for said in page]
