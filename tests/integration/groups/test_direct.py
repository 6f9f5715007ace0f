"""Two people who talk on MLS, against a server of its own process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from parlour.client.client import Client
from parlour.conversation.groups.records import GroupState
from tests.integration.running import PASSWORD, ServerProcess, environment
from tests.integration.running import People as Homes
from tests.integration.shells import Shell


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[Homes]:
    with ServerProcess(tmp_path / "server") as server:
        people = Homes(tmp_path)
        people.register(server.invite(), ["alice"])
        # Bob's device goes offline as soon as it has its account.
        asyncio.run(Client.register(tmp_path / "bob", server.invite(), "bob", PASSWORD))
        yield people


@pytest.fixture
def people(
    homes: Homes, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Shell:
    monkeypatch.setattr("os.environ", environment(COLUMNS="200"))
    return Shell(homes, capsys)


def said(documents: list[Any]) -> list[tuple[str, str, str]]:
    return [(each["with"], each["from"], each["text"]) for each in documents if each.get("text")]


async def members(people: Shell, person: str, other: str) -> tuple[GroupState, int, int]:
    """How the conversation of a person with another one stands, as the group that it is."""
    homes = people.people
    password = homes.password.read_text().strip()
    async with Client.open(homes.folder / person, password) as client:
        machine = client._engine.machine
        contact = machine.contact_named(other)
        assert contact is not None
        group = machine.direct_group(contact.account_id)
        assert group is not None
        assert not machine.groups
        return group.state, group.leaves, group.genesis.suite


def test_two_people_talk_on_mls_and_see_no_difference(people: Shell) -> None:
    (chosen,) = people.run("alice", "policy", "use", "default-mls")
    assert chosen == {"preset": "default-mls"}
    people.run("bob", "policy", "use", "voicechat", code=2)
    assert people.error_code == "policy.unbuilt"
    # Nobody can be let in who has left no keys yet: when bob registered, or now at the latest.
    people.run("bob", "inbox")
    (sent,) = people.run("alice", "send", "bob", "hello")
    assert (sent["code"], sent["with"], sent["group"]) == ("message.sent", "bob", None)
    people.run("bob", "inbox")
    (asked,) = people.run("bob", "requests", "list")
    assert [each["name"] for each in asked["requests"]] == ["alice"]
    people.run("bob", "requests", "accept", "alice")
    people.run("bob", "send", "alice", "hello to you")
    assert said(people.run("alice", "inbox")) == [("bob", "bob", "hello to you")]
    history = [("alice", "alice", "hello"), ("alice", "bob", "hello to you")]
    assert said(people.run("bob", "history", "alice")) == history
    assert people.run("alice", "group", "list") == [{"groups": []}]
    for person, other in (("alice", "bob"), ("bob", "alice")):
        assert asyncio.run(members(people, person, other)) == (GroupState.ACTIVE, 2, 0xF001)
