"""What groups are called."""

from __future__ import annotations

import pytest

from parlour.client.group_names import is_named, label, labels, short_id
from parlour.conversation.groups.view import GroupName

FIRST, SECOND, THIRD = (bytes([number]) * 16 for number in (1, 2, 3))


def test_a_name_alone_is_enough() -> None:
    assert labels({FIRST: GroupName("trip", False), SECOND: GroupName("home", False)}) == {
        FIRST: "#trip",
        SECOND: "#home",
    }


def test_two_of_one_name_show_their_ids() -> None:
    names = {FIRST: GroupName("trip", False), SECOND: GroupName("trip", False)}
    assert labels(names) == {FIRST: "#trip@01010101", SECOND: "#trip@02020202"}


def test_one_of_the_past_leaves_its_name_to_one_that_goes_on() -> None:
    names = {FIRST: GroupName("trip", True), SECOND: GroupName("trip", False)}
    assert labels(names) == {FIRST: "#trip@01010101", SECOND: "#trip"}
    assert labels({FIRST: GroupName("trip", True)}) == {FIRST: "#trip"}
    both = {FIRST: GroupName("trip", True), THIRD: GroupName("trip", True)}
    assert set(labels(both).values()) == {"#trip@01010101", "#trip@03030303"}


def test_one_without_a_name_is_called_by_its_id() -> None:
    assert labels({FIRST: GroupName("", False), SECOND: GroupName("", False)}) == {
        FIRST: "#01010101",
        SECOND: "#02020202",
    }
    assert label(FIRST) == f"#{short_id(FIRST)}"


@pytest.mark.parametrize("wanted", ["trip", "trip@01010101", "01010101", FIRST.hex(), "0101010101"])
def test_ways_to_name_a_group(wanted: str) -> None:
    assert is_named(FIRST, "trip", wanted)


@pytest.mark.parametrize("wanted", ["", "tri", "trip@02020202", "0101", "02020202", "TRIP"])
def test_what_names_another_or_none(wanted: str) -> None:
    assert not is_named(FIRST, "trip", wanted)
    assert not is_named(FIRST, "", wanted)
