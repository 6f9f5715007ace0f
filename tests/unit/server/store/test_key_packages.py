"""Key packages: behaviour of any store."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from parlour.errors import Code, ParlourError
from parlour.server.store import Store
from parlour.server.store.records import TakenKeyPackages
from parlour.wire.groups import KeyPackageCount, KeyPackageUpload
from parlour.wire.limits import MAX_KEY_PACKAGE, MAX_KEY_PACKAGES_STORED, MAX_PAGE_BYTES

from .builders import NOW, someone, unique

SUITE = 1
LATER = NOW // 1000 + 1000


def package(suite: int = SUITE, *, last_resort: bool = False, **changes: Any) -> KeyPackageUpload:
    fields = {"expires_at": LATER, "data": b"package " + unique(), **changes}
    return KeyPackageUpload(suite, last_resort, fields["expires_at"], fields["data"])


async def take(
    store: Store, *devices: bytes, suite: int = SUITE, now: int = NOW, **options: Any
) -> TakenKeyPackages:
    values = {"spared": (), "low": 0, **options}
    return await store.key_packages.take(suite, devices, now=now, **values)


def data_of(found: TakenKeyPackages) -> list[bytes]:
    return [taken.package.data for taken in found.taken]


async def code_of(awaitable: Any) -> Code:
    with pytest.raises(ParlourError) as raised:
        await awaitable
    return raised.value.code


async def test_each_is_given_once_and_then_the_last_resort_again(store: Store) -> None:
    alice = await someone(store)
    one, two, last = package(), package(), package(last_resort=True)
    counts = await store.key_packages.publish(alice.device, [one, last, two], now=NOW)
    assert counts == [KeyPackageCount(SUITE, 2, True, False)]
    found = [await take(store, alice.device) for _ in range(4)]
    assert [data for each in found for data in data_of(each)] == [
        one.data,
        two.data,
        last.data,
        last.data,
    ]
    marks = [each.taken[0].package.last_resort for each in found]
    assert marks == [False, False, True, True]
    assert {each.taken[0].account_id for each in found} == {alice.account}
    assert await store.key_packages.counts(alice.device, now=NOW) == [
        KeyPackageCount(SUITE, 0, True, True)
    ]


async def test_who_asks_at_once_gets_different_ones(store: Store) -> None:
    alice = await someone(store)
    packages = [package() for _ in range(30)]
    await store.key_packages.publish(alice.device, packages, now=NOW)
    found = await asyncio.gather(*(take(store, alice.device) for _ in range(40)))
    given = [data for each in found for data in data_of(each)]
    assert sorted(given) == sorted(each.data for each in packages)


async def test_a_suite_has_its_own(store: Store) -> None:
    alice = await someone(store)
    other = package(2)
    await store.key_packages.publish(alice.device, [package(), other], now=NOW)
    assert data_of(await take(store, alice.device, suite=2)) == [other.data]
    assert (await take(store, alice.device, suite=2)).taken == []
    assert len((await take(store, alice.device)).taken) == 1


async def test_devices_without_one_are_missing(store: Store) -> None:
    alice, bea = await someone(store), await someone(store)
    await store.key_packages.publish(bea.device, [package(), package()], now=NOW)
    found = await take(store, alice.device, unique(), bea.device, bea.device)
    assert [taken.package.device_id for taken in found.taken] == [bea.device]
    assert found.asked == 3


async def test_a_new_last_resort_takes_the_place_of_the_old(store: Store) -> None:
    alice = await someone(store)
    old, new = package(last_resort=True), package(last_resort=True)
    await store.key_packages.publish(alice.device, [old], now=NOW)
    await take(store, alice.device)
    # The same one again, because the answer was lost, is still the used one.
    counts = await store.key_packages.publish(alice.device, [old], now=NOW)
    assert counts == [KeyPackageCount(SUITE, 0, True, True)]
    counts = await store.key_packages.publish(alice.device, [new], now=NOW)
    assert counts == [KeyPackageCount(SUITE, 0, True, False)]
    assert data_of(await take(store, alice.device)) == [new.data]


async def test_a_repeated_upload_adds_nothing(store: Store) -> None:
    alice = await someone(store)
    one = package()
    await store.key_packages.publish(alice.device, [one], now=NOW)
    counts = await store.key_packages.publish(alice.device, [one], now=NOW)
    assert counts == [KeyPackageCount(SUITE, 1, False, False)]


async def test_what_has_expired_is_neither_given_nor_counted_and_goes(store: Store) -> None:
    alice = await someone(store)
    packages = [package(), package(last_resort=True), package(expires_at=LATER + 1)]
    await store.key_packages.publish(alice.device, packages, now=NOW)
    late = LATER * 1000
    assert await store.key_packages.counts(alice.device, now=late) == [
        KeyPackageCount(SUITE, 1, False, False)
    ]
    assert await store.streams.sweep(now=late) == 2
    assert data_of(await take(store, alice.device, now=late)) == [packages[2].data]
    assert (await take(store, alice.device, now=late)).taken == []


async def test_a_spared_device_gives_its_last_resort(store: Store) -> None:
    alice, bea = await someone(store), await someone(store)
    last, one = package(last_resort=True), package()
    await store.key_packages.publish(alice.device, [package(), last], now=NOW)
    await store.key_packages.publish(bea.device, [one], now=NOW)
    both = (alice.device, bea.device)
    found = await take(store, *both, spared=both)
    assert data_of(found) == [last.data, one.data]
    assert [taken.package.last_resort for taken in found.taken] == [True, False]


async def test_a_device_with_few_is_counted(store: Store) -> None:
    alice = await someone(store)
    packages = [package() for _ in range(3)] + [package(last_resort=True)]
    await store.key_packages.publish(alice.device, packages, now=NOW)
    counted = [(await take(store, alice.device, low=2)).taken[0].counts for _ in range(4)]
    assert counted == [
        None,
        [KeyPackageCount(SUITE, 1, True, False)],
        [KeyPackageCount(SUITE, 0, True, False)],
        [KeyPackageCount(SUITE, 0, True, True)],
    ]


async def test_an_answer_ends_at_a_number_of_bytes(store: Store) -> None:
    count = MAX_PAGE_BYTES // MAX_KEY_PACKAGE + 5
    people = [await someone(store) for _ in range(count)]
    for number, each in enumerate(people):
        data = b"%d" % number + bytes(MAX_KEY_PACKAGE - 10)
        await store.key_packages.publish(each.device, [package(data=data)], now=NOW)
    devices = [each.device for each in people]
    found = await take(store, *devices)
    assert len(found.taken) == found.asked < count
    assert sum(map(len, data_of(found))) <= MAX_PAGE_BYTES + MAX_KEY_PACKAGE
    # Those that were not asked have kept theirs.
    rest = await take(store, *devices[found.asked :])
    assert len(rest.taken) == count - found.asked


async def test_a_device_stores_so_many_of_a_suite(store: Store) -> None:
    alice = await someone(store)
    full = [package() for _ in range(MAX_KEY_PACKAGES_STORED)] + [package(last_resort=True)]
    await store.key_packages.publish(alice.device, full, now=NOW)
    refused = store.key_packages.publish(alice.device, [package()], now=NOW)
    assert await code_of(refused) == Code.LIMIT_COUNT
    await store.key_packages.publish(alice.device, [package(2)], now=NOW)
    suites = [package(suite) for suite in range(3, 30)]
    refused = store.key_packages.publish(alice.device, suites, now=NOW)
    assert await code_of(refused) == Code.LIMIT_COUNT
    left = await store.key_packages.counts(alice.device, now=NOW)
    assert [(each.suite, each.left) for each in left] == [(1, MAX_KEY_PACKAGES_STORED), (2, 1)]


async def test_they_go_with_their_device(store: Store) -> None:
    alice = await someone(store)
    await store.key_packages.publish(alice.device, [package(), package()], now=NOW)
    await store.devices.append_list(alice.account, 1, b"entry 1", [], now=NOW)
    assert (await take(store, alice.device)).taken == []
    publishing = store.key_packages.publish(alice.device, [package()], now=NOW)
    assert await code_of(publishing) == Code.DEVICE_REMOVED
    counting = store.key_packages.counts(alice.device, now=NOW)
    assert await code_of(counting) == Code.DEVICE_REMOVED
