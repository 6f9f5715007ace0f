"""Servers that lie about a group: real clients name it, and the group goes on."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

from parlour.conversation.events import (
    CommitRefused,
    GroupJoined,
    GroupRepaired,
    GroupRepairing,
    GroupRestarted,
    HistoryMismatch,
    MessageMissing,
    MessageUnreadable,
    ServerMisbehaved,
)
from parlour.conversation.groups.records import GroupState
from parlour.errors import Code
from parlour.wire.envelope import SuiteId
from parlour.wire.groups import GroupState as PublicState
from parlour.wire.groups import ReadGroup
from parlour.wire.kinds import Kind
from parlour.wire.streams import Entry
from tests.integration.groups.circle import Circle, circle
from tests.town import Town, restored


@pytest.fixture
async def party(town: Town) -> AsyncIterator[Circle]:
    async with circle(town) as made:
        yield made


def of_group(party: Circle, entry: Entry, device: bytes, name: str) -> bool:
    """Whether that is what somebody is shown of the group."""
    return entry.stream == party.group and device == party.device(name)


async def test_commits_that_a_server_hides_for_good(party: Circle) -> None:
    async with party.online("alice", "bob", "carol") as (alice, _, _):
        await party.found("alice", "bob", "carol")
        hidden = {last_seq(party, "alice") + 1}

        def deliver(entry: Entry, device: bytes) -> list[Entry]:
            commit = entry.envelope.suite == SuiteId.MLS_COMMIT
            if commit and of_group(party, entry, device, "bob") and entry.seq in hidden:
                return []
            return [entry]

        party.hostile.deliver = deliver
        await party.during(alice.groups.refresh(party.group))
        await party.during(alice.groups.refresh(party.group))
        await alice.send_to(party.group, "Bob was not there")
        await party.until(party.has("bob", GroupRepaired))
        assert [each.step for each in party.heard("bob", GroupRepairing)] == ["fetch", "ask"]
        assert [each.confirmed for each in party.heard("bob", GroupRepaired)] == [True]
        await party.goes_on("alice", "bob", "carol")
        await party.say("alice", "and again", to=("bob", "carol"))
        await party.reads("bob", "Bob was not there")


def last_seq(party: Circle, name: str) -> int:
    """The number of the newest entry that somebody has seen."""
    machine = party.clients[name]._engine.machine
    return next(each.seq for each in machine.positions() if each.stream == party.group)


async def test_a_server_that_reorders(party: Circle) -> None:
    """Of each two entries it shows the second one first, and every page from its end."""
    held: list[Entry] = []

    def deliver(entry: Entry, device: bytes) -> list[Entry]:
        if not of_group(party, entry, device, "bob"):
            return [entry]
        if not held:
            held.append(entry)
            return []
        return [entry, held.pop()]

    async with party.online("alice", "bob", "carol") as (alice, _, carol):
        await party.found("alice", "bob", "carol")
        party.hostile.deliver = deliver
        party.hostile.page = lambda entries, device: entries[::-1]
        for lap in range(4):
            await alice.send_to(party.group, f"alice {lap}")
            await party.during(carol.groups.refresh(party.group))
            await carol.send_to(party.group, f"carol {lap}")
            await party.during(alice.groups.refresh(party.group))
        party.hostile.be_honest()
        await party.goes_on("alice", "bob", "carol")
        assert await party.said("bob") == await party.said("alice")
        assert not party.heard("bob", MessageUnreadable)


async def test_a_server_that_replays(party: Circle) -> None:
    """Bob is shown an old message and an old commit again, in the place of new ones."""
    async with party.online("alice", "bob", "carol") as (alice, bob, carol):
        await party.found("alice", "bob", "carol")
        await party.say("carol", "welcome, too", to=("alice", "bob"))
        old: dict[int, Entry] = {}
        replaced: set[int] = set()

        def deliver(entry: Entry, device: bytes) -> list[Entry]:
            if not of_group(party, entry, device, "bob"):
                return [entry]
            replaced.add(entry.seq)
            again = old.setdefault(entry.envelope.suite, entry)
            shown = replace(again, seq=entry.seq)
            return [shown, shown]

        party.hostile.deliver = deliver
        await party.say("alice", "once", to=("bob", "carol"))
        await party.during(alice.groups.refresh(party.group))
        await party.until(lambda: party.are_together("alice", "bob", "carol"))
        await carol.send_to(party.group, "in the place of that")
        await party.during(carol.groups.refresh(party.group))
        await party.until(lambda: last_seq(party, "carol") in replaced)
        await party.until(lambda: bool(bob.counters.get("unreadable.repeated")))
        party.hostile.be_honest()
        await party.goes_on("alice", "bob", "carol")
        assert (await party.said("bob")).count("once") == 1
        assert party.heard("bob", GroupRepaired), "the commit was read after all"
        assert party.heard("bob", HistoryMismatch)
        missing = party.heard("bob", MessageMissing)
        assert [each.sender_device for each in missing] == [party.device("carol")]


async def test_two_halves_of_a_group(town: Town, party: Circle) -> None:
    """Carol is shown a copy of the server, and both halves go on; then there is one again."""
    async with party.online("alice", "bob", "carol") as (alice, _, carol):
        await party.found("alice", "bob", "carol")
        async with party.two_halves(town.folder / "copy", "carol"):
            await carol.send_to(party.group, "only here")
            await party.during(carol.groups.refresh(party.group))
            await party.during(alice.groups.refresh(party.group))
            await alice.send_to(party.group, "only there")
            await alice.sent()
            await carol.sent()
        await party.until(party.has("carol", CommitRefused))
        await party.goes_on("alice", "bob", "carol")
        assert [each.confirmed for each in party.heard("carol", GroupRepaired)] == [True]
        # Each half hears that the other one has said something.
        for name, other in (("alice", "carol"), ("bob", "carol"), ("carol", "alice")):
            missing = party.heard(name, MessageMissing)
            assert {each.sender_device for each in missing} == {party.device(other)}


async def test_a_server_put_back_to_an_older_state(town: Town, party: Circle) -> None:
    backup = town.folder / "backup"
    async with party.online("alice", "bob", "carol") as (alice, bob, _):
        await party.found("alice", "bob")
        async with party.stopped() as data:
            shutil.copytree(data, backup)
        await party.during(alice.groups.add(party.group, ["carol"]))
        await party.during(bob.groups.refresh(party.group))
        await party.goes_on("alice", "bob", "carol")
        async with party.stopped() as data:
            shutil.rmtree(data)
            shutil.copytree(backup, data)
            restored(data)
        await party.until(party.has("bob", GroupRestarted))
        await party.goes_on("alice", "bob", "carol")
        assert [each.without for each in party.heard("bob", GroupRestarted)] == [()]
        assert party.view("bob").generation == 1


# --- Those who come in -----------------------------------------------------------------------


async def test_a_wrong_tree_and_a_welcome_that_was_altered(party: Circle) -> None:
    """The first lie stops carol's Welcome; the second one, of the next, is the tree's."""
    lies: list[str] = []

    def deliver(entry: Entry, device: bytes) -> list[Entry]:
        mine = of_group(party, entry, device, "carol")
        if not mine or entry.part is None or "part" in lies:
            return [entry]
        lies.append("part")
        return [replace(entry, part=entry.part[:-1] + bytes([entry.part[-1] ^ 1]))]

    async with party.online("alice", "bob", "carol") as (alice, _, _):
        await party.found("alice", "bob")
        state = await alice._link.ask(Kind.READ_GROUP, ReadGroup(party.group), PublicState)

        def answer(device: bytes, kind: Kind, asked: Any, answer: Struct) -> Struct:
            if not isinstance(answer, PublicState) or "tree" in lies:
                return answer
            lies.append("tree")
            return replace(answer, tree=state.tree)

        party.hostile.deliver, party.hostile.answer = deliver, answer
        await alice.groups.add(party.group, ["carol"], timeout=0)
        await party.until(party.has("carol", GroupJoined))
        assert lies == ["part", "tree"]
        repairing = party.heard("carol", GroupRepairing)
        assert {each.reason for each in repairing} == {"welcome"}
        assert party.heard("carol", GroupJoined)[0].confirmed
        await party.goes_on("alice", "bob", "carol")


async def test_an_old_state_of_the_group(party: Circle) -> None:
    """Carol, whom the server keeps from the others, is to come in where the group was before."""
    async with party.online("carol"):
        async with party.online("alice", "bob") as (alice, _):
            await party.found("alice", "bob", "carol")
            old = await alice._link.ask(Kind.READ_GROUP, ReadGroup(party.group), PublicState)
            party.hostile.deliver = lambda entry, device: (
                [] if of_group(party, entry, device, "carol") else [entry]
            )
            await party.during(alice.groups.refresh(party.group))
            party.hostile.be_honest()
            await party.during(alice.groups.refresh(party.group))
            await party.until(lambda: party.are_together("alice", "bob", "carol"))
            lose_state(party, "carol")
        party.hostile.answer = lambda device, kind, asked, answer: (
            old if isinstance(answer, PublicState) else answer
        )
        await party.until(party.has("carol", ServerMisbehaved))
        told = party.heard("carol", ServerMisbehaved)[0]
        assert (told.what, told.reason) == ("group", Code.GROUP_ROLLBACK)
        assert party.chat("carol").epoch > old.epoch
        party.hostile.be_honest()
        await party.until(lambda: party.view("carol").state is GroupState.ACTIVE)
        assert party.view("carol").unconfirmed
        async with party.online("alice", "bob"):
            await party.until(lambda: not party.view("carol").unconfirmed)
            await party.goes_on("alice", "bob", "carol")


def lose_state(party: Circle, name: str) -> None:
    """A commit came that does not follow, it seems: somebody asks to be let in again."""
    machine = party.clients[name]._engine.machine
    chat = party.chat(name)
    machine._groups._ladder.expelled(chat, party.clock())
