"""What of a group stands on a device's disk, or is gone from it: it goes on, or is repaired."""

from __future__ import annotations

import pytest
from msgspec import Struct

from parlour.conversation.changes import Namespace
from parlour.conversation.events import (
    GroupRefused,
    GroupRepaired,
    MessageMissing,
    MessageUnreadable,
)
from parlour.conversation.groups import arriving
from parlour.errors import Code, TransportError
from parlour.testing.device import Killed, MemoryDevice
from parlour.wire.directory import ReadDeviceList
from parlour.wire.envelope import ENVELOPE_FORMAT, Envelope, SuiteId
from parlour.wire.groups import Handshake
from parlour.wire.kinds import Kind
from parlour.wire.streams import Append
from tests.scenario.parties import Party, chat_of, lose_state
from tests.scenario.people import heard
from tests.scenario.test_group_hostile import put


def test_keys_are_gone_with_a_commit_that_the_server_has() -> None:
    """What it was for has come true, and is not done twice."""
    party = Party("alice", "bob")
    alice, _ = party.devices
    last: list[Struct] = []

    def answer(device_id: bytes, kind: Kind, body: Struct, answer: Struct) -> Struct:
        last.append(body)
        return answer

    def kill(step: str) -> None:
        if step == "after request" and isinstance(last[-1], Handshake):
            raise Killed

    party.server.answer, alice.fault = answer, kill
    with pytest.raises(Killed):
        party.link(alice)
    alice.fault = lambda step: None
    lose_state(alice, party.group)
    alice.restart()
    assert chat_of(alice, party).record.pending is not None
    alice.connect()
    assert chat_of(alice, party).record.pending is None
    party.settle(12)
    party.check_together()
    assert len(party.view(alice).links) == 1
    assert party.view(alice).wanted == ()
    assert heard(alice, GroupRefused) == []


def test_the_roster_is_gone() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    del bob.store.records[Namespace.ROSTER][party.group]
    bob.restart()
    bob.connect()
    party.say(alice, "hello")
    party.settle(20)
    party.check_together()
    assert bob.texts() == ["hello"]


class Hidden:
    """A server that does not give one device the list of an account, while it likes."""

    def __init__(self, party: Party, to: MemoryDevice, account_id: bytes) -> None:
        self.to, self.account_id = to.machine.device_id, account_id
        party.server.answer = self._answer

    def _answer(self, device_id: bytes, kind: Kind, body: Struct, answer: Struct) -> Struct:
        del kind
        asked = isinstance(body, ReadDeviceList) and body.account_id == self.account_id
        if device_id == self.to and asked:
            raise TransportError(Code.NETWORK_TIMEOUT)
        return answer


def test_what_waits_for_its_turn_waits_over_a_restart() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    dave = party.outsider("dave")
    hidden = Hidden(party, bob, dave.machine.account_id)
    alice.machine.group_add(party.group, [alice.meet("dave")], party.server.now)
    alice.settle()
    party.say(alice, "dave is here")
    bob.pull()
    waiting = chat_of(bob, party).waiting
    assert [each.entry.envelope.suite for each in waiting[:1]] == [SuiteId.MLS_COMMIT]
    bob.restart()
    assert chat_of(bob, party).waiting == waiting
    hidden.account_id = b""
    bob.connect()
    party.settle(8)
    assert bob.texts() == ["dave is here"]
    assert party.view(bob).leaves == 3


def test_what_has_no_room_is_left_with_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arriving, "MAX_WAITING", 2)
    party = Party("alice", "bob")
    alice, bob = party.devices
    dave = party.outsider("dave")
    hidden = Hidden(party, bob, dave.machine.account_id)
    alice.machine.group_add(party.group, [alice.meet("dave")], party.server.now)
    alice.settle()
    texts = [f"number {number}" for number in range(5)]
    for text in texts:
        party.say(alice, text)
    bob.pull()
    assert len(chat_of(bob, party).waiting) == 2
    hidden.account_id = b""
    party.reconnect(bob)
    party.settle(4)
    assert bob.texts() == texts
    assert chat_of(bob, party).waiting == []
    assert heard(bob, MessageMissing) == []


def test_who_is_put_out_and_brought_back_by_what_waited_is_in() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    dave = party.outsider("dave")
    hidden = Hidden(party, bob, dave.machine.account_id)
    for act, accounts in (
        (alice.machine.group_add, [alice.meet("dave")]),
        (alice.machine.group_remove, party.ids),
        (alice.machine.group_add, party.ids),
    ):
        act(party.group, accounts, party.server.now)
        alice.settle()
        bob.pull()
    commits = [each.entry.envelope.suite for each in chat_of(bob, party).waiting]
    assert commits.count(SuiteId.MLS_COMMIT) == 3
    hidden.account_id = b""
    party.devices.append(dave)
    party.settle(10)
    for device in (bob, dave):
        device.machine.accept_group(party.group, party.server.now)
    party.check_together()
    assert heard(bob, GroupRepaired) == []


def test_what_only_a_newer_program_reads_stops_no_group_over_a_restart() -> None:
    party = Party("alice", "bob")
    alice, bob = party.devices
    append = Append(
        stream=party.group,
        client_id=alice.random(16),
        envelope=Envelope(ENVELOPE_FORMAT, 0x7777, b"", b"?"),
        parts=[],
    )
    put(party, alice, append)
    party.settle(2)
    bob.restart()
    party.reconnect(bob)
    party.say(alice, "as before")
    party.settle(2)
    assert bob.texts() == ["as before"]
    assert len(heard(bob, MessageUnreadable)) == 1
    assert len(bob.machine._memory.held) == 1
    party.check_together()
