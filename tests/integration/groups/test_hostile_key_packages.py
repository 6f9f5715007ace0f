"""Key packages that a server gives wrongly, and what a join asks of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

from parlour.conversation.events import GroupJoined, GroupRepairing, KeyPackageRefused
from parlour.conversation.groups.records import GroupState
from parlour.wire.groups import FoundKeyPackages, ReadGroup
from parlour.wire.kinds import Kind
from tests.integration.groups.circle import Circle, circle
from tests.town import Town


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


async def test_a_join_reads_the_tree_once(party: Circle) -> None:
    async with party.online("alice", "bob", "carol") as (alice, _, _):
        await party.found("alice", "bob")
        party.hostile.asked.clear()
        await party.during(alice.groups.add(party.group, ["carol"]))
        await party.goes_on("alice", "bob", "carol")
        read = [device for device, _, body in party.hostile.asked if isinstance(body, ReadGroup)]
        assert read == [party.device("carol")]
