"""``parlour group …`` and what else has to do with groups, against a server of its own process."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.integration.running import People as Homes
from tests.integration.running import ServerProcess, environment, server_and_people
from tests.integration.shells import Shell

Running = tuple[ServerProcess, Homes]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("groups")
    with server_and_people(folder, "alice", "bob", "carol") as both:
        yield both


@pytest.fixture
def people(
    running: Running, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Shell:
    monkeypatch.setattr("os.environ", environment(COLUMNS="200"))
    return Shell(running[1], capsys)


def members(document: Any) -> dict[str, str]:
    return {each["name"]: each["role"] for each in document["members"]}


def texts(documents: list[Any]) -> list[tuple[str, str, str]]:
    found = [each for each in documents if each.get("text")]
    return [(each["with"], each["from"], each["text"]) for each in found]


def test_a_group_from_its_beginning_to_its_end(people: Shell, tmp_path: Path) -> None:
    (made,) = people.run("alice", "group", "create", "ice walk", "bob")
    assert (made["label"], made["kind"], made["suite"]) == ("#ice walk", "group", "mls-xwing")
    assert members(made) == {"alice": "owner", "bob": "member"}
    assert (made["devices"], made["max_devices"]) == (2, 700)
    assert "2 people, 2 devices of at most 700" in people.read("alice", "group", "info", "ice walk")
    (sent,) = people.run("alice", "send", "#ice walk", "Bring warm socks.")
    assert (sent["code"], sent["with"], sent["group"]) == (
        "message.sent",
        "#ice walk",
        made["group"],
    )
    read = people.run("bob", "inbox")
    assert read[0]["code"] == "group.joined"
    assert read[0]["inviter_name"] == "alice"
    assert texts(read) == [("#ice walk", "alice", "Bring warm socks.")]
    assert texts(people.run("bob", "inbox")) == []

    added = people.run("alice", "group", "add", "ice walk", "carol")[-1]
    assert members(added) == {"alice": "owner", "bob": "member", "carol": "member"}
    people.run("bob", "group", "remove", "ice walk", "carol", code=3)
    assert people.error_code == "roster.forbidden"
    people.run("alice", "group", "role", "ice walk", "bob", "admin")
    (renamed,) = people.run("bob", "group", "rename", "#ice walk", "glacier")
    assert renamed["label"] == "#glacier"
    assert texts(people.run("carol", "inbox")) == []
    people.run("carol", "send", "#glacier", "I am here, too.")
    assert texts(people.run("bob", "inbox")) == [("#glacier", "carol", "I am here, too.")]
    assert "[#glacier] " in people.read("alice", "inbox")
    comes_and_goes(people, tmp_path)


def comes_and_goes(people: Shell, tmp_path: Path) -> None:
    """By a link, by leaving, and put out."""
    (link,) = people.run("bob", "group", "invite", "glacier", "--qr-file", str(tmp_path / "l.png"))
    assert (tmp_path / "l.png").read_bytes()[:4] == b"\x89PNG"
    assert (link["role"], link["uses_left"]) == ("member", 1)
    people.run("carol", "group", "leave", "glacier")
    people.run("carol", "send", "#glacier", "Am I?", code=3)
    assert people.error_code == "group.over"
    (open_links,) = people.run("bob", "group", "links", "glacier")
    assert [each["link_id"] for each in open_links["links"]] == [link["link_id"]]
    people.run("bob", "send", "#glacier", "Carol has gone home.")
    (gone,) = people.run("bob", "group", "members", "glacier")
    assert members(gone) == {"alice": "owner", "bob": "admin"}
    people.run("carol", "group", "join", link["link"])
    people.run("bob", "group", "close-link", "glacier", link["link_id"][:8], code=2)
    people.run("alice", "inbox")
    (info,) = people.run("alice", "group", "info", "glacier")
    assert members(info) == {"alice": "owner", "bob": "admin", "carol": "member"}
    assert info["devices"] == 3
    people.run("carol", "group", "join", link["link"][:-4], code=2)

    people.run("bob", "group", "remove", "glacier", "carol")
    people.run("bob", "send", "#glacier", "Without Carol.")
    told = people.run("carol", "inbox")
    assert [each["by_name"] for each in told if each["code"] == "group.left"] == ["bob"]
    assert texts(told) == []
    assert "Without Carol." not in people.read("carol", "history", "#glacier")
    people.run("alice", "inbox")
    assert texts(people.run("alice", "history", "#glacier", "--last", "1")) == [
        ("#glacier", "bob", "Without Carol.")
    ]
    (past,) = people.run("carol", "group", "list", "--past")
    assert [each["state"] for each in past["groups"]] == ["left"]
    (now,) = people.run("carol", "group", "list")
    assert now["groups"] == []


def test_errors_say_what_happened(people: Shell) -> None:
    people.run("alice", "send", "#nowhere", "hello", code=4)
    assert people.error_code == "group.unknown"
    people.run("alice", "group", "create", "pond", "nobody.at.all", code=4)
    assert people.error_code == "account.unknown"
    people.run("alice", "group", "create", "pond", "--family", "--room", code=2)
    people.run("alice", "group", "create", "pond", "--preset", "voicechat", code=2)
    assert people.error_code == "policy.unbuilt"
    people.run("alice", "group", "add", "pond", code=2)
    people.run("alice", "group", "create", "  ", code=2)
    (first,) = people.run("alice", "group", "create", "pond")
    (second,) = people.run("alice", "group", "create", "pond", "--room")
    people.run("alice", "group", "info", "pond", code=2)
    assert people.error_code == "group.ambiguous"
    assert first["group"][:8] in people.errors
    (found,) = people.run("alice", "group", "info", first["group"][:8])
    assert (found["kind"], found["label"]) == ("group", f"#pond@{first['group'][:8]}")
    (found,) = people.run("alice", "group", "info", f"#pond@{second['group'][:8]}")
    assert found["kind"] == "room"
    people.run("alice", "group", "remove", first["group"], "bob", code=4)
    assert people.error_code == "group.no_member"
    people.run("alice", "group", "leave", first["group"])
    (found,) = people.run("alice", "group", "info", "pond")
    assert found["group"] == second["group"], "one of the past shares its name"
    assert "you are owner" in people.read("alice", "group", "list")
    assert "room" in people.read("alice", "group", "info", "pond")


def test_the_suite_and_the_kind_are_as_asked_for(people: Shell) -> None:
    (made,) = people.run("alice", "group", "create", "home", "bob", "--family", "--suite", "mls")
    assert (made["kind"], made["suite"]) == ("family", "mls")
    people.run("bob", "inbox")
    (added,) = people.run("bob", "group", "add", "home", "carol")
    assert members(added)["carol"] == "member", "in a family everybody brings somebody in"


def test_counters_have_a_day_and_numbers_and_nobody_s_name(people: Shell) -> None:
    (found,) = people.run("alice", "counters")
    assert found.keys() == {"since", "counters"}
    assert date.fromisoformat(found["since"]) <= datetime.now(UTC).date()
    for name, count in found["counters"].items():
        assert re.fullmatch(r"[a-z]+(\.[a-z_]+)+", name)
        assert isinstance(count, int)
    assert found["since"] in people.read("alice", "counters")


def test_counters_are_read_without_the_server(running: Running, people: Shell) -> None:
    (before,) = people.run("alice", "counters")
    running[0].stop()
    try:
        assert people.run("alice", "counters") == [before]
    finally:
        running[0].start()


def test_a_chat_in_a_group(people: Shell) -> None:
    people.run("alice", "group", "create", "porch", "bob")
    people.run("bob", "inbox")
    said = "Good evening.\n/rename veranda\n/add carol\n/members\n/role bob\n/nothing\n"
    printed = people.people.call("alice", "chat", "#porch", said=said)
    lines = printed.splitlines()
    assert lines[0].startswith("alice@parlour.example in #porch (2 people)")
    assert any("Good evening.  sent" in line for line in lines)
    assert "✓ It is #veranda now." in lines
    assert "✓ Added: carol." in lines
    assert any(line.startswith("carol ?  member") for line in lines)
    assert any("/role NAME and one of" in line for line in lines)
    assert any("There is no /nothing" in line for line in lines)
    opened, *documents = people.documents("bob", "chat", "#veranda", said="/leave\n")
    assert (opened["with"], opened["verification"]) == ("#veranda", None)
    assert [each["text"] for each in documents if "text" in each] == ["Good evening."]
    (done,) = [each for each in documents if each["code"] == "group.done"]
    assert done["command"] == "leave"
