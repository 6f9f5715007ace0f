"""Groups of core-crypto (OpenMLS in WebAssembly, by Wire) and ours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from parlour.mls import BasicCredential
from parlour.mls.private.identity import Identity
from parlour.mls.public.types import LeafIndex, WireFormat
from tests.mls_peers import NOW, Made, Ours, Peer, Table, Theirs

# MLSMessage{mls10, mls_key_package}: core-crypto leaves this header out.
KEY_PACKAGE = b"\0\1\0\5"
CREATORS = pytest.mark.parametrize("creator", ["ours", "theirs"])


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    with Peer("mls_corecrypto.mjs", "@wireapp/core-crypto") as peer:
        peer.ask("suite", number=1)
        yield peer


class Named(Ours):
    """Ours, under a name of the form that core-crypto wants to decrypt from."""

    client_id: bytes

    def __init__(self, name: str, peer: Peer, wire_format: WireFormat) -> None:
        super().__init__(name, wire_format=wire_format)
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


def clients(peer: Peer, wire: WireFormat) -> tuple[Named, Core, Named, Core]:
    return (
        Named("ada", peer, wire),
        Core(peer, "bea"),
        Named("cid", peer, wire),
        Core(peer, "dan"),
    )


@CREATORS
def test_a_whole_group(peer: Peer, creator: str) -> None:
    wire = WireFormat.PUBLIC_MESSAGE if creator == "ours" else WireFormat.PRIVATE_MESSAGE
    ada, bea, cid, dan = clients(peer, wire)
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
