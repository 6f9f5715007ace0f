"""A server that does not give somebody's device list: the others speak, and are told whose."""

from __future__ import annotations

import pytest
from msgspec import Struct

from parlour.conversation.directory import Expected
from parlour.conversation.events import GroupListUnread
from parlour.conversation.groups.unlisted import AT_LEAST, PATIENCE
from parlour.errors import Code, error
from parlour.testing.device import MemoryDevice
from parlour.wire.directory import ReadDeviceList
from parlour.wire.kinds import Kind
from tests.scenario.parties import Party, chat_of, let_time_pass
from tests.scenario.people import heard


class Withheld:
    """A server that refuses to give the list of one account, as long as it likes."""

    def __init__(self, party: Party, account_id: bytes) -> None:
        self.account_id = account_id
        self.withholds = True
        self._request = party.server.request
        party.server.request = self._refuse  # type: ignore[method-assign]

    def _refuse(self, device_id: bytes, kind: Kind, body: Struct) -> Struct:
        asked = body.account_id if isinstance(body, ReadDeviceList) else b""
        if self.withholds and asked == self.account_id:
            raise error(Code.ACCOUNT_UNKNOWN)
        return self._request(device_id, kind, body)


def story() -> tuple[Party, MemoryDevice, MemoryDevice, MemoryDevice, Withheld]:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    return party, alice, bob, carol, Withheld(party, carol.machine.account_id)


def told(device: MemoryDevice) -> list[tuple[tuple[bytes, ...], bool]]:
    return [(event.accounts, event.waits) for event in heard(device, GroupListUnread)]


def test_the_others_speak_after_a_while_and_are_told_whose_list_is_missing() -> None:
    party, alice, bob, carol, _ = story()
    party.reconnect(alice)
    party.say(alice, "is anybody there?")
    began = party.server.now
    while party.server.now < began + PATIENCE - 8_000:
        party.settle(1)
        assert bob.texts() == []
    party.settle(5)
    assert bob.texts() == carol.texts() == ["is anybody there?"]
    assert told(alice) == [((carol.machine.account_id,), False)]
    assert alice.machine.counters["group.list_unread"] == 1
    party.say(alice, "good")
    party.settle(1)
    assert bob.texts()[-1] == "good"
    assert len(told(alice)) == 1


def test_the_machine_wakes_up_for_it_by_itself() -> None:
    party, alice, bob, _, _ = story()
    party.reconnect(alice)
    party.say(alice, "is anybody there?")
    began = party.server.now
    while party.server.now < began + 2 * PATIENCE and not bob.texts():
        at = alice.machine.next_timeout()
        assert at is not None
        assert at > party.server.now
        alice.wait(at - party.server.now)
        bob.pull()
    assert began + PATIENCE <= party.server.now < began + PATIENCE + 5_000


def test_a_list_that_comes_is_waited_for_anew_on_another_connection() -> None:
    party, alice, bob, carol, server = story()
    party.reconnect(alice)
    party.say(alice, "one")
    party.settle(20, PATIENCE // 10)
    assert bob.texts() == ["one"]
    server.withholds = False
    party.reconnect(alice)
    party.say(alice, "two")
    party.settle(1)
    assert bob.texts() == ["one", "two"]
    assert chat(alice, party).record.unlisted == {}
    server.withholds = True
    party.reconnect(alice)
    party.say(alice, "three")
    party.settle(2)
    assert bob.texts() == ["one", "two"]
    party.settle(20, PATIENCE // 10)
    assert bob.texts() == ["one", "two", "three"]
    assert told(alice) == [((carol.machine.account_id,), False)] * 2


def test_programs_that_run_for_a_moment_wait_no_longer_in_sum() -> None:
    party, alice, bob, _, _ = story()
    alice.restart()
    alice.connect()
    party.say(alice, "in a hurry")
    for _ in range(5):
        alice.wait(AT_LEAST // 2)
        alice.wait(AT_LEAST // 2 + 2_000)
        bob.pull()
        assert bob.texts() == []
        party.server.now += AT_LEAST
        alice.restart()
        alice.connect()
    alice.wait(AT_LEAST + 2_000)
    bob.pull()
    assert bob.texts() == ["in a hurry"]


@pytest.mark.parametrize("removed", [False, True])
def test_nothing_is_said_where_a_list_was_shown_to_go_on(removed: bool) -> None:
    """A device may have left it. Whoever may puts the account out, whose list is missing."""
    party, alice, bob, carol, _ = story()
    account = carol.machine.account_id
    head = alice.machine.contacts[account].head
    shown = Expected(head.account_key.to_bytes(), head.number + 1, bytes(32))
    party.reconnect(alice)
    alice.machine._directory.expect(account, shown)
    party.say(alice, "is anybody there?")
    party.settle(20, PATIENCE // 5)
    assert bob.texts() == []
    assert told(alice) == [((account,), True)]
    if removed:
        alice.machine.group_remove(party.group, [account], party.server.now)
        alice.settle()
        party.settle(4)
        assert bob.texts() == ["is anybody there?"]
        assert len(party.view(bob).members) == 2


@pytest.mark.parametrize("changes", [False, True])
def test_other_changes_do_not_wait_for_a_device_of_that_account(changes: bool) -> None:
    party, alice, bob, carol, server = story()
    server.withholds = False
    bob.disconnect()
    carol.disconnect()
    tablet = MemoryDevice(party.server, "carol", seed="tablet", beside=carol, linked=True)
    tablet.connect()
    tablet.disconnect()
    alice.machine._directory.want(carol.machine.account_id)
    alice.settle()
    assert party.view(alice).leaves == 3
    server.withholds = True
    party.reconnect(alice)
    epoch = party.view(alice).epoch
    if changes:
        alice.machine.group_rename(party.group, "New", party.server.now)
        alice.settle()
    for _ in range(8):
        alice.wait(PATIENCE // 8 - 1)
    assert party.view(alice).name == "Friends"
    for _ in range(4):
        alice.wait(PATIENCE // 8 + 1)
    assert party.view(alice).name == ("New" if changes else "Friends")
    assert party.view(alice).epoch == epoch + changes
    assert party.view(alice).leaves == 3
    server.withholds = False
    party.reconnect(alice)
    let_time_pass(alice, 4)
    assert party.view(alice).leaves == 4


def test_between_two_people_it_waits() -> None:
    party, alice, _, carol, _ = story()
    party.reconnect(alice)
    groups = alice.machine._groups
    direct = chat(alice, party)
    direct.record.peer = carol.machine.account_id
    for _ in range(3):
        party.server.now += PATIENCE
        assert not groups._unlisted.lets_speak(direct, party.server.now)


def chat(device: MemoryDevice, party: Party):  # type: ignore[no-untyped-def]
    return chat_of(device, party)
