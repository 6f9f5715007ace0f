"""Six stories of people and their devices, told by commands: every step is a process of its own."""

from __future__ import annotations

import base64
import contextlib
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from parlour.identity.recovery import RecoveryKey
from tests.integration.running import PASSWORD, ServerProcess
from tests.integration.stories import Devices

# Two commands and two times yes take two seconds. This finds a wait for something that never comes,
# also on a busy machine.
LINKING = 40.0


@pytest.fixture
def people(tmp_path: Path) -> Iterator[Devices]:
    with ServerProcess(tmp_path / "server") as server:
        yield Devices(tmp_path, server)


def alice_and_bob(people: Devices) -> Path:
    """Alice, at her desk, and Bob have talked; returns the paper with Alice's recovery key."""
    paper = people.register_with_paper("desk", "alice")
    people.register_with_paper("bobs", "bob")
    people.call("desk", "send", "bob", "May I?")
    assert people.texts("bobs", "inbox") == [], "a stranger's words are not shown"
    assert people.texts("bobs", "requests", "accept", "alice") == ["May I?"]
    people.call("bobs", "send", "alice", "You may.")
    assert people.texts("desk", "inbox") == ["You may."]
    return paper


def compare(people: Devices) -> str:
    """Both compare the safety number; returns its digits."""
    (ours,) = people.documents("desk", "verify", "bob", "--yes")
    (theirs,) = people.documents("bobs", "verify", "alice", "--yes")
    assert (ours["digits"], ours["words"]) == (theirs["digits"], theirs["words"])
    return str(ours["digits"])


def place(people: Devices) -> str:
    return f"127.0.0.1:{people.server.port}"


def names_of_devices(people: Devices, device: str) -> list[str]:
    (listed,) = people.documents(device, "devices", "list")
    return [each["name"] for each in listed["devices"]]


@pytest.mark.timeout(240)
def test_a_new_laptop(people: Devices) -> None:
    alice_and_bob(people)
    compare(people)
    began = time.monotonic()
    people.link("desk", "laptop")
    assert time.monotonic() - began < LINKING
    assert names_of_devices(people, "laptop") == ["desk", "laptop"]
    people.call("bobs", "send", "alice", "To all of you.")
    people.call("desk", "send", "bob", "From the desk.")
    people.call("laptop", "send", "bob", "From the laptop.")
    assert people.texts("bobs", "inbox") == ["From the desk.", "From the laptop."]
    assert "To all of you." in people.texts("desk", "inbox")
    assert "To all of you." not in people.texts("laptop", "inbox"), "seen on one, new on none"
    said = ["To all of you.", "From the desk.", "From the laptop."]
    assert people.texts("laptop", "history", "bob") == said
    assert people.texts("desk", "history", "bob") == ["May I?", "You may.", *said]
    (contacts,) = people.documents("laptop", "contacts")
    assert [each["verification"] for each in contacts["contacts"]] == ["verified"]
    (exported,) = people.documents("desk", "backup", "export", str(people.folder / "alice.backup"))
    words = people.secret("words", exported["passphrase"])
    backup = str(people.folder / "alice.backup")
    people.call("laptop", "backup", "import", backup, "--passphrase-file", words)
    assert people.texts("laptop", "history", "bob") == ["May I?", "You may.", *said]


@pytest.mark.timeout(240)
def test_a_phone_lost_on_the_train(people: Devices) -> None:
    alice_and_bob(people)
    people.link("desk", "phone")
    people.call("phone", "inbox")
    new = people.secret("new-password", "another one since the train")
    people.call("desk", "lost-device", "phone", "--yes", "--new-password-file", new)
    assert people.refused("phone", "inbox", code=3) == "device.removed"
    assert people.refused("desk", "inbox", code=3) == "store.password"
    people.passwords["desk"] = new
    people.call("bobs", "send", "alice", "Did you get home?")
    assert people.texts("desk", "inbox") == ["Did you get home?"]
    assert "Did you get home?" not in people.texts("phone", "history", "bob")
    assert names_of_devices(people, "desk") == ["desk"]
    assert people.refused("phone", "login", code=3) in ("login.failed", "device.removed")


@pytest.mark.timeout(240)
def test_a_forgotten_password(people: Devices) -> None:
    paper = alice_and_bob(people)
    digits = compare(people)
    backup = str(people.folder / "alice.backup")
    (exported,) = people.documents("desk", "backup", "export", backup)
    words = people.secret("words", exported["passphrase"])
    people.passwords["desk"] = people.secret("guess", "was it this one?")
    assert people.refused("desk", "inbox", code=3) == "store.password"
    people.passwords["desk"] = people.secret("new-password", "this one I shall remember")
    (done,) = people.documents(
        "desk", "recover", "alice", "--server", place(people), "--other-devices", "remove",
        "--set-aside", "--recovery-file", str(paper),
    )  # fmt: skip
    assert (done["account"], done["others_removed"]) == ("alice@parlour.example", True)
    assert Path(done["set_aside"]).is_dir(), "what was locked is kept"
    (imported,) = people.documents("desk", "backup", "import", backup, "--passphrase-file", words)
    assert imported["new"] == 2
    people.call("bobs", "send", "alice", "Are you back?")
    assert people.texts("desk", "inbox") == ["Are you back?"]
    assert people.texts("desk", "history", "bob") == ["May I?", "You may.", "Are you back?"]
    (ours,) = people.documents("desk", "verify", "bob")
    (theirs,) = people.documents("bobs", "verify", "alice")
    assert (ours["digits"], theirs["digits"]) == (digits, digits)
    assert (ours["verification"], theirs["verification"]) == ("verified", "verified")


@pytest.mark.timeout(240)
def test_a_house_fire(people: Devices) -> None:
    paper = alice_and_bob(people)
    digits = compare(people)
    people.link("desk", "laptop")
    at_server = ["alice", "--server", place(people), "--recovery-file", str(paper)]
    (drilled,) = people.documents("nothing", "recovery", "test", *at_server)
    assert [each["name"] for each in drilled["devices"]] == ["desk", "laptop"]
    for burnt in ("desk", "laptop"):
        shutil.rmtree(people.folder / burnt)
    people.call("bobs", "send", "alice", "I saw the smoke!")
    people.call("new", "recover", *at_server, "--other-devices", "remove")
    people.call("bobs", "send", "alice", "Are you safe?")
    assert people.texts("new", "requests", "accept", "bob") == ["Are you safe?"]
    people.call("new", "send", "bob", "I am.")
    assert people.texts("bobs", "inbox") == ["I am."]
    (theirs,) = people.documents("bobs", "verify", "alice")
    assert (theirs["digits"], theirs["verification"]) == (digits, "verified")
    (listed,) = people.documents("new", "devices", "list")
    assert len(listed["devices"]) == 1


@pytest.mark.timeout(240)
def test_a_nosy_operator(people: Devices) -> None:
    paper = alice_and_bob(people)
    people.call("desk", "profile", "set", "--name", "Alice Underhill", "--status", "in the attic")
    people.link("desk", "phone")
    people.call("desk", "devices", "rename", "phone", "Grandmother's tablet")
    people.server.stop()
    before = people.folder / "before"
    shutil.copytree(people.server.data, before)
    key = RecoveryKey.from_text(paper.read_text())
    secrets = [
        *(text.encode() for text in ("May I?", "You may.", "Underhill", "attic", "Grandmother")),
        PASSWORD.encode(),
        key.reveal(),
        key.to_text().encode(),
        key.vault_key().reveal(),
    ]
    kept = {path: path.read_bytes() for path in before.rglob("*") if path.is_file()}
    for secret in secrets:
        for form in (secret, base64.b64encode(secret).rstrip(b"="), secret.hex().encode()):
            assert [path for path, data in kept.items() if form in data] == []
    people.server.start()
    people.call("desk", "devices", "remove", "Grandmother's tablet")
    people.server.stop()
    take_back_the_last_entry(people.server.data / "parlour.db")
    people.server.start()
    test = ["recovery", "test", "--recovery-file", str(paper)]
    assert people.refused("desk", *test, code=6) == "device_list.rollback"


def take_back_the_last_entry(database: Path) -> None:
    """What the operator does to Alice's device list, so that the tablet is on it again."""
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(
            "DELETE FROM device_lists WHERE (account, number) = (SELECT account, max(number)"
            " FROM device_lists JOIN accounts ON accounts.pk = account WHERE name = 'alice')"
        )


@pytest.mark.timeout(240)
def test_twins_with_the_same_name(people: Devices) -> None:
    people.register_with_paper("bobs", "bob")
    for twin in ("anna.k", "anna.m"):
        people.register_with_paper(twin, twin)
        people.call(twin, "profile", "set", "--name", "Anna")
        people.call(twin, "send", "bob", f"It is me, of {twin}.")
    (asked,) = people.documents("bobs", "requests", "list")
    assert [each["name"] for each in asked["requests"]] == ["anna.k", "anna.m"]
    assert "Anna" not in str(asked), "a stranger shows nothing that they chose themselves"
    people.call("bobs", "requests", "accept", "anna.k")
    people.call("bobs", "requests", "accept", "anna.m")
    people.call("bobs", "verify", "anna.k", "--yes")
    for twin in ("anna.k", "anna.m"):
        people.call("bobs", "send", twin, "Hello, Anna.")
        people.call(twin, "inbox")
        people.call(twin, "send", "bob", "Hello, Bob.")
    shown = [line.split("  ")[1] for line in people.call("bobs", "inbox").splitlines()]
    assert sorted(shown) == ["anna.k ✓", "anna.m ?"]
    (known,) = people.documents("bobs", "contacts")
    assert [(each["name"], each["calls_themselves"]) for each in known["contacts"]] == [
        ("anna.k", "Anna"),
        ("anna.m", "Anna"),
    ]
    invite = people.keep(people.server.invite())
    refused = ["register", "anna.k", "--invite-file", invite, "--no-recovery"]
    assert people.refused("impostor", *refused, code=2) == "account.exists"
