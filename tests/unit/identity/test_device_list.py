"""What a hostile server, or a thief of the account key's past, can't do with a device list."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from parlour.codec import Reader, Writer
from parlour.errors import (
    AuthenticationError,
    Code,
    DecodeError,
    LimitError,
    ParlourError,
    SecurityStop,
    UsageError,
)
from parlour.identity import labels
from parlour.identity.device_list import (
    MAX_APPROVALS,
    MAX_DEVICES,
    MAX_SEALED_NAME,
    Device,
    DeviceListEntry,
    DeviceListState,
    device_id_of,
    first_entry,
    next_entry,
)
from parlour.primitives.hashes import sha256
from parlour.wire import limits
from tests.accounts import (
    ANNA,
    ANNAS_KEY,
    LAPTOP,
    NOW,
    PHONE,
    TABLET,
    begun,
    device,
    first,
    signing_key,
)

BEA = sha256(b"bea")[:16]
PAPER = signing_key("recovery key")


def stopped(action: Callable[[], object]) -> Code:
    with pytest.raises(SecurityStop) as caught:
        action()
    return caught.value.code


def test_list_grows_and_shrinks() -> None:
    state = begun()
    assert (state.number, state.devices) == (0, (PHONE,))
    two = state.extend(next_entry(state, ANNAS_KEY, (PHONE, LAPTOP), NOW + 1))
    assert (two.number, two.devices) == (1, (PHONE, LAPTOP))
    assert two.device(LAPTOP.device_id) == LAPTOP
    one = two.extend(next_entry(two, ANNAS_KEY, (LAPTOP,), NOW + 2))
    assert one.device(PHONE.device_id) is None
    assert one.account_key == ANNAS_KEY.public_key


def test_device_id_is_the_start_of_the_hash_of_its_key() -> None:
    key = signing_key("phone").public_key
    assert PHONE.device_id == device_id_of(key) == sha256(key.to_bytes())[:16]


def test_entry_has_these_bytes() -> None:
    entry = first()
    described = (
        PHONE.signature_key.to_bytes()
        + PHONE.identity_key.to_bytes()
        + bytes((1,))
        + NOW.to_bytes(8)
        + bytes((6,))
        + b"sealed"
    )
    assert len(described) == 80  # a length of two bytes: 0x4050
    content = (
        bytes((1,))
        + ANNA
        + ANNAS_KEY.public_key.to_bytes()
        + bytes(4)
        + bytes(1)
        + NOW.to_bytes(8)
        + bytes(32)
        + bytes(1)
        + b"\x40\x50"
        + described
    )
    signed = Writer().opaque(content).data() + entry.signature
    assert entry.encode() == signed + b"\x00"
    to_be_signed = Writer().opaque(labels.DEVICE_LIST_ENTRY).opaque(content).data()
    ANNAS_KEY.public_key.verify(entry.signature, to_be_signed)
    hashed = Writer().opaque(labels.DEVICE_LIST_HASH).opaque(signed).data()
    assert begun().head_hash == entry.hash() == sha256(hashed)


def test_decoded_entry_is_the_encoded_one() -> None:
    assert DeviceListEntry.decode(first().encode()) == first()


def test_flags_of_a_later_version_are_kept_and_signed() -> None:
    later = device("phone", has_kem=False, other_flags=0xFE)
    entry = DeviceListEntry.decode(first_entry(ANNA, ANNAS_KEY, later, NOW).encode())
    assert DeviceListState.begin(ANNA, entry).devices == (later,)
    assert not entry.devices[0].has_kem
    assert replace(PHONE, other_flags=2).has_kem


# --- What a server may try ---------------------------------------------------------------


def test_rollback_to_an_older_entry() -> None:
    state = begun()
    second = next_entry(state, ANNAS_KEY, (PHONE, LAPTOP), NOW)
    newer = state.extend(second)
    assert stopped(lambda: newer.extend(first())) is Code.DEVICE_LIST_ROLLBACK
    assert stopped(lambda: newer.extend(second)) is Code.DEVICE_LIST_ROLLBACK


def test_fork_at_the_number_that_was_seen() -> None:
    state = begun()
    seen = state.extend(next_entry(state, ANNAS_KEY, (PHONE, LAPTOP), NOW))
    other = next_entry(state, ANNAS_KEY, (PHONE, TABLET), NOW)
    assert stopped(lambda: seen.extend(other)) is Code.DEVICE_LIST_ROLLBACK


def test_fork_before_the_entry_that_was_seen() -> None:
    state = begun()
    seen = state.extend(next_entry(state, ANNAS_KEY, (PHONE, LAPTOP), NOW))
    fork = state.extend(next_entry(state, ANNAS_KEY, (PHONE, TABLET), NOW))
    grown = next_entry(fork, ANNAS_KEY, (TABLET,), NOW)
    assert grown.number == seen.number + 1
    assert stopped(lambda: seen.extend(grown)) is Code.DEVICE_LIST_INVALID


def test_entry_left_out() -> None:
    state = begun()
    second = state.extend(next_entry(state, ANNAS_KEY, (PHONE, LAPTOP), NOW))
    third = next_entry(second, ANNAS_KEY, (LAPTOP,), NOW)
    assert stopped(lambda: state.extend(third)) is Code.DEVICE_LIST_INVALID


def test_first_entry_left_out() -> None:
    second = next_entry(begun(), ANNAS_KEY, (PHONE, LAPTOP), NOW)
    assert stopped(lambda: DeviceListState.begin(ANNA, second)) is Code.DEVICE_LIST_INVALID
    rooted = replace(first(), previous_hash=bytes(32)).sign(ANNAS_KEY)
    assert stopped(lambda: DeviceListState.begin(ANNA, rooted)) is Code.DEVICE_LIST_INVALID


def test_list_of_another_account() -> None:
    bea = signing_key("bea")
    hers = first_entry(BEA, bea, LAPTOP, NOW)
    assert stopped(lambda: DeviceListState.begin(ANNA, hers)) is Code.DEVICE_LIST_INVALID
    # The same account key under two accounts: an entry of the one is none of the other.
    entry = first_entry(BEA, ANNAS_KEY, LAPTOP, NOW)
    twin = DeviceListState.begin(BEA, entry)
    crossed = replace(next_entry(twin, ANNAS_KEY, (LAPTOP,), NOW), previous_hash=first().hash())
    assert stopped(lambda: begun().extend(crossed.sign(ANNAS_KEY))) is Code.DEVICE_LIST_INVALID


def test_changed_account_key() -> None:
    mallory = signing_key("mallory")
    entry = next_entry(begun(), mallory, (device("mallory"),), NOW)
    entry.verify_signature()
    assert stopped(lambda: begun().extend(entry)) is Code.ACCOUNT_KEY_CHANGED


def test_account_key_named_but_not_held() -> None:
    entry = next_entry(begun(), signing_key("mallory"), (device("mallory"),), NOW)
    forged = replace(entry, account_key=ANNAS_KEY.public_key)
    assert stopped(lambda: begun().extend(forged)) is Code.DEVICE_LIST_INVALID


@pytest.mark.parametrize("signature", [b"", bytes(64), first().signature])
def test_unsigned_or_signed_for_another_entry(signature: bytes) -> None:
    entry = replace(next_entry(begun(), ANNAS_KEY, (LAPTOP,), NOW), signature=signature)
    assert stopped(lambda: begun().extend(entry)) is Code.DEVICE_LIST_INVALID


@pytest.mark.parametrize(
    "change",
    [
        {"number": 2},
        {"previous_hash": bytes(32)},
        {"issued_at": NOW - 1},
        {"devices": (TABLET,)},
        {"devices": (LAPTOP, PHONE)},
        {"recovery_key": PAPER.public_key},
        {"needs_approval": True},
        {"other_flags": 2},
        {"devices": (replace(PHONE, has_kem=False), LAPTOP)},
        {"devices": (replace(PHONE, other_flags=2), LAPTOP)},
        {"devices": (replace(PHONE, added_at=0), LAPTOP)},
        {"devices": (replace(PHONE, sealed_name=b""), LAPTOP)},
        {"devices": (replace(PHONE, identity_key=LAPTOP.identity_key), LAPTOP)},
    ],
    ids="-".join,
)
def test_every_field_is_under_the_signature(change: dict[str, object]) -> None:
    entry = next_entry(begun(), ANNAS_KEY, (PHONE, LAPTOP), NOW)
    begun().extend(entry)
    changed = replace(entry, **change)  # type: ignore[arg-type]
    with pytest.raises(AuthenticationError):
        changed.verify_signature()
    assert stopped(lambda: begun().extend(changed)) is Code.DEVICE_LIST_INVALID


@pytest.mark.parametrize(
    "devices", [(), (PHONE, PHONE), (PHONE, replace(PHONE, identity_key=LAPTOP.identity_key))]
)
def test_no_device_or_one_twice(devices: tuple[Device, ...]) -> None:
    entry = next_entry(begun(), ANNAS_KEY, devices, NOW)
    assert stopped(lambda: begun().extend(entry)) is Code.DEVICE_LIST_INVALID


def test_refused_entry_changes_nothing() -> None:
    state = begun()
    entry = replace(next_entry(state, ANNAS_KEY, (LAPTOP,), NOW), signature=bytes(64))
    stopped(lambda: state.extend(entry))
    assert state == begun()
    assert state.extend(next_entry(state, ANNAS_KEY, (LAPTOP,), NOW)).devices == (LAPTOP,)


def test_a_device_that_stays_is_the_same_device() -> None:
    """Under the account key alone, another key to agree with would be a listener."""
    changed = replace(PHONE, identity_key=LAPTOP.identity_key)
    entry = next_entry(begun(), ANNAS_KEY, (changed,), NOW)
    assert stopped(lambda: begun().extend(entry)) is Code.DEVICE_LIST_INVALID


def test_what_a_device_is_called_and_can_do_may_change() -> None:
    later = replace(PHONE, sealed_name=b"renamed", has_kem=False, other_flags=2)
    assert begun().extend(next_entry(begun(), ANNAS_KEY, (later,), NOW)).devices == (later,)


# --- Recovery key and approvals --------------------------------------------------------------


def guarded() -> DeviceListState:
    """Anna's list with her phone, a recovery key, and the demand for approval."""
    entry = first_entry(
        ANNA, ANNAS_KEY, PHONE, NOW, recovery_key=PAPER.public_key, needs_approval=True
    )
    return DeviceListState.begin(ANNA, entry)


def grown(**changes: object) -> DeviceListEntry:
    return next_entry(guarded(), ANNAS_KEY, (PHONE, LAPTOP), NOW, **changes)  # type: ignore[arg-type]


def test_recovery_key_and_demand_stay_until_they_are_changed() -> None:
    state = guarded()
    assert (state.recovery_key, state.needs_approval) == (PAPER.public_key, True)
    entry = DeviceListEntry.decode(grown().approve(PAPER).encode())
    two = state.extend(entry)
    assert (two.recovery_key, two.needs_approval) == (PAPER.public_key, True)
    assert two == DeviceListState.after(entry)
    free = next_entry(two, ANNAS_KEY, two.devices, NOW, recovery_key=None, needs_approval=False)
    three = two.extend(free.approve(signing_key("phone")))
    assert (three.recovery_key, three.needs_approval) == (None, False)


@pytest.mark.parametrize("approver", ["phone", "recovery key"])
def test_a_new_device_is_approved_by_an_old_one_or_the_recovery_key(approver: str) -> None:
    assert guarded().wants_approval(grown())
    assert stopped(lambda: guarded().extend(grown())) is Code.DEVICE_LIST_APPROVAL
    entry = grown().approve(signing_key(approver))
    assert guarded().extend(DeviceListEntry.decode(entry.encode())).devices == (PHONE, LAPTOP)


@pytest.mark.parametrize("approver", ["laptop", "anna", "mallory"])
def test_nobody_else_approves(approver: str) -> None:
    """Not the device that is new, and not the account key: a thief of both has them."""
    entry = grown().approve(signing_key(approver))
    assert stopped(lambda: guarded().extend(entry)) is Code.DEVICE_LIST_APPROVAL
    both = entry.approve(PAPER)
    assert stopped(lambda: guarded().extend(both)) is Code.DEVICE_LIST_APPROVAL


def test_an_approval_is_for_one_entry() -> None:
    other = next_entry(guarded(), ANNAS_KEY, (PHONE, TABLET), NOW).approve(PAPER)
    entry = replace(grown(), approvals=other.approvals)
    assert stopped(lambda: guarded().extend(entry)) is Code.DEVICE_LIST_APPROVAL
    signature = replace(grown(), approvals=(replace(other.approvals[0], signature=bytes(64)),))
    assert stopped(lambda: guarded().extend(signature)) is Code.DEVICE_LIST_APPROVAL


@pytest.mark.parametrize(
    "change",
    [{"recovery_key": None}, {"recovery_key": ANNAS_KEY.public_key}, {"needs_approval": False}],
)
def test_the_guard_itself_is_guarded(change: dict[str, object]) -> None:
    entry = next_entry(guarded(), ANNAS_KEY, (PHONE,), NOW, **change)  # type: ignore[arg-type]
    assert stopped(lambda: guarded().extend(entry)) is Code.DEVICE_LIST_APPROVAL
    guarded().extend(entry.approve(PAPER))


def test_removing_needs_no_approval() -> None:
    two = guarded().extend(grown().approve(PAPER))
    assert two.extend(next_entry(two, ANNAS_KEY, (LAPTOP,), NOW)).devices == (LAPTOP,)


def test_where_none_is_demanded_an_approval_still_has_to_hold() -> None:
    entry = next_entry(begun(), ANNAS_KEY, (PHONE, LAPTOP), NOW)
    begun().extend(entry.approve(signing_key("phone")))
    by_paper = entry.approve(PAPER)
    assert stopped(lambda: begun().extend(by_paper)) is Code.DEVICE_LIST_APPROVAL
    rooted = first().approve(signing_key("phone"))
    assert stopped(lambda: DeviceListState.begin(ANNA, rooted)) is Code.DEVICE_LIST_INVALID


def test_a_server_that_strips_approvals_makes_no_fork() -> None:
    entry = next_entry(begun(), ANNAS_KEY, (PHONE, LAPTOP), NOW)
    assert entry.hash() == entry.approve(signing_key("phone")).hash()


def test_too_many_approvals_are_refused() -> None:
    entry = grown()
    for _ in range(MAX_APPROVALS + 1):
        entry = entry.approve(PAPER)
    with pytest.raises(DecodeError):
        DeviceListEntry.decode(entry.encode())


def test_unknown_flags_of_an_entry_are_kept_and_signed() -> None:
    entry = replace(first(), other_flags=0xFE).sign(ANNAS_KEY)
    again = DeviceListEntry.decode(entry.encode())
    assert again == entry
    DeviceListState.begin(ANNA, again)


# --- Form ----------------------------------------------------------------------------------


def test_every_truncation_is_refused() -> None:
    data = first().encode()
    for size in range(len(data)):
        with pytest.raises(DecodeError):
            DeviceListEntry.decode(data[:size])


def test_trailing_bytes_are_refused() -> None:
    with pytest.raises(DecodeError) as caught:
        DeviceListEntry.decode(first().encode() + b"\x00")
    assert caught.value.code is Code.DECODE_TRAILING
    content = Reader(first().encode()).opaque() + b"\x00"
    with pytest.raises(DecodeError) as caught:
        DeviceListEntry.decode(Writer().opaque(content).data() + first().signature + b"\x00")
    assert caught.value.code is Code.DECODE_TRAILING


def test_unknown_format_stops() -> None:
    content = b"\x02" + Reader(first().encode()).opaque()[1:]
    data = Writer().opaque(content).data() + first().signature + b"\x00"
    assert stopped(lambda: DeviceListEntry.decode(data)) is Code.DEVICE_LIST_INVALID


def test_unsigned_entry_has_no_encoding() -> None:
    with pytest.raises(UsageError):
        replace(first(), signature=b"").encode()


def many(count: int) -> tuple[Device, ...]:
    return tuple(device(str(n), sealed_name=bytes(MAX_SEALED_NAME)) for n in range(count))


def test_the_largest_entry_fits_the_wire() -> None:
    assert MAX_DEVICES == limits.MAX_DEVICES
    entry = next_entry(begun(), ANNAS_KEY, many(MAX_DEVICES), NOW)
    assert len(entry.encode()) <= limits.MAX_DEVICE_LIST_ENTRY
    assert begun().extend(DeviceListEntry.decode(entry.encode())).devices == entry.devices


def test_one_device_too_many() -> None:
    devices = many(MAX_DEVICES + 1)
    with pytest.raises(LimitError) as caught:
        next_entry(begun(), ANNAS_KEY, devices, NOW)
    assert caught.value.code is Code.LIMIT_COUNT
    entry = replace(first(), devices=devices).sign(ANNAS_KEY)
    with pytest.raises(DecodeError) as refused:
        DeviceListEntry.decode(entry.encode())
    assert refused.value.code is Code.DECODE_OVERSIZED


def test_sealed_name_too_long() -> None:
    long = device("phone", sealed_name=bytes(MAX_SEALED_NAME + 1))
    with pytest.raises(LimitError) as caught:
        first_entry(ANNA, ANNAS_KEY, long, NOW)
    assert caught.value.code is Code.LIMIT_SIZE
    described = Writer()
    device("phone", sealed_name=b"").write(described)
    data = described.data()[:-1] + Writer().opaque(bytes(MAX_SEALED_NAME + 1)).data()
    with pytest.raises(ParlourError) as refused:
        Device.read(Reader(data))
    assert refused.value.code is Code.DECODE_OVERSIZED
