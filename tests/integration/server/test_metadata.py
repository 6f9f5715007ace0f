"""docs/metadata.md lists all that the server keeps, and nothing that it does not."""

from __future__ import annotations

import io
import json
import re
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from parlour.errors import ParlourError
from parlour.identity.device_list import next_entry
from parlour.identity.recovery import RecoveryKey
from parlour.roster import Removed
from parlour.server import Config, Server, create_invite
from parlour.server.logs import FIELDS
from parlour.wire.directory import AppendDeviceList
from parlour.wire.groups import (
    KeyPackageCounts,
    KeyPackageUpload,
    ProposalBody,
    PublishKeyPackages,
)
from parlour.wire.invites import CreateInvite
from parlour.wire.kinds import Kind
from parlour.wire.prekeys import Bundles, FetchBundles
from parlour.wire.profiles import SetProfile
from parlour.wire.server import Nothing
from parlour.wire.streams import Acknowledge, Position
from tests.conftest import CHECKOUT

from .group_people import group_of
from .people import NOW, Person, open_socket
from .requests import in_a_day

ROWS = re.findall(
    r"^\| `([^`]+)` \|", (CHECKOUT / "docs/metadata.md").read_text("utf-8"), re.MULTILINE
)
OBJECTS = {row.removeprefix("object ") for row in ROWS if row.startswith("object ")}
LOG_FIELDS = {row.removeprefix("log field ") for row in ROWS if row.startswith("log field ")}
COLUMNS = {row for row in ROWS if not row.startswith(("object ", "log field "))}


async def story(server: Server, config: Config) -> list[bytes]:
    """Something of everything; returns what must be found nowhere afterwards."""
    invite = create_invite(config, host="127.0.0.1", port=server.port, uses=5)
    assert invite.secret is not None
    secret = invite.secret.reveal()
    alice, bea = Person(server, "alice"), Person(server, "bea")
    for person in (alice, bea):
        await person.register(invite=secret)
    info = await alice.talk_to(bea)
    async with alice.live() as at_alice:
        for number in range(3):
            await bea.say(info.stream, b"%d" % number, alice)
        await bea.say(alice.inbox, b"", alice)
        read = Acknowledge([Position(info.stream, 2)])
        await at_alice.ask(Kind.ACKNOWLEDGE, read, Nothing)
    request = FetchBundles(alice.account_id, [alice.device_id])
    await bea.rest(Kind.FETCH_BUNDLES, request, Bundles)
    last_resort = KeyPackageUpload(1, True, in_a_day() // 1000, b"key package")
    publish = PublishKeyPackages([last_resort])
    await alice.rest(Kind.PUBLISH_KEY_PACKAGES, publish, KeyPackageCounts)
    await keep_a_group(alice, bea)
    tablet = await alice.second_device()
    await alice.change_list(alice.next_list())
    with pytest.raises(ParlourError):
        await tablet.log_in()
    alice.ticket = None  # as in a copy of her home
    async with open_socket(server, "/v1/live", alice.token) as socket:
        with pytest.raises(ParlourError):
            await alice.begin(socket)
    await keep_an_account(server, bea)
    tokens = [person.token.encode() for person in (alice, bea, tablet)]
    return [secret, alice.password.reveal(), b"127.0.0.1", *tokens]


async def keep_a_group(alice: Person, bea: Person) -> None:
    """A group from which somebody has gone who was lost before, and in which a proposal waits."""
    room = await group_of(alice, bea)
    at_alice, at_bea = room.devices
    await room.say(at_bea)
    room.devices.remove(at_bea)
    again = room.commit(at_alice, removes=[at_bea], adds=[at_bea.key_package()])
    await room.send(at_alice, again)
    commit = room.commit(at_alice, Removed(at_bea.account), removes=[at_bea])
    await room.send(at_alice, commit)
    message = at_alice.live.propose_update(room.services.now // 1000)
    await room.services.groups.handshake(
        at_alice.grant, room.proposal(at_alice, ProposalBody(0, message, b""))
    )


async def keep_an_account(server: Server, person: Person) -> None:
    """Password, recovery, profile and an invite of one's own."""
    paper = RecoveryKey.generate()
    entry = next_entry(
        person.list_state,
        person.account_key,
        (person.device,),
        NOW,
        recovery_key=paper.proof_key().public_key,
    )
    vaults = person.new_vaults(1, recovery=b"second copy")
    append = AppendDeviceList(entry.encode(), None, vaults)
    await person.rest(Kind.APPEND_DEVICE_LIST, append, Nothing)
    await person.rest(Kind.SET_PROFILE, SetProfile(b"sealed profile"), Nothing)
    invite = CreateInvite(bytes(32), 1, in_a_day())
    await person.rest(Kind.CREATE_INVITE, invite, Nothing)


def columns(connection: sqlite3.Connection) -> dict[str, list[str]]:
    tables = [
        row[0]
        for row in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
    ]
    return {
        table: [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        for table in tables
    }


def has_rows(connection: sqlite3.Connection, table: str) -> bool:
    return connection.execute(f"SELECT 1 FROM {table}").fetchone() is not None  # noqa: S608


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


async def test_the_page_lists_what_is_kept(config: Config, log_stream: io.StringIO) -> None:
    config = replace(config, registration="invite")
    async with Server(config, log_stream=log_stream) as server:
        nowhere = await story(server, config)
        kept = files(config.data)
        connection = sqlite3.connect(config.data / "parlour.db")
        found = columns(connection)
        empty = [table for table in found if not has_rows(connection, table)]
        connection.close()
    assert empty == []
    assert {f"{table}.{column}" for table, names in found.items() for column in names} == COLUMNS
    assert kept.keys() == OBJECTS
    lines = [json.loads(line) for line in log_stream.getvalue().splitlines()]
    assert {field for line in lines for field in line} <= LOG_FIELDS == FIELDS.keys()
    assert {line["event"] for line in lines} >= {"started", "live_refused"}
    kept["the log"] = log_stream.getvalue().encode()
    leaks = [(name, each) for name, data in kept.items() for each in nowhere if each in data]
    assert leaks == []


async def test_the_log_names_nobody(config: Config, log_stream: io.StringIO) -> None:
    config = replace(config, registration="invite")
    async with Server(config, log_stream=log_stream) as server:
        await story(server, config)
    # Without the hashes and pins, in which three letters may stand by chance.
    said = re.sub(r"[0-9a-f]{12,}", "", log_stream.getvalue())
    for name in ("alice", "bea", "plt_"):
        assert name not in said


def test_the_page_has_no_row_twice() -> None:
    assert len(ROWS) == len(set(ROWS)) == len(COLUMNS) + len(OBJECTS) + len(LOG_FIELDS)
