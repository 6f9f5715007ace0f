"""A server that swaps somebody's key at a moment of its choice."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from parlour.client.client import Client
from parlour.conversation.contact import Verification
from parlour.conversation.events import KeyChanged
from parlour.errors import Code
from parlour.identity.device_list import Device, first_entry
from parlour.primitives.agreement import X25519PrivateKey
from parlour.primitives.signature import Ed25519PrivateKey, Ed25519PublicKey
from parlour.server import Server
from parlour.wire.kinds import Kind
from parlour.wire.push import PushDeviceList
from tests.integration.devices.people import until
from tests.town import PATIENCE, Town, quick_passwords

from .homes import code_of


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    with quick_passwords():
        yield


def swap_key(server: Server, name: str) -> Ed25519PublicKey:
    """Let the server show a list of its own making for an account; returns the key in it."""
    handlers: Any = server.core.dispatcher._handlers
    account_key, device_key = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    agreement_key = X25519PrivateKey.generate().public_key
    device = Device(device_key.public_key, agreement_key, True, 1)

    def lie(honest: Any) -> Any:
        async def answer(caller: Any, request: Any) -> Any:
            page = await honest(caller, request)
            if page.name != name:
                return page
            entries = [first_entry(page.account_id, account_key, device, 1).encode()]
            entries = entries if page.first == 0 else []
            return type(page)(page.account_id, page.name, page.first, entries, False)

        return answer

    for kind in (Kind.READ_DEVICE_LIST, Kind.LOOK_UP):
        handlers[kind] = lie(handlers[kind])
    return account_key.public_key


async def shown_key(client: Client, name: str, key: Ed25519PublicKey) -> None:
    """Push that the account's list has grown, and wait until the client has read it."""
    contact = await client.contact(name)
    push = PushDeviceList(contact.account_id, contact.head.number + 1)
    await client._engine.step(lambda machine, now: machine.pushed(push, now))

    def is_shown() -> bool:
        return client._engine.machine.contacts[contact.account_id].key_to_verify() == key

    await until(client, is_shown)


async def test_a_key_that_is_swapped_while_two_people_compare_is_not_verified(town: Town) -> None:
    async with town.serving() as server, town.open("alice") as alice:
        await alice.caught_up()
        number = await alice.safety_number("bob")
        await shown_key(alice, "bob", swap_key(server, "bob"))
        assert await code_of(alice.verify("bob", number)) == Code.ACCOUNT_KEY_CHANGED
        assert (await alice.contact("bob")).verification is Verification.UNVERIFIED


async def test_a_verified_key_that_is_swapped_is_accepted_only_as_it_was_shown(town: Town) -> None:
    async with town.serving() as server, town.open("alice") as alice:
        await alice.caught_up()
        before = await alice.safety_number("bob")
        await alice.verify("bob", before)
        await shown_key(alice, "bob", swap_key(server, "bob"))
        assert (await alice.contact("bob")).stopped
        assert await code_of(alice.accept("bob", before)) == Code.ACCOUNT_KEY_CHANGED
        await alice.accept("bob", await alice.safety_number("bob"))
        assert (await alice.contact("bob")).verification is Verification.UNVERIFIED


async def test_a_changed_key_is_told_once_by_whichever_program_is_next(town: Town) -> None:
    async with town.serving() as server:
        async with town.open("alice") as alice:
            await alice.caught_up()
            await shown_key(alice, "bob", swap_key(server, "bob"))
        # The first program ends before a person has seen it.
        for told, seen in ((1, False), (1, True), (0, True)):
            async with town.open("alice", connect=False) as alice:
                changed = [each for each in alice.happened() if isinstance(each, KeyChanged)]
                assert [each.name for each in changed] == ["bob"] * told
                await alice.told_of(changed if seen else [])


async def test_events_bring_what_was_not_told_first_and_once(town: Town) -> None:
    async with town.serving() as server:
        async with town.open("alice") as alice:
            await alice.caught_up()
            await shown_key(alice, "bob", swap_key(server, "bob"))
            assert await next_event(alice, KeyChanged)
            # It is told when the next event is asked for, not before.
        async with town.open("alice", connect=False) as alice:
            assert await next_event(alice, KeyChanged)
        async with town.open("alice", connect=False) as alice:
            events = alice.events()
            assert isinstance(await anext(events), KeyChanged)
            waiting = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0)  # it asks for the next one
            waiting.cancel()
        async with town.open("alice", connect=False) as alice:
            assert alice.happened() == []


async def next_event(client: Client, kind: type[Any]) -> Any:
    async with asyncio.timeout(PATIENCE), contextlib.aclosing(client.events()) as events:
        return await anext(event async for event in events if isinstance(event, kind))
