"""A server that lets a stranger into a group: nobody follows it there, and no newcomer enters."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace as replaced
from unittest.mock import patch

import pytest
from msgspec import Struct
from msgspec.structs import replace

from parlour.conversation.events import (
    CommitRefused,
    GroupJoined,
    GroupRefused,
    GroupRepairing,
    GroupRestarted,
)
from parlour.errors import Code, ParlourError
from parlour.mls import (
    CommitOptions,
    Extension,
    ExternalJoin,
    Group,
    GroupContextExtensions,
    KeyPackageMessage,
    decode_message,
)
from parlour.mls.private.events import PendingCommit
from parlour.mls.public.welcome_parts import split_welcome
from parlour.roster import EXTENSION_TYPE, Role, RosterEntry
from parlour.roster.changes import Added
from parlour.server.groups import commits, handshaking
from parlour.testing.mls import OPEN_POLICY
from parlour.wire.envelope import ENVELOPE_FORMAT, Envelope, SuiteId
from parlour.wire.groups import (
    CommitBody,
    FetchKeyPackages,
    FoundKeyPackages,
    Handled,
    ReadGroup,
    decode_body,
    encode_body,
)
from parlour.wire.groups import GroupState as PublicState
from parlour.wire.kinds import Kind
from parlour.wire.streams import Append, Appended, Entry
from tests.handshakes import handshake
from tests.integration.groups.circle import Circle, circle
from tests.town import Town


@pytest.fixture
async def party(town: Town) -> AsyncIterator[Circle]:
    async with circle(town) as made:
        yield made


class Stranger:
    """Carol, who is on no roster, and to whom the server shows the group."""

    def __init__(self, party: Circle, state: PublicState) -> None:
        self._party = party
        self._machine = party.clients["carol"]._engine.machine
        self._link = party.clients["carol"]._link
        self.state = state
        self.brings: list[bytes] = []
        """Entries of the roster that go with her commit."""
        identity = self._machine._groups._joining._key_packages.identity(1, self._seconds)
        join = ExternalJoin(OPEN_POLICY, ratchet_tree=state.tree, group_info=True)
        self.coming = Group.join_external(state.group_info, identity, self._seconds, join)
        self.group = self.coming.confirm(self.coming.commit)

    @property
    def _seconds(self) -> int:
        return self._party.clock() // 1000

    def add_herself(self) -> None:
        """Write, and sign, that she is an admin."""
        machine, roster = self._machine, self._party.chat("alice").known_roster()
        key = machine._memory.contacts[machine.account_id].head.account_key.to_bytes()
        entry = replaced(
            roster.head,
            number=roster.head.number + 1,
            previous=roster.head_hash,
            changes=(Added(machine.account_id, Role.ADMIN, key),),
            signer_account=machine.account_id,
            signer_device=machine.device_id,
            at=self._party.clock(),
            signature=b"",
        )
        self.brings.append(entry.sign(machine._memory.local.signature_key).encode())

    async def come_in(self) -> None:
        """By her own commit, which the server takes."""
        body = CommitBody(0, self.coming.commit, self.brings, b"")
        client_id, info = self._machine._memory.random(16), self.coming.group_info
        request = handshake(self._party.group, client_id, self.state.epoch, body, group_info=info)
        answer = await self._link.ask(Kind.HANDSHAKE, request, Handled)
        assert answer.seq, "the server has taken it"

    async def speak(self, text: bytes) -> None:
        """Say something to those who would follow her."""
        envelope = Envelope(ENVELOPE_FORMAT, SuiteId.MLS_MESSAGE, b"", self.group.encrypt(text))
        client_id = self._machine._memory.random(16)
        append = Append(self._party.group, client_id, envelope, [])
        await self._link.ask(Kind.APPEND, append, Appended)

    async def key_package(self, device: bytes) -> KeyPackageMessage:
        """Anybody gets one."""
        asked = FetchKeyPackages(suite=1, device_ids=[device])
        found = await self._link.ask(Kind.FETCH_KEY_PACKAGES, asked, FoundKeyPackages)
        package = decode_message(found.packages[0].data)
        assert isinstance(package, KeyPackageMessage)
        return package

    def welcome(self, package: KeyPackageMessage, entries: list[bytes]) -> PendingCommit:
        """Bring somebody in under that roster: all that she knows is true, but that she is in."""
        (entry,) = map(RosterEntry.decode, entries)
        known = self._party.chat("alice").known_roster().binding
        binding = replaced(known, number=entry.number, head=entry.hash())
        extensions = self.group.extensions.with_(Extension(EXTENSION_TYPE, binding.encode()))
        made = self.group.commit(
            self._seconds,
            adds=[package.key_package],
            proposals=[GroupContextExtensions(extensions)],
            options=CommitOptions(ratchet_tree=False, group_info=True),
        )
        self.group.merge(made, self._seconds)
        return made

    def opens(self, entry: Entry) -> bool:
        """Whether she can read a message by what she knows."""
        try:
            self.group.decrypt(entry.envelope.body, self._seconds)
        except ParlourError:
            return False
        return True


async def stranger(party: Circle) -> Stranger:
    """Carol comes by the group as it is."""
    state = await party.clients["alice"]._link.ask(
        Kind.READ_GROUP, ReadGroup(party.group), PublicState
    )
    return Stranger(party, state)


@contextmanager
def lax_server() -> Iterator[None]:
    """A server that takes from strangers what they send."""
    with ExitStack() as stack:
        stack.enter_context(patch.object(handshaking, "comes_by_link", lambda *_: True))
        for rule in ("_check_place", "check_owners", "check_keys"):
            stack.enter_context(patch.object(commits, rule, lambda *_: None))
        stack.enter_context(patch.object(commits, "extended", lambda group, *_: group.roster))
        yield


@pytest.mark.parametrize(
    ("entry", "why"),
    [(False, "a newcomer that is neither back nor let in"), (True, "an entry of a stranger")],
)
async def test_a_stranger_comes_in_from_outside(party: Circle, entry: bool, why: str) -> None:
    """With nothing, or with an entry of the roster that she has signed herself."""
    said: dict[int, Entry] = {}

    def deliver(entry: Entry, device: bytes) -> list[Entry]:
        if entry.stream == party.group and entry.envelope.suite == SuiteId.MLS_MESSAGE:
            said[entry.seq] = entry
        return [entry]

    async with party.online("alice", "bob", "carol") as (alice, _, carol):
        await party.found("alice", "bob")
        party.hostile.deliver = deliver
        mallory = await stranger(party)
        if entry:
            mallory.add_herself()
        with pytest.raises(ParlourError) as refused:
            await mallory.come_in()
        assert refused.value.code is Code.STREAM_UNKNOWN
        with lax_server():
            await mallory.come_in()
        await mallory.speak(b"it is only me")
        said.clear()
        await alice.send_to(party.group, "who is there?")
        for name in ("alice", "bob"):
            await party.until(party.has(name, GroupRestarted))
            told = party.heard(name, CommitRefused)
            assert [(each.by, each.detail) for each in told] == [(carol.account_id, why)]
            assert [each.without for each in party.heard(name, GroupRestarted)] == [()]
        await party.goes_on("alice", "bob")
        await party.reads("bob", "who is there?")
        assert "it is only me" not in await party.said("bob")
        assert len(said) > 2
        assert not any(map(mallory.opens, said.values())), "she reads nothing of that"


# --- What newcomers are shown ----------------------------------------------------------------


async def test_a_stranger_is_in_the_group_that_a_newcomer_is_shown(party: Circle) -> None:
    """All is true, and signed by whom it names, but that carol is in it, and has brought him in."""
    async with party.online("alice", "bob", "carol") as (alice, bob, _):
        await party.found("alice")
        mallory = await stranger(party)
        package = await mallory.key_package(party.device("bob"))
        made: list[PendingCommit] = []

        def deliver(entry: Entry, device: bytes) -> list[Entry]:
            mine = entry.stream == party.group and device == party.device("bob")
            if not mine or entry.part is None:
                return [entry]
            body = decode_body(entry.envelope.body, CommitBody)
            if not made:
                made.append(mallory.welcome(package, body.roster))
            (commit,) = made
            assert commit.welcome is not None
            info, secrets = split_welcome(commit.welcome)
            forged = encode_body(replace(body, commit=commit.commit, welcome=info))
            (part,) = secrets.values()
            return [
                replace(
                    entry,
                    envelope=replace(entry.envelope, body=forged),
                    part=part,
                    sender_account=party.account("carol"),
                    sender_device=party.device("carol"),
                )
            ]

        def request(device: bytes, kind: Kind, body: Struct) -> Struct:
            if isinstance(body, ReadGroup) and body.epoch == mallory.group.epoch:
                return replace(body, epoch=mallory.state.epoch + 1)
            return body

        def answer(device: bytes, kind: Kind, asked: Struct, answer: Struct) -> Struct:
            if not isinstance(answer, PublicState) or asked != ReadGroup(
                party.group, 0, mallory.group.epoch
            ):
                return answer
            lies.append(device)
            return replace(answer, epoch=mallory.group.epoch, tree=mallory.group.tree())

        lies: list[bytes] = []
        party.hostile.deliver, party.hostile.request = deliver, request
        party.hostile.answer = answer
        await alice.groups.add(party.group, ["bob"], timeout=0)
        await party.until(party.has("bob", GroupRepairing))
        assert lies == [party.device("bob")]
        assert [each.reason for each in party.heard("bob", GroupRepairing)] == ["welcome"]
        assert not party.heard("bob", GroupJoined)
        party.hostile.be_honest()
        await party.until(party.has("bob", GroupJoined))
        # He let himself in, as carol answered nobody; who had brought him in, nobody has signed.
        (joined,) = party.heard("bob", GroupJoined)
        assert (joined.inviter, joined.invited, joined.confirmed) == (b"", True, False)
        await bob.groups.accept(party.group)
        await party.goes_on("alice", "bob")


async def test_a_stranger_is_in_the_group_that_a_link_leads_to(party: Circle) -> None:
    async with party.online("alice", "bob", "carol") as (alice, bob, _):
        await party.found("alice")
        link = await party.during(alice.groups.open_link(party.group))
        mallory = await stranger(party)

        def answer(device: bytes, kind: Kind, asked: Struct, answer: Struct) -> Struct:
            if not isinstance(answer, PublicState) or device != party.device("bob"):
                return answer
            info = mallory.coming.group_info
            return replace(
                answer, epoch=mallory.group.epoch, tree=mallory.group.tree(), group_info=info
            )

        party.hostile.answer = answer
        with pytest.raises(ParlourError) as refused:
            await party.during(bob.groups.join(link))
        assert refused.value.code is Code.GROUP_WELCOME_REFUSED
        assert [each.reason for each in party.heard("bob", GroupRefused)] == [
            Code.GROUP_WELCOME_REFUSED
        ]
        party.hostile.be_honest()
        await party.during(bob.groups.join(link))
        await party.goes_on("alice", "bob")
