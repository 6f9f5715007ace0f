"""Links that have ended, and a server that lets somebody in by one."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from parlour.cli.group.described import standing
from parlour.conversation.events import CommitRefused, GroupJoined, GroupRepaired
from parlour.conversation.groups.authorising import CLOCKS
from parlour.errors import Code
from parlour.roster.links import JoinLink
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import _Stored
from parlour.wire.groups import CommitBody, decode_body, encode_body
from parlour.wire.streams import Entry
from tests.scenario.parties import HOUR, Party
from tests.scenario.people import heard


def linked() -> tuple[Party, JoinLink]:
    """A group of three with a link that is good for an hour."""
    party = Party("alice", "bob", "carol")
    for device in party.devices:
        # So that nobody does it later.
        device.machine.group_refresh(party.group, party.server.now)
        device.settle()
        party.settle(2)
    return party, party.link(party.devices[0], uses=5)


def come(party: Party, link: JoinLink, monkeypatch: pytest.MonkeyPatch, signed_at: int) -> None:
    """Somebody comes by a link and signs for another time; the server lets that pass."""
    dave = party.outsider("dave")
    joining = dave.machine._groups._joining
    commit_by_link = joining.commit_by_link
    monkeypatch.setattr(
        joining,
        "commit_by_link",
        lambda chat, state, link, now: commit_by_link(chat, state, link, signed_at),
    )
    dave.machine.join_by_link(link, party.server.now)
    for _ in range(3):
        dave.settle()
    dave.disconnect()


def date_back(party: Party, stored_at: int) -> None:
    """The server says that it stored the last entry then."""
    entries = party.server.streams[party.group].entries
    entries[-1] = _Stored(replace(entries[-1].entry, stored_at=stored_at), entries[-1].parts)


def refusals(device: MemoryDevice) -> list[tuple[Code, str]]:
    return [(event.reason, event.detail) for event in heard(device, CommitRefused)]


@pytest.mark.parametrize("dated_back", [False, True])
def test_nobody_comes_by_a_link_that_has_ended(
    dated_back: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A date of the server counts as far as it does not lie before what all have followed."""
    party, link = linked()
    alice, bob, carol = party.devices
    began = party.server.now
    party.server.now += HOUR + CLOCKS + 1
    if dated_back:
        bob.machine.group_refresh(party.group, party.server.now)
        bob.settle()
        party.settle(2)
    before = party.view(alice).members
    carol.disconnect()
    come(party, link, monkeypatch, began)
    if dated_back:
        date_back(party, began)
    party.server.now += 3 * CLOCKS
    for device in (alice, bob):
        device.pull()
    # Carol reads it days later, and decides like the others.
    party.server.now += 3 * CLOCKS
    carol.connect()
    for device in party.devices:
        (refused,) = refusals(device)
        assert refused == (
            Code.GROUP_COMMIT_REFUSED,
            "somebody came by a link that has ended",
        )
    party.settle(10)
    for device in party.devices:
        assert [m.account_id for m in party.view(device).members] == [m.account_id for m in before]


def test_who_comes_by_a_link_is_told_that_nobody_has_confirmed_it_yet() -> None:
    party, link = linked()
    dave = party.outsider("dave")
    dave.machine.join_by_link(link, party.server.now)
    for _ in range(3):
        dave.settle()
    assert [event.confirmed for event in heard(dave, GroupJoined)] == [False]
    assert standing(party.view(dave)) == "no member has confirmed yet that it is theirs"
    party.devices.append(dave)
    party.settle()
    assert [event.confirmed for event in heard(dave, GroupRepaired)] == [True]
    assert standing(party.view(dave)) == ""
    assert [event.confirmed for event in heard(party.devices[1], GroupJoined)] == [True]


def test_clocks_are_apart_and_members_decide_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who came in time, comes, however late a member reads it."""
    party, link = linked()
    _, _, carol = party.devices
    began = party.server.now
    carol.disconnect()
    party.server.now += HOUR + CLOCKS // 2
    come(party, link, monkeypatch, began)
    party.server.now += 5 * CLOCKS
    carol.connect()
    party.settle()
    party.check_together()
    assert len(party.view(carol).members) == 4
    assert not any(refusals(device) for device in party.devices)


def test_a_link_that_has_ended_is_closed_by_a_commit_that_is_made_anyway() -> None:
    party, link = linked()
    alice, bob, carol = party.devices
    party.server.now += HOUR + CLOCKS + 1
    epoch = party.view(alice).epoch
    party.settle(4)
    assert party.view(alice).epoch == epoch
    assert [each.link_id for each in party.view(bob).links] == [link.link_id]
    # Bob may not close links.
    bob.machine.group_refresh(party.group, party.server.now)
    bob.settle()
    party.settle(2)
    assert [each.link_id for each in party.view(alice).links] == [link.link_id]
    alice.machine.group_refresh(party.group, party.server.now)
    alice.settle()
    party.settle(2)
    for device in (alice, bob, carol):
        assert party.view(device).links == ()
    party.check_together()


def test_who_comes_by_a_link_comes_once_more_if_the_commit_is_shown_damaged() -> None:
    """The server has taken it: members see the newcomer, who could not wait for it for ever."""
    party, link = linked()
    dave = party.outsider("dave")
    damaged: list[int] = []

    def deliver(entry: Entry, device_id: bytes) -> list[Entry]:
        own = entry.stream == party.group and entry.sender_device == device_id
        if not own or device_id != dave.machine.device_id or damaged not in ([], [entry.seq]):
            return [entry]
        damaged[:] = [entry.seq]
        body = decode_body(entry.envelope.body, CommitBody)
        other = encode_body(replace(body, commit=body.commit[:-1] + bytes([body.commit[-1] ^ 1])))
        return [replace(entry, envelope=replace(entry.envelope, body=other))]

    party.server.deliver = deliver
    dave.machine.join_by_link(link, party.server.now)
    party.devices.append(dave)
    party.settle(20, 10_000)
    assert damaged
    assert dave.machine.counters["commit.changed"] == 1
    party.check_together()
