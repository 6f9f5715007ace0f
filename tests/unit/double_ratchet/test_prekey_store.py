"""Own prekeys: issued in batches, rotated, used once, erased, remembered."""

from __future__ import annotations

import dataclasses

import pytest

from parlour.double_ratchet import PrekeyKind, PrekeyStore, limits
from parlour.double_ratchet.messages import FirstHeader, KemPart
from parlour.errors import Code
from tests.pairs import NOW, Device, End, refused

WEEK = limits.ROTATION_PERIOD
DAY = limits.DAY


def first_header(device: Device, **changes: object) -> FirstHeader:
    """A header that names the next prekeys of `device`."""
    bundle = device.bundle()
    kem = bundle.kem_prekey
    header = FirstHeader(
        bytes(32),
        bundle.signed_prekey.id,
        bundle.one_time_prekey.id if bundle.one_time_prekey else None,
        KemPart(kem.kind, kem.id, bytes(1568)) if kem else None,
    )
    return dataclasses.replace(header, **changes)  # type: ignore[arg-type]


def test_first_upload_has_a_batch_of_each_kind() -> None:
    device = Device("bea")
    assert len(device.one_time) == len(device.one_time_kem) == limits.ONE_TIME_BATCH
    prekeys = [device.signed, device.last_resort, *device.one_time, *device.one_time_kem]
    assert [prekey.verify(device.identity, NOW) for prekey in prekeys if prekey]
    assert len({prekey.id for prekey in prekeys if prekey}) == len(prekeys)
    assert len({prekey.signature for prekey in prekeys if prekey}) == 1


def test_device_without_kem_issues_none() -> None:
    store = Device("bea", has_kem=False).prekeys
    upload = store.publish()
    assert upload.last_resort is None
    assert upload.prekeys == (upload.signed_prekey,)
    assert not store.maintain(NOW, Device("x").random, one_time_kem_left=0)


def test_upload_is_the_same_until_it_is_confirmed() -> None:
    device = Device("bea")
    device.prekeys.maintain(NOW, device.random, one_time_left=3)
    one, two = device.prekeys.publish(), device.prekeys.publish()
    assert one == two
    assert len(one.one_time) == limits.ONE_TIME_BATCH
    assert one.one_time_kem == ()
    assert len(one.prekeys) == limits.ONE_TIME_BATCH + 2
    device.prekeys.mark_published(one)
    assert device.prekeys.publish().one_time == ()


def test_refill_when_the_server_runs_low() -> None:
    device = Device("bea")
    store, random = device.prekeys, device.random
    assert not store.maintain(
        NOW, random, one_time_left=limits.REFILL_BELOW, one_time_kem_left=limits.REFILL_BELOW
    )
    assert store.maintain(NOW, random, one_time_left=limits.REFILL_BELOW - 1)
    assert len(store.publish().one_time) == limits.ONE_TIME_BATCH


def test_upload_is_bounded_and_goes_on_with_the_next() -> None:
    device = Device("bea", has_kem=False)
    store = device.prekeys
    for _ in range(2):
        store.maintain(NOW, device.random, one_time_left=0)
    one = store.publish()
    store.mark_published(one)
    assert store.maintain(NOW, device.random)
    two = store.publish()
    store.mark_published(two)
    assert not store.maintain(NOW, device.random)
    assert len(one.one_time) == len(two.one_time) == limits.MAX_PUBLISHED
    assert two.one_time[0].id == one.one_time[-1].id + 1


def test_server_that_always_runs_out_cannot_fill_the_disk() -> None:
    device = Device("bea", has_kem=False)
    oldest = first_header(device)
    for _ in range(limits.MAX_ONE_TIME_KEPT // limits.ONE_TIME_BATCH):
        device.prekeys.maintain(NOW, device.random, one_time_left=0)
    assert len(device.prekeys._one_time.secrets) == limits.MAX_ONE_TIME_KEPT
    refused(Code.PREKEY_EXPIRED, device.prekeys.find, oldest)


def test_signed_prekeys_rotate_weekly_and_are_kept_one_period_longer() -> None:
    device = Device("bea", batch=False)
    store, random = device.prekeys, device.random
    old = first_header(device)
    assert not store.maintain(NOW + WEEK - 1, random)
    assert store.maintain(NOW + WEEK, random)
    device.upload()
    new = first_header(device)
    assert new.signed_prekey_id != old.signed_prekey_id
    assert new.kem is not None
    assert old.kem is not None
    assert new.kem.id != old.kem.id
    store.find(old)
    store.maintain(NOW + 2 * WEEK - 1, random)
    store.find(old)
    store.maintain(NOW + 2 * WEEK, random)
    refused(Code.PREKEY_EXPIRED, store.find, old)
    store.find(new)
    gone = dataclasses.replace(new, kem=old.kem)
    refused(Code.PREKEY_EXPIRED, store.find, gone)


def test_device_that_was_offline_keeps_its_old_prekey_for_the_queue() -> None:
    device = Device("bea", batch=False)
    old = first_header(device)
    device.prekeys.maintain(NOW + 10 * WEEK, device.random)
    device.prekeys.find(old)


def test_one_time_prekeys_die_of_age() -> None:
    device = Device("bea")
    header = first_header(device)
    end = NOW + limits.PREKEY_LIFETIME + limits.RETENTION_PERIOD
    days = range(NOW, end, WEEK)
    for now in days:
        device.prekeys.maintain(now, device.random)
    device.upload()
    kept = dataclasses.replace(header, signed_prekey_id=device.signed.id)
    device.prekeys.find(kept)
    device.prekeys.maintain(end, device.random)
    refused(Code.PREKEY_EXPIRED, device.prekeys.find, kept)


def test_find_changes_nothing_and_consume_uses_up() -> None:
    device = Device("bea")
    store = device.prekeys
    header = first_header(device)
    before = store.to_bytes()
    secrets = store.find(header)
    assert store.to_bytes() == before
    store.consume(secrets)
    refused(Code.PREKEY_REUSED, store.find, header)
    assert "[secret]" in repr(secrets)


def test_used_kem_prekey_alone_refuses_a_copy() -> None:
    device = Device("bea")
    header = first_header(device, one_time_prekey_id=None)
    device.prekeys.consume(device.prekeys.find(header))
    refused(Code.PREKEY_REUSED, device.prekeys.find, header)


@pytest.mark.parametrize("has_kem", [True, False])
def test_first_message_without_one_time_prekeys_is_remembered(has_kem: bool) -> None:
    device = Device("bea", has_kem=has_kem, batch=False)
    store = device.prekeys
    header = first_header(device)
    store.consume(store.find(header))
    refused(Code.SESSION_REPLAYED, store.find, header)
    store.find(dataclasses.replace(header, ephemeral_key=b"x" * 32))
    again = PrekeyStore.from_bytes(store.to_bytes(), device.local)
    refused(Code.SESSION_REPLAYED, again.find, header)


def test_memory_of_first_messages_is_bounded() -> None:
    device = Device("bea", batch=False)
    store = device.prekeys
    header = first_header(device)
    generation = store._generations[0]
    for place in range(limits.MAX_REMEMBERED):
        generation.remembered.add(place.to_bytes(32))
    refused(Code.LIMIT_COUNT, store.find, header)
    # Half full, it is replaced before its time, but not without end.
    for _ in range(limits.MAX_GENERATIONS + 2):
        store.maintain(NOW, device.random)
        store._generations[0].remembered.update(generation.remembered)
    assert len(store._generations) == limits.MAX_GENERATIONS


def test_one_time_prekeys_pass_when_the_memory_is_full() -> None:
    device = Device("bea")
    generation = device.prekeys._generations[0]
    generation.remembered = {place.to_bytes(32) for place in range(limits.MAX_REMEMBERED)}
    assert device.prekeys.find(first_header(device)).one_time is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"signed_prekey_id": 0},
        {"signed_prekey_id": 5_000},
        {"one_time_prekey_id": 0},
        {"one_time_prekey_id": 5_000},
        {"kem": KemPart(PrekeyKind.MLKEM1024_ONE_TIME, 5_000, bytes(1568))},
        {"kem": KemPart(PrekeyKind.MLKEM1024_LAST_RESORT, 5_000, bytes(1568))},
    ],
)
def test_prekeys_never_issued_are_unknown(changes: dict[str, object]) -> None:
    device = Device("bea")
    refused(Code.PREKEY_UNKNOWN, device.prekeys.find, first_header(device, **changes))


def test_device_without_kem_knows_no_last_resort() -> None:
    device = Device("bea", has_kem=False)
    kem = KemPart(PrekeyKind.MLKEM1024_LAST_RESORT, 1, bytes(1568))
    refused(Code.PREKEY_EXPIRED, device.prekeys.find, first_header(device, kem=kem))


def test_ids_end() -> None:
    device = Device("bea")
    device.prekeys._next_id = limits.MAX_PREKEY_ID + 1
    refused(
        Code.LIMIT_COUNT,
        lambda: device.prekeys.maintain(NOW, device.random, one_time_left=0),
    )


def test_store_survives_storage() -> None:
    device = Device("bea")
    device.prekeys.maintain(NOW + WEEK, device.random)
    header = first_header(device)
    data = device.prekeys.to_bytes()
    again = PrekeyStore.from_bytes(data, device.local)
    assert again.to_bytes() == data
    assert again.publish() == device.prekeys.publish()
    assert again.find(header).session_id == header.session_id()
    again.consume(again.find(header))
    refused(Code.PREKEY_REUSED, again.find, header)


def test_store_of_another_device_or_version_is_refused() -> None:
    device, other = Device("bea"), Device("carl")
    data = device.prekeys.to_bytes()
    refused(Code.DECODE_MALFORMED, PrekeyStore.from_bytes, data, other.local)
    refused(Code.DECODE_VERSION, PrekeyStore.from_bytes, b"\x02" + data[1:], device.local)
    refused(Code.DECODE_TRAILING, PrekeyStore.from_bytes, data + b"x", device.local)
    empty = PrekeyStore(device.local).to_bytes()
    refused(Code.DECODE_MALFORMED, PrekeyStore.from_bytes, empty, device.local)


def test_new_store_is_created_with_all_kinds() -> None:
    device = Device("bea")
    store = PrekeyStore.create(device.local, NOW, device.random)
    assert len(store.publish().prekeys) == 2 + 2 * limits.ONE_TIME_BATCH
    assert device.identity.device_id.hex() in repr(store)


def test_last_resort_serves_when_the_batch_is_used_up() -> None:
    ada, bea = Device("ada"), Device("bea", batch=False)
    left, right = End(ada, bea), End(bea, ada)
    left.initiate()
    message = left.send(b"x")
    assert right.read(message) == b"x"
    refused(Code.SESSION_REPLAYED, End(bea, ada).read, message)
