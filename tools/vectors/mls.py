"""Passive clients of our own: whole groups in the upstream form, for suites 1 to 7.

A client joins by a Welcome and follows; it has to agree with every epoch authenticator. The cases
have the fields of the upstream kinds `passive-client-*`.
"""

from __future__ import annotations

from typing import Any

from parlour.mls import (
    BasicCredential,
    CommitOptions,
    ExternalJoin,
    ExternalPsk,
    Group,
    Identity,
    KeyPackageBundle,
    PskStore,
)
from parlour.mls.private.joining import WelcomeJoin
from parlour.mls.public.extensions import Extension, Extensions
from parlour.mls.public.proposals import (
    GroupContextExtensions,
    PreSharedKey,
    Proposal,
    Remove,
)
from parlour.mls.public.psk_id import ExternalPskId, PreSharedKeyId
from parlour.mls.public.suites import CipherSuite, find_suite
from parlour.mls.public.tree.extension import encode_tree
from parlour.mls.public.types import ExtensionType, LeafIndex, WireFormat
from parlour.testing.randomness import seeded

NOW = 1_900_000_000
_PSK_ID = b"parlour external psk"
_PSK = bytes(range(32))


class _Client:
    """One client, all of whose choices come from its name."""

    def __init__(self, name: str, suite: CipherSuite) -> None:
        self.random = seeded(f"mls vectors {suite.id} {name}")
        credential = BasicCredential(name.encode())
        self.identity = Identity.generate(credential, suite, random=self.random)
        self.bundle = KeyPackageBundle.create(self.identity, NOW, random=self.random)
        self.psks = PskStore()
        self.psks.add_external(_PSK_ID, ExternalPsk(_PSK))
        self.group: Group

    def psk(self) -> PreSharedKey:
        nonce = self.random(self.identity.suite.hash_size)
        return PreSharedKey(PreSharedKeyId(ExternalPskId(_PSK_ID), nonce))


class _Scenario:
    """A group in which the last client is the passive one."""

    def __init__(self, suite: CipherSuite, wire_format: WireFormat, *, tree_inside: bool) -> None:
        self.suite = suite
        self.wire_format = wire_format
        self.clients = [_Client(name, suite) for name in ("ada", "bea", "cid", "passive")]
        first, *others = self.clients
        first.group = Group.create(
            first.identity, b"parlour vectors", NOW, psks=first.psks, random=first.random
        )
        pending = first.group.commit(
            NOW,
            adds=[client.bundle.key_package for client in others],
            options=CommitOptions(path=True, ratchet_tree=tree_inside),
            random=first.random,
        )
        first.group.merge(pending, NOW)
        self.tree = None if tree_inside else encode_tree(first.group.current.tree)
        self.welcome = pending.welcome or b""
        for client in others:
            join = WelcomeJoin(psks=client.psks, ratchet_tree=self.tree)
            client.group = Group.join(self.welcome, [client.bundle], NOW, join)
        self.passive = self.clients[-1]
        self.start = self.passive.group.epoch_authenticator.reveal()
        self.epochs: list[dict[str, Any]] = []

    def propose(self, who: int, proposal: Proposal | None = None) -> str:
        client = self.clients[who]
        if proposal is None:
            message = client.group.propose_update(
                NOW, wire_format=self.wire_format, random=client.random
            )
        else:
            message = client.group.propose(
                proposal, NOW, wire_format=self.wire_format, random=client.random
            )
        for other in self.clients:
            if other is not client:
                other.group.process(message, NOW)
        return message.hex()

    def commit(self, who: int, proposals: list[str], *own: Proposal, path: bool = True) -> None:
        client = self.clients[who]
        pending = client.group.commit(
            NOW,
            proposals=own,
            options=CommitOptions(path=path, wire_format=self.wire_format),
            random=client.random,
        )
        client.group.merge(pending, NOW)
        self.follow(client, pending.commit, proposals)

    def join(self, name: str) -> None:
        client = _Client(name, self.suite)
        info = self.clients[0].group.group_info()
        join = ExternalJoin(psks=client.psks, psk_ids=(client.psk().psk,))
        client.group, commit = Group.join_external(
            info, client.identity, NOW, join, random=client.random
        )
        self.clients.append(client)
        self.follow(client, commit, [])

    def follow(self, sender: _Client, commit: bytes, proposals: list[str]) -> None:
        for client in list(self.clients):
            if client is not sender:
                client.group.process(commit, NOW)
            if not client.group.is_active:
                self.clients.remove(client)
        self.epochs.append(
            {
                "proposals": proposals,
                "commit": commit.hex(),
                "epoch_authenticator": self.passive.group.epoch_authenticator.reveal().hex(),
            }
        )

    def case(self) -> dict[str, Any]:
        bundle = self.passive.bundle
        return {
            "cipher_suite": int(self.suite.id),
            "external_psks": [{"psk_id": _PSK_ID.hex(), "psk": _PSK.hex()}],
            "key_package": bundle.message.hex(),
            "signature_priv": bundle.identity.signer.to_bytes().hex(),
            "encryption_priv": bundle.leaf_key.to_bytes().hex(),
            "init_priv": bundle.init_key.to_bytes().hex(),
            "welcome": self.welcome.hex(),
            "ratchet_tree": None if self.tree is None else self.tree.hex(),
            "initial_epoch_authenticator": self.start.hex(),
            "epochs": self.epochs,
        }


def make_case(suite: CipherSuite, wire_format: WireFormat, *, tree_inside: bool) -> dict[str, Any]:
    """One case: every kind of proposal, by value and by reference, and an external commit."""
    scenario = _Scenario(suite, wire_format, tree_inside=tree_inside)
    scenario.commit(1, [])
    scenario.commit(0, [scenario.propose(1), scenario.propose(2, scenario.clients[2].psk())])
    scenario.commit(2, [], scenario.clients[2].psk(), path=False)
    scenario.join("dan")
    extension = Extension(ExtensionType.REQUIRED_CAPABILITIES, b"\x00\x00\x02\x00\x01")
    scenario.commit(1, [], GroupContextExtensions(Extensions.of([extension])))
    scenario.commit(0, [scenario.propose(1, Remove(LeafIndex(2)))])
    scenario.join("eve")
    scenario.commit(0, [scenario.propose(len(scenario.clients) - 1)])
    return scenario.case()


def make(_: Any) -> Any:
    """The content of `mls.json`."""
    return {
        "passive_client": [
            make_case(find_suite(suite), wire_format, tree_inside=wire_format == 1)
            for suite in range(1, 8)
            for wire_format in (WireFormat.PUBLIC_MESSAGE, WireFormat.PRIVATE_MESSAGE)
        ]
    }
