"""Random walks over device lists, and damaged lists, vaults and invites."""

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.targets import device_list, invite, linking, profile, recovery_key, vault
from parlour.errors import Code, ParlourError, SecurityStop
from parlour.identity.device_list import (
    MAX_SEALED_NAME,
    Device,
    DeviceListEntry,
    DeviceListState,
    next_entry,
)
from parlour.identity.invite import Invite, InviteSecret
from tests.accounts import ANNA, ANNAS_KEY, NOW, begun, device, first

DEVICES = st.builds(
    device,
    st.sampled_from([f"device {n}" for n in range(8)]),
    has_kem=st.booleans(),
    added_at=st.integers(0, (1 << 64) - 1),
    sealed_name=st.binary(max_size=MAX_SEALED_NAME),
    other_flags=st.integers(0, 127).map(lambda bits: bits << 1),
)
LISTS = st.lists(
    st.lists(DEVICES, min_size=1, max_size=4, unique_by=lambda item: item.device_id).map(tuple),
    min_size=1,
    max_size=5,
)
PRINTABLE = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
INVITES = st.builds(
    Invite,
    server=st.text(PRINTABLE, max_size=60),
    host=st.text(PRINTABLE, max_size=60),
    port=st.integers(0, 0xFFFF),
    pin=st.none() | st.binary(min_size=32, max_size=32),
    secret=st.none() | st.binary(min_size=16, max_size=16).map(InviteSecret),
    account_key=st.none() | st.binary(min_size=32, max_size=32),
    expires_at=st.integers(0, (1 << 64) - 1),
    account_name=st.text(PRINTABLE, max_size=8),
)


def walked(lists: list[tuple[Device, ...]]) -> tuple[list[DeviceListState], list[bytes]]:
    """All states and entries of a list that was this, one after the other."""
    states, entries = [begun()], [first().encode()]
    for devices in lists:
        entry = next_entry(states[-1], ANNAS_KEY, devices, NOW)
        entries.append(entry.encode())
        states.append(states[-1].extend(entry))
    return states, entries


@given(lists=LISTS)
@settings(max_examples=30, deadline=None)
def test_everybody_who_reads_the_list_ends_in_the_same_state(
    lists: list[tuple[Device, ...]],
) -> None:
    states, entries = walked(lists)
    state = DeviceListState.begin(ANNA, DeviceListEntry.decode(entries[0]))
    for data in entries[1:]:
        state = state.extend(DeviceListEntry.decode(data))
    assert state == states[-1]
    assert state.devices == lists[-1]


@given(lists=LISTS, data=st.data())
@settings(max_examples=50, deadline=None)
def test_only_the_next_entry_is_accepted(
    lists: list[tuple[Device, ...]], data: st.DataObject
) -> None:
    states, entries = walked(lists)
    here = data.draw(st.integers(0, len(lists) - 1))
    for number, encoded in enumerate(entries):
        entry = DeviceListEntry.decode(encoded)
        if number == here + 1:
            assert states[here].extend(entry) == states[number]
        else:
            with pytest.raises(SecurityStop):
                states[here].extend(entry)


@given(lists=LISTS, data=st.data())
@settings(max_examples=100, deadline=None)
def test_flipped_bit_is_refused_and_changes_nothing(
    lists: list[tuple[Device, ...]], data: st.DataObject
) -> None:
    states, entries = walked(lists)
    state, encoded = states[-2], bytearray(entries[-1])
    before = replace(state)
    bit = data.draw(st.integers(0, 8 * len(encoded) - 1))
    encoded[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ParlourError):
        state.extend(DeviceListEntry.decode(bytes(encoded)))
    assert state == before


@given(made=INVITES)
@settings(max_examples=100, deadline=None)
def test_invite_round_trip(made: Invite) -> None:
    assert Invite.from_text(made.to_text()) == made


@given(
    made=INVITES,
    field=st.sampled_from(["server", "host", "account_name"]),
    odd=st.characters(exclude_categories=["Cs"]).filter(lambda sign: not "!" <= sign <= "~"),
)
@settings(max_examples=100, deadline=None)
def test_an_invite_with_signs_that_no_name_has_is_refused(
    made: Invite, field: str, odd: str
) -> None:
    changed: dict[str, Any] = {field: odd}
    with pytest.raises(ParlourError) as refused:
        Invite.from_text(replace(made, **changed).to_text())
    assert refused.value.code is Code.USAGE_INVALID


@pytest.mark.parametrize("module", [device_list, invite, linking, profile, recovery_key, vault])
@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_damage_gives_a_value_or_an_error_of_ours(module: ModuleType, data: st.DataObject) -> None:
    target: Callable[[bytes], None] = module.target
    target(data.draw(st.binary(max_size=64)))
    seed: bytes = data.draw(st.sampled_from(module.SEEDS))
    target(seed)
    at = data.draw(st.integers(0, len(seed)))
    cut = data.draw(st.integers(0, 8))
    target(seed[:at] + data.draw(st.binary(max_size=8)) + seed[at + cut :])
