"""People with several devices: how tests link them, and what they say when asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from parlour.client.address import Address
from parlour.client.client import Client
from parlour.client.linking import Comparison, Linked
from parlour.client.login import Target
from parlour.client.notices import Notice
from parlour.client.tls import Pinned
from parlour.errors import Code, ParlourError
from parlour.server import Server
from tests.town import PASSWORD, PATIENCE, Town, cheap_homes


@dataclass
class Person:
    """Shows codes, carries them from screen to camera, and compares digits."""

    says: bool = True
    shown: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    compared: list[Comparison] = field(default_factory=list)

    async def show(self, text: str) -> None:
        self.shown.put_nowait(text)

    async def compare(self, comparison: Comparison) -> bool:
        self.compared.append(comparison)
        return self.says

    async def scan(self) -> str:
        async with asyncio.timeout(PATIENCE):
            return await self.shown.get()


async def refusal_of(awaitable: Awaitable[Any]) -> Code:
    with pytest.raises(ParlourError) as refused:
        await awaitable
    return refused.value.code


def target_of(town: Town, server: Server) -> Target:
    return Target(Address("127.0.0.1", town.port), Pinned.of([server.pin]))


async def new_shows(
    town: Town, server: Server, home: str, person: Person, **options: Any
) -> Linked:
    """The new device's half, where it shows the code."""
    with cheap_homes():
        return await Client.link_new(
            town.home(home),
            target_of(town, server),
            PASSWORD,
            show=person.show,
            compare=person.compare,
            **options,
        )


async def new_scans(town: Town, home: str, person: Person, text: str | None = None) -> Linked:
    """The new device's half, where the old one shows the code."""
    text = text or await person.scan()
    with cheap_homes():
        return await Client.join(town.home(home), text, PASSWORD, compare=person.compare)


async def old_scans(client: Client, person: Person, name: str = "", text: str | None = None) -> Any:
    """The old device's half, where the new one shows the code."""
    text = text or await person.scan()
    return await client.devices.scan(text, PASSWORD, compare=person.compare, name=name)


async def old_shows(client: Client, person: Person, name: str = "") -> Any:
    """The old device's half, where it shows the code."""
    return await client.devices.show(PASSWORD, show=person.show, compare=person.compare, name=name)


async def link(town: Town, client: Client, home: str, name: str = "") -> Linked:
    """Link a new device in `home`, by the code of the old one."""
    person = Person()
    linked: Linked = (await both(new_scans(town, home, person), old_shows(client, person, name)))[0]
    return linked


async def both(new: Awaitable[Any], old: Awaitable[Any]) -> tuple[Any, Any]:
    """Run both halves; what the first one that fails raises is raised, once both have ended."""
    tasks = [asyncio.ensure_future(new), asyncio.ensure_future(old)]
    try:
        async with asyncio.timeout(PATIENCE):
            results = await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return results[0], results[1]


async def both_refused(new: Awaitable[Any], old: Awaitable[Any]) -> tuple[Code, Code]:
    """Run both halves, each of which is refused; the codes."""
    async with asyncio.timeout(PATIENCE):
        codes = await asyncio.gather(refusal_of(new), refusal_of(old))
    return codes[0], codes[1]


async def until(client: Client, reached: Callable[[], bool]) -> None:
    """Wait until a client's machine has come so far."""
    async with asyncio.timeout(PATIENCE):
        while True:
            seen = client._engine.changed.count
            if reached():
                return
            await client._engine.changed.wait(seen)


def device_ids(client: Client, name: str | None = None) -> list[bytes]:
    """The devices that a client sends to, of its own account or of a contact."""
    machine = client._engine.machine
    contact = machine.contacts[machine.account_id] if name is None else machine.contact_named(name)
    assert contact is not None
    return [device.device_id for device in contact.head.devices]


async def notices_of(client: Client, count: int) -> Sequence[Notice]:
    """The notices that wait, when there are so many."""
    async with asyncio.timeout(PATIENCE):
        while True:
            seen = client._engine.changed.count
            notices = await client.devices.notices()
            if len(notices) >= count:
                return notices
            await client._engine.changed.wait(seen)
