"""Many device lists at once: as strict as one, and a liar keeps nobody from the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from parlour.conversation import directory as module
from parlour.conversation.directory import Expected
from parlour.conversation.events import (
    ContactAdded,
    DevicesChanged,
    KeyChanged,
    KeyReturned,
    SendingBlocked,
    ServerMisbehaved,
)
from parlour.conversation.standing import Standing
from parlour.errors import Code, TransportError, error
from parlour.identity.device_list import Device, DeviceListEntry, first_entry, next_entry
from parlour.primitives.hashes import sha256
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer
from parlour.wire.directory import DeviceListPage, ReadDeviceList
from parlour.wire.groups import (
    DeviceListPages,
    KnownList,
    ListHead,
    ListHeads,
    ReadDeviceLists,
    ReadListHeads,
)
from parlour.wire.kinds import Kind
from tests.accounts import NOW, device, signing_key
from tests.scenario.people import blocks, heard

PEOPLE = 12
_BATCHES = (Kind.READ_DEVICE_LISTS, Kind.READ_LIST_HEADS, Kind.READ_DEVICE_LIST)


class Other:
    """Somebody whose list is on the server, without a program of their own."""

    def __init__(self, server: MemoryServer, number: int, seed: str = "") -> None:
        self.server = server
        self.name = f"person{number}"
        self.account_id = sha256(self.name.encode())[:16]
        self.key = signing_key(self.name + seed)
        listed = (device(self.name + seed),)
        self.server.add_account(self.name, self._first(listed), [])

    def _first(self, listed: tuple[Device, ...]) -> DeviceListEntry:
        return first_entry(self.account_id, self.key, listed[0], NOW)

    @property
    def entries(self) -> list[bytes]:
        return self.server.accounts[self.account_id].entries

    def add_device(self, name: str = "phone") -> None:
        """Put another one on the list."""
        state = self.server.accounts[self.account_id].state
        listed = (*state.devices, device(f"{self.name} {name}"))
        self.entries.append(next_entry(state, self.key, listed, NOW).encode())

    def change_key(self) -> list[bytes]:
        """The server shows another account key; the entries of before."""
        before = self.entries
        Other(self.server, int(self.name.removeprefix("person")), seed="forged")
        return before

    def show(self, entries: list[bytes]) -> None:
        self.server.accounts[self.account_id].entries = entries


class Story:
    """Anna, and many others whose lists she needs for a group."""

    def __init__(self, people: int = PEOPLE) -> None:
        self.server = MemoryServer()
        self.anna = MemoryDevice(self.server, "anna")
        self.others = [Other(self.server, number) for number in range(people)]
        self.asked: list[tuple[Kind, int]] = []
        self.lies: dict[Kind, Callable[[Any], Any]] = {}
        self.server.answer = self._answer
        self.anna.connect()
        self.asked.clear()

    def _answer(self, device_id: bytes, kind: Kind, body: Any, answer: Any) -> Any:
        if kind not in _BATCHES:
            return answer
        match body:
            case ReadDeviceLists(lists=lists):
                self.asked.append((kind, len(lists)))
            case ReadListHeads(account_ids=account_ids):
                self.asked.append((kind, len(account_ids)))
            case _:
                self.asked.append((kind, 1))
        return self.lies.get(kind, lambda answer: answer)(answer)

    @property
    def directory(self) -> module.Directory:
        return self.anna.machine._directory

    @property
    def ids(self) -> list[bytes]:
        return [other.account_id for other in self.others]

    def read(self) -> bool:
        """Read the lists of all, as for a group; whether they are current."""
        self.directory.all_current(self.ids)
        self.anna.settle()
        return self.directory.all_current(self.ids)

    def reconnect(self) -> None:
        self.anna.connect()
        self.asked.clear()

    def number(self, account_id: bytes) -> int:
        return self.anna.machine.contacts[account_id].head.number


def test_many_lists_are_read_in_batches_and_then_only_their_heads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_BATCH", 10)
    story = Story(people=25)
    assert story.read()
    lists = Kind.READ_DEVICE_LISTS
    # What is left in the end is few enough to be read one by one.
    assert story.asked == [(lists, 10), (lists, 10)] + 5 * [(Kind.READ_DEVICE_LIST, 1)]
    story.reconnect()
    assert story.read()
    heads = Kind.READ_LIST_HEADS
    assert story.asked == [(heads, 10), (heads, 10)] + 5 * [(Kind.READ_DEVICE_LIST, 1)]


def test_as_many_are_answered_as_fit() -> None:
    story = Story()
    story.server.lists_per_answer = 3
    assert story.read()
    assert [count for _, count in story.asked] == [12, 9, 1, 1, 1, 1, 1, 1]


def test_only_lists_that_changed_are_read_again() -> None:
    story = Story()
    story.read()
    story.reconnect()
    for other in story.others[:9]:
        other.add_device()
    assert story.read()
    assert story.asked == [(Kind.READ_LIST_HEADS, 12), (Kind.READ_DEVICE_LISTS, 9)]
    assert [story.number(account_id) for account_id in story.ids] == 9 * [1] + 3 * [0]
    # Nobody is told of devices of who only shares a group.
    assert heard(story.anna, DevicesChanged) == []


def test_few_lists_are_read_one_by_one_as_ever() -> None:
    story = Story(people=module.MAX_SINGLE)
    assert story.read()
    assert story.asked == module.MAX_SINGLE * [(Kind.READ_DEVICE_LIST, 1)]


def test_long_lists_are_read_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parlour.testing.memory_server.MAX_DEVICE_LIST_PAGE", 1)
    story = Story()
    for other in story.others:
        other.add_device()
    assert story.read()
    assert story.asked == 2 * [(Kind.READ_DEVICE_LISTS, 12)]
    assert [story.number(account_id) for account_id in story.ids] == 12 * [1]


# --- Who came with a group ---------------------------------------------------------------


def test_who_only_shares_a_group_is_nobodys_contact() -> None:
    story = Story()
    story.read()
    assert heard(story.anna, ContactAdded) == []
    assert not any(story.anna.machine.contacts[each].is_met for each in story.ids)
    story.anna.restart()
    contacts = story.anna.machine.contacts
    assert not any(contacts[each].is_met for each in story.ids)
    assert contacts[story.anna.machine.account_id].is_met


def test_who_is_looked_for_is_met() -> None:
    story = Story()
    story.read()
    for _ in range(2):
        story.anna.meet("person3")
    met = story.ids[3]
    assert [event.account_id for event in heard(story.anna, ContactAdded)] == [met]
    assert [each for each in story.ids if story.anna.machine.contacts[each].is_met] == [met]


def test_who_writes_or_is_verified_is_met() -> None:
    story = Story()
    story.read()
    story.anna.welcoming = False
    writer = MemoryDevice(story.server, "writer")
    story.directory.want_aside([writer.machine.account_id])
    story.anna.settle()
    assert not story.anna.machine.contacts[writer.machine.account_id].is_met
    writer.connect()
    writer.say("anna", "hello")
    story.anna.pull()
    contact = story.anna.machine.contacts[writer.machine.account_id]
    assert contact.standing is Standing.REQUESTED
    assert contact.is_met
    story.anna.machine.verify(story.ids[1], story.server.now)
    assert story.anna.machine.contacts[story.ids[1]].is_met


def test_who_is_wanted_for_both_reasons_is_met() -> None:
    story = Story()
    first, second, third, *_ = story.ids
    story.directory.want(first)
    story.directory.all_current(story.ids)
    story.directory.want(second)
    story.directory.forget(third)
    page: Any = story.server.request(
        story.anna.machine.device_id,
        Kind.READ_DEVICE_LIST,
        ReadDeviceList(account_id=third, first=0),
    )
    story.anna.machine.found(page, story.server.now)
    story.anna.settle()
    added = {event.account_id for event in heard(story.anna, ContactAdded)}
    assert added == {first, second, third}
    # Read already: it stays somebody whom we know.
    story.reconnect()
    story.read()
    assert story.anna.machine.contacts[first].is_met


# --- A server that lies --------------------------------------------------------------------


def test_a_list_that_went_back_is_told_as_ever() -> None:
    story = Story()
    for other in story.others[:10]:
        other.add_device()
    story.read()
    for account_id in story.ids[:10]:
        del story.server.accounts[account_id].entries[1:]
    story.reconnect()
    assert not story.read()
    assert blocks(story.anna) == 10 * [Code.DEVICE_LIST_ROLLBACK]
    assert [story.number(account_id) for account_id in story.ids] == 10 * [1] + 2 * [0]
    # The others are current; those are asked for alone, with pauses.
    assert story.directory.all_current(story.ids[10:])
    assert not story.directory.all_current(story.ids)
    before = len(story.asked)
    story.anna.settle()
    assert len(story.asked) == before
    story.anna.wait(2000)
    # From the entry that is known, then from the beginning.
    assert story.asked[before:] == 20 * [(Kind.READ_DEVICE_LIST, 1)]


def test_a_list_that_was_forked_is_told_as_ever() -> None:
    story = Story()
    for other in story.others:
        other.add_device()
    story.read()
    forked = story.others[4]
    del forked.entries[1:]
    forked.add_device("tablet")
    story.reconnect()
    assert not story.read()
    assert blocks(story.anna) == [Code.DEVICE_LIST_INVALID]


def test_a_changed_key_is_found_and_its_return() -> None:
    story = Story()
    for other in story.others:
        other.add_device()
    story.read()
    other = story.others[2]
    account_id = other.account_id
    story.anna.machine.verify(account_id, story.server.now)
    before = other.change_key()
    story.reconnect()
    story.read()
    assert [event.stopped for event in heard(story.anna, KeyChanged)] == [True]
    assert story.anna.machine.contacts[account_id].stopped
    other.show(before)
    story.reconnect()
    story.read()
    assert [event.account_id for event in heard(story.anna, KeyReturned)] == [account_id]
    assert not story.anna.machine.contacts[account_id].stopped


def test_a_verified_key_may_return_by_its_head_alone() -> None:
    story = Story()
    story.read()
    other = story.others[2]
    account_id = other.account_id
    story.anna.machine.verify(account_id, story.server.now)
    contact = story.anna.machine.contacts[account_id]
    before = other.change_key()
    story.reconnect()
    story.read()
    other.show(before)
    assert story.anna.machine.contacts[account_id].stopped
    asked = ReadListHeads(account_ids=[account_id])
    head = ListHead(account_id, contact.head.number, contact.head.hash())
    assert story.directory.answered_heads(asked, ListHeads([head])) == [account_id]
    assert not story.anna.machine.contacts[account_id].stopped


def test_a_head_that_hides_an_entry_shown_elsewhere_is_a_rollback() -> None:
    story = Story()
    story.read()
    other = story.others[5]
    account_id = other.account_id
    other.add_device()
    entries = story.server.accounts[account_id].entries
    newest = DeviceListEntry.decode(entries[-1])
    key = newest.account_key.to_bytes()
    hidden = entries.pop()
    story.reconnect()
    story.directory.expect(account_id, Expected(key, newest.number, newest.hash()))
    assert not story.read()
    assert blocks(story.anna) == [Code.DEVICE_LIST_ROLLBACK]
    entries.append(hidden)
    story.reconnect()
    assert story.read()


def test_an_account_that_is_not_there_keeps_nobody_from_the_others() -> None:
    story = Story()
    account = story.server.accounts.pop(story.ids[0])
    assert not story.read()
    assert story.directory.all_current(story.ids[1:])
    assert blocks(story.anna) == [Code.ACCOUNT_UNKNOWN]
    story.server.accounts[account.account_id] = account
    story.reconnect()
    assert story.read()


def test_a_known_account_that_is_gone_is_a_rollback() -> None:
    story = Story()
    story.read()
    account = story.server.accounts.pop(story.ids[0])
    story.reconnect()
    assert not story.read()
    assert story.asked == [(Kind.READ_LIST_HEADS, 12)]  # its list is asked for, and refused
    assert blocks(story.anna) == [Code.ACCOUNT_UNKNOWN]
    story.reconnect()
    story.lies[Kind.READ_DEVICE_LISTS] = lambda answer: answer
    page = DeviceListPage(account.account_id, "?", 0, [], False)
    asked = ReadDeviceLists(lists=[KnownList(account.account_id, 0)])
    current, wrong = story.directory.answered_lists(asked, DeviceListPages([page]))
    assert current == []
    assert [problem.code for problem in wrong.values()] == [Code.DEVICE_LIST_ROLLBACK]


def test_a_list_may_end_with_an_empty_page() -> None:
    story = Story()
    account_id = story.ids[0]
    entries = story.server.accounts[account_id].entries
    story.directory.all_current([account_id])
    asked = ReadDeviceLists(lists=[KnownList(account_id, 0)])
    page = DeviceListPage(account_id, "person0", 0, entries, True)
    assert story.directory.requests()
    assert story.directory.answered_lists(asked, DeviceListPages([page])) == ([], {})
    last = replace(page, first=1, entries=[], more=False)
    assert story.directory.answered_lists(asked, DeviceListPages([last])) == ([account_id], {})


def _first_two_swapped(answer: DeviceListPages) -> DeviceListPages:
    first, second, *others = answer.pages
    return DeviceListPages([second, first, *others])


@pytest.mark.parametrize(
    "lie",
    [
        _first_two_swapped,
        lambda answer: DeviceListPages([]),
        lambda answer: DeviceListPages([*answer.pages, answer.pages[0]]),
        lambda answer: ListHeads([]),
    ],
    ids=["another order", "nothing", "more than that", "another kind"],
)
def test_what_is_no_answer_to_a_batch_is_named_and_lists_are_read_alone(
    lie: Callable[[DeviceListPages], Any],
) -> None:
    story = Story()
    story.lies[Kind.READ_DEVICE_LISTS] = lie
    assert story.read()
    assert [event.what for event in heard(story.anna, ServerMisbehaved)] == [module.DEVICE_LISTS]
    assert story.asked == [(Kind.READ_DEVICE_LISTS, 12)] + 12 * [(Kind.READ_DEVICE_LIST, 1)]


def test_heads_that_nobody_asked_for_are_named_and_lists_are_read_alone() -> None:
    story = Story()
    story.read()
    story.reconnect()
    other = ListHead(bytes(16), 0, bytes(32))
    story.lies[Kind.READ_LIST_HEADS] = lambda answer: ListHeads([*answer.heads, other])
    assert story.read()
    assert [event.what for event in heard(story.anna, ServerMisbehaved)] == [module.LIST_HEADS]
    assert story.asked == [(Kind.READ_LIST_HEADS, 12)] + 12 * [(Kind.READ_DEVICE_LIST, 1)]


def test_a_lost_connection_or_a_limit_changes_nothing() -> None:
    story = Story()
    problems = [TransportError(Code.NETWORK_CLOSED), error(Code.LIMIT_RATE)]

    def lose(answer: DeviceListPages) -> DeviceListPages:
        if problems:
            raise problems.pop()
        return answer

    story.lies[Kind.READ_DEVICE_LISTS] = lose
    story.read()
    for _ in range(3):
        story.anna.wait(10_000)
    assert story.asked == 3 * [(Kind.READ_DEVICE_LISTS, 12)]
    assert story.directory.all_current(story.ids)
    assert heard(story.anna, SendingBlocked) == []


def test_what_was_forgotten_meanwhile_stays_so() -> None:
    story = Story()
    story.read()
    story.reconnect()
    story.directory.all_current(story.ids)
    (request,) = story.directory.requests()
    answer: Any = story.server.request(story.anna.machine.device_id, request.kind, request.body)
    asked: Any = request.body
    story.anna.machine.forget(story.ids[0], story.server.now)
    current = story.directory.answered_heads(asked, answer)
    assert sorted(current) == sorted(story.ids[1:])
    assert story.ids[0] not in story.anna.machine.contacts
