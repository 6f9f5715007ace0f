"""A server that lies about device lists and names: each lie is named, and honesty mends it."""

from __future__ import annotations

import pytest
from msgspec import Struct
from msgspec.structs import replace

from parlour.conversation.events import ContactAdded, RequestReceived, ServerMisbehaved
from parlour.errors import Code, ParlourError
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer
from parlour.wire.directory import DeviceListPage, ReadDeviceList
from parlour.wire.kinds import Kind
from parlour.wire.server import Nothing
from parlour.wire.streams import StreamInfo
from tests.scenario.lies import Change, behave, lie
from tests.scenario.people import blocks, heard, meet_again, strangers, two


def _entries(count: int) -> Change:
    return lambda page: replace(page, entries=page.entries[:count], more=False)


def test_a_list_that_goes_back_stops_sending_until_it_is_whole() -> None:
    server, alice, bob = two()
    MemoryDevice(server, "bob", seed="tablet", beside=bob)
    alice.connect()
    alice.say("bob", "both of you")
    account = server.accounts[bob.machine.account_id]
    whole, account.entries = account.entries, account.entries[:1]
    alice.connect()
    alice.say("bob", "not now")
    assert blocks(alice) == [Code.DEVICE_LIST_ROLLBACK]
    account.entries = whole
    meet_again(alice, bob)
    assert bob.texts() == ["hello", "both of you", "not now"]


def test_a_list_that_lost_all_entries_stops_sending() -> None:
    server, alice, bob = two()
    lie(server, Kind.READ_DEVICE_LIST, _entries(0), to=alice)
    alice.connect()
    alice.say("bob", "not now")
    assert set(blocks(alice)) == {Code.DEVICE_LIST_ROLLBACK}
    behave(server)
    meet_again(alice, bob)
    assert bob.texts() == ["hello", "not now"]


def test_a_list_that_is_empty_for_ever_is_asked_for_ever_more_seldom() -> None:
    """From the entry that is known it says nothing, and from the beginning, too."""
    server, alice, bob = two()
    MemoryDevice(server, "bob", seed="tablet", beside=bob)
    alice.connect()
    alice.say("bob", "both of you")
    asked = 0

    def empty(page: DeviceListPage) -> Struct:
        nonlocal asked
        asked += 1
        return replace(page, entries=[], more=False)

    lie(server, Kind.READ_DEVICE_LIST, empty, to=alice)
    alice.connect()
    alice.say("bob", "not now")
    for _ in range(3_600):
        alice.wait(1_000)
    # A minute goes by after each failure at last; before, it was two questions a second.
    assert asked < 400
    behave(server)
    meet_again(alice, bob)
    assert bob.texts() == ["hello", "both of you", "not now"]


def test_a_forked_list_stops_sending() -> None:
    server, alice, bob = two()
    account = server.accounts[bob.machine.account_id]
    before = list(account.entries)
    MemoryDevice(server, "bob", seed="one", beside=bob)
    alice.connect()
    alice.say("bob", "one")
    account.entries[:] = before
    MemoryDevice(server, "bob", seed="other", beside=bob)
    alice.connect()
    alice.say("bob", "not now")
    assert Code.DEVICE_LIST_INVALID in blocks(alice)
    assert len(server.streams[alice.machine.positions()[-1].stream].entries) == 3


@pytest.mark.parametrize("others", [Nothing(), StreamInfo(bytes(16), "direct", [], b"", 0)])
def test_an_answer_of_the_wrong_kind_is_named_and_not_asked_for_in_a_loop(others: Struct) -> None:
    for kind in (Kind.READ_DEVICE_LIST, Kind.FETCH_BUNDLES, Kind.APPEND, Kind.CREATE_CONVERSATION):
        server, alice, bob = strangers()
        lie(server, kind, lambda _: others, to=alice)
        alice.connect()
        alice.say("bob", "hello")
        assert heard(alice, ServerMisbehaved)
        assert Code.SERVER_MISBEHAVED in blocks(alice)
        behave(server)
        meet_again(alice, bob)
        assert bob.texts() == ["hello"]


def test_answers_about_another_account_or_message_are_refused() -> None:
    server, alice, bob = strangers()
    carol = MemoryDevice(server, "carol")
    alice.meet("bob")
    lie(
        server,
        Kind.READ_DEVICE_LIST,
        lambda page: replace(page, account_id=carol.machine.account_id),
    )
    alice.connect()
    alice.say("bob", "hello")
    assert set(blocks(alice)) == {Code.DEVICE_LIST_INVALID}
    lie(server, Kind.APPEND, lambda answer: replace(answer, client_id=bytes(16)))
    alice.connect()
    assert [event.what for event in heard(alice, ServerMisbehaved)] == ["append"]
    behave(server)
    meet_again(alice, bob)
    assert bob.texts() == ["hello"]


def test_a_look_up_that_finds_somebody_else_is_refused() -> None:
    server, alice, bob = two()
    carol = MemoryDevice(server, "carol")
    page = server.request(alice.machine.device_id, Kind.READ_DEVICE_LIST, _read(bob))
    assert isinstance(page, DeviceListPage)
    for name, given in (
        ("carol", page),  # Bob's account for Carol's name
        ("carol", replace(page, name="carol")),  # the same, and it claims to be hers
        ("bob", _read_page(server, carol, "bob")),  # Carol's account by Bob's name
    ):
        with pytest.raises(ParlourError) as caught:
            alice.machine.found(given, server.now, name)
        assert caught.value.code is Code.SERVER_MISBEHAVED
    assert alice.meet("carol") == carol.machine.account_id


def _read(device: MemoryDevice) -> ReadDeviceList:
    return ReadDeviceList(device.machine.account_id, 0)


def _read_page(server: MemoryServer, device: MemoryDevice, name: str) -> DeviceListPage:
    page = server.request(device.machine.device_id, Kind.READ_DEVICE_LIST, _read(device))
    assert isinstance(page, DeviceListPage)
    return replace(page, name=name)


@pytest.mark.parametrize(
    "name",
    [
        "bob \u2713",
        "b\u043eb",
        "bob\x1b[2J",
        "you",
        "Bob",
        "bob@other",
        "bob\u200b",
        "-rf",
        "b" * 33,
    ],
)
def test_a_name_that_no_account_can_have_is_kept_nowhere(name: str) -> None:
    server, alice, _ = strangers()
    alice.welcoming = False
    eve = MemoryDevice(server, name)
    eve.connect()
    eve.say("alice", "hi")
    alice.pull()
    assert heard(alice, RequestReceived) == []
    assert heard(alice, ContactAdded) == []
    assert [event.what for event in heard(alice, ServerMisbehaved)] == ["device-list"]
    with pytest.raises(ParlourError) as caught:
        alice.meet(name)
    assert caught.value.code is Code.SERVER_MISBEHAVED
    assert eve.machine.account_id not in alice.machine.contacts
    # A server that comes round to a name that can be is believed.
    server.accounts[eve.machine.account_id].name = "eve"
    meet_again(alice)
    assert [event.name for event in heard(alice, RequestReceived)] == ["eve"]
