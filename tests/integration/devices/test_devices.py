"""An account's devices through the SDK: names, removal, approval, notices, changes at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from parlour.client import devices as devices_module
from parlour.client.client import Client
from parlour.client.notices import Notice, NoticeKind
from parlour.conversation.events import DevicesChanged
from parlour.errors import Code, ParlourError, TransportError
from parlour.identity.device_list import DeviceListEntry, next_entry
from parlour.wire.directory import AppendDeviceList
from parlour.wire.kinds import Kind
from parlour.wire.server import Nothing
from tests.town import PASSWORD, Town, next_texts

from .people import device_ids, link, notices_of, refusal_of, until


def kinds(notices: Sequence[Notice]) -> list[NoticeKind]:
    return [notice.kind for notice in notices]


# --- Names ---------------------------------------------------------------------------------


async def test_a_device_is_renamed_for_our_own_devices_alone(town: Town) -> None:
    async with town.serving(), town.open("alice") as alice:
        await link(town, alice, "laptop", "laptop")
        short = (await alice.devices.list())[0].short_id
        await alice.devices.rename(short, "Anna's phone", PASSWORD)
        await alice.devices.rename("LAPTOP", "Schoßrechner", PASSWORD)
        assert [each.name for each in await alice.devices.list()] == [
            "Anna's phone",
            "Schoßrechner",
        ]
        async with town.open("laptop") as laptop, town.open("bob") as bob:
            assert [each.name for each in await laptop.devices.list()] == [
                "Anna's phone",
                "Schoßrechner",
            ]
            # Others see that there are names, all of one length, and not what they are.
            contact = await bob.contact("alice")
            sealed = [device.sealed_name for device in contact.head.devices]
            assert len({len(each) for each in sealed}) == 1
            assert not any(b"phone" in each for each in sealed)
        assert await alice.devices.notices() == []


async def test_a_device_is_meant_by_its_name_or_the_beginning_of_its_id(town: Town) -> None:
    async with town.serving(), town.open("alice") as alice:
        linked = await link(town, alice, "laptop", "laptop")
        await link(town, alice, "other", "laptop")
        device = linked.device_id
        assert await alice.devices.find(device.hex()) == device
        assert await alice.devices.find(device.hex()[:8]) == device
        for text, code in (
            ("tablet", Code.DEVICE_UNKNOWN),
            (device.hex()[:7], Code.DEVICE_UNKNOWN),
            ("", Code.DEVICE_UNKNOWN),
            ("Laptop", Code.USAGE_INVALID),
        ):
            assert await refusal_of(alice.devices.find(text)) == code
        assert await refusal_of(alice.devices.rename("laptop", "x", PASSWORD)) == (
            Code.USAGE_INVALID
        )
        too_long = alice.devices.rename(device.hex(), "x" * 65, PASSWORD)
        assert await refusal_of(too_long) == Code.LIMIT_SIZE


# --- Removal -------------------------------------------------------------------------------


async def test_a_removed_device_learns_it_within_a_second_and_reads_nothing_more(
    town: Town,
) -> None:
    async with town.serving(), town.open("alice") as alice, town.open("bob") as bob:
        linked = await link(town, alice, "laptop", "laptop")
        async with town.open("laptop") as laptop:
            await bob.send("alice", "before")
            assert await next_texts(laptop, 1) == ["before"]
            began = time.monotonic()
            assert await alice.devices.remove(["laptop"], PASSWORD) == [linked.device_id]
            await until(laptop, lambda: laptop.failure is not None)
            assert time.monotonic() - began < 2  # the vault's stretching is in it
            assert laptop.failure is not None
            assert laptop.failure.code is Code.DEVICE_REMOVED
            assert await refusal_of(laptop.connected()) == Code.DEVICE_REMOVED
            await bob.send("alice", "after")
            assert await next_texts(alice, 2) == ["before", "after"]
            assert laptop.waiting == 0
            assert await laptop.unread() == []
        # What Bob sent was not even encrypted for it.
        await until(bob, lambda: linked.device_id not in device_ids(bob, "alice"))
        # Another program in the same folder is told again, in words.
        async with town.open("laptop") as laptop:
            assert await refusal_of(laptop.connected()) == Code.DEVICE_REMOVED
        assert await refusal_of(Client.log_in(town.home("laptop"), PASSWORD)) == (
            Code.DEVICE_REMOVED
        )
        assert [each.name for each in await alice.devices.list()] == [None]


async def test_several_devices_are_removed_in_one_entry_and_none_twice(town: Town) -> None:
    async with town.serving(), town.open("alice") as alice:
        ids = [(await link(town, alice, name, name)).device_id for name in ("one", "two")]
        number = alice.devices._room.contact.head.number
        assert await alice.devices.remove(["one", "two"], PASSWORD) == ids
        assert alice.devices._room.contact.head.number == number + 1
        assert await refusal_of(alice.devices.remove(["one"], PASSWORD)) == Code.DEVICE_UNKNOWN
        own = alice._engine.machine.device_id.hex()
        assert await refusal_of(alice.devices.remove([own], PASSWORD)) == Code.USAGE_INVALID
        assert await refusal_of(alice.devices.rename(own, "x", "mistyped")) == Code.LOGIN_FAILED


async def test_a_lost_device_leaves_in_one_step_with_every_other_login(town: Town) -> None:
    async with town.serving(), town.open("alice") as alice:
        linked = await link(town, alice, "phone", "phone")
        await link(town, alice, "laptop", "laptop")
        async with town.open("phone") as phone, town.open("laptop") as laptop:
            await phone.connected()
            await laptop.connected()
            number = alice.devices._room.contact.head.number
            await alice.passwords.change(
                PASSWORD, "another one", end_sessions=True, remove=[linked.device_id]
            )
            await until(phone, lambda: phone.failure is not None)
            await until(laptop, lambda: laptop.failure is not None)
            assert phone.failure is not None
            assert laptop.failure is not None
            assert phone.failure.code is Code.DEVICE_REMOVED
            assert laptop.failure.code is Code.TOKEN_REVOKED
        assert alice.devices._room.contact.head.number == number + 1
        assert [session.current for session in await alice.sessions()] == [True]
        assert [each.name for each in await alice.devices.list()] == [None, "laptop"]


# --- Approval ------------------------------------------------------------------------------


async def test_with_approval_demanded_an_old_device_still_takes_new_ones_in(town: Town) -> None:
    async with town.serving(), town.open("alice") as alice:
        await alice.devices.set_approval(PASSWORD, needed=True)
        await alice.devices.set_approval(PASSWORD, needed=True)  # changes nothing
        assert alice.devices.needs_approval
        linked = await link(town, alice, "laptop", "laptop")
        assert alice.devices._room.contact.head.approvals
        async with town.open("bob") as bob, town.open("laptop") as laptop:
            # Writing reads the list anew.
            await bob.send("alice", "hello")
            await bob.sent()
            assert linked.device_id in device_ids(bob, "alice")
            await laptop.connected()
            assert laptop.devices.needs_approval
            # Dropping the demand needs an approval as well, which any device of the list gives.
            await laptop.devices.set_approval(PASSWORD, needed=False)
            assert kinds(await notices_of(alice, 1)) == [NoticeKind.APPROVAL_OFF]


async def test_a_device_that_no_old_one_approved_is_trusted_by_nobody(town: Town) -> None:
    """Who knows password and account secret has the account key, and no device of the account."""
    async with town.serving(), town.open("alice") as alice:
        await alice.devices.set_approval(PASSWORD, needed=True)
        unlocked = await alice.devices._room.unlock(PASSWORD)
        state = alice.devices._room.contact.state
        bobs = (await alice.contact("bob")).head.devices[0]
        entry = next_entry(state, unlocked.account_key, (*state.devices, bobs), 1)
        body = AppendDeviceList(entry.encode())
        asked = alice._link.ask(Kind.APPEND_DEVICE_LIST, body, Nothing)
        assert await refusal_of(asked) == Code.DEVICE_LIST_APPROVAL


# --- Notices -------------------------------------------------------------------------------


async def test_old_devices_are_told_at_once_and_until_it_was_shown(town: Town) -> None:
    async with town.serving(), town.open("alice") as alice:
        await link(town, alice, "tablet", "tablet")
        async with town.open("tablet") as tablet:
            await tablet.connected()
            linked = await link(town, alice, "laptop", "laptop")
            (notice,) = await notices_of(tablet, 1)
            assert notice.kind is NoticeKind.DEVICE_ADDED
            assert notice.device_id == linked.device_id
            assert tablet.devices.name_of(notice.device_id, notice.sealed_name) == "laptop"
            reader = tablet._engine.feed.open()
            events = []
            while (event := reader.take()) is not None:
                events.append(event)
            changed = [event for event in events if isinstance(event, DevicesChanged)]
            assert [event.added for event in changed] == [(linked.device_id,)]
        # Shown by nobody yet: another program is told as well, without a server too.
        async with town.open("tablet", connect=False) as tablet:
            (again,) = await tablet.devices.notices()
            assert again == notice
            await tablet.devices.mark_shown([again])
        async with town.open("tablet") as tablet:
            await tablet.connected()
            assert await tablet.devices.notices() == []
        # What a device did itself, and what was before it came, is no news there.
        assert await alice.devices.notices() == []
        async with town.open("laptop") as laptop:
            await laptop.connected()
            assert await laptop.devices.notices() == []


async def test_a_device_that_was_off_learns_of_one_that_came_and_went(town: Town) -> None:
    async with town.serving(), town.open("alice") as alice:
        await link(town, alice, "tablet", "tablet")
        linked = await link(town, alice, "laptop", "laptop")
        await alice.devices.set_approval(PASSWORD, needed=True)
        await alice.devices.remove(["laptop"], PASSWORD)
        async with town.open("tablet") as tablet:
            await tablet.caught_up()
            notices = await notices_of(tablet, 3)
        assert kinds(notices) == [
            NoticeKind.DEVICE_ADDED,
            NoticeKind.APPROVAL_ON,
            NoticeKind.DEVICE_REMOVED,
        ]
        assert [notice.device_id for notice in notices] == [
            linked.device_id,
            b"",
            linked.device_id,
        ]
        assert [notice.number for notice in notices] == [2, 3, 4]


async def test_a_program_that_ends_before_it_took_notice_leaves_that_to_the_next(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with town.serving(), town.open("alice") as alice:
        await link(town, alice, "tablet", "tablet")
        with monkeypatch.context() as patched:

            async def never(self: object) -> None:
                await asyncio.Event().wait()

            patched.setattr(devices_module.Devices, "_take_notice", never)
            async with town.open("tablet") as tablet:
                await tablet.connected()
                await link(town, alice, "laptop", "laptop")
                await until(tablet, lambda: len(device_ids(tablet)) == 3)
        async with town.open("tablet") as tablet:
            await tablet.connected()
            assert kinds(await notices_of(tablet, 1)) == [NoticeKind.DEVICE_ADDED]


async def test_what_this_device_did_is_no_news_though_it_ended_at_once(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:

        async def never(self: object) -> None:
            await asyncio.Event().wait()

        patched.setattr(devices_module.Devices, "_take_notice", never)
        async with town.serving(), town.open("alice") as alice:
            await link(town, alice, "laptop", "laptop")
    async with town.serving(), town.open("alice") as alice:
        await alice.caught_up()
        assert await alice.devices.notices() == []


# --- Two at once ---------------------------------------------------------------------------


async def test_two_devices_that_change_the_list_at_once_both_get_what_they_want(
    town: Town,
) -> None:
    async with town.serving(), town.open("alice") as alice:
        await link(town, alice, "laptop", "laptop")
        await link(town, alice, "tablet", "tablet")
        own = alice._engine.machine.device_id.hex()
        async with town.open("laptop") as laptop:
            await laptop.connected()
            refused: list[Code] = []
            barrier = asyncio.Barrier(2)
            for client in (alice, laptop):
                meet_before_appending(client, barrier, refused)
            await asyncio.gather(
                alice.devices.remove(["tablet"], PASSWORD),
                laptop.devices.rename(own, "phone", PASSWORD),
            )
            for client in (alice, laptop):
                await until(client, partial(_ended, client, own))
            assert device_ids(alice) == device_ids(laptop)
            assert refused == [Code.DEVICE_LIST_CONFLICT]


def meet_before_appending(client: Client, barrier: asyncio.Barrier, refused: list[Code]) -> None:
    """Let the first entry of each of two clients leave when both have made theirs."""
    asked = client._link.ask
    entries: list[bytes] = []

    async def ask(kind: Kind, body: Any, response: Any) -> Any:
        if kind is Kind.APPEND_DEVICE_LIST:
            entries.append(body.entry)
            if len(entries) == 1:
                await barrier.wait()
        try:
            return await asked(kind, body, response)
        except ParlourError as problem:
            refused.append(problem.code)
            raise

    client._link.ask = ask  # type: ignore[method-assign]


def _ended(client: Client, renamed: str) -> bool:
    """Whether a client knows of two devices, one of which is called phone."""
    devices = client.devices._room.contact.head.devices
    names = {
        each.device_id.hex(): client.devices.name_of(each.device_id, each.sealed_name)
        for each in devices
    }
    return len(devices) == 2 and names[renamed] == "phone"


async def test_the_second_of_two_is_told_what_the_first_one_did(town: Town) -> None:
    async with town.serving(), town.open("alice") as alice:
        linked = await link(town, alice, "laptop", "laptop")
        async with town.open("laptop") as laptop:
            await laptop.connected()
            await link(town, alice, "tablet", "tablet")
            await until(laptop, lambda: len(device_ids(laptop)) == 3)
            # The laptop has not seen what Alice does, and means a device that is gone.
            device = (await laptop.devices.find("tablet")).hex()
            room = laptop.devices._room
            unlocked = await room.unlock(PASSWORD)

            async def removed_meanwhile(password: str) -> object:
                await alice.devices.remove(["tablet"], PASSWORD)
                return unlocked

            laptop.devices._room = _Quick(room, removed_meanwhile)
            renaming = laptop.devices.rename(device, "mine", PASSWORD)
            assert await refusal_of(renaming) == Code.DEVICE_UNKNOWN
            assert linked.device_id in device_ids(laptop)


class _Quick:
    """A room in which somebody else is quicker while the vault is opened."""

    def __init__(self, room: object, unlock: object) -> None:
        self._room = room
        self.unlock = unlock

    def __getattr__(self, name: str) -> object:
        return getattr(self._room, name)


async def test_a_change_whose_answer_was_lost_is_made_once(town: Town) -> None:
    async with town.serving(), town.open("alice") as alice:
        await link(town, alice, "laptop", "laptop")
        asked = alice._link.ask
        sent: list[bytes] = []

        async def lose(kind: Kind, body: Any, response: Any) -> Any:
            answer = await asked(kind, body, response)
            if isinstance(body, AppendDeviceList):
                sent.append(body.entry)
                if len(sent) == 1:
                    connection = alice._link._connection
                    assert connection is not None
                    connection._socket.transport.abort()
                    raise TransportError(Code.NETWORK_CLOSED)
            return answer

        alice._link.ask = lose
        await alice.devices.remove(["laptop"], PASSWORD)
        assert len(sent) == 1
        assert len(device_ids(alice)) == 1
        assert DeviceListEntry.decode(sent[0]).hash() == alice.devices._room.contact.head.hash()


# --- What follows the person ---------------------------------------------------------------


async def test_how_far_was_read_and_settings_follow_within_a_second(town: Town) -> None:
    async with town.serving(), town.open("alice") as alice, town.open("bob") as bob:
        await link(town, alice, "laptop", "laptop")
        async with town.open("laptop") as laptop:
            await laptop.connected()
            for number in range(3):
                await bob.send("alice", str(number))
            assert await next_texts(alice, 3) == ["0", "1", "2"]
            contact = await laptop.contact("bob")
            (last,) = [said.seq for said in await alice.history("bob", limit=1)]
            began = time.monotonic()
            await alice.people.mark_read("bob", last)
            await alice.settings.set("theme", "dark")
            await until(laptop, lambda: laptop.settings.get("theme") == "dark")
            await until(laptop, lambda: laptop.people.read_up_to(contact) == last)
            assert time.monotonic() - began < 1
            assert await laptop.unread() == [], "what was seen there is not new here"
            # And back: what is seen here is known there.
            await bob.send("alice", "3")
            assert await next_texts(laptop, 1) == ["3"]
            await laptop.people.mark_read("bob")
            await until(alice, lambda: alice.people.read_up_to(contact) > (last or 0))
            await laptop.people.mark_read("nobody")
