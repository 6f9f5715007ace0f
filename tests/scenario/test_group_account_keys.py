"""Accounts that show another key than the one under which they came into a group."""

from __future__ import annotations

from dataclasses import replace

from parlour.conversation.events import CommitRefused, GroupRestarted
from parlour.conversation.groups.records import GroupState
from parlour.mls.private.external import ExternalJoin
from parlour.mls.private.group import Group
from parlour.mls.private.identity import KeyPackageBundle
from parlour.mls.public.extensions import Extension
from parlour.mls.public.proposals import Add, GroupContextExtensions
from parlour.roster.changes import Added, Change, Removed
from parlour.roster.entry import RosterEntry
from parlour.roster.extension import EXTENSION_TYPE, RosterBinding
from parlour.roster.roles import Role
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer
from parlour.wire.groups import CommitBody
from tests.handshakes import handshake
from tests.scenario.parties import Party, chat_of
from tests.scenario.people import heard
from tests.scenario.test_group_hostile import forge

DAY = 86_400_000


def another_key(party: Party, device: MemoryDevice) -> MemoryDevice:
    """The server, or a recovery, gives an account another key, with a device of its own."""
    account_id = device.machine.account_id
    device.disconnect()
    party.devices.remove(device)
    party.server.accounts.pop(account_id)
    other = MemoryDevice(party.server, device.name, seed="other", account_id=account_id)
    party.devices.append(other)
    party.reconnect()
    return other


def comes_by_itself(party: Party, device: MemoryDevice) -> None:
    """A commit from outside by which a device comes in: the model of a server lets it through."""
    followed = party.server.groups.groups[party.group]
    state = followed.epochs[followed.generation, followed.epoch]
    machine = device.machine
    join = ExternalJoin(
        party.devices[0].machine._memory.groups.policy,
        ratchet_tree=state.tree,
        group_info=True,
        authenticated_data=RosterEntry.brought([]),
    )
    now = party.server.now
    identity = machine._key_packages.identity(1, now // 1000)
    pending = Group.join_external(state.group_info, identity, now // 1000, join)
    request = handshake(
        party.group,
        b"comes by itself.",
        followed.epoch,
        CommitBody(0, pending.commit, [], b""),
        group_info=pending.group_info,
    )
    party.server._handshake(machine.device_id, request)


def refusals(*devices: MemoryDevice) -> list[str]:
    return [event.detail for device in devices for event in heard(device, CommitRefused)]


def test_behind_another_key_nobody_comes_in_by_itself() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    eve = another_key(party, carol)
    party.settle(8)
    assert party.view(alice).leaves == 2
    comes_by_itself(party, eve)
    for device in (alice, bob):
        device.pull()
    assert refusals(alice, bob) == ["a newcomer that is neither back nor let in"] * 2


def test_a_member_brings_in_a_device_behind_another_key() -> None:
    party = Party("alice", "mallory", "carol")
    alice, mallory, carol = party.devices
    eve = another_key(party, carol)
    party.settle(8)
    now = party.server.now // 1000
    bundle = KeyPackageBundle.create(eve.machine._key_packages.identity(1, now), now)
    forge(party, mallory, proposals=[Add(bundle.key_package)])
    alice.pull()
    assert refusals(alice) == ["a leaf under another account key than the roster's"]


def test_who_is_asked_in_again_leaves_no_leaf_behind() -> None:
    party = Party("mallory", "bob", "carol")
    mallory, bob, carol = party.devices
    chat, local = chat_of(mallory, party), mallory.machine._memory.local
    roster, bob_id = chat.known_roster(), bob.machine.account_id
    key = roster.state.members[bob_id].key
    who = (mallory.machine.account_id, mallory.machine.device_id, local.signature_key)
    changes: list[Change] = [Removed(bob_id), Added(bob_id, Role.MEMBER, key)]
    entry = roster.next_entry(changes, *who, party.server.now)
    binding = RosterBinding(chat.genesis.hash(), entry.number, entry.hash()).encode()
    bound = chat.live().extensions.with_(Extension(EXTENSION_TYPE, binding))
    forge(party, mallory, roster=[entry.encode()], proposals=[GroupContextExtensions(bound)])
    for device in (bob, carol):
        device.pull()
    assert refusals(bob, carol) == ["an account left the roster, and its devices stay"] * 2


def test_nobody_enters_a_group_with_a_leaf_behind_another_key() -> None:
    """As the server would like to have it: everybody else is well, and sees nothing of it."""
    party = Party("alice", "bob", "carol")
    alice, _, carol = party.devices
    shown = MemoryDevice(MemoryServer(), "carol", seed="other", account_id=carol.machine.account_id)
    dave = party.outsider("dave")
    account = party.server.accounts[carol.machine.account_id]
    real, devices = list(account.entries), carol.machine.contacts[carol.machine.account_id].head
    account.entries[:] = [
        replace(devices, account_key=shown.account_key.public_key).sign(shown.account_key).encode()
    ]
    alice.machine.group_add(party.group, [alice.meet("dave")], party.server.now)
    alice.settle()
    alice.wait(4_000)
    assert party.view(alice).leaves == 4
    dave.pull()
    assert party.view(dave).state is GroupState.REPAIRING
    assert dave.machine.counters["welcome.refused"] == 1
    account.entries[:] = real
    party.devices.append(dave)
    party.reconnect()
    party.settle(40)
    dave.machine.accept_group(party.group, party.server.now)
    party.settle(10)
    party.check_together()


def test_who_verified_a_key_follows_when_others_ask_the_account_in_again() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    carol_id = carol.machine.account_id
    alice.machine.group_set_role(party.group, bob.machine.account_id, Role.ADMIN, party.server.now)
    alice.settle()
    alice.machine.verify(carol_id, party.server.now)
    other = another_key(party, carol)
    party.settle(8)
    assert party.view(bob).leaves == party.view(alice).leaves == 2
    # In one breath: she is put out, and asked in under the key that she shows now.
    bob.machine.group_remove(party.group, [carol_id], party.server.now)
    bob.machine.group_add(party.group, [carol_id], party.server.now)
    bob.settle()
    party.settle(8)
    other.machine.accept_group(party.group, party.server.now)
    other.settle()
    party.settle(8)
    party.check_together()
    state = chat_of(alice, party).known_roster().state
    assert state.members[carol_id].key == other.account_key.public_key.to_bytes()
    assert not refusals(alice, bob, other)
    assert not any(heard(device, GroupRestarted) for device in party.devices)
    party.say(bob, "welcome back")
    party.settle()
    assert other.texts()[-1] == alice.texts()[-1] == "welcome back"


def test_put_out_and_asked_in_again_at_once() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, _ = party.devices
    bob_id = bob.machine.account_id
    before = chat_of(alice, party).known_roster().number
    alice.machine.group_remove(party.group, [bob_id], party.server.now)
    alice.machine.group_add(party.group, [bob_id], party.server.now)
    alice.settle()
    party.settle(8)
    bob.machine.accept_group(party.group, party.server.now)
    bob.settle()
    party.settle(8)
    party.check_together()
    state = chat_of(alice, party).known_roster().state
    assert state.members[bob_id].since > before
    assert party.view(alice).leaves == 3


def test_a_further_device_does_not_use_a_link_of_its_own_group() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    link = party.link(alice)
    laptop = MemoryDevice(party.server, "laptop", seed="laptop", beside=bob)
    laptop.connect()
    laptop.machine.join_by_link(link, party.server.now)
    laptop.settle()
    party.devices.append(laptop)
    party.reconnect()
    party.settle(10)
    party.check_together()
    assert party.view(alice).leaves == 3
    assert not refusals(alice, bob, laptop)
