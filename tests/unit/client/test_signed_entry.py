"""The rule by which no number of a device list is signed twice in different words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from parlour.client.signed_entry import SignedEntry
from parlour.conversation.changes import Namespace, PutRecord
from parlour.double_ratchet.identity import LocalDevice
from parlour.errors import Code, ParlourError
from parlour.identity.device_list import Device, DeviceListEntry, DeviceListState, next_entry
from parlour.identity.device_list import first_entry as make_first
from parlour.primitives.random import system_random
from parlour.primitives.signature import Ed25519PrivateKey
from parlour.wire.directory import DevicePrekeys
from parlour.wire.prekeys import Prekey
from parlour.wire.vaults import NewVaults

ACCOUNT = b"the account's id"
KEY = Ed25519PrivateKey.generate()


def device() -> Device:
    identity = LocalDevice.generate(ACCOUNT, system_random).identity
    return Device(identity.signature_key, identity.identity_key, has_kem=True, added_at=1)


FIRST = make_first(ACCOUNT, KEY, device(), 1)
STATE = DeviceListState.after(FIRST)
NEW = device()


def follow(
    state: DeviceListState = STATE, now: int = 2, *, needs_approval: bool = False
) -> DeviceListEntry:
    return next_entry(state, KEY, (*FIRST.devices, NEW), now, needs_approval=needs_approval)


def test_it_is_read_as_it_was_written() -> None:
    prekeys = [DevicePrekeys(NEW.device_id, [Prekey("signed", 1, 2, b"data")])]
    signed = SignedEntry(follow(), prekeys, NewVaults(1, b"vault", None, bytes(64)))
    change = signed.change()
    assert isinstance(change, PutRecord)
    assert SignedEntry.load({}) is None
    found = SignedEntry.load({Namespace.SERVER: {change.key: change.value}})
    assert found is not None
    assert (found.entry, found.prekeys) == (signed.entry, tuple(prekeys))
    assert found.vaults == signed.vaults
    with pytest.raises(ParlourError) as broken:
        SignedEntry.load({Namespace.SERVER: {change.key: b"\xc1"}})
    assert broken.value.code is Code.STORE_BROKEN


def test_it_is_next_until_something_stands_in_its_place() -> None:
    signed = SignedEntry(follow())
    assert signed.is_next(STATE)
    assert not signed.is_next(DeviceListState.after(signed.entry))
    assert not signed.is_next(DeviceListState.after(follow(now=3)))


def test_an_older_list_or_a_fork_is_no_reason_to_sign_again() -> None:
    second = DeviceListState.after(follow())
    signed = SignedEntry(follow(second))
    with pytest.raises(ParlourError) as rolled_back:
        signed.is_next(STATE)
    assert rolled_back.value.code is Code.DEVICE_LIST_ROLLBACK
    with pytest.raises(ParlourError) as forked:
        signed.is_next(DeviceListState.after(follow(now=3)))
    assert forked.value.code is Code.DEVICE_LIST_INVALID


def test_what_differs_only_in_time_and_approval_says_the_same() -> None:
    signed = SignedEntry(follow())
    later = follow(now=3).approve(KEY)
    assert later.hash() != signed.entry.hash()
    assert signed.says(later)
    assert not signed.says(follow(needs_approval=True))
    assert not signed.says(follow(DeviceListState.after(signed.entry)))
    named = replace(NEW, sealed_name=b"sealed")
    assert not signed.says(next_entry(STATE, KEY, (*FIRST.devices, named), 2))
