"""Groups of davey (OpenMLS, for Discord's voice channels) and ours.

davey speaks RFC 9420 in suite 0x0002 alone, with public messages, basic credentials that hold a
user's number, one external sender and the ratchet tree in the Welcome. Whom to add and to remove
it hears from the external sender, and commits it. It has no way to update itself, to propose, to
send application messages of MLS, to join by a commit, or to use pre-shared keys.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import davey
import pytest

from parlour.codec import encode_opaque
from parlour.mls import BasicCredential, Group, Identity, WelcomeJoin, find_suite
from parlour.mls.private.external import propose_as_external_sender
from parlour.mls.private.identity import KeyPackageBundle
from parlour.mls.public.extensions import Extensions
from parlour.mls.public.group_context import (
    ExternalSender,
    GroupContext,
    external_senders_extension,
)
from parlour.mls.public.proposals import Add, Proposal, Remove
from parlour.mls.public.types import LeafIndex
from parlour.testing.randomness import seeded
from tests.mls_peers import NOW, POLICY, read_key_package

SUITE = find_suite(2)
CHANNEL = 4_711
GROUP_ID = CHANNEL.to_bytes(8)
# MLSMessage{mls10, mls_welcome} and {mls10, mls_key_package}: davey leaves these headers out.
WELCOME, KEY_PACKAGE = b"\0\1\0\3", b"\0\1\0\5"


@dataclass(eq=False)
class Ours:
    """A client of this library."""

    user: int
    identity: Identity = field(init=False)
    bundle: KeyPackageBundle = field(init=False)
    group: Group = field(init=False)

    def __post_init__(self) -> None:
        credential = BasicCredential(self.user.to_bytes(8))
        self.identity = Identity.generate(credential, SUITE, random=seeded(f"user {self.user}"))

    def key_package(self) -> bytes:
        self.bundle = KeyPackageBundle.create(self.identity, NOW)
        return self.bundle.message

    def join(self, welcome: bytes) -> None:
        self.group, _ = Group.join(welcome, [self.bundle], NOW, WelcomeJoin(POLICY))

    def process(self, message: bytes) -> None:
        self.group.process(message, NOW)

    def commit(self, proposals: list[bytes]) -> tuple[bytes, bytes | None]:
        for proposal in proposals:
            self.group.process(proposal, NOW)
        pending = self.group.commit(NOW)
        return pending.commit, pending.welcome

    def merge(self, commit: bytes) -> None:
        self.group.process(commit, NOW)

    def authenticator(self) -> bytes:
        return self.group.epoch_authenticator.reveal()


@dataclass(eq=False)
class Theirs:
    """A client of davey."""

    user: int
    sender: ExternalSender
    session: davey.DaveSession = field(init=False)

    def __post_init__(self) -> None:
        self.session = davey.DaveSession(1, self.user, CHANNEL)
        self.session.set_external_sender(self.sender.encode())

    def key_package(self) -> bytes:
        return KEY_PACKAGE + self.session.get_serialized_key_package()

    def join(self, welcome: bytes) -> None:
        self.session.process_welcome(welcome.removeprefix(WELCOME))

    def process(self, message: bytes) -> None:
        self.session.process_commit(message)

    def commit(self, proposals: list[bytes]) -> tuple[bytes, bytes | None]:
        made = self.session.process_proposals(
            davey.ProposalsOperationType.append, encode_opaque(b"".join(proposals))
        )
        assert made is not None
        return made.commit, None if made.welcome is None else WELCOME + made.welcome

    def hear(self, proposals: list[bytes]) -> None:
        self.commit(proposals)

    def merge(self, commit: bytes) -> None:
        self.session.process_commit(commit)

    def authenticator(self) -> bytes:
        authenticator = self.session.get_epoch_authenticator()
        assert authenticator is not None
        return authenticator


Client = Ours | Theirs


class Channel:
    """A voice server that says who comes and goes, and the clients in its channel."""

    def __init__(self) -> None:
        self.key = SUITE.signing_key_type.generate(seeded("voice server"))
        self.sender = ExternalSender(self.key.public_key.to_bytes(), BasicCredential(b"\0" * 8))
        self.clients: list[Client] = []
        self.epoch = 0

    @property
    def extensions(self) -> Extensions:
        return Extensions.of([external_senders_extension((self.sender,))])

    def propose(self, proposal: Proposal) -> bytes:
        # Only the group and the epoch stand in what an external sender signs.
        context = GroupContext(2, GROUP_ID, self.epoch, b"", b"", self.extensions)
        return propose_as_external_sender(context, self.key, 0, proposal, NOW)

    def change(
        self, committer: Client, *proposals: Proposal, joiners: tuple[Client, ...] = ()
    ) -> None:
        """Everybody hears the proposals; one commits them, the others follow."""
        messages = [self.propose(proposal) for proposal in proposals]
        commit, welcome = committer.commit(messages)
        for client in self.clients:
            if client is not committer:
                if isinstance(client, Theirs):
                    client.hear(messages)
                else:
                    for message in messages:
                        client.process(message)
                client.process(commit)
        committer.merge(commit)
        self.after(welcome, joiners)

    def after(self, welcome: bytes | None, joiners: tuple[Client, ...] = ()) -> None:
        self.epoch += 1
        for joiner in joiners:
            assert welcome is not None
            joiner.join(welcome)
        self.clients.extend(joiners)
        self.check()

    def check(self) -> None:
        assert len({client.authenticator() for client in self.clients}) == 1

    def update(self, committer: Ours) -> None:
        """A commit with a path, which davey follows and cannot make without a proposal."""
        pending = committer.group.commit(NOW)
        for client in self.clients:
            client.process(pending.commit)
        self.after(None)


def add(client: Client) -> Add:
    return Add(read_key_package(client.key_package()))


@pytest.fixture
def channel() -> Channel:
    return Channel()


def begin(channel: Channel, creator: Client) -> None:
    if isinstance(creator, Ours):
        creator.group = Group.create(
            creator.identity, GROUP_ID, NOW, extensions=channel.extensions, policy=POLICY
        )
    channel.clients.append(creator)


def test_ours_creates(channel: Channel) -> None:
    ada, cid = Ours(1), Ours(3)
    bea, dan = Theirs(2, channel.sender), Theirs(4, channel.sender)
    begin(channel, ada)
    channel.change(ada, add(bea), joiners=(bea,))
    channel.change(bea, add(cid), joiners=(cid,))
    channel.change(cid, add(dan), joiners=(dan,))
    for ours in (ada, cid, ada):
        channel.update(ours)
    ada_leaf, cid_leaf = ada.group.own_leaf, cid.group.own_leaf
    assert (ada_leaf, cid_leaf) == (0, 2)
    # davey removes by a commit with a path, ours removes davey's.
    channel.clients.remove(cid)
    channel.change(bea, Remove(LeafIndex(2)))
    channel.update(ada)
    channel.clients.remove(dan)
    channel.change(ada, Remove(LeafIndex(3)))
    channel.change(bea, add(cid), joiners=(cid,))
    channel.update(cid)


def test_davey_creates(channel: Channel) -> None:
    ada, cid = Ours(1), Ours(3)
    bea, dan = Theirs(2, channel.sender), Theirs(4, channel.sender)
    bea.key_package()
    begin(channel, bea)
    channel.change(bea, add(ada), add(cid), joiners=(ada, cid))
    assert len(ada.group.members) == 3
    channel.update(cid)
    channel.change(ada, add(dan), joiners=(dan,))
    channel.update(ada)
