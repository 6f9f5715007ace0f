"""Key packages that a server gives wrongly, and what a join asks of it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any, Final

import pytest
from msgspec import Struct
from msgspec.structs import replace

from parlour.conversation.events import GroupJoined, GroupRepairing, KeyPackageRefused
from parlour.conversation.groups.records import GroupState
from parlour.conversation.key_packages import SUPPLY
from parlour.errors import Code
from parlour.mls import KeyPackageBundle, KeyPackageMessage, decode_message
from parlour.mls.private.identity import KEY_PACKAGE_LIFETIME
from parlour.wire.groups import FetchKeyPackages, FoundKeyPackage, FoundKeyPackages, ReadGroup
from parlour.wire.kinds import Kind
from tests.integration.groups.circle import Circle, circle
from tests.town import Town

DAY: Final = 86_400


@pytest.fixture
async def party(town: Town) -> AsyncIterator[Circle]:
    async with circle(town) as made:
        yield made


async def test_a_forged_key_package(party: Circle) -> None:
    """Twice forged, the device is left out and named; it comes in when the server is honest."""

    def forge(device: bytes, kind: Kind, asked: Any, answer: Struct) -> Struct:
        if not isinstance(answer, FoundKeyPackages):
            return answer
        found = [
            replace(each, data=each.data[:-1] + bytes([each.data[-1] ^ 1]))
            for each in answer.packages
        ]
        return replace(answer, packages=found)

    async with party.online("alice", "bob", "carol") as (alice, _, _):
        await party.found("alice", "bob")
        party.hostile.answer = forge
        await alice.groups.add(party.group, ["carol"], timeout=0)
        await party.until(party.has("alice", KeyPackageRefused))
        told = party.heard("alice", KeyPackageRefused)
        assert {each.device_id for each in told} == {party.device("carol")}
        party.hostile.be_honest()
        await party.until(party.has("carol", GroupJoined))
        await party.goes_on("alice", "bob", "carol")


async def test_a_key_package_that_is_given_out_twice(party: Circle) -> None:
    """What was used is gone from carol's disk: the second Welcome is of no use, and she asks."""
    given: list[FoundKeyPackages] = []

    def repeat(device: bytes, kind: Kind, asked: Any, answer: Struct) -> Struct:
        if not isinstance(answer, FoundKeyPackages):
            return answer
        given.append(answer)
        return given[0]

    async with party.online("alice", "bob", "carol"):
        party.hostile.answer = repeat
        await party.found("alice", "carol")
        first, party.group = party.group, b""
        await party.clients["bob"].groups.create("second", ["carol"], suite="mls", timeout=0)
        await party.until(lambda: len(given) > 1)
        await party.until(party.has("carol", GroupRepairing))
        trouble = party.heard("carol", GroupRepairing)[0]
        assert trouble.reason == "welcome"
        party.hostile.be_honest()
        party.group = trouble.group
        assert party.group != first
        await party.until(lambda: party.view("carol").state is GroupState.ACTIVE)
        await party.goes_on("bob", "carol")


@pytest.mark.parametrize("times", [1, 2])
async def test_an_expired_key_package(party: Circle, times: int) -> None:
    """Once, it is not used, and another one is; twice, the device is left out, and tried again."""
    async with party.online("alice", "bob", "carol") as (alice, _, _):
        await party.found("alice", "bob")
        old = expired(party, "carol")
        asked: list[bytes] = []

        def give(device: bytes, kind: Kind, request: Any, answer: Struct) -> Struct:
            if not isinstance(answer, FoundKeyPackages) or len(asked) == times:
                return answer
            asked.append(device)
            return replace(answer, packages=[replace(each, data=old) for each in answer.packages])

        party.hostile.answer = give
        await alice.groups.add(party.group, ["carol"], timeout=0)
        await party.until(party.has("carol", GroupJoined))
        assert asked == [party.device("alice")] * times
        told = [(each.device_id, each.reason) for each in party.heard("alice", KeyPackageRefused)]
        assert told == [(party.device("carol"), Code.KEY_PACKAGE_EXPIRED)] * (times - 1)
        assert party.heard("carol", GroupJoined)[0].confirmed
        await party.goes_on("alice", "bob", "carol")


def expired(party: Circle, name: str) -> bytes:
    """A key package that somebody's device has made, in all ways good until yesterday."""
    machine, now = party.clients[name]._engine.machine, party.clock() // 1000
    identity = machine._groups._joining._key_packages.identity(1, now)
    made = now - KEY_PACKAGE_LIFETIME - DAY
    return KeyPackageBundle.create(identity, made).message


async def test_each_key_package_is_given_once_and_others_take_their_place(party: Circle) -> None:
    async with party.online("bob", "carol"):
        supply, enough = SUPPLY[1], SUPPLY[1] // 2
        await party.until(lambda: is_published(party))
        given = [await fetch(party) for _ in range(in_stock(party) - enough)]
        assert in_stock(party) == enough, "she makes none as long as there are enough"
        given.append(await fetch(party))
        await party.until(lambda: in_stock(party) == supply)
        given += [await fetch(party) for _ in range(supply)]
        assert not any(each.last_resort for each in given)
        assert len({each.data for each in given}) == len(given)
        for name in ("bob", "carol"):
            assert not party.heard(name, KeyPackageRefused)


async def test_the_last_resort_serves_two_groups_and_is_replaced(party: Circle) -> None:
    """Carol is away, and somebody has used up what she had published."""
    async with party.online("carol"):
        device = party.device("carol")
        await party.until(lambda: is_published(party))
    async with party.online("alice", "bob") as (alice, bob):
        while not (last := await fetch(party, device)).last_resort:
            pass
        message = decode_message(last.data)
        assert isinstance(message, KeyPackageMessage)
        assert message.key_package.is_last_resort, "so it says itself, as members look for it"
        await party.found("alice")
        first = party.group
        await party.during(alice.groups.add(first, ["carol"]))
        await party.found("bob")
        second = party.group
        await party.during(bob.groups.add(second, ["carol"]))
        assert await fetch(party, device) == last, "there is no other"
        async with party.online("carol"):
            for group, name in ((first, "alice"), (second, "bob")):
                party.group = group
                await party.until(lambda: len(party.heard("carol", GroupJoined)) == 2)
                await party.goes_on(name, "carol")
            await party.until(lambda: in_stock(party, device) == SUPPLY[1])
            assert not party.heard("carol", GroupRepairing)
        fresh = [await fetch(party, device) for _ in range(SUPPLY[1] + 1)]
        assert fresh[-1].last_resort
        assert fresh[-1] != last
        assert last not in fresh


def is_published(party: Circle) -> bool:
    """Whether carol has heard that the server has enough of hers."""
    return party.clients["carol"]._engine.machine._groups._joining._key_packages.is_published


def in_stock(party: Circle, device: bytes = b"") -> int:
    """How many of carol's key packages for one Welcome the server has."""
    [path] = party.hostile.server.config.data.glob("*.db")
    with closing(sqlite3.connect(path)) as connection:
        (count,) = connection.execute(
            "SELECT count(*) FROM key_packages JOIN devices ON devices.pk = device "
            "WHERE device_id = ? AND suite = 1 AND last_resort = 0",
            (device or party.device("carol"),),
        ).fetchone()
    return int(count)


async def fetch(party: Circle, device: bytes = b"") -> FoundKeyPackage:
    """Bob takes one of carol's, and adds her nowhere."""
    asked = FetchKeyPackages(suite=1, device_ids=[device or party.device("carol")])
    bob = party.clients["bob"]
    (found,) = (await bob._link.ask(Kind.FETCH_KEY_PACKAGES, asked, FoundKeyPackages)).packages
    return found


async def test_a_join_reads_the_tree_once(party: Circle) -> None:
    async with party.online("alice", "bob", "carol") as (alice, _, _):
        await party.found("alice", "bob")
        party.hostile.asked.clear()
        await party.during(alice.groups.add(party.group, ["carol"]))
        await party.goes_on("alice", "bob", "carol")
        read = [device for device, _, body in party.hostile.asked if isinstance(body, ReadGroup)]
        assert read == [party.device("carol")]
