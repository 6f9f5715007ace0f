"""Who loses a race goes on by the commits that won; who missed one looks for it on any hint."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from parlour.conversation.events import GroupRepairing, MessagesSkipped, MessageUnreadable
from parlour.conversation.groups.ladder import REREAD_EVERY
from parlour.conversation.groups.records import GroupState, Step, Trouble
from parlour.conversation.groups.restarting import RESTART, ROLLBACK
from parlour.roster.roles import Role
from parlour.testing.device import MemoryDevice
from parlour.wire.envelope import SuiteId
from parlour.wire.groups import Handled
from parlour.wire.kinds import Kind
from parlour.wire.streams import Entry, Read
from tests.scenario.parties import Party, chat_of
from tests.scenario.people import heard
from tests.scenario.test_group_restarts import begin_again


class Winning:
    """A server that names the winners in its answers, as the real one does, and hides entries."""

    def __init__(self, party: Party, victim: MemoryDevice) -> None:
        self.party = party
        self.victim = victim.machine.device_id
        self.hidden: set[int] = set()
        self.damaged: set[int] = set()
        self.asked: list[Kind] = []
        self.reads: list[int] = []
        party.server.answer = self.answer
        party.server.deliver = self.deliver

    def answer(self, device_id: bytes, kind: Kind, body: Struct, answer: Struct) -> Struct:
        if device_id == self.victim:
            self.asked.append(kind)
            if isinstance(body, Read) and body.stream == self.party.group:
                self.reads.append(body.after)
        if isinstance(answer, Handled) and not answer.seq:
            entries = [each.entry for each in self.party.server.streams[self.party.group].entries]
            won = [each for each in entries if each.envelope.suite == SuiteId.MLS_COMMIT]
            return replace(answer, winners=won[-1:])
        return answer

    def deliver(self, entry: Entry, device_id: bytes) -> list[Entry]:
        if entry.stream != self.party.group or device_id != self.victim:
            return [entry]
        if entry.seq in self.hidden:
            return []
        if entry.seq in self.damaged:
            return [replace(entry, envelope=replace(entry.envelope, suite=SuiteId.MLS_MESSAGE))]
        return [entry]

    @property
    def next(self) -> int:
        """The number of the entry that comes next."""
        return len(self.party.server.streams[self.party.group].entries) + 1


def story() -> tuple[Party, MemoryDevice, MemoryDevice, Winning]:
    party = Party("alice", "bob")
    alice, bob = party.devices
    return party, alice, bob, Winning(party, bob)


def refresh(party: Party, device: MemoryDevice) -> None:
    device.machine.group_refresh(party.group, party.server.now)
    device.settle()


def test_the_winner_in_the_answer_is_followed_at_once() -> None:
    party, alice, bob, server = story()
    refresh(party, alice)
    server.asked.clear()
    refresh(party, bob)
    assert bob.machine.counters["commit.lost"] >= 1
    assert chat_of(bob, party).epoch == chat_of(alice, party).epoch
    assert Kind.CATCH_UP not in server.asked
    party.settle()
    party.check_together()


def test_what_was_said_before_the_winner_is_read_first() -> None:
    party, alice, bob, _ = story()
    message_id = party.say(alice, "before it")
    refresh(party, alice)
    refresh(party, bob)
    assert bob.texts() == ["before it"]
    assert chat_of(bob, party).epoch == chat_of(alice, party).epoch
    assert heard(bob, MessagesSkipped) == []
    assert chat_of(bob, party).was_read(alice.machine.device_id, message_id)


def test_a_winner_is_taken_in_the_end_though_the_server_keeps_back_what_is_before_it() -> None:
    """Else it would make us lose for ever; what is missing is asked for."""
    party, alice, bob, server = story()
    first = server.next
    party.say(alice, "kept back")
    refresh(party, alice)
    server.hidden = {first, first + 1}
    refresh(party, bob)
    party.settle(2)
    assert chat_of(bob, party).epoch >= chat_of(alice, party).epoch
    assert bob.texts() == []
    server.hidden.clear()
    party.reconnect(bob)
    party.settle()
    assert bob.texts() == ["kept back"]
    party.check_together()


def test_a_commit_under_a_number_that_was_made_up_hides_none_after_it() -> None:
    party, alice, bob, server = story()
    made_up = server.next

    def misnumber(entry: Entry, device_id: bytes) -> list[Entry]:
        is_it = entry.stream == party.group and entry.seq == made_up
        lies = is_it and device_id == bob.machine.device_id
        return [replace(entry, seq=made_up + 10_000) if lies else entry]

    party.server.deliver = misnumber
    refresh(party, alice)
    alice.pull()
    refresh(party, alice)
    alice.pull()
    bob.pull()
    assert chat_of(bob, party).epoch == chat_of(alice, party).epoch - 1
    party.server.deliver = server.deliver
    party.reconnect(bob)
    for _ in range(3):
        refresh(party, bob)
        party.settle(2)
    party.check_together()


def test_a_winner_under_a_number_that_was_taken_for_something_else_is_read_again() -> None:
    party, alice, bob, server = story()
    server.damaged = {server.next}
    refresh(party, alice)
    bob.pull()
    assert chat_of(bob, party).epoch < chat_of(alice, party).epoch
    server.damaged.clear()
    refresh(party, bob)
    assert [(e.reason, e.step) for e in heard(bob, GroupRepairing)] == [("gap", "fetch")]
    assert party.view(bob).state is GroupState.ACTIVE
    assert chat_of(bob, party).epoch >= chat_of(alice, party).epoch
    party.settle()
    party.check_together()


def test_winners_below_the_last_one_that_was_followed_are_read_again() -> None:
    """That one had a number that was made up, and all until then seemed to be handled."""
    party, alice, bob, _ = story()
    refresh(party, alice)
    alice.pull()
    chat = chat_of(bob, party)
    conversation = bob.machine._memory.conversations[party.group]
    chat.record.followed_seq = conversation.received = conversation.received + 10_000
    for _ in range(3):
        refresh(party, bob)
        bob.wait(1_000)
    assert chat_of(bob, party).epoch >= chat_of(alice, party).epoch
    party.settle()
    party.check_together()


def test_a_message_of_an_epoch_that_was_not_seen_lets_its_commit_be_read_again() -> None:
    """Nothing is lost by it, so nobody is told, and nobody is asked."""
    party, alice, bob, server = story()
    server.damaged = {server.next}
    refresh(party, alice)
    bob.pull()
    server.damaged.clear()
    party.say(alice, "can you read this?")
    bob.pull()
    assert chat_of(bob, party).epoch == chat_of(alice, party).epoch
    assert heard(bob, GroupRepairing) == []
    party.settle(10)
    assert bob.texts() == ["can you read this?"]


def test_hints_let_a_stream_be_read_again_once_in_a_while() -> None:
    """Anybody in the group can make them up."""
    party, alice, bob, server = story()
    server.damaged = {server.next}
    refresh(party, alice)
    bob.pull()
    server.reads.clear()
    for number in range(5):
        party.say(alice, f"number {number}")
        bob.pull()
    assert len(server.reads) == 1
    assert len(heard(bob, MessageUnreadable)) == 6
    party.server.now += REREAD_EVERY
    server.damaged.clear()
    party.say(alice, "after a while")
    bob.pull()
    assert len(server.reads) == 2
    assert chat_of(bob, party).epoch == chat_of(alice, party).epoch


def test_of_two_who_begin_a_group_again_one_goes_on_by_the_other() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    alice.machine.group_set_role(party.group, bob.machine.account_id, Role.ADMIN, party.server.now)
    alice.settle()
    party.settle(2)
    begin_again(alice, party)
    begin_again(bob, party)
    alice.settle()
    # What it made waits no more; it is not made again at once, before the other's has come.
    pending = bob.machine.outgoing(party.server.now)
    bob._write()
    for request in pending:
        bob._answer(request)
        bob._write()
    chat = chat_of(bob, party)
    assert chat.restarting is None
    assert chat.record.pending is None
    at = chat.timers[RESTART]
    trouble = Trouble(0, chat.epoch, ROLLBACK, 0, Step.WAIT, 0)
    restarting = bob.machine._groups._ladder._restarting
    assert at >= party.server.now
    assert restarting.due_at(chat, trouble) == at
    party.settle(4)
    party.check_together()
    assert {party.view(device).generation for device in party.devices} == {1}
    party.say(carol, "we go on")
    party.settle()
    assert alice.texts() == bob.texts() == ["we go on"]
