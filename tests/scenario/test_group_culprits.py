"""Who is put out for a commit that nobody can follow: only who has certainly made it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from parlour.conversation.events import CommitRefused, GroupRestarted
from parlour.conversation.groups.records import GroupState
from parlour.mls.public.rules import Rule, RuleBroken
from parlour.wire.envelope import SuiteId
from parlour.wire.groups import CommitBody, decode_body, encode_body
from parlour.wire.streams import Entry
from tests.scenario.parties import Party
from tests.scenario.people import heard
from tests.scenario.refusing import refuse_commits
from tests.scenario.test_group_hostile import check_goes_on


def check_nobody_was_put_out(party: Party) -> None:
    """The group begins again, and whoever made the commit is in it."""
    alice, bob, carol = party.devices
    carol.disconnect()
    party.settle(30)
    for device in (alice, bob):
        assert [event.by for event in heard(device, CommitRefused)] == [carol.machine.account_id]
        assert [event.without for event in heard(device, GroupRestarted)] == [()]
    party.server.deliver = lambda entry, device_id: [entry]
    carol.connect()
    party.settle(30)
    assert party.view(carol).state is GroupState.ACTIVE
    assert len(party.view(alice).members) == 3
    check_goes_on(party, carol, alice, bob)


@pytest.mark.parametrize("place", [-1, -20, -40])
def test_a_server_changes_the_tags_of_a_commit_to_have_its_maker_put_out(place: int) -> None:
    """They are not signed: what its maker has signed is as it was."""
    party = Party("alice", "bob", "carol")
    carol = party.devices[2]

    def deliver(entry: Entry, device_id: bytes) -> list[Entry]:
        del device_id
        mine = entry.stream == party.group and entry.envelope.suite == SuiteId.MLS_COMMIT
        if not mine or entry.sender_device != carol.machine.device_id:
            return [entry]
        body = decode_body(entry.envelope.body, CommitBody)
        commit = bytearray(body.commit)
        commit[place] ^= 1
        changed = encode_body(replace(body, commit=bytes(commit)))
        return [replace(entry, envelope=replace(entry.envelope, body=changed))]

    party.server.deliver = deliver
    carol.machine.group_refresh(party.group, party.server.now)
    carol.settle()
    check_nobody_was_put_out(party)


def test_a_server_and_a_member_put_another_confirmation_into_somebodys_commit() -> None:
    party = Party("alice", "bob", "carol")
    alice, bob, carol = party.devices
    refuse_commits(party, alice, bob, problem=RuleBroken(Rule.COMMIT_CONFIRMATION_TAG))
    carol.machine.group_refresh(party.group, party.server.now)
    carol.settle()
    check_nobody_was_put_out(party)
