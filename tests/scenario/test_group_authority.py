"""Commits that MLS takes and the roster does not allow: refused, and the group goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace as replaced

import pytest
from msgspec.structs import replace

from parlour.conversation.events import CommitRefused
from parlour.conversation.groups.authorising import CLOCKS
from parlour.conversation.groups.credentials import Certificates
from parlour.errors import Code
from parlour.mls.private.committing import CommitOptions
from parlour.mls.private.external import ExternalJoin
from parlour.mls.private.group import Group
from parlour.mls.private.identity import Identity, KeyPackageBundle
from parlour.mls.public.credentials import BasicCredential, Credential
from parlour.mls.public.extensions import Extension, Extensions
from parlour.mls.public.framing.messages import KeyPackageMessage, decode_message
from parlour.mls.public.key_package import KeyPackage
from parlour.mls.public.policy import Policy
from parlour.mls.public.proposals import GroupContextExtensions
from parlour.mls.public.welcome_parts import split_welcome
from parlour.primitives.signature import Ed25519PrivateKey, Ed25519PublicKey
from parlour.roster.certificate import LeafCertificate
from parlour.roster.changes import Change, Named
from parlour.roster.device_signature import device_id_of
from parlour.roster.entry import RosterEntry
from parlour.roster.extension import EXTENSION_TYPE
from parlour.roster.links import JoinLink
from parlour.roster.readding import ReaddWish
from parlour.roster.roles import Role
from parlour.roster.roster import Roster
from parlour.testing.device import MemoryDevice
from parlour.wire import groups as wire
from parlour.wire.streams import Part
from tests.handshakes import handshake
from tests.scenario.parties import HOUR, Party, chat_of
from tests.scenario.people import heard
from tests.scenario.test_group_hostile import check_goes_on, forge, made_by, put
from tests.scenario.test_group_readding import published


def refused(device: MemoryDevice) -> list[tuple[Code, str]]:
    return [(event.reason, event.detail) for event in heard(device, CommitRefused)]


def because(why: str) -> list[tuple[Code, str]]:
    return [(Code.GROUP_COMMIT_REFUSED, why)]


def package(data: bytes) -> KeyPackage:
    message = decode_message(data)
    assert isinstance(message, KeyPackageMessage)
    return message.key_package


def bring_in(
    party: Party,
    by: MemoryDevice,
    added: KeyPackage,
    whom: bytes,
    wishes: Sequence[ReaddWish] = (),
    *,
    path: bool = True,
) -> None:
    """Add a device, whatever the roster says of it."""
    group = chat_of(by, party).live()
    pending = group.commit(
        party.server.now // 1000,
        adds=[added],
        options=CommitOptions(ratchet_tree=False, group_info=True, path=path),
        random=by.random,
    )
    assert pending.welcome is not None
    info, secrets = split_welcome(pending.welcome)
    body = wire.CommitBody(0, pending.commit, [], info, [wish.encode() for wish in wishes])
    parts = [Part(whom, data) for data in secrets.values()]
    request = made_by(party, by, body, parts=parts, group_info=pending.group_info)
    group.clear_pending()
    put(party, by, request)


def _believes(by: MemoryDevice, party: Party, device: bytes, key: Ed25519PublicKey) -> None:
    """Who breaks the rules takes a device for listed that is on no list."""
    credentials = chat_of(by, party).live().member.policy.credentials
    assert isinstance(credentials, Certificates)
    find_key = credentials._find_key
    credentials._find_key = lambda account, of: key if of == device else find_key(account, of)


def test_an_epoch_without_a_roster() -> None:
    party = Party("alice", "bob", "mallory")
    alice, bob, mallory = party.devices
    extensions = chat_of(mallory, party).live().extensions
    others = Extensions.of(e for e in extensions if e.extension_type != EXTENSION_TYPE)
    forge(party, mallory, proposals=[GroupContextExtensions(others)])
    mallory.disconnect()
    party.settle(2)
    assert refused(alice) == because("an epoch without a roster")
    check_goes_on(party, alice, bob)


def test_an_entry_beside_the_one_that_all_know() -> None:
    """Under the number of the newest: members would hold two rosters of one number."""
    party = Party("alice", "bob", "mallory")
    alice, bob, mallory = party.devices
    memory = mallory.machine._memory
    head = chat_of(mallory, party).known_roster().head
    other = replaced(
        head, signer_account=memory.account_id, signer_device=memory.device_id, at=head.at + 1
    )
    forge(party, mallory, roster=[other.sign(memory.local.signature_key).encode()])
    mallory.disconnect()
    party.settle(2)
    assert refused(alice) == because("another roster than ours")
    check_goes_on(party, alice, bob)


def test_a_stranger_is_brought_in_without_an_entry_of_the_roster() -> None:
    party = Party("alice", "bob", "mallory")
    alice, bob, mallory = party.devices
    eve = party.outsider("eve")
    for device in party.devices:
        device.meet("eve")
    bring_in(party, mallory, package(published(party, eve)), eve.machine.device_id)
    mallory.disconnect()
    party.settle(2)
    assert refused(alice) == because("a leaf of an account that is not on the roster")
    check_goes_on(party, alice, bob)


def test_a_device_that_is_on_no_list_is_brought_in_in_a_members_name() -> None:
    """Its certificate is its own word: the server shows the list without it."""
    party = Party("alice", "bob", "mallory")
    alice, bob, mallory = party.devices
    now = party.server.now // 1000
    device_key, leaf_key = (Ed25519PrivateKey.generate(mallory.random) for _ in range(2))
    certificate = LeafCertificate.create(
        device_key,
        account=bob.machine.account_id,
        leaf_key=leaf_key.public_key.to_bytes(),
        issued_at=now,
        expires_at=now + 86_400,
    )
    model = mallory.machine._key_packages.identity(1, now)
    identity = Identity(
        BasicCredential(certificate.encode()), leaf_key, model.suite, model.capabilities
    )
    bundle = KeyPackageBundle.create(identity, now, random=mallory.random)
    ghost = device_id_of(device_key.public_key)
    _believes(mallory, party, ghost, device_key.public_key)
    bring_in(party, mallory, package(bundle.message), ghost)
    mallory.disconnect()
    party.settle(4)
    assert [code for code, _ in refused(alice)] == [Code.MLS_INVALID]
    check_goes_on(party, alice, bob)
    assert chat_of(alice, party).leaf_of(ghost) is None


def test_a_wish_is_shown_of_who_is_brought_in_and_not_taken_out() -> None:
    """It counts as fulfilled then, and the device would wait for the next one in vain."""
    party = Party("alice", "bob", "mallory")
    alice, bob, mallory = party.devices
    for device in (alice, bob):
        device.disconnect()
    laptop = MemoryDevice(party.server, "bob", seed="laptop", beside=bob, linked=True)
    laptop.connect()
    mallory.meet("bob")
    key = laptop.machine._memory.local.signature_key.public_key
    _believes(mallory, party, laptop.machine.device_id, key)
    party.server.now += 1_000
    wish = ReaddWish(
        party.group,
        0,
        chat_of(mallory, party).epoch,
        laptop.machine.account_id,
        laptop.machine.device_id,
        b"",
        party.server.now,
    )
    data = published(party, laptop)
    reference = package(data).reference(chat_of(mallory, party).live().current.suite)
    signed = replaced(wish, package=reference).sign(laptop.machine._memory.local.signature_key)
    bring_in(party, mallory, package(data), laptop.machine.device_id, [signed])
    mallory.disconnect()
    alice.connect()
    party.settle(2)
    assert refused(alice) == because("a wish to be added again that is not fulfilled")
    bob.connect()
    check_goes_on(party, alice, bob)


def test_a_commit_is_shown_as_somebody_elses() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    bob.machine.group_refresh(party.group, party.server.now)
    bob.settle()
    stored = party.server.streams[party.group].entries[-1]
    true, memory = stored.entry, carol.machine._memory
    stored.entry = replace(true, sender_account=memory.account_id, sender_device=memory.device_id)
    alice.pull()
    assert refused(alice) == because("committed by another device than the server says")
    stored.entry = true
    check_goes_on(party, alice, bob)


def test_a_proposal_to_renew_ones_own_leaf_is_covered_by_anothers_commit() -> None:
    """None of ours makes one; of a member of another program it is judged like any leaf."""
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    chat = chat_of(bob, party)
    proposal = chat.live().propose_update(party.server.now // 1000, random=bob.random)
    before = chat.live().members[int(chat.live().own_leaf)][1].encryption_key
    request = made_by(party, bob, wire.ProposalBody(0, proposal, b""))
    party.server._handshake(bob.machine.device_id, request)
    for device in (alice, carol):
        device.pull()
    alice.machine.group_rename(party.group, "renewed", party.server.now)
    alice.settle()
    party.settle()
    leaf = chat_of(carol, party).leaf_of(bob.machine.device_id)
    assert leaf is not None
    after = chat_of(carol, party).live().member.public.tree.leaf(leaf)
    assert after is not None
    assert after.encryption_key != before
    assert not any(refused(device) for device in party.devices)
    party.check_together()


# --- Commits from outside -----------------------------------------------------------------------


class _Anybody(Certificates):
    """Who breaks the rules does not ask whether a leaf succeeds another."""

    def accepts(self, credential: Credential, signature_key: bytes) -> bool:
        return True

    def succeeds(self, old: Credential, new: Credential) -> bool:
        return True


def come_in(
    party: Party,
    device: MemoryDevice,
    entries: Sequence[RosterEntry] = (),
    in_place_of: MemoryDevice | None = None,
) -> None:
    """A commit from outside, which the server takes as it is."""
    followed = party.server.groups.groups[party.group]
    state = followed.epochs[followed.generation, followed.epoch]
    former = None
    if in_place_of is not None:
        former = chat_of(party.devices[0], party).leaf_of(in_place_of.machine.device_id)
    now = party.server.now
    join = ExternalJoin(
        Policy(_Anybody(lambda *_: None), external_commits=True, resync=True),
        resync=former,
        ratchet_tree=state.tree,
        group_info=True,
        authenticated_data=RosterEntry.brought(entries),
    )
    identity = device.machine._key_packages.identity(1, now // 1000)
    pending = Group.join_external(
        state.group_info, identity, now // 1000, join, random=device.random
    )
    body = wire.CommitBody(0, pending.commit, [entry.encode() for entry in entries], b"")
    client_id, info = device.random(16), pending.group_info
    put(party, device, handshake(party.group, client_id, followed.epoch, body, group_info=info))


def next_entry(roster: Roster, by: MemoryDevice, change: Change, at: int) -> RosterEntry:
    memory = by.machine._memory
    return roster.next_entry(
        [change],
        memory.account_id,
        memory.device_id,
        memory.local.signature_key,
        at,
        lambda *_: None,
    )


def test_who_comes_back_changes_the_roster_beside_it() -> None:
    """No epoch would be bound to that: a server could keep the entry from those it likes."""
    party = Party("alice", "bob", "mallory")
    alice, bob, mallory = party.devices
    alice.machine.group_set_role(
        party.group, mallory.machine.account_id, Role.ADMIN, party.server.now
    )
    alice.settle()
    party.settle()
    roster = chat_of(alice, party).known_roster()
    entry = next_entry(roster, mallory, Named(bytes(32)), party.server.now)
    come_in(party, mallory, [entry], in_place_of=mallory)
    mallory.disconnect()
    party.settle(2)
    assert refused(alice) == because("a newcomer that changes the roster")
    assert chat_of(bob, party).known_roster() == roster
    check_goes_on(party, alice, bob)


def test_somebody_comes_in_the_place_of_another_device() -> None:
    party = Party("alice", "bob", "carol", "mallory")
    alice, bob, carol, mallory = party.devices
    alice.machine.group_remove(party.group, [mallory.machine.account_id], party.server.now)
    alice.settle()
    party.settle()
    come_in(party, mallory, in_place_of=carol)
    mallory.disconnect()
    party.settle(2)
    assert [code for code, _ in refused(alice)] == [Code.MLS_INVALID]
    check_goes_on(party, alice, bob, carol)


@pytest.mark.parametrize("through", ["a member", "a member who comes back"])
def test_a_member_lets_somebody_in_by_a_link_that_has_ended(through: str) -> None:
    """Whoever comes signs for a time before its end, and the server keeps that secret."""
    party = Party("alice", "bob", "mallory")
    alice, bob, mallory = party.devices
    link: JoinLink = party.link(alice, uses=5)
    opened = party.server.now
    eve = party.outsider("eve")
    for device in party.devices:
        device.meet("eve")
    party.server.now += HOUR + 2 * CLOCKS
    roster = chat_of(mallory, party).known_roster()
    account, device_id = eve.machine.account_id, eve.machine.device_id
    key = eve.account_key.public_key.to_bytes()
    change = link.sign_join(roster.state.roster_id, account, device_id, key)
    entry = next_entry(roster, eve, change, opened)
    if through == "a member":
        after = roster.extend(entry, mallory.machine._groups._lists.find_key)
        bound = (
            chat_of(mallory, party)
            .live()
            .extensions.with_(Extension(EXTENSION_TYPE, after.binding.encode()))
        )
        forge(party, mallory, roster=[entry.encode()], proposals=[GroupContextExtensions(bound)])
    else:
        come_in(party, mallory, [entry], in_place_of=mallory)
    mallory.disconnect()
    party.settle(2)
    for device in (alice, bob):
        assert [code for code, _ in refused(device)] == [Code.GROUP_COMMIT_REFUSED]
        assert account not in chat_of(device, party).accounts
    check_goes_on(party, alice, bob)
