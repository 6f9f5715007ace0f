"""Stories of groups over real sockets: people with several devices, links, races, being away."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from parlour.client.client import Client
from parlour.client.group_waiting import Step
from parlour.conversation.events import GroupChanged, GroupJoined, GroupLeft
from parlour.conversation.groups.records import Acceptance, GroupState
from parlour.errors import Code, LimitError, ParlourError, UsageError
from parlour.roster import Role
from tests.integration.running import COMMAND, ServerProcess
from tests.integration.stories import Devices
from tests.town import PATIENCE, Town, next_texts, texts


@pytest.fixture
def people(tmp_path: Path) -> Iterator[Devices]:
    with ServerProcess(tmp_path / "server") as server:
        yield Devices(tmp_path, server)


async def until(client: Client, reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not reached():
            seen = client._engine.changed.count
            if not reached():
                await client._engine.changed.wait(seen)


async def ready(*clients: Client) -> None:
    for client in clients:
        assert await client.ready()


def leaves(documents: list[dict[str, Any]]) -> dict[str, int]:
    return {each["name"]: each["devices"] for each in documents[-1]["members"]}


@pytest.mark.timeout(300)
def test_people_with_several_devices(people: Devices) -> None:
    people.register_with_paper("desk", "alice")
    people.register_with_paper("bobs", "bob")
    people.link("desk", "phone")
    people.call("phone", "inbox")
    made = people.documents("desk", "group", "create", "attic", "bob")
    assert leaves(made) == {"alice": 2, "bob": 1}
    people.call("phone", "send", "#attic", "From the phone.")
    people.call("desk", "send", "#attic", "From the desk.")
    assert people.texts("bobs", "inbox") == [], "a stranger's group waits for a yes"
    (listed,) = people.documents("bobs", "group", "list")
    assert listed["groups"][0]["acceptance"] == "invited"
    label = listed["groups"][0]["label"]
    said = ["From the phone.", "From the desk."]
    assert people.texts("bobs", "group", "accept", label) == said
    assert people.texts("desk", "history", "#attic") == said
    # A device that is linked now is added by the account's other one.
    people.link("bobs", "pad")
    people.call("pad", "inbox")
    people.call("bobs", "send", "#attic", "Hello, both of you.")
    for _ in range(10):
        (found,) = people.documents("bobs", "group", "info", "attic")
        if leaves([found]) == {"alice": 2, "bob": 2}:
            break
        people.call("bobs", "inbox")
    assert leaves([found]) == {"alice": 2, "bob": 2}
    people.call("desk", "send", "#attic", "Hello, pad.")
    assert "Hello, pad." in people.texts("pad", "inbox")
    assert "Hello, both of you." in people.texts("phone", "inbox")
    # What was read on one device is not new on the other.
    people.call("desk", "send", "#attic", "Read once.")
    assert people.texts("bobs", "inbox") == ["Read once."], "the pad has shown the other one"
    assert people.texts("pad", "inbox") == []
    # A device that is lost reads nothing that is said from then on.
    new = people.secret("new-password", "another one since the attic")
    people.call("desk", "lost-device", "phone", "--yes", "--new-password-file", new)
    people.passwords["desk"] = new
    people.call("bobs", "send", "#attic", "Without the phone.")
    assert people.refused("phone", "inbox", code=3) == "device.removed"
    assert "Without the phone." not in people.texts("phone", "history", "#attic")
    assert "Without the phone." in people.texts("desk", "inbox")
    (found,) = people.documents("bobs", "group", "info", "attic")
    assert leaves([found]) == {"alice": 1, "bob": 2}


@pytest.mark.timeout(240)
def test_two_admins_change_the_group_from_two_processes(people: Devices) -> None:
    for name in ("alice", "bob", "carol"):
        people.register_with_paper(name, name)
    people.introduce(["alice", "bob", "carol"])
    people.call("alice", "group", "create", "race", "bob", "carol")
    people.call("alice", "group", "role", "race", "bob", "admin")
    people.call("bob", "inbox")
    chats = [
        subprocess.Popen(
            [*COMMAND, "chat", "#race", "--json"],
            env=people.environment(name),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("alice", "bob")
    ]
    try:
        for chat in chats:
            wait_for(chat, code="chat.opened")
        lost = [0, 0]
        for lap in range(12):
            tell(chats[0], f"/rename race {lap}")
            tell(chats[1], f"/role carol {'moderator' if lap % 2 == 0 else 'member'}")
            done = [wait_for(chat, code="group.done") for chat in chats]
            lost = [each["races_lost"] for each in done]
            if any(lost):
                break
        assert any(lost), "never at the same moment"
        for chat in chats:
            tell(chat, "/members")
        stands = [wait_for(chat, command="members") for chat in chats]
        assert stands[0]["epoch"] == stands[1]["epoch"]
        assert stands[0]["members"] == [
            {**each, "mine": not each["mine"] if each["name"] != "carol" else False}
            for each in stands[1]["members"]
        ]
        assert stands[0]["label"] == stands[1]["label"]
        for chat in chats:
            assert chat.stdin is not None
            chat.stdin.close()
            assert chat.wait(40) == 0
    finally:
        for chat in chats:
            chat.kill()
            chat.wait()
            assert chat.stdout is not None
            chat.stdout.close()
    count_on(people, dict(zip(("alice", "bob"), lost, strict=True)))


def count_on(people: Devices, lost: dict[str, int]) -> None:
    """What a device counted is there in later processes, whatever they do."""
    for name, races in lost.items():
        (found,) = people.documents(name, "counters")
        assert found["counters"].get("commit.lost", 0) == races
        assert found["since"] == datetime.now(UTC).date().isoformat()
        people.call(name, "send", "carol", "Nobody was quicker.")
        assert people.documents(name, "counters") == [found]


def tell(chat: subprocess.Popen[str], line: str) -> None:
    assert chat.stdin is not None
    chat.stdin.write(line + "\n")
    chat.stdin.flush()


def wait_for(chat: subprocess.Popen[str], **wanted: str) -> dict[str, Any]:
    assert chat.stdout is not None
    for line in chat.stdout:
        said: dict[str, Any] = json.loads(line)
        if all(said.get(key) == value for key, value in wanted.items()):
            return said
    raise AssertionError(f"the chat ended before {wanted}")


async def test_a_member_who_was_away_reads_it_all_in_order(town: Town) -> None:
    async with town.serving(), town.open("alice") as alice, town.open("carol") as carol:
        async with town.open("bob") as bob:
            await ready(alice, bob, carol)
            steps: list[Step] = []
            await alice.groups.create("away", ["bob"], progress=steps.append)
            assert steps[0] == Step("people", 1, 1)
            assert steps[-1] == Step("devices", 2, 2)
            await alice.send("#away", "one")
            assert await next_texts(bob, 1) == ["one"]
        await alice.groups.add("away", ["carol"])
        await alice.send("#away", "two")
        await alice.groups.rename("away", "back")
        await alice.groups.set_role("back", "carol", Role.ADMIN)
        await until(carol, lambda: [each.name for each in carol.groups.list()] == ["back"])
        await carol.send("#back", "three")
        await carol.groups.refresh("back")
        await alice.groups.remove("back", ["carol"])
        await alice.send("#back", "four")
        await alice.sent()
        await until(carol, lambda: carol.groups.list() == [])
        async with town.open("bob") as bob:
            assert await next_texts(bob, 3) == ["two", "three", "four"]
            assert [each.name for each in bob.groups.members("back")] == ["alice", "bob"]
            page = await bob.history("#back")
            # Carol is in the group no more; what she said has her name.
            assert [said.sender for said in page] == ["alice", "alice", "carol", "alice"]
            assert {said.where for said in page} == {"#back"}
        assert texts(await carol.history("#back")) == ["two", "three"]


async def test_links_roles_and_errors(town: Town) -> None:
    async with (
        town.serving(),
        town.open("alice") as alice,
        town.open("bob") as bob,
        town.open("carol") as carol,
    ):
        await ready(alice, bob, carol)
        group = await alice.groups.create("door", kind="room", suite="mls")
        link = await alice.groups.open_link("door", role=Role.MODERATOR, uses=2, days=1)
        joined = await bob.groups.join(link.to_text())
        assert (joined.id, joined.name, joined.role) == (group.id, "door", Role.MODERATOR)
        assert (await bob.groups.join(link)).id == group.id, "once is enough"
        assert bob._engine.warnings.waiting == (), "who comes by their own doing is not told"
        await until(alice, lambda: len(alice.groups.members("door")) == 2)
        assert [each.uses for each in alice.groups.links("#door")] == [1]
        with pytest.raises(ParlourError) as refused:
            await bob.groups.rename("door", "window")
        assert refused.value.code is Code.ROSTER_FORBIDDEN
        with pytest.raises(UsageError):
            await alice.groups.close_link("door", "00000000")
        await alice.groups.close_link("door", link.to_text())
        with pytest.raises(ParlourError) as void:
            await carol.groups.join(link)
        assert void.value.code is Code.GROUP_LINK
        for bad in (
            alice.groups.create("x", kind="crowd"),
            alice.groups.create("x", suite="rot13"),
            alice.groups.open_link("door", days=40),
            alice.groups.create("x" * 200),
            alice.groups.create("🌊" * 100),
        ):
            with pytest.raises(UsageError):
                await bad
        with pytest.raises((LimitError, UsageError, ParlourError)):
            await alice.groups.create("x", ["nobody"])
        await bob.groups.leave("door")
        await until(alice, lambda: len(alice.groups.members("door")) == 1)
        assert bob.groups.list() == []
        assert [each.name for each in bob.groups.list(over=True)] == ["door"]


async def test_a_stranger_s_group_waits_for_a_yes(town: Town) -> None:
    async with town.serving():
        await town.register("dora")
        async with town.open("dora") as dora, town.open("alice") as alice, town.open("bob") as bob:
            await ready(alice, bob, dora)
            yes = await dora.groups.create("yes", ["alice"])
            no = await dora.groups.create("no", ["bob"])
            for group in (yes, no):
                await dora.send_to(group.id, "hello")
            await dora.sent()
            await until(alice, lambda: bool(alice.groups.list()))
            await until(bob, lambda: bool(bob.groups.list()))
            assert alice.groups.list()[0].acceptance is Acceptance.INVITED
            assert await alice.unread() == []
            joined = [each for each in alice.happened() if isinstance(each, GroupJoined)]
            assert [each.invited for each in joined] == [True]
            await alice.groups.accept(yes.id)
            assert texts(await alice.unread()) == ["hello"]
            await bob.groups.decline(no.id)
            assert bob.groups.list() == []
            await until(dora, lambda: len(dora.groups.members(no.id)) == 1)
            assert await bob.history(f"#{no.id.hex()}") == []


async def test_wishes_stay_while_the_server_is_away(town: Town) -> None:
    async with town.serving(), town.open("alice") as alice, town.open("bob") as bob:
        await ready(alice, bob)
        group = (await alice.groups.create("later", ["bob"])).id
        await until(bob, lambda: bool(bob.groups.list()))
    async with town.open("alice") as alice:
        with pytest.raises(ParlourError) as away:
            await alice.groups.rename("later", "now", timeout=0.3)
        assert away.value.exit_code == 5
        await alice.groups.remove("later", ["bob"], timeout=0)
        async with town.serving(), town.open("bob") as bob:
            await until(alice, lambda: alice.groups.get(group).leaves == 1)
            assert alice.groups.label(group) == "#now"
            await until(bob, lambda: bob.groups.list(over=True)[0].state is GroupState.LEFT)
            await bob._engine.current()
            told = bob.happened()
            assert any(isinstance(each, GroupLeft) and each.by == alice.account_id for each in told)
            changed = [each for each in alice.happened() if isinstance(each, GroupChanged)]
            assert changed
