"""The world of one run: people with devices, a server, the lines between them, and who watches."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from parlour.client.feed import ConnectionCode
from parlour.conversation.presets import DEFAULT
from parlour.errors import ParlourError
from parlour.identity.device_list import DeviceListState, next_entry
from parlour.server.store.records import NewList
from parlour.server.store.sqlite.accounts import _register
from parlour.server.store.sqlite.devices import append_list
from parlour.server.store.sqlite.rows import active_device
from parlour.server.store.sqlite.tokens import insert_token
from parlour.testing.simulation import forks, population
from parlour.testing.simulation.agreement import differences, orphans
from parlour.testing.simulation.chronicle import Chronicle, Epochs, Spoken, epoch_of
from parlour.testing.simulation.forks import Fork
from parlour.testing.simulation.loop import SimulatedLoop
from parlour.testing.simulation.meddling import Meddler
from parlour.testing.simulation.node import Node
from parlour.testing.simulation.oracle import Numbered, Oracle
from parlour.testing.simulation.server import SimulatedServer
from parlour.testing.simulation.trace import Trace
from parlour.testing.simulation.wire import Pair
from parlour.wire.envelope import SuiteId

# Seconds between two looks whether all is at rest, and how long it has to be so.
_LOOK_EVERY: Final = 5
_STAYS: Final = 2
# Kinds of streams in which people speak.
_SPOKEN: Final = ("direct", "group", "family", "channel")
# Between two people, whoever is on a list is to read it: who has no leaf yet asks for it.
_OF_TWO: Final = "direct"
# Entries of groups in which nothing is said.
_HANDSHAKES: Final = (SuiteId.MLS_COMMIT, SuiteId.MLS_PROPOSAL, SuiteId.MLS_RESTART)
_NEW: Final = (
    "SELECT entries.pk, streams.pk, streams.stream_id, entries.seq, client_id, stored_at, kind, "
    "suite, body, device_id FROM entries JOIN streams ON streams.pk = entries.stream "
    "JOIN devices ON devices.pk = entries.sender WHERE entries.pk > ? "
    "ORDER BY entries.pk"
)
_OWED: Final = (
    "SELECT device_id, account_id FROM members JOIN devices ON devices.account = members.account "
    "AND devices.active = 1 JOIN accounts ON accounts.pk = members.account WHERE members.stream = ?"
)
_REMOVED: Final = "SELECT device_id FROM devices WHERE active = 0"


@dataclass(slots=True)
class Backup:
    """A copy of the server's disk, and which timelines it holds."""

    image: sqlite3.Connection
    timelines: frozenset[int]
    list_changes: int


@dataclass(slots=True)
class _Branch:
    """How far the entries of one server's disk were seen, and in which timeline they are."""

    timeline: int
    newest: int = 0
    epochs: Epochs = field(default_factory=Epochs)


class World:
    """Everything that there is in one run.

    `names` are accounts with their numbers of devices, `presets` what some of them prefer, and
    `crowd` those who come when it has begun.
    """

    def __init__(
        self,
        seed: str,
        names: dict[str, int],
        trace: Trace,
        loop: SimulatedLoop,
        presets: Mapping[str, str],
        crowd: Sequence[str] = (),
    ) -> None:
        self.seed = seed
        self.loop = loop
        self.trace = trace
        self.random = random.Random(f"{seed} world")
        self.oracle = Oracle()
        self.oracle.on_note = trace.note
        self.effects: Counter[str] = Counter()
        """How often each action has really done something."""
        self.meddler = Meddler(self.effects)
        self.names = names
        self.presets = presets
        self.crowd = list(crowd)
        """Names of those who come later, at the same moment."""
        self.nodes: dict[str, Node] = {}
        self.copies: list[tuple[Node, Node, int]] = []
        """Copied homes: the copy, the original, and its connections when it was copied."""
        self.parted: list[str] = []
        """Labels of devices that the network has cut off together."""
        self.backup: Backup | None = None
        self.list_changes = 0
        self.said = 0
        self.days = 0
        """Days that are to pass before the next step."""
        self.chronicle = Chronicle()
        self.timelines = {0}
        self._timelines = 0
        self._main = _Branch(0)
        image = population.image(tuple(names))
        self.server = SimulatedServer(loop, loop.now, image, f"{seed} 0", self.effects)
        self._watch(self.server, self._main)
        self.forked: SimulatedServer | None = None
        self.half: frozenset[str] = frozenset()
        """Labels of devices that the server shows its other side."""
        self._branch = self._main
        self.forks: list[Fork] = []

    # --- The beginning -------------------------------------------------------------------

    def settle_in(self) -> None:
        """Put everybody's first devices on their lists, and switch them on."""
        for name, count in self.names.items():
            owner, entry = population.member(name), population.member(name).entry
            kits = [population.kit(name, number) for number in range(1, count + 1)]
            for number in range(2, count + 1):
                listed = tuple(kit.listed for kit in kits[:number])
                state = DeviceListState.after(entry)
                entry = next_entry(state, owner.key, listed, population.SECONDS)
                new = NewList(
                    entry.number,
                    entry.encode(),
                    [kit.as_new() for kit in kits[:number]],
                    {kits[number - 1].device_id: kits[number - 1].uploaded},
                )
                self._at_server(new, owner.account_id, kits[number - 1])
            for kit in kits:
                preset = self.presets.get(name, DEFAULT)
                records = owner.records(kit, entry, first=kit is kits[0], preset=preset)
                self.add(Node.made(self, name, kit, records))

    def _at_server(self, new: NewList, account_id: bytes, kit: population.Kit) -> None:
        connection = self.server.connection
        connection.execute("BEGIN")
        append_list(connection, account_id, new, self.loop.now())
        connection.execute("COMMIT")
        self.log_in(kit)

    def log_in(self, kit: population.Kit) -> None:
        """Give a device that is on its list a token."""
        connection = self.server.connection
        connection.execute("BEGIN")
        token = population.new_token(kit.token, self.loop.now())
        insert_token(connection, active_device(connection, kit.device_id).pk, token)
        connection.execute("COMMIT")

    def admit(self, name: str) -> Node:
        """Register one of the crowd, with a device, and switch that on."""
        now, connection = self.loop.now(), self.server.connection
        self.crowd.remove(name)
        self.list_changes += 1
        connection.execute("BEGIN")
        _register(connection, population.new_account(name, now), now)
        connection.execute("COMMIT")
        kit, owner = population.kit(name, 1), population.member(name)
        node = Node.made(self, name, kit, owner.records(kit, owner.entry, first=True))
        self.add(node)
        return node

    def add(self, node: Node) -> None:
        """There is one more device; it is switched on."""
        self.nodes[node.label] = node
        node.start()

    # --- Looking -------------------------------------------------------------------------

    def listed(self) -> set[bytes]:
        """The devices that are on their lists."""
        rows = self.server.connection.execute("SELECT device_id FROM devices WHERE active = 1")
        return {bytes(row[0]) for row in rows}

    def present(self) -> list[Node]:
        """The devices that are on their lists, in the order of their coming."""
        listed = self.listed()
        for node in self.nodes.values():
            node.on_list = node.device_id in listed
        return [node for node in self.nodes.values() if node.on_list]

    def accounts(self) -> list[str]:
        """The names of all accounts that there are by now."""
        come = {node.name for node in self.nodes.values()}
        return [*self.names, *(name for name in population.CROWD if name in come)]

    def of_account(self, name: str) -> list[Node]:
        """An account's devices that are on its list."""
        return [node for node in self.present() if node.name == name]

    def server_of(self, node: Node) -> SimulatedServer:
        """The server that a device is shown."""
        if self.forked is not None and node.label in self.half:
            return self.forked
        return self.server

    def pairs_of(self, node: Node) -> list[Pair]:
        """The connections of a device."""
        servers = [self.server] + ([self.forked] if self.forked is not None else [])
        return [pair for each in servers for pair in list(each.pairs) if pair.line is node.line]

    def times_up(self, node: Node) -> int:
        """How often a device was connected."""
        return self.oracle.heard[node.label].names[ConnectionCode.UP.value]

    def next_text(self, label: str) -> str:
        """What nobody has said before."""
        self.said += 1
        return f"{label} {self.said}"

    # --- The server's disk ---------------------------------------------------------------

    def _watch(self, server: SimulatedServer, branch: _Branch) -> None:
        server.looks = self.meddler.look
        server.on_commit = lambda: self._absorb(server, branch)

    def _absorb(self, server: SimulatedServer, branch: _Branch) -> None:
        """Tell the oracle of the entries that have a number since it last looked."""
        connection = server.connection
        self.chronicle.absorb(connection, branch.epochs)
        for (
            pk,
            stream,
            stream_id,
            seq,
            client_id,
            stored_at,
            kind,
            suite,
            body,
            sender,
        ) in connection.execute(_NEW, (branch.newest,)).fetchall():
            branch.newest = max(branch.newest, pk)
            if suite in _HANDSHAKES:
                continue
            owed = connection.execute(_OWED, (stream,)).fetchall()
            members = devices = frozenset(bytes(row[0]) for row in owed)
            epoch = epoch_of(bytes(body)) if suite == SuiteId.MLS_MESSAGE else None
            if epoch is not None:
                self.chronicle.spoken.append(
                    Spoken(
                        bytes(sender),
                        bytes(client_id),
                        epoch,
                        bytes(body),
                        frozenset(bytes(row[1]) for row in owed),
                        frozenset(bytes(row[0]) for row in connection.execute(_REMOVED)),
                    )
                )
            if epoch is not None and kind != _OF_TWO:
                devices &= branch.epochs.leaves.get(epoch, frozenset())
            if kind in _SPOKEN:
                numbered = Numbered(
                    bytes(stream_id), seq, stored_at, devices, branch.timeline, members, epoch
                )
                self.oracle.entry(bytes(client_id), numbered)

    def _begin_timeline(self) -> None:
        self._main.timeline = self._next_timeline()
        self.timelines.add(self._main.timeline)
        newest = self.server.connection.execute("SELECT coalesce(max(pk), 0) FROM entries")
        self._main.newest = newest.fetchone()[0]

    def _next_timeline(self) -> int:
        self._timelines += 1
        return self._timelines

    def take_backup(self) -> None:
        """Copy the server's disk."""
        image, held = self.server.backup(), frozenset(self.timelines)
        self.backup = Backup(image, held, self.list_changes)
        self._begin_timeline()

    def restore(self) -> None:
        """Put the copy back."""
        backup = self.backup
        if backup is None:
            return
        self.oracle.discarded |= self.timelines - backup.timelines
        self.timelines = set(backup.timelines)
        self.server.restore(backup.image)
        # Tickets are forgotten: a copied home would be believed, if it came first.
        self.copies.clear()
        self._begin_timeline()

    # --- Two sides -----------------------------------------------------------------------

    def fork(self) -> None:
        """From now on, the server shows half of the devices another side than the others."""
        # On one side nobody knows how often a device came to the other one.
        self.copies.clear()
        image = self.server.backup()
        branch = _Branch(self._next_timeline(), self._main.newest, self._main.epochs.copy())
        seed = f"{self.seed} side {branch.timeline}"
        self.forked = SimulatedServer(self.loop, self.loop.now, image, seed, self.effects)
        self._watch(self.forked, branch)
        self._branch = branch
        labels = sorted(self.nodes)
        self.half = frozenset(self.random.sample(labels, len(labels) // 2))
        for label in sorted(self.half):
            self.nodes[label].cut()
        self.forks.append(forks.begin(self, branch.timeline, self.half, branch.epochs))

    def merge(self) -> None:
        """It has one side again: the other's entries are gone."""
        if self.forked is not None:
            self.forked.stop()
            self.oracle.discarded.add(self._branch.timeline)
            forks.end(self, self.forks[-1], self._branch.epochs)
            self.server.connection.execute("UPDATE devices SET ticket = NULL")
            self.copies.clear()
            self.forked = None
            self.half = frozenset()

    # --- The end -------------------------------------------------------------------------

    def mend_everything(self) -> None:
        """All faults stop."""
        self.meddler.end_all()
        self.merge()
        self.server.go_stale(None)
        self.server.fill(full=False)
        self.server.process.disarm()
        if not self.server.up:
            self.server.start()
        self.parted = []
        for node in self.nodes.values():
            node.process.disarm()
            node.line.heal()
            node.offset = 0
            node.fill(full=False)
            if node.failure is not None:
                # A person tries again: what a server said wrongly stops a link for good.
                node.kill()
            node.start()
            if node.ready:
                # The hands were put right: whoever waits looks at the clock again.
                node.engine.changed.notify()

    def pass_a_night(self) -> None:
        """Let somebody see to the server, and make room on full disks, as they do within a day."""
        self.server.fill(full=False)
        self.server.go_stale(None)
        if not self.server.up:
            self.server.start()
        for node in self.nodes.values():
            node.fill(full=False)

    def reconnect_everybody(self) -> None:
        """End all connections; each device makes another one."""
        for node in self.nodes.values():
            node.cut()

    def at_rest(self, nodes: Iterable[Node], *, agreeing: bool) -> bool:
        """Whether everybody is connected, and nobody has anything to send or to read."""
        if not all(self.is_quiet(node, agreeing=agreeing) for node in nodes):
            return False
        return not (agreeing and differences(self))

    def is_quiet(self, node: Node, *, agreeing: bool) -> bool:
        """Whether a device is connected, and has nothing to send or to read."""
        if not node.online:
            return False
        machine = node.engine.machine
        orphaned = orphans(self)
        outbox = machine._memory.outbox.values()
        stuck = sum(each.conversation in orphaned and not each.silent for each in outbox)
        told = any(each.conversation in orphaned and each.silent for each in outbox)
        if machine.waiting > stuck or (machine.telling and not told) or not machine.caught_up:
            return False
        if not agreeing:
            return True
        groups = [group for group in node.chats() if group not in orphaned]
        return not any(machine._memory.groups.intents_of(group) for group in groups)

    async def come_to_rest(self, seconds: int, *, agreeing: bool = True) -> bool:
        """Let time pass until all is at rest, at most so long; whether it is.

        Who was taken off the list is at rest when it was told so.
        """
        nodes = self.present()
        removed = [node for node in self.nodes.values() if not node.on_list]
        for _ in range(seconds // _LOOK_EVERY):
            await asyncio.sleep(_LOOK_EVERY)
            if self.at_rest(nodes, agreeing=agreeing) and all(
                node.failure is not None for node in removed
            ):
                await asyncio.sleep(_STAYS)
                if self.at_rest(nodes, agreeing=agreeing):
                    return True
        return False

    async def try_to(self, deed: object) -> None:
        """Do something that may be refused."""
        try:
            await deed  # type: ignore[misc]
        except ParlourError as refusal:
            self.trace.note("world", "refused", refusal.code.value)
