"""Groups played from seeds, and written down as one of their members saw them."""

from __future__ import annotations

from typing import Any, Final

from parlour.mls import (
    BasicCredential,
    CommitOptions,
    ExternalJoin,
    ExternalPsk,
    Group,
    Identity,
    KeyPackageBundle,
    Policy,
    PskStore,
)
from parlour.mls.private.joining import WelcomeJoin
from parlour.mls.public.extensions import NO_EXTENSIONS, Extensions
from parlour.mls.public.proposals import PreSharedKey, Proposal
from parlour.mls.public.psk_id import ExternalPskId, PreSharedKeyId
from parlour.mls.public.suites import CipherSuite
from parlour.mls.public.tree.extension import encode_tree
from parlour.mls.public.types import WireFormat
from parlour.testing.mls import OPEN_POLICY
from parlour.testing.randomness import seeded

NOW: Final = 1_900_000_000
GROUP_ID: Final = b"parlour vectors"
_PSK_ID: Final = b"parlour external psk"
_PSK: Final = bytes(range(32))


class Client:
    """One client, all of whose choices come from its name."""

    def __init__(self, name: str, suite: CipherSuite, policy: Policy = OPEN_POLICY) -> None:
        self.random = seeded(f"mls vectors {suite.id} {name}")
        self.policy = policy
        credential = BasicCredential(name.encode())
        self.identity = Identity.generate(credential, suite, random=self.random)
        self.psks = PskStore(resumption_epochs=1_000)
        self.psks.add_external(_PSK_ID, ExternalPsk(_PSK))
        self.bundle: KeyPackageBundle
        self.group: Group

    def publish(self, now: int = NOW) -> None:
        """Make the key package by which the client is added."""
        self.bundle = KeyPackageBundle.create(self.identity, now, grease=True, random=self.random)

    def join(self, welcome: bytes, tree: bytes | None, now: int) -> None:
        """Join by a Welcome."""
        join = WelcomeJoin(self.policy, self.psks, tree)
        self.group, _ = Group.join(welcome, [self.bundle], now, join)

    def psk(self) -> PreSharedKey:
        """The external key; whoever injects it gives it a nonce."""
        return PreSharedKey(PreSharedKeyId(ExternalPskId(_PSK_ID), b""))


def four_clients(suite: CipherSuite, policy: Policy = OPEN_POLICY) -> list[Client]:
    """The people of a scenario; the last is the passive one."""
    clients = [Client(name, suite, policy) for name in ("ada", "bea", "cid", "passive")]
    for client in clients:
        client.publish()
    return clients


class Scenario:
    """A group that the first client creates; the last is the passive one."""

    def __init__(
        self,
        clients: list[Client],
        wire_format: WireFormat,
        *,
        tree_inside: bool,
        path: bool = True,
        psk: bool = False,
        extensions: Extensions = NO_EXTENSIONS,
        now: int = NOW,
    ) -> None:
        self.now = now
        self.suite = clients[0].identity.suite
        self.wire_format = wire_format
        self.clients = clients
        first, *others = clients
        first.group = Group.create(
            first.identity,
            GROUP_ID,
            self.now,
            extensions=extensions,
            policy=first.policy,
            psks=first.psks,
            random=first.random,
        )
        pending = first.group.commit(
            self.now,
            adds=[client.bundle.key_package for client in others],
            proposals=[first.psk()] if psk else [],
            options=CommitOptions(path=path, ratchet_tree=tree_inside),
            random=first.random,
        )
        first.group.merge(pending, self.now)
        self.tree = None if tree_inside else encode_tree(first.group.current.tree)
        self.welcome = pending.welcome or b""
        for client in others:
            client.join(self.welcome, self.tree, now)
        self.passive = self.clients[-1]
        self.start = self.passive.group.epoch_authenticator.reveal()
        self.epochs: list[dict[str, Any]] = []

    def propose(self, who: int, proposal: Proposal | None = None) -> str:
        """A proposal; without one an Update."""
        client = self.clients[who]
        if proposal is None:
            message = client.group.propose_update(
                self.now, wire_format=self.wire_format, random=client.random
            )
        else:
            message = client.group.propose(
                proposal, self.now, wire_format=self.wire_format, random=client.random
            )
        return self.deliver(message, client)

    def deliver(self, message: bytes, sender: Client | None = None) -> str:
        """Everybody but the sender reads a proposal."""
        for other in self.clients:
            if other is not sender:
                other.group.process(message, self.now)
        return message.hex()

    def commit(
        self,
        who: int,
        proposals: list[str],
        *own: Proposal,
        path: bool = True,
        pending: bool = True,
        reinit: bool = False,
    ) -> None:
        """A commit of what was proposed (`pending`) and of one's own; everybody follows."""
        client = self.clients[who]
        made = client.group.commit(
            self.now,
            proposals=own,
            options=CommitOptions(
                path=path, pending=pending, wire_format=self.wire_format, reinit=reinit
            ),
            random=client.random,
        )
        client.group.merge(made, self.now)
        self.follow(client, made.commit, proposals)

    def join(self, name: str) -> None:
        """Somebody joins by a commit of its own, with a pre-shared key."""
        client = Client(name, self.suite, self.clients[0].policy)
        self.clients.append(client)
        self.join_external(client, ExternalJoin(client.policy, client.psks, (client.psk().psk,)))

    def join_external(self, client: Client, join: ExternalJoin) -> None:
        """A client joins by a commit of its own, or again."""
        info = self.clients[0].group.group_info()
        pending = Group.join_external(info, client.identity, self.now, join, random=client.random)
        client.group = pending.confirm(pending.commit)
        self.follow(client, pending.commit, [])

    def follow(self, sender: Client, commit: bytes, proposals: list[str]) -> None:
        """Everybody goes on to the next epoch; who was removed leaves."""
        for client in list(self.clients):
            if client is not sender:
                client.group.process(commit, self.now)
            if client.group.member.removed:
                self.clients.remove(client)
        self.epochs.append(
            {
                "proposals": proposals,
                "commit": commit.hex(),
                "epoch_authenticator": self.passive.group.epoch_authenticator.reveal().hex(),
            }
        )

    def case(self) -> dict[str, Any]:
        """The scenario in the upstream form."""
        return make_form(self.passive.bundle, self.welcome, self.tree, self.start, self.epochs)


def make_form(
    bundle: KeyPackageBundle,
    welcome: bytes,
    tree: bytes | None,
    start: bytes,
    epochs: list[dict[str, Any]],
) -> dict[str, Any]:
    """The fields of a case."""
    return {
        "cipher_suite": int(bundle.key_package.cipher_suite),
        "external_psks": [{"psk_id": _PSK_ID.hex(), "psk": _PSK.hex()}],
        "key_package": bundle.message.hex(),
        "signature_priv": bundle.identity.signer.to_bytes().hex(),
        "encryption_priv": bundle.leaf_key.to_bytes().hex(),
        "init_priv": bundle.init_key.to_bytes().hex(),
        "welcome": welcome.hex(),
        "ratchet_tree": None if tree is None else tree.hex(),
        "initial_epoch_authenticator": start.hex(),
        "epochs": epochs,
    }
