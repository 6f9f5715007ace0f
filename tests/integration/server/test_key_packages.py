"""Key packages and many device lists, over REST and the live socket."""

from __future__ import annotations

import os

import pytest

from parlour.errors import Code, ParlourError
from parlour.server import Server
from parlour.server import limits as tables
from parlour.server.limits import By, Limit
from parlour.wire.groups import (
    DeviceListPages,
    FetchKeyPackages,
    FoundKeyPackages,
    KeyPackageCounts,
    KeyPackageUpload,
    KnownList,
    ListHeads,
    PublishKeyPackages,
    ReadDeviceLists,
    ReadListHeads,
)
from parlour.wire.kinds import Kind
from parlour.wire.push import PushKeyPackages
from parlour.wire.server import Nothing

from .people import Person, register
from .requests import in_a_day


def uploads(count: int) -> list[KeyPackageUpload]:
    expires = in_a_day() // 1000
    return [
        KeyPackageUpload(1, True, expires, b"last resort" + os.urandom(8)),
        *(KeyPackageUpload(1, False, expires, b"%d" % n + os.urandom(8)) for n in range(count)),
    ]


async def publish(person: Person, count: int) -> KeyPackageCounts:
    request = PublishKeyPackages(uploads(count))
    return await person.rest(Kind.PUBLISH_KEY_PACKAGES, request, KeyPackageCounts)


async def fetch(person: Person, *devices: bytes) -> FoundKeyPackages:
    request = FetchKeyPackages(1, list(devices))
    return await person.rest(Kind.FETCH_KEY_PACKAGES, request, FoundKeyPackages)


async def test_a_device_is_told_when_few_are_left(server: Server) -> None:
    alice, bea = await register(server, "alice", "bea")
    await publish(alice, 26)
    async with alice.live() as at_alice:
        await fetch(bea, alice.device_id)
        assert at_alice.pushes.empty()
        await fetch(bea, alice.device_id, os.urandom(16))
        kind, push = await at_alice.next_push()
    assert kind is Kind.PUSH_KEY_PACKAGES_LOW
    assert push.counts.counts[0].left == 24
    counts = await alice.rest(Kind.COUNT_KEY_PACKAGES, Nothing(), KeyPackageCounts)
    assert counts == push.counts


async def test_an_account_is_told_when_a_device_of_it_has_its_first_ones(server: Server) -> None:
    alice, bea = await register(server, "alice", "bea")
    async with alice.live() as at_alice, bea.live() as at_bea:
        await publish(alice, 1)
        kind, push = await at_alice.next_push()
        assert (kind, push) == (Kind.PUSH_KEY_PACKAGES, PushKeyPackages(alice.device_id))
        await publish(alice, 1)
        assert at_alice.pushes.empty()
        assert at_bea.pushes.empty()


async def test_fetching_costs_by_devices(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    few = Limit(By.ACCOUNT, 10, 3600)
    monkeypatch.setattr("parlour.server.key_packages.KEY_PACKAGES_PER_REQUESTER", few)
    server.core.limits._factor = 1.0
    alice, bea = await register(server, "alice", "bea")
    found = await fetch(alice, *(os.urandom(16) for _ in range(9)))
    assert (found.packages, found.asked) == ([], 9)
    with pytest.raises(ParlourError) as refusal:
        await fetch(alice, os.urandom(16), os.urandom(16))
    assert refusal.value.code == Code.LIMIT_RATE
    assert (await fetch(bea, alice.device_id)).asked == 1


async def test_nobody_uses_up_what_a_device_has(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = Limit(By.TARGET, 2, 3600)
    monkeypatch.setattr("parlour.server.key_packages.KEY_PACKAGES_PER_TARGET", few)
    server.core.limits._factor = 1.0
    alice, mallory = await register(server, "alice", "mallory")
    await publish(alice, 10)
    found = [(await fetch(mallory, alice.device_id)).packages[0].last_resort for _ in range(4)]
    assert found == [False, False, True, True]
    counts = await alice.rest(Kind.COUNT_KEY_PACKAGES, Nothing(), KeyPackageCounts)
    assert (counts.counts[0].left, counts.counts[0].last_resort_used) == (8, True)


async def test_many_lists_are_read_at_once(server: Server) -> None:
    alice, bea = await register(server, "alice", "bea")
    await alice.second_device()
    nobody = os.urandom(16)
    request = ReadDeviceLists(
        [KnownList(alice.account_id, 1), KnownList(nobody, 0), KnownList(bea.account_id, 0)]
    )
    found = await bea.rest(Kind.READ_DEVICE_LISTS, request, DeviceListPages)
    assert [(page.name, page.first, len(page.entries)) for page in found.pages] == [
        ("alice", 1, 1),
        ("?", 0, 0),
        ("bea", 0, 1),
    ]
    heads = ReadListHeads([alice.account_id, nobody, bea.account_id])
    tips = await bea.rest(Kind.READ_LIST_HEADS, heads, ListHeads)
    assert [(head.account_id, head.number, head.hash) for head in tips.heads] == [
        (alice.account_id, 1, alice.list_state.head_hash),
        (bea.account_id, 0, bea.list_state.head_hash),
    ]


async def test_lists_cost_by_their_number(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    few = Limit(By.ACCOUNT, 10, 60)
    monkeypatch.setattr("parlour.server.directory.LISTS_PER_REQUESTER", few)
    server.core.limits._factor = 1.0
    (alice,) = await register(server, "alice")
    request = ReadListHeads([os.urandom(16) for _ in range(6)])
    await alice.rest(Kind.READ_LIST_HEADS, request, ListHeads)
    lists = ReadDeviceLists([KnownList(os.urandom(16), 0) for _ in range(6)])
    with pytest.raises(ParlourError) as refusal:
        await alice.rest(Kind.READ_DEVICE_LISTS, lists, DeviceListPages)
    assert refusal.value.code == Code.LIMIT_RATE


def test_a_group_of_1500_is_made_in_few_requests() -> None:
    assert tables.KEY_PACKAGES_PER_REQUESTER.amount >= 2 * 3000
    assert tables.LISTS_PER_REQUESTER.amount >= 2 * 1500
