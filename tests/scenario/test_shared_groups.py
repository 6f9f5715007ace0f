"""Machines in one process that share what is public in their groups."""

from __future__ import annotations

from parlour.conversation.groups.chat import Chat
from parlour.conversation.groups.sharing import SharedGroups
from parlour.testing.device import MemoryDevice
from tests.scenario.parties import Party, chat_of


def chats(party: Party) -> list[Chat]:
    return [chat_of(device, party) for device in party.devices]


def test_they_hold_one_tree_and_one_roster_and_are_members_like_any_others() -> None:
    party = Party("anna", "bea", "carl", shared=SharedGroups())
    anna, bea, carl = party.devices
    party.check_together()
    bea.machine.group_refresh(party.group, party.server.now)
    party.settle()
    anna.machine.group_remove(party.group, [carl.machine.account_id], party.server.now)
    party.settle()
    dora = MemoryDevice(party.server, "dora")
    dora.shared = anna.shared
    dora.restart()
    dora.connect()
    anna.meet("dora")
    anna.machine.group_add(party.group, [dora.machine.account_id], party.server.now)
    party.devices = [anna, bea, dora]
    party.settle()
    dora.machine.accept_group(party.group, party.server.now)
    dora.settle()
    # Who made a commit has its outcome by itself; it is one with what the others found.
    trees = {id(chat.live().member.public.tree) for chat in chats(party)}
    assert len(trees) == 1
    party.check_together()
    party.say(bea, "hello")
    party.settle()
    assert anna.texts() == ["hello"]


def test_they_share_again_after_a_restart() -> None:
    party = Party("anna", "bea", "carl", shared=SharedGroups())
    for device in party.devices:
        device.restart()
        device.connect()
    party.settle()
    trees = {id(chat.live().member.public.tree) for chat in chats(party)}
    assert len(trees) == 1
    party.say(party.devices[1], "still here")
    party.settle()
    assert party.devices[2].texts() == ["still here"]


def test_nobody_shares_unasked() -> None:
    party = Party("anna", "bea")
    trees = {id(chat.live().member.public.tree) for chat in chats(party)}
    assert len(trees) == 2
