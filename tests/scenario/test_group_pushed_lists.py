"""Device lists of newcomers that the server pushes with a commit: nobody has to ask for them."""

from __future__ import annotations

from typing import Any

import pytest

from parlour.conversation import directory as module
from parlour.conversation.groups.chat import Chat
from parlour.wire.directory import DeviceListPage
from parlour.wire.kinds import Kind
from parlour.wire.limits import MAX_PUSHED_LISTS
from parlour.wire.push import PushDeviceList, PushEntry
from parlour.wire.streams import Entry
from tests.scenario.parties import Party

_READ = (Kind.READ_DEVICE_LIST, Kind.READ_DEVICE_LISTS)


class Story:
    """Alice adds Carol; Bob hears of it by pushes alone."""

    def __init__(self) -> None:
        self.party = Party("alice", "bob")
        self.alice, self.bob = self.party.devices
        self.carol = self.party.outsider("carol")
        self.asked: list[Kind] = []
        self.party.server.answer = self._answer
        account = self.alice.meet("carol")
        self.alice.machine.group_add(self.party.group, [account], self.party.server.now)
        self.alice.settle()

    def _answer(self, device_id: bytes, kind: Kind, body: Any, answer: Any) -> Any:
        if device_id == self.bob.machine.device_id and kind in _READ:
            self.asked.append(kind)
        return answer

    @property
    def page(self) -> DeviceListPage:
        account = self.party.server.accounts[self.carol.machine.account_id]
        return DeviceListPage(account.account_id, "carol", 0, list(account.entries), False)

    def push(self, body: Any) -> None:
        self.bob.machine.pushed(body, self.party.server.now)

    def push_entries(self, *lists: DeviceListPage) -> None:
        """What has come into the group with these lists, and what Bob asks for by that."""
        for position in self.bob.machine.positions():
            for entry in self.party.server.entries_for(
                self.bob.machine.device_id, position.stream, position.seq
            ):
                self.push(PushEntry(entry, list(lists)))
        self.bob.settle()

    def offer(self, page: DeviceListPage) -> None:
        """It came with an entry that still waits for its turn."""
        self.bob.machine._directory.offer([page])

    @property
    def members(self) -> int:
        return len(self.party.view(self.bob).members)


@pytest.fixture
def story() -> Story:
    return Story()


def test_a_commit_is_judged_by_the_lists_that_came_with_it(story: Story) -> None:
    assert story.carol.machine.account_id not in story.bob.machine.contacts
    story.push_entries(story.page)
    assert story.members == 3
    assert not story.asked


def test_without_them_they_are_asked_for(story: Story) -> None:
    story.push_entries()
    assert story.members == 3
    assert story.asked


def test_what_was_pushed_is_compared_before_anything_is_encrypted(story: Story) -> None:
    """It may have been on its way while the list grew, and nobody told."""
    story.push_entries(story.page)
    assert not story.asked
    story.party.say(story.bob, "hello")
    assert story.asked == [Kind.READ_DEVICE_LIST]


def test_a_list_that_has_grown_since_is_asked_for(story: Story) -> None:
    story.offer(story.page)
    story.push(PushDeviceList(story.carol.machine.account_id, 1))
    story.push_entries()
    assert story.members == 3
    assert story.asked


def test_after_a_new_connection_it_is_asked_for(story: Story) -> None:
    story.offer(story.page)
    story.party.reconnect(story.bob)
    assert story.members == 3
    assert story.asked


def test_a_wrong_list_counts_for_nothing_and_the_true_one_is_asked_for(story: Story) -> None:
    wrong = DeviceListPage(story.page.account_id, "carol", 0, [], False)
    story.push_entries(wrong)
    assert story.members == 3
    assert story.asked


def test_what_nobody_wants_is_not_kept_for_ever(story: Story) -> None:
    directory = story.bob.machine._directory
    for number in range(3 * module.MAX_OFFERED):
        page = DeviceListPage(bytes([number]) * 16, "somebody", 0, story.page.entries, False)
        story.offer(page)
    assert len(directory._offered) == module.MAX_OFFERED
    assert len(story.bob.machine.contacts) == 2
    story.push_entries()
    assert story.members == 3


def test_who_is_forgotten_is_forgotten(story: Story) -> None:
    directory = story.bob.machine._directory
    story.offer(story.page)
    directory.forget(story.page.account_id)
    assert not directory._offered


def test_a_commit_is_tried_once_for_all_the_lists_that_came_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is as large as they are many, so once for each of them would be without a bound."""
    party = Party("alice", "bob")
    alice, bob = party.devices
    # More than are asked for one by one.
    names = [f"newcomer{number}" for number in range(MAX_PUSHED_LISTS + 12)]
    accounts = []
    for name in names:
        party.outsider(name)
        accounts.append(alice.meet(name))
    alice.machine.group_add(party.group, accounts, party.server.now)
    alice.settle()
    pages = [
        DeviceListPage(account, name, 0, list(party.server.accounts[account].entries), False)
        for account, name in zip(accounts, names, strict=True)
    ]
    tried: list[int] = []
    handle = bob.machine._groups.arriving.handle

    def counted(chat: Chat, entry: Entry, now: int) -> bool:
        tried.append(entry.seq)
        return handle(chat, entry, now)

    monkeypatch.setattr(bob.machine._groups.arriving, "handle", counted)
    for position in bob.machine.positions():
        stream = position.stream
        for entry in party.server.entries_for(bob.machine.device_id, stream, position.seq):
            bob.machine.pushed(PushEntry(entry, pages[:MAX_PUSHED_LISTS]), party.server.now)
    assert len(tried) == 2
    bob.settle()
    assert len(party.view(bob).members) == 2 + len(names)
    # Then for the answer with all the others.
    assert tried.count(tried[0]) == 3
