"""Lists in pages, crossing answers, and lists without end."""

import pytest
from msgspec.structs import replace

from parlour.conversation import directory as module
from parlour.conversation.directory import Directory
from parlour.conversation.events import ContactAdded, DevicesChanged, KeyChanged
from parlour.conversation.state import Memory
from parlour.errors import Code, ParlourError
from parlour.identity.device_list import Device, DeviceListEntry, next_entry
from parlour.testing.device import MemoryDevice
from parlour.testing.memory_server import MemoryServer
from parlour.wire.directory import DeviceListPage


class Story:
    def __init__(self) -> None:
        self.server = MemoryServer()
        self.alice = MemoryDevice(self.server, "alice")
        self.bob = MemoryDevice(self.server, "bob")
        self.bob_id = self.bob.machine.account_id
        self.account = self.server.accounts[self.bob_id]
        for number in range(4):
            MemoryDevice(self.server, "bob", seed=f"more {number}", beside=self.bob)
        self.memory: Memory = self.alice.machine._memory
        self.directory = Directory(self.memory)

    def page(self, first: int, last: int, *, more: bool = False) -> DeviceListPage:
        entries = self.account.entries[first:last]
        return DeviceListPage(self.bob_id, "bob", first, entries, more)

    def asked(self) -> list[tuple[bytes, int]]:
        return [
            (request.body.account_id, request.body.first)  # type: ignore[attr-defined]
            for request in self.directory.requests()
        ]

    @property
    def number(self) -> int:
        return self.memory.contacts[self.bob_id].head.number


def _refused(story: Story, page: DeviceListPage, code: Code) -> None:
    before = dict(story.memory.contacts)
    with pytest.raises(ParlourError) as caught:
        story.directory.answered(story.bob_id, page)
    assert caught.value.code is code
    assert story.memory.contacts == before
    assert not story.directory.is_read(story.bob_id)


def test_a_list_is_read_in_pages() -> None:
    story = Story()
    story.directory.want(story.bob_id)
    assert story.asked() == [(story.bob_id, 0)]
    story.directory.answered(story.bob_id, story.page(0, 2, more=True))
    assert story.asked() == [(story.bob_id, 2)]
    assert story.bob_id not in story.memory.contacts
    story.directory.answered(story.bob_id, story.page(2, 3))
    assert story.number == 2
    assert story.directory.is_current(story.bob_id)
    story.directory.grown(story.bob_id, 4)
    assert story.asked() == [(story.bob_id, 2)]
    story.directory.answered(story.bob_id, story.page(2, 4, more=True))
    assert not story.directory.is_read(story.bob_id)
    assert story.asked() == [(story.bob_id, 3)]
    story.directory.answered(story.bob_id, story.page(3, 5))
    assert story.number == 4
    assert story.asked() == []


def test_a_look_up_and_a_reading_may_cross() -> None:
    story = Story()
    story.directory.want(story.bob_id)
    story.directory.requests()
    assert story.directory.found(story.page(0, 5), None) == story.bob_id
    story.directory.answered(story.bob_id, story.page(0, 3))  # older than what we know
    assert story.number == 4
    story.directory.want(story.bob_id)
    story.directory.answered(story.bob_id, story.page(0, 5))
    assert story.number == 4
    assert story.directory.found(story.page(0, 5), "bob") == story.bob_id
    assert story.asked() == [(story.bob_id, 4)]
    kinds = [type(event) for event in story.memory.events]
    assert kinds == [ContactAdded]


def test_a_look_up_may_be_answered_in_pages_while_a_reading_is_under_way() -> None:
    story = Story()
    story.directory.found(story.page(0, 2, more=True), "bob")
    story.directory.answered(story.bob_id, story.page(0, 4, more=True))
    story.directory.answered(story.bob_id, story.page(4, 5))
    assert story.number == 4


def test_an_answer_that_nobody_waits_for_is_left() -> None:
    story = Story()
    story.directory.answered(story.bob_id, story.page(0, 1))
    assert story.bob_id not in story.memory.contacts


def test_what_a_list_can_not_be() -> None:
    story = Story()
    story.directory.want(story.bob_id)
    for page, code in (
        (story.page(0, 0), Code.DEVICE_LIST_INVALID),
        (story.page(0, 0, more=True), Code.DEVICE_LIST_INVALID),
        (story.page(1, 3), Code.DEVICE_LIST_INVALID),
        (replace(story.page(0, 1), account_id=bytes(16)), Code.DEVICE_LIST_INVALID),
        (replace(story.page(0, 1), entries=[b"?"]), Code.DECODE_TRUNCATED),
        (replace(story.page(0, 1), name="alice"), Code.SERVER_MISBEHAVED),
    ):
        story.directory.want(story.bob_id)
        story.directory.requests()
        _refused(story, page, code)
    story.directory.want(story.bob_id)
    story.directory.requests()
    story.directory.answered(story.bob_id, story.page(0, 1))
    story.directory.connected()
    _refused(story, story.page(0, 0), Code.DEVICE_LIST_ROLLBACK)
    _refused(story, story.page(0, 1, more=True), Code.DEVICE_LIST_INVALID)


def test_going_back_is_told_from_another_key() -> None:
    story = Story()
    story.directory.found(story.page(0, 5), "bob")
    story.directory.connected()
    story.directory.answered(story.bob_id, story.page(4, 4))
    assert story.asked() == [(story.alice.machine.account_id, 0), (story.bob_id, 0)] or (
        (story.bob_id, 0) in story.asked()
    )
    _refused(story, story.page(0, 3), Code.DEVICE_LIST_ROLLBACK)
    story.directory.want(story.bob_id)
    story.directory.answered(story.bob_id, story.page(4, 4))
    story.directory.requests()
    story.directory.answered(story.bob_id, story.page(0, 5))  # a hiccup: all is there
    assert story.directory.is_read(story.bob_id)
    other = MemoryDevice(MemoryServer(), "bob", seed="other", account_id=story.bob_id)
    entries = other.server.accounts[story.bob_id].entries
    story.directory.answered(story.bob_id, story.page(4, 4))
    story.directory.requests()
    story.directory.answered(story.bob_id, DeviceListPage(story.bob_id, "bob", 0, entries, False))
    changed = [event for event in story.memory.events if isinstance(event, KeyChanged)]
    assert [event.stopped for event in changed] == [False]


def test_the_same_offer_is_told_once() -> None:
    story = Story()
    story.directory.found(story.page(0, 5), "bob")
    story.directory.verify(story.bob_id, 1, None)
    other = MemoryDevice(MemoryServer(), "bob", seed="other", account_id=story.bob_id)
    entries = other.server.accounts[story.bob_id].entries
    for _ in range(2):
        story.directory.answered(story.bob_id, story.page(4, 4))
        story.directory.requests()
        story.directory.answered(
            story.bob_id, DeviceListPage(story.bob_id, "bob", 0, entries, False)
        )
    assert len([event for event in story.memory.events if isinstance(event, KeyChanged)]) == 1


def test_a_fork_is_seen_when_it_is_read_from_the_beginning_too() -> None:
    story = Story()
    story.directory.found(story.page(0, 2), "bob")
    story.account.entries[1:] = []
    MemoryDevice(story.server, "bob", seed="fork", beside=story.bob)
    story.directory.answered(story.bob_id, story.page(2, 2))
    story.directory.requests()
    _refused(story, story.page(0, 2), Code.DEVICE_LIST_INVALID)


def test_a_list_without_end_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ENTRIES", 3)
    story = Story()
    story.directory.want(story.bob_id)
    story.directory.requests()
    story.directory.answered(story.bob_id, story.page(0, 3, more=True))
    _refused(story, story.page(3, 5, more=True), Code.DEVICE_LIST_INVALID)
    story.directory.found(story.page(0, 2), "bob")
    story.directory.connected()
    with pytest.raises(ParlourError) as caught:
        story.directory.answered(story.bob_id, story.page(1, 5, more=True))
    assert caught.value.code is Code.DEVICE_LIST_INVALID


def test_a_device_with_other_keys_under_its_id_starts_anew() -> None:
    """Its old sessions must neither be used nor stop everything."""
    story = Story()
    story.directory.found(story.page(0, 1), "bob")
    contact = story.memory.contacts[story.bob_id]
    (device,) = contact.head.devices
    identity = contact.identities()[0]
    story.memory.sessions(identity)
    story.memory.put_sessions(identity)
    without_kem = Device(
        device.signature_key, device.identity_key, has_kem=False, added_at=device.added_at
    )
    entry = next_entry(contact.state, story.bob.account_key, (without_kem,), 1_800_000_001)
    story.account.entries[1:] = [entry.encode()]
    story.directory.answered(story.bob_id, story.page(0, 2))
    (changed,) = [event for event in story.memory.events if isinstance(event, DevicesChanged)]
    assert changed.added == changed.removed == (identity.device_id,)
    now = story.memory.contacts[story.bob_id].identities()[0]
    assert story.memory.sessions(now).peer == now
    assert DeviceListEntry.decode(story.account.entries[1]) == entry


def test_nobody_decides_about_strangers() -> None:
    story = Story()
    for act in (story.directory.verify, story.directory.accept):
        with pytest.raises(ParlourError) as caught:
            act(story.bob_id, 1, None)
        assert caught.value.code is Code.ACCOUNT_UNKNOWN
