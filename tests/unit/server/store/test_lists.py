"""Many device lists at once: behaviour of any store."""

from __future__ import annotations

from parlour.server.store import Store
from parlour.server.store.records import ListPage, ListTip
from parlour.wire.groups import KnownList

from .builders import NOW, Someone, someone, unique


async def with_lists(store: Store) -> tuple[Someone, Someone]:
    alice, bea = await someone(store, name="alice"), await someone(store, name="bea")
    for number in (1, 2):
        entry = b"%d" % number * 100
        await store.devices.append_list(bea.account, number, entry, [], now=NOW)
    return alice, bea


async def test_pages_come_in_the_order_asked_for(store: Store) -> None:
    alice, bea = await with_lists(store)
    nobody = unique()
    wanted = [KnownList(bea.account, 1), KnownList(nobody, 0), KnownList(alice.account, 0)]
    assert await store.devices.list_pages(wanted, 10, 10_000) == [
        ListPage(bea.account, "bea", [b"1" * 100, b"2" * 100], False),
        ListPage(nobody, None, [], False),
        ListPage(alice.account, "alice", [b"entry 0"], False),
    ]


async def test_pages_end_at_a_number_of_entries_and_of_bytes(store: Store) -> None:
    alice, bea = await with_lists(store)
    wanted = [KnownList(bea.account, 0), KnownList(alice.account, 0)]
    found = await store.devices.list_pages(wanted, 2, 10_000)
    assert [(len(page.entries), page.more) for page in found] == [(2, True), (1, False)]
    found = await store.devices.list_pages(wanted, 10, 300)
    assert [page.account_id for page in found] == [bea.account]
    # The first one is there, however long it is: who asks comes to an end.
    found = await store.devices.list_pages(wanted, 10, 1)
    assert [len(page.entries) for page in found] == [3]


async def test_heads_are_the_newest_entries(store: Store) -> None:
    alice, bea = await with_lists(store)
    found = await store.devices.list_heads([bea.account, unique(), alice.account, bea.account])
    assert found == [ListTip(bea.account, 2, b"2" * 100), ListTip(alice.account, 0, b"entry 0")]
