"""Entries that are something else than their place says: nothing of them is kept."""

from __future__ import annotations

from msgspec.structs import replace

from parlour.conversation.events import GroupChanged, GroupRestarted, MessageMissing
from parlour.errors import Code
from parlour.mls.public.extensions import Extension
from parlour.mls.public.proposals import GroupContextExtensions
from parlour.roster.changes import ChannelKind, ChannelOpened
from parlour.roster.extension import EXTENSION_TYPE
from parlour.roster.genesis import Kind
from parlour.roster.roles import Role
from parlour.testing.device import MemoryDevice
from parlour.wire import groups as wire
from parlour.wire.streams import Entry
from tests.scenario.parties import Party, chat_of
from tests.scenario.people import heard
from tests.scenario.refusing import can_not_read
from tests.scenario.test_group_authority import bring_in, next_entry, package
from tests.scenario.test_group_hostile import check_goes_on, forge, made_by, put, refusals
from tests.scenario.test_group_readding import published


def as_commit(party: Party, device: MemoryDevice, message: bytes) -> None:
    """Let the server store a message in the place of a commit."""
    put(party, device, made_by(party, device, wire.CommitBody(0, message, [], b"")))


def test_a_proposal_in_the_place_of_a_commit_is_not_taken() -> None:
    """Nobody speaks while a proposal is there, and nobody would commit this one."""
    party = Party("alice", "bob", "mallory")
    alice, bob, mallory = party.devices
    proposal = chat_of(mallory, party).live().propose_update(party.server.now // 1000)
    # The second one comes to devices that have lost their way by the first.
    for message in (proposal, b"\0\1\0\1", proposal):
        as_commit(party, mallory, message)
    mallory.disconnect()
    alice.pull()
    assert refusals(alice) == [Code.GROUP_COMMIT_REFUSED]
    assert chat_of(alice, party).live().proposals == []
    check_goes_on(party, alice, bob)


def test_a_commit_that_renews_no_keys_brings_in_a_device_of_a_member() -> None:
    party = Party("alice", "bob", "mallory")
    alice, bob, mallory = party.devices
    laptop = MemoryDevice(party.server, "alice", seed="laptop", beside=alice, linked=True)
    laptop.connect()
    mallory.machine._directory.want(alice.machine.account_id)
    mallory.settle()
    added, whom = package(published(party, laptop)), laptop.machine.device_id
    bring_in(party, mallory, added, whom, path=False)
    mallory.disconnect()
    party.settle(2)
    assert refusals(bob) == refusals(alice) == []
    assert party.view(bob).leaves == 4
    party.check_together([alice, bob])


def test_a_change_that_is_for_programs_is_followed_and_not_told() -> None:
    party = Party("alice", "bob", "carol", kind=Kind.CHANNEL)
    alice, bob, carol = party.devices
    account = carol.machine.account_id
    alice.machine.group_set_role(party.group, account, Role.ADMIN, party.server.now)
    alice.settle()
    party.settle(2)
    told = len(heard(bob, GroupChanged))
    roster, extensions = (
        chat_of(carol, party).known_roster(),
        chat_of(carol, party).live().extensions,
    )
    channel = ChannelOpened(bytes(16), ChannelKind.TEXT, Role.MEMBER)
    entry = next_entry(roster, carol, channel, party.server.now)
    after = roster.extend(entry, carol.machine._groups._lists.find_key)
    bound = extensions.with_(Extension(EXTENSION_TYPE, after.binding.encode()))
    forge(party, carol, roster=[entry.encode()], proposals=[GroupContextExtensions(bound)])
    carol.disconnect()
    party.settle(2)
    assert refusals(bob) == refusals(alice) == []
    assert list(chat_of(bob, party).known_roster().state.channels) == [bytes(16)]
    assert len(heard(bob, GroupChanged)) == told
    party.check_together([alice, bob])


def test_a_commit_that_nobody_can_read_is_shown_as_somebody_elses() -> None:
    """A server does not have a member put out by it."""
    party = Party("alice", "bob", "mallory")
    alice, bob, mallory = party.devices
    can_not_read(party, alice, bob)

    def deliver(entry: Entry, device_id: bytes) -> list[Entry]:
        if entry.sender_device == mallory.machine.device_id:
            bobs = bob.machine.account_id, bob.machine.device_id
            entry = replace(entry, sender_account=bobs[0], sender_device=bobs[1])
        return [entry]

    party.server.deliver = deliver
    mallory.machine.group_refresh(party.group, party.server.now)
    mallory.settle()
    mallory.disconnect()
    party.settle(20)
    assert refusals(alice) == [Code.CRYPTO_TAG]
    assert [event.without for event in heard(alice, GroupRestarted)] == [()]
    assert len(party.view(bob).members) == 3
    check_goes_on(party, alice, bob)


def test_a_report_that_nobody_may_send_leaves_no_number_out() -> None:
    """Bob goes, and Carol can't read the commit that lets him: MLS lets nobody speak by then."""
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    bob.machine.group_leave(party.group, party.server.now)
    bob.settle()
    carol.pull()
    assert len(chat_of(carol, party).live().proposals) == 1
    can_not_read(party, carol)
    party.settle(12)
    assert refusals(carol) == [Code.CRYPTO_TAG]
    assert carol.machine.counters["report.failed"] == 1
    party.check_together([alice, carol])
    party.say(carol, "here I am")
    party.settle(2)
    assert alice.texts() == ["here I am"]
    assert heard(alice, MessageMissing) == []
    assert carol.machine._memory.outbox == {}
