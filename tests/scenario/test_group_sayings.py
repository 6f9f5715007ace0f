"""What members say that is not as it should be: read or not, each to a clear end."""

from __future__ import annotations

import msgspec
import pytest

from parlour.conversation import content as contents
from parlour.conversation.content import (
    CONTENT_VERSION,
    Content,
    DetailsWanted,
    EpochSeen,
    GroupDetails,
    Resent,
    Text,
    Unknown,
)
from parlour.conversation.events import (
    CommitRefused,
    GroupJoined,
    MessageReceived,
    MessageUnreadable,
)
from parlour.conversation.groups import messages
from parlour.conversation.groups.messages import encode_clear
from parlour.conversation.groups.records import Acceptance, GroupState
from parlour.conversation.inner import Inner
from parlour.conversation.reasons import Reason
from parlour.mls.private.committing import CommitOptions
from parlour.mls.public.proposals import Remove
from parlour.mls.public.types import WireFormat
from parlour.roster.changes import Named, encode_change, leave_statement
from parlour.roster.genesis import Kind as GroupKind
from parlour.roster.naming import NAME_SALT_SIZE
from parlour.testing.device import MemoryDevice
from parlour.wire import groups as wire
from parlour.wire.envelope import ENVELOPE_FORMAT, Envelope, SuiteId
from parlour.wire.streams import Append
from tests.scenario.parties import Party, chat_of
from tests.scenario.people import heard
from tests.scenario.test_group_hostile import check_goes_on, put
from tests.scenario.test_group_names import ID, put_unreadable


def place(party: Party, device: MemoryDevice, body: bytes, client_id: bytes = ID) -> None:
    """The server stores something as a message of a device."""
    envelope = Envelope(ENVELOPE_FORMAT, SuiteId.MLS_MESSAGE, b"", body)
    put(party, device, Append(stream=party.group, client_id=client_id, envelope=envelope, parts=[]))


def utter(
    party: Party, device: MemoryDevice, content: bytes, clear: bytes = b"", tag: bytes = b""
) -> None:
    """A member encrypts what its program would not say."""
    chat = chat_of(device, party)
    inner = Inner(0, party.server.now, 0, b"", content)
    clear = clear or encode_clear(tag or chat.epoch_tag(), ID)
    place(party, device, chat.live().encrypt(inner.encode(), clear, random=device.random))


def unreadable(device: MemoryDevice) -> list[Reason]:
    return [event.reason for event in heard(device, MessageUnreadable)]


def said(text: str) -> bytes:
    return contents.encode(Text(text))


def test_a_message_around_which_a_newer_program_has_put_more() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    tag = chat_of(bob, party).epoch_tag()
    utter(party, bob, said("from later"), clear=b"\2" + encode_clear(tag, ID)[1:])
    party.settle(1)
    assert unreadable(alice) == [Reason.NEWER_FORMAT]
    check_goes_on(party, bob, alice)


@pytest.mark.parametrize(
    "content",
    [
        EpochSeen(ID, 0, 1, ID),
        Resent(ID, 1, said("not said")),
    ],
)
def test_what_is_for_one_device_is_not_taken_from_a_group(content: Content) -> None:
    party = Party("alice", "mallory")
    alice, mallory = party.devices
    utter(party, mallory, contents.encode(content))
    party.settle(1)
    assert unreadable(alice) == [Reason.MALFORMED]
    assert alice.texts() == []
    check_goes_on(party, mallory, alice)


def test_a_message_of_another_group_is_none_of_this_one() -> None:
    """Both hold its keys: it was not said here."""
    party = Party("alice", "mallory")
    alice, mallory = party.devices
    other = mallory.machine.create_group(
        GroupKind.GROUP, "Others", [alice.machine.account_id], party.server.now, suite=1
    )
    mallory.settle()
    party.settle()
    group = mallory.machine._memory.groups.chats[other].live()
    inner = Inner(0, party.server.now, 0, b"", said("elsewhere"))
    clear = encode_clear(chat_of(mallory, party).epoch_tag(), ID)
    place(party, mallory, group.encrypt(inner.encode(), clear, random=mallory.random))
    party.settle(1)
    assert alice.texts() == []
    assert len(unreadable(alice)) == 1
    check_goes_on(party, mallory, alice)


@pytest.mark.parametrize("private", [False, True])
def test_a_commit_that_is_passed_off_as_a_message(private: bool) -> None:
    """In clear, or encrypted like what is said: nobody follows it, and nobody is accused."""
    party = Party("alice", "bob", "mallory")
    alice, bob, mallory = party.devices
    group, now = chat_of(mallory, party).live(), party.server.now // 1000
    wire_format = WireFormat.PRIVATE_MESSAGE if private else WireFormat.PUBLIC_MESSAGE
    options = CommitOptions(ratchet_tree=False, group_info=True, wire_format=wire_format)
    pending = group.commit(now, options=options, random=mallory.random)
    group.clear_pending()
    place(party, mallory, pending.commit)
    epoch = party.view(alice).epoch
    party.settle(1)
    assert party.view(alice).epoch == epoch
    assert unreadable(alice) == [Reason.MALFORMED]
    assert heard(alice, CommitRefused) == []
    check_goes_on(party, alice, bob)


def test_a_commit_that_is_encrypted_is_followed_by_nobody() -> None:
    """The server could not judge it, and newcomers could not read it."""
    party = Party("alice", "bob", "mallory")
    alice, bob, mallory = party.devices
    group, now = chat_of(mallory, party).live(), party.server.now // 1000
    options = CommitOptions(
        ratchet_tree=False, group_info=True, wire_format=WireFormat.PRIVATE_MESSAGE
    )
    pending = group.commit(now, options=options, random=mallory.random)
    group.clear_pending()
    body = wire.encode_body(wire.CommitBody(0, pending.commit, [], b""))
    envelope = Envelope(ENVELOPE_FORMAT, SuiteId.MLS_COMMIT, b"", body)
    put(party, mallory, Append(stream=party.group, client_id=ID, envelope=envelope, parts=[]))
    mallory.disconnect()
    party.settle(1)
    assert len(heard(alice, CommitRefused)) == 1
    check_goes_on(party, alice, bob)


def test_a_message_under_the_tag_of_another_epoch_is_read_and_counted() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    utter(party, bob, said("hello"), tag=bytes(8))
    party.settle(1)
    assert alice.texts() == ["hello"]
    assert alice.machine.counters["epoch.tag_differs"] == 1


def test_what_a_newer_program_says_to_programs_shows_nothing() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    before = len(heard(alice, MessageReceived))
    newer = msgspec.msgpack.encode((CONTENT_VERSION, 0x7F, [1]))
    assert isinstance(contents.decode(newer), Unknown)
    utter(party, bob, newer)
    party.settle(1)
    assert unreadable(alice) == []
    assert len(heard(alice, MessageReceived)) == before


def test_a_member_spreads_a_name_that_is_not_the_groups() -> None:
    party = Party("alice", "mallory")
    alice, mallory = party.devices
    utter(party, mallory, contents.encode(GroupDetails("Mallory's", bytes(NAME_SALT_SIZE))))
    party.settle(1)
    assert party.view(alice).name == "Friends"
    assert unreadable(alice) == []


def test_a_name_that_was_told_already_is_told_once() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    alice.events.clear()
    utter(party, bob, contents.encode(DetailsWanted()))
    party.settle()
    assert party.view(alice).name == party.view(bob).name == "Friends"
    assert [type(event).__name__ for event in alice.events] == []


def test_what_is_said_between_a_no_and_the_going_is_not_shown() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    bob.disconnect()
    bob.machine.decline_group(party.group, party.server.now)
    party.say(alice, "are you there?")
    bob.connect()
    assert party.view(bob).acceptance is Acceptance.DECLINED
    party.settle()
    assert bob.texts() == []
    assert party.view(bob).state is GroupState.LEFT


def test_a_stranger_brings_me_in_and_says_more_than_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(messages, "MAX_REQUESTED", 2)
    party = Party("alice", "bob")
    alice, _ = party.devices
    dave = party.outsider("dave")
    party.devices.append(dave)
    alice.machine.group_add(party.group, [alice.meet("dave")], party.server.now)
    alice.settle()
    party.settle()
    assert [event.invited for event in heard(dave, GroupJoined)] == [True]
    for text in ("one", "two", "three", "four"):
        party.say(alice, text)
    party.settle()
    assert dave.machine._memory.conversations[party.group].unkept == 2
    dave.machine.accept_group(party.group, party.server.now)
    dave.settle()
    assert dave.texts() == ["one", "two"]
    party.say(alice, "five")
    party.settle()
    assert dave.texts() == ["one", "two", "five"]


@pytest.mark.parametrize("content", [b"?", contents.encode(EpochSeen(ID, 0, 1, ID))])
def test_a_message_that_comes_once_more_and_is_none(content: bytes) -> None:
    """It is asked for on, and the right one is taken."""
    party = Party("alice", "bob")
    alice, bob = party.devices
    put_unreadable(party.server, chat_of(bob, party), bob.machine.account_id, bob)
    alice.pull()
    assert len(unreadable(alice)) == 1
    account, device = alice.machine.account_id, alice.machine.device_id
    for each in (content, said("this")):
        resent = Resent(ID, party.server.now, each)
        bob.machine._sending.send_to_inbox(account, device, resent, party.server.now)
        bob.settle()
        alice.pull()
        assert alice.texts() == ([] if each == content else ["this"])


@pytest.mark.parametrize("fault", ["generation", "epoch", "private", "of another", "no leave"])
def test_a_proposal_to_go_that_counts_for_nothing(fault: str) -> None:
    """Nobody goes whose device has not signed for it in this epoch."""
    party = Party("alice", "bob", "mallory")
    alice, bob, mallory = party.devices
    chat = chat_of(mallory, party)
    group, memory = chat.live(), mallory.machine._memory
    state, now = chat.known_roster().state, party.server.now // 1000
    account = bob.machine.account_id if fault == "of another" else memory.account_id
    statement = leave_statement(state.roster_id, account, 0, memory.local.signature_key)
    evidence = Named(bytes(32)) if fault == "no leave" else statement
    private = fault == "private"
    wire_format = WireFormat.PRIVATE_MESSAGE if private else WireFormat.PUBLIC_MESSAGE
    proposal = group.propose(
        Remove(group.own_leaf), now, wire_format=wire_format, random=mallory.random
    )
    if fault == "epoch":
        alice.machine.group_refresh(party.group, party.server.now)
        alice.settle()
    generation = 1 if fault == "generation" else 0
    body = wire.encode_body(wire.ProposalBody(generation, proposal, encode_change(evidence)))
    envelope = Envelope(ENVELOPE_FORMAT, SuiteId.MLS_PROPOSAL, b"", body)
    put(party, mallory, Append(stream=party.group, client_id=ID, envelope=envelope, parts=[]))
    mallory.disconnect()
    party.settle(4)
    for device in (alice, bob):
        assert chat_of(device, party).record.leaving == []
        assert len(party.view(device).members) == party.view(device).leaves == 3
    check_goes_on(party, alice, bob)
