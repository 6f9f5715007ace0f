"""Who founds a group for many is told how many have room in it; nobody else is bothered."""

from __future__ import annotations

from typing import Any

import pytest

from parlour.cli.group.described import note_room
from parlour.roster import Kind


class Group:
    """What is looked at of a view of a group."""

    def __init__(self, kind: Kind, members: int, most: int) -> None:
        self.genesis = type("Genesis", (), {"kind": kind, "suite": 0xF0A2})()
        self.members = range(members)
        self.max_leaves = most


class Notes(list[str]):
    """An output that keeps what was noted."""

    def note(self, text: str) -> None:
        self.append(text)


@pytest.mark.parametrize(
    ("kind", "members", "most", "is_told"),
    [
        (Kind.GROUP, 5, 700, False),
        (Kind.FAMILY, 49, 700, False),
        (Kind.GROUP, 50, 700, True),
        (Kind.CHANNEL, 1, 700, True),
        (Kind.CHANNEL, 1, 4_096, False),
    ],
)
def test_who_is_told_of_room(kind: Kind, members: int, most: int, is_told: bool) -> None:
    notes: Any = Notes()
    group: Any = Group(kind, members, most)
    note_room(group, 1_500, notes)
    assert bool(notes) is is_told
    assert not notes or "350 people with two each" in notes[0]
