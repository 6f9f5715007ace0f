"""Groups of core-crypto (OpenMLS in WebAssembly, by Wire) and ours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from parlour.mls import BasicCredential, ExternalJoin, Group
from parlour.mls.private.identity import Identity
from parlour.mls.public.types import LeafIndex, WireFormat
from tests.mls_peers import NOW, POLICY, Made, Ours, Peer, PeerFailed, Table, Theirs

# MLSMessage{mls10, mls_group_info} and {mls10, mls_key_package}: core-crypto leaves them out.
GROUP_INFO, KEY_PACKAGE = b"\0\1\0\4", b"\0\1\0\5"
CREATORS = pytest.mark.parametrize("creator", ["ours", "theirs"])


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    with Peer("mls_corecrypto.mjs", "@wireapp/core-crypto") as peer:
        peer.ask("suite", number=1)
        yield peer


class Named(Ours):
    """Ours, under a name of the form that core-crypto wants to decrypt from."""

    client_id: bytes

    def __init__(self, name: str, peer: Peer) -> None:
        super().__init__(name)
        self.client_id = bytes.fromhex(peer.ask("client_id")["identity"])
        self.person.identity = Identity.generate(
            BasicCredential(self.client_id), random=self.person.random
        )

    @property
    def identity(self) -> bytes:
        return self.client_id

    def agreed(self) -> bytes:
        # core-crypto does not show the epoch authenticator; it exports under this label.
        return self.group.export(b"exporter", b"", 32)


@dataclass(eq=False)
class Core(Theirs):
    """A client of core-crypto, which merges its own commits at once."""

    client_id: bytes = b""

    @property
    def identity(self) -> bytes:
        return self.client_id

    def key_package(self) -> bytes:
        answer = self.ask("key_package")
        self.client_id = bytes.fromhex(answer["identity"])
        return KEY_PACKAGE + bytes.fromhex(answer["key_package"])

    def add(self, key_packages: list[bytes]) -> Made:
        bare = [message.removeprefix(KEY_PACKAGE) for message in key_packages]
        return self.made("add", key_packages=bare)

    def propose_remove(self, leaf: LeafIndex, identity: bytes) -> bytes:
        raise NotImplementedError

    def agreed(self) -> bytes:
        return bytes.fromhex(self.ask("exported", length=32)["secret"])


def clients(peer: Peer) -> tuple[Named, Core, Named, Core]:
    return Named("ada", peer), Core(peer, "bea"), Named("cid", peer), Core(peer, "dan")


@CREATORS
def test_a_whole_group(peer: Peer, creator: str) -> None:
    ada, bea, cid, dan = clients(peer)
    if creator == "ours":
        table = Table.begin(ada)
        table.add(ada, bea)
        table.add(bea, cid, dan)
    else:
        table = Table.begin(bea)
        table.add(bea, ada)
        table.add(ada, cid, dan)
    cid_leaf, dan_leaf = 2, 3
    for seat in (ada, bea, cid, dan):
        table.update(seat)
    update = cid.group.propose_update(NOW, wire_format=cid.wire_format)
    table.commit(bea, (cid, update))
    table.remove(ada, dan_leaf, dan)
    table.remove(bea, cid_leaf, cid)
    table.add(bea, cid)
    table.update(bea)
    table.remove(bea, cid_leaf, cid, proposer=ada)


def test_joining_by_a_commit(peer: Peer) -> None:
    ada, bea, cid, dan = clients(peer)
    table = Table.begin(ada)
    table.add(ada, bea)
    table.update(bea)
    info = bytes.fromhex(bea.ask("group_info")["group_info"])
    join = ExternalJoin(POLICY)
    own = Group.join_external(info, cid.person.identity, NOW, join)
    commit, cid.person.group = own.commit, own.confirm(own.commit)
    for seat in table.seats:
        seat.process(commit)
    table.seats.append(cid)
    table.check()
    dan.key_package()
    info = ada.group.group_info().removeprefix(GROUP_INFO)
    answer = dan.ask("join_external", group_info=info)
    for seat in table.seats:
        seat.process(bytes.fromhex(answer["commit"]))
    table.seats.append(dan)
    table.check()
    table.update(dan)
    table.update(cid)


def test_private_handshakes_are_not_for_it(peer: Peer) -> None:
    ada, bea, _, _ = clients(peer)
    table = Table.begin(ada)
    table.add(ada, bea)
    ada.wire_format = WireFormat.PRIVATE_MESSAGE
    commit, _ = ada.update()
    with pytest.raises(PeerFailed, match="wire format policy"):
        bea.process(commit)
