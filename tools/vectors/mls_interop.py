"""Passive clients in groups such as foreign implementations make them.

Each case is a story of its own: who joins by a commit, proposals from outside, groups that end and
go on elsewhere, clients whose key packages are old or list little. The form is the upstream one,
with a `name`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from parlour.mls import ExternalJoin, Group, KeyPackageBundle, WelcomeJoin, find_suite
from parlour.mls.private.external import propose_as_external_sender, propose_to_join
from parlour.mls.private.linking import branch_group, reinit_group
from parlour.mls.public.capabilities import Capabilities, RequiredCapabilities
from parlour.mls.public.credentials import Credential, OtherCredential
from parlour.mls.public.extensions import NO_EXTENSIONS, Extension, Extensions
from parlour.mls.public.group_context import ExternalSender, external_senders_extension
from parlour.mls.public.proposals import Add, GroupContextExtensions, PreSharedKey, ReInit, Remove
from parlour.mls.public.psk_id import PreSharedKeyId, ResumptionPskId
from parlour.mls.public.types import LeafIndex, ResumptionPskUsage, WireFormat
from parlour.testing.mls import OPEN_POLICY
from tools.vectors.mls_scenario import GROUP_ID, NOW, Client, Scenario, four_clients, make_form

PUBLIC, PRIVATE = WireFormat.PUBLIC_MESSAGE, WireFormat.PRIVATE_MESSAGE
_LONG_AGO: Final = 1_000_000_000
_UNKNOWN: Final = 0xF0F1


class _Anybody:
    """An authentication service that knows every credential."""

    def accepts(self, credential: Credential, signature_key: bytes) -> bool:
        return True

    def succeeds(self, old: Credential, new: Credential) -> bool:
        return True

    def identity(self, credential: Credential) -> bytes:
        return credential.encode()


_LENIENT: Final = replace(
    OPEN_POLICY, credentials=_Anybody(), max_lifetime=None, listed_suites=False
)


def _external_joins() -> dict[str, Any]:
    """Somebody joins by a commit, and a member comes back in its own place."""
    scenario = Scenario(four_clients(find_suite(1)), PRIVATE, tree_inside=True)
    scenario.join("dan")
    scenario.commit(4, [scenario.propose(1)])
    bea = scenario.clients[1]
    scenario.join_external(
        bea, ExternalJoin(OPEN_POLICY, resync=LeafIndex(1), authenticated_data=b"again")
    )
    scenario.commit(1, [])
    return scenario.case()


def _external_proposals() -> dict[str, Any]:
    """Proposals by a server that the group knows, and by one who wants to join."""
    suite = find_suite(2)
    server, dan = Client("server", suite), Client("dan", suite)
    dan.publish()
    key = server.identity.signer
    sender = ExternalSender(key.public_key.to_bytes(), server.identity.credential)
    scenario = Scenario(four_clients(suite), PUBLIC, tree_inside=True)
    senders = Extensions.of([external_senders_extension((sender, sender))])
    scenario.commit(0, [], GroupContextExtensions(senders))
    context = scenario.passive.group.current.context
    eve = Client("eve", suite)
    eve.publish()
    proposed = [
        scenario.deliver(message)
        for message in (
            propose_as_external_sender(context, key, 1, Remove(LeafIndex(2)), NOW, b"idle"),
            propose_as_external_sender(context, key, 0, Add(eve.bundle.key_package), NOW),
            propose_as_external_sender(context, key, 0, server.psk(), NOW, random=server.random),
            propose_to_join(context, dan.bundle, NOW),
        )
    ]
    scenario.commit(1, proposed)
    context = scenario.passive.group.current.context
    change = GroupContextExtensions(NO_EXTENSIONS)
    proposed = [scenario.deliver(propose_as_external_sender(context, key, 0, change, NOW))]
    scenario.commit(0, proposed)
    return scenario.case()


def _own_proposals() -> dict[str, Any]:
    """The passive client itself proposed, on another device of the same state."""
    scenario = Scenario(four_clients(find_suite(3)), PRIVATE, tree_inside=False)
    for wire_format in (PRIVATE, PUBLIC):
        scenario.wire_format = wire_format
        proposed = [scenario.propose(3, scenario.passive.psk()), scenario.propose(1)]
        scenario.commit(0, proposed)
    return scenario.case()


def _earlier_epochs() -> dict[str, Any]:
    """Keys of earlier epochs of the same group, by value and by reference."""
    scenario = Scenario(four_clients(find_suite(4)), PUBLIC, tree_inside=True)
    for _ in range(6):
        scenario.commit(0, [], path=True)

    def psk(epoch: int) -> PreSharedKey:
        key = ResumptionPskId(ResumptionPskUsage.APPLICATION, GROUP_ID, epoch)
        return PreSharedKey(PreSharedKeyId(key, b""))

    scenario.commit(1, [scenario.propose(2, psk(1))], psk(7), psk(4), path=False)
    return scenario.case()


def _left_out() -> dict[str, Any]:
    """Proposals that nobody commits, and a group whose extensions nobody needs."""
    suite = find_suite(5)
    clients = four_clients(suite)
    required = RequiredCapabilities((), (3,), (1,)).encode()
    extensions = Extensions.of([Extension(1, b"an application"), Extension(3, required)])
    scenario = Scenario(clients, PRIVATE, tree_inside=True, extensions=extensions)
    proposed = [scenario.propose(1), scenario.propose(0, Remove(LeafIndex(1)))]
    scenario.commit(2, proposed, pending=False)
    scenario.commit(0, [scenario.propose(1, Remove(LeafIndex(2))), scenario.propose(2)])
    case = scenario.case()
    # P-521 keys as they are stored where integers lose their leading zeros.
    for name in ("signature_priv", "encryption_priv", "init_priv"):
        case[name] = bytes.fromhex(case[name]).lstrip(b"\0").hex()
    return case


def _other_clients() -> dict[str, Any]:
    """Old key packages, leaves that list little, a credential that nobody here knows."""
    suite = find_suite(6)
    clients = [Client(name, suite, _LENIENT) for name in ("ada", "bea", "cid", "passive")]
    capabilities = Capabilities(
        (1,), (1,), (0x0A0A, _UNKNOWN), (0x1A1A, _UNKNOWN), (1, 2, _UNKNOWN)
    )
    for number, client in enumerate(clients):
        client.identity = replace(
            client.identity,
            capabilities=capabilities,
            extensions=Extensions.of([Extension(_UNKNOWN, bytes(number))]),
        )
        if number == 1:
            other = OtherCredential(_UNKNOWN, b"of another kind")
            client.identity = replace(client.identity, credential=other)
        client.publish(_LONG_AGO)
    extensions = Extensions.of([Extension(_UNKNOWN, b"of the group")])
    scenario = Scenario(clients, PUBLIC, tree_inside=True, extensions=extensions, now=_LONG_AGO)
    scenario.commit(1, [scenario.propose(2)])
    renamed = replace(clients[2].identity, credential=OtherCredential(_UNKNOWN, b"renamed"))
    update = clients[2].group.propose_update(_LONG_AGO, renamed, random=clients[2].random)
    scenario.commit(0, [scenario.deliver(update, clients[2])])
    return scenario.case()


def _end() -> dict[str, Any]:
    """A group that is closed."""
    scenario = Scenario(four_clients(find_suite(7)), PRIVATE, tree_inside=True)
    scenario.commit(1, [])
    end = ReInit(b"parlour's next", 1, 1, NO_EXTENSIONS)
    scenario.commit(0, [scenario.propose(2, end)], reinit=True)
    return scenario.case()


def _continued(old: Scenario, link: ResumptionPskUsage) -> dict[str, Any]:
    """The case of a group that continues another, whose key stands among the external ones."""
    passive, suite = old.passive, find_suite(1)
    identities = [
        replace(client.identity, signer=suite.signing_key_type.generate(client.random), suite=suite)
        if link is ResumptionPskUsage.REINIT
        else client.identity
        for client in old.clients
    ]
    bundles = [
        KeyPackageBundle.create(identity, NOW, random=client.random)
        for client, identity in zip(old.clients, identities, strict=True)
    ]
    packages = [bundle.key_package for bundle in bundles[1:]]
    first, random = old.clients[0], old.clients[0].random
    if link is ResumptionPskUsage.REINIT:
        group, welcome = reinit_group(first.group, identities[0], packages, NOW, random=random)
    else:
        group, welcome = branch_group(first.group, b"branch", packages, NOW, random=random)
    known = {GROUP_ID: passive.group.as_origin()}
    context, key = (
        passive.group.member.public.group_context,
        passive.group.member.state.resumption_psk,
    )
    if key is None:
        raise ValueError("a member of neither an open nor a closed group")
    join = WelcomeJoin(OPEN_POLICY, passive.psks, groups=known)
    joined, _ = Group.join(welcome, [bundles[-1]], NOW, join)
    start = joined.epoch_authenticator.reveal()
    pending = group.commit(NOW, random=random)
    group.merge(pending, NOW)
    epoch = {
        "proposals": [],
        "commit": pending.commit.hex(),
        "epoch_authenticator": group.epoch_authenticator.reveal().hex(),
    }
    case = make_form(bundles[-1], welcome, None, start, [epoch])
    psk_id = PreSharedKeyId(ResumptionPskId(link, context.group_id, context.epoch), b"").encode()
    case["external_psks"].append({"psk_id": psk_id.hex(), "psk": key.reveal().hex()})
    return case


def _reinit() -> dict[str, Any]:
    """The Welcome to a group that replaces another."""
    scenario = Scenario(four_clients(find_suite(7)), PUBLIC, tree_inside=True)
    scenario.commit(0, [], ReInit(b"parlour's next", 1, 1, NO_EXTENSIONS), path=False)
    return _continued(scenario, ResumptionPskUsage.REINIT)


def _branch() -> dict[str, Any]:
    """The Welcome to a group of some members of another."""
    scenario = Scenario(four_clients(find_suite(1)), PUBLIC, tree_inside=True)
    scenario.commit(2, [])
    return _continued(scenario, ResumptionPskUsage.BRANCH)


_STORIES: Final[tuple[Callable[[], dict[str, Any]], ...]] = (
    _external_joins,
    _external_proposals,
    _own_proposals,
    _earlier_epochs,
    _left_out,
    _other_clients,
    _end,
    _reinit,
    _branch,
)


def make_cases() -> list[dict[str, Any]]:
    """All of them."""
    return [{"name": story.__name__.strip("_").replace("_", " "), **story()} for story in _STORIES]
