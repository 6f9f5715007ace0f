"""Linking through the SDK and over real sockets, both ways round, and who may spoil it."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from parlour.client import backoff, hosting, unfinished
from parlour.client.address import Address
from parlour.client.client import Client
from parlour.client.device_lists import read_whole
from parlour.client.linking import Comparison
from parlour.client.login import Target
from parlour.client.notices import NoticeKind
from parlour.client.recovery import place_at
from parlour.client.tls import Pinned
from parlour.errors import Code
from parlour.identity.linking import LinkText
from parlour.server.clock import system_clock
from tests.entries import door
from tests.proxy import Proxy
from tests.town import PASSWORD, Town, cheap_homes, history, next_texts

from .people import (
    Person,
    both,
    both_refused,
    device_ids,
    link,
    new_scans,
    new_shows,
    notices_of,
    old_scans,
    old_shows,
    refusal_of,
    until,
)


async def test_a_new_device_shows_a_code_and_an_old_one_scans_it(town: Town) -> None:
    person = Person()
    async with town.serving() as server, town.open("alice") as alice:
        linked, info = await both(
            new_shows(town, server, "laptop", person), old_scans(alice, person, "laptop")
        )
        await check_linked(town, alice, linked.device_id, person)
        assert (info.name, info.device_id) == ("laptop", linked.device_id)


async def test_an_old_device_shows_a_code_and_a_new_one_scans_it(town: Town) -> None:
    person = Person()
    async with town.serving(), town.open("alice") as alice:
        linked, info = await both(
            new_scans(town, "laptop", person), old_shows(alice, person, "laptop")
        )
        await check_linked(town, alice, linked.device_id, person)
        assert (info.name, info.device_id) == ("laptop", linked.device_id)


async def check_linked(town: Town, old: Client, device_id: bytes, person: Person) -> None:
    """Both screens showed the same, and what is said to Alice comes to both devices."""
    assert len(person.compared) == 2
    assert len(set(person.compared)) == 1
    assert person.compared[0].account == "alice@home.test"
    async with town.open("laptop") as laptop, town.open("bob") as bob:
        await laptop.connected()
        assert laptop.name == "alice@home.test"
        await bob.send("alice", "to both")
        assert await next_texts(old, 1) == ["to both"]
        assert await next_texts(laptop, 1) == ["to both"]
        await laptop.send("bob", "from the laptop")
        assert await next_texts(bob, 1) == ["from the laptop"]
        await until(bob, lambda: device_id in device_ids(bob, "alice"))
        assert await history(bob, "alice") == ["to both", "from the laptop"]
        assert len(await laptop.sessions()) == 2


async def test_a_new_device_is_shown_by_its_name_and_when_it_came(town: Town) -> None:
    async with town.serving(), town.open("alice") as alice:
        linked = await link(town, alice, "laptop", "Anna's laptop")
        first, second = await alice.devices.list()
        assert (first.current, second.current) == (True, False)
        assert (first.name, second.name) == (None, "Anna's laptop")
        assert second.device_id == linked.device_id
        assert second.added_at >= first.added_at
        assert second.last_seen == first.last_seen is not None
        async with town.open("laptop") as laptop:
            await laptop.connected()
            there = await laptop.devices.list()
            assert [each.name for each in there] == [None, "Anna's laptop"]
            assert [each.current for each in there] == [False, True]


# --- A person says no ----------------------------------------------------------------------


async def check_not_linked(town: Town, alice: Client) -> None:
    assert len(await alice.devices.list()) == 1
    assert not (town.home("laptop") / "store.db").exists()


async def test_codes_that_differ_link_nothing(town: Town) -> None:
    person, doubter = Person(), Person(says=False)
    async with town.serving() as server, town.open("alice") as alice:
        doubter.shown = person.shown
        codes = await both_refused(
            new_shows(town, server, "laptop", person), old_scans(alice, doubter)
        )
        assert codes == (Code.LINK_REFUSED, Code.LINK_MISMATCH)
        await check_not_linked(town, alice)
        # The same folder takes another try.
        await link(town, alice, "laptop")


async def test_a_no_on_the_new_device_after_a_yes_on_the_old_one_signs_nothing(
    town: Town,
) -> None:
    """The old device waits for the new one's yes, and says in words that it was a no."""
    person, doubter = Person(), Person()
    asked = asyncio.Event()

    async def no(comparison: Comparison) -> bool:
        doubter.compared.append(comparison)
        await asked.wait()
        return False

    async def yes(comparison: Comparison) -> bool:
        asked.set()
        person.compared.append(comparison)
        return True

    doubter.shown, doubter.compare, person.compare = person.shown, no, yes  # type: ignore[method-assign]
    async with town.serving(), town.open("alice") as alice:
        with door() as here:
            codes = await both_refused(
                new_scans(town, "laptop", doubter), old_shows(alice, person, "laptop")
            )
            assert codes == (Code.LINK_MISMATCH, Code.LINK_REFUSED)
            assert person.compared == doubter.compared != []
            assert not here.entries
            await check_not_linked(town, alice)
        # The same folder takes another try.
        await link(town, alice, "laptop")


async def test_a_no_on_the_new_device_ends_the_question_on_the_old_one(town: Town) -> None:
    person, doubter = Person(), Person(says=False)
    cancelled = asyncio.Event()

    async def undecided(comparison: Comparison) -> bool:
        person.compared.append(comparison)
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return True

    person.compare = undecided  # type: ignore[method-assign]
    async with town.serving() as server, town.open("alice") as alice:
        doubter.shown = person.shown
        codes = await both_refused(
            new_shows(town, server, "laptop", doubter), old_scans(alice, person)
        )
        assert codes == (Code.LINK_MISMATCH, Code.LINK_REFUSED)
        assert cancelled.is_set()
        await check_not_linked(town, alice)


async def test_what_changes_before_the_new_device_has_its_home_is_told_there(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with town.serving(), town.open("alice") as alice:

        async def late(*arguments: Any) -> Any:
            await alice.devices.set_approval(PASSWORD, needed=True)
            return await read_whole(*arguments)

        monkeypatch.setattr("parlour.client.linking.read_whole", late)
        await link(town, alice, "laptop")
        async with town.open("laptop") as laptop:
            await laptop.connected()
            notices = await notices_of(laptop, 1)
            assert [notice.kind for notice in notices] == [NoticeKind.APPROVAL_ON]


async def test_a_wrong_password_links_nothing_and_leaves_the_code_as_good_as_before(
    town: Town,
) -> None:
    person = Person()
    async with town.serving() as server, town.open("alice") as alice:
        showing = asyncio.create_task(new_shows(town, server, "laptop", person))
        text = await person.scan()
        mistyped = alice.devices.scan(text, "mistyped", compare=person.compare)
        assert await refusal_of(mistyped) == Code.LOGIN_FAILED
        assert len(await alice.devices.list()) == 1
        await old_scans(alice, person, text=text)
        await showing


# --- Strangers and mistakes ----------------------------------------------------------------


async def test_a_photographed_code_used_later_is_refused_by_name(town: Town) -> None:
    person, stranger = Person(), Person()
    now = [0]
    async with town.serving(clock=lambda: system_clock() + now[0]) as server:  # noqa: SIM117
        async with town.open("alice") as alice:
            joining = asyncio.create_task(old_shows(alice, person))
            photo = await person.scan()
            await new_scans(town, "laptop", person, photo)
            await joining
            for later, code in ((0, Code.LINK_USED), (600_000, Code.LINK_EXPIRED)):
                now[0] = later
                assert await refusal_of(new_scans(town, "theirs", stranger, photo)) == code
            showing = asyncio.create_task(new_shows(town, server, "tablet", person))
            photo = await person.scan()
            await old_scans(alice, person, text=photo)
            await showing
            async with town.open("bob") as bob:
                assert await refusal_of(old_scans(bob, stranger, text=photo)) == Code.LINK_USED
            assert stranger.compared == []
            assert not (town.home("theirs") / "store.db").exists()
            assert len(await alice.devices.list()) == 3


async def test_two_devices_that_use_one_code_end_it_for_all(town: Town) -> None:
    """Also where the stranger comes when the person has said yes, just before the answer."""
    person, stranger = Person(), Person()
    async with town.serving(), town.open("alice") as alice:
        host = alice.devices._host
        hand_over = host._hand_over
        photo = ""

        async def late() -> None:
            theirs = new_scans(town, "theirs", stranger, photo)
            assert await refusal_of(theirs) == Code.LINK_CONFLICT
            await hand_over()

        host._hand_over = late
        taking_in = asyncio.create_task(refusal_of(old_shows(alice, person)))
        photo = await person.scan()
        joining = new_scans(town, "laptop", person, photo)
        assert await refusal_of(joining) == Code.LINK_CONFLICT
        assert await taking_in == Code.LINK_CONFLICT
        host._hand_over = hand_over
        await check_not_linked(town, alice)
        assert host.pending is None
        assert stranger.compared == []
        await link(town, alice, "laptop")


async def test_a_code_for_another_account_or_server_is_refused_in_words(town: Town) -> None:
    person = Person()
    async with town.serving() as server, town.open("alice") as alice:
        showing = asyncio.create_task(new_shows(town, server, "laptop", person, account="bob"))
        text = await person.scan()
        assert await refusal_of(old_scans(alice, person, text=text)) == Code.LINK_MISMATCH
        other = replace(LinkText.from_text(text), account_name="", server="other.test")
        assert await refusal_of(old_scans(alice, person, text=other.to_text())) == (
            Code.LINK_MISMATCH
        )
        other = replace(LinkText.from_text(text), account_name="", pin=bytes(32))
        assert await refusal_of(old_scans(alice, person, text=other.to_text())) == Code.SERVER_PIN
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)


async def test_a_new_device_joins_no_other_server_than_the_codes(town: Town) -> None:
    person = Person()
    async with town.serving(), town.open("alice") as alice:
        taking_in = asyncio.create_task(old_shows(alice, person))
        text = LinkText.from_text(await person.scan())
        for changed, code in (
            (replace(text, pin=bytes(32)), Code.SERVER_PIN),
            (replace(text, server="other.test"), Code.SERVER_NAME),
            (replace(text, port=1), Code.NETWORK_UNREACHABLE),
        ):
            refused = new_scans(town, "laptop", person, changed.to_text())
            assert await refusal_of(refused) == code
        # Nothing of it reached the mailbox: the code is as good as before.
        await new_scans(town, "laptop", person, text.to_text())
        await taking_in


async def test_what_is_no_code_or_one_of_the_wrong_side_is_said(town: Town) -> None:
    person = Person()
    async with town.serving() as server, town.open("alice") as alice:
        for text in ("hello", "parlour:link#AAAA"):
            assert await refusal_of(new_scans(town, "laptop", person, text)) == Code.LINK_INVALID
            assert await refusal_of(old_scans(alice, person, text=text)) == Code.LINK_INVALID
        taking_in = asyncio.create_task(old_shows(alice, person))
        old_text = await person.scan()
        assert await refusal_of(old_scans(alice, person, text=old_text)) == Code.LINK_INVALID
        showing = asyncio.create_task(new_shows(town, server, "laptop", person))
        new_text = await person.scan()
        assert await refusal_of(new_scans(town, "tablet", person, new_text)) == Code.LINK_INVALID
        for task in (taking_in, showing):
            task.cancel()
        await asyncio.gather(taking_in, showing, return_exceptions=True)


async def test_a_folder_with_an_account_takes_no_other(town: Town) -> None:
    person = Person()
    async with town.serving(), town.open("alice") as alice:
        taking_in = asyncio.create_task(old_shows(alice, person))
        text = await person.scan()
        assert await refusal_of(new_scans(town, "bob", person, text)) == Code.HOME_EXISTS
        taking_in.cancel()
        await asyncio.gather(taking_in, return_exceptions=True)
    async with town.serving(), town.open("bob") as bob:
        await bob.connected()


async def test_a_code_that_nobody_answers_expires_on_both_sides(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unfinished, "LIFETIME_SECONDS", 1)
    monkeypatch.setattr(hosting, "LIFETIME_SECONDS", 0.2)
    person = Person()
    async with town.serving() as server, town.open("alice") as alice:
        assert await refusal_of(new_shows(town, server, "laptop", person)) == Code.LINK_EXPIRED
        assert await refusal_of(old_shows(alice, person)) == Code.LINK_EXPIRED
        await check_not_linked(town, alice)
        assert await refusal_of(old_scans(alice, person)) == Code.LINK_EXPIRED


async def test_a_server_that_restarts_in_the_middle_ends_the_linking_in_words(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(backoff, "MAX_RETRY_AFTER", 0.01)
    person = Person()
    async with town.open("alice") as alice:
        async with town.serving() as server:
            await alice.connected()
            showing = asyncio.create_task(
                refusal_of(new_shows(town, server, "laptop", person)),
            )
            text = await person.scan()
        async with town.serving():
            assert await showing == Code.LINK_EXPIRED
            assert await refusal_of(old_scans(alice, person, text=text)) == Code.LINK_EXPIRED
            await check_not_linked(town, alice)


# --- Cuts ----------------------------------------------------------------------------------


async def test_a_linking_survives_cuts_on_the_new_devices_side(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "FIRST_DELAY", 0.01)
    person = Person()
    async with (
        town.serving() as server,
        town.open("alice") as alice,
        Proxy(town.port).running() as proxy,
    ):
        target = Target(Address("127.0.0.1", proxy.port), Pinned.of([server.pin]))

        async def cut(comparison: Comparison) -> bool:
            proxy.cut()
            person.compared.append(comparison)
            return True

        async def show(text: str) -> None:
            person.shown.put_nowait(text)
            proxy.cut()

        with cheap_homes():
            joining = Client.link_new(town.home("laptop"), target, PASSWORD, show=show, compare=cut)
            linked, _ = await both(joining, old_scans(alice, person))
        assert proxy.connections >= 4
        async with town.open("laptop") as laptop:
            await laptop.connected()
            assert linked.device_id in device_ids(laptop)


async def test_a_linking_survives_cuts_on_the_old_devices_side(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "FIRST_DELAY", 0.01)
    person = Person()
    async with town.serving(), town.open("alice") as alice:
        await alice.connected()
        taking_in = asyncio.create_task(old_shows(alice, person))
        text = await person.scan()

        async def cut(comparison: Comparison) -> bool:
            connection = alice._link._connection
            assert connection is not None
            connection._socket.transport.abort()
            person.compared.append(comparison)
            return True

        # Whichever of both asks, the old device's connection is gone when its answer is due.
        person.compare = cut  # type: ignore[method-assign]
        await new_scans(town, "laptop", person, text)
        await taking_in
        assert len(await alice.devices.list()) == 2


# --- Many ----------------------------------------------------------------------------------


async def test_a_household_of_devices_hears_all_that_is_said(town: Town) -> None:
    names = [f"device {number}" for number in range(5)]
    async with town.serving(), town.open("alice") as alice, town.open("bob") as bob:
        for name in names:
            await link(town, alice, name, name)
        async with AsyncExitStack() as stack:
            others = [await stack.enter_async_context(town.open(name)) for name in names]
            await bob.send("alice", "to all")
            for device in (alice, *others):
                assert await next_texts(device, 1) == ["to all"]
            await others[-1].send("bob", "from the last")
            assert await next_texts(bob, 1) == ["from the last"]
        assert [each.name for each in await alice.devices.list()] == [None, *names]


async def test_one_device_more_than_an_account_may_have_is_refused_before_any_code_is_used(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosting, "MAX_DEVICES", 2)
    person = Person()
    async with town.serving(), town.open("alice") as alice:
        await link(town, alice, "laptop")
        assert await refusal_of(old_shows(alice, person)) == Code.LIMIT_COUNT
        assert person.shown.empty()


async def test_a_linking_takes_less_than_ten_seconds(town: Town) -> None:
    async with town.serving(), town.open("alice") as alice:
        began = time.monotonic()
        await link(town, alice, "laptop")
        async with town.open("laptop") as laptop:
            await laptop.connected()
        assert time.monotonic() - began < 10


async def test_host_and_port_suffice_where_the_old_device_knows_the_servers_key(
    town: Town,
) -> None:
    person = Person()
    async with town.serving(), town.open("alice") as alice:
        with cheap_homes():
            joining = Client.link_new(
                town.home("laptop"),
                place_at(f"127.0.0.1:{town.port}"),
                PASSWORD,
                show=person.show,
                compare=person.compare,
            )
            await both(joining, old_scans(alice, person))
        async with town.open("laptop") as laptop:
            await laptop.connected()
            assert laptop._link.account.pins == alice._link.account.pins
