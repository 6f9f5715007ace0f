"""A machine that was just started and is given something, and a server that answers it as ever."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from fuzz.groups.members import Coming, Members
from parlour.conversation.groups.credentials import owner_of
from parlour.conversation.groups.records import GroupState
from parlour.conversation.machine import Machine
from parlour.conversation.requests import LoadHash, LoadMessage, Request, ServerRequest
from parlour.errors import Code, ParlourError, error
from parlour.roster.roles import Role
from parlour.testing.device import MemoryStore
from parlour.testing.randomness import seeded
from parlour.wire import groups as wire
from parlour.wire.kinds import Kind
from parlour.wire.push import PushEntry, PushStream
from parlour.wire.streams import Entry

# Nobody but bob may change more than this; and he does nothing here but add dave.
_HIGHEST: Final = {
    "bob": Role.OWNER,
    "alice": Role.ADMIN,
    "mallory": Role.MODERATOR,
    "carol": Role.MEMBER,
    "dave": Role.MEMBER,
}
_READS: Final = frozenset(
    (
        Kind.READ_GROUP,
        Kind.READ_DEVICE_LIST,
        Kind.READ_DEVICE_LISTS,
        Kind.READ_LIST_HEADS,
        Kind.COUNT_KEY_PACKAGES,
        Kind.READ,
    )
)
# Milliseconds in which a machine goes on after an input: the rungs of the ladder are in it.
_STEPS: Final = (0, 2_000, 15_000, 180_000)
# So often in each of them it is asked what it wants.
_ROUNDS: Final = 4


class Run:
    """The machine of one of the members. `answers` are what the server says to some questions."""

    def __init__(
        self, members: Members, name: str, answers: Mapping[Kind, Struct], *, restored: bool = False
    ) -> None:
        """`restored`: the server says that its data is from a backup."""
        self._members = members
        self._name = name
        self._answers = answers
        self._store = members.devices[name].store
        self._seq = members.begins_after
        self.now = members.begins_at
        self.machine = self._start(self._store)
        started = members.server.live_start(self.machine.device_id, self.machine.positions())
        if restored:
            started = replace(started, incarnation=b"r" * 16)
        self.machine.connected(started, self.now)

    @classmethod
    def of_newcomer(cls, members: Members, coming: Coming, answers: Mapping[Kind, Struct]) -> Run:
        """Dave, who has been told that he is in the group."""
        run = cls(members, "dave", {Kind.READ_GROUP: coming.state, **answers})
        run.machine.pushed(PushStream(coming.stream), run.now)
        return run

    def _start(self, store: MemoryStore) -> Machine:
        supply = self._members.bob.supply
        return Machine(store.records, self.now, random=seeded(0), supply=supply)

    # --- Going on ------------------------------------------------------------------------

    def push(self, entry: Entry) -> None:
        """The server shows an entry."""
        self._seq = max(self._seq, entry.seq)
        self.machine.pushed(PushEntry(entry), self.now)

    def go_on(self) -> None:
        """Let time pass."""
        for step in _STEPS:
            self.now += step
            self.machine.handle_timeout(self.now)
            for _ in range(_ROUNDS):
                for request in self.machine.outgoing(self.now):
                    self._answer(request)

    def _answer(self, request: Request) -> None:
        if isinstance(request, LoadMessage):
            self.machine.loaded(request.message_id, None, self.now)
        elif isinstance(request, LoadHash):
            self.machine.loaded_hash(request.stream, request.seq, None)
        else:
            try:
                answer = self._answers.get(request.kind) or self._honest(request)
            except ParlourError as problem:
                self.machine.failed(request, problem, self.now)
            else:
                self.machine.answered(request, answer, self.now)

    def _honest(self, request: ServerRequest) -> Struct:
        """What is read is there, every commit wins, and nothing else is answered."""
        if request.kind in _READS:
            server = self._members.server
            return server._answer(self.machine.device_id, request.kind, request.body)
        body = request.body
        if isinstance(body, wire.FetchKeyPackages):
            packages = [self._members.key_package_of(each) for each in body.device_ids]
            return wire.FoundKeyPackages(packages, len(packages))
        if isinstance(body, wire.Handshake):
            self.push(self._stored(body))
            place = (body.generation, body.epoch + 1)
            won = (body.stream, body.client_id, self._seq, self.now, False)
            return wire.Handled(*won, *place, [])
        raise error(Code.NETWORK_TIMEOUT)

    def _stored(self, body: wire.Handshake) -> Entry:
        who = (self.machine.account_id, self.machine.device_id, body.client_id)
        return Entry(body.stream, self._seq + 1, *who, self.now, None, body.envelope, None)

    # --- What has to hold ----------------------------------------------------------------

    def check(self, without: Collection[str] = ()) -> None:
        """Nobody rules or reads who may not, and what is on disk serves the next start.

        `without` are those whom nobody who may has let in.
        """
        store = self._store.copy()
        store.apply(self.machine.changes())
        self._check(self.machine, without)
        self._check(self._start(store), without)

    def _check(self, machine: Machine, without: Collection[str]) -> None:
        chat = machine._memory.groups.chats.get(self._members.group)
        if chat is None:
            return
        if self._name == "bob":
            assert chat.record.state is not GroupState.LEFT, "nobody may put out the owner"
        members = {} if chat.roster is None else chat.roster.state.members
        names = {account: name for name, account in self._members.accounts.items()}
        assert members.keys() <= names.keys(), "nobody else was added"
        assert not {names[account] for account in members}.intersection(without)
        for account, member in members.items():
            assert member.role <= _HIGHEST[names[account]], names[account]
        if chat.group is not None:
            owners = [owner_of(leaf) for _, leaf in chat.group.members]
            assert {owner.account_id for owner in owners} <= members.keys()
            assert len({owner.device_id for owner in owners}) == len(owners)
