"""docs/doors.md, cell by cell: everybody at every door, against a running server.

The outcomes are gathered once; each cell is a test of its own.
"""

from __future__ import annotations

import asyncio
import io
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from msgspec import Struct
from websockets.exceptions import InvalidStatus

from parlour.errors import ParlourError
from parlour.login import ClientLogin, ClientRegistration
from parlour.primitives.hashes import sha256
from parlour.server import Config, Server
from parlour.wire.frames import decode_body, encode_body
from parlour.wire.groups import ReadGroup
from parlour.wire.invites import CreateInvite, RevokeInvite
from parlour.wire.joining import JoinFinish, JoinUnlock
from parlour.wire.kinds import OPERATIONS, Door, Kind
from parlour.wire.linking import LinkAnswer, LinkOffer, LinkTake, LinkWait
from parlour.wire.login import LoginFinish, LoginStart, RegisterStart, RevokeSession
from parlour.wire.profiles import SetProfile
from parlour.wire.recovery import RecoverFinish, RecoverStart, ResetFinish, ResetStart
from parlour.wire.server import ErrorBody, Nothing
from parlour.wire.streams import CreateConversation, StreamInfo
from tests.conftest import CHECKOUT
from tools import doors
from tools.doors import DIRECT, GROUP, INBOX, OWN, STRANGER, TABLE, YES, Row, Who

from .group_people import commit_of, group_of, new_group_of
from .people import Person, open_socket, raw_post, register, rest, rest_error
from .requests import in_a_day, sample

MAILBOX = b"mailbox of alice"
SECRET = b"alice's invite !"
# What others would notice afterwards: each in a world of its own.
CHANGES = {
    Kind.LOG_OUT,
    Kind.LOG_OUT_EVERYWHERE,
    Kind.REVOKE_SESSION,
    Kind.PASSWORD_FINISH,
    Kind.APPEND_DEVICE_LIST,
    Kind.LINK_TAKE,
    Kind.LINK_ANSWER,
    Kind.REVOKE_INVITE,
    Kind.CREATE_CONVERSATION,
    Kind.CREATE_GROUP,
    Kind.HANDSHAKE,
    Kind.RESTART_GROUP,
}
CELLS = [(row, who) for row in TABLE for who in Who]


class World:
    """Alice with everything that others might want, and everybody who comes for it."""

    def __init__(self, server: Server) -> None:
        self.server = server

    async def begin(self) -> None:
        names = ("alice", "bea", "mallory", "operator")
        alice, bea, mallory, operator = await register(self.server, *names)
        self.alice = alice
        self.session = (await alice.log_in()).token
        revoked = (await alice.log_in()).token
        await alice.rest(Kind.LOG_OUT, Nothing(), Nothing, token=revoked)
        removed = await alice.second_device()
        await alice.change_list(alice.next_list())
        self.tokens: dict[Who, str | None] = {
            Who.NOBODY: None,
            Who.FORGER: "plt_" + "A" * 43,
            Who.REVOKED: revoked,
            Who.REMOVED: removed.token,
            Who.FOREIGN: mallory.token,
            Who.OPERATOR: operator.token,
            Who.MEMBER: bea.token,
            Who.OWNER: alice.token,
        }
        self.direct = (await alice.talk_to(bea)).stream
        wanted = CreateConversation(os.urandom(16), "self", [alice.account_id], b"")
        self.own = (await alice.rest(Kind.CREATE_CONVERSATION, wanted, StreamInfo)).stream
        self.room = await group_of(alice, bea)
        await alice.rest(Kind.SET_PROFILE, SetProfile(b"sealed"), Nothing)
        invite = CreateInvite(sha256(SECRET), 5, in_a_day())
        await alice.rest(Kind.CREATE_INVITE, invite, Nothing)

    async def open_mailbox(self) -> None:
        """A device has offered itself, and Alice has begun to answer."""
        links = self.server.core.links
        grant = await self.server.core.sessions.authenticate(self.alice.token)
        links._wait_seconds = 0
        await links.take(grant, LinkTake(MAILBOX, 0, True))

    def request(self, row: Row) -> Struct:
        """What is asked, aimed at Alice."""
        match row.kind:
            case Kind.REVOKE_SESSION:
                return RevokeSession(sha256(self.session.encode())[:8].hex())
            case Kind.LINK_TAKE:
                return LinkTake(MAILBOX, 0, False)
            case Kind.LINK_ANSWER:
                return LinkAnswer(MAILBOX, 0, b"greeting")
            case Kind.REVOKE_INVITE:
                return RevokeInvite(sha256(SECRET))
            case Kind.CREATE_CONVERSATION:
                wanted = [self.alice.account_id]
                return CreateConversation(os.urandom(16), "direct", wanted, b"")
            case Kind.CREATE_GROUP:
                return new_group_of(self.alice)
            case Kind.HANDSHAKE:
                return commit_of(self.room, self.alice)
            case Kind.RESTART_GROUP:
                return self.room.restart(self.room.devices[0])[0]
            case Kind.APPEND if row.target == GROUP:
                return self.room.message(self.room.devices[0])
            case Kind.READ_GROUP:
                return ReadGroup(self.room.stream)
            case _:
                streams = {
                    DIRECT: self.direct,
                    INBOX: self.alice.inbox,
                    GROUP: self.room.stream,
                }
                stream = streams.get(row.target, self.own)
                if row.target == INBOX and row.kind is Kind.APPEND:
                    return sample_to_inbox(self.alice)
                return sample(row.kind, self.alice, stream)

    async def outcome(self, row: Row, who: Who) -> str:
        """What comes of it; with the addition that something of Alice's changed."""
        if row.kind is Kind.LINK_TAKE or row.kind is Kind.LINK_ANSWER:
            self.server.core.links._boxes._boxes.clear()
            await self.open_mailbox()
        before = self.alices_rows()
        result = await self.ask(row, who)
        if who is not Who.OWNER and result != YES and self.alices_rows() != before:
            return f"{result}, and changed something"
        if row.expected(who) == OWN and result == YES:
            return OWN if self.alices_rows() == before else "changed something of Alice's"
        return result

    async def ask(self, row: Row, who: Who) -> str:
        token = self.tokens[who]
        body = self.request(row)
        if who is Who.OWNER and row.kind is Kind.CREATE_CONVERSATION:
            other = await self.server.core.store.accounts.by_name("mallory")
            assert other is not None
            body = CreateConversation(os.urandom(16), "direct", [other.account_id], b"")
        if OPERATIONS[row.kind].door is Door.TOKEN:
            answer = await rest(self.server, row.kind, encode_body(body), token)
            return YES if answer.status_code == 200 else rest_error(answer).code.value
        return await self.ask_live(row.kind, body, token)

    async def ask_live(self, kind: Kind, body: Struct, token: str | None) -> str:
        try:
            async with open_socket(self.server, "/v1/live", token) as socket:
                await socket.ask(kind, body, OPERATIONS[kind].response)
                return YES
        except InvalidStatus as refusal:
            return decode_body(bytes(refusal.response.body or b""), ErrorBody).code
        except ParlourError as refusal:
            return refusal.code.value

    def alices_rows(self) -> list[list[tuple[object, ...]]]:
        """All that the server holds of Alice's account."""
        path = self.server.config.data / "parlour.db"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            (alice,) = connection.execute("SELECT pk FROM accounts WHERE name = 'alice'").fetchone()
            devices = "device IN (SELECT pk FROM devices WHERE account = ?)"
            return [
                connection.execute(f"SELECT * FROM {table} WHERE {condition}", (alice,)).fetchall()  # noqa: S608
                for table, condition in (
                    ("accounts", "pk = ?"),
                    ("device_lists", "account = ?"),
                    ("devices", "account = ?"),
                    ("profiles", "account = ?"),
                    ("invites", "issuer = ?"),
                    ("tokens", devices),
                    ("prekeys", devices),
                    ("key_packages", devices),
                    ("cursors", devices),
                    ("members", "account = ?"),
                )
            ]


def sample_to_inbox(person: Person) -> Struct:
    from .people import message

    return message(person.inbox, b"", person)


async def play(folder: Path, rows: list[Row]) -> dict[tuple[str, Who], str]:
    config = Config(
        data=folder,
        host="127.0.0.1",
        port=0,
        name="parlour.example",
        registration="open",
        limits=1000.0,
    )
    async with Server(config, log_stream=io.StringIO()) as server:
        world = World(server)
        await world.begin()
        return {(row.name, who): await world.outcome(row, who) for row in rows for who in Who}


async def play_all(folder: Path) -> dict[tuple[str, Who], str]:
    found: dict[tuple[str, Who], str] = {}
    quiet = [row for row in TABLE if row.kind not in CHANGES]
    found.update(await play(folder / "quiet", quiet))
    for row in TABLE:
        if row.kind in CHANGES:
            found.update(await play(folder / row.kind.name, [row]))
    return found


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, Who], str]:
    return asyncio.run(play_all(tmp_path_factory.mktemp("doors")))


@pytest.mark.parametrize(("row", "who"), CELLS, ids=[f"{row.name}, {who}" for row, who in CELLS])
def test_cell(outcomes: dict[tuple[str, Who], str], row: Row, who: Who) -> None:
    assert outcomes[row.name, who] == row.expected(who)


@pytest.mark.parametrize("kind", STRANGER, ids=lambda kind: OPERATIONS[kind].name)
async def test_stranger_on_the_login_socket(server: Server, kind: Kind) -> None:
    (alice,) = await register(server, "alice")
    ke1 = ClientLogin.start(alice.password)[1]
    request = ClientRegistration.start(alice.password)[1]
    key = alice.device_key.public_key.to_bytes()
    vaults = alice.new_vaults()
    bodies: dict[Kind, Struct] = {
        Kind.REGISTER_START: RegisterStart("alice", None, request),
        Kind.REGISTER_FINISH: registration(alice),
        Kind.LOGIN_START: LoginStart("alice", ke1),
        Kind.LOGIN_FINISH: LoginFinish(bytes(64), bytes(32), alice.device_id, bytes(64)),
        Kind.RECOVER_START: RecoverStart("alice"),
        Kind.RECOVER_FINISH: RecoverFinish(bytes(64)),
        Kind.RESET_START: ResetStart(request),
        Kind.RESET_FINISH: ResetFinish(
            request, bytes(64), vaults, alice.device_id, bytes(64), None, [], False
        ),
        Kind.JOIN_UNLOCK: JoinUnlock(bytes(64), bytes(32), alice.device_id),
        Kind.JOIN_FINISH: JoinFinish(alice.next_list().encode(), [], bytes(64)),
        Kind.LINK_OFFER: LinkOffer(MAILBOX, key, bytes(64), 0, b"offer", True),
        Kind.LINK_WAIT: LinkWait(MAILBOX, key, bytes(64), 0),
    }
    async with open_socket(server, "/v1/login") as socket:
        for before in {
            Kind.LOGIN_FINISH: [Kind.LOGIN_START],
            Kind.JOIN_UNLOCK: [Kind.LOGIN_START],
            Kind.RECOVER_FINISH: [Kind.RECOVER_START],
        }.get(kind, []):
            await socket.ask(before, bodies[before], OPERATIONS[before].response)
        try:
            await socket.ask(kind, bodies[kind], OPERATIONS[kind].response)
            outcome = YES
        except ParlourError as refusal:
            outcome = refusal.code.value
    assert outcome == STRANGER[kind][1]
    answer = await raw_post(server, f"/v1/{OPERATIONS[kind].name}", encode_body(bodies[kind]))
    assert answer.status_code == 404


def registration(person: Person) -> Struct:
    state, request = ClientRegistration.start(person.password)
    response = person.server.core.opaque.register(request, person.name)
    return person.finish_registration(state, response)


def test_every_operation_has_its_row() -> None:
    with_token = {kind for kind, each in OPERATIONS.items() if each.door in (Door.TOKEN, Door.LIVE)}
    assert {row.kind for row in TABLE} == with_token
    at_login = {kind for kind, each in OPERATIONS.items() if each.door is Door.LOGIN}
    assert set(STRANGER) == at_login
    assert len({row.name for row in TABLE}) == len(TABLE)


def test_the_page_is_the_table() -> None:
    assert (CHECKOUT / "docs/doors.md").read_text("utf-8") == doors.render()
