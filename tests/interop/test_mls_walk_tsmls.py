"""Random walks of mixed groups: trees with blanks and unmerged leaves, as nobody plans them."""

from __future__ import annotations

import random as seeds
from collections.abc import Iterator

import pytest

from parlour.mls.public.proposals import Add, Proposal, Remove
from parlour.mls.public.types import LeafIndex, WireFormat
from tests.mls_peers import (
    NOW,
    TS_MLS_SUITES,
    Ours,
    Peer,
    PeerFailed,
    Theirs,
    read_key_package,
)

Client = Ours | Theirs
MOST = 11


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    with Peer("mls_tsmls.mjs", "ts-mls") as peer:
        peer.ask("suite", name=TS_MLS_SUITES[1])
        yield peer


class Walk:
    """Who is in the group, by leaf; and a source of decisions."""

    def __init__(self, peer: Peer, seed: int) -> None:
        self.choose = seeds.Random(seed)
        self.peer = peer
        self.number = self.refused = 0
        first = self.newcomer()
        first.create()
        self.leaves: dict[int, Client] = {0: first}
        # Leaves of clients that could not join; the next commit removes them.
        self.ghosts: list[int] = []

    def newcomer(self) -> Client:
        self.number += 1
        name = f"walker {self.number}"
        private = self.choose.random() < 0.5
        wire = WireFormat.PRIVATE_MESSAGE if private else WireFormat.PUBLIC_MESSAGE
        if self.number % 2:
            return Ours(name, wire_format=wire)
        return Theirs(self.peer, name, not private)

    def step(self) -> None:
        """One commit of some adds and removes, or of none, perhaps with an Update by reference."""
        place = self.choose.choice(sorted(self.leaves))
        committer = self.leaves[place]
        others = sorted(self.leaves.keys() - {place})
        gone = self.choose.sample(others, self.choose.choice((0, 0, 1, 2)) % (len(others) + 1))
        gone += self.ghosts
        self.ghosts = []
        room = max(MOST - len(self.leaves) + len(gone), 0)
        joiners = [self.newcomer() for _ in range(min(room, self.choose.choice((0, 0, 1, 3))))]
        packages = [joiner.key_package() for joiner in joiners]
        updating = [p for p in others if p not in gone and isinstance(self.leaves[p], Ours)]
        if updating and self.choose.random() < 0.4:
            self.propose_update(self.leaves[self.choose.choice(updating)])
        commit, welcome = self.commit(committer, gone, packages)
        committer.merge()
        for leaf, client in self.leaves.items():
            if client is not committer and leaf not in gone:
                client.process(commit)
        for leaf in gone:
            self.leaves.pop(leaf, None)
        for joiner in joiners:
            assert welcome is not None
            # Each takes the leftmost empty leaf.
            taken = {*self.leaves, *self.ghosts}
            free = next(leaf for leaf in range(2 * MOST) if leaf not in taken)
            if self.can_join(joiner, welcome):
                self.leaves[free] = joiner
            else:
                self.ghosts.append(free)
        self.check()

    def can_join(self, joiner: Client, welcome: bytes) -> bool:
        """ts-mls refuses a valid tree in which a leaf is unmerged below and merged further up."""
        try:
            joiner.join(welcome)
        except PeerFailed as error:
            if "must list leaf node in its unmerged_leaves" not in str(error):
                raise
            self.refused += 1
            return False
        return True

    def propose_update(self, client: Client) -> None:
        assert isinstance(client, Ours)
        update = client.group.propose_update(NOW, wire_format=client.wire_format)
        for other in self.leaves.values():
            if other is not client:
                other.process(update)

    def commit(
        self, committer: Client, gone: list[int], packages: list[bytes]
    ) -> tuple[bytes, bytes | None]:
        if isinstance(committer, Ours):
            removes: list[Proposal] = [Remove(LeafIndex(leaf)) for leaf in gone]
            adds = [Add(read_key_package(package)) for package in packages]
            path = self.choose.random() < 0.5
            return committer.made(path=path, proposals=[*removes, *adds])
        proposals = [{"kind": "remove", "leaf": leaf} for leaf in gone]
        more = [{"kind": "add", "key_package": package} for package in packages]
        return committer.made("commit", proposals=[*proposals, *more])

    def check(self) -> None:
        clients = list(self.leaves.values())
        assert len({client.agreed() for client in clients}) == 1
        sender = self.choose.choice(clients)
        message = sender.encrypt(b"step")
        assert {c.process(message) for c in clients if c is not sender} <= {b"step"}
        for leaf, client in self.leaves.items():
            if isinstance(client, Ours):
                assert client.group.own_leaf == leaf


@pytest.mark.parametrize("seed", range(3))
def test_a_mixed_group_walks(peer: Peer, seed: int) -> None:
    walk = Walk(peer, seed)
    for _ in range(40):
        walk.step()
    kinds = {type(client) for client in walk.leaves.values()}
    assert kinds == {Ours, Theirs}
    assert walk.number > 20 > 4 * walk.refused
