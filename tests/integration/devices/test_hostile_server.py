"""A server that lies about devices, over real sockets: each lie is named, and not acted upon."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from parlour.client.client import Client
from parlour.client.notices import NoticeKind, notices_between
from parlour.conversation.events import DevicesChanged, MessageUnreadable, SendingBlocked
from parlour.conversation.reasons import Reason
from parlour.errors import Code, ParlourError, error
from parlour.identity.device_list import Device, DeviceListEntry, next_entry
from parlour.primitives.agreement import X25519PrivateKey
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.server import Server
from parlour.wire.directory import AppendDeviceList
from parlour.wire.kinds import Kind
from tests.town import PASSWORD, PATIENCE, Town, cheap_homes, next_texts

from .people import (
    Person,
    device_ids,
    link,
    new_scans,
    notices_of,
    old_shows,
    refusal_of,
    until,
)

Lie = Callable[[list[DeviceListEntry]], list[DeviceListEntry]]


@contextmanager
def lying(server: Server, to: Client | None, lie: Lie) -> Iterator[None]:
    """Show another list of Alice's devices than the stored one, to one client or to everybody."""
    handlers: Any = server.core.dispatcher._handlers
    honest = {kind: handlers[kind] for kind in (Kind.READ_DEVICE_LIST, Kind.LOOK_UP)}

    def liar(kind: Kind) -> Any:
        async def answer(caller: Any, request: Any) -> Any:
            page = await honest[kind](caller, request)
            meant = to is None or caller.known.device_id == to._engine.machine.device_id
            if page.name != "alice" or not meant:
                return page
            store = server.core.store
            data, _ = await store.devices.list_page(page.account_id, 0, 64)
            entries = lie([DeviceListEntry.decode(each) for each in data])
            shown = [each.encode() for each in entries if each.number >= page.first]
            return type(page)(page.account_id, page.name, page.first, shown, False)

        return answer

    handlers.update({kind: liar(kind) for kind in honest})
    try:
        yield
    finally:
        handlers.update(honest)


def strange_device() -> Device:
    key = Ed25519PrivateKey.generate()
    return Device(key.public_key, X25519PrivateKey.generate().public_key, True, 1)


async def blocked(client: Client) -> Code:
    """Why what is queued does not go out, as a program is told."""
    async with asyncio.timeout(PATIENCE):
        async for event in client.events():
            if isinstance(event, SendingBlocked):
                return event.reason
    raise AssertionError


def add_a_device(entries: list[DeviceListEntry]) -> list[DeviceListEntry]:
    """As a server would that has no account key: a new entry under its own signature."""
    last = entries[-1]
    forged = replace(
        last,
        number=last.number + 1,
        previous_hash=last.hash(),
        devices=(*last.devices, strange_device()),
        approvals=(),
    )
    return [*entries, forged.sign(Ed25519PrivateKey.generate())]


def hide_a_device(entries: list[DeviceListEntry]) -> list[DeviceListEntry]:
    last = entries[-1]
    return [*entries[:-1], replace(last, devices=last.devices[:-1])]


def roll_back(entries: list[DeviceListEntry]) -> list[DeviceListEntry]:
    return entries[:-1]


@pytest.mark.parametrize(
    ("lie", "code"),
    [
        (add_a_device, Code.DEVICE_LIST_INVALID),
        (hide_a_device, Code.DEVICE_LIST_INVALID),
        (roll_back, Code.DEVICE_LIST_ROLLBACK),
    ],
)
async def test_a_contact_is_sent_nothing_by_a_list_that_was_tampered_with(
    town: Town, lie: Lie, code: Code
) -> None:
    async with town.serving() as server, town.open("alice") as alice:
        await link(town, alice, "laptop")
        async with town.open("bob") as bob:
            await bob.send("alice", "hello")
            assert await next_texts(alice, 1) == ["hello"]
            known = device_ids(bob, "alice")
        with lying(server, None, lie):
            async with town.open("bob") as bob:
                await bob.send("alice", "by the true list alone")
                assert await blocked(bob) is code
                assert device_ids(bob, "alice") == known
                assert bob.waiting == 1
            # The owner is told as well, by whatever she does with her devices.
            assert await refusal_of(alice.devices.list()) == code
            assert await refusal_of(alice.devices.set_approval(PASSWORD, needed=True)) == code
        # An honest server mends it without anybody doing anything.
        async with town.open("bob") as bob:
            assert await next_texts(alice, 1) == ["by the true list alone"]
            assert device_ids(bob, "alice") == known


async def test_a_new_device_takes_no_list_but_the_one_of_the_old_device(town: Town) -> None:
    person = Person()
    async with town.serving() as server, town.open("alice") as alice:
        await link(town, alice, "tablet")
        for lie, code in (
            (roll_back, Code.DEVICE_LIST_ROLLBACK),
            (add_a_device, Code.DEVICE_LIST_INVALID),
            (hide_a_device, Code.DEVICE_LIST_INVALID),
        ):
            # The old device is shown the truth; the new one is not, whoever it is.
            before = {*device_ids(alice)}
            taking_in = asyncio.create_task(old_shows(alice, person))
            text = await person.scan()
            with lying_to_strangers(server, before, lie):
                assert await refusal_of(new_scans(town, "laptop", person, text)) == code
            await taking_in
            assert not (town.home("laptop") / "store.db").exists()


@contextmanager
def lying_to_strangers(server: Server, known: set[bytes], lie: Lie) -> Iterator[None]:
    handlers: Any = server.core.dispatcher._handlers
    honest = handlers[Kind.READ_DEVICE_LIST]

    async def answer(caller: Any, request: Any) -> Any:
        page = await honest(caller, request)
        if caller.known.device_id in known:
            return page
        entries = lie([DeviceListEntry.decode(each) for each in page.entries])
        shown = [each.encode() for each in entries]
        return type(page)(page.account_id, page.name, page.first, shown, page.more)

    handlers[Kind.READ_DEVICE_LIST] = answer
    try:
        yield
    finally:
        handlers[Kind.READ_DEVICE_LIST] = honest


async def test_a_list_that_is_forked_between_two_people_is_found_out_by_the_next_entry(
    town: Town,
) -> None:
    """Two devices changed the list at once; the server shows the losing entry to Bob alone."""
    async with town.serving() as server, town.open("alice") as alice, town.open("bob") as bob:
        await link(town, alice, "laptop", "laptop")
        await bob.send("alice", "hello")
        assert await next_texts(alice, 1) == ["hello"]
        state = alice.devices._room.contact.state
        unlocked = await alice.devices._room.unlock(PASSWORD)
        losing = next_entry(state, unlocked.account_key, state.devices, 1, needs_approval=True)

        def fork(entries: list[DeviceListEntry]) -> list[DeviceListEntry]:
            return [*entries[: losing.number], losing]

        with lying(server, bob, fork):
            await alice.devices.remove(["laptop"], PASSWORD)
            await until(bob, lambda: _head(bob) == losing.hash())
        await alice.devices.set_approval(PASSWORD, needed=True)
        await bob.send("alice", "to the true list alone")
        assert await blocked(bob) is Code.DEVICE_LIST_INVALID
        assert bob.waiting == 1


def _head(client: Client) -> bytes:
    contact = client._engine.machine.contact_named("alice")
    assert contact is not None
    return contact.head.hash()


async def test_a_device_whose_announcement_is_withheld_shows_by_what_it_says(town: Town) -> None:
    """The server tells the old device nothing and shows it the old list."""
    async with town.serving() as server, town.open("alice") as alice, town.open("bob") as bob:
        await link(town, alice, "tablet", "tablet")
        await bob.send("alice", "hello")
        async with town.open("tablet") as tablet:
            assert await next_texts(tablet, 1) == ["hello"]
            number = tablet.devices._room.contact.head.number
            with lying(server, tablet, lambda entries: entries[: number + 1]):
                linked = await link(town, alice, "laptop", "laptop")
                assert linked.device_id not in device_ids(tablet)
                async with town.open("laptop") as laptop:
                    await laptop.send("bob", "by the new device")
                    await laptop.sent()
                reason = await unreadable(tablet)
                assert reason in (Reason.DEVICE_LIST, Reason.UNKNOWN_DEVICE)
            # One honest answer, and the notice is there.
            server.core.hub.drain(lambda: 0)
            await until(tablet, lambda: linked.device_id in device_ids(tablet))
            (notice,) = await notices_of(tablet, 1)
            assert notice.kind is NoticeKind.DEVICE_ADDED


async def unreadable(client: Client) -> Reason:
    async with asyncio.timeout(PATIENCE):
        async for event in client.events():
            if isinstance(event, MessageUnreadable):
                return event.reason
    raise AssertionError


async def test_a_history_that_is_withheld_still_leaves_the_difference_as_notice(
    town: Town,
) -> None:
    """The machine has read the newest list; whoever asks for what was in between gets lies."""
    async with town.serving(), town.open("alice") as alice:
        await link(town, alice, "tablet", "tablet")
        linked = await link(town, alice, "laptop", "laptop")
        await link(town, alice, "phone", "phone")
        await alice.devices.remove(["phone"], PASSWORD)
        async with town.open("tablet", connect=False) as tablet:
            devices = tablet.devices
            seen, head = devices._board.seen, alice.devices._room.contact.head
            assert seen is not None
            for code in (Code.DEVICE_LIST_ROLLBACK, Code.SERVER_MISBEHAVED, Code.LIMIT_RATE):

                async def ask(_kind: Any, _body: Any, _response: Any, code: Code = code) -> Any:
                    raise error(code)

                devices._room = replace(devices._room, ask=ask)
                entries = await devices._since(seen, head)
                assert entries == [head]
            (notice,) = notices_between(seen, head)
            assert (notice.kind, notice.device_id) == (NoticeKind.DEVICE_ADDED, linked.device_id)


async def test_a_server_that_claims_a_conflict_without_end_is_given_up_in_words(
    town: Town,
) -> None:
    async with town.serving() as server, town.open("alice") as alice:
        await link(town, alice, "laptop", "laptop")
        handlers: Any = server.core.dispatcher._handlers
        entries: list[bytes] = []

        async def refuse(_caller: Any, request: AppendDeviceList) -> Any:
            entries.append(request.entry)
            raise error(Code.DEVICE_LIST_CONFLICT)

        handlers[Kind.APPEND_DEVICE_LIST] = refuse
        with pytest.raises(ParlourError) as refused:
            await alice.devices.remove(["laptop"], PASSWORD)
        assert refused.value.code is Code.DEVICE_LIST_CONFLICT
        # It holds one signed entry, not two that it could show to two people.
        assert len(entries) > 1
        assert len(set(entries)) == 1


async def test_old_devices_are_told_although_the_server_pushes_nothing(town: Town) -> None:
    """The announcement is lost; the list is read again with the next connection."""
    async with town.serving() as server, town.open("alice") as alice:
        await link(town, alice, "tablet", "tablet")
        async with town.open("tablet") as tablet:
            await tablet.connected()
            pushes = server.core.hub.push
            server.core.hub.push = lambda *args: None  # type: ignore[method-assign]
            linked = await link(town, alice, "laptop", "laptop")
            server.core.hub.push = pushes  # type: ignore[method-assign]
            assert linked.device_id not in device_ids(tablet)
        async with town.open("tablet") as tablet:
            async with asyncio.timeout(PATIENCE):
                async for event in tablet.events():
                    if isinstance(event, DevicesChanged):
                        assert event.added == (linked.device_id,)
                        break


# --- Vaults ---------------------------------------------------------------------------------


async def test_a_linked_device_takes_no_vault_that_is_older_than_the_old_devices(
    town: Town,
) -> None:
    """It has seen none itself; the old device has told it how far they had come."""
    columns = "record, record_signature, vault, recovery_vault, vault_number"
    async with town.serving() as server, town.open("alice") as alice:
        await alice.connected()
        store: Any = server.core.store
        old = await store.database.read(
            lambda connection: connection.execute(
                f"SELECT {columns} FROM accounts WHERE name = 'alice'"  # noqa: S608
            ).fetchone()
        )
        with cheap_homes():
            await alice.passwords.change(PASSWORD, "a new password")
            await alice.passwords.change("a new password", PASSWORD)
        await link(town, alice, "laptop", "laptop")
        put = f"UPDATE accounts SET ({columns}) = (?, ?, ?, ?, ?) WHERE name = 'alice'"  # noqa: S608
        await store.database.write(lambda connection: connection.execute(put, old))
        async with town.open("laptop") as laptop:
            await laptop.connected()
            renamed = laptop.devices.rename("laptop", "mine", PASSWORD)
            assert await refusal_of(renamed) == Code.VAULT_ROLLBACK
