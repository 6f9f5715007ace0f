"""Members who break the rules of a group, at a real server, with and without its help."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from dataclasses import replace as replaced
from unittest.mock import patch

import pytest
from msgspec.structs import replace

from parlour.conversation.events import (
    CommitRefused,
    GroupJoined,
    GroupLeft,
    GroupRepaired,
    GroupRepairing,
    GroupRestarted,
    MessageUnreadable,
)
from parlour.conversation.groups.records import GroupState
from parlour.errors import Code, ParlourError
from parlour.mls.private import committing
from parlour.mls.private.committing import CommitOptions
from parlour.mls.private.treekem import seal_path
from parlour.mls.public.commit import HpkeCiphertexts, UpdatePath
from parlour.mls.public.types import LeafIndex
from parlour.roster import Role
from parlour.roster.changes import RoleSet
from parlour.server.store.sqlite import entries as stored_entries
from parlour.wire.envelope import ENVELOPE_FORMAT, Envelope, SuiteId
from parlour.wire.groups import CommitBody, Handled, Handshake, encode_body
from parlour.wire.kinds import Kind
from parlour.wire.limits import MAX_HANDSHAKE_BODY
from parlour.wire.streams import Append, Appended, Entry, Part
from tests.handshakes import handshake
from tests.integration.groups.circle import Circle, circle
from tests.town import Town


@pytest.fixture
async def party(town: Town) -> AsyncIterator[Circle]:
    async with circle(town) as made:
        yield made


def turned(data: bytes) -> bytes:
    """The same with its last bit turned."""
    return data[:-1] + bytes([data[-1] ^ 1])


# --- What a server refuses -------------------------------------------------------------------


@dataclass(frozen=True)
class Forged:
    """What carol puts into a commit."""

    removes: bool = False
    role: bool = False
    parts: Sequence[Part] = ()
    change: Callable[[bytes], bytes] = lambda commit: commit

    def body(self, party: Circle) -> tuple[CommitBody, bytes]:
        """The commit, and the GroupInfo of the epoch that it leads to."""
        chat = party.chat("carol")
        leaf = chat.leaf_of(party.device("bob"))
        assert leaf is not None
        removes: list[LeafIndex] = [leaf] if self.removes else []
        group = chat.live()
        options = CommitOptions(ratchet_tree=False, group_info=True)
        pending = group.commit(party.clock() // 1000, removes=removes, options=options)
        group.clear_pending()
        roster = [own_role(party)] if self.role else []
        return CommitBody(0, self.change(pending.commit), roster, b""), pending.group_info or b""

    def request(self, party: Circle) -> Handshake:
        body, group_info = self.body(party)
        client_id, epoch = party.clients["carol"]._engine._random(16), party.chat("carol").epoch
        return handshake(
            party.group, client_id, epoch, body, parts=self.parts, group_info=group_info
        )


def own_role(party: Circle) -> bytes:
    """An entry by which carol makes herself an owner."""
    roster = party.chat("carol").known_roster()
    machine = party.clients["carol"]._engine.machine
    entry = replaced(
        roster.head,
        number=roster.head.number + 1,
        previous=roster.head_hash,
        changes=(RoleSet(machine.account_id, Role.OWNER),),
        signer_account=machine.account_id,
        signer_device=machine.device_id,
        at=party.clock(),
        signature=b"",
    )
    return entry.sign(machine._memory.local.signature_key).encode()


BROKEN = {
    "junk": Forged(change=lambda commit: b"\0" * len(commit)),
    "cut off": Forged(change=lambda commit: commit[:-1]),
    "altered": Forged(change=lambda commit: commit[:60] + turned(commit[60:61]) + commit[61:]),
    "oversized": Forged(change=lambda commit: commit + bytes(MAX_HANDSHAKE_BODY)),
    "puts somebody out": Forged(removes=True),
    "takes a role": Forged(role=True),
    "a Welcome for nobody": Forged(parts=[Part(bytes(16), b"psst")]),
    "an oversized Welcome": Forged(parts=[Part(bytes(16), bytes(1 << 15))]),
}


async def test_a_server_refuses_what_breaks_a_rule_in_public(party: Circle) -> None:
    async with party.online("alice", "bob", "carol") as (_, _, carol):
        await party.found("alice", "bob", "carol")
        refused = {}
        for name, forged in BROKEN.items():
            await carol.connected()
            with pytest.raises(ParlourError) as problem:
                await carol._link.ask(Kind.HANDSHAKE, forged.request(party), Handled)
            refused[name] = problem.value.code
        assert refused == {
            "junk": Code.DECODE_VERSION,
            "cut off": Code.DECODE_TRUNCATED,
            "altered": Code.GROUP_INVALID,
            "oversized": Code.DECODE_MALFORMED,
            "puts somebody out": Code.GROUP_INVALID,
            "takes a role": Code.ROSTER_FORBIDDEN,
            "a Welcome for nobody": Code.GROUP_INVALID,
            "an oversized Welcome": Code.DECODE_MALFORMED,
        }
        await party.goes_on("alice", "bob", "carol")
        assert not party.heard("alice", CommitRefused)
        assert party.view("bob").epoch == 1


@pytest.mark.parametrize("what", ["junk", "oversized", "puts somebody out", "takes a role"])
async def test_a_server_that_lets_a_member_break_the_rules(party: Circle, what: str) -> None:
    """What it shows the others in the place of carol's commit is what it has let win."""
    async with party.online("alice", "bob"):
        async with party.online("carol") as (carol,):
            await party.found("alice", "bob", "carol")
            body, _ = BROKEN[what].body(party)

            def deliver(entry: Entry, device: bytes) -> list[Entry]:
                won = entry.stream == party.group and entry.envelope.suite == SuiteId.MLS_COMMIT
                if not won or device == carol_device or entry.sender_device != carol_device:
                    return [entry]
                return [replace(entry, envelope=replace(entry.envelope, body=encode_body(body)))]

            carol_device = party.device("carol")
            party.hostile.deliver = deliver
            await party.during(carol.groups.refresh(party.group))
            for name in ("alice", "bob"):
                await party.until(party.has(name, CommitRefused))
                told = party.heard(name, CommitRefused)
                assert [each.by for each in told] == [party.account("carol")]
        await party.until(party.has("bob", GroupRestarted))
        party.hostile.be_honest()
        async with party.online("carol"):
            await party.goes_on("alice", "bob", "carol")


# --- What is valid in public and broken in private -------------------------------------------


def spoiled_paths(keep: int) -> AbstractContextManager[object]:
    """A commit that is made in here has path secrets of which the first `keep` can be opened."""
    made: list[UpdatePath] = []

    def spoil(*arguments: object) -> UpdatePath:
        path, left = seal_path(*arguments), keep  # type: ignore[arg-type]
        made.append(path)
        if len(made) > 1:
            return path
        nodes = []
        for node in path.nodes:
            secrets = node.encrypted_path_secret
            sealed = [secrets[place] for place in range(secrets.count)]
            for place, each in enumerate(sealed):
                if left <= 0:
                    sealed[place] = replaced(each, ciphertext=turned(each.ciphertext))
                left -= 1
            nodes.append(replaced(node, encrypted_path_secret=HpkeCiphertexts.of(sealed)))
        return UpdatePath(path.leaf_node, tuple(nodes))

    return patch.object(committing, "seal_path", spoil)


async def test_a_commit_that_one_member_can_not_open(party: Circle) -> None:
    async with party.online("alice", "bob", "carol") as (alice, _, carol):
        # Carol's leaf is beside alice's: what she encrypts is for alice first, and then for bob.
        await party.found("alice", "carol")
        await alice.groups.add(party.group, ["bob"])
        await party.say("alice", "hello, bob", to=("bob", "carol"))
        with spoiled_paths(keep=1):
            await carol.groups.refresh(party.group, timeout=0)
            await party.say("carol", "can all of you read this?", to=("alice",))
        await party.until(party.has("bob", GroupRepaired))
        assert [each.by for each in party.heard("bob", CommitRefused)] == [party.account("carol")]
        assert not party.heard("alice", CommitRefused)
        await party.goes_on("alice", "bob", "carol")
        await party.reads("bob", "can all of you read this?")
        assert not party.heard("alice", GroupRestarted)


async def test_a_commit_that_nobody_can_open(party: Circle) -> None:
    async with party.online("alice", "bob"):
        async with party.online("carol") as (carol,):
            await party.found("alice", "bob", "carol")
            # Nobody whom she has locked out gets any help from her.
            ladder = carol._engine.machine._groups._ladder
            with patch.object(ladder, "_wanted"), spoiled_paths(keep=0):
                await carol.groups.refresh(party.group)
            account = carol.account_id
        await party.until(party.has("bob", GroupRestarted))
        for name in ("alice", "bob"):
            assert [each.by for each in party.heard(name, CommitRefused)] == [account]
            assert [each.without for each in party.heard(name, GroupRestarted)] == [(account,)]
        await party.goes_on("alice", "bob")
        async with party.online("carol"):
            await party.until(party.has("carol", GroupLeft))
            await party.goes_on("alice", "bob")


async def test_a_welcome_that_can_not_be_opened(party: Circle) -> None:
    """Carol, an admin, brings bob in with secrets that open nothing; the server can't see it."""
    async with party.online("alice", "bob", "carol") as (alice, _, carol):
        await party.found("alice", "carol")
        await party.during(alice.groups.set_role(party.group, "carol", Role.ADMIN))
        await party.until(lambda: party.are_together("alice", "carol"))

        def spoil(device: bytes, kind: Kind, body: object) -> object:
            if isinstance(body, Handshake) and body.parts:
                parts = [replace(part, data=turned(part.data)) for part in body.parts]
                return replace(body, parts=parts)
            return body

        party.hostile.request = spoil  # type: ignore[assignment]
        await carol.groups.add(party.group, ["bob"], timeout=0)
        await party.until(party.has("bob", GroupRepairing))
        party.hostile.be_honest()
        await party.until(party.has("bob", GroupJoined))
        assert party.heard("bob", GroupRepairing)[0].reason == "welcome"
        await party.goes_on("alice", "bob", "carol")


# --- Who is out ------------------------------------------------------------------------------


async def test_who_was_removed_and_still_sends(party: Circle) -> None:
    async with party.online("alice", "bob", "carol") as (alice, _, carol):
        await party.found("alice", "bob", "carol")
        body = party.chat("carol").live().encrypt(b"never mind")
        commit = Forged().request(party)
        await party.during(alice.groups.remove(party.group, ["carol"]))
        await party.until(lambda: party.view("carol").state is GroupState.LEFT)
        await party.until(lambda: party.are_together("alice", "bob"))
        envelope = Envelope(ENVELOPE_FORMAT, SuiteId.MLS_MESSAGE, b"", body)
        append = Append(party.group, carol._engine._random(16), envelope, [])
        for kind, request, response in (
            (Kind.APPEND, append, Appended),
            (Kind.HANDSHAKE, commit, Handled),
        ):
            with pytest.raises(ParlourError) as refused:
                await carol._link.ask(kind, request, response)
            assert refused.value.code is Code.STREAM_UNKNOWN
        # A server that lets her speak all the same.
        with patch.object(stored_entries, "_check_leaf", lambda *_: None):
            await carol._link.ask(Kind.APPEND, append, Appended)
        await party.until(party.has("bob", MessageUnreadable))
        told = [each.reason.value for each in party.heard("bob", MessageUnreadable)]
        assert told == ["unreadable.not_member"]
        await party.goes_on("alice", "bob")
        assert (await party.said("bob"))[0] == "welcome"
